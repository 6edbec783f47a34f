//! Following changes by other processes, and writing back what the store has lost.
//!
//! 1. A loss is recorded as a mark, so that processes that start later know of it. The others keep it as a tombstone.
//! 2. Tombstones come first: every process that wrote or received one writes it again.
//! 3. After a moment in which all others do the same, sessions follow: what this process wrote lately and,
//!    where more than the last moments was lost, all that it has at hand. The newest version of a session
//!    wins, and none is written over a tombstone.
//! 4. Until shortly afterwards, the absence of a session is not conclusive.

use super::journal::REPLICATION_WINDOW;
use super::session_cache::LostWrites;
use super::tombstones::{Reconciliation, TombstoneKey};
use super::{Error, Lookup, RestoreOutcome, SealedSession, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionSummary;
use crate::domain::store_key::{RevocationKey, SessionKey};
use futures_util::future::join_all;
use std::time::Duration;
use tokio::time::Instant;

/// Pauses between attempts to hear from the store again.
const RECONNECT: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];
/// Between attempts to write something back.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// How long sessions are kept for that; endings as long as it takes.
const MAX_RESTORE_TIME: Duration = Duration::from_secs(600);
/// How long sessions wait for the endings of other processes.
const TOMBSTONE_HEAD_START: Duration = Duration::from_millis(250);
/// For how long after a loss a refused refresh token may be an already spent one that the loss brought back.
const LOST_WRITES_TTL: Duration = Duration::from_secs(600);
/// Calls under way at once.
const MAX_CONCURRENT: usize = 64;

/// Keeps the items whose result is an error, and returns the last of these.
fn keep_failed<T, R>(items: &mut Vec<T>, results: Vec<Result<R, Error>>) -> Result<(), Error> {
    let (mut results, mut failed) = (results.into_iter(), Ok(()));
    items.retain(|_| match results.next() {
        Some(Err(error)) => {
            failed = Err(error);
            true
        }
        _ => false,
    });
    failed
}

impl Sessions {
    /// Follows changes by other processes while it is polled, and writes back what the store loses.
    pub async fn follow(&self) {
        tokio::join!(self.listen(), self.reconcile_tombstones(), self.recover());
    }

    async fn listen(&self) {
        let mut failures = 0;
        self.cache.store_unavailable();
        loop {
            let began = Instant::now();
            // A store with other keys, or that takes no writes, is not one to listen to.
            let error = match self.store.ping().await {
                Ok(()) => self.store.follow(&self.cache).await,
                Err(error) => {
                    self.cache.store_unavailable();
                    error
                }
            };
            self.cache.disconnected();
            failures = if began.elapsed() > RECONNECT[RECONNECT.len() - 1] { 1 } else { failures + 1 };
            if failures == 1 {
                tracing::warn!(%error, "invalidation stream lost: reading the store for every request");
            }
            tokio::time::sleep(RECONNECT[failures.min(RECONNECT.len() - 1)]).await;
        }
    }

    /// Reads the expiry of reported tombstones, and writes back those that the store evicted.
    async fn reconcile_tombstones(&self) {
        loop {
            self.cache.tombstones.unread_added.notified().await;
            for some in self.cache.tombstones.take_unread().chunks(MAX_CONCURRENT) {
                join_all(some.iter().map(|ended| self.reconcile_tombstone(*ended))).await;
            }
        }
    }

    async fn reconcile_tombstone(&self, ended: TombstoneKey) {
        let found = match ended {
            TombstoneKey::Session(key) => self.store.lookup(key).await.map(|found| match found {
                Lookup::Ended(until) => Some(until),
                Lookup::Found(_) | Lookup::Absent => None,
            }),
            TombstoneKey::Token(revocation_key) => self.store.revoked_until(revocation_key).await,
        };
        // An unavailable store gets it back during the recovery.
        let Ok(found) = found else { return };
        if let (true, Some(until)) = (ended == TombstoneKey::Token(RevocationKey::all_sessions()), found) {
            self.cache.epoch.raise(until, self.clock.now());
        }
        if let Reconciliation::Lost(until) = self.cache.tombstones.reconcile(ended, found, self.clock.now()) {
            tracing::warn!("tombstone missing from the store: writing it back");
            if let Err(error) = self.write_back(ended, until).await {
                tracing::warn!(%error, "tombstone write failed");
            }
        }
    }

