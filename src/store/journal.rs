//! The writes of this process that a store may lose: a fail-over forgets the last moments, somebody
//! empties it. What was written lately is kept until it is safe, to be written again.

use super::{DELETED_FOR, Error, Record, SessionStore};
use crate::domain::session::{Mark, SessionKey};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a store may take to have a write on more than one machine. Less than [`DELETED_FOR`], so that
/// what is put back cannot outlive the memory of its end.
const LATELY: Duration = Duration::from_secs(45);
const _: () = assert!(LATELY.as_secs() < DELETED_FOR.as_secs());
/// Writes kept at most.
const WRITES: usize = 5_000;
/// Marks kept at most.
const MARKS: usize = 100_000;

#[derive(Debug, Clone)]
pub(super) enum Write {
    Create(SessionKey, Record),
    Update(SessionKey, u64, Record),
    Delete(SessionKey),
}

#[derive(Debug, Default)]
pub(super) struct Journal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    writes: VecDeque<(Instant, Write)>,
    marks: HashMap<Mark, u64>,
}

impl Journal {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, write: Write) {
        let mut kept = self.kept();
        kept.writes.push_back((Instant::now(), write));
        kept.prune();
    }

    pub(super) fn note_mark(&self, mark: Mark, until: u64) {
        let mut kept = self.kept();
        if kept.marks.len() < MARKS {
            kept.marks.insert(mark, until);
        }
    }

    /// Forgets what is safe, and marks that are over at `now`.
    pub(super) fn sweep(&self, now: u64) {
        let mut kept = self.kept();
        kept.prune();
        kept.marks.retain(|_, until| now <= *until);
    }

    /// Writes everything again, in order. Each write does nothing if it is there.
    pub(super) async fn replay(&self, store: &dyn SessionStore) -> Result<(), Error> {
        let (writes, marks) = {
            let mut kept = self.kept();
            kept.prune();
            (kept.writes.clone(), kept.marks.clone())
        };
        for (mark, until) in marks {
            store.mark(mark, until).await?;
        }
        for (_, write) in writes {
            match write {
                Write::Create(key, record) => drop(store.create(key, record).await?),
                Write::Update(key, expected, record) => drop(store.update(key, expected, record, None).await?),
                Write::Delete(key) => drop(store.delete(key).await?),
            }
        }
        Ok(())
    }
}

impl Kept {
    fn prune(&mut self) {
        while self.writes.front().is_some_and(|(at, _)| at.elapsed() > LATELY) || self.writes.len() > WRITES {
            self.writes.pop_front();
        }
    }
}
