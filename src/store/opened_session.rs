//! Sessions that are open: one that was asked for, and one as its user's list shows it.

use crate::domain::clock::Timestamp;
use crate::domain::principal::IdentityResponse;
use crate::domain::session::{Session, SessionId, SessionSummary};
use crate::domain::store_key::SessionKey;
use crate::domain::token::TokenSet;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An opened session, without its tokens unless every request needs them.
#[derive(Debug)]
pub struct OpenedSession {
    /// Its id.
    pub id: SessionId,
    /// The session.
    pub session: Session,
    /// Who it is, ready to be answered.
    pub identity: IdentityResponse,
    /// Its tokens, where [`CachePolicy::keep_tokens`](super::CachePolicy::keep_tokens) says so and the store has them.
    pub tokens: Option<TokenSet>,
    /// What it takes of memory, about.
    pub(super) bytes: u64,
    pub(super) last_used: AtomicU64,
}

impl OpenedSession {
    pub(super) fn new(id: SessionId, session: Session, tokens: Option<TokenSet>, last_used: Timestamp) -> Arc<Self> {
        let identity = IdentityResponse::new(&session.principal, Some(session.ends));
        let texts = tokens.iter().flat_map(|tokens| [Some(&tokens.access), Some(&tokens.id), tokens.refresh.as_ref()]);
        let texts: usize = texts.flatten().map(|token| token.expose_secret().len()).sum();
        // As measured; the principal holds once more what its JSON says, in pieces.
        let bytes = 1_600 + texts as u64 + identity.bytes() + identity.json.len() as u64;
        Arc::new(Self { id, session, identity, tokens, bytes, last_used: AtomicU64::new(last_used.as_secs()) })
    }

    /// When it was last used, to a minute.
    pub fn last_used(&self) -> Timestamp {
        Timestamp::from_secs(self.last_used.load(Ordering::Relaxed))
    }
}

/// A session that was ended.
#[derive(Debug)]
pub struct RemovedSession {
    /// The session.
    pub session: Session,
    /// Its tokens, where the store had them.
    pub tokens: Option<TokenSet>,
}

/// A session of a list that was ended.
#[derive(Debug)]
pub struct RemovedListed {
    /// What was known of it last.
    pub summary: SessionSummary,
    /// What is left to be revoked.
    pub refresh: Option<SecretString>,
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
