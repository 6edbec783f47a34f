//! The tokens that the provider issued for a session.

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

mod exposed_option {
    use super::*;

    pub(super) fn serialize<S: Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(ExposeSecret::expose_secret).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(SecretString::from))
    }
}
