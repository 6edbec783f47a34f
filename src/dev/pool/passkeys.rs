//! The passkeys of a user. What a browser made is kept if it answers the challenge; the signature and the attestation are
//! not looked at, since nobody signs in with it here.

use super::messages::ApiError;
use super::random;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A user's passkeys, and the challenge of the one that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Passkeys {
    challenge: Option<String>,
    list: Vec<Value>,
}

impl Passkeys {
    /// `PublicKeyCredentialCreationOptionsJSON` (WebAuthn Level 3). Without an id, the relying party is the page's own host.
    pub(super) fn begin(&mut self, sub: &str, username: &str) -> Value {
        let challenge = random::text(32);
        self.challenge = Some(challenge.clone());
        json!({
            "rp": { "name": "dev user pool" },
            "user": { "id": BASE64_URL_SAFE_NO_PAD.encode(sub), "name": username, "displayName": username },
            "challenge": challenge,
            "pubKeyCredParams": [{ "type": "public-key", "alg": -7 }, { "type": "public-key", "alg": -257 }],
            "timeout": 60_000,
            "excludeCredentials": [],
            "authenticatorSelection": { "requireResidentKey": true, "residentKey": "required", "userVerification": "preferred" },
        })
    }

    /// Keeps the passkey of a `RegistrationResponseJSON`.
    pub(super) fn complete(&mut self, credential: &Value, now: i64) -> Result<(), ApiError> {
        let mismatch = || ApiError::new("WebAuthnChallengeNotFoundException", "Challenge not found or expired.");
        let challenge = self.challenge.take().ok_or_else(mismatch)?;
        let data = credential["response"]["clientDataJSON"].as_str().unwrap_or_default();
        let data = BASE64_URL_SAFE_NO_PAD.decode(data).unwrap_or_default();
        let data: Value = serde_json::from_slice(&data).unwrap_or_default();
        if data["type"] != "webauthn.create" || data["challenge"] != challenge.as_str() {
            return Err(mismatch());
        }
        let id = credential["id"].as_str().ok_or_else(|| ApiError::invalid_parameter("The credential has no id."))?;
        self.list.push(json!({
            "CredentialId": id,
            "FriendlyCredentialName": "Passkey",
            "RelyingPartyId": "localhost",
            "AuthenticatorTransports": credential["response"]["transports"],
            "CreatedAt": now,
        }));
        Ok(())
    }

    pub(super) fn list(&self) -> &[Value] {
        &self.list
    }

    pub(super) fn delete(&mut self, id: &str) -> Result<(), ApiError> {
        let at = self.list.iter().position(|passkey| passkey["CredentialId"] == id);
        let missing = || ApiError::new("ResourceNotFoundException", "The credential does not exist.");
        self.list.remove(at.ok_or_else(missing)?);
        Ok(())
    }
}
