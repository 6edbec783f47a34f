//! The pool's two RSA-2048 keys, the JWKS that publishes them, and the JWTs that they sign (RFC 7515, 7517).
//!
//! As in a real pool, one key signs ID tokens and the other access tokens, a `kid` is ordinary base64 with padding,
//! and a JOSE header is `kid` and `alg`, without `typ`.

use super::random;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};

/// One RSA key with its id.
pub(super) struct SigningKey {
    pair: KeyPair,
    kid: String,
}

/// The two keys of the JWKS.
#[derive(Clone)]
pub(super) struct SigningKeys {
    pub(super) id: Arc<SigningKey>,
    pub(super) access: Arc<SigningKey>,
}

impl SigningKeys {
    /// The first pair of this process. Making RSA keys is slow and every test starts a pool, so pools share it
    /// until they rotate.
    pub(super) fn first() -> Self {
        static FIRST: OnceLock<SigningKeys> = OnceLock::new();
        FIRST.get_or_init(Self::generate).clone()
    }

    pub(super) fn generate() -> Self {
        Self { id: Arc::new(SigningKey::generate()), access: Arc::new(SigningKey::generate()) }
    }

    pub(super) fn jwks(&self) -> Value {
        json!({ "keys": [self.id.jwk(), self.access.jwk()] })
    }
}

impl SigningKey {
    fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key pair can be generated");
        // 32 bytes give 44 characters of ordinary base64 with padding, which is how Cognito's ids look.
        Self { pair, kid: STANDARD.encode(random::bytes(32)) }
    }

    /// A key that is in no key set, for forged signatures.
    fn stranger() -> &'static Self {
        static STRANGER: OnceLock<SigningKey> = OnceLock::new();
        STRANGER.get_or_init(Self::generate)
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
            .expect("an RSA key of our own can sign");
        signature
    }

    /// The claims of a JWT, as JSON text, if this key signed it.
    pub(super) fn verified_claims(&self, jwt: &str) -> Option<Vec<u8>> {
        let (message, signature) = jwt.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &signature)
            .ok()?;
        URL_SAFE_NO_PAD.decode(message.split_once('.')?.1).ok()
    }

    /// The public key as PEM text (SubjectPublicKeyInfo): what a confused verifier might use as an HMAC secret.
    fn public_pem(&self) -> String {
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

/// A JWT about to be signed. A tampering test changes it in place.
#[derive(Clone, Debug)]
pub struct UnsignedJwt {
    /// The JOSE header: exactly `kid` and `alg`.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
    /// How to sign it.
    pub signature: Signature,
}

/// How an [`UnsignedJwt`] is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// With the pool's key, RS256.
    Genuine,
    /// RS256 with a key that is in no key set, under the genuine `kid`.
    OtherKey,
    /// `alg` becomes `none` (unless the test set its own spelling) and the third part is empty.
    None,
    /// HS256 with the PEM text of the public key as the secret.
    HmacWithPublicKey,
    /// Not a token of ours at all: this text in its place.
    Replace(String),
}

impl UnsignedJwt {
    /// With the claims of a JSON object.
    pub(super) fn new(key: &SigningKey, claims: Value) -> Self {
        let object = |value| if let Value::Object(map) = value { map } else { Map::new() };
        let header = object(json!({ "kid": key.kid, "alg": "RS256" }));
        Self { header, claims: object(claims), signature: Signature::Genuine }
    }

    /// The compact form (RFC 7515 §7.1). `to_text` writes the JSON of the header and the claims.
    pub(super) fn sign(mut self, key: &SigningKey, to_text: impl Fn(&Value) -> String) -> String {
        match &self.signature {
            Signature::None => self.replace_algorithm("none"),
            Signature::HmacWithPublicKey => self.replace_algorithm("HS256"),
            Signature::Genuine | Signature::OtherKey | Signature::Replace(_) => {}
        }
        let encode = |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(to_text(&Value::Object(part)));
        let message = format!("{}.{}", encode(self.header), encode(self.claims));
        let signature = match self.signature {
            Signature::Genuine => key.sign(message.as_bytes()),
            Signature::OtherKey => SigningKey::stranger().sign(message.as_bytes()),
            Signature::None => Vec::new(),
            Signature::HmacWithPublicKey => {
                let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_pem().as_bytes());
                hmac::sign(&secret, message.as_bytes()).as_ref().to_vec()
            }
            Signature::Replace(text) => return text,
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn replace_algorithm(&mut self, name: &str) {
        if let Some(alg) = self.header.get_mut("alg").filter(|alg| **alg == "RS256") {
            *alg = name.into();
        }
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
