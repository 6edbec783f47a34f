//! Sessions that are open: one that was asked for, and one as its user's list shows it.

use super::encoding::{decode, encode};
use crate::domain::clock::Timestamp;
use crate::domain::identity::IdentityResponse;
use crate::domain::principal::Principal;
use crate::domain::session::{Session, SessionId, SessionSummary};
use crate::domain::store_key::SessionKey;
use crate::domain::token::TokenSet;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a remembered session takes beside its texts.
const OVERHEAD: usize = 500;

/// An opened session, in as little memory as it can be answered from: what each request reads stands ready, the rest is
/// decoded when something needs it. Without its tokens, unless every request needs them.
#[derive(Debug)]
pub struct OpenedSession {
    /// Its id.
    pub id: SessionId,
    /// [`Session::version`].
    pub version: u64,
    /// [`Session::refresh_version`].
    pub refresh_version: u64,
    /// [`Session::started`].
    pub started: Timestamp,
    /// [`Session::renewed`].
    pub renewed: Timestamp,
    /// [`Session::ends`].
    pub ends: Timestamp,
    /// When the access token runs out.
    pub expires_at: Timestamp,
    /// Whether there is a refresh token.
    pub renewable: bool,
    /// Who it is, ready to be answered.
    pub identity: IdentityResponse,
    /// Its tokens, where [`CachePolicy::keep_tokens`](super::CachePolicy::keep_tokens) says so and the store has them.
    pub tokens: Option<Box<TokenSet>>,
    /// The session without its principal, which the identity has.
    encoded: Box<[u8]>,
    pub(super) last_used: AtomicU64,
}

impl OpenedSession {
    pub(super) fn new(
        id: SessionId,
        mut session: Session,
        tokens: Option<TokenSet>,
        last_used: Timestamp,
    ) -> Arc<Self> {
        let principal = std::mem::take(&mut session.principal);
        Arc::new(Self {
            id,
            version: session.version,
            refresh_version: session.refresh_version,
            started: session.started,
            renewed: session.renewed,
            ends: session.ends,
            expires_at: session.tokens.expires_at,
            renewable: session.tokens.renewable,
            identity: IdentityResponse::new(&principal, Some(session.ends)),
            tokens: tokens.map(Box::new),
            encoded: encode(&session).as_slice().into(),
            last_used: AtomicU64::new(last_used.as_secs()),
        })
    }

    /// The whole session.
    pub fn session(&self) -> Session {
        let session: Session = decode(&self.encoded).expect("it was encoded here");
        Session { principal: self.principal(), ..session }
    }

    /// Who signed in.
    pub fn principal(&self) -> Principal {
        self.identity.principal()
    }

    /// The life left in the access token at `now`.
    pub fn remaining(&self, now: Timestamp) -> Duration {
        self.expires_at.since(now)
    }

    /// What it takes of memory, about.
    pub(super) fn bytes(&self) -> u64 {
        let tokens = self.tokens.iter().flat_map(|t| [Some(&t.access), Some(&t.id), t.refresh.as_ref()]).flatten();
        let tokens: usize = tokens.map(|token| token.expose_secret().len()).sum();
        // As measured.
        (OVERHEAD + tokens + self.encoded.len()) as u64 + self.identity.bytes()
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
