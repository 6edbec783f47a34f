//! What a process remembers, for the simulation: whether somebody is left who knows what the store has lost.

use super::Sessions;
use super::tombstones::TombstoneKey;
use crate::domain::clock::Timestamp;
use crate::domain::store_key::{RevocationKey, SessionKey};

impl Sessions {
    /// The newest version of a session that this process could write back, and when that would end: without its tokens it
    /// lasts as long as they do.
    pub(crate) fn remembered(&self, key: SessionKey) -> Option<(u64, Timestamp)> {
        let at_hand = self.cache.peek(&key).map(|opened| (opened.version, opened.session().ends_without_tokens()));
        at_hand.max(self.journal.newest(key).map(|record| (record.version, record.ends)))
    }

    /// Whether this process knows that a session has ended.
    pub(crate) fn remembers_end(&self, key: SessionKey) -> bool {
        self.cache.tombstones.contains(TombstoneKey::Session(key))
    }

    /// Whether this process knows a mark.
    pub(crate) fn remembers_revocation(&self, revocation_key: RevocationKey) -> bool {
        self.cache.tombstones.contains(TombstoneKey::Token(revocation_key))
    }
}
