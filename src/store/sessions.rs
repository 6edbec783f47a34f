//! Sessions as the flows see them: sealed on the way in, opened on the way out, the opened ones kept
//! at hand so that a session seen before costs one hash and one look-up.

use super::{Error, Record, SessionStore, Update};
use crate::domain::clock::Clock;
use crate::domain::principal::Identity;
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::session::{Session, SessionId, SessionKey};
use crate::telemetry::Metrics;
use quick_cache::sync::Cache;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Opened sessions kept at hand.
const SNAPSHOTS: usize = 50_000;
/// The encoding of the sealed part.
const ENCODING: u8 = 1;

/// An opened session.
#[derive(Debug)]
pub struct Live {
    /// Its id.
    pub id: SessionId,
    /// The session.
    pub session: Session,
    /// Who it is, ready to be answered.
    pub identity: Identity,
    seen: AtomicU64,
}

impl Live {
    fn new(id: SessionId, session: Session, seen: u64) -> Arc<Self> {
        let identity = Identity::new(&session.principal, Some(session.ends));
        Arc::new(Self { id, session, identity, seen: AtomicU64::new(seen) })
    }
}

/// How an update of a session ended.
#[derive(Debug)]
pub enum Updated {
    /// Written.
    Done(Arc<Live>),
    /// Another writer was first.
    Stale,
    /// The session was ended meanwhile.
    Gone,
}

/// The live sessions.
#[derive(Debug)]
pub struct Sessions {
    store: Arc<dyn SessionStore>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    /// Seconds without use after which a session ends.
    idle: Option<u64>,
    snapshots: Cache<SessionKey, Arc<Live>>,
    touched: Mutex<HashMap<SessionKey, u64>>,
}

/// Why a snapshot could not be filled.
enum Miss {
    None,
    Failed(Error),
}

impl Sessions {
    /// Sessions in `store`, ending after `idle` seconds without use if given.
    pub fn new(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        idle: Option<u64>,
    ) -> Self {
        let snapshots = Cache::new(SNAPSHOTS);
        Self { store, ring, clock, metrics, idle, snapshots, touched: Mutex::default() }
    }

    /// Stores a new session under a new id.
    ///
    /// # Errors
    /// [`Error`]: the session does not exist then.
    pub async fn create(&self, session: Session) -> Result<Arc<Live>, Error> {
        let id = SessionId::random();
        let record = self.seal(&id, &session);
        match self.counted(self.store.create(id.key(), record).await)? {
            true => Ok(Live::new(id, session, self.clock.now())),
            // 128 random bits do not repeat.
            false => Err(Error("a new session id is taken; is the random generator broken?".into())),
        }
    }

    /// The session behind an id, if it is alive.
    ///
    /// # Errors
    /// [`Error`]: whether it is alive is not known.
    pub async fn load(&self, id: SessionId) -> Result<Option<Arc<Live>>, Error> {
        let key = id.key();
        let live = match self.snapshots.get(&key) {
            Some(live) => live,
            None => match self.snapshots.get_or_insert_async(&key, self.open(id, key)).await {
                Ok(live) => live,
                Err(Miss::None) => return Ok(None),
                Err(Miss::Failed(error)) => return Err(error),
            },
        };
        let now = self.clock.now();
        let seen = live.seen.load(Ordering::Relaxed);
        if now >= live.session.ends || self.idle.is_some_and(|idle| now >= seen.saturating_add(idle)) {
            self.snapshots.remove(&key);
            return Ok(None);
        }
        if let Some(idle) = self.idle {
            self.touch(&live, key, seen, now, idle);
        }
        Ok(Some(live))
    }

    /// The session as the store has it now, past any snapshot.
    ///
    /// # Errors
    /// As [`Sessions::load`].
    pub async fn reload(&self, id: SessionId) -> Result<Option<Arc<Live>>, Error> {
        self.snapshots.remove(&id.key());
        self.load(id).await
    }

