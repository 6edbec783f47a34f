//! The process-local session cache and its freshness bound.
//!
//! A shared store pushes every change to each process. Entries are served only up to `max_stale` after
//! the last moment at which all changes are known to have been received; after that every request reads
//! the store. Entries are inserted through the cache's own placeholder, which an invalidation during the
//! read voids, so a value read before a change is never cached after it.
//!
//! Ended sessions and revoked tokens are kept separately ([`Tombstones`]) and override the store.

use super::OpenedSession;
use super::epoch::Epoch;
use super::read_sessions::ReadSessions;
use super::tombstones::{TombstoneKey, Tombstones};
use super::{CacheUsage, Error, InvalidationListener};
use crate::domain::store_key::{RevocationKey, SessionKey};
use crate::telemetry::Metrics;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a session takes at least, for the size of the table.
const MIN_BYTES: u64 = 1_000;
/// Marks remembered.
const MARKS: usize = 100_000;
/// Sessions remembered of which the store has announced another version.
const SUPERSEDED: usize = 10_000;
/// How long it is remembered that there is no such session.
const ABSENT_TTL: Duration = Duration::from_secs(5);
/// After this process has put back what it knows: how long "there is no such session" is no answer, because another
/// process may be about to put it back.
const RECOVERING_FOR: Duration = Duration::from_secs(1);
/// How long after a loss of data an unknown session is in doubt at least: another process may be slow to reach the store.
const LOSS_DOUBT: Duration = Duration::from_secs(5);
/// How long after the first connection an unknown session is in doubt: the store may have lost its data just before, and
/// other processes may still be writing it back.
const STARTING_FOR: Duration = Duration::from_secs(3);
/// How long an unknown session is in doubt after the store went away.
const AWAY_FOR: Duration = Duration::from_secs(30);
/// How much longer than `max_stale` a proof may take on a busy machine.
const PROOF_LATE: Duration = Duration::from_millis(250);

/// A session as it is remembered.
#[derive(Debug, Clone)]
pub(super) enum CachedSession {
    Present(Arc<OpenedSession>),
    /// There is none, as of then.
    Absent(Instant),
}

#[derive(Debug, Clone)]
pub(super) struct ByteWeighter;

impl Weighter<SessionKey, CachedSession> for ByteWeighter {
    fn weight(&self, _: &SessionKey, entry: &CachedSession) -> u64 {
        match entry {
            CachedSession::Present(opened) => opened.bytes(),
            CachedSession::Absent(_) => 128,
        }
    }
}

/// What has to be put back into a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LostWrites {
    /// It was away, and may have lost its last writes.
    Recent,
    /// It was emptied.
    Everything,
}

/// The moment up to which all changes have been received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Freshness {
    /// The store never told of changes.
    Never,
    /// All of those that were made before then.
    At(Instant),
    /// The store tells of changes no longer.
    Lost,
}

#[derive(Debug)]
pub(super) struct SessionCache {
    sessions: Cache<SessionKey, CachedSession, ByteWeighter>,
    /// What was remembered before the store announced a change, in case that it lost the record.
    superseded: Cache<SessionKey, Arc<OpenedSession>>,
    /// What was remembered when the store lost its data.
    candidates: Mutex<Vec<Arc<OpenedSession>>>,
    revocations: Cache<RevocationKey, bool>,
    /// What was read while nothing here was believed.
    pub(super) reads: ReadSessions,
    /// What is over.
    pub(super) tombstones: Tombstones,
    /// Since when sessions count.
    pub(super) epoch: Epoch,
    metrics: Arc<Metrics>,
    max_stale: Duration,
    started: Instant,
    /// Milliseconds since the start until which memory is believed; `u64::MAX` if nobody else writes.
    fresh_until: AtomicU64,
    freshness: Mutex<Freshness>,
    /// Rung when that changes. Not a `watch`, which wakes those who wait in a random order.
    freshness_changed: Notify,
    /// Milliseconds since the start until which an absent record may have been lost by the store.
    recovering_until: AtomicU64,
    /// The same for sessions alone, which another process may be about to put back: one that was slow to reach the
    /// store, or that found a loss before this one was started.
    absence_distrusted_until: AtomicU64,
    /// Whether it was never heard from.
    never_connected: AtomicBool,
    lost: Mutex<Option<LostWrites>>,
    /// Rung when something was lost.
    pub(super) loss: Notify,
}

