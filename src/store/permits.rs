//! Permits of a rate limit that all processes share, asked for in batches.
//!
//! Whoever needs one waits in line, and one task asks the store for all who wait: a hundred at once cost a few calls of
//! the store. The urgent are served first. They may be given permits that come free within [`AHEAD`]; others get only
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
const AHEAD: Duration = Duration::from_millis(200);
/// Between two questions to the store while there are more who wait than permits.
const BETWEEN: Duration = Duration::from_millis(100);
/// Permits taken at once, at most.
const BATCH: usize = 1_000;
/// Of a rate, what a process grants by itself: as many processes as this keep to it together.
const SHARE: u32 = 10;
/// When to come again, for those who waited in vain.
const BUSY: Duration = Duration::from_secs(1);

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
const URGENT: usize = Priority::Background as usize;

/// When to go, or how long to rest.
type PermitResult = Result<Instant, Duration>;

#[derive(Debug, Default)]
struct WaitQueue {
    waiting: [VecDeque<oneshot::Sender<PermitResult>>; 3],
    served: bool,
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
    alone: RateLimiters,
    line: Mutex<WaitQueue>,
    /// Somebody urgent came.
    came: Notify,
    rests_until: Mutex<Option<Instant>>,
}

/// Whoever ends serving, in whatever way, lets the next begin.
struct QueueGuard<'a>(&'a SharedRateLimiter);

impl Drop for QueueGuard<'_> {
    fn drop(&mut self) {
        self.0.line().served = false;
    }
}

impl SharedRateLimiter {
    /// The limiter of `limit` for all processes on `store`.
    pub(super) fn new(store: Arc<dyn SessionStore>, limit: RateLimit) -> Arc<Self> {
        let (alone, line, rests_until) = (RateLimiters::default(), Mutex::default(), Mutex::default());
        Arc::new(Self { store, limit, alone, line, came: Notify::new(), rests_until })
    }

    /// Waits for a permit, for `patience` at most.
    ///
    /// # Errors
    /// How long to stay away: everybody rests, or too many wait.
    pub async fn permit(self: &Arc<Self>, urgency: Priority, patience: Duration) -> Result<(), Duration> {
        self.rests()?;
        let (tell, told) = oneshot::channel();
        let begin = {
            let mut line = self.line();
            line.waiting[urgency as usize].push_back(tell);
            !std::mem::replace(&mut line.served, true)
        };
        if begin {
            let this = self.clone();
            tokio::spawn(async move { this.serve().await });
        } else if urgency != Priority::Background {
            self.came.notify_one();
        }
        match timeout_at(Instant::now() + patience, told).await {
            Ok(Ok(answer)) => sleep_until(answer?).await,
            _ => return Err(BUSY),
        }
        self.rests()
    }

    /// Asks every process to rest for `pause`.
    pub async fn back_off(&self, pause: Duration) {
        self.note_rest(pause);
        if let Err(error) = self.store.back_off(self.limit, pause).await {
            tracing::warn!(%error, "other processes could not be asked to leave the provider alone");
        }
    }

    /// Whether everybody rests, as far as is known here.
    ///
    /// # Errors
    /// For how long.
    pub fn rests(&self) -> Result<(), Duration> {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        left.filter(|left| !left.is_zero()).map_or(Ok(()), Err)
    }

