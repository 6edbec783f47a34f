//! Bearer tokens: one rule for each kind, chosen by the header's `typ`, then by claims.
//!
//! | it says | it is |
//! |---|---|
//! | `typ` of the header: `at+jwt` (RFC 9068) | an access token |
//! | `typ` of the header: anything but `JWT` | neither: a logout token, an introspection, … |
//! | an `events` claim | neither: a logout token (OIDC Back-Channel Logout 1.0 §2.4) |
//! | `token_use` (Cognito): `access`, `id` | that |
//! | `typ` in the claims (Keycloak): `Bearer`, `ID` | an access token, an ID token |
//! | either of these with another value | neither: a refresh token, … |
//! | `at_hash` or `c_hash` | an ID token (OIDC Core §3.3.2.11) |
//! | `scope` | an access token |
//! | `nonce` | an ID token |
//! | `client_id` | an access token |
//! | nothing of all that | an ID token |
//!
//! An access token counts if it was issued to an accepted client and made for us: `aud` holds our client or one of
//! `provider.accepted_audiences`. Cognito's have no `aud` unless an API was asked for, and Keycloak's none but
//! `account`. An ID token counts if it is for our client.

use super::Provider;
use super::claims::{Claims, LEEWAY};
use super::error::Error;
use super::invalid_token::InvalidToken;
use super::profile::{AccessTokenClaims, EmailTrust};
use super::verify::{NonceRule, UnverifiedToken};
use crate::domain::clock::Timestamp;
use crate::domain::principal::{Principal, PrincipalKind};
use crate::domain::store_key::RevocationKey;
use crate::telemetry::traces::TARGET;
use tracing::instrument;

/// A bearer token that was verified.
#[derive(Debug)]
pub struct Bearer {
    /// Who it speaks for.
    pub principal: Principal,
    /// What it is refused by when its session has ended or it was revoked.
    pub names: Vec<RevocationKey>,
    /// The reading of the keys that it was verified with; see [`Provider::keys_generation`].
    pub generation: u64,
}

/// The rule that a bearer token is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BearerKind {
    AccessToken,
    IdToken,
}

impl UnverifiedToken<'_> {
    /// What the token says it is. `by_token_use`: that the provider always says so in `token_use`.
    pub(super) fn kind(&self, by_token_use: bool) -> Result<BearerKind, InvalidToken> {
        use BearerKind::{AccessToken, IdToken};
        let typ = self.typ().unwrap_or("JWT").to_ascii_lowercase();
        let claims = self.claims();
        let has_claim = |name: &str| claims.other.contains_key(name);
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            _ if has_claim("events") => return Err(InvalidToken::TokenUse),
            "at+jwt" if !by_token_use => return Ok(AccessToken),
            "jwt" => {}
            _ => return Err(InvalidToken::TokenUse),
        }
        let by_name = |name: Option<&str>, access: &str, id: &str| match name {
            Some(name) if name == access => Ok(AccessToken),
            Some(name) if name == id => Ok(IdToken),
            _ => Err(InvalidToken::TokenUse),
        };
        if by_token_use || claims.token_use.is_some() {
            return by_name(claims.token_use.as_deref(), "access", "id");
        }
        if let Some(typ) = claims.other.get("typ") {
            return by_name(typ.as_str(), "Bearer", "ID");
        }
        let access = if has_claim("at_hash") || has_claim("c_hash") {
            false
        } else if claims.scope.is_some() || has_claim("scp") {
            true
        } else {
            claims.nonce.is_none() && claims.client_id.is_some()
        };
        Ok(if access { AccessToken } else { IdToken })
    }
}

impl Provider {
    /// Verifies a bearer token: an access token of an accepted client, or of `own`, or an ID token for our client.
    /// One of `own` may be made for any API. A token of another issuer causes no reading of keys.
    ///
    /// # Errors
    /// [`Error::Token`] for a bad token; others while the provider was never read.
    #[instrument(target = TARGET, name = "token verification", skip_all)]
    pub async fn verify_bearer(&self, token: &str, own: Option<&str>) -> Result<Bearer, Error> {
        let raw = token;
        let token = UnverifiedToken::parse(raw)?;
        if token.claims().iss != self.issuer {
            self.metadata.snapshot().await?;
            return Err(InvalidToken::Issuer.into());
        }
        let kind = token.kind(self.profile.has_token_use())?;
        let snapshot = self.metadata.with_untrusted_key(token.kid()).await?;
        let (claims, principal) = match kind {
            BearerKind::AccessToken => {
                let accepted = |client: &str| self.accepts(client) || own == Some(client);
                let claims = token.access_token(&snapshot.keys, self.expected(), accepted)?;
                if own.is_none() || own != claims.client() {
                    self.judge_audience(&claims)?;
                }
                let principal = self.profile.bearer(&claims, &self.rules);
                (claims, principal)
            }
            BearerKind::IdToken => {
                let claims = token.id_token(&snapshot.keys, self.expected(), NonceRule::Any, None)?;
                let mut principal =
                    self.profile.user(&claims, AccessTokenClaims::default(), &self.rules, EmailTrust::Never);
                if self.profile.is_machine(&claims) {
                    principal.kind = PrincipalKind::Machine;
                }
                (claims, principal)
            }
        };
        let mut names = claims.all_names();
        // As `own_name`, which the keys are written by.
        if names.is_empty() {
            names.push(RevocationKey::whole_token(raw));
        }
        // A machine may revoke its own token, and no other of the same session.
        if principal.kind == PrincipalKind::User {
            names.extend(claims.sid().map(RevocationKey::provider_session));
        }
        Ok(Bearer { principal, names, generation: snapshot.keys.generation })
    }

