//! The writes of this process that a store may lose: a fail-over forgets the last moments, somebody
//! empties it. What was written lately is kept until it is safe, to be written again.

use super::{DELETED_FOR, Error, Record, SessionStore, Update};
use crate::domain::session::{Mark, SessionKey};
use futures_util::stream::{self, StreamExt, TryStreamExt};
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
/// Marks written at once.
const AT_ONCE: usize = 64;

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

    /// What may have been lost just now.
    pub(super) fn lately(&self) -> Lately {
        let mut kept = self.kept();
        kept.prune();
        Lately { writes: kept.writes.clone().into(), marks: kept.marks.iter().map(|(m, until)| (*m, *until)).collect() }
    }
}

/// The writes of the last moments.
#[derive(Debug)]
pub(super) struct Lately {
    writes: Vec<(Instant, Write)>,
    marks: Vec<(Mark, u64)>,
}

impl Lately {
    /// Writes everything again, in order. Each write does nothing if it is there.
    pub(super) async fn replay(&self, store: &dyn SessionStore) -> Result<(), Error> {
        let marks = stream::iter(self.marks.clone()).map(|(mark, until)| store.mark(mark, until));
        marks.buffer_unordered(AT_ONCE).try_for_each(async |_| Ok(())).await?;
        for (at, write) in &self.writes {
            // While its end is remembered for certain.
            let safe = at.elapsed() < DELETED_FOR / 2;
            match write {
                Write::Delete(key) => drop(store.delete(*key).await?),
                Write::Create(key, record) if safe => drop(store.create(*key, record.clone()).await?),
                Write::Update(key, expected, record) if safe => {
                    // Where even the session was lost, the latest of it is all there is.
                    let updated = store.update(*key, *expected, record.clone(), None).await?;
                    if updated == Update::Gone {
                        store.create(*key, record.clone()).await?;
                    }
                }
                _ => {}
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::session::SessionId;
    use crate::store::memory::Memory;

    #[tokio::test]
    async fn a_session_renewed_lately_comes_back_though_all_of_it_was_lost() {
        let (store, journal) = (Memory::default(), Journal::default());
        let [renewed, ended] = [(); 2].map(|()| SessionId::random().key());
        let record = Record { version: 2, ends: u64::MAX, ..Record::default() };
        journal.note(Write::Update(renewed, 1, record.clone()));
        journal.note(Write::Update(ended, 1, record.clone()));
        store.delete(ended).await.unwrap();
        journal.lately().replay(&store).await.unwrap();
        assert_eq!(store.load(renewed).await.unwrap(), Some(record));
        assert_eq!(store.load(ended).await.unwrap(), None, "its end is remembered");
    }
}
