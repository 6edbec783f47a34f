//! What a store that serves one process remembers beside its records: who renews which session, and what
//! was deleted lately.

use super::{FencingToken, LeaseOutcome, LeaseRelease, MIN_TOMBSTONE_TTL};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::SessionKey;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(super) struct InProcessLeases(Mutex<LeaseTable>);

#[derive(Debug, Default)]
struct LeaseTable {
    last: u64,
    leases: HashMap<SessionKey, Lease>,
    /// Until when each is kept, by the machine's time and by the service's clock.
    tombstones: HashMap<SessionKey, (Instant, Timestamp)>,
}

#[derive(Debug)]
struct Lease {
    /// `None` once it was given back.
    holder: Option<FencingToken>,
    /// Whether the last holder left in doubt.
    doubt: bool,
    until: Instant,
}

impl InProcessLeases {
    fn inner(&self) -> MutexGuard<'_, LeaseTable> {
        // No code that holds this lock leaves anything half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`SessionStore::lease`](super::SessionStore::lease) of a session that exists.
    pub(super) fn lease(&self, key: SessionKey, ttl: Duration) -> LeaseOutcome {
        let (now, inner) = (Instant::now(), &mut *self.inner());
        let abandoned = match inner.leases.get(&key) {
            Some(lease) if now < lease.until => {
                return lease.holder.map_or(LeaseOutcome::Paused(lease.until - now), |_| LeaseOutcome::Held);
            }
            Some(lease) => lease.holder.is_some() || lease.doubt,
            None => false,
        };
        inner.last += 1;
        let fencing_token = FencingToken(inner.last);
        inner.leases.insert(key, Lease { holder: Some(fencing_token), doubt: false, until: now + ttl });
        LeaseOutcome::Taken { fencing_token, abandoned }
    }

    pub(super) fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> bool {
        let mut inner = self.inner();
        let lease = inner.leases.get_mut(&key).filter(|lease| lease.holder == Some(fencing_token));
        lease.map(|lease| lease.until = Instant::now() + ttl).is_some()
    }

    pub(super) fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) {
        let mut inner = self.inner();
        if inner.leases.get(&key).is_none_or(|lease| lease.holder != Some(fencing_token)) {
            return;
        }
        let paused = |pause, doubt| Lease { holder: None, doubt, until: Instant::now() + pause };
        match after {
            LeaseRelease::Free => inner.leases.remove(&key),
            LeaseRelease::CoolDown(pause) => inner.leases.insert(key, paused(pause, false)),
            LeaseRelease::OutcomeUnknown(pause) => inner.leases.insert(key, paused(pause, true)),
        };
    }

    /// Whether a writer with this fence may write: nobody took the lease after it.
    pub(super) fn admits(&self, key: SessionKey, fencing_token: Option<FencingToken>) -> bool {
        let inner = self.inner();
        let holder = inner.leases.get(&key).and_then(|lease| lease.holder);
        fencing_token.is_none_or(|fencing_token| holder.is_none_or(|holder| holder == fencing_token))
    }

    pub(super) fn note_deleted(&self, key: SessionKey, until: Timestamp) {
        let mut inner = self.inner();
        inner.leases.remove(&key);
        inner.tombstones.insert(key, (Instant::now() + MIN_TOMBSTONE_TTL, until));
    }

    /// Until when the session's tombstone is kept.
    pub(super) fn tombstone(&self, key: SessionKey) -> Option<Timestamp> {
        let inner = self.inner();
        inner.tombstones.get(&key).filter(|(kept, _)| Instant::now() < *kept).map(|(_, until)| *until)
    }

    /// Forgets what no longer counts.
    pub(super) fn sweep(&self) {
        let (now, mut inner) = (Instant::now(), self.inner());
        inner.leases.retain(|_, lease| lease.holder.is_some() || lease.doubt || now < lease.until);
        inner.tombstones.retain(|_, (kept, _)| now < *kept);
    }
}
