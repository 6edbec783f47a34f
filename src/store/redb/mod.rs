//! Sessions in one file: durable, with nothing to install.
//!
//! A single thread writes. It takes every request that waits, applies them in one transaction and
//! answers them after its one fsync, so that sign-ins share the cost instead of queueing behind it.

mod writer;

use super::in_process_leases::InProcessLeases;
use super::rate_limit::{Permits, RateLimit, RateLimiters};
use super::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, OpenError, RestoreOutcome,
    SealedSession, SealedTokens, SessionStore, UpdateOutcome, exclusive,
};
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use redb::{
    Database, DatabaseError, MultimapTableDefinition, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition, WriteTransaction,
};
use std::fs::OpenOptions;
use std::future::Future;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use writer::{BATCH, Reply, Write, decode, is_over, sealed_tokens, write_all};

const SESSIONS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("sessions");
/// Their tokens, in two parts.
const TOKENS: TableDefinition<'_, &[u8; 32], SealedParts> = TableDefinition::new("tokens");
/// The access and ID tokens; the refresh token. Either may be missing.
type SealedParts = (Option<&'static [u8]>, Option<&'static [u8]>);
/// The sessions listed under a mark.
const LISTS: MultimapTableDefinition<'_, &[u8; 32], &[u8; 32]> = MultimapTableDefinition::new("lists");
/// Marks and when they are forgotten.
const REVOCATIONS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("marks");
/// Sessions that are being renewed: one that is here at start was left in the middle of it.
const RENEWING: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("at_work");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const FORMAT: &[u8] = b"4";
const OWNER_PREFIX: &str = "the session store of";
const OWNER_PURPOSE: Purpose<'_> = Purpose { label: "store", context: b"mark", bound: FORMAT };

/// Sessions that are listed at once.
const KEYS_PAGE: usize = 10_000;
/// How long a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
#[derive(Debug)]
pub(super) struct Redb {
    file: Arc<DatabaseFile>,
    writer: mpsc::Sender<Write>,
    ring: Arc<KeyRing>,
    limiters: RateLimiters,
}

/// The file, or nothing between a failure of the disk and the next attempt: after one, redb does nothing
/// until the file is opened again.
#[derive(Debug)]
struct DatabaseFile {
    path: PathBuf,
    leases: InProcessLeases,
    db: RwLock<Option<Arc<Database>>>,
}

impl DatabaseFile {
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
        tracing::info!("session file reopened");
        self.set(Some(db.clone()));
        Ok(db)
    }
}

impl Redb {
    pub(super) fn open(path: &Path, ring: &Arc<KeyRing>) -> Result<Self, OpenError> {
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
        match check_owner(&db, ring).map_err(damaged)? {
            FileOwner::Ours => {}
            FileOwner::OtherKeys => return Err(OpenError::WrongKey { path: shown }),
            FileOwner::Other(found) => {
                return Err(OpenError::OtherDeployment { path: shown, found, ours: owner(ring) });
            }
        }
        let file = Arc::new(DatabaseFile {
            path: path.to_owned(),
            leases: InProcessLeases::default(),
            db: RwLock::new(Some(Arc::new(db))),
        });
        let (writer, requests) = mpsc::channel();
        let target = file.clone();
        std::thread::Builder::new()
            .name("redb-writer".into())
            .spawn(move || write_all(&target, &requests))
            .map_err(|e| OpenError::Io { path: shown, why: e.to_string() })?;
        Ok(Self { file, writer, ring: ring.clone(), limiters: RateLimiters::default() })
    }

    async fn write<T>(&self, request: impl FnOnce(Reply<T>) -> Write) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(request(reply)).map_err(|_| Error::Unavailable("its writer has stopped".into()))?;
        with_timeout(answer).await?.unwrap_or_else(|_| Err(Error::Unavailable("the write was not done".into())))
    }

    /// Reads in a thread where blocking is no harm.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, Error> {
        let db = self.file.current().ok_or_else(|| Error::Unavailable("the file waits to be opened again".into()))?;
        let done = with_timeout(tokio::task::spawn_blocking(move || read(&db))).await?;
        done.map_err(|e| Error::Unavailable(e.to_string()))?.map_err(|e| Error::Unavailable(e.to_string()))
    }
}

