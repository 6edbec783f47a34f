//! Choices that follow from the seed. The service's own randomness comes out of the same stream.

use crate::domain::seal::seeded;
use std::time::Duration;

fn next() -> u64 {
    seeded::next().expect("the simulation runs in a thread with a seed")
}

/// A number from 0 to `most - 1`.
pub(super) fn below(most: usize) -> usize {
    let most = u64::try_from(most).expect("usize has 64 bits at most");
    usize::try_from(next() % most).expect("it is less than a usize")
}

/// Yes, so many times of a thousand.
pub(super) fn chance(per_mille: usize) -> bool {
    below(1_000) < per_mille
}

/// A time in `from..to`, milliseconds, to a tenth of one.
pub(super) fn millis(from: usize, to: usize) -> Duration {
    let tenths = 10 * from + below(10 * (to - from));
    Duration::from_micros(100 * u64::try_from(tenths).expect("usize has 64 bits at most"))
}

/// 32 hexadecimal digits.
pub(super) fn text() -> String {
    format!("{:016x}{:016x}", next(), next())
}
