//! Renewals that the provider refuses without saying that the refresh token is dead: one that keeps to it for an hour
//! has said so. Each process counts for itself.

use crate::domain::clock::Timestamp;
use crate::domain::store_key::SessionKey;
use crate::provider;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a provider has to keep refusing.
const MIN_DURATION: Duration = Duration::from_secs(3_600);
/// And how often.
const MIN_REFUSALS: u32 = 3;
/// The time without a renewal after which a session's refusals are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct RefusedRenewal {
    first: Timestamp,
    last: Timestamp,
    times: u32,
}

/// The sessions whose last renewals were refused so.
#[derive(Debug, Default)]
pub(super) struct RenewalRefusals(Mutex<HashMap<SessionKey, RefusedRenewal>>);

impl RenewalRefusals {
    /// Records a failed renewal at `now`. Returns whether the refusals are persistent enough to treat the refresh token
    /// as revoked.
    pub(super) fn record_failure(&self, key: SessionKey, error: &provider::Error, now: Timestamp) -> bool {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !error.may_be_invalid_grant() {
            // Whatever went wrong, it was something else: what came before does not count any more.
            refused.remove(&key);
            return false;
        }
        refused.retain(|_, entry| now.since(entry.last) < FORGET_AFTER);
        let entry = refused.entry(key).or_insert(RefusedRenewal { first: now, last: now, times: 0 });
        entry.last = now;
        entry.times = entry.times.saturating_add(1);
        entry.times >= MIN_REFUSALS && now.since(entry.first) >= MIN_DURATION
    }

    /// The session was renewed.
    pub(super) fn forget(&self, key: SessionKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