    /// The last second at which a token that runs out at `expires_at` is accepted.
    pub fn accepted_until(expires_at: Timestamp) -> Timestamp {
        expires_at + LEEWAY
    }

    /// Whether tokens of this client are accepted: ours, those of `provider.accepted_clients` and of the upstreams.
    pub fn accepts(&self, client: &str) -> bool {
        client == self.client_id || self.accepted_clients.iter().any(|c| c == client)
    }

    /// Whether an access token is for us (RFC 9068 §4).
    fn judge_audience(&self, access: &Claims) -> Result<(), InvalidToken> {
        let for_us = |aud: &String| *aud == self.client_id || self.accepted_audiences.contains(aud);
        match access.audiences().iter().any(for_us) || self.profile.is_for_no_api(access) {
            true => Ok(()),
            false => Err(InvalidToken::ForeignAudience),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    fn kind(typ: Value, claims: Value, by_token_use: bool) -> Result<BearerKind, InvalidToken> {
        let mut header = json!({ "alg": "RS256", "kid": "1" });
        if !typ.is_null() {
            header["typ"] = typ;
        }
        let mut whole = json!({ "iss": "https://x", "sub": "s", "exp": 2, "iat": 1, "aud": "us" });
        whole.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
        let encode = |part: Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let token = format!("{}.{}.AAAA", encode(header), encode(whole));
        UnverifiedToken::parse(&token).unwrap().kind(by_token_use)
    }

    #[test]
    fn the_header_decides_before_the_claims() {
        use BearerKind::{AccessToken, IdToken};
        let id = json!({ "nonce": "n", "at_hash": "x", "typ": "ID" });
        for (typ, expected) in [
            (json!("at+jwt"), Ok(AccessToken)),
            (json!("application/at+jwt"), Ok(AccessToken)),
            (json!("AT+JWT"), Ok(AccessToken)),
            (json!("JWT"), Ok(IdToken)),
            (Value::Null, Ok(IdToken)),
            (json!("logout+jwt"), Err(InvalidToken::TokenUse)),
            (json!("secevent+jwt"), Err(InvalidToken::TokenUse)),
            (json!("dpop+jwt"), Err(InvalidToken::TokenUse)),
            (json!(""), Err(InvalidToken::TokenUse)),
        ] {
            assert_eq!(kind(typ.clone(), id.clone(), false), expected, "{typ}");
        }
        assert_eq!(kind(json!("at+jwt"), json!({ "events": {} }), false), Err(InvalidToken::TokenUse));
        assert_eq!(kind(json!("at+jwt"), json!({ "token_use": "id" }), true), Err(InvalidToken::TokenUse));
    }

    #[test]
    fn where_the_provider_has_token_use_nothing_else_says_so() {
        use BearerKind::{AccessToken, IdToken};
        for (claims, expected) in [
            (json!({ "token_use": "access", "nonce": "n", "typ": "ID" }), Ok(AccessToken)),
            (json!({ "token_use": "id", "scope": "a", "typ": "Bearer" }), Ok(IdToken)),
            (json!({ "typ": "Bearer", "scope": "a" }), Err(InvalidToken::TokenUse)),
            (json!({}), Err(InvalidToken::TokenUse)),
        ] {
            assert_eq!(kind(Value::Null, claims.clone(), true), expected, "{claims}");
        }
    }

    #[test]
    fn without_a_word_the_claims_tell() {
        use BearerKind::{AccessToken, IdToken};
        for (claims, expected) in [
            (json!({ "scope": "openid", "nonce": "n", "azp": "us" }), AccessToken),
            (json!({ "scp": ["openid"], "azp": "us" }), AccessToken),
            (json!({ "client_id": "us", "jti": "1" }), AccessToken),
            (json!({ "client_id": "us", "nonce": "n" }), IdToken),
            (json!({ "client_id": "us", "at_hash": "x", "scope": "a" }), IdToken),
            (json!({ "email": "j@x", "auth_time": 1 }), IdToken),
        ] {
            assert_eq!(kind(Value::Null, claims.clone(), false), Ok(expected), "{claims}");
        }
    }
}
