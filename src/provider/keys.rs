//! The provider's signing keys: RSA keys for RS256 (RFC 7518 §3.3), nothing else.

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm};
use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeySet, JsonWebKeyUse, SignatureVerificationError,
};
use serde::{Deserialize, Serialize};

/// An RSA public key of a JWKS (RFC 7517, RFC 7518 §6.3.1). Other kinds of key do not parse and are
/// skipped by [`JsonWebKeySet`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RsaKey {
    kty: CoreJsonWebKeyType,
    kid: Option<JsonWebKeyId>,
    #[serde(rename = "use")]
    key_use: Option<CoreJsonWebKeyUse>,
    alg: Option<String>,
    #[serde(with = "base64url")]
    n: Vec<u8>,
    #[serde(with = "base64url")]
    e: Vec<u8>,
    /// The key as aws-lc takes it, made once: for each signature anew it would take microseconds.
    #[serde(skip)]
    parsed: Option<ParsedPublicKey>,
}

impl RsaKey {
    /// The same, ready to verify. What is no RSA key, or too small, never verifies anything.
    fn parsed(mut self) -> Self {
        let components = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        self.parsed = components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok();
        self
    }

    /// Whether `signature` is this key's RS256 signature of `message` (RFC 7518 §3.3).
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.as_ref().is_some_and(|key| key.verify_sig(message, signature).is_ok())
    }
}

mod base64url {
    use super::*;

    pub(super) fn serialize<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(serde::de::Error::custom)
    }
}

impl JsonWebKey for RsaKey {
    type KeyUse = CoreJsonWebKeyUse;
    type SigningAlgorithm = CoreJwsSigningAlgorithm;

    fn key_id(&self) -> Option<&JsonWebKeyId> {
        self.kid.as_ref()
    }

    fn key_type(&self) -> &CoreJsonWebKeyType {
        &self.kty
    }

    fn key_use(&self) -> Option<&CoreJsonWebKeyUse> {
        self.key_use.as_ref()
    }

    fn signing_alg(&self) -> JsonWebKeyAlgorithm<&CoreJwsSigningAlgorithm> {
        match self.alg.as_deref() {
            None => JsonWebKeyAlgorithm::Unspecified,
            Some("RS256") => JsonWebKeyAlgorithm::Algorithm(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256),
            Some(_) => JsonWebKeyAlgorithm::Unsupported,
        }
    }

    /// No key of ours is symmetric: this one verifies nothing.
    fn new_symmetric(_: Vec<u8>) -> Self {
        Self {
            kty: CoreJsonWebKeyType::Symmetric,
            kid: None,
            key_use: None,
            alg: None,
            n: vec![],
            e: vec![],
            parsed: None,
        }
    }

    fn verify_signature(
        &self,
        alg: &CoreJwsSigningAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureVerificationError> {
        if *alg != CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256 {
            return Err(SignatureVerificationError::DisallowedAlg("only RS256 is accepted".into()));
        }
        match self.has_signed(message, signature) {
            true => Ok(()),
            false => Err(SignatureVerificationError::CryptoError("bad signature".into())),
        }
    }

    fn hash_bytes(&self, bytes: &[u8], alg: &CoreJwsSigningAlgorithm) -> Result<Vec<u8>, String> {
        match alg {
            CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256 => Ok(crate::domain::seal::sha256(bytes).to_vec()),
            _ => Err("only RS256 is accepted".into()),
        }
    }
}

/// One reading of the JWKS.
#[derive(Debug)]
pub struct VerificationKeys {
    rsa: Vec<RsaKey>,
    /// SHA-256 of the document.
    pub digest: [u8; 32],
    /// Tells readings apart: a verification is good only for the reading it was made with.
    pub generation: u64,
}

impl VerificationKeys {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// If it is no JWKS or holds no usable key.
    pub fn parse(document: &[u8], digest: [u8; 32], generation: u64) -> Result<Self, String> {
        let set: JsonWebKeySet<RsaKey> =
            serde_json::from_slice(document).map_err(|e| format!("the JWKS is not the JSON of RFC 7517: {e}"))?;
        let usable = |key: &&RsaKey| {
            key.kty == CoreJsonWebKeyType::RSA
                && key.key_use().is_none_or(CoreJsonWebKeyUse::allows_signature)
                && matches!(key.alg.as_deref(), None | Some("RS256"))
        };
        let rsa: Vec<RsaKey> = set.keys().iter().filter(usable).cloned().map(RsaKey::parsed).collect();
        if rsa.is_empty() {
            return Err("the JWKS holds no RSA key for RS256".into());
        }
        Ok(Self { rsa, digest, generation })
    }

