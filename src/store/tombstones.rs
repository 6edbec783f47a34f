//! Tombstones: ended sessions, revoked tokens, and codes and logout tokens that were used.
//!
//! A tombstone outlives the store's data. Every process that wrote or received one rejects the session or token
//! locally from then on, and writes it back if the store has lost it.

use crate::domain::clock::Timestamp;
use crate::domain::store_key::{RevocationKey, SessionKey};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Endings kept of each kind: about 100 MB of both in the worst case.
const MAX_TOMBSTONES: usize = 500_000;
/// How long a tombstone is kept past its expiry: the store also reports the expiry of a key, which must not
/// look like a new tombstone.
const EXPIRY_LAG: Duration = Duration::from_secs(900);
/// How long a reported tombstone is kept whose expiry could not be read.
const UNREADABLE_FOR: Duration = Duration::from_secs(86_400);
/// The same, if it is written back before it could be read: the maximum lifetime of a session.
const UNREAD_FOR: Duration = Duration::from_secs(400 * 86_400);

/// One thing that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TombstoneKey {
    /// A session, by its tombstone.
    Session(SessionKey),
    /// A token or code, by its mark.
    Token(RevocationKey),
}

#[derive(Debug, Clone, Copy)]
struct Tombstone {
    /// `None` until it has been read from the store.
    until: Option<Timestamp>,
    recorded_at: Instant,
}

/// The tombstones that this process wrote or received.
#[derive(Debug, Default)]
pub(super) struct Tombstones {
    table: Mutex<TombstoneTable>,
    /// Notified when a tombstone was reported that is still to be read.
    pub(super) unread_added: Notify,
}

#[derive(Debug, Default)]
struct TombstoneTable {
    tombstones: BTreeMap<TombstoneKey, Tombstone>,
    unread: BTreeSet<TombstoneKey>,
    full: bool,
}

/// What to do about an ending that was read in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reconciliation {
    /// The store has it, or it is past.
    Settled,
    /// The store has lost it: to be written again until then.
    Lost(Timestamp),
}

impl Tombstones {
    fn table(&self) -> MutexGuard<'_, TombstoneTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an ending that lasts until `until`.
    pub(super) fn record(&self, ended: TombstoneKey, until: Timestamp) {
        let mut table = self.table();
        table.unread.remove(&ended);
        let before = table.tombstones.get(&ended).and_then(|ending| ending.until);
        table.insert(ended, Some(until.max(before.unwrap_or_default())));
    }

    /// Records a tombstone whose key the store reported as written, expired or evicted; it was valid in each case.
    pub(super) fn record_unread(&self, ended: TombstoneKey) {
        let mut table = self.table();
        if !table.tombstones.contains_key(&ended) {
            table.insert(ended, None);
        }
        drop(table);
        self.record_reported(ended);
    }

    /// Has a tombstone read whose key the store reported; only one that it has counts.
    pub(super) fn record_reported(&self, ended: TombstoneKey) {
        self.table().unread.insert(ended);
        self.unread_added.notify_one();
    }

    /// Whether it is known to be over.
    pub(super) fn contains(&self, ended: TombstoneKey) -> bool {
        self.table().tombstones.contains_key(&ended)
    }

    /// Until when it is over. Without end, where that could not be read yet.
    pub(super) fn until(&self, ended: TombstoneKey) -> Option<Timestamp> {
        self.table().tombstones.get(&ended).map(|ending| ending.until.unwrap_or(Timestamp::from_secs(u64::MAX)))
    }

    /// Takes the tombstones that were reported and not read yet.
    pub(super) fn take_unread(&self) -> Vec<TombstoneKey> {
        std::mem::take(&mut self.table().unread).into_iter().collect()
    }

