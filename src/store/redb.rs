//! Sessions in one file: durable, with nothing to install.
//!
//! A single thread writes. It takes every request that waits, applies them in one transaction and
//! answers them after its one fsync, so that sign-ins share the cost instead of queueing behind it.

use super::{Error, OpenError, Record, SessionStore, Update};
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::session::SessionKey;
use async_trait::async_trait;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition};
use std::fs::OpenOptions;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: &[u8] = b"1";
const MARK: &[u8] = b"auth-api session store";
const MARK_PURPOSE: Purpose<'_> = Purpose { label: "store", context: b"mark", bound: FORMAT };

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// As many requests as one transaction takes.
const BATCH: usize = 512;
/// version, ends, seen.
const HEAD: usize = 24;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

enum Write {
    Create(SessionKey, Record, Reply<bool>),
    Update(SessionKey, u64, Record, Reply<Update>),
    Touch(Vec<(SessionKey, u64)>, Reply<()>),
    Delete(SessionKey, Reply<Option<Record>>),
    Sweep(Vec<SessionKey>, u64, Option<u64>, Reply<u64>),
}

#[derive(Debug)]
pub(super) struct Redb {
    file: Arc<File>,
    writer: mpsc::Sender<Write>,
}

/// The file, or nothing between a failure of the disk and the next attempt: after one, redb does nothing
/// until the file is opened again.
#[derive(Debug)]
struct File {
    path: PathBuf,
    db: RwLock<Option<Arc<Database>>>,
}

impl File {
    fn current(&self) -> Option<Arc<Database>> {
        self.db.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, db: Option<Arc<Database>>) {
        *self.db.write().unwrap_or_else(PoisonError::into_inner) = db;
    }

    fn current_or_reopened(&self) -> Result<Arc<Database>, redb::Error> {
        if let Some(db) = self.current() {
            return Ok(db);
        }
        let db = Arc::new(Database::open(&self.path)?);
        tracing::info!("the session file is open again");
        self.set(Some(db.clone()));
        Ok(db)
    }
}

impl Redb {
    pub(super) fn open(path: &Path, ring: &KeyRing) -> Result<Self, OpenError> {
        let shown = path.display().to_string();
        if !path.exists() {
            create(path, ring).map_err(|why| OpenError::Io { path: shown.clone(), why })?;
        }
        let damaged = |why: String| OpenError::Damaged { path: shown.clone(), why };
        if std::fs::metadata(path).is_ok_and(|m| m.len() == 0) {
            return Err(damaged("it is empty".into()));
        }
        let db = Database::open(path).map_err(|e| match e {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: shown.clone() },
            DatabaseError::Storage(redb::StorageError::Io(e))
                if e.kind() != std::io::ErrorKind::InvalidData && e.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                OpenError::Io { path: shown.clone(), why: e.to_string() }
            }
            e => damaged(e.to_string()),
        })?;
        if !check_mark(&db, ring).map_err(damaged)? {
            return Err(OpenError::WrongKey { path: shown });
        }
        let file = Arc::new(File { path: path.to_owned(), db: RwLock::new(Some(Arc::new(db))) });
        let (writer, requests) = mpsc::channel();
        let target = file.clone();
        std::thread::Builder::new()
            .name("redb-writer".into())
            .spawn(move || write_all(&target, &requests))
            .map_err(|e| OpenError::Io { path: shown, why: e.to_string() })?;
        Ok(Self { file, writer })
    }

    async fn write<T>(&self, request: impl FnOnce(Reply<T>) -> Write) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(request(reply)).map_err(|_| Error("its writer has stopped".into()))?;
        in_time(answer).await?.unwrap_or_else(|_| Err(Error("the write was not done".into())))
    }

    /// Reads in a thread where blocking is no harm.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let db = self.file.current().ok_or_else(|| Error("the file waits to be opened again".into()))?;
        let done = in_time(tokio::task::spawn_blocking(move || read(&db))).await?;
        done.map_err(|e| Error(e.to_string()))?.map_err(|e| Error(e.to_string()))
    }
}

/// A disk that stalls is as good as none.
async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, answer).await.map_err(|_| Error(format!("no answer in {PATIENCE:?}")))
}

