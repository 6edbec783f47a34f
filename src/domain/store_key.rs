//! The keys of a store: SHA-256 hashes, so that a stolen store holds neither session ids nor tokens.

use super::clock::Timestamp;
use super::seal::sha256;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// The key of a session: the SHA-256 of its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(pub [u8; 32]);

impl SessionKey {
    /// A public name of the session for its user's list; it opens nothing.
    pub fn handle(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&digest("handle", &BASE64_URL_SAFE_NO_PAD.encode(self.0))[..12])
    }
}

/// The key of an index of sessions: all of a user, or all of one session at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IndexKey(pub [u8; 32]);

impl IndexKey {
    /// The sessions of a user, by the provider's `sub`.
    pub fn user(sub: &str) -> Self {
        Self(digest("user", sub))
    }

    /// The sessions that belong to one session at the provider, by its `sid` (OIDC Back-Channel Logout §2.1).
    pub fn provider_session(sid: &str) -> Self {
        Self(digest("sid", sid))
    }
}

/// The key of what no longer counts: a revoked token or authentication, or a code or logout token that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RevocationKey(pub [u8; 32]);

impl RevocationKey {
    /// A token, by its `jti`, or all tokens of one sign-in, by their `origin_jti`.
    pub fn token(jti: &str) -> Self {
        Self(digest("jti", jti))
    }

    /// A token without a `jti`, by its whole text.
    pub fn whole_token(token: &str) -> Self {
        Self(digest("token", token))
    }

    /// A token that was fetched here, by its SHA-256.
    pub fn machine_token(hash: &[u8; 32]) -> Self {
        Self(digest("token hash", &BASE64_URL_SAFE_NO_PAD.encode(hash)))
    }

    /// All tokens of one session at the provider, by its `sid`.
    pub fn provider_session(sid: &str) -> Self {
        Self(IndexKey::provider_session(sid).0)
    }

    /// An authorization code, by the `state` that it came with: it counts once.
    pub fn authorization_code(state: &str) -> Self {
        Self(digest("code", state))
    }

    /// A logout token, by its `jti`: it counts once.
    pub fn logout_token(jti: &str) -> Self {
        Self(digest("logout", jti))
    }

    /// A session that was ended from elsewhere: its browser has to authenticate again.
    pub fn remote_sign_out(session: SessionKey) -> Self {
        Self(digest("remote sign-out", &BASE64_URL_SAFE_NO_PAD.encode(session.0)))
    }

    /// What a user did at the provider at `auth_time` (OIDC Core §2), in one browser.
    pub fn authentication(sub: &str, auth_time: Timestamp) -> Self {
        Self(digest("authentication", &format!("{auth_time} {sub}")))
    }

    /// All that a user did there up to some time.
    pub fn authentications(sub: &str) -> Self {
        Self(digest("authentications", sub))
    }

    /// Not of a token: all sessions, up to some time.
    pub fn all_sessions() -> Self {
        Self(digest("store", "all sessions"))
    }

    /// Not of a token: written by a process that has found the store to lack acknowledged writes.
    pub fn lost_writes() -> Self {
        Self(digest("store", "lost writes"))
    }
}

/// The kind holds no NUL, so kind and name cannot run into each other.
fn digest(kind: &'static str, name: &str) -> [u8; 32] {
    sha256(format!("{kind}\0{name}").as_bytes())
}
