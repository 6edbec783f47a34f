//! Renewal ahead of time, in the background: whoever is at work finds fresh tokens and never waits.
//!
//! 1. Every few seconds, the sessions that this process has at hand and that were used lately are looked through.
//!    Each is due at its own moment between 75 and 90 % of its tokens' life, another one in every process, and always
//!    some seconds before the end.
//! 2. One that fails is left alone by itself ([`RenewalBackoffs`](super::backoffs::RenewalBackoffs)), and those that
//!    have failed have a few places of their own, so that they keep none of the others waiting.
//! 3. Only when nothing at all gets through does the search rest, longer each time; then one is tried alone.

use super::RelyingParty;
use crate::domain::backoff::ExponentialBackoff;
use crate::domain::clock::Timestamp;
use crate::domain::seal::random;
use crate::domain::token::renewal_time;
use crate::store::{OpenedSession, Priority};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Between two searches.
pub const SEARCH_PERIOD: Duration = Duration::from_secs(5);
/// How long a search waits for what it began, so that the next one is in time. Renewals go on by themselves.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(4);
/// Sessions idle for longer are not renewed in the background, only on request.
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
/// Concurrent renewals.
const MAX_CONCURRENT: u32 = 32;
/// What each counts for while it is not known whether any succeeds.
const PROBE_WEIGHT: u32 = 4;
/// Of sessions that have failed before.
const MAX_CONCURRENT_RETRIES: usize = 4;
/// After this many consecutive first failures the provider is taken to be down, not single sessions to be at fault.
const FAILURE_THRESHOLD: u32 = 8;
/// How long the search rests then.
const SEARCH_BACKOFF: ExponentialBackoff =
    ExponentialBackoff { first: Duration::from_secs(5), most: Duration::from_secs(60) };

/// Whether renewals get through, when to look again if not, and which moments are this process's own.
#[derive(Debug)]
pub(super) struct RenewalSchedule {
    salt: u8,
    permits: Arc<Semaphore>,
    retry_permits: Arc<Semaphore>,
    /// First failures since one got through.
    consecutive_failures: AtomicU32,
    is_succeeding: AtomicBool,
    /// A [`Timestamp`].
    not_before: AtomicU64,
    /// Rests since one got through.
    pauses: AtomicU32,
}

impl Default for RenewalSchedule {
    fn default() -> Self {
        let [salt] = random();
        Self {
            salt,
            permits: Arc::new(Semaphore::new(MAX_CONCURRENT as usize)),
            retry_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_RETRIES)),
            consecutive_failures: AtomicU32::new(0),
            is_succeeding: AtomicBool::new(false),
            not_before: AtomicU64::new(0),
            pauses: AtomicU32::new(0),
        }
    }
}

impl RenewalSchedule {
    /// When the session's tokens are due for renewal.
    fn due_at(&self, opened: &OpenedSession) -> Timestamp {
        // A provider may issue tokens that practically never expire: the session's end bounds them.
        let life = opened.expires_at.min(opened.ends).since(opened.renewed);
        opened.renewed + renewal_time(life, opened.id.key().0[0] ^ self.salt)
    }

    fn is_paused(&self, now: Timestamp) -> bool {
        now < Timestamp::from_secs(self.not_before.load(Ordering::Relaxed))
    }

    /// How many of the places the next one takes.
    fn weight(&self) -> u32 {
        match self.consecutive_failures.load(Ordering::Relaxed) {
            FAILURE_THRESHOLD.. => MAX_CONCURRENT,
            _ if self.is_succeeding.load(Ordering::Relaxed) => 1,
            _ => PROBE_WEIGHT,
        }
    }

    /// One got through, wherever it began.
    pub(super) fn note_success(&self) {
        self.consecutive_failures.store(0, Ordering::Relaxed);
        self.is_succeeding.store(true, Ordering::Relaxed);
        self.not_before.store(0, Ordering::Relaxed);
        self.pauses.store(0, Ordering::Relaxed);
    }