/// Makes a whole new file beside `path` and moves it there, so that a crash leaves no half of one.
fn create(path: &Path, ring: &KeyRing) -> Result<(), String> {
    let fresh = PathBuf::from(format!("{}.new", path.display()));
    let text = |e: &dyn std::fmt::Display| e.to_string();
    if fresh.exists() {
        std::fs::remove_file(&fresh).map_err(|e| text(&e))?;
    }
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&fresh).map_err(|e| text(&e))?;
    let db = Database::builder().create_file(file).map_err(|e| text(&e))?;
    let begun = db.begin_write().map_err(|e| text(&e))?;
    begun.open_table(SESSIONS).map_err(|e| text(&e))?;
    write_mark(&begun, ring).map_err(|e| text(&e))?;
    begun.commit().map_err(|e| text(&e))?;
    drop(db);
    std::fs::rename(&fresh, path).map_err(|e| text(&e))?;
    // The name must be as durable as the file.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| text(&e))
}

fn write_mark(transaction: &redb::WriteTransaction, ring: &KeyRing) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    meta.insert("mark", ring.seal(MARK_PURPOSE, MARK).as_slice())?;
    Ok(())
}

/// Whether the ring opens the file's mark; sealed anew, so that it follows a rotation of the keys.
fn check_mark(db: &Database, ring: &KeyRing) -> Result<bool, String> {
    let read = || -> Result<_, redb::Error> {
        let transaction = db.begin_read()?;
        transaction.open_table(SESSIONS)?;
        let meta = transaction.open_table(META)?;
        let get = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|value| value.value().to_vec()));
        Ok((get("format")?, get("mark")?))
    };
    let (format, mark) = read().map_err(|e| e.to_string())?;
    if format.as_deref() != Some(FORMAT) {
        return Err("it has a format of another version".into());
    }
    if ring.open(MARK_PURPOSE, &mark.unwrap_or_default()).is_err() {
        return Ok(false);
    }
    let renew = || -> Result<(), redb::Error> {
        let transaction = db.begin_write()?;
        write_mark(&transaction, ring)?;
        Ok(transaction.commit()?)
    };
    renew().map(|()| true).map_err(|e| e.to_string())
}

#[async_trait]
impl SessionStore for Redb {
    async fn create(&self, key: SessionKey, record: Record) -> Result<bool, Error> {
        self.write(|reply| Write::Create(key, record, reply)).await
    }

    async fn load(&self, key: SessionKey) -> Result<Option<Record>, Error> {
        self.read(move |db| {
            let sessions = db.begin_read()?.open_table(SESSIONS)?;
            Ok(sessions.get(&key.0)?.and_then(|value| decode(value.value())))
        })
        .await
    }

    async fn update(&self, key: SessionKey, expected: u64, record: Record) -> Result<Update, Error> {
        self.write(|reply| Write::Update(key, expected, record, reply)).await
    }

    async fn touch(&self, seen: Vec<(SessionKey, u64)>) -> Result<(), Error> {
        self.write(|reply| Write::Touch(seen, reply)).await
    }

    async fn delete(&self, key: SessionKey) -> Result<Option<Record>, Error> {
        self.write(|reply| Write::Delete(key, reply)).await
    }

    async fn sweep(&self, now: u64, idle: Option<u64>) -> Result<u64, Error> {
        // Found by a reader, which holds up nobody; judged again by the writer.
        let over = self
            .read(move |db| {
                let mut over = Vec::new();
                for entry in db.begin_read()?.open_table(SESSIONS)?.iter()? {
                    let (key, value) = entry?;
                    if decode_head(value.value()).is_none_or(|record| record.is_over(now, idle)) {
                        over.push(SessionKey(*key.value()));
                    }
                }
                Ok(over)
            })
            .await?;
        let mut swept = 0;
        for some in over.chunks(BATCH) {
            swept += self.write(|reply| Write::Sweep(some.to_vec(), now, idle, reply)).await?;
        }
        Ok(swept)
    }

    async fn ping(&self) -> Result<(), Error> {
        // An empty write goes the whole way to the disk.
        self.write(|reply| Write::Touch(vec![], reply)).await
    }
}

/// Writes until the last handle is gone; returns how many transactions that took.
fn write_all(file: &File, requests: &mpsc::Receiver<Write>) -> u64 {
    let mut transactions = 0;
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(BATCH - 1));
        write_batch(file, batch);
        transactions += 1;
    }
    transactions
}

/// What to tell the asker once the commit is done, or has failed.
type Answer = Box<dyn FnOnce(Result<(), Error>)>;
type SessionTable<'t> = Table<'t, &'static [u8; 32], &'static [u8]>;

