//! One pending sign-in: what we remember between the redirect to the provider and its return.

use super::callback_key::CallbackKey;
use super::clock::Timestamp;
use super::seal::{random, same, sha256};
use super::sign_in::SignInIntent;
use super::untrusted::UntrustedText;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A sign-in that was started and has not come back. Lives in a sealed cookie of its own.
#[derive(Clone, Serialize, Deserialize)]
pub struct Transaction {
    state: [u8; 16],
    nonce: [u8; 16],
    verifier: [u8; 32],
    /// What it was asked for.
    pub intent: SignInIntent,
    /// When it began.
    pub started: Timestamp,
    /// Whether this is already the one retry that Cognito's linking quirk gets.
    pub retried: bool,
    /// Whether the user has to authenticate anew, whatever session the provider has of the browser.
    pub reauthenticate: bool,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("started", &self.started).finish_non_exhaustive()
    }
}

/// What came back to the callback.
#[derive(Debug, Default)]
pub struct CallbackParams {
    /// RFC 6749 §4.1.2.
    pub code: Option<SecretString>,
    /// The state, as sent.
    pub state: Option<String>,
    /// RFC 6749 §4.1.2.1.
    pub error: Option<AuthorizationError>,
    /// RFC 9207.
    pub issuer: Option<String>,
}

/// Who has to have sent a callback (RFC 9207).
#[derive(Debug, Clone, Copy)]
pub struct ExpectedIssuer<'a> {
    /// The issuer.
    pub issuer: &'a str,
    /// Whether it says so in every callback, as its metadata tells (`authorization_response_iss_parameter_supported`).
    pub iss_required: bool,
}

/// The provider's own word that it did not sign the user in (RFC 6749 §4.1.2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationError {
    /// The error code.
    pub code: String,
    /// Free text. Foreign: escape it, and branch on it nowhere but in the provider's profile.
    pub description: Option<String>,
}

/// Why a callback is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallbackError {
    /// A parameter came twice: one parser might judge the first and another use the second.
    #[error("the parameter `{0}` came more than once")]
    Duplicate(&'static str),
    /// The sign-in began too long ago.
    #[error("the sign-in took longer than session.sign_in_timeout")]
    Expired,
    /// The state is not ours.
    #[error("the state does not belong to a sign-in of this browser")]
    State,
    /// The answer is from another issuer, or from nobody knows whom (RFC 9207 §2.4).
    #[error("the answer does not name this issuer")]
    Issuer,
    /// The provider refused.
    #[error("the provider refused: {}", UntrustedText::new(.0.code.as_str()))]
    Provider(AuthorizationError),
    /// Neither a code nor an error.
    #[error("the answer holds neither a code nor an error")]
    MissingCode,
}

/// A callback whose state was judged: the only thing that an exchange takes.
#[derive(Debug)]
pub struct VerifiedCallback {
    code: SecretString,
    transaction: Transaction,
    /// Until when a copy of this callback may be accepted.
    outcome_expires_at: Timestamp,
}

impl Transaction {
    /// Begins a sign-in with fresh secrets.
    pub fn begin(intent: SignInIntent, now: Timestamp) -> Self {
        let (state, nonce, verifier) = (random(), random(), random());
        Self { state, nonce, verifier, intent, started: now, retried: false, reauthenticate: false }
    }

    /// The same sign-in once more, with fresh secrets.
    #[must_use]
    pub fn again(&self, now: Timestamp) -> Self {
        let (retried, reauthenticate) = (self.retried, self.reauthenticate);
        Self { retried, reauthenticate, ..Self::begin(self.intent.clone(), now) }
    }

