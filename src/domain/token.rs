//! The tokens that the provider issued for a session.

use super::session::Mark;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What the token endpoint answered (RFC 6749 §5.1, OIDC Core §3.1.3.3), already verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenSet {
    /// The access token.
    #[serde(with = "exposed")]
    pub access: SecretString,
    /// The ID token as it came.
    #[serde(with = "exposed")]
    pub id: SecretString,
    /// The refresh token, where the provider gave one. It never leaves the service.
    #[serde(with = "exposed_option")]
    pub refresh: Option<SecretString>,
    /// When the access token runs out, epoch seconds.
    pub expires_at: u64,
    /// What the tokens are called.
    pub names: TokenNames,
    /// The provider's own session (`sid`), where it says.
    pub provider_session: Option<Mark>,
}

/// What tokens are called, so that they can be refused when their session has ended.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenNames {
    /// Their `origin_jti`, or each one's `jti`.
    pub marks: Vec<Mark>,
    /// When the last of them runs out, epoch seconds.
    pub until: u64,
}

impl TokenNames {
    /// As many as are kept: a provider that names the sign-in needs one, others two for each renewal.
    const MOST: usize = 6;

    /// Adds the names of a token that runs out at `until`, the newest first.
    pub fn add(&mut self, marks: impl IntoIterator<Item = Mark>, until: u64) {
        for mark in marks {
            if self.marks.len() < Self::MOST && !self.marks.contains(&mark) {
                self.marks.push(mark);
            }
        }
        self.until = self.until.max(until);
    }
}

impl TokenSet {
    /// Seconds of life left in the access token at `now`.
    pub fn remaining(&self, now: u64) -> u64 {
        self.expires_at.saturating_sub(now)
    }
}

// Tokens are written only into records that are sealed right after.
mod exposed {
    use super::*;

    pub(super) fn serialize<S: Serializer>(secret: &SecretString, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(secret.expose_secret())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }
}

pub(super) mod exposed_option {
    use super::*;

    pub fn serialize<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(ExposeSecret::expose_secret).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
    }
}
