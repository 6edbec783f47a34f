//! Judging tokens: RS256 only, the key by `kid`, every claim that we rely on.
//!
//! ID tokens are verified by openidconnect (OIDC Core §3.1.3.7); what it leaves open (`azp`, `nbf`, a
//! future `iat`, `at_hash`, `token_use`) is judged here. Access tokens (RFC 9068 in spirit; Cognito's
//! have no `aud`) are judged by the same claim rules. Either's signature is verified by aws-lc (`keys`).

use super::claims::{Claims, LEEWAY};
use super::invalid_token::InvalidToken;
use super::keys::VerificationKeys;
use crate::domain::clock::Timestamp;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::core::{CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, EmptyAdditionalClaims, IdToken, IdTokenVerifier,
    IssuerUrl, Nonce, SignatureVerificationError,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::str::FromStr;

/// No token of a provider is longer; a longer one is not looked at.
const MAX_TOKEN: usize = 32 << 10;

/// What a token must fit.
#[derive(Debug, Clone, Copy)]
pub struct ExpectedClaims<'a> {
    /// The one issuer.
    pub issuer: &'a str,
    /// Our client.
    pub client_id: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Whether `token_use` must be present (Cognito) or is unknown to the provider.
    pub token_use: bool,
}

/// What the nonce of an ID token must be.
#[derive(Debug, Clone, Copy)]
pub enum NonceRule<'a> {
    /// A sign-in of ours: exactly this one.
    Exactly(&'a str),
    /// A renewal: absent, or still this one (OIDC Core §12.2).
    AbsentOr(Option<&'a str>),
    /// A bearer token: its sign-in was somebody else's.
    Any,
}

/// The token's header, before anything is verified: enough to find the key.
#[derive(Debug, Deserialize)]
struct TokenHeader {
    alg: Value,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<Value>,
    b64: Option<Value>,
}

/// A token in compact form, read but not verified.
#[derive(Debug)]
pub struct UnverifiedToken<'a, C = Claims> {
    raw: &'a str,
    header: TokenHeader,
    claims: C,
    signature: Vec<u8>,
}

