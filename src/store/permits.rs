//! Permits of a rate limit that all processes share, asked for in batches.
//!
//! Whoever needs one waits in line, and one task asks the store for all who wait: a hundred at once cost a few calls of
//! the store. The urgent are served first. They may be given permits that come free within [`LOOK_AHEAD`]; others get only
//! what is free now, and so nothing while somebody urgent waits, at whichever process. While the store cannot be
//! asked, each process grants a share of the rate by itself.

use super::rate_limit::RateLimiters;
use super::{Permits, RateLimit, SessionStore};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How far ahead permits are taken: what was taken is used even if somebody asks everybody to rest meanwhile.
const LOOK_AHEAD: Duration = Duration::from_millis(200);
/// Between two questions to the store while there are more who wait than permits.
const POLL_PAUSE: Duration = Duration::from_millis(100);
/// Permits taken at once, at most.
const BATCH: usize = 1_000;
/// Of a rate, what a process grants by itself: as many processes as this keep to it together.
const SHARE: u32 = 10;
/// `Retry-After` for callers that waited in vain.
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Who is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Somebody signs in.
    SignIn,
    /// Somebody waits for an answer.
    Interactive,
    /// Nobody waits.
    Background,
}

/// Where the urgent end in line.
const URGENT_COUNT: usize = Priority::Background as usize;

/// When to go, or how long to rest.
type PermitResult = Result<Instant, Duration>;

#[derive(Debug, Default)]
struct WaitQueue {
    waiting: [VecDeque<oneshot::Sender<PermitResult>>; 3],
    is_serving: bool,
}

impl WaitQueue {
    /// How many wait of these urgencies.
    fn count(&mut self, urgencies: std::ops::Range<usize>) -> usize {
        let lines = &mut self.waiting[urgencies];
        // Whoever gave up takes no permit.
        lines.iter_mut().for_each(|waiting| waiting.retain(|one| !one.is_closed()));
        lines.iter().map(VecDeque::len).sum()
    }

    fn next(&mut self) -> Option<oneshot::Sender<PermitResult>> {
        self.waiting.iter_mut().find_map(VecDeque::pop_front)
    }
}

/// A rate limit of all processes on a store.
#[derive(Debug)]
pub struct SharedRateLimiter {
    store: Arc<dyn SessionStore>,
    limit: RateLimit,
    /// For when the store cannot be asked.
    fallback: RateLimiters,
    queue: Mutex<WaitQueue>,
    /// Somebody urgent came.
    urgent_arrived: Notify,
    backoff_until: Mutex<Option<Instant>>,
}

/// Whoever ends serving, in whatever way, lets the next begin.
struct QueueGuard<'a>(&'a SharedRateLimiter);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.queue().is_serving = false;
    }
}

impl SharedRateLimiter {
    /// The limiter of `limit` for all processes on `store`.
    pub(super) fn new(store: Arc<dyn SessionStore>, limit: RateLimit) -> Arc<Self> {
        let (fallback, queue, backoff_until) = (RateLimiters::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { store, limit, fallback, queue, urgent_arrived: Notify::new(), backoff_until })
    }

    /// Waits for a permit, for `max_wait` at most.
    ///
    /// # Errors
    /// How long to back off: the provider asked for it, or the queue is too long.
    pub async fn acquire(self: &Arc<Self>, priority: Priority, max_wait: Duration) -> Result<(), Duration> {
        self.check_backoff()?;
        let (sender, receiver) = oneshot::channel();
        let begin = {
            let mut queue = self.queue();
            queue.waiting[priority as usize].push_back(sender);
            !std::mem::replace(&mut queue.is_serving, true)
        };
        if begin {
            let this = self.clone();
            tokio::spawn(async move { this.serve().await });
        } else if priority != Priority::Background {
            self.urgent_arrived.notify_one();
        }
        match timeout_at(Instant::now() + max_wait, receiver).await {
            Ok(Ok(answer)) => sleep_until(answer?).await,
            _ => return Err(BUSY_RETRY_AFTER),
        }
        self.check_backoff()
    }

    /// Asks every process to rest for `pause`.
    pub async fn back_off(&self, pause: Duration) {
        self.record_backoff(pause);
        if let Err(error) = self.store.back_off(self.limit, pause).await {
            tracing::warn!(%error, "back-off publish failed: other processes not notified");
        }
    }

    /// Whether a back-off is in force, as far as this process knows.
    ///
    /// # Errors
    /// For how long.
    pub fn check_backoff(&self) -> Result<(), Duration> {
        let until = *self.backoff_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(Ok(()), Err)
    }

