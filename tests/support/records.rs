//! Records for stores that remove what is over by their own clocks.

use super::at;
use auth_api::domain::clock::Timestamp;
use auth_api::domain::session::SessionId;
use auth_api::domain::store_key::SessionKey;
use auth_api::store::{SealedSession, SealedTokens};
use std::time::Duration;

/// Far in the future.
pub(crate) const ENDS: Timestamp = at(4_000_000_000);

pub(crate) fn record(version: u64) -> SealedSession {
    SealedSession {
        version,
        ends: ENDS,
        last_used: ENDS - Duration::from_secs(1_000),
        sealed: b"sealed".to_vec(),
        summary: b"card".to_vec(),
        listed: vec![],
        tokens: SealedTokens::default(),
    }
}

pub(crate) fn key() -> SessionKey {
    SessionId::random().key()
}
