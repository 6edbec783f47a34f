//! Renewals that the provider refuses without saying that the refresh token is dead: one that keeps to it for an hour
//! has said so. Each process counts for itself.

use crate::domain::store_key::SessionKey;
use crate::provider;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long a provider has to keep refusing, seconds.
const STEADY: u64 = 3_600;
/// And how often.
const TIMES: u32 = 3;
/// Nobody has asked for so long: forgotten, seconds.
const FORGOTTEN: u64 = 86_400;

#[derive(Debug)]
struct RefusedRenewal {
    /// Epoch seconds.
    first: u64,
    last: u64,
    times: u32,
}

/// The sessions whose last renewals were refused so.
#[derive(Debug, Default)]
pub(super) struct RenewalRefusals(Mutex<HashMap<SessionKey, RefusedRenewal>>);

impl RenewalRefusals {
    /// Notes at `now` that the renewal of a session failed. Whether its refresh token is dead by all appearances.
    pub(super) fn are_steady(&self, key: SessionKey, error: &provider::Error, now: u64) -> bool {
        let mut refused = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !error.may_be_invalid_grant() {
            // Whatever went wrong, it was something else: what came before does not count any more.
            refused.remove(&key);
            return false;
        }
        refused.retain(|_, entry| now.saturating_sub(entry.last) < FORGOTTEN);
        let entry = refused.entry(key).or_insert(RefusedRenewal { first: now, last: now, times: 0 });
        entry.last = now;
        entry.times = entry.times.saturating_add(1);
        entry.times >= TIMES && now.saturating_sub(entry.first) >= STEADY
    }

    /// The session was renewed.
    pub(super) fn forget(&self, key: SessionKey) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}
