//! The codes that the pool sends to people. There is no mail: a code is in the log, and in the handle of a test.

use super::messages::ApiError;
use super::random;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;

const HOUR: i64 = 3_600;

/// A code, as it would have been in the mail.
#[derive(Clone, Debug)]
pub struct SentCode {
    /// The user's name in the pool.
    pub username: String,
    /// The e-mail address or phone number.
    pub destination: String,
    /// Six digits; the temporary password of an invitation.
    pub code: String,
    /// What it is for.
    pub purpose: CodePurpose,
}

/// What a code is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    /// Confirms a sign-up, for 24 hours.
    SignUp,
    /// Sets a new password, for an hour.
    ForgotPassword,
    /// Verifies the attribute of this name, for 24 hours.
    Attribute(String),
    /// Signs in the first time, for a user whom an administrator has created.
    Invitation,
}

impl fmt::Display for CodePurpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SignUp => out.write_str("sign-up"),
            Self::ForgotPassword => out.write_str("forgotten password"),
            Self::Attribute(name) => write!(out, "verification of {name}"),
            Self::Invitation => out.write_str("temporary password"),
        }
    }
}

impl SentCode {
    /// `CodeDeliveryDetails` of the API.
    pub(super) fn delivery(&self) -> Value {
        match &self.purpose {
            CodePurpose::Attribute(name) if name == "phone_number" => {
                let end = self.destination.len().saturating_sub(4);
                let masked = format!("+*******{}", self.destination.get(end..).unwrap_or_default());
                json!({ "Destination": masked, "DeliveryMedium": "SMS", "AttributeName": name })
            }
            _ => delivery_details(&self.destination),
        }
    }
}

/// `CodeDeliveryDetails` of a code to an address, with most of it hidden.
pub(super) fn delivery_details(email: &str) -> Value {
    json!({ "Destination": masked(email), "DeliveryMedium": "EMAIL", "AttributeName": "email" })
}

/// `j***@e***`
pub(super) fn masked(email: &str) -> String {
    let (local, domain) = email.split_once('@').unwrap_or((email, ""));
    let first = |text: &str| text.chars().next().map(String::from).unwrap_or_default();
    format!("{}***@{}***", first(local), first(domain))
}

/// All codes: those that may still be used, and those that were sent.
#[derive(Default)]
pub(super) struct SentCodes {
    usable: HashMap<(String, CodePurpose), UsableCode>,
    sent: Vec<SentCode>,
}

struct UsableCode {
    code: String,
    /// The attribute's value that is verified.
    value: String,
    expires_at: i64,
}

impl SentCodes {
    /// Sends a code to an address; it replaces the one before.
    pub(super) fn send(&mut self, username: &str, purpose: CodePurpose, email: &str, now: i64) -> SentCode {
        let code = random::digits();
        let seconds = if purpose == CodePurpose::ForgotPassword { HOUR } else { 24 * HOUR };
        let usable =
            UsableCode { code: code.clone(), value: email.to_owned(), expires_at: now.saturating_add(seconds) };
        self.usable.insert((username.to_owned(), purpose.clone()), usable);
        self.deliver(username, purpose, email, code)
    }

    /// Sends something that is kept elsewhere: a temporary password.
    pub(super) fn deliver(&mut self, username: &str, purpose: CodePurpose, email: &str, code: String) -> SentCode {
        tracing::info!("dev pool: code {code} for {} ({purpose})", email.escape_debug());
        let sent = SentCode { username: username.to_owned(), destination: email.to_owned(), code, purpose };
        self.sent.push(sent.clone());
        sent
    }

    /// The value that waits for its code.
    pub(super) fn pending_value(&self, username: &str, purpose: &CodePurpose) -> Option<&str> {
        self.usable.get(&(username.to_owned(), purpose.clone())).map(|usable| usable.value.as_str())
    }

    /// Spends a code, and returns the value that it verifies.
    pub(super) fn spend(
        &mut self,
        username: &str,
        purpose: CodePurpose,
        code: &str,
        now: i64,
    ) -> Result<String, ApiError> {
        let key = (username.to_owned(), purpose);
        let usable = self.usable.get(&key).filter(|usable| usable.expires_at > now).ok_or_else(expired)?;
        if usable.code != code.trim() {
            let text = "Invalid verification code provided, please try again.";
            return Err(ApiError::new("CodeMismatchException", text));
        }
        self.usable.remove(&key).map(|usable| usable.value).ok_or_else(expired)
    }

    /// Ends the codes of a user who is deleted.
    pub(super) fn forget(&mut self, username: &str) {
        self.usable.retain(|(owner, _), _| owner != username);
    }

    pub(super) fn all(&self) -> &[SentCode] {
        &self.sent
    }
}

/// Also what Cognito answers where there is no such user.
pub(super) fn expired() -> ApiError {
    ApiError::new("ExpiredCodeException", "Invalid code provided, please request a code again.")
}
