//! Exponential back-off with jitter.

use super::seal::random;
use std::time::Duration;

/// Pauses that double from `first` up to `most`.
#[derive(Debug, Clone, Copy)]
pub struct ExponentialBackoff {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl ExponentialBackoff {
    /// The pause after one more failure than `earlier`.
    pub fn after(&self, earlier: u32) -> Duration {
        self.first.saturating_mul(1_u32.checked_shl(earlier).unwrap_or(u32::MAX)).min(self.most)
    }

    /// The pause that follows `previous`.
    pub fn following(&self, previous: Option<Duration>) -> Duration {
        previous.map_or(self.first, |pause| pause.saturating_mul(2)).min(self.most)
    }
}

/// A pause in whole seconds that is longer than `pause`: whoever waits for it does not come too early.
pub fn next_second(pause: Duration) -> Duration {
    Duration::from_secs(pause.as_secs() + 1)
}

/// Up to a quarter more, so that those who were put off together do not come back together.
pub fn jittered(pause: Duration) -> Duration {
    let [jitter] = random();
    pause + pause * u32::from(jitter) / 1_024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let backoff = ExponentialBackoff { first: Duration::from_secs(2), most: Duration::from_secs(10) };
        let mut previous = None;
        for (earlier, seconds) in [(0, 2), (1, 4), (2, 8), (3, 10), (4, 10), (40, 10)] {
            let pause = Duration::from_secs(seconds);
            previous = Some(backoff.following(previous));
            assert_eq!((backoff.after(earlier), previous), (pause, Some(pause)));
            assert!((pause..=pause * 5 / 4).contains(&jittered(pause)));
        }
    }
}
