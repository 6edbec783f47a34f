//! Sessions as the flows see them: sealed on the way in, opened on the way out, the opened ones kept
//! at hand so that a session seen before costs one hash and one look-up.

use super::journal::WriteJournal;
use super::opened_session::{OpenedSession, RemovedSession};
use super::sealing::SessionSealer;
use super::session_cache::SessionCache;
use super::token_change::TokenChange;
use super::tombstones::TombstoneKey;
use super::{
    Error, FencingToken, LeaseOutcome, LeaseRelease, Lookup, SealedSession, SessionStore, UpdateOutcome, touch_step,
};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::seal::KeyRing;
use crate::domain::session::{Session, SessionId};
use crate::domain::store_key::SessionKey;
use crate::domain::token::{TokenIds, TokenSet};
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the tombstone of a session is kept whose end is not known: as long as browsers keep cookies.
const UNKNOWN_END: Duration = Duration::from_secs(400 * 86_400);
/// The store enforces its own timeout; a caller gives up this much later, including time spent queueing.
const TIMEOUT_SLACK: Duration = Duration::from_millis(50);

/// How an update of a session ended.
#[derive(Debug)]
pub enum SessionUpdate {
    /// Written.
    Done(Arc<OpenedSession>),
    /// Another writer was first.
    Stale,
    /// The session was ended meanwhile.
    Gone,
}

/// What is kept in memory, and for how long it is believed.
#[derive(Debug, Clone, Copy)]
pub struct CachePolicy {
    /// The time without use after which a session ends.
    pub idle: Option<Duration>,
    /// How long memory is believed after the store was last heard.
    pub max_stale: Duration,
    /// How many bytes of sessions are remembered.
    pub memory: u64,
    /// How long reading takes at most.
    pub read_timeout: Duration,
    /// Whether tokens are kept with their sessions, because requests need them.
    pub keep_tokens: bool,
    /// How long the device of a session is kept; none for as long as the session.
    pub keep_device: Option<Duration>,
}

/// The live sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) sealer: SessionSealer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    read_timeout: Duration,
    /// The time without use after which a session ends.
    pub(super) idle: Option<Duration>,
    pub(super) keep_tokens: bool,
    pub(super) cache: SessionCache,
    pub(super) journal: WriteJournal,
    touched: Mutex<BTreeMap<SessionKey, Timestamp>>,
    /// The leases that this process holds, to be extended after the store has lost data.
    held_leases: Mutex<BTreeMap<SessionKey, (FencingToken, Duration)>>,
}

impl Sessions {
    /// Sessions in `store`.
    pub fn new(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        policy: CachePolicy,
    ) -> Self {
        let CachePolicy { idle, max_stale, memory, read_timeout, keep_tokens, keep_device } = policy;
        let cache = SessionCache::new(metrics.clone(), max_stale, memory);
        let (sealer, journal, read_timeout) =
            (SessionSealer { ring, keep_device }, WriteJournal::default(), read_timeout + TIMEOUT_SLACK);
        let (touched, held_leases) = (Mutex::default(), Mutex::default());
        Self { store, sealer, clock, metrics, read_timeout, idle, keep_tokens, cache, journal, touched, held_leases }
    }

    /// Stores a new session under a new id.
    ///
    /// # Errors
    /// [`Error`]: the session does not exist then.
    pub async fn create(&self, mut session: Session, tokens: TokenSet) -> Result<Arc<OpenedSession>, Error> {
        self.read_epoch().await?;
        session.started = session.started.max(self.cache.epoch.first_start());
        let (id, now) = (SessionId::random(), self.clock.now());
        let sealed_tokens = self.sealer.seal_tokens(&id, &tokens, session.refresh_version);
        let record = SealedSession { tokens: sealed_tokens, ..self.sealer.seal(&id, &session, now) };
        match self.count_errors(self.store.create(id.key(), record.clone()).await)? {
            true => {
                self.journal_write(id.key(), record);
                Ok(OpenedSession::new(id, session, self.keep_tokens.then_some(tokens), now))
            }
            // 128 random bits do not repeat.
            false => Err(Error::IdTaken),
        }
    }

    /// The session behind an id, if it is alive.
    ///
    /// # Errors
    /// [`Error`]: whether it is alive is not known.
    pub async fn load(&self, id: SessionId) -> Result<Option<Arc<OpenedSession>>, Error> {
        let (key, mut now) = (id.key(), self.clock.now());
        let opened = match self.cache.get(&key) {
            Some(opened) if !self.is_over(&opened, now) => opened,
            remembered => {
                // Use by other processes is not reported, so an idle session may still be alive in the store.
                if remembered.is_some() {
                    self.cache.invalidate(key);
                }
                // Boxed to keep the future of the cache hit small, and itself from being moved through several others.
                let read = Box::pin(self.read(id, key));
                let reading = Box::pin(self.with_read_timeout(self.cache.get_or_read(key, read)));
                let Some(opened) = reading.await? else { return Ok(None) };
                now = self.clock.now();
                if self.is_over(&opened, now) {
                    self.cache.invalidate(key);
                    return Ok(None);
                }
                opened
            }
        };
        let last_used = opened.last_used();
        if now >= last_used + touch_step(self.idle) {
            self.touch(&opened, key, last_used, now);
        }
        Ok(Some(opened))
    }

