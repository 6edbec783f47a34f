//! A file of records: a thread of its own appends to it, so that nobody waits for a disk but who has to know that a record
//! is there.
//!
//! While it cannot be written, records wait, and who waits for one of them is told at once; when there is no room for more,
//! they are lost, which is counted.

use crate::domain::clock::Timestamp;
use chrono::{DateTime, NaiveDate};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, UNIX_EPOCH};
use tokio::sync::oneshot;

/// Records that wait for the thread: with the longest record, what a disk that hangs costs of memory is 16 MB.
const QUEUE_CAPACITY: usize = 4_096;
/// Until a file that could not be written is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the end of the process waits for what was recorded last.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Where records are appended, and for how long they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFilePath {
    /// The file.
    pub path: PathBuf,
    /// If there is one, the file is renamed at the end of each day (UTC), and removed so many days later.
    pub keep_days: Option<usize>,
}

/// A record on its way.
struct PendingRecord {
    line: Vec<u8>,
    /// When it was made, which decides about the day.
    time: Timestamp,
    /// Told whether it is on the disk.
    written: Option<oneshot::Sender<bool>>,
}

enum WriterMessage {
    Record(PendingRecord),
    /// The file at the path is another one by now.
    Reopen,
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// The sending side.
#[derive(Debug)]
pub(super) struct AuditFile {
    queue: SyncSender<WriterMessage>,
    failure: Arc<Mutex<Option<String>>>,
}

impl AuditFile {
    /// Opens the file, which only its owner may read, and starts the thread.
    ///
    /// # Errors
    /// Of the operating system, about the file or the thread.
    pub(super) fn open(at: AuditFilePath) -> io::Result<Self> {
        let file = append_to(&at.path)?;
        let (queue, messages) = sync_channel(QUEUE_CAPACITY);
        let failure = Arc::<Mutex<Option<String>>>::default();
        let mut writer = AuditFileWriter { at, file, pending: VecDeque::new(), offset: 0, failure: failure.clone() };
        thread::Builder::new().name("audit".into()).spawn(move || writer.run(&messages))?;
        Ok(Self { queue, failure })
    }

    /// Has a record written. Whether there was room for it.
    pub(super) fn append(&self, line: Vec<u8>, time: Timestamp, written: Option<oneshot::Sender<bool>>) -> bool {
        self.queue.try_send(WriterMessage::Record(PendingRecord { line, time, written })).is_ok()
    }

    /// Goes on in the file that is at the path now.
    pub(super) fn reopen(&self) {
        // With a full queue the file cannot be written, and is opened again in any case.
        let _ = self.queue.try_send(WriterMessage::Reopen);
    }

