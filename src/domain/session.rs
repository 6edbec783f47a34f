//! A signed-in browser: an opaque id outside, a sealed record inside.

use super::clock::Timestamp;
use super::principal::Principal;
use super::return_to::ReturnTo;
use super::seal::{random, sha256};
use super::store_key::{IndexKey, SessionKey};
use super::token::{TokenIds, TokenMetadata};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The session cookie's value: 128 random bits. Whoever holds it is signed in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SessionId([u8; 16]);

impl SessionId {
    /// A new id.
    pub fn random() -> Self {
        Self(random())
    }

    /// Reads a cookie value: 22 characters of unpadded base64url. `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut id = [0; 16];
        match BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut id) {
            Ok(16) => Some(Self(id)),
            _ => None,
        }
    }

    /// The id with these bits.
    pub fn from_bytes(id: [u8; 16]) -> Self {
        Self(id)
    }

    /// The raw bits. A secret.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The store's key for this session.
    pub fn key(&self) -> SessionKey {
        SessionKey(sha256(&self.0))
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionId(…)")
    }
}

/// A signed-in browser, without its tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    /// Who signed in, as of the last ID token.
    pub principal: Principal,
    /// What is known of its tokens.
    pub tokens: TokenMetadata,
    /// The sign-in that made it.
    pub sign_in: SignInContext,
    /// When the browser signed in.
    pub started: Timestamp,
    /// When the tokens were issued or last renewed.
    pub renewed: Timestamp,
    /// The absolute end. No refresh moves it.
    pub ends: Timestamp,
    /// Counts the writes of this record, for compare-and-set.
    pub version: u64,
    /// The version that brought the refresh token, or said that there is none: one of another version may be spent.
    pub refresh_version: u64,
}

/// Which sign-in made a session and where that one went, so that a reloaded callback goes there too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignInContext {
    /// [`Transaction::tag`](super::transaction::Transaction::tag).
    pub tag: String,
    /// Its target.
    pub return_to: ReturnTo,
    /// The browser that signed in.
    pub device: Device,
}

/// A browser, as far as it shows.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// What it calls itself (`User-Agent`), cut to a sane length. Foreign text.
    pub agent: String,
    /// The address that it came from.
    pub address: String,
}

/// What can be known of a session without its id, for its user's list and to end it from afar.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct SessionSummary {
    /// Whose it is.
    pub sub: String,
    /// The identity provider's name.
    pub provider: Option<String>,
    /// The user's groups, scopes and verified e-mail address, for who asks why somebody is let in or not.
    pub groups: Vec<String>,
    /// See there.
    pub scopes: Vec<String>,
    /// See there.
    pub email: Option<String>,
    /// Where it was started.
    pub device: Device,
    /// When it was started.
    pub started: Timestamp,
    /// When the user authenticated at the provider, where it says.
    pub auth_time: Option<Timestamp>,
    /// [`Session::refresh_version`].
    pub refresh_version: u64,
    /// What its tokens are refused by when it has ended.
    pub token_ids: TokenIds,
}

impl Session {
    /// Its card.
    pub fn summary(&self) -> SessionSummary {
        SessionSummary {
            sub: self.principal.sub.clone(),
            provider: self.principal.provider.clone(),
            groups: self.principal.groups.clone(),
            scopes: self.principal.scopes.clone(),
            email: self.principal.verified_email().map(str::to_owned),
            device: self.sign_in.device.clone(),
            started: self.started,
            auth_time: self.principal.auth_time,
            refresh_version: self.refresh_version,
            token_ids: self.tokens.ids.clone(),
        }
    }

    /// The session without what its summary has of it.
    #[must_use]
    pub fn without_summary(&self) -> Self {
        self.clone().with_summary(SessionSummary::default())
    }

    /// The whole of a session [without its summary](Self::without_summary).
    #[must_use]
    pub fn with_summary(mut self, summary: SessionSummary) -> Self {
        let principal = &mut self.principal;
        if principal.email_verified {
            principal.email = summary.email;
        }
        principal.sub = summary.sub;
        principal.provider = summary.provider;
        principal.groups = summary.groups;
        principal.scopes = summary.scopes;
        principal.auth_time = summary.auth_time;
        self.sign_in.device = summary.device;
        self.tokens.ids = summary.token_ids;
        self.started = summary.started;
        self.refresh_version = summary.refresh_version;
        self
    }

    /// When it ends if its tokens are lost: it lasts as long as its access token would have, or as long as ever if there
    /// was nothing to renew it with anyway.
    pub fn ends_without_tokens(&self) -> Timestamp {
        if self.tokens.renewable { self.ends.min(self.tokens.expires_at) } else { self.ends }
    }

    /// The session once its tokens are lost.
    pub fn without_tokens(&self) -> Self {
        let tokens = TokenMetadata { renewable: false, ..self.tokens.clone() };
        Self { ends: self.ends_without_tokens(), tokens, ..self.clone() }
    }

    /// What it is listed under.
    pub fn listed(&self) -> Vec<IndexKey> {
        [IndexKey::user(&self.principal.sub)].into_iter().chain(self.tokens.provider_session).collect()
    }
}