    /// The `state` parameter: 22 characters.
    pub fn state(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.state)
    }

    /// The `nonce` parameter: 22 characters.
    pub fn nonce(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.nonce)
    }

    /// The PKCE code verifier (RFC 7636 §4.1): 43 characters.
    pub fn verifier(&self) -> SecretString {
        BASE64_URL_SAFE_NO_PAD.encode(self.verifier).into()
    }

    /// A short public name for the sign-in that `state` belongs to, for its cookie's name.
    pub fn tag(state: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&sha256(state.as_bytes())[..9])
    }

    /// Judges a callback in this order: age (at most `timeout`), state, issuer, the provider's refusal, code.
    ///
    /// # Errors
    /// [`CallbackError`]; the code was not spent.
    pub fn accept(
        self,
        params: CallbackParams,
        expected: ExpectedIssuer<'_>,
        timeout: Duration,
        now: Timestamp,
    ) -> Result<VerifiedCallback, CallbackError> {
        if now > self.started + timeout || now + timeout < self.started {
            return Err(CallbackError::Expired);
        }
        let state = params.state.unwrap_or_default();
        if !same(state.as_bytes(), self.state().as_bytes()) {
            return Err(CallbackError::State);
        }
        let named = params.issuer.as_deref();
        if named.map_or(expected.iss_required, |iss| iss != expected.issuer) {
            return Err(CallbackError::Issuer);
        }
        if let Some(refusal) = params.error {
            return Err(CallbackError::Provider(refusal));
        }
        let code = params.code.ok_or(CallbackError::MissingCode)?;
        let outcome_expires_at = self.started + timeout + Duration::from_secs(60);
        Ok(VerifiedCallback { code, transaction: self, outcome_expires_at })
    }
}

impl VerifiedCallback {
    /// What its copies, at whatever process, find each other by.
    pub fn key(&self) -> CallbackKey {
        let transaction = &self.transaction;
        CallbackKey::new(&transaction.state(), &transaction.verifier, self.outcome_expires_at)
    }

    /// The code and the sign-in it answers.
    pub fn into_parts(self) -> (SecretString, Transaction) {
        (self.code, self.transaction)
    }
}

