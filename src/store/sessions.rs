//! Sessions as the flows see them: sealed on the way in, opened on the way out, the opened ones kept
//! at hand so that a session seen before costs one hash and one look-up.

use super::journal::WriteJournal;
use super::opened_session::{ListedSession, OpenedSession};
use super::sealing::SessionSealer;
use super::session_cache::{SessionCache, in_doubt};
use super::tombstones::TombstoneKey;
use super::{Error, FencingToken, LeaseOutcome, LeaseRelease, Lookup, SessionStore, UpdateOutcome, touch_step};
use crate::domain::clock::Clock;
use crate::domain::seal::KeyRing;
use crate::domain::session::{Mark, Session, SessionId, SessionKey, SessionSummary};
use crate::domain::token::TokenIds;
use crate::telemetry::Metrics;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long the tombstone of a session is kept whose end is not known, seconds: as long as browsers keep cookies.
const UNKNOWN_END: u64 = 400 * 86_400;
/// A store keeps to its time itself; so much later nobody waits any longer, for it or behind others who do.
const LATE: Duration = Duration::from_millis(50);

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

/// The live sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) sealing: SessionSealer,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    patience: Duration,
    /// Seconds without use after which a session ends.
    pub(super) idle: Option<u64>,
    pub(super) snapshots: SessionCache,
    pub(super) journal: WriteJournal,
    touched: Mutex<BTreeMap<SessionKey, u64>>,
    /// The leases that this process holds: a store that lost them is told again.
    held: Mutex<BTreeMap<SessionKey, (FencingToken, Duration)>>,
}

impl Sessions {
    /// Sessions in `store`, ending after `idle` seconds without use if given; memory is believed for
    /// `max_stale` after the store was last heard; reading takes `patience` at most.
    pub fn new(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        idle: Option<u64>,
        max_stale: Duration,
        patience: Duration,
    ) -> Self {
        let snapshots = SessionCache::new(metrics.clone(), max_stale);
        let (sealing, journal, patience) = (SessionSealer(ring), WriteJournal::default(), patience + LATE);
        let (touched, held) = (Mutex::default(), Mutex::default());
        Self { store, sealing, clock, metrics, patience, idle, snapshots, journal, touched, held }
    }

    /// Stores a new session under a new id.
    ///
    /// # Errors
    /// [`Error`]: the session does not exist then.
    pub async fn create(&self, session: Session) -> Result<Arc<OpenedSession>, Error> {
        let (id, now) = (SessionId::random(), self.clock.now());
        let record = self.sealing.seal(&id, &session, now);
        match self.counted(self.store.create(id.key(), record.clone()).await)? {
            true => {
                self.note(id.key(), record);
                Ok(OpenedSession::new(id, session, now))
            }
            // 128 random bits do not repeat.
            false => Err(Error("a new session id is taken; is the random generator broken?".into())),
        }
    }

    /// The session behind an id, if it is alive.
    ///
    /// # Errors
    /// [`Error`]: whether it is alive is not known.
    pub async fn load(&self, id: SessionId) -> Result<Option<Arc<OpenedSession>>, Error> {
        let key = id.key();
        let remembered = self.snapshots.remembered(&key).filter(|live| {
            // Uses at other processes are not told.
            let idles = self.is_over(live);
            if idles {
                self.snapshots.forget(key);
            }
            !idles
        });
        let live = match remembered {
            Some(live) => live,
            // Boxed, so that the way that is nearly always taken carries nothing of it along.
            None => match Box::pin(self.in_time(self.snapshots.session(key, self.read(id, key)))).await? {
                Some(live) => live,
                None => return Ok(None),
            },
        };
        if self.is_over(&live) {
            self.snapshots.forget(key);
            return Ok(None);
        }
        let (now, seen) = (self.clock.now(), live.seen());
        if now >= seen.saturating_add(touch_step(self.idle)) {
            self.touch(&live, key, seen, now);
        }
        Ok(Some(live))
    }