/// Keys of sessions in their order, a page of them; none after the last.
fn keys_after(db: &Database, after: Option<[u8; 32]>) -> Result<Vec<SessionKey>, redb::Error> {
    let sessions = db.begin_read()?.open_table(SESSIONS)?;
    let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
    let page = sessions.range::<&[u8; 32]>((from, Bound::Unbounded))?.take(KEYS_PAGE);
    page.map(|entry| Ok(SessionKey(*entry?.0.value()))).collect()
}

/// Applies the request timeout: a stalled disk counts as an outage.
async fn with_timeout<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(REQUEST_TIMEOUT, answer)
        .await
        .map_err(|_| Error::Unavailable(format!("no answer in {REQUEST_TIMEOUT:?}")))
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
    open_tables(&begun).map_err(|e| text(&e))?;
    write_owner(&begun, ring).map_err(|e| text(&e))?;
    begun.commit().map_err(|e| text(&e))?;
    drop(db);
    std::fs::rename(&fresh, path).map_err(|e| text(&e))?;
    // The name must be as durable as the file.
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| text(&e))
}

/// A reader finds no table that was never opened for writing.
fn open_tables(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SESSIONS)?;
    transaction.open_table(TOKENS)?;
    transaction.open_multimap_table(LISTS)?;
    transaction.open_table(REVOCATIONS)?;
    transaction.open_table(RENEWING)?;
    Ok(())
}

fn write_owner(transaction: &WriteTransaction, ring: &KeyRing) -> Result<(), redb::Error> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", FORMAT)?;
    meta.insert("mark", ring.unbound().seal(OWNER_PURPOSE, owner(ring).as_bytes()).as_slice())?;
    Ok(())
}

/// Whose sessions are in a file.
enum FileOwner {
    /// This deployment's.
    Ours,
    /// Sealed by keys that are not in the ring.
    OtherKeys,
    /// Another deployment's, which it names.
    Other(String),
}

fn owner(ring: &KeyRing) -> String {
    format!("{OWNER_PREFIX}: {}", ring.deployment())
}

/// Seals the mark anew unless the key that seals has, so that it follows a rotation of the keys.
fn renew_owner(db: &Database, ring: &KeyRing) -> Result<(), redb::Error> {
    let sealed = db.begin_read()?.open_table(META)?.get("mark")?.map(|value| value.value().to_vec());
    if ring.is_current(&sealed.unwrap_or_default()) {
        return Ok(());
    }
    let transaction = db.begin_write()?;
    write_owner(&transaction, ring)?;
    Ok(transaction.commit()?)
}

/// Whose mark the file has; ours follows the keys.
fn check_owner(db: &Database, ring: &KeyRing) -> Result<FileOwner, String> {
    let read = || -> Result<_, redb::Error> {
        let transaction = db.begin_read()?;
        transaction.open_table(SESSIONS)?;
        let meta = transaction.open_table(META)?;
        let get = |name| Ok::<_, redb::Error>(meta.get(name)?.map(|value| value.value().to_vec()));
        Ok((get("format")?, get("mark")?))
    };
    let (format, sealed_owner) = read().map_err(|e| e.to_string())?;
    if format.as_deref() != Some(FORMAT) {
        return Err("it has a format of another version".into());
    }
    let Ok(found) = ring.unbound().open(OWNER_PURPOSE, &sealed_owner.unwrap_or_default()) else {
        return Ok(FileOwner::OtherKeys);
    };
    if *found != owner(ring).as_bytes() {
        return Ok(FileOwner::Other(String::from_utf8_lossy(&found).into_owned()));
    }
    renew_owner(db, ring).map(|()| FileOwner::Ours).map_err(|e| e.to_string())
}

