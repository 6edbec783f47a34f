//! What the copies of one callback have in common, and nobody else.

use super::clock::Timestamp;
use super::seal::{KeyRing, Purpose, sha256};
use super::store_key::{RevocationKey, SessionKey};
use zeroize::Zeroizing;

/// Where the claim of a callback's code and the outcome of its exchange are kept, and what opens that outcome: a
/// key from the transaction in the browser's own cookie. Who has the store and the server's keys has not that.
#[derive(Debug)]
pub struct CallbackKey {
    claim: RevocationKey,
    outcome: SessionKey,
    until: Timestamp,
    ring: KeyRing,
}

impl CallbackKey {
    /// The key of the sign-in with this `state` and code `verifier`, needed until `until`.
    pub(super) fn new(state: &str, verifier: &[u8; 32], until: Timestamp) -> Self {
        let outcome = SessionKey(sha256(format!("callback outcome\0{state}").as_bytes()));
        Self {
            claim: RevocationKey::authorization_code(state),
            outcome,
            until,
            ring: KeyRing::new([verifier.as_slice()]),
        }
    }

    /// What is marked when the code is claimed.
    pub fn claim(&self) -> RevocationKey {
        self.claim
    }

    /// Where the outcome is kept.
    pub fn outcome(&self) -> SessionKey {
        self.outcome
    }

    /// Until when copies may come.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Seals an outcome.
    pub fn seal(&self, outcome: &[u8]) -> Vec<u8> {
        self.ring.seal(self.purpose(), outcome)
    }

    /// Opens an outcome; `None` if it was not sealed by this key.
    pub fn open(&self, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        self.ring.open(self.purpose(), sealed).ok()
    }

    fn purpose(&self) -> Purpose<'_> {
        Purpose { label: "callback outcome", context: &self.outcome.0, bound: b"" }
    }
}
