//! The pool's own clock: the machine's, plus an offset a test may move.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug, Default)]
pub(super) struct PoolClock {
    offset: AtomicI64,
}

impl PoolClock {
    /// Epoch seconds as this pool sees them.
    pub(super) fn now(&self) -> i64 {
        machine_seconds().saturating_add(self.offset.load(Ordering::Relaxed))
    }

    /// Moves the clock, forwards or back; shifts add up.
    pub(super) fn shift(&self, seconds: i64) {
        self.offset.fetch_add(seconds, Ordering::Relaxed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pool is a program of its own and cannot ask the service's clock; this is its only look at the time"
)]
fn machine_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