impl<'a, C: DeserializeOwned> UnverifiedToken<'a, C> {
    /// Reads a token of three parts (RFC 7515 §3.1).
    ///
    /// # Errors
    /// [`InvalidToken::Malformed`] or [`InvalidToken::Algorithm`].
    pub fn read(raw: &'a str) -> Result<Self, InvalidToken> {
        let malformed = |what: &str| InvalidToken::Malformed(what.to_owned());
        if raw.len() > MAX_TOKEN {
            return Err(malformed("it is longer than any token"));
        }
        let mut parts = raw.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has not three parts"));
        };
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("it is not base64url"));
        // serde's message may quote a claim: say only where it is.
        let wrong =
            |e: serde_json::Error| malformed(&format!("line {} column {} ({:?})", e.line(), e.column(), e.classify()));
        let signature = decode(signature)?;
        let header: TokenHeader = serde_json::from_slice(&decode(header)?).map_err(wrong)?;
        if header.alg != "RS256" || header.crit.is_some() || header.b64.is_some() {
            return Err(InvalidToken::Algorithm);
        }
        let claims: C = serde_json::from_slice(&decode(claims)?).map_err(wrong)?;
        Ok(Self { raw, header, claims, signature })
    }

    /// The key that the header names.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What the header says it is (RFC 7515 §4.1.9).
    pub fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Reads an ID token or an access token.
    ///
    /// # Errors
    /// As [`UnverifiedToken::read`].
    pub fn parse(raw: &'a str) -> Result<Self, InvalidToken> {
        Self::read(raw)
    }

    /// The unverified claims.
    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The claims, of a token that was verified when it was stored.
    pub(super) fn into_claims(self) -> Claims {
        self.claims
    }

    /// The unverified nonce, of a token that was verified when it was stored.
    pub fn nonce(&self) -> Option<&str> {
        self.claims.nonce.as_deref()
    }

    /// Verifies an ID token (OIDC Core §3.1.3.7). `access` is the access token it came with.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn id_token(
        self,
        keys: &VerificationKeys,
        expected: ExpectedClaims<'_>,
        nonce: NonceRule<'_>,
        access: Option<&str>,
    ) -> Result<Claims, InvalidToken> {
        if !keys.contains(self.kid()) {
            return Err(InvalidToken::UnknownKey);
        }
        type Token =
            IdToken<EmptyAdditionalClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
        let token = Token::from_str(self.raw).map_err(|_| InvalidToken::Malformed("OIDC Core §2".into()))?;
        let issuer = IssuerUrl::new(expected.issuer.to_owned()).map_err(|_| InvalidToken::Issuer)?;
        let earliest = i64::try_from((expected.now - LEEWAY).as_secs()).unwrap_or(i64::MAX);
        // The public-client verifier knows no symmetric algorithm, so a public key is never an HMAC secret.
        let verifier =
            IdTokenVerifier::new_public_client(ClientId::new(expected.client_id.to_owned()), issuer, keys.set())
                .set_allowed_algs([CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256])
                .set_other_audience_verifier_fn(|_| true) // azp is judged below
                .set_time_fn(move || time_from(earliest));
        let check_nonce = |got: Option<&Nonce>| {
            let got = got.map(|n| n.secret().as_str());
            let fits = match nonce {
                NonceRule::Exactly(want) => {
                    got.is_some_and(|got| crate::domain::seal::same(got.as_bytes(), want.as_bytes()))
                }
                NonceRule::AbsentOr(want) => got.is_none() || got == want,
                NonceRule::Any => true,
            };
            if fits { Ok(()) } else { Err("nonce".to_owned()) }
        };
        let verified = token.claims(&verifier, check_nonce).map_err(rejected)?;
        if let (Some(claimed), Some(access)) = (verified.access_token_hash(), access) {
            let key = token.signing_key(&verifier).map_err(|_| InvalidToken::UnknownKey)?;
            let alg = token.signing_alg().map_err(|_| InvalidToken::Algorithm)?;
            let due = AccessTokenHash::from_token(&AccessToken::new(access.to_owned()), alg, key)
                .map_err(|_| InvalidToken::Algorithm)?;
            if *claimed != due {
                return Err(InvalidToken::AccessTokenHash);
            }
        }
        let claims = self.claims;
        let azp = claims.azp.as_deref();
        if claims.audiences().len() > 1 && azp.is_none() || azp.is_some_and(|azp| azp != expected.client_id) {
            return Err(InvalidToken::Audience);
        }
        if expected.token_use && claims.token_use.as_deref() != Some("id") || claims.other.contains_key("events") {
            return Err(InvalidToken::TokenUse);
        }
        claims.sane(expected.now)?;
        Ok(claims)
    }

    /// Verifies an access token issued to one of `clients`.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn access_token(
        self,
        keys: &VerificationKeys,
        expected: ExpectedClaims<'_>,
        clients: impl Fn(&str) -> bool,
    ) -> Result<Claims, InvalidToken> {
        let claims = self.signed(keys)?;
        if claims.iss != expected.issuer {
            return Err(InvalidToken::Issuer);
        }
        if expected.token_use && claims.token_use.as_deref() != Some("access") || claims.other.contains_key("events") {
            return Err(InvalidToken::TokenUse);
        }
        if !claims.client().is_some_and(clients) {
            return Err(InvalidToken::Client);
        }
        claims.sane(expected.now)?;
        Ok(claims)
    }
}

impl<C: DeserializeOwned> UnverifiedToken<'_, C> {
    /// The claims, once the signature is verified and nothing else.
    ///
    /// # Errors
    /// [`InvalidToken::UnknownKey`] or [`InvalidToken::Signature`].
    pub(super) fn signed(self, keys: &VerificationKeys) -> Result<C, InvalidToken> {
        let key = self.kid().and_then(|kid| keys.get(kid)).ok_or(InvalidToken::UnknownKey)?;
        let signed = self.raw.rsplit_once('.').map_or("", |(header_and_claims, _)| header_and_claims);
        match key.has_signed(signed.as_bytes(), &self.signature) {
            true => Ok(self.claims),
            false => Err(InvalidToken::Signature),
        }
    }
}

fn time_from(seconds: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(seconds, 0).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC)
}

fn rejected(error: ClaimsVerificationError) -> InvalidToken {
    match error {
        ClaimsVerificationError::Expired(_) => InvalidToken::Expired,
        ClaimsVerificationError::InvalidAudience(_) => InvalidToken::Audience,
        ClaimsVerificationError::InvalidIssuer(_) => InvalidToken::Issuer,
        ClaimsVerificationError::InvalidNonce(_) => InvalidToken::Nonce,
        ClaimsVerificationError::SignatureVerification(e) => match e {
            SignatureVerificationError::NoMatchingKey | SignatureVerificationError::AmbiguousKeyId(_) => {
                InvalidToken::UnknownKey
            }
            SignatureVerificationError::DisallowedAlg(_) | SignatureVerificationError::UnsupportedAlg(_) => {
                InvalidToken::Algorithm
            }
            _ => InvalidToken::Signature,
        },
        other => InvalidToken::Malformed(other.to_string().chars().take(80).collect()),
    }
}
