//! What is done again and again while a store tells of changes.

use super::Error;
use futures_util::stream::{self, Stream};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Does something at once and then in intervals, one after the other.
pub(super) fn every<T, F: Future<Output = Result<T, Error>>>(
    period: Duration,
    act: impl FnMut() -> F,
) -> impl Stream<Item = Result<T, Error>> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((ticks, act), |(mut ticks, mut act)| async move {
        ticks.tick().await;
        let done = act().await;
        Some((done, (ticks, act)))
    })
}
