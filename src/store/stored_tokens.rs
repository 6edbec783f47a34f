//! The tokens of a session as they are sealed: in the few bytes that they can be rebuilt from.

use super::compression::Compressed;
use super::encoding::{decode, encode};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A decoded part: base64url takes a third more than what it stands for.
type Part = Zeroizing<Vec<u8>>;

#[derive(Serialize, Deserialize)]
struct StoredTokens {
    /// Header and payload of each JWS, one after the other.
    claims: Option<Compressed>,
    tokens: Vec<StoredToken>,
}

#[derive(Serialize, Deserialize)]
enum StoredToken {
    /// The signature of a JWS in compact serialization (RFC 7515 §7.1). It does not compress.
    Signed(Part),
    /// The parts of a JWE in compact serialization (RFC 7516 §7.1), which do not either.
    Encrypted(Vec<Part>),
    /// Anything else.
    Text(Zeroizing<String>),
}

pub(super) fn encode_tokens(tokens: &[&str]) -> Zeroizing<Vec<u8>> {
    let mut claims: Vec<Part> = vec![];
    let tokens = tokens.iter().map(|token| StoredToken::new(token, &mut claims)).collect();
    let claims = (!claims.is_empty()).then(|| Compressed::new(&encode(&claims)));
    encode(&StoredTokens { claims, tokens })
}

/// As many as there are.
pub(super) fn decode_tokens(plain: &[u8]) -> Option<Vec<SecretString>> {
    let StoredTokens { claims, tokens } = decode(plain)?;
    let claims: Vec<Part> = claims.map_or(Some(vec![]), |claims| decode(&claims.plain()?))?;
    let mut claims = claims.into_iter();
    tokens.into_iter().map(|token| token.into_text(&mut claims)).collect()
}

impl StoredToken {
    fn new(token: &str, claims: &mut Vec<Part>) -> Self {
        // Strict: what decodes is encoded to the same text again.
        let parts = token.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new));
        match parts.collect::<Result<Vec<_>, _>>() {
            Ok(mut parts) if parts.len() == 3 => {
                let signature = parts.pop().unwrap_or_default();
                claims.extend(parts);
                Self::Signed(signature)
            }
            Ok(parts) => Self::Encrypted(parts),
            Err(_) => Self::Text(Zeroizing::new(token.to_owned())),
        }
    }

    fn into_text(self, claims: &mut impl Iterator<Item = Part>) -> Option<SecretString> {
        Some(match self {
            Self::Text(text) => text.as_str().into(),
            Self::Encrypted(parts) => compact(&parts),
            Self::Signed(signature) => compact(&[claims.next()?, claims.next()?, signature]),
        })
    }
}

fn compact(parts: &[Part]) -> SecretString {
    let length = parts.iter().map(|part| part.len() * 4 / 3 + 2).sum();
    let mut text = String::with_capacity(length);
    for (nth, part) in parts.iter().enumerate() {
        if nth > 0 {
            text.push('.');
        }
        BASE64_URL_SAFE_NO_PAD.encode_string(part.as_slice(), &mut text);
    }
    text.into()
}
