//! The clients that are registered in the store: one sealed text for all processes, changed by compare-and-set. It does
//! not expire, and a process that remembers it writes it back to a store that has lost it.

use super::{Error, RestoreOutcome, SealedSession, SessionStore, UpdateOutcome};
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, Purpose, sha256};
use crate::domain::store_key::SessionKey;
use std::sync::Arc;

const LABEL: &str = "client registrations";
/// The end of the year 9999, the last that every store can keep.
const NEVER: Timestamp = Timestamp::from_secs(253_402_300_799);

/// The text in `store`.
#[derive(Debug)]
pub struct ClientRegistrations {
    store: Arc<dyn SessionStore>,
    ring: Arc<KeyRing>,
}

/// One version of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationsText {
    /// Counts the changes, from 1.
    pub version: u64,
    /// What was written.
    pub text: String,
    /// Whether the first of the keys sealed it.
    pub is_current: bool,
}

impl ClientRegistrations {
    /// The registrations in `store`.
    pub fn new(store: Arc<dyn SessionStore>, ring: Arc<KeyRing>) -> Self {
        Self { store, ring }
    }

    /// What the store has, if anything was ever registered.
    ///
    /// # Errors
    /// [`Error`]: whether there is something is not known.
    pub async fn load(&self) -> Result<Option<RegistrationsText>, Error> {
        let Some(record) = self.store.load(key()).await? else { return Ok(None) };
        let plain = self.ring.open(purpose(&key(), &record.version.to_le_bytes()), &record.sealed);
        let text = plain.ok().and_then(|plain| String::from_utf8(plain.to_vec()).ok()).ok_or_else(|| {
            Error::OtherDeployment("its registered clients were sealed with a key that is not in cookies.keys".into())
        })?;
        let is_current = self.ring.is_current(&record.sealed);
        Ok(Some(RegistrationsText { version: record.version, text, is_current }))
    }

    /// Writes `text` after the version `after`; 0 if there is none. `false`, and nothing written, if another was faster.
    ///
    /// # Errors
    /// [`Error`]: whether it was written is not known.
    pub async fn put(&self, after: u64, text: &str) -> Result<bool, Error> {
        match after {
            0 => self.store.create(key(), self.seal(1, text)).await,
            after => self.replace(after, after + 1, text).await,
        }
    }

    /// Writes `text` as `version` in place of the version `before`. `false`, and nothing written, if another was faster.
    ///
    /// # Errors
    /// As [`ClientRegistrations::put`].
    pub async fn replace(&self, before: u64, version: u64, text: &str) -> Result<bool, Error> {
        Ok(self.store.update(key(), before, self.seal(version, text), None).await? == UpdateOutcome::Done)
    }

    /// Writes back a version that the store has lost. `false` if it has the same or a newer one.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn restore(&self, version: u64, text: &str) -> Result<bool, Error> {
        Ok(self.store.restore(key(), self.seal(version, text)).await? == RestoreOutcome::Done)
    }

    fn seal(&self, version: u64, text: &str) -> SealedSession {
        let sealed = self.ring.seal(purpose(&key(), &version.to_le_bytes()), text.as_bytes());
        SealedSession { version, ends: NEVER, last_used: NEVER, sealed, ..SealedSession::default() }
    }
}

fn key() -> SessionKey {
    SessionKey(sha256(LABEL.as_bytes()))
}

fn purpose<'a>(key: &'a SessionKey, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: LABEL, context: &key.0, bound }
}