    fn line(&self) -> MutexGuard<'_, WaitQueue> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_rest(&self, pause: Duration) {
        let until = Some(Instant::now() + pause);
        let mut rests_until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *rests_until = until.max(*rests_until);
    }

    /// Serves until nobody waits.
    async fn serve(&self) {
        let serving = QueueGuard(self);
        loop {
            let (urgent, others) = {
                let mut line = self.line();
                let counts = (line.count(0..URGENT), line.count(URGENT..URGENT + 1));
                if counts == (0, 0) {
                    // Under the lock: who comes next finds nobody serving.
                    line.served = false;
                    std::mem::forget(serving);
                    return;
                }
                counts
            };
            let (wanted, ahead) = if urgent > 0 { (urgent, AHEAD) } else { (others, Duration::ZERO) };
            let wanted = u32::try_from(wanted.min(BATCH)).unwrap_or(1);
            let wait = match self.ask(wanted, ahead).await {
                Permits::MachineTokenResponse(waits) => {
                    self.hand_out(&waits);
                    continue;
                }
                Permits::BackOff(left) => {
                    self.note_rest(left);
                    let mut line = self.line();
                    while let Some(one) = line.next() {
                        let _ = one.send(Err(left));
                    }
                    continue;
                }
                Permits::Exhausted(wait) => wait.max(BETWEEN),
            };
            tokio::select! {
                biased;
                () = sleep(wait) => {}
                () = self.came.notified(), if urgent == 0 => {}
            }
        }
    }

    fn hand_out(&self, waits: &[Duration]) {
        let (now, mut line) = (Instant::now(), self.line());
        for wait in waits {
            let mut at = Ok(now + *wait);
            // One who has gone passes it on.
            while let Some(one) = line.next() {
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
                tracing::debug!(%error, "the store grants no permits; a share of the rate is granted here");
                let share = RateLimit { per_second: self.limit.per_second / SHARE, burst: 1, ..self.limit };
                self.alone.acquire(share, wanted, ahead)
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
        let served = Mutex::new(Vec::new());
        let background = (0..50).map(|_| (Priority::Background, Duration::ZERO));
        let interactive = (0..49).map(|_| (Priority::Interactive, Duration::from_millis(500)));
        let sign_in = std::iter::once((Priority::SignIn, Duration::from_secs(1)));
        join_all(background.chain(interactive).chain(sign_in).map(async |(urgency, later)| {
            sleep(later).await;
            limiter.permit(urgency, MINUTE).await.unwrap();
            served.lock().unwrap().push((began.elapsed(), urgency));
        }))
        .await;
        let served = served.into_inner().unwrap();
        for (nth, (at, _)) in served.iter().enumerate() {
            assert!(at.as_secs_f64() + 0.01 >= nth as f64 / 10.0, "{nth} at {at:?}");
        }
        assert!(served[99].0 < Duration::from_secs(20), "the rate is had: {:?}", served[99].0);
        let last = |urgency| served.iter().rposition(|(_, one)| *one == urgency).unwrap();
        assert!(last(Priority::Interactive) < 60, "{served:?}");
        assert!(last(Priority::SignIn) < 16, "{served:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_store_is_one_rate_and_one_rest() {
        let store = Arc::new(MemoryStore::default());
        let [here, there] = [(); 2].map(|()| SharedRateLimiter::new(store.clone(), LIMIT));
        let began = Instant::now();
        join_all((0..60).map(async |nth| {
            let limiter = if nth % 2 == 0 { &here } else { &there };
            limiter.permit(Priority::Interactive, MINUTE).await.unwrap();
        }))
        .await;
        assert!(began.elapsed() >= Duration::from_millis(5_900), "{:?}", began.elapsed());
        here.back_off(MINUTE).await;
        let away = there.permit(Priority::Interactive, MINUTE).await.unwrap_err();
        assert_eq!(away, MINUTE);
        assert!(there.rests().is_err() && here.permit(Priority::SignIn, MINUTE).await.is_err());
        sleep(MINUTE).await;
        there.permit(Priority::Background, MINUTE).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_no_permit_and_who_waits_in_vain_is_told() {
        let limiter = SharedRateLimiter::new(Arc::new(MemoryStore::default()), LIMIT);
        let waited = join_all((0..100).map(|_| limiter.permit(Priority::Interactive, Duration::from_secs(2)))).await;
        let served = waited.iter().filter(|permit| permit.is_ok()).count();
        assert!((20..=24).contains(&served), "{served}");
        sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        limiter.permit(Priority::Background, MINUTE).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(200), "{:?}", began.elapsed());
    }
}
