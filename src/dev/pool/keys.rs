//! The pool's signing keys: two RSA-2048 keys, one for ID tokens and one for access tokens, as a real pool has.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::random;

/// One RSA key with its id.
pub(super) struct RsaKey {
    pair: KeyPair,
    kid: String,
}

/// The two keys of the JWKS.
#[derive(Clone, Debug)]
pub(super) struct SigningKeys {
    pub(super) id: Arc<RsaKey>,
    pub(super) access: Arc<RsaKey>,
}

impl SigningKeys {
    /// The first pair of this process. Making RSA keys is slow and every test starts a pool, so pools share it
    /// until they rotate.
    pub(super) fn first() -> Self {
        static FIRST: OnceLock<SigningKeys> = OnceLock::new();
        FIRST.get_or_init(Self::generate).clone()
    }

    pub(super) fn generate() -> Self {
        Self { id: Arc::new(RsaKey::generate()), access: Arc::new(RsaKey::generate()) }
    }

    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": [self.id.jwk(), self.access.jwk()] })
    }
}

impl RsaKey {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key pair can be generated");
        // 32 bytes give 44 characters of ordinary base64 with padding, which is how Cognito's ids look.
        Self { pair, kid: STANDARD.encode(random::bytes(32)) }
    }

    /// A key that is in no key set, for forged signatures.
    pub(super) fn stranger() -> &'static Self {
        static STRANGER: OnceLock<RsaKey> = OnceLock::new();
        STRANGER.get_or_init(Self::generate)
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("an RSA key of our own can sign");
        signature
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(message, signature)
            .is_ok()
    }

    /// The public key as PEM text (SubjectPublicKeyInfo): what a confused verifier might use as an HMAC secret.
    pub(super) fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.pair.public_key().as_der().expect("an RSA public key has a DER form");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    fn jwk(&self) -> Value {
        let (modulus, exponent) = rsa_numbers(self.pair.public_key().as_ref()).unwrap_or_default();
        json!({
            "alg": "RS256",
            "e": URL_SAFE_NO_PAD.encode(exponent),
            "kid": self.kid,
            "kty": "RSA",
            "n": URL_SAFE_NO_PAD.encode(modulus),
            "use": "sig",
        })
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("RsaKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Modulus and exponent out of an `RSAPublicKey` (RFC 8017 A.1.1): a SEQUENCE of two INTEGERs.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = der_value(0x30, der)?;
    let (modulus, rest) = der_value(0x02, sequence)?;
    let (exponent, _) = der_value(0x02, rest)?;
    // DER puts a zero in front of a number whose first bit is set; JWK wants it without.
    Some((modulus.strip_prefix(&[0]).unwrap_or(modulus), exponent))
}

fn der_value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        (bytes.iter().fold(0, |length, &byte| (length << 8) | usize::from(byte)), rest)
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}
