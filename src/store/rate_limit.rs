//! Rate limits that all processes on a store keep to together: the generic cell rate algorithm.
//!
//! One number is kept for each limit, the theoretical arrival time: when the next permit comes free. A permit
//! moves it on by one interval; after a rest it lies in the past by a burst at most, so that so many are had at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// A rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Which one: a fixed word of letters, so that it can stand in a key.
    pub name: &'static str,
    /// Permits in a second; 0 counts as 1.
    pub per_second: u32,
    /// How many are had at once after a rest; 0 counts as 1. No second sees more than `per_second + burst`.
    pub burst: u32,
}

/// What a rate limiter answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permits {
    /// At least one; for each, how long to wait before it is used.
    Granted(Vec<Duration>),
    /// None comes free soon enough. Asking is worth it after this long.
    Exhausted(Duration),
    /// Everybody has to rest for this long.
    BackOff(Duration),
}

impl RateLimit {
    /// Between two permits.
    pub fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.per_second.max(1)
    }

    /// How far the arrival time may lie in the past: what `burst` permits at once take.
    pub(super) fn tolerance(&self) -> Duration {
        self.interval() * (self.burst.max(1) - 1)
    }

    /// What a server granted: `count` permits, of which the first is due in so many µs, or was.
    pub(super) fn granted(&self, count: u32, wait: i64) -> Permits {
        let micros = Duration::from_micros(wait.unsigned_abs());
        let (late, wait) = if wait < 0 { (micros, Duration::ZERO) } else { (Duration::ZERO, micros) };
        self.waits(count, late, wait)
    }

    /// The waits of `count` permits, of which the first was due `late` ago or is in `wait`.
    pub(super) fn waits(&self, count: u32, late: Duration, wait: Duration) -> Permits {
        let each = |nth| (wait + self.interval() * nth).saturating_sub(late);
        Permits::Granted((0..count).map(each).collect())
    }
}

/// The rate limiters of a store that serves one process.
#[derive(Debug, Default)]
pub(super) struct RateLimiters(Mutex<HashMap<&'static str, LimiterState>>);

#[derive(Debug, Clone, Copy)]
struct LimiterState {
    arrival: Instant,
    rests_until: Instant,
}

impl RateLimiters {
    /// [`SessionStore::acquire`](super::SessionStore::acquire).
    pub(super) fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Permits {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = all.entry(limit.name).or_insert(LimiterState { arrival: now, rests_until: now });
        if now < state.rests_until {
            return Permits::BackOff(state.rests_until - now);
        }
        // Near the start of the machine there may be no such moment.
        let earliest = now.checked_sub(limit.tolerance()).unwrap_or(now);
        let arrival = state.arrival.max(earliest);
        let Some(room) = (now + ahead).checked_duration_since(arrival) else {
            return Permits::Exhausted(arrival - (now + ahead));
        };
        let free = room.as_nanos() / limit.interval().as_nanos().max(1) + 1;
        let count = wanted.min(u32::try_from(free).unwrap_or(u32::MAX));
        state.arrival = arrival + limit.interval() * count;
        limit.waits(count, now.saturating_duration_since(arrival), arrival.saturating_duration_since(now))
    }

    /// [`SessionStore::back_off`](super::SessionStore::back_off).
    pub(super) fn back_off(&self, limit: RateLimit, pause: Duration) {
        let now = Instant::now();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let state = all.entry(limit.name).or_insert(LimiterState { arrival: now, rests_until: now });
        state.rests_until = state.rests_until.max(now + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: RateLimit = RateLimit { name: "ten", per_second: 10, burst: 3 };
    const INTERVAL: Duration = Duration::from_millis(100);

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_rate_and_a_burst() {
        let (limiters, began) = (RateLimiters::default(), Instant::now());
        let mut used = Vec::new();
        while began.elapsed() < Duration::from_secs(10) {
            match limiters.acquire(TEN, 7, Duration::from_millis(250)) {
                Permits::Granted(waits) => used.extend(waits.into_iter().map(|wait| began.elapsed() + wait)),
                Permits::Exhausted(wait) => tokio::time::sleep(wait).await,
                Permits::BackOff(_) => panic!("nobody asked for it"),
            }
        }
        used.sort();
        assert!(used.len() >= 100, "the rate is had: {}", used.len());
        for (nth, at) in used.iter().enumerate() {
            let second = used[nth..].iter().take_while(|later| **later < *at + Duration::from_secs(1)).count();
            assert!(second <= 13, "{second} from {at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_permit_is_had_ahead_of_time_only_by_who_may_wait() {
        let limiters = RateLimiters::default();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let none = Duration::ZERO;
        let Permits::Granted(first) = limiters.acquire(TEN, 100, none) else { panic!("it is free") };
        assert_eq!(first, [none]);
        assert_eq!(limiters.acquire(TEN, 1, none), Permits::Exhausted(INTERVAL));
        let soon = limiters.acquire(TEN, 100, INTERVAL * 2);
        assert_eq!(soon, Permits::Granted(vec![INTERVAL, INTERVAL * 2]));
        assert_eq!(limiters.acquire(TEN, 1, none), Permits::Exhausted(INTERVAL * 3), "those who wait go first");
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(limiters.acquire(TEN, 100, none), Permits::Granted(vec![none; 3]), "a burst after a rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_is_for_everybody_and_never_shortened() {
        let (limiters, second) = (RateLimiters::default(), Duration::from_secs(1));
        limiters.back_off(TEN, 30 * second);
        limiters.back_off(TEN, second);
        assert_eq!(limiters.acquire(TEN, 1, 60 * second), Permits::BackOff(30 * second));
        let other = RateLimit { name: "other", ..TEN };
        assert!(matches!(limiters.acquire(other, 1, second), Permits::Granted(_)));
        tokio::time::sleep(30 * second).await;
        assert!(matches!(limiters.acquire(TEN, 1, second), Permits::Granted(_)));
    }
}