    /// The session as the store has it now, past anything remembered.
    ///
    /// # Errors
    /// As [`Sessions::load`].
    pub async fn reload(&self, id: SessionId) -> Result<Option<Arc<OpenedSession>>, Error> {
        let opened = self.read(id, id.key()).await?;
        Ok(opened.filter(|opened| self.clock.now() < opened.ends && self.counts(opened)))
    }

    /// Takes the lease of a session: whoever has it may renew its tokens.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lease(&self, id: SessionId, ttl: Duration) -> Result<LeaseOutcome, Error> {
        match self.count_errors(self.store.lease(id.key(), ttl).await)? {
            LeaseOutcome::Taken { fencing_token, abandoned } => {
                self.held_leases().insert(id.key(), (fencing_token, ttl));
                Ok(LeaseOutcome::Taken { fencing_token, abandoned })
            }
            LeaseOutcome::Gone if self.may_have_lost(id.key()) => Err(Error::Recovering),
            leased => Ok(leased),
        }
    }

    /// Keeps a lease. `false` if it is another's by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, id: SessionId, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.count_errors(self.store.extend(id.key(), fencing_token, ttl).await)
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`Error`]; it runs out by itself then.
    pub async fn release(&self, id: SessionId, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.held_leases().remove(&id.key());
        self.count_errors(self.store.release(id.key(), fencing_token, after).await)
    }

    /// Replaces a session that is still at `expected`, if no later holder has its lease. Never brings back
    /// one that was ended.
    ///
    /// # Errors
    /// [`Error`]: whether it was written is not known.
    pub async fn update(
        &self,
        id: SessionId,
        expected: u64,
        session: &Session,
        change: TokenChange<'_>,
        fencing_token: Option<FencingToken>,
    ) -> Result<SessionUpdate, Error> {
        let (key, now) = (id.key(), self.clock.now());
        let mut session = session.clone();
        if change.brings_refresh_token() {
            session.refresh_version = session.version;
        }
        let mut record = self.sealer.seal(&id, &session, now);
        if let TokenChange::Replaced { new, .. } = change {
            record.tokens = self.sealer.seal_tokens(&id, new, session.refresh_version);
        }
        let tokens = change.parts(&record.tokens, self.sealer.ring.has_older_keys());
        let changed = SealedSession { tokens, ..record.clone() };
        let mut outcome = self.count_errors(self.store.update(key, expected, changed, fencing_token).await);
        if let Ok(UpdateOutcome::Incomplete) = outcome {
            outcome = self.count_errors(self.store.update(key, expected, record.clone(), fencing_token).await);
        }
        self.cache.invalidate(key);
        if outcome.is_err() {
            // It may be written, and lost again before anybody reads it.
            self.journal_write(key, record.clone());
        }
        let outcome = match outcome? {
            UpdateOutcome::Done => UpdateOutcome::Done,
            other => self.update_after_loss(key, expected, &record, other).await?,
        };
        self.held_leases().remove(&key);
        Ok(match outcome {
            UpdateOutcome::Done => {
                self.journal_write(key, record);
                let tokens = match change {
                    TokenChange::Replaced { new, .. } if self.keep_tokens => Some(new.clone()),
                    _ => None,
                };
                SessionUpdate::Done(OpenedSession::new(id, session, tokens, now))
            }
            UpdateOutcome::Stale | UpdateOutcome::Incomplete => SessionUpdate::Stale,
            UpdateOutcome::Gone => SessionUpdate::Gone,
        })
    }

    /// Ends a session and returns it. `None` if there was none. Its tokens are refused from here on.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end(&self, id: SessionId) -> Result<Option<RemovedSession>, Error> {
        let (key, started) = (id.key(), Instant::now());
        // Looked up first, so that strangers' ids cause no write.
        let mut tokens = None;
        let session = match self.count_errors(self.store.lookup(key).await)? {
            Lookup::Found(record) => {
                let session = self.sealer.session(&id, &record);
                if let Some(session) = &session {
                    tokens = self.read_tokens(&id, session.refresh_version).await?;
                }
                session
            }
            Lookup::Ended(until) => {
                self.record_tombstone(TombstoneKey::Session(key), until);
                return Ok(None);
            }
            // The store may have lost it a moment ago, and somebody may write it back.
            Lookup::Absent => match self.cached_or_superseded(&key) {
                Some(opened) => {
                    tokens = self.tokens_at_hand(&opened);
                    Some(opened.session())
                }
                None if !self.cache.synced_since(started).await || self.cache.may_lack_sessions() => None,
                None => return Ok(None),
            },
        };
        let token_ids = session.as_ref().map(|session| &session.tokens.ids);
        let ends = session.as_ref().map_or_else(|| self.clock.now() + UNKNOWN_END, |session| session.ends);
        let record = self.remove(key, ends, token_ids).await?;
        let sealed = record.as_ref().map(|record| record.tokens.clone()).unwrap_or_default();
        let ended = record.and_then(|record| self.sealer.session(&id, &record));
        if let Some(ended) = &ended {
            tokens = self.sealer.tokens(&id, &sealed, ended.refresh_version).or(tokens);
        }
        // A renewal may have come between.
        if let Some(newer) = ended.as_ref().map(|ended| &ended.tokens.ids).filter(|newer| Some(*newer) != token_ids) {
            self.revoke(newer).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(ended.or(session).map(|session| RemovedSession { session, tokens }))
    }

    /// Ends a session that is still as in `opened`, if no later holder has its lease. `false` if it is not.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end_unchanged(&self, opened: &OpenedSession, fencing_token: FencingToken) -> Result<bool, Error> {
        let (session, expected) = (opened.session(), opened.version);
        // From this write on the session is over for every process; the tombstone is kept until its original end.
        let over = Session { ends: self.clock.now(), version: expected + 1, ..session.clone() };
        let over = self.update(opened.id, expected, &over, TokenChange::Kept, Some(fencing_token)).await?;
        if let SessionUpdate::Stale = over {
            return Ok(false);
        }
        let (key, token_ids) = (opened.id.key(), &session.tokens.ids);
        self.record_tombstone(TombstoneKey::Session(key), session.ends);
        token_ids.iter().for_each(|id| self.record_tombstone(TombstoneKey::Token(id.key), id.refused_until()));
        let removed = self.remove(key, session.ends, Some(token_ids)).await;
        if removed.is_err() {
            // Half ended: the rest is written as if the store had lost it.
            self.cache.tombstones.record_unread(TombstoneKey::Session(key));
            token_ids.iter().for_each(|id| self.cache.tombstones.record_unread(TombstoneKey::Token(id.key)));
        }
        removed.map(|_| true)
    }

    /// The sessions in this process's cache.
    pub fn cached(&self) -> Vec<Arc<OpenedSession>> {
        self.cache.all().into_iter().filter(|opened| self.counts(opened)).collect()
    }

    /// Whether the store may lack what it had a moment ago.
    pub fn is_recovering(&self) -> bool {
        self.cache.is_recovering()
    }

    /// Removes the sessions that are over.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.journal.sweep();
        self.cache.tombstones.sweep(self.clock.now());
        self.flush().await?;
        self.count_errors(self.store.sweep(self.clock.now(), self.idle).await)
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
        let written = self
            .count_errors(self.store.touch(touched.iter().map(|(key, last_used)| (*key, *last_used)).collect()).await);
        if written.is_err() {
            let mut newer = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, last_used) in touched {
                newer.entry(key).or_insert(last_used);
            }
        }
        written
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.count_errors(self.store.ping().await)
    }

    /// Whether the store may lack this session though it has not ended.
    fn may_have_lost(&self, key: SessionKey) -> bool {
        self.cache.may_lack_sessions() && !self.cache.tombstones.contains(TombstoneKey::Session(key))
    }

    /// Removes a record once its tokens are refused. The tombstone is kept until the session's own end.
    pub(super) async fn remove(
        &self,
        key: SessionKey,
        ends: Timestamp,
        token_ids: Option<&TokenIds>,
    ) -> Result<Option<SealedSession>, Error> {
        if let Some(token_ids) = token_ids {
            self.revoke(token_ids).await?;
        }
        let removed = self.count_errors(self.store.delete(key, ends).await);
        self.cache.invalidate(key);
        if removed.is_ok() {
            self.record_tombstone(TombstoneKey::Session(key), ends);
        }
        removed
    }

    /// Notes a use.
    fn touch(&self, opened: &OpenedSession, key: SessionKey, last_used: Timestamp, now: Timestamp) {
        if opened
            .last_used
            .compare_exchange(last_used.as_secs(), now.as_secs(), Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now);
        }
    }

    /// Whether a session is over, as far as is known here.
    pub(super) fn is_over(&self, opened: &OpenedSession, now: Timestamp) -> bool {
        now >= opened.ends || self.idle.is_some_and(|idle| now >= opened.last_used() + idle) || !self.counts(opened)
    }

    /// Whether it was started since all sessions were ended.
    pub(super) fn counts(&self, opened: &OpenedSession) -> bool {
        opened.started >= self.cache.epoch.first_start()
    }

    pub(super) async fn with_read_timeout<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| Err(Error::Unavailable(format!("no answer in {:?}", self.read_timeout)));
        tokio::time::timeout(self.read_timeout, read).await.unwrap_or_else(late)
    }

    pub(super) fn held_leases(&self) -> MutexGuard<'_, BTreeMap<SessionKey, (FencingToken, Duration)>> {
        self.held_leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a write that a shared store may lose.
    pub(super) fn journal_write(&self, key: SessionKey, record: SealedSession) {
        if !self.cache.is_exclusive() {
            self.journal.record(key, record);
        }
    }

    /// Records a tombstone that a shared store may lose.
    pub(super) fn record_tombstone(&self, ended: TombstoneKey, until: Timestamp) {
        if !self.cache.is_exclusive() {
            self.cache.tombstones.record(ended, until);
        }
    }

    pub(super) fn count_errors<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.metrics.store_error();
        }
        result
    }
}