impl CallbackParams {
    /// Reads a callback's query. Unknown parameters are ignored, empty ones count as absent, but for the issuer:
    /// an empty one is nobody's.
    ///
    /// # Errors
    /// [`CallbackError::Duplicate`].
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
        const NAMES: [&str; 5] = ["code", "state", "error", "error_description", "iss"];
        let mut values: [Option<String>; 5] = Default::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let Some(at) = NAMES.iter().position(|n| *n == name) else { continue };
            if values[at].replace(value.into_owned()).is_some() {
                return Err(CallbackError::Duplicate(NAMES[at]));
            }
        }
        let [code, state, error, description, issuer] = values;
        let [code, state, error, description] = [code, state, error, description].map(|v| v.filter(|v| !v.is_empty()));
        Ok(Self {
            code: code.map(SecretString::from),
            state,
            error: error.map(|code| AuthorizationError { code, description }),
            issuer,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::at;
    use super::super::return_to::ReturnToPolicy;
    use super::*;
    use crate::domain::encoding::releases::written;
    use crate::domain::encoding::{decode, encode};
    use url::Url;

    const ISSUER: &str = "https://issuer.test";
    const TIMEOUT: Duration = Duration::from_secs(600);

    #[test]
    fn sign_ins_that_began_at_any_release_go_on() {
        let (state, nonce, verifier) = ([1; 16], [2; 16], [3; 32]);
        let now = Transaction { state, nonce, verifier, retried: true, ..begin() };
        for bytes in written("transaction", &encode(&now)) {
            let read: Transaction = decode(&bytes).unwrap();
            assert_eq!((read.state, read.nonce, read.verifier), (state, nonce, verifier));
            assert_eq!((read.retried, read.reauthenticate), (true, false));
            assert_eq!(format!("{:?}", read.intent), format!("{:?}", now.intent));
        }
    }

    fn begin() -> Transaction {
        let policy = ReturnToPolicy::new(Url::parse("https://auth.example.com").unwrap(), vec![], None);
        let intent = SignInIntent { provider: Some("Google".into()), ..SignInIntent::plain(policy.choose(None)) };
        Transaction::begin(intent, at(1_000))
    }

    fn accept(tx: &Transaction, query: &str, now: u64) -> Result<VerifiedCallback, CallbackError> {
        let expected = ExpectedIssuer { issuer: ISSUER, iss_required: false };
        tx.clone().accept(CallbackParams::parse(query)?, expected, TIMEOUT, at(now))
    }

    #[test]
    fn a_code_is_accepted_only_with_our_state() {
        let tx = begin();
        let state = tx.state();
        assert!(accept(&tx, &format!("code=c&state={state}"), 1_001).is_ok());
        for bad in [String::new(), "x".into(), state.to_uppercase(), format!("{state}x"), state[1..].into()] {
            assert_eq!(accept(&tx, &format!("code=c&state={bad}"), 1_001).unwrap_err(), CallbackError::State);
        }
        assert_eq!(accept(&tx, "code=c", 1_001).unwrap_err(), CallbackError::State);
    }

    #[test]
    fn the_order_of_checks_is_age_state_issuer_refusal_code() {
        let tx = begin();
        let state = tx.state();
        let all = format!("error=access_denied&iss=other&state={state}");
        assert_eq!(accept(&tx, "state=x", 1_000 + TIMEOUT.as_secs() + 1).unwrap_err(), CallbackError::Expired);
        assert_eq!(accept(&tx, &all.replace(&state, "x"), 1_001).unwrap_err(), CallbackError::State);
        assert_eq!(accept(&tx, &all, 1_001).unwrap_err(), CallbackError::Issuer);
        assert!(matches!(accept(&tx, &all.replace("iss=other&", ""), 1_001).unwrap_err(), CallbackError::Provider(_)));
        assert_eq!(accept(&tx, &format!("state={state}"), 1_001).unwrap_err(), CallbackError::MissingCode);
    }

    #[test]
    fn an_issuer_that_always_says_its_name_has_to() {
        let tx = begin();
        let state = tx.state();
        let mine = format!("iss={}", url::form_urlencoded::byte_serialize(ISSUER.as_bytes()).collect::<String>());
        for (iss_required, iss, fine) in [
            (false, "", true),
            (false, mine.as_str(), true),
            (false, "iss=", false),
            (false, "iss=other", false),
            (true, "", false),
            (true, mine.as_str(), true),
            (true, "iss=", false),
        ] {
            for answer in ["code=c", "error=access_denied"] {
                let params = CallbackParams::parse(&format!("{answer}&state={state}&{iss}")).unwrap();
                let expected = ExpectedIssuer { issuer: ISSUER, iss_required };
                let refused = tx.clone().accept(params, expected, TIMEOUT, at(1_001)).err();
                assert_eq!(refused == Some(CallbackError::Issuer), !fine, "{iss_required} {answer} {iss}");
            }
        }
    }

    #[test]
    fn a_parameter_that_comes_twice_is_refused() {
        for query in ["code=a&code=a", "state=a&state=b", "error=a&error=", "iss=a&%69ss=b"] {
            assert!(matches!(CallbackParams::parse(query), Err(CallbackError::Duplicate(_))), "{query}");
        }
    }

    #[test]
    fn one_that_begins_again_is_the_same_with_other_secrets() {
        let mut first = begin();
        first.reauthenticate = true;
        let second = first.again(at(3_000));
        assert_eq!((&second.intent, second.started), (&first.intent, at(3_000)));
        assert!(second.reauthenticate && !second.retried);
        assert_ne!((second.state(), second.nonce()), (first.state(), first.nonce()));
    }

    #[test]
    fn two_sign_ins_share_no_secret() {
        let (a, b) = (begin(), begin());
        assert_ne!(a.state(), b.state());
        assert_ne!(a.nonce(), b.nonce());
        assert_ne!(a.verifier, b.verifier);
    }
}