    /// Replaces a session that is still at `expected`. Never brings back one that was ended.
    ///
    /// # Errors
    /// [`Error`]: whether it was written is not known.
    pub async fn update(&self, id: SessionId, expected: u64, session: &Session) -> Result<Updated, Error> {
        let key = id.key();
        let outcome = self.counted(self.store.update(key, expected, self.seal(&id, session)).await);
        self.snapshots.remove(&key);
        Ok(match outcome? {
            Update::Done => Updated::Done(Live::new(id, session.clone(), self.clock.now())),
            Update::Stale => Updated::Stale,
            Update::Gone => Updated::Gone,
        })
    }

    /// Ends a session and returns it. `None` if there was none. Must run to its end: a caller that stops
    /// waiting leaves a snapshot of what is gone.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let key = id.key();
        // Looked up first, so that strangers' ids cause no write.
        if self.counted(self.store.load(key).await)?.is_none() {
            return Ok(None);
        }
        let record = self.counted(self.store.delete(key).await);
        self.snapshots.remove(&key);
        Ok(record?.and_then(|record| self.unseal(&id, &record)))
    }

    /// Removes the sessions that are over.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.flush().await?;
        self.counted(self.store.sweep(self.clock.now(), self.idle).await)
    }

    /// Writes down which sessions were used lately.
    ///
    /// # Errors
    /// [`Error`]; they are tried again next time.
    pub async fn flush(&self) -> Result<(), Error> {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        if touched.is_empty() {
            return Ok(());
        }
        let written = self.counted(self.store.touch(touched.iter().map(|(key, seen)| (*key, *seen)).collect()).await);
        if written.is_err() {
            let mut newer = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, seen) in touched {
                newer.entry(key).or_insert(seen);
            }
        }
        written
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.counted(self.store.ping().await)
    }

    /// Notes a use, at most once in a tenth of the idle time or a minute.
    fn touch(&self, live: &Live, key: SessionKey, seen: u64, now: u64, idle: u64) {
        let step = (idle / 10).clamp(1, 60);
        if now >= seen + step && live.seen.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now);
        }
    }

    async fn open(&self, id: SessionId, key: SessionKey) -> Result<Arc<Live>, Miss> {
        let record = self.counted(self.store.load(key).await).map_err(Miss::Failed)?.ok_or(Miss::None)?;
        if record.is_over(self.clock.now(), self.idle) {
            return Err(Miss::None);
        }
        let session = self.unseal(&id, &record).ok_or(Miss::None)?;
        Ok(Live::new(id, session, record.seen))
    }

    fn seal(&self, id: &SessionId, session: &Session) -> Record {
        let mut plain = zeroize::Zeroizing::new(vec![ENCODING]);
        plain = postcard::to_extend(session, std::mem::take(&mut *plain)).expect("a session is plain data").into();
        let bound = bound(session.version, session.ends);
        let sealed = self.ring.seal(purpose(id, &bound), &plain);
        Record { version: session.version, ends: session.ends, seen: self.clock.now(), sealed }
    }

    /// A record that does not open is nobody's session: the caller is not signed in by it.
    fn unseal(&self, id: &SessionId, record: &Record) -> Option<Session> {
        let bound = bound(record.version, record.ends);
        let plain = self.ring.open(purpose(id, &bound), &record.sealed).ok();
        let session = plain.as_deref().and_then(|plain| match plain.split_first() {
            Some((&ENCODING, session)) => postcard::from_bytes(session).ok(),
            _ => None,
        });
        if session.is_none() {
            tracing::error!(
                "a stored session cannot be opened: damaged, or sealed by a key that is no longer in cookies.keys"
            );
        }
        session
    }

    fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.metrics.store_error();
        }
        result
    }
}

fn bound(version: u64, ends: u64) -> [u8; 16] {
    let mut bound = [0; 16];
    bound[..8].copy_from_slice(&version.to_le_bytes());
    bound[8..].copy_from_slice(&ends.to_le_bytes());
    bound
}

fn purpose<'a>(id: &'a SessionId, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: "session", context: id.as_bytes(), bound }
}
