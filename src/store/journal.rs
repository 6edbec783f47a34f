//! The records that this process wrote recently, kept until they are replicated, so that they can be restored after
//! a fail-over or after the store was emptied.

use super::SealedSession;
use crate::domain::store_key::SessionKey;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a store may take to have a write on more than one machine.
pub(super) const REPLICATION_WINDOW: Duration = Duration::from_secs(45);
/// Writes kept at most.
const WRITES: usize = 5_000;

/// The records that were created or updated within [`REPLICATION_WINDOW`].
#[derive(Debug, Default)]
pub(super) struct WriteJournal(Mutex<VecDeque<(Instant, SessionKey, SealedSession)>>);

impl WriteJournal {
    fn writes(&self) -> MutexGuard<'_, VecDeque<(Instant, SessionKey, SealedSession)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, key: SessionKey, record: SealedSession) {
        let mut writes = self.writes();
        writes.push_back((Instant::now(), key, record));
        prune(&mut writes);
    }

    /// Forgets what is safe.
    pub(super) fn sweep(&self) {
        prune(&mut self.writes());
    }

    /// The newest record of each session that may have been lost just now.
    pub(super) fn recent(&self) -> BTreeMap<SessionKey, SealedSession> {
        let mut writes = self.writes();
        prune(&mut writes);
        // A later write of a session replaces an earlier one.
        writes.iter().map(|(_, key, record)| (*key, record.clone())).collect()
    }
}

impl WriteJournal {
    /// The newest record of one session.
    pub(super) fn newest(&self, key: SessionKey) -> Option<SealedSession> {
        self.writes().iter().rev().find(|(_, written, _)| *written == key).map(|(_, _, record)| record.clone())
    }
}

fn prune(writes: &mut VecDeque<(Instant, SessionKey, SealedSession)>) {
    while writes.front().is_some_and(|(at, ..)| at.elapsed() > REPLICATION_WINDOW) || writes.len() > WRITES {
        writes.pop_front();
    }
}