impl SessionCache {
    pub(super) fn new(metrics: Arc<Metrics>, max_stale: Duration, memory: u64) -> Self {
        let sessions = usize::try_from(memory / MIN_BYTES).unwrap_or(usize::MAX);
        Self {
            sessions: Cache::with_weighter(sessions, memory, ByteWeighter),
            superseded: Cache::new(SUPERSEDED),
            candidates: Mutex::default(),
            revocations: Cache::new(MARKS),
            reads: ReadSessions::default(),
            tombstones: Tombstones::default(),
            epoch: Epoch::default(),
            metrics,
            max_stale,
            started: Instant::now(),
            fresh_until: AtomicU64::new(0),
            freshness: Mutex::new(Freshness::Never),
            freshness_changed: Notify::new(),
            recovering_until: AtomicU64::new(0),
            absence_distrusted_until: AtomicU64::new(0),
            never_connected: AtomicBool::new(true),
            lost: Mutex::new(None),
            loss: Notify::new(),
        }
    }

    /// The session, if it is remembered and may be believed.
    pub(super) fn get(&self, key: &SessionKey) -> Option<Arc<OpenedSession>> {
        self.peek(key).filter(|_| self.is_fresh())
    }

    /// The session that is not remembered, read by `read`.
    pub(super) async fn get_or_read(
        &self,
        key: SessionKey,
        read: impl Future<Output = Result<Option<Arc<OpenedSession>>, Error>>,
    ) -> Result<Option<Arc<OpenedSession>>, Error> {
        if self.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(None);
        }
        if !self.is_fresh() {
            return read.await;
        }
        match self.sessions.get(&key) {
            Some(CachedSession::Absent(since)) if since.elapsed() < ABSENT_TTL && !self.may_lack_sessions() => {
                return Ok(None);
            }
            Some(CachedSession::Absent(_)) => drop(self.sessions.remove(&key)),
            _ => {}
        }
        let read = async {
            let entry = match read.await? {
                Some(opened) => CachedSession::Present(opened),
                None => CachedSession::Absent(Instant::now()),
            };
            Ok::<_, Error>(entry)
        };
        Ok(match self.sessions.get_or_insert_async(&key, read).await? {
            CachedSession::Present(opened) => Some(opened),
            CachedSession::Absent(_) => None,
        })
    }

    /// Whether a mark is there, if that is remembered and may be believed.
    pub(super) fn get_revocation(&self, revocation_key: &RevocationKey) -> Option<bool> {
        self.revocations.get(revocation_key).filter(|_| self.is_fresh())
    }

    /// Whether a mark is there that is not remembered, read by `read`.
    pub(super) async fn get_revocation_or_read(
        &self,
        revocation_key: RevocationKey,
        read: impl Future<Output = Result<bool, Error>>,
    ) -> Result<bool, Error> {
        let read = async {
            match read.await? {
                false if self.is_recovering() => Err(Error::Recovering),
                there => Ok(there),
            }
        };
        match self.is_fresh() {
            true => self.revocations.get_or_insert_async(&revocation_key, read).await,
            false => read.await,
        }
    }

    pub(super) fn invalidate(&self, key: SessionKey) {
        self.sessions.remove(&key);
    }

    /// The session as it was remembered before the store announced a change.
    pub(super) fn superseded(&self, key: &SessionKey) -> Option<Arc<OpenedSession>> {
        self.superseded.get(key)
    }

    /// Reads the session from the store next time, and keeps what is remembered in case that the store loses it.
    pub(super) fn supersede(&self, key: SessionKey) {
        if let Some((_, CachedSession::Present(opened))) = self.sessions.remove(&key) {
            self.superseded.insert(key, opened);
        }
    }

    pub(super) fn drop_superseded(&self, key: &SessionKey) {
        self.superseded.remove(key);
    }

    /// The sessions that were remembered when the store lost its data, or are now, once.
    pub(super) fn take_candidates(&self) -> Vec<Arc<OpenedSession>> {
        let mut candidates = std::mem::take(&mut *self.candidates.lock().unwrap_or_else(PoisonError::into_inner));
        candidates.extend(self.all());
        candidates
    }

    pub(super) fn invalidate_revocation(&self, revocation_key: RevocationKey) {
        self.revocations.remove(&revocation_key);
    }

    /// The session if it is remembered, whether that may be believed or not.
    pub(super) fn peek(&self, key: &SessionKey) -> Option<Arc<OpenedSession>> {
        match self.sessions.get(key) {
            Some(CachedSession::Present(opened)) => Some(opened),
            _ => None,
        }
    }

    /// How much is remembered.
    pub(super) fn usage(&self) -> CacheUsage {
        let sessions = &self.sessions;
        CacheUsage { entries: sessions.len() as u64, bytes: sessions.weight(), limit: sessions.capacity() }
    }

    /// Every session that is remembered, in the order of their keys.
    pub(super) fn all(&self) -> Vec<Arc<OpenedSession>> {
        let entries = self.sessions.iter().filter_map(|(key, entry)| match entry {
            CachedSession::Present(entries) => Some((key, entries)),
            CachedSession::Absent(_) => None,
        });
        let mut entries: Vec<_> = entries.collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        entries.into_iter().map(|(_, entries)| entries).collect()
    }

    /// Whether the store may lack what it had.
    pub(super) fn is_recovering(&self) -> bool {
        self.now() < self.recovering_until.load(Ordering::Relaxed)
    }

    /// Whether the absence of a session proves nothing: the store lacks data, another process has reported a loss, or
    /// this process has just started.
    pub(super) fn may_lack_sessions(&self) -> bool {
        self.is_recovering() || self.now() < self.absence_distrusted_until.load(Ordering::Relaxed)
    }

    /// Whether nobody else writes to the store.
    pub(super) fn is_exclusive(&self) -> bool {
        self.fresh_until.load(Ordering::Relaxed) == u64::MAX
    }

    /// The store no longer tells what changes. What is remembered is believed as long as it was going to be.
    pub(super) fn disconnected(&self) {
        // Once per lost stream: without a stream every request reads the store, which is authoritative.
        if let Freshness::At(_) = self.freshness() {
            self.recover_for(AWAY_FOR);
            self.set_freshness(Freshness::Lost);
        }
    }

    fn freshness(&self) -> Freshness {
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_freshness(&self, freshness: Freshness) {
        *self.freshness.lock().unwrap_or_else(PoisonError::into_inner) = freshness;
        self.freshness_changed.notify_waiters();
    }

    /// The store does not answer, or was not contacted yet: its contents are unknown.
    pub(super) fn store_unavailable(&self) {
        if !self.is_exclusive() {
            self.distrust_absence(AWAY_FOR);
        }
    }

    /// Waits until every change made before `moment` was heard. `false` if that cannot be said, and the store may
    /// lack what it had.
    pub(super) async fn synced_since(&self, moment: Instant) -> bool {
        if self.is_exclusive() {
            return true;
        }
        let heard = async {
            loop {
                let changed = self.freshness_changed.notified();
                if !matches!(self.freshness(), Freshness::At(at) if at < moment) {
                    return;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(self.max_stale + PROOF_LATE, heard).await {
            Ok(()) => !self.is_recovering(),
            Err(_) => false,
        }
    }

    /// What was lost since it was asked last.
    pub(super) fn take_lost_writes(&self) -> Option<LostWrites> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Not all that this process knows is back in the store.
    pub(super) fn extend_recovery(&self) {
        self.recover_for(AWAY_FOR);
    }

    /// All that this process knows is back in the store; others may need a moment more.
    pub(super) fn finish_recovery(&self) {
        // What was lost meanwhile has a recovery of its own.
        let again =
            self.freshness() == Freshness::Lost || self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if again || !self.is_recovering() {
            return;
        }
        self.recover_for(RECOVERING_FOR);
    }

    fn record_loss(&self, what: LostWrites) {
        if what == LostWrites::Everything {
            self.distrust_absence(LOSS_DOUBT);
        }
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost != Some(LostWrites::Everything) {
            *lost = Some(what);
        }
        drop(lost);
        self.loss.notify_one();
    }

    fn recover_for(&self, how_long: Duration) {
        self.recovering_until.store(self.now() + millis(how_long), Ordering::Relaxed);
    }

    fn distrust_absence(&self, how_long: Duration) {
        self.absence_distrusted_until.fetch_max(self.now() + millis(how_long), Ordering::Relaxed);
    }

    /// Whether memory is believed.
    pub(super) fn is_fresh(&self) -> bool {
        let until = self.fresh_until.load(Ordering::Relaxed);
        until == u64::MAX || self.now() < until
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl InvalidationListener for SessionCache {
    fn started(&self, lost: bool) {
        if self.never_connected.swap(false, Ordering::Relaxed) {
            self.absence_distrusted_until.store(self.now() + millis(STARTING_FOR), Ordering::Relaxed);
        }
        let again = !self.sessions.is_empty() || self.recovering_until.load(Ordering::Relaxed) > 0;
        if lost {
            // What is remembered may be old, and may be all there is.
            self.candidates.lock().unwrap_or_else(PoisonError::into_inner).extend(self.all());
        }
        // The store may have lost these records, and their writers may have crashed: keep our copies.
        self.all().into_iter().for_each(|opened| self.superseded.insert(opened.id.key(), opened));
        self.sessions.clear();
        self.revocations.clear();
        self.reads.clear();
        self.epoch.void();
        if lost || again {
            self.recover_for(AWAY_FOR);
        }
        // Also at the first connection: what this process wrote before it may be lost.
        self.record_loss(if lost { LostWrites::Everything } else { LostWrites::Recent });
    }

    fn session_changed(&self, key: SessionKey) {
        self.supersede(key);
    }

    fn session_ended(&self, key: SessionKey) {
        self.tombstones.record_unread(TombstoneKey::Session(key));
        self.superseded.remove(&key);
        self.invalidate(key);
    }

    fn token_revoked(&self, revocation_key: RevocationKey) {
        let ended = TombstoneKey::Token(revocation_key);
        if revocation_key == RevocationKey::lost_writes() {
            // Written by a process that found a loss, expired, or evicted. Not valid without an expiry: as long as it is,
            // a refused refresh token ends no session.
            self.distrust_absence(LOSS_DOUBT);
            return self.tombstones.record_reported(ended);
        }
        if revocation_key == RevocationKey::all_sessions() {
            self.epoch.void();
        }
        self.tombstones.record_unread(ended);
        self.invalidate_revocation(revocation_key);
    }

    fn store_emptied(&self) {
        // What is remembered is as true as it was, and now the only place where it is.
        self.revocations.clear();
        self.recover_for(AWAY_FOR);
        self.record_loss(LostWrites::Everything);
    }

    fn synced(&self, at: Instant) {
        let until = at.saturating_duration_since(self.started) + self.max_stale;
        self.fresh_until.store(millis(until), Ordering::Relaxed);
        self.set_freshness(Freshness::At(at));
    }

    fn exclusive(&self) {
        self.absence_distrusted_until.store(0, Ordering::Relaxed);
        self.fresh_until.store(u64::MAX, Ordering::Relaxed);
    }

    fn invalidation_lag(&self, took: Duration) {
        self.metrics.revocation_lag(took);
    }
}