    /// Merges the expiry read from the store, or its absence.
    pub(super) fn reconcile(&self, ended: TombstoneKey, found: Option<Timestamp>, now: Timestamp) -> Reconciliation {
        let mut table = self.table();
        let Some(ending) = table.tombstones.get_mut(&ended) else {
            if found.is_some() {
                table.insert(ended, found);
            }
            return Reconciliation::Settled;
        };
        match (found, ending.until) {
            (Some(until), table) => {
                ending.until = Some(until.max(table.unwrap_or_default()));
                Reconciliation::Settled
            }
            (None, Some(until)) if now < until => Reconciliation::Lost(until),
            (None, Some(_)) => Reconciliation::Settled,
            (None, None) => {
                ending.until = Some(now + UNREADABLE_FOR);
                Reconciliation::Settled
            }
        }
    }

    /// What may have to be written back at `now`: all that is not past, or only what was noted within `lately`.
    /// Marks come after sessions.
    pub(super) fn to_write_back(&self, within: Option<Duration>, now: Timestamp) -> Vec<(TombstoneKey, Timestamp)> {
        let table = self.table();
        let wanted =
            table.tombstones.iter().filter(|(_, ending)| within.is_none_or(|age| ending.recorded_at.elapsed() <= age));
        let until = wanted.map(|(ended, ending)| (*ended, ending.until.unwrap_or(now + UNREAD_FOR)));
        until.filter(|(_, until)| now < *until).collect()
    }

    /// Forgets what is long past.
    pub(super) fn sweep(&self, now: Timestamp) {
        let mut table = self.table();
        table.tombstones.retain(|_, ending| ending.until.is_none_or(|until| now <= until + EXPIRY_LAG));
        table.full = false;
    }
}

impl TombstoneTable {
    fn insert(&mut self, ended: TombstoneKey, until: Option<Timestamp>) {
        if self.tombstones.len() >= MAX_TOMBSTONES && !self.tombstones.contains_key(&ended) {
            if !std::mem::replace(&mut self.full, true) {
                tracing::error!(
                    limit = MAX_TOMBSTONES,
                    "tombstone table full: further tombstones are kept in the store only"
                );
            }
            return;
        }
        self.tombstones.insert(ended, Tombstone { until, recorded_at: Instant::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;

    const NOW: Timestamp = at(1_000_000);

    fn later(seconds: u64) -> Timestamp {
        NOW + Duration::from_secs(seconds)
    }

    fn ended(byte: u8) -> TombstoneKey {
        TombstoneKey::Session(SessionKey([byte; 32]))
    }

    #[test]
    fn what_was_heard_of_is_over_before_and_after_it_is_read() {
        let tombstones = Tombstones::default();
        tombstones.record_unread(ended(1));
        assert!(tombstones.contains(ended(1)) && !tombstones.contains(ended(2)));
        assert_eq!(tombstones.take_unread(), [ended(1)]);
        assert_eq!(tombstones.to_write_back(None, NOW), [(ended(1), NOW + UNREAD_FOR)], "lost before it could be read");
        assert_eq!(tombstones.reconcile(ended(1), Some(later(50)), NOW), Reconciliation::Settled);
        assert_eq!(tombstones.to_write_back(None, NOW), [(ended(1), later(50))]);
        assert!(tombstones.take_unread().is_empty());
    }

    #[test]
    fn what_the_store_has_lost_is_written_back_and_what_expired_is_not() {
        let tombstones = Tombstones::default();
        tombstones.record(ended(1), later(50));
        tombstones.record_unread(ended(1));
        assert_eq!(tombstones.reconcile(ended(1), None, NOW), Reconciliation::Lost(later(50)));
        assert_eq!(tombstones.reconcile(ended(1), None, later(50)), Reconciliation::Settled);
        tombstones.sweep(later(51));
        assert!(tombstones.contains(ended(1)), "the store may still announce that it expired");
        tombstones.sweep(later(51) + EXPIRY_LAG);
        assert!(!tombstones.contains(ended(1)));
    }

    #[test]
    fn the_later_end_counts() {
        let tombstones = Tombstones::default();
        tombstones.record(ended(1), later(50));
        tombstones.record(ended(1), later(20));
        assert_eq!(tombstones.to_write_back(Some(Duration::from_secs(60)), NOW), [(ended(1), later(50))]);
    }
}