    /// The session as the store has it now, past anything remembered.
    ///
    /// # Errors
    /// As [`Sessions::load`].
    pub async fn reload(&self, id: SessionId) -> Result<Option<Arc<OpenedSession>>, Error> {
        let live = self.read(id, id.key()).await?;
        Ok(live.filter(|live| self.clock.now() < live.session.ends))
    }

    /// Takes the lease of a session: whoever has it may renew its tokens.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lease(&self, id: SessionId, ttl: Duration) -> Result<LeaseOutcome, Error> {
        match self.counted(self.store.lease(id.key(), ttl).await)? {
            LeaseOutcome::Taken { fence, abandoned } => {
                self.held().insert(id.key(), (fence, ttl));
                Ok(LeaseOutcome::Taken { fence, abandoned })
            }
            LeaseOutcome::Gone if self.may_have_lost(id.key()) => Err(in_doubt()),
            leased => Ok(leased),
        }
    }

    /// Keeps a lease. `false` if it is another's by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, id: SessionId, fence: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.counted(self.store.extend(id.key(), fence, ttl).await)
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`Error`]; it runs out by itself then.
    pub async fn release(&self, id: SessionId, fence: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.held().remove(&id.key());
        self.counted(self.store.release(id.key(), fence, after).await)
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
        fence: Option<FencingToken>,
    ) -> Result<SessionUpdate, Error> {
        let (key, now) = (id.key(), self.clock.now());
        let record = self.sealing.seal(&id, session, now);
        let outcome = self.counted(self.store.update(key, expected, record.clone(), fence).await);
        self.snapshots.forget(key);
        let outcome = match outcome? {
            UpdateOutcome::Done => UpdateOutcome::Done,
            other => self.update_after_loss(key, expected, &record, other).await?,
        };
        self.held().remove(&key);
        Ok(match outcome {
            UpdateOutcome::Done => {
                self.note(key, record);
                SessionUpdate::Done(OpenedSession::new(id, session.clone(), now))
            }
            UpdateOutcome::Stale => SessionUpdate::Stale,
            UpdateOutcome::Gone => SessionUpdate::Gone,
        })
    }

    /// Ends a session and returns it. `None` if there was none. Its tokens are refused from here on.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let (key, asked) = (id.key(), Instant::now());
        // Looked up first, so that strangers' ids cause no write.
        let known = match self.counted(self.store.lookup(key).await)? {
            Lookup::Found(record) => self.sealing.session(&id, &record),
            Lookup::Ended(until) => {
                self.note_ending(TombstoneKey::Session(key), until);
                return Ok(None);
            }
            // The store may have lost it a moment ago, and somebody may write it back.
            Lookup::Absent => match self.at_hand_or_superseded(&key) {
                Some(live) => Some(live.session.clone()),
                None if !self.snapshots.has_heard_all_before(asked).await || self.snapshots.may_lack_sessions() => None,
                None => return Ok(None),
            },
        };
        let names = known.as_ref().map(|known| &known.tokens.names);
        let ends = known.as_ref().map_or_else(|| self.clock.now() + UNKNOWN_END, |known| known.ends);
        let record = self.remove(key, ends, names).await?;
        let ended = record.and_then(|record| self.sealing.session(&id, &record));
        // A renewal may have come between.
        if let Some(newer) = ended.as_ref().map(|ended| &ended.tokens.names).filter(|newer| Some(*newer) != names) {
            self.refuse(newer).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(ended.or(known))
    }

    /// Ends a session that is still as in `live`, if no later holder has its lease. `false` if it is not.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end_unchanged(&self, live: &OpenedSession, fence: FencingToken) -> Result<bool, Error> {
        let (session, expected) = (&live.session, live.session.version);
        // From this write on the session is over for every process; the tombstone is kept until its original end.
        let over = Session { ends: self.clock.now(), version: expected + 1, ..session.clone() };
        if let SessionUpdate::Stale = self.update(live.id, expected, &over, Some(fence)).await? {
            return Ok(false);
        }
        let (key, names) = (live.id.key(), &session.tokens.names);
        self.note_ending(TombstoneKey::Session(key), session.ends);
        names.iter().for_each(|name| self.note_ending(TombstoneKey::Mark(name.mark), name.refused_until()));
        let removed = self.remove(key, session.ends, Some(names)).await;
        if removed.is_err() {
            // Half ended: the rest is written as if the store had lost it.
            self.snapshots.endings.hear(TombstoneKey::Session(key));
            names.iter().for_each(|name| self.snapshots.endings.hear(TombstoneKey::Mark(name.mark)));
        }
        removed.map(|_| true)
    }

    /// The live sessions listed under `mark`, the newest first.
    ///
    /// # Errors
    /// [`Error`]: there may be others.
    pub async fn listed(&self, mark: Mark) -> Result<Vec<ListedSession>, Error> {
        let now = self.clock.now();
        let records = self.counted(self.store.listed(mark).await)?;
        if self.snapshots.is_recovering() {
            return Err(in_doubt());
        }
        let alive = records.into_iter().filter(|(_, record)| !record.is_over(now, self.idle));
        let listed = alive.filter_map(|(key, record)| {
            Some(ListedSession { key, card: self.sealing.card(key, &record)?, seen: record.seen, ends: record.ends })
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.card.started));
        Ok(listed)
    }

    /// Ends a session of a list and returns its last card.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end_listed(&self, listed: &ListedSession) -> Result<SessionSummary, Error> {
        let record = self.remove(listed.key, listed.ends, Some(&listed.card.names)).await?;
        let card = record.and_then(|record| self.sealing.card(listed.key, &record));
        if let Some(card) = card.as_ref().filter(|card| card.names != listed.card.names) {
            self.refuse(&card.names).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(card.unwrap_or_else(|| listed.card.clone()))
    }

    /// The sessions that this process has at hand.
    pub fn at_hand(&self) -> Vec<Arc<OpenedSession>> {
        self.snapshots.all()
    }

    /// Whether the store may lack what it had a moment ago.
    pub fn is_recovering(&self) -> bool {
        self.snapshots.is_recovering()
    }

    /// Removes the sessions that are over.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.journal.sweep();
        self.snapshots.endings.sweep(self.clock.now());
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

    /// Whether the store may lack this session though it has not ended.
    fn may_have_lost(&self, key: SessionKey) -> bool {
        self.snapshots.may_lack_sessions() && !self.snapshots.endings.contains(TombstoneKey::Session(key))
    }

    /// Removes a record once its tokens are refused. The tombstone is kept until the session's own end.
    async fn remove(
        &self,
        key: SessionKey,
        ends: u64,
        names: Option<&TokenIds>,
    ) -> Result<Option<super::SealedSession>, Error> {
        if let Some(names) = names {
            self.refuse(names).await?;
        }
        let removed = self.counted(self.store.delete(key, ends).await);
        self.snapshots.forget(key);
        if removed.is_ok() {
            self.note_ending(TombstoneKey::Session(key), ends);
        }
        removed
    }

    /// Notes a use.
    fn touch(&self, live: &OpenedSession, key: SessionKey, seen: u64, now: u64) {
        if live.seen.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now);
        }
    }

    /// Whether a session is over, as far as is known here.
    pub(super) fn is_over(&self, live: &OpenedSession) -> bool {
        let now = self.clock.now();
        now >= live.session.ends || self.idle.is_some_and(|idle| now >= live.seen().saturating_add(idle))
    }

    pub(super) async fn in_time<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| Err(Error(format!("no answer in {:?}", self.patience)));
        tokio::time::timeout(self.patience, read).await.unwrap_or_else(late)
    }

    pub(super) fn held(&self) -> MutexGuard<'_, BTreeMap<SessionKey, (FencingToken, Duration)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a write that a shared store may lose.
    pub(super) fn note(&self, key: SessionKey, record: super::SealedSession) {
        if !self.snapshots.is_alone() {
            self.journal.note(key, record);
        }
    }

    /// Keeps an ending that a shared store may lose.
    pub(super) fn note_ending(&self, ended: TombstoneKey, until: u64) {
        if !self.snapshots.is_alone() {
            self.snapshots.endings.note(ended, until);
        }
    }

    pub(super) fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.metrics.store_error();
        }
        result
    }
}
