//! The tasks that run beside the requests. Each is watched: one that ends, by a panic or by itself, is counted and
//! started again after a pause.

use crate::domain::backoff::ExponentialBackoff;
use crate::flow::RelyingParty;
use crate::telemetry::Metrics;
use futures_util::FutureExt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The pauses before a task is started again.
const RESTART: ExponentialBackoff = ExponentialBackoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
/// A task that ran for so long had recovered.
const RECOVERED: Duration = Duration::from_secs(120);

/// The running tasks, which all get a clone of `C`. They end when it is dropped.
#[derive(Debug)]
pub(crate) struct Supervisor<C = Arc<RelyingParty>> {
    tasks: JoinSet<()>,
    context: C,
    metrics: Arc<Metrics>,
}

impl<C: Clone + Send + Sync + 'static> Supervisor<C> {
    pub(super) fn new(context: C, metrics: Arc<Metrics>) -> Self {
        Self { tasks: JoinSet::new(), context, metrics }
    }

    /// Does `job` again and again, each time after `period`.
    pub(super) fn every<F>(
        &mut self,
        period: Duration,
        name: &'static str,
        job: impl Fn(C) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let job = Arc::new(job);
        self.always(name, move |context: C| {
            let job = job.clone();
            async move {
                loop {
                    sleep(period).await;
                    job(context.clone()).await;
                }
            }
        });
    }

    /// Does `job` at once and again and again, each time after the pause that it returns.
    pub(super) fn paced<F>(&mut self, name: &'static str, job: impl Fn(C) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Duration> + Send + 'static,
    {
        let job = Arc::new(job);
        self.always(name, move |context: C| {
            let job = job.clone();
            async move {
                loop {
                    sleep(job(context.clone()).await).await;
                }
            }
        });
    }

    /// Runs `task`, which is not supposed to end: one that does is started again.
    pub(super) fn always<F>(&mut self, name: &'static str, task: impl Fn(C) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (metrics, context) = (self.metrics.clone(), self.context.clone());
        metrics.background_task_started(name);
        self.tasks.spawn(async move {
            let mut failures = 0;
            loop {
                let began = Instant::now();
                let panicked = AssertUnwindSafe(task(context.clone())).catch_unwind().await.is_err();
                metrics.background_task_ended(name);
                if began.elapsed() > RECOVERED {
                    failures = 0;
                }
                let pause = RESTART.after(failures);
                tracing::error!(task = name, panicked, pause = pause.as_secs(), "background task ended: restarting");
                sleep(pause).await;
                failures += 1;
            }
        });
    }

    /// Ends them all, wherever they are.
    pub(super) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Observations;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn ends(metrics: &Metrics, task: &str) -> Option<u64> {
        let name = format!("auth_api_background_task_ends_total{{task=\"{task}\"}} ");
        metrics.render(&Observations::default()).lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }

    // Time is paused: it leaps to the next deadline when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_is_counted_and_started_again_ever_more_slowly() {
        let metrics = Arc::<Metrics>::default();
        let mut background = Supervisor::new((), metrics.clone());
        let (runs, began) = (Arc::new(AtomicUsize::new(0)), Instant::now());
        let counted = runs.clone();
        background.always("returns", move |()| {
            let counted = counted.clone();
            async move {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        background.every(Duration::from_secs(1), "panics", |()| async { panic!("on purpose") });
        while runs.load(Ordering::SeqCst) < 10 {
            sleep(Duration::from_secs(1)).await;
        }
        // 1, 2, 4 … 32 seconds, and then a minute each.
        assert!(began.elapsed() >= Duration::from_secs(63 + 3 * 60), "{:?}", began.elapsed());
        assert!(ends(&metrics, "returns") >= Some(9) && ends(&metrics, "panics") > Some(3));
        background.shutdown().await;
    }

    #[tokio::test(start_paused = true)]
    async fn work_goes_on_after_a_panic_and_keeps_its_pace() {
        let metrics = Arc::<Metrics>::default();
        let mut background = Supervisor::new((), metrics.clone());
        let done = Arc::new(AtomicUsize::new(0));
        let count = done.clone();
        background.paced("works", move |()| {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_ne!(nth, 2, "the third time it fails");
                Duration::from_secs(10)
            }
        });
        while done.load(Ordering::SeqCst) < 10 {
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(ends(&metrics, "works"), Some(1));
    }
}
