//! Single flight: one piece of work for a key at a time. Whoever comes meanwhile shares its result.

use crate::telemetry::in_current_spans;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::task::TaskTracker;

/// The result of work under way.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

type Flights<K, T, S> = Arc<Mutex<HashMap<K, (Flight<T>, S)>>>;

/// The work under way, by key, each with a state that its callers share.
pub(super) struct SingleFlight<K, T, S = ()>(Flights<K, T, S>);

impl<K: Copy + Eq + Hash + Send + 'static, T: Clone + Send + Sync + 'static, S: Clone + Send + 'static>
    SingleFlight<K, T, S>
{
    /// Whether there is work under way for `key`.
    pub(super) fn contains(&self, key: K) -> bool {
        lock(&self.0).contains_key(&key)
    }

    /// Joins the work under way for `key`, or starts it as a task of `tasks`: a caller who hangs up does not stop it.
    /// Its result is `panicked` if it panics.
    pub(super) fn join<F>(
        &self,
        key: K,
        tasks: &TaskTracker,
        panicked: T,
        start: impl FnOnce() -> (F, S),
    ) -> (Flight<T>, S)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = lock(&self.0);
        if let Some(entry) = flights.get(&key) {
            return entry.clone();
        }
        let (work, state) = start();
        let guard = FlightGuard(self.0.clone(), key);
        let task = tasks.spawn(in_current_spans(async move {
            let _guard = guard;
            work.await
        }));
        let flight = async move { task.await.unwrap_or(panicked) }.boxed().shared();
        flights.insert(key, (flight.clone(), state.clone()));
        (flight, state)
    }
}

impl<K, T, S> Default for SingleFlight<K, T, S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, T, S> std::fmt::Debug for SingleFlight<K, T, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SingleFlight(…)")
    }
}

/// Removes a flight, however it ended.
struct FlightGuard<K: Eq + Hash, T, S>(Flights<K, T, S>, K);

impl<K: Eq + Hash, T, S> Drop for FlightGuard<K, T, S> {
    fn drop(&mut self) {
        lock(&self.0).remove(&self.1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn callers_who_come_meanwhile_share_one_result() {
        let (flights, tasks, runs) = (SingleFlight::default(), TaskTracker::new(), Arc::new(AtomicU32::new(0)));
        let join = |flights: &SingleFlight<u8, u32>| {
            let runs = runs.clone();
            flights.join(1, &tasks, 0, || (async move { runs.fetch_add(1, Ordering::Relaxed) + 1 }, ())).0
        };
        let (first, second) = (join(&flights), join(&flights));
        assert!(flights.contains(1) && !flights.contains(2));
        drop(first);
        assert_eq!(second.await, 1, "the task of a caller who went away goes on");
        assert!(!flights.contains(1));
        assert_eq!(join(&flights).await, 2, "a result is shared, never kept");
    }

    #[tokio::test]
    async fn a_panic_is_a_result_and_the_next_caller_starts_anew() {
        let (flights, tasks) = (SingleFlight::<u8, u32>::default(), TaskTracker::new());
        let broken = async { panic!("in a test") };
        assert_eq!(flights.join(1, &tasks, 7, || (broken, ())).0.await, 7);
        assert_eq!(flights.join(1, &tasks, 7, || (async { 8 }, ())).0.await, 8);
    }
}
