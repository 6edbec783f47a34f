//! The one source of time, and the points in time that it tells.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};
#[cfg(feature = "dev")]
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A point in time, in whole seconds since the Unix epoch: a NumericDate (RFC 7519 §2) without a fraction. Arithmetic
/// saturates, and drops fractions of a second.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `seconds` after the Unix epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch: for what is stored, sent or shown.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time between the two, whichever is earlier.
    pub const fn abs_diff(self, other: Self) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    /// The time from `earlier` to this; zero if that is not earlier.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time.as_secs()))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time.as_secs()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's own time.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
    fn now(&self) -> Timestamp {
        Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()))
    }
}

/// The machine's time plus an offset that a test moves.
#[cfg(feature = "dev")]
#[derive(Debug, Default)]
pub struct ShiftedClock(AtomicI64);

#[cfg(feature = "dev")]
impl ShiftedClock {
    /// Moves this clock by `seconds`, forwards or back.
    pub fn shift(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[cfg(feature = "dev")]
impl Clock for ShiftedClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0.saturating_add_signed(self.0.load(Ordering::Relaxed)))
    }
}

/// The point `seconds` after the Unix epoch, for tests.
#[cfg(test)]
pub(crate) const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_written_as_the_bare_number_it_is() {
        let stored = postcard::to_stdvec(&1_795_160_654_u64).unwrap();
        assert_eq!(postcard::to_stdvec(&at(1_795_160_654)).unwrap(), stored);
        assert_eq!(postcard::from_bytes(&stored), Ok(at(1_795_160_654)));
        assert_eq!(serde_json::to_string(&at(5)).unwrap(), "5");
        assert_eq!(serde_json::from_str::<Timestamp>("5").unwrap().to_string(), "5");
    }

    #[test]
    fn arithmetic_stops_at_both_ends_and_drops_fractions() {
        let time = Duration::from_millis(2_999);
        assert_eq!((at(5) + time, at(5) - time, at(1) - time), (at(7), at(3), at(0)));
        assert_eq!(at(u64::MAX) + time, at(u64::MAX));
        assert_eq!((at(5).since(at(2)), at(2).since(at(5))), (Duration::from_secs(3), Duration::ZERO));
        assert_eq!(at(2).abs_diff(at(5)), Duration::from_secs(3));
    }
}