    fn queue(&self) -> MutexGuard<'_, WaitQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record_backoff(&self, pause: Duration) {
        let until = Some(Instant::now() + pause);
        let mut backoff_until = self.backoff_until.lock().unwrap_or_else(PoisonError::into_inner);
        *backoff_until = until.max(*backoff_until);
    }

    /// Serves until nobody waits.
    async fn serve(&self) {
        let serving = QueueGuard(self);
        loop {
            let (urgent, others) = {
                let mut queue = self.queue();
                let counts = (queue.count(0..URGENT_COUNT), queue.count(URGENT_COUNT..URGENT_COUNT + 1));
                if counts == (0, 0) {
                    // Under the lock: who comes next finds nobody serving.
                    queue.is_serving = false;
                    std::mem::forget(serving);
                    return;
                }
                counts
            };
            let (wanted, ahead) = if urgent > 0 { (urgent, LOOK_AHEAD) } else { (others, Duration::ZERO) };
            let wanted = u32::try_from(wanted.min(BATCH)).unwrap_or(1);
            let wait = match self.ask(wanted, ahead).await {
                Permits::Granted(waits) => {
                    self.hand_out(&waits);
                    continue;
                }
                Permits::BackOff(left) => {
                    self.record_backoff(left);
                    let mut queue = self.queue();
                    while let Some(one) = queue.next() {
                        let _ = one.send(Err(left));
                    }
                    continue;
                }
                Permits::Exhausted(wait) => wait.max(POLL_PAUSE),
            };
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = self.urgent_arrived.notified(), if urgent == 0 => {}
            }
        }
    }

    fn hand_out(&self, waits: &[Duration]) {
        let (now, mut queue) = (Instant::now(), self.queue());
        for wait in waits {
            let mut at = Ok(now + *wait);
            // A waiter that has gone leaves its permit to the next one.
            while let Some(one) = queue.next() {
                match one.send(at) {
                    Ok(()) => break,
                    Err(back) => at = back,
                }
            }
        }
    }

    async fn ask(&self, wanted: u32, ahead: Duration) -> Permits {
        match self.store.acquire(self.limit, wanted, ahead).await {
            Ok(permits) => permits,
            Err(error) => {
                tracing::debug!(%error, "permit request failed: store unavailable, using the local share of the rate");
                let share = RateLimit { per_second: self.limit.per_second / SHARE, burst: 1, ..self.limit };
                self.fallback.acquire(share, wanted, ahead)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;
    use futures_util::future::join_all;

    const LIMIT: RateLimit = RateLimit { name: "test", per_second: 10, burst: 1 };
    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_hundred_at_once_go_at_the_rate_and_the_urgent_first() {
        let limiter = SharedRateLimiter::new(Arc::new(MemoryStore::default()), LIMIT);
        let began = Instant::now();
        let is_serving = Mutex::new(Vec::new());
        let background = (0..50).map(|_| (Priority::Background, Duration::ZERO));
        let interactive = (0..49).map(|_| (Priority::Interactive, Duration::from_millis(500)));
        let sign_in = std::iter::once((Priority::SignIn, Duration::from_secs(1)));
        join_all(background.chain(interactive).chain(sign_in).map(async |(priority, later)| {
            sleep(later).await;
            limiter.acquire(priority, MINUTE).await.unwrap();
            is_serving.lock().unwrap().push((began.elapsed(), priority));
        }))
        .await;
        let is_serving = is_serving.into_inner().unwrap();
        for (nth, (at, _)) in is_serving.iter().enumerate() {
            assert!(at.as_secs_f64() + 0.01 >= nth as f64 / 10.0, "{nth} at {at:?}");
        }
        assert!(is_serving[99].0 < Duration::from_secs(20), "the rate is had: {:?}", is_serving[99].0);
        let last = |priority| is_serving.iter().rposition(|(_, one)| *one == priority).unwrap();
        assert!(last(Priority::Interactive) < 60, "{is_serving:?}");
        assert!(last(Priority::SignIn) < 16, "{is_serving:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_store_is_one_rate_and_one_rest() {
        let store = Arc::new(MemoryStore::default());
        let [here, there] = [(); 2].map(|()| SharedRateLimiter::new(store.clone(), LIMIT));
        let began = Instant::now();
        join_all((0..60).map(async |nth| {
            let limiter = if nth % 2 == 0 { &here } else { &there };
            limiter.acquire(Priority::Interactive, MINUTE).await.unwrap();
        }))
        .await;
        assert!(began.elapsed() >= Duration::from_millis(5_900), "{:?}", began.elapsed());
        here.back_off(MINUTE).await;
        let away = there.acquire(Priority::Interactive, MINUTE).await.unwrap_err();
        assert_eq!(away, MINUTE);
        assert!(there.check_backoff().is_err() && here.acquire(Priority::SignIn, MINUTE).await.is_err());
        sleep(MINUTE).await;
        there.acquire(Priority::Background, MINUTE).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_permit_and_who_waits_in_vain_is_told() {
        let limiter = SharedRateLimiter::new(Arc::new(MemoryStore::default()), LIMIT);
        let waited = join_all((0..100).map(|_| limiter.acquire(Priority::Interactive, Duration::from_secs(2)))).await;
        let is_serving = waited.iter().filter(|permit| permit.is_ok()).count();
        assert!((20..=24).contains(&is_serving), "{is_serving}");
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        limiter.acquire(Priority::Background, MINUTE).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    }
}
