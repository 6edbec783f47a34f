//! Logout tokens (OIDC Back-Channel Logout 1.0 §§2.4 and 2.6): signed by the same keys as ID tokens, and told
//! apart from them by what they must and must not hold.

use super::claims::LEEWAY;
use super::claims::{Audience, numeric_date, optional_numeric_date};
use super::invalid_token::InvalidToken;
use super::keys::VerificationKeys;
use super::verify::{ExpectedClaims, UnverifiedToken};
use super::{Error, Provider};
use crate::domain::clock::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A notice older than this is refused: a provider that repeats itself signs a new one.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// A sign-out at the provider, verified. `sid`, `sub` or both say whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutNotice {
    /// The provider's session that ended.
    pub sid: Option<String>,
    /// The user.
    pub sub: Option<String>,
    /// The notice's own name.
    pub jti: String,
    /// From then on it would be refused for its age.
    pub until: Timestamp,
}

#[derive(Debug, Clone, Deserialize)]
struct LogoutClaims {
    iss: String,
    aud: Audience,
    #[serde(deserialize_with = "numeric_date")]
    exp: Timestamp,
    #[serde(deserialize_with = "numeric_date")]
    iat: Timestamp,
    #[serde(default, deserialize_with = "optional_numeric_date")]
    nbf: Option<Timestamp>,
    jti: String,
    sub: Option<String>,
    sid: Option<String>,
    events: BTreeMap<String, Value>,
    #[serde(flatten)]
    other: BTreeMap<String, Value>,
}

impl UnverifiedToken<'_, LogoutClaims> {
    fn logout_token(self, keys: &VerificationKeys, expected: ExpectedClaims<'_>) -> Result<LogoutNotice, InvalidToken> {
        let typ = self.typ().unwrap_or("JWT");
        if !["logout+jwt", "application/logout+jwt", "JWT"].iter().any(|fine| typ.eq_ignore_ascii_case(fine)) {
            return Err(InvalidToken::TokenUse);
        }
        let claims = self.signed(keys)?;
        claims.judge(expected)
    }
}

impl LogoutClaims {
    fn judge(self, expected: ExpectedClaims<'_>) -> Result<LogoutNotice, InvalidToken> {
        let now = expected.now;
        if self.iss != expected.issuer {
            return Err(InvalidToken::Issuer);
        }
        if !self.aud.as_slice().iter().any(|aud| aud == expected.client_id) {
            return Err(InvalidToken::Audience);
        }
        // An ID token may be signed with the same key for the same client: these keep the two apart.
        let for_another_use = ["nonce"].into_iter().chain(expected.token_use.then_some("token_use"));
        if !self.events.get(EVENT).is_some_and(Value::is_object)
            || for_another_use.into_iter().any(|name| self.other.contains_key(name))
        {
            return Err(InvalidToken::TokenUse);
        }
        if self.exp + LEEWAY <= now || self.iat + AGE_MAX + LEEWAY <= now {
            return Err(InvalidToken::Expired);
        }
        if self.iat.max(self.nbf.unwrap_or_default()) > now + LEEWAY {
            return Err(InvalidToken::NotYetValid);
        }
        let empty = |text: &Option<String>| text.as_deref() == Some("");
        if self.jti.is_empty() || empty(&self.sub) || empty(&self.sid) || self.sub.is_none() && self.sid.is_none() {
            return Err(InvalidToken::Malformed("it does not say who signed out, or has no name".into()));
        }
        // Another process's clock may be behind.
        let until = self.exp.min(self.iat + AGE_MAX) + 2 * LEEWAY;
        Ok(LogoutNotice { sid: self.sid, sub: self.sub, jti: self.jti, until })
    }
}

impl Provider {
    /// Verifies a logout token.
    ///
    /// # Errors
    /// [`Error::Token`] for a bad token; others while the provider was never read.
    pub async fn verify_logout(&self, token: &str) -> Result<LogoutNotice, Error> {
        let token = UnverifiedToken::<LogoutClaims>::read(token)?;
        let snapshot = self.metadata.with_untrusted_key(token.kid()).await?;
        Ok(token.logout_token(&snapshot.keys, self.expected())?)
    }
}
