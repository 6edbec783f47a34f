//! How many records strangers can cause: what is too much is counted, and said in one record.

use super::event::BoundedEvent;
use crate::domain::clock::Timestamp;
use std::time::Duration;

/// Records of one event that are written at once, and for each second after that.
const BURST: u64 = 100;
const PER_SECOND: u64 = 20;

/// A token bucket for each event that is bounded.
#[derive(Debug, Default)]
pub(super) struct Bounds([Bucket; BoundedEvent::ALL.len()]);

#[derive(Debug, Default)]
struct Bucket {
    /// Written since `filled`, less what time has forgiven.
    spent: u64,
    filled: Timestamp,
    suppressed: u64,
}

impl Bounds {
    /// Whether a record of `event` is written at `now`; else it is counted.
    pub(super) fn admits(&mut self, event: BoundedEvent, now: Timestamp) -> bool {
        let bucket = &mut self.0[event as usize];
        bucket.fill(now);
        let admitted = bucket.spent < BURST;
        match admitted {
            true => bucket.spent += 1,
            false => bucket.suppressed += 1,
        }
        admitted
    }

    /// Events whose flood has ended, and how many of their records were left out; each once.
    pub(super) fn take_suppressed(&mut self, now: Timestamp, all: bool) -> Vec<(&'static str, u64)> {
        let ended = |event: BoundedEvent| {
            let bucket = &mut self.0[event as usize];
            bucket.fill(now);
            let count = if all || bucket.spent < BURST { std::mem::take(&mut bucket.suppressed) } else { 0 };
            (count > 0).then_some((event.name(), count))
        };
        BoundedEvent::ALL.into_iter().filter_map(ended).collect()
    }
}

impl Bucket {
    fn fill(&mut self, now: Timestamp) {
        let passed: Duration = now.since(self.filled);
        self.spent = self.spent.saturating_sub(passed.as_secs().saturating_mul(PER_SECOND));
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_records_and_a_number() {
        let (mut bounds, start) = (Bounds::default(), Timestamp::from_secs(1_000));
        let mut at = |seconds: u64, times: usize| {
            let now = start + Duration::from_secs(seconds);
            (0..times).filter(|_| bounds.admits(BoundedEvent::Denied, now)).count()
        };
        assert_eq!(at(0, 1_000), 100);
        assert_eq!(at(1, 1_000), 20);
        assert_eq!(at(3_600, 50), 50);
        let now = start + Duration::from_secs(3_600);
        assert!(bounds.admits(BoundedEvent::SignInFailed, now), "each by itself");
        assert_eq!(bounds.take_suppressed(now, false), [("denied", 1_880)]);
        assert_eq!(bounds.take_suppressed(now, true), []);
    }

    #[test]
    fn during_a_flood_nothing_is_said_until_the_end_of_the_process() {
        let (mut bounds, now) = (Bounds::default(), Timestamp::from_secs(1_000));
        assert_eq!((0..150).filter(|_| bounds.admits(BoundedEvent::TokenRefused, now)).count(), 100);
        assert_eq!(bounds.take_suppressed(now, false), []);
        assert_eq!(bounds.take_suppressed(now, true), [("token_refused", 50)]);
    }
}
