//! A token before it is signed, and the ways a test may have it signed wrongly.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::keys::RsaKey;

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
    pub(super) fn new(key: &RsaKey, claims: Map<String, Value>) -> Self {
        let mut header = Map::new();
        header.insert("kid".to_owned(), key.kid().into());
        header.insert("alg".to_owned(), "RS256".into());
        Self { header, claims, signature: Signature::Genuine }
    }

    /// The compact form. `write` turns JSON into text.
    pub(super) fn sign(mut self, key: &RsaKey, write: impl Fn(&Value) -> String) -> String {
        match &self.signature {
            Signature::None => self.replace_algorithm("none"),
            Signature::HmacWithPublicKey => self.replace_algorithm("HS256"),
            Signature::Genuine | Signature::OtherKey | Signature::Replace(_) => {}
        }
        let encode = |part: Map<String, Value>| URL_SAFE_NO_PAD.encode(write(&Value::Object(part)));
        let message = format!("{}.{}", encode(self.header), encode(self.claims));
        let signature = match self.signature {
            Signature::Genuine => key.sign(message.as_bytes()),
            Signature::OtherKey => RsaKey::stranger().sign(message.as_bytes()),
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
        if self.header.get("alg").is_some_and(|alg| alg == "RS256") {
            self.header.insert("alg".to_owned(), name.into());
        }
    }
}

type Tamper = Arc<dyn Fn(&mut UnsignedJwt) + Send + Sync>;

/// The hands in the middle: set by tests in process, empty otherwise.
#[derive(Default)]
pub(super) struct Tampering {
    id: Mutex<Option<Tamper>>,
    access: Mutex<Option<Tamper>>,
}

impl Tampering {
    pub(super) fn set_id(&self, tamper: Tamper) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = Some(tamper);
    }

    pub(super) fn set_access(&self, tamper: Tamper) {
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = Some(tamper);
    }

    pub(super) fn clear(&self) {
        *self.id.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.access.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn touch_id(&self, draft: &mut UnsignedJwt) {
        let tamper = self.id.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(tamper) = tamper {
            tamper(draft);
        }
    }

    pub(super) fn touch_access(&self, draft: &mut UnsignedJwt) {
        let tamper = self.access.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(tamper) = tamper {
            tamper(draft);
        }
    }
}

impl fmt::Debug for Tampering {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Tampering")
    }
}
