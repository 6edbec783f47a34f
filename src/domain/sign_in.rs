//! What a visitor asks of a sign-in.

use super::authentication::AuthenticationRequirement;
use super::return_to::ReturnTo;
use serde::{Deserialize, Serialize};

/// A page of the provider. In a cookie, the first two are the `false` and `true` of releases that knew no third.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignInScreen {
    /// The sign-in.
    SignIn,
    /// For a new account.
    SignUp,
    /// For a new password.
    NewPassword,
}

/// What a sign-in was asked for: enough to begin it once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInIntent {
    /// Where the browser goes afterwards.
    pub return_to: ReturnTo,
    /// The identity provider that was asked for.
    pub provider: Option<String>,
    /// An alias of one, such as the domain of an e-mail address.
    pub idp_identifier: Option<String>,
    /// OIDC Core §3.1.2.1.
    pub prompt: Option<String>,
    /// The sign-in page's language.
    pub lang: Option<String>,
    /// How, and how lately, the user has to authenticate.
    pub authentication: AuthenticationRequirement,
    /// The API that the access token is for (RFC 8707).
    pub resource: Option<String>,
    /// The page of the provider that comes first.
    pub screen: SignInScreen,
}

impl SignInIntent {
    /// A sign-in that leads to `return_to` and asks for nothing else.
    pub fn plain(return_to: ReturnTo) -> Self {
        Self {
            return_to,
            provider: None,
            idp_identifier: None,
            prompt: None,
            lang: None,
            authentication: AuthenticationRequirement::default(),
            resource: None,
            screen: SignInScreen::SignIn,
        }
    }

    /// Whether a live session is as good as a sign-in.
    pub fn is_met_by_a_session(&self) -> bool {
        self.provider.is_none()
            && self.idp_identifier.is_none()
            && self.prompt.is_none()
            && self.authentication.is_empty()
            && self.resource.is_none()
            && self.screen != SignInScreen::NewPassword
    }

    /// Whether the visitor wants to choose an account, and not the one that the provider has at hand.
    pub fn wants_account_choice(&self) -> bool {
        self.prompt.as_deref().unwrap_or_default().split_ascii_whitespace().any(|word| word == "select_account")
    }
}
