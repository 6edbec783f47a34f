//! The end of all sessions at once: a time up to which no session counts, and no token of a user. The store keeps it as a
//! revocation mark, and every process that has heard of it writes it back.
//!
//! Processes compare it with the start of a session, which each tells by its own clock. Therefore a session counts only if
//! it was started somewhat later, and one that is made by a process that knows the time is never earlier than that.

use crate::domain::clock::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long the mark is kept: no session lives longer.
pub(super) const MARK_TTL: Duration = Duration::from_secs(400 * 86_400);
/// How far the clocks of two processes may be apart.
const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// How old what was read may be while the store tells of no changes.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What this process knows of it.
#[derive(Debug)]
pub(super) struct Epoch {
    created: Instant,
    /// The earliest start of a session that counts, in seconds since 1970.
    first_start: AtomicU64,
    /// When the mark was read, in milliseconds since `created`, and one; 0 if it has to be read.
    read_at: AtomicU64,
    /// Counts how often what was read became void.
    voided: AtomicU64,
}

impl Default for Epoch {
    fn default() -> Self {
        let [first_start, read_at, voided] = Default::default();
        Self { created: Instant::now(), first_start, read_at, voided }
    }
}

impl Epoch {
    /// The earliest start of a session that counts; the zero of time if they were never ended.
    pub(super) fn first_start(&self) -> Timestamp {
        Timestamp::from_secs(self.first_start.load(Ordering::Relaxed))
    }

    /// The time up to which all were ended.
    pub(super) fn time(&self) -> Option<Timestamp> {
        let first_start = self.first_start();
        (first_start > Timestamp::default()).then(|| first_start - CLOCK_SKEW)
    }

    /// Takes up a mark that runs out at `until`. The time only ever rises; where the store says an impossible one, `now` is
    /// meant.
    pub(super) fn raise(&self, until: Timestamp, now: Timestamp) {
        let first_start = (until - MARK_TTL).min(now) + CLOCK_SKEW;
        self.first_start.fetch_max(first_start.as_secs(), Ordering::Relaxed);
    }

    /// The mark has to be read again: the store has not told of changes all the while.
    pub(super) fn void(&self) {
        self.voided.fetch_add(1, Ordering::Relaxed);
        self.read_at.store(0, Ordering::Relaxed);
    }

    /// Whether the mark needs not be read. `is_told`: the store tells of changes.
    pub(super) fn is_known(&self, is_told: bool) -> bool {
        match self.read_at.load(Ordering::Relaxed) {
            0 => false,
            read_at => is_told || Duration::from_millis(self.now() - read_at) < MAX_AGE,
        }
    }

    /// What [`Epoch::note_read`] takes, from before the mark is read.
    pub(super) fn begin_read(&self) -> (u64, u64) {
        (self.voided.load(Ordering::Relaxed), self.now())
    }

    /// The mark was read, unless a change that nobody told of may have come meanwhile.
    pub(super) fn note_read(&self, (voided, read_at): (u64, u64)) {
        if self.voided.load(Ordering::Relaxed) == voided {
            self.read_at.store(read_at, Ordering::Relaxed);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