    /// Why the last record is not written yet.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until all is written, for two seconds at most.
    pub(super) fn flush(&self) {
        let (done, receiver) = sync_channel(1);
        match self.queue.try_send(WriterMessage::Flush(done)) {
            Ok(()) => drop(receiver.recv_timeout(FLUSH_TIMEOUT)),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// The thread's side.
struct AuditFileWriter {
    at: AuditFilePath,
    file: File,
    pending: VecDeque<PendingRecord>,
    /// Bytes of the first pending record that are in the file already.
    offset: usize,
    failure: Arc<Mutex<Option<String>>>,
}

impl AuditFileWriter {
    fn run(&mut self, messages: &Receiver<WriterMessage>) {
        let mut flushes: Vec<SyncSender<()>> = Vec::new();
        loop {
            let wait = if self.pending.is_empty() { Duration::MAX } else { RETRY_PAUSE };
            let mut next = match messages.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What does not find room here waits in the queue, and what finds none there is lost.
            while let Some(message) = next {
                match message {
                    WriterMessage::Record(record) => self.pending.push_back(record),
                    WriterMessage::Reopen => self.reopen(),
                    WriterMessage::Flush(done) => flushes.push(done),
                }
                next = if self.pending.len() < QUEUE_CAPACITY { messages.try_recv().ok() } else { None };
            }
            self.write_pending();
            for done in flushes.drain(..) {
                let _ = done.send(());
            }
            while self.pending.len() >= QUEUE_CAPACITY {
                thread::sleep(RETRY_PAUSE);
                // No message finds its way here, not even that there is another file.
                if self.offset == 0 {
                    self.reopen();
                }
                self.write_pending();
            }
        }
    }

    fn write_pending(&mut self) {
        let written = self.try_write_pending();
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match written {
            Ok(()) if failure.take().is_some() => tracing::info!("audit file written again"),
            Ok(()) => {}
            Err(error) => {
                let reason = format!("{} cannot be written: {error}", self.at.path.display());
                if failure.as_ref() != Some(&reason) {
                    tracing::error!(%reason, "audit file write failed: records wait");
                }
                *failure = Some(reason);
                for waiting in self.pending.iter_mut().filter_map(|record| record.written.take()) {
                    let _ = waiting.send(false);
                }
            }
        }
    }

    fn try_write_pending(&mut self) -> io::Result<()> {
        let mut waiting = Vec::new();
        while let Some(record) = self.pending.front() {
            if self.offset == 0 {
                let time = record.time;
                self.begin_day(time)?;
            }
            self.write_first()?;
            let written = self.pending.pop_front().and_then(|record| record.written);
            self.offset = 0;
            waiting.extend(written);
        }
        if waiting.is_empty() {
            return Ok(());
        }
        // They have to know that it outlives this machine's next minute.
        let synced = self.file.sync_data();
        for waiting in waiting {
            let _ = waiting.send(synced.is_ok());
        }
        synced
    }

    /// One write for each record where the disk takes it: then several processes can share a file.
    fn write_first(&mut self) -> io::Result<()> {
        let Some(record) = self.pending.front() else { return Ok(()) };
        while self.offset < record.line.len() {
            match self.file.write(&record.line[self.offset..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.offset += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The file is written on where it was if there is no new one.
    fn reopen(&mut self) {
        match append_to(&self.at.path) {
            Ok(file) => {
                self.file = file;
                // The other file has the first half.
                self.offset = 0;
            }
            Err(error) => tracing::error!(path = %self.at.path.display(), %error, "audit file reopen failed"),
        }
    }

    /// Where records are kept for some days only: gives the file of an earlier day that day's name, and removes those that
    /// are too old.
    fn begin_day(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(keep_days) = self.at.keep_days else { return Ok(()) };
        let (Some(today), Some(day)) = (date(now), last_written(&self.file)?) else { return Ok(()) };
        if day >= today {
            return Ok(());
        }
        // Another process may be doing the same: whoever makes the link is the one who takes the old name away.
        match fs::hard_link(&self.at.path, dated(&self.at.path, day)) {
            Ok(()) => fs::remove_file(&self.at.path)?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        self.file = append_to(&self.at.path)?;
        remove_older(&self.at.path, today, keep_days)
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn date(time: Timestamp) -> Option<NaiveDate> {
    DateTime::from_timestamp(i64::try_from(time.as_secs()).ok()?, 0).map(|time| time.date_naive())
}

/// The day of the last record; none where there is no record.
fn last_written(file: &File) -> io::Result<Option<NaiveDate>> {
    let metadata = file.metadata()?;
    if metadata.len() == 0 {
        return Ok(None);
    }
    let seconds = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(date(Timestamp::from_secs(seconds)))
}

/// `audit.jsonl.2026-11-23`
fn dated(path: &Path, day: NaiveDate) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{day}"));
    name.into()
}

/// Removes the files of days that are more than `keep_days` before `today`.
fn remove_older(path: &Path, today: NaiveDate, keep_days: usize) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Ok(()) };
    for entry in fs::read_dir(folder)? {
        let found = entry?.file_name();
        let day =
            found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('.')?.parse::<NaiveDate>().ok());
        let is_old = |day: NaiveDate| (today - day).num_days() > i64::try_from(keep_days).unwrap_or(i64::MAX);
        if day.is_some_and(is_old) {
            fs::remove_file(folder.join(&found))?;
        }
    }
    Ok(())
}
