//! Sessions as they were read while memory was not believed: a record that is the same still is not opened again.

use super::{OpenedSession, SealedSession};
use crate::domain::store_key::SessionKey;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Sessions remembered.
const CAPACITY: usize = 10_000;

#[derive(Debug)]
pub(super) struct ReadSessions(Cache<SessionKey, ReadSession>);

#[derive(Debug, Clone)]
struct ReadSession {
    opened: Arc<OpenedSession>,
    /// What it was opened from.
    record: Arc<SealedSession>,
}

impl Default for ReadSessions {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

impl ReadSessions {
    /// What `record` opens to, if it did before.
    pub(super) fn get(&self, key: &SessionKey, record: &SealedSession) -> Option<Arc<OpenedSession>> {
        let read = self.0.get(key)?;
        // All that opening reads.
        let old = &read.record;
        let same_bounds = (old.version, old.ends) == (record.version, record.ends);
        (same_bounds && old.sealed == record.sealed && old.summary == record.summary).then(|| {
            read.opened.last_used.fetch_max(record.last_used.as_secs(), Ordering::Relaxed);
            read.opened
        })
    }

    pub(super) fn insert(&self, key: SessionKey, record: SealedSession, opened: Arc<OpenedSession>) {
        self.0.insert(key, ReadSession { opened, record: Arc::new(record) });
    }

    pub(super) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::tests::session;
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::session::SessionId;

    #[test]
    fn only_the_same_record_is_not_opened_again() {
        let (reads, id, session) = (ReadSessions::default(), SessionId::random(), session());
        let opened = OpenedSession::new(id, session.clone(), None, at(5));
        let (version, ends) = (session.version, session.ends);
        let parts = |sealed: &[u8], summary: &[u8]| (sealed.to_vec(), summary.to_vec());
        let (sealed, summary) = parts(b"ab", b"c");
        let record = SealedSession { version, ends, last_used: at(7), sealed, summary, ..SealedSession::default() };
        assert!(reads.get(&id.key(), &record).is_none());
        reads.insert(id.key(), record.clone(), opened.clone());
        assert!(Arc::ptr_eq(&reads.get(&id.key(), &record).unwrap(), &opened));
        assert_eq!(opened.last_used(), at(7), "as the store has it");
        assert!(reads.get(&SessionId::random().key(), &record).is_none());
        for other in
            [SealedSession { version: version + 1, ..record.clone() }, SealedSession { ends: at(11), ..record.clone() }]
        {
            assert!(reads.get(&id.key(), &other).is_none());
        }
        for (sealed, summary) in [parts(b"xb", b"c"), parts(b"ab", b"x"), parts(b"a", b"bc"), parts(b"abcd", b"")] {
            assert!(reads.get(&id.key(), &SealedSession { sealed, summary, ..record.clone() }).is_none());
        }
    }
}
