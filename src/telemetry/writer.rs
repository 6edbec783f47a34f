//! Standard error by way of a thread of its own, so that nobody waits for who reads the log, and nobody fails because
//! nothing can be written. What finds no room is dropped and counted.

use prometheus_client::metrics::counter::Counter;
use std::io::{self, ErrorKind, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Lines that wait for the thread.
const QUEUE_CAPACITY: usize = 1_024;
/// Bytes of a line: with [`QUEUE_CAPACITY`] what a reader who stands still costs of memory. A longer line is dropped.
const LINE_MAX: usize = 8 << 10;
/// How long the end of the process waits for what was said last.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);
/// Until an output that takes nothing for the moment is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);
static QUEUE: OnceLock<SyncSender<Message>> = OnceLock::new();

enum Message {
    Line(Vec<u8>),
    /// Answered when all before it is written.
    Flush(SyncSender<()>),
}

/// Counts lines that were not written. One for the process, as the log is.
pub(super) fn dropped() -> Counter {
    DROPPED.clone()
}

/// Starts the thread; what [`LineWriter`] are given goes to standard error.
///
/// # Errors
/// Of the operating system, which has no thread for it.
pub(super) fn start() -> io::Result<()> {
    let (queue, lines) = sync_channel(QUEUE_CAPACITY);
    thread::Builder::new().name("log".into()).spawn(move || write_all(&lines, &mut io::stderr()))?;
    // A second start fails where the subscriber is set.
    let _ = QUEUE.set(queue);
    Ok(())
}

/// Waits until what was logged is written, for a second at most.
pub fn flush() {
    let Some(queue) = QUEUE.get() else { return };
    let deadline = Instant::now() + FLUSH_TIMEOUT;
    let (done, receiver) = sync_channel(1);
    let mut message = Message::Flush(done);
    while let Err(TrySendError::Full(again)) = queue.try_send(message) {
        if Instant::now() > deadline {
            return;
        }
        message = again;
        thread::sleep(RETRY_PAUSE);
    }
    let _ = receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
}

/// Has a line written to standard error as it is. Whether there was room for it; waits only where no log was started.
pub fn write_line(line: &[u8]) -> bool {
    let queued = match QUEUE.get() {
        Some(queue) => line.len() <= LINE_MAX && queue.try_send(Message::Line(line.to_vec())).is_ok(),
        None => io::stderr().write_all(line).is_ok(),
    };
    if !queued {
        DROPPED.inc();
    }
    queued
}

/// Takes one line for each `write`, as tracing gives them. Never fails and never waits.
#[derive(Debug)]
pub(super) struct LineWriter;

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        write_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The same without a thread, for a function that is frozen between its calls.
#[derive(Debug)]
pub(super) struct DirectWriter;

impl Write for DirectWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if io::stderr().write_all(line).is_err() {
            DROPPED.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(messages: &Receiver<Message>, out: &mut impl Write) {
    for message in messages {
        match message {
            Message::Line(line) => {
                if write_whole(&line, out).is_err() {
                    DROPPED.inc();
                }
            }
            Message::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn write_whole(mut line: &[u8], out: &mut impl Write) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Whoever has the other end made it so; half a line would spoil the next one.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes a few bytes at a time, and says no in between.
    #[derive(Default)]
    struct SlowWriter {
        taken: Vec<u8>,
        calls: usize,
    }

    impl Write for SlowWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.calls += 1;
            match self.calls % 4 {
                1 => Err(ErrorKind::WouldBlock.into()),
                2 => Err(ErrorKind::Interrupted.into()),
                3 if self.taken.len() > 9 => Err(ErrorKind::BrokenPipe.into()),
                _ => {
                    let count = bytes.len().min(3);
                    self.taken.extend(&bytes[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_whole_or_counted() {
        let (queue, lines) = sync_channel(4);
        let (tell, told) = sync_channel(1);
        for message in [Message::Line(b"one two\n".into()), Message::Line(b"lost\n".into()), Message::Flush(tell)] {
            queue.try_send(message).ok().unwrap();
        }
        drop(queue);
        let (mut out, before) = (SlowWriter::default(), dropped().get());
        write_all(&lines, &mut out);
        assert!(out.taken.starts_with(b"one two\n"), "{:?}", String::from_utf8_lossy(&out.taken));
        assert!(dropped().get() > before);
        assert_eq!(told.try_recv(), Ok(()), "after all before it");
    }
}
