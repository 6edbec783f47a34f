//! What was learned of people and is not written down yet, in this process.

use crate::domain::person::PersonObservation;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// How many people may wait. Who is left out is written down at the next renewal.
const CAPACITY: usize = 10_000;

/// The latest of each person, in the order in which people were added.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: Mutex<Waiting>,
    added: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    order: VecDeque<String>,
    by_sub: BTreeMap<String, PersonObservation>,
}

impl Backlog {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().by_sub.len()
    }

    /// Adds what was learned last of a person. Returns whom there is no room for.
    pub(super) fn add(&self, observation: PersonObservation) -> Option<String> {
        let mut waiting = self.lock();
        let sub = observation.person.sub.clone();
        if !waiting.by_sub.contains_key(&sub) {
            if waiting.by_sub.len() == CAPACITY {
                return Some(sub);
            }
            waiting.order.push_back(sub.clone());
        }
        waiting.by_sub.insert(sub, observation);
        drop(waiting);
        self.added.notify_one();
        None
    }

    /// What has waited longest; it stays here until it is [`done`](Self::done).
    pub(super) async fn next(&self) -> PersonObservation {
        loop {
            let found = {
                let waiting = self.lock();
                waiting.order.front().and_then(|sub| waiting.by_sub.get(sub)).cloned()
            };
            match found {
                Some(observation) => return observation,
                None => self.added.notified().await,
            }
        }
    }

    /// Takes out what was the next, unless something newer of the person has come meanwhile.
    pub(super) fn done(&self, observation: &PersonObservation) {
        let mut waiting = self.lock();
        let sub = &observation.person.sub;
        if waiting.by_sub.get(sub) == Some(observation) {
            waiting.by_sub.remove(sub);
            waiting.order.pop_front();
        }
    }

    /// Takes out what waits of a person.
    pub(super) fn forget(&self, sub: &str) {
        let mut waiting = self.lock();
        waiting.by_sub.remove(sub);
        waiting.order.retain(|other| other != sub);
    }
}
