//! The provider's signing keys: RSA keys for RS256 (RFC 7518 §3.3), nothing else.

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use openidconnect::core::{CoreJsonWebKeyType, CoreJsonWebKeyUse, CoreJwsSigningAlgorithm};
use openidconnect::{
    JsonWebKey, JsonWebKeyAlgorithm, JsonWebKeyId, JsonWebKeySet, JsonWebKeyUse, SignatureVerificationError,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

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
        Self { kty: CoreJsonWebKeyType::Symmetric, kid: None, key_use: None, alg: None, n: vec![], e: vec![] }
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
        RsaPublicKeyComponents { n: &self.n, e: &self.e }
            .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
            .map_err(|_| SignatureVerificationError::CryptoError("bad signature".into()))
    }

    fn hash_bytes(&self, bytes: &[u8], alg: &CoreJwsSigningAlgorithm) -> Result<Vec<u8>, String> {
        match alg {
            CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256 => Ok(crate::domain::seal::sha256(bytes).to_vec()),
            _ => Err("only RS256 is accepted".into()),
        }
    }
}

/// One reading of the JWKS, in the form each verifier wants.
#[derive(Debug)]
pub struct VerificationKeys {
    rsa: Vec<RsaKey>,
    by_kid: HashMap<String, DecodingKey>,
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
        let rsa: Vec<RsaKey> = set.keys().iter().filter(usable).cloned().collect();
        if rsa.is_empty() {
            return Err("the JWKS holds no RSA key for RS256".into());
        }
        let by_kid = rsa
            .iter()
            .filter_map(|key| {
                Some((key.kid.as_ref()?.to_string(), DecodingKey::from_rsa_raw_components(&key.n, &key.e)))
            })
            .collect();
        Ok(Self { rsa, by_kid, digest, generation })
    }

    /// The key that a token's header names.
    pub fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.by_kid.get(kid)
    }

    /// Whether a token with this `kid` could be verified. Without a `kid` the only key is meant.
    pub fn contains(&self, kid: Option<&str>) -> bool {
        match kid {
            Some(kid) => self.by_kid.contains_key(kid),
            None => self.rsa.len() == 1,
        }
    }

    /// The set as openidconnect takes it.
    pub fn set(&self) -> JsonWebKeySet<RsaKey> {
        JsonWebKeySet::new(self.rsa.clone())
    }
}