#[async_trait]
impl SessionStore for Redb {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        self.write(|reply| Write::Create(key, record, reply)).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        let found = self
            .read(move |db| {
                let sessions = db.begin_read()?.open_table(SESSIONS)?;
                Ok(sessions.get(&key.0)?.and_then(|value| decode(value.value())))
            })
            .await?;
        let ended = || self.file.leases.tombstone(key).map(Lookup::Ended);
        Ok(found.map(Lookup::Found).or_else(ended).unwrap_or(Lookup::Absent))
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        self.read(move |db| {
            let tokens = db.begin_read()?.open_table(TOKENS)?;
            Ok(tokens.get(&key.0)?.map(|parts| sealed_tokens(parts.value())).unwrap_or_default())
        })
        .await
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        self.write(|reply| Write::UpdateOutcome(key, expected, record, fencing_token, reply)).await
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        self.write(|reply| Write::Touch(last_used, reply)).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        self.write(|reply| Write::Restore(key, record, reply)).await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        self.write(|reply| Write::Delete(key, until, reply)).await
    }

    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        self.read(move |db| {
            let transaction = db.begin_read()?;
            let (lists, sessions) = (transaction.open_multimap_table(LISTS)?, transaction.open_table(SESSIONS)?);
            let mut found = Vec::new();
            for key in lists.get(&index_key.0)? {
                let key = SessionKey(*key?.value());
                found.extend(sessions.get(&key.0)?.and_then(|value| Some((key, decode(value.value())?))));
            }
            Ok(found)
        })
        .await
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        let page = async |after: Option<[u8; 32]>| {
            let keys: Vec<_> = self.read(move |db| keys_after(db, after)).await?;
            let last = keys.last().map(|key: &SessionKey| Some(key.0));
            Ok(last.map(|last| (keys, last)))
        };
        stream::try_unfold(None, page).boxed()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        self.write(|reply| Write::Lease(key, ttl, reply)).await
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        Ok(self.file.leases.extend(key, fencing_token, ttl))
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.write(|reply| Write::Release(key, fencing_token, after, reply)).await
    }

    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        self.write(|reply| Write::Revoke(revocation_key, until, reply)).await
    }

    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        self.read(move |db| {
            Ok(db
                .begin_read()?
                .open_table(REVOCATIONS)?
                .get(&revocation_key.0)?
                .map(|until| Timestamp::from_secs(until.value())))
        })
        .await
    }

    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error> {
        // Found by a reader, which holds up nobody; judged again by the writer.
        let over = self
            .read(move |db| {
                let mut over = Vec::new();
                for entry in db.begin_read()?.open_table(SESSIONS)?.iter()? {
                    let (key, value) = entry?;
                    if is_over(value.value(), now, idle) {
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
        self.write(|reply| Write::Forget(now, reply)).await?;
        self.file.leases.sweep();
        Ok(swept)
    }

    async fn count(&self) -> Result<Option<u64>, Error> {
        // Other records have no tokens.
        self.read(|db| Ok(Some(db.begin_read()?.open_table(TOKENS)?.len()?))).await
    }

    async fn ping(&self) -> Result<(), Error> {
        // An empty write goes the whole way to the disk.
        self.write(|reply| Write::Touch(vec![], reply)).await?;
        let ring = self.ring.clone();
        self.read(move |db| renew_owner(db, &ring)).await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        Ok(self.limiters.acquire(limit, wanted, ahead))
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.limiters.back_off(limit, pause);
        Ok(())
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        exclusive(listener).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::session::SessionId;

    #[test]
    fn writes_that_wait_share_one_transaction() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.redb");
        create(&path, &KeyRing::new([b"a key of this test, 32 bytes long".as_slice()])).unwrap();
        let db = Some(Arc::new(Database::open(&path).unwrap()));
        let file = DatabaseFile { path, leases: InProcessLeases::default(), db: RwLock::new(db) };
        let (writer, requests) = mpsc::channel();
        let mut answers = Vec::new();
        for _ in 0..300 {
            let (reply, answer) = oneshot::channel();
            let record = SealedSession { version: 1, ends: at(1), last_used: at(1), ..SealedSession::default() };
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
        let ring = Arc::new(KeyRing::new([b"a key of this test, 32 bytes long".as_slice()]));
        let store = Redb::open(&folder.path().join("s.redb"), &ring).unwrap();
        let key = SessionId::random().key();
        let record = SealedSession { version: 1, ends: at(1), last_used: at(1), ..SealedSession::default() };
        assert!(store.create(key, record.clone()).await.unwrap());
        store.file.set(None); // as the writer does
        assert!(store.load(key).await.is_err(), "nothing is known until then");
        store.ping().await.unwrap();
        assert_eq!(store.load(key).await.unwrap(), Some(record));
    }
}
