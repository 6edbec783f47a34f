//! What a process remembers, for the simulation: whether somebody is left who knows what the store has lost.

use super::Sessions;
use super::tombstones::TombstoneKey;
use crate::domain::store_key::{RevocationKey, SessionKey};

impl Sessions {
    /// Whether this process could write a session back.
    pub(crate) fn remembers(&self, key: SessionKey) -> bool {
        self.cache.peek(&key).is_some() || self.journal.recent().contains_key(&key)
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