    /// The key that a token's header names.
    pub(super) fn get(&self, kid: &str) -> Option<&RsaKey> {
        self.rsa.iter().find(|key| key.kid.as_ref().is_some_and(|own| **own == kid))
    }

    /// Whether a token with this `kid` could be verified. Without a `kid` the only key is meant.
    pub fn contains(&self, kid: Option<&str>) -> bool {
        match kid {
            Some(kid) => self.get(kid).is_some(),
            None => self.rsa.len() == 1,
        }
    }

    /// The set as openidconnect takes it.
    pub fn set(&self) -> JsonWebKeySet<RsaKey> {
        JsonWebKeySet::new(self.rsa.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
    use serde_json::{Value, json};

    /// A key of 1024 bits, and its signature of "message".
    const SMALL: &str = "vG7igbM-uktbopeTc_aIxqemw11C_FIWmur_-1vniPmVXODp9C7ABaajqn_5liWN_YRyEmMs_WdQwB-Rsx7vUknO2MV3r8JcfK05j_RT7qjyeBfB0Tfj9pjg70KZj6hPfNuwd2H0LrLQRMtrlFhPjqoYYQKsP83NUT84C0Tt7-M";
    const SIGNATURE: &str = "ZXEYbmqU_CYNX-Z1nuoyeBCdomdBKFBzje_la1xaMRirEziEfFrGgsnGsrpGwkQWcv6IIh58J8lDSKkEMA_EkrEGm6Nwl2lYgR76K0EOa8fhAbS5hLDDpeQ2mDWU4D1cXWy6Gal9tEowqCtAttf8wvV6VlsJ6RsWNSyNU41v930";

    fn keys(keys: Value) -> Result<VerificationKeys, String> {
        VerificationKeys::parse(json!({ "keys": keys }).to_string().as_bytes(), [0; 32], 1)
    }

    #[test]
    fn a_key_under_2048_bits_and_what_is_no_number_verify_nothing() {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap();
        let small = RsaPublicKeyComponents { n: BASE64_URL_SAFE_NO_PAD.decode(SMALL).unwrap(), e: vec![1, 0, 1] };
        assert!(small.verify(&RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, b"message", &signature).is_ok());
        let leading_zero = BASE64_URL_SAFE_NO_PAD.encode([[0].as_slice(), &[0xAB; 256]].concat());
        for n in [SMALL, "", &leading_zero] {
            let keys = keys(json!([{ "kty": "RSA", "kid": "1", "alg": "RS256", "n": n, "e": "AQAB" }])).unwrap();
            assert!(keys.contains(Some("1")) && !keys.get("1").unwrap().has_signed(b"message", &signature), "{n}");
        }
    }

    #[test]
    fn only_keys_for_rs256_count() {
        let key = |more: Value| {
            let mut key = json!({ "kty": "RSA", "kid": "1", "n": SMALL, "e": "AQAB" });
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        for good in [json!({}), json!({ "alg": "RS256" }), json!({ "use": "sig" })] {
            assert!(keys(json!([key(good)])).is_ok_and(|keys| keys.contains(None) && !keys.contains(Some("2"))));
        }
        for bad in [json!({ "alg": "RS512" }), json!({ "use": "enc" }), json!({ "kty": "oct" })] {
            assert!(keys(json!([key(bad.clone())])).is_err(), "{bad}");
        }
    }
}