/// Answers only what was committed.
fn write_batch(file: &File, batch: Vec<Write>) {
    let mut answers = Vec::with_capacity(batch.len());
    let result = (|| -> Result<(), redb::Error> {
        let transaction = file.current_or_reopened()?.begin_write()?;
        {
            let mut sessions = transaction.open_table(SESSIONS)?;
            for write in batch {
                answers.push(apply(&mut sessions, write)?);
            }
        }
        Ok(transaction.commit()?)
    })();
    if let Err(error) = &result {
        tracing::error!(%error, "the session file failed; it is opened again at the next write");
        file.set(None);
    }
    let result = result.map_err(|e| Error(e.to_string()));
    for answer in answers {
        answer(result.clone());
    }
}

fn apply(sessions: &mut SessionTable<'_>, write: Write) -> Result<Answer, redb::Error> {
    Ok(match write {
        Write::Create(key, record, reply) => {
            let free = sessions.get(&key.0)?.is_none();
            if free {
                put(sessions, key, &record)?;
            }
            answer(reply, free)
        }
        Write::Update(key, expected, record, reply) => match get(sessions, key)? {
            None => answer(reply, Update::Gone),
            Some(old) if old.version != expected => answer(reply, Update::Stale),
            Some(old) => {
                put(sessions, key, &Record { seen: old.seen.max(record.seen), ..record })?;
                answer(reply, Update::Done)
            }
        },
        Write::Touch(seen, reply) => {
            for (key, seen) in seen {
                if let Some(old) = get(sessions, key)?.filter(|old| old.seen < seen) {
                    put(sessions, key, &Record { seen, ..old })?;
                }
            }
            answer(reply, ())
        }
        Write::Delete(key, reply) => {
            let old = sessions.remove(&key.0)?.and_then(|value| decode(value.value()));
            answer(reply, old)
        }
        Write::Sweep(keys, now, idle, reply) => {
            let mut swept = 0;
            for key in keys {
                if get(sessions, key)?.is_none_or(|record| record.is_over(now, idle)) {
                    swept += u64::from(sessions.remove(&key.0)?.is_some());
                }
            }
            answer(reply, swept)
        }
    })
}

fn answer<T: 'static>(reply: Reply<T>, value: T) -> Answer {
    // Whoever asked may have gone away.
    Box::new(move |committed| drop(reply.send(committed.map(|()| value))))
}

fn get(sessions: &SessionTable<'_>, key: SessionKey) -> Result<Option<Record>, redb::Error> {
    Ok(sessions.get(&key.0)?.and_then(|value| decode(value.value())))
}

fn put(sessions: &mut SessionTable<'_>, key: SessionKey, record: &Record) -> Result<(), redb::Error> {
    sessions.insert(&key.0, encode(record).as_slice())?;
    Ok(())
}

fn encode(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + record.sealed.len());
    for number in [record.version, record.ends, record.seen] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&record.sealed);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Record> {
    decode_head(bytes).map(|head| Record { sealed: bytes[HEAD..].to_vec(), ..head })
}

fn decode_head(bytes: &[u8]) -> Option<Record> {
    let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
    Some(Record { version: number(0)?, ends: number(8)?, seen: number(16)?, sealed: vec![] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::SessionId;

    #[test]
    fn writes_that_wait_share_one_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        create(&path, &KeyRing::new([b"a key of this test, 32 bytes long".as_slice()])).unwrap();
        let db = Some(Arc::new(Database::open(&path).unwrap()));
        let file = File { path, db: RwLock::new(db) };
        let (writer, requests) = mpsc::channel();
        let mut answers = Vec::new();
        for _ in 0..300 {
            let (reply, answer) = oneshot::channel();
            let record = Record { version: 1, ends: 1, seen: 1, sealed: vec![] };
            writer.send(Write::Create(SessionId::random().key(), record, reply)).unwrap();
            answers.push(answer);
        }
        drop(writer);
        assert_eq!(write_all(&file, &requests), 1, "three hundred sign-ins, one fsync");
        assert!(answers.into_iter().all(|answer| answer.blocking_recv().unwrap().unwrap()));
    }

    #[tokio::test]
    async fn after_a_failure_the_file_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let ring = KeyRing::new([b"a key of this test, 32 bytes long".as_slice()]);
        let store = Redb::open(&folder.path().join("s.redb"), &ring).unwrap();
        let key = SessionId::random().key();
        let record = Record { version: 1, ends: 1, seen: 1, sealed: vec![] };
        assert!(store.create(key, record.clone()).await.unwrap());
        store.file.set(None); // as the writer does
        assert!(store.load(key).await.is_err(), "nothing is known until then");
        store.ping().await.unwrap();
        assert_eq!(store.load(key).await.unwrap(), Some(record));
    }
}