    /// One failed that had not failed before.
    pub(super) fn failed(&self, now: Timestamp) {
        self.is_succeeding.store(false, Ordering::Relaxed);
        let consecutive_failures = self.consecutive_failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        // What was under way together counts once.
        if consecutive_failures >= FAILURE_THRESHOLD && !self.is_paused(now) {
            let rest = SEARCH_BACKOFF.after(self.pauses.fetch_add(1, Ordering::Relaxed));
            self.not_before.store((now + rest).as_secs(), Ordering::Relaxed);
            tracing::warn!(pause = rest.as_secs(), "background renewal paused: consecutive failures");
        }
    }
}

impl RelyingParty {
    /// Renews the sessions that are due. Comes back after some seconds at most.
    pub async fn renew_ahead(self: &Arc<Self>) {
        // What is not begun in time is due in the next search.
        let _ = timeout(SEARCH_TIMEOUT, self.renew_all(self.due_for_renewal())).await;
    }

    /// Those that never failed first, and of them the ones that run out first.
    fn due_for_renewal(&self) -> Vec<(bool, Arc<OpenedSession>)> {
        let now = self.clock.now();
        if self.schedule.is_paused(now) || self.budget.tokens.check_backoff().is_err() {
            return vec![];
        }
        let at_hand = self.sessions.cached().into_iter().filter(|opened| {
            opened.renewable
                && now >= self.schedule.due_at(opened)
                && now.since(opened.last_used()) <= MAX_IDLE
                && !self.backoffs.is_backing_off(opened.id.key(), now)
        });
        let due = self.backoffs.in_doubt(now).into_iter().chain(at_hand);
        let due = due.filter(|opened| !self.renewals.contains(opened.id.key()));
        let mut due: Vec<_> = due.map(|opened| (self.backoffs.has_failed(opened.id.key()), opened)).collect();
        due.sort_by_key(|(failed, opened)| (*failed, opened.expires_at, opened.id.key()));
        due.dedup_by_key(|(_, opened)| opened.id.key());
        due
    }

    async fn renew_all(self: &Arc<Self>, due: Vec<(bool, Arc<OpenedSession>)>) {
        let mut tasks = JoinSet::new();
        for (failed, opened) in due {
            let permit = match failed {
                false => self.schedule.permits.clone().acquire_many_owned(self.schedule.weight()).await,
                true => self.schedule.retry_permits.clone().acquire_owned().await,
            };
            // Never closed.
            let Ok(permit) = permit else { return };
            if self.schedule.is_paused(self.clock.now()) || self.budget.tokens.check_backoff().is_err() {
                break;
            }
            let renewal = self.renewal(&opened, Priority::Background);
            tasks.spawn(async move {
                let _place = permit;
                drop(renewal.await);
            });
        }
        while tasks.join_next().await.is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;

    #[test]
    fn the_search_rests_only_when_nothing_gets_through() {
        let schedule = RenewalSchedule::default();
        for now in (0..100).map(at) {
            schedule.failed(now);
            schedule.failed(now);
            assert!(!schedule.is_paused(now), "two of many");
            schedule.note_success();
        }
        assert_eq!(schedule.weight(), 1);
        (0..FAILURE_THRESHOLD + 7).for_each(|_| schedule.failed(at(1_000)));
        assert!(
            schedule.is_paused(at(1_000) + SEARCH_BACKOFF.first - Duration::from_secs(1))
                && !schedule.is_paused(at(1_000) + SEARCH_BACKOFF.first)
        );
        assert_eq!(schedule.weight(), MAX_CONCURRENT, "then one alone");
        schedule.failed(at(1_010));
        assert!(
            schedule.is_paused(at(1_010) + 2 * SEARCH_BACKOFF.first - Duration::from_secs(1))
                && !schedule.is_paused(at(1_010) + 2 * SEARCH_BACKOFF.first),
            "longer each time"
        );
        schedule.note_success();
        assert!(!schedule.is_paused(at(1_010)));
    }
}