    async fn recover(&self) {
        loop {
            self.cache.loss.notified().await;
            while let Some(lost) = self.cache.take_lost_writes() {
                let (since, now) = (Instant::now(), self.clock.now());
                let within = (lost == LostWrites::Recent).then_some(REPLICATION_WINDOW);
                let tombstones = self.cache.tombstones.to_write_back(within, now);
                // As it is now: nothing grows old while the store takes no writes.
                let mut sessions = self.journal.recent();
                let first_start = self.cache.epoch.first_start();
                if first_start > Timestamp::default() {
                    let counts = |summary: SessionSummary| summary.started >= first_start;
                    sessions.retain(|key, record| self.sealer.summary(*key, record).is_none_or(counts));
                }
                if lost == LostWrites::Everything {
                    let at_hand = self.cache.take_candidates();
                    let (sealed, ended) = (at_hand.len(), tombstones.len());
                    tracing::warn!(
                        sessions = sealed,
                        tombstones = ended,
                        "store data lost: writing sessions and tombstones back"
                    );
                    for opened in at_hand.into_iter().filter(|opened| self.counts(opened)) {
                        let written = sessions.get(&opened.id.key()).map(|written| written.version);
                        let record = self.record_at_hand(&opened, now);
                        if written.is_none_or(|written| written < record.version) && !record.is_over(now, self.idle) {
                            sessions.insert(opened.id.key(), record);
                        }
                    }
                }
                let sessions: Vec<_> = sessions.into_iter().collect();
                self.extend_held_leases().await;
                while lost == LostWrites::Everything
                    && let Err(error) = self.write_revocation(RevocationKey::lost_writes(), now + LOST_WRITES_TTL).await
                {
                    self.try_again(since, &error).await;
                }
                for some in tombstones.chunks(MAX_CONCURRENT) {
                    let mut left = some.to_vec();
                    while let Err(error) = self.write_back_all(&mut left).await {
                        self.try_again(since, &error).await;
                    }
                }
                tokio::time::sleep(TOMBSTONE_HEAD_START).await;
                for some in sessions.chunks(MAX_CONCURRENT) {
                    let mut left = some.to_vec();
                    while let Err(error) = self.restore_all(&mut left).await {
                        self.try_again(since, &error).await;
                        if since.elapsed() > MAX_RESTORE_TIME {
                            break;
                        }
                    }
                }
            }
            self.cache.finish_recovery();
        }
    }

    /// Whether the store lost writes lately: a refresh token in it may be one that was spent.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn has_lost_writes(&self) -> Result<bool, Error> {
        if self.cache.may_lack_sessions() {
            return Err(Error::Recovering);
        }
        let (mark, now) = (RevocationKey::lost_writes(), self.clock.now());
        // The store may have lost the mark, too.
        if self.cache.tombstones.until(TombstoneKey::Token(mark)).is_some_and(|until| now < until) {
            return Ok(true);
        }
        let until = self.count_errors(self.store.revoked_until(mark).await)?;
        Ok(until.is_some_and(|until| now < until))
    }

    /// Tells the store of the leases that this process holds: it may have lost them.
    async fn extend_held_leases(&self) {
        let held: Vec<_> =
            self.held_leases().iter().map(|(key, (fencing_token, ttl))| (*key, *fencing_token, *ttl)).collect();
        // One that fails is extended again by its holder.
        join_all(held.into_iter().map(|(key, fencing_token, ttl)| self.store.extend(key, fencing_token, ttl))).await;
    }

    async fn try_again(&self, since: Instant, error: &Error) {
        if since.elapsed() < RETRY_PAUSE {
            tracing::warn!(%error, "store recovery delayed");
        }
        self.cache.extend_recovery();
        tokio::time::sleep(RETRY_PAUSE).await;
    }

    /// Writes back all of them; those that fail are left.
    async fn write_back_all(&self, tombstones: &mut Vec<(TombstoneKey, Timestamp)>) -> Result<(), Error> {
        let written = join_all(tombstones.iter().map(|(ended, until)| self.write_back(*ended, *until))).await;
        keep_failed(tombstones, written)
    }

    async fn restore_all(&self, sessions: &mut Vec<(SessionKey, SealedSession)>) -> Result<(), Error> {
        let restored = join_all(sessions.iter().map(|(key, record)| self.restore(*key, record))).await;
        keep_failed(sessions, restored)
    }

    async fn write_back(&self, ended: TombstoneKey, until: Timestamp) -> Result<(), Error> {
        match ended {
            TombstoneKey::Session(key) => self.count_errors(self.store.delete(key, until).await).map(drop),
            TombstoneKey::Token(revocation_key) => {
                self.count_errors(self.store.revoke(revocation_key, until).await).map(drop)
            }
        }
    }

    /// Writes a session back, unless it has ended or a newer version of it is there.
    pub(super) async fn restore(&self, key: SessionKey, record: &SealedSession) -> Result<RestoreOutcome, Error> {
        if self.cache.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(RestoreOutcome::Ended);
        }
        let restored = self.count_errors(self.store.restore(key, record.clone()).await)?;
        match restored {
            // It can be lost again.
            RestoreOutcome::Done => {
                self.journal_write(key, record.clone());
                // What is at hand here may end later than what was written.
                self.cache.supersede(key);
            }
            RestoreOutcome::Newer => {}
            RestoreOutcome::Ended => {
                self.cache.invalidate(key);
                // The process that ended it may have known only the tokens of an earlier version.
                if let Some(summary) = self.sealer.summary(key, record) {
                    self.revoke(&summary.token_ids).await?;
                }
            }
        }
        Ok(restored)
    }
}
