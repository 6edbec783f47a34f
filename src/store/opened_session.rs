//! Sessions that are open: one that was asked for, and one as its user's list shows it.

use crate::domain::clock::Timestamp;
use crate::domain::principal::IdentityResponse;
use crate::domain::session::{Session, SessionId, SessionSummary};
use crate::domain::store_key::SessionKey;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An opened session.
#[derive(Debug)]
pub struct OpenedSession {
    /// Its id.
    pub id: SessionId,
    /// The session.
    pub session: Session,
    /// Who it is, ready to be answered.
    pub identity: IdentityResponse,
    /// What it takes of memory, about.
    pub(super) bytes: u64,
    pub(super) last_used: AtomicU64,
}

impl OpenedSession {
    pub(super) fn new(id: SessionId, session: Session, last_used: Timestamp) -> Arc<Self> {
        let identity = IdentityResponse::new(&session.principal, Some(session.ends));
        let tokens = &session.tokens;
        let texts = [&tokens.id, &tokens.access].map(|token| token.expose_secret().len()).iter().sum::<usize>()
            + tokens.refresh.as_ref().map_or(0, |token| token.expose_secret().len());
        // The principal holds once more what its JSON says, in pieces.
        let bytes = 1_500 + texts + 3 * identity.json.len();
        Arc::new(Self { id, session, identity, bytes: bytes as u64, last_used: AtomicU64::new(last_used.as_secs()) })
    }

    /// When it was last used, to a minute.
    pub fn last_used(&self) -> Timestamp {
        Timestamp::from_secs(self.last_used.load(Ordering::Relaxed))
    }
}

/// A session as its user's list shows it.
#[derive(Debug)]
pub struct ListedSession {
    pub(super) key: SessionKey,
    /// What is known of it.
    pub summary: SessionSummary,
    /// When it was last used.
    pub last_used: Timestamp,
    /// The absolute end.
    pub ends: Timestamp,
}

impl ListedSession {
    /// Its name in the list.
    pub fn handle(&self) -> String {
        self.key.handle()
    }
}
