//! Cognito's user pools API, as a signed-in user calls it: with an access token, without AWS credentials.

use super::Provider;
use super::aws;
use super::error::Error;
use crate::config::{Profile, ProviderConfig};
use crate::domain::user::User;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use url::Url;

/// The scope that the API asks for.
pub const SCOPE: &str = "aws.cognito.signin.user.admin";

/// What a signed-in user asks of the pool.
#[derive(Debug, Clone, Copy)]
pub enum UserOperation<'a> {
    /// The user as the pool has it now.
    GetUser,
    /// Changes attributes. A new address gets a code.
    UpdateAttributes(&'a BTreeMap<String, String>),
    /// The code that came to a new address.
    VerifyAttribute {
        /// `email` or `phone_number`.
        name: &'static str,
        /// The code.
        code: &'a str,
    },
    /// A new secret for an authenticator app.
    AssociateAuthenticatorApp,
    /// The first code of the app, which makes the secret count.
    VerifyAuthenticatorApp {
        /// The code.
        code: &'a str,
    },
    /// Whether a sign-in asks for a code of the app.
    UseAuthenticatorApp(bool),
    /// The user's passkeys.
    ListPasskeys,
    /// What the browser has to know to make a passkey.
    StartPasskey,
    /// The passkey that the browser made.
    CompletePasskey(&'a serde_json::Value),
    /// Takes a passkey away.
    DeletePasskey {
        /// Its id.
        id: &'a str,
    },
    /// Deletes the user.
    DeleteUser,
}

impl UserOperation<'_> {
    /// The name in metrics, the name at Cognito, and what is sent beside the access token.
    fn parts(self) -> (&'static str, &'static str, serde_json::Value) {
        match self {
            Self::GetUser => ("get_user", "GetUser", json!({})),
            Self::UpdateAttributes(change) => {
                let list: Vec<_> = change.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
                ("update_user", "UpdateUserAttributes", json!({ "UserAttributes": list }))
            }
            Self::VerifyAttribute { name, code } => {
                ("verify_attribute", "VerifyUserAttribute", json!({ "AttributeName": name, "Code": code }))
            }
            Self::AssociateAuthenticatorApp => ("authenticator_app", "AssociateSoftwareToken", json!({})),
            Self::VerifyAuthenticatorApp { code } => {
                ("authenticator_app", "VerifySoftwareToken", json!({ "UserCode": code }))
            }
            Self::UseAuthenticatorApp(enabled) => {
                let settings = json!({ "Enabled": enabled, "PreferredMfa": enabled });
                ("authenticator_app", "SetUserMFAPreference", json!({ "SoftwareTokenMfaSettings": settings }))
            }
            Self::ListPasskeys => ("passkeys", "ListWebAuthnCredentials", json!({})),
            Self::StartPasskey => ("passkeys", "StartWebAuthnRegistration", json!({})),
            Self::CompletePasskey(credential) => {
                ("passkeys", "CompleteWebAuthnRegistration", json!({ "Credential": credential }))
            }
            Self::DeletePasskey { id } => ("passkeys", "DeleteWebAuthnCredential", json!({ "CredentialId": id })),
            Self::DeleteUser => ("delete_user", "DeleteUser", json!({})),
        }
    }
}

/// Why the pool does not take what a user asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountRefusal {
    /// Not the code that was sent, or that the app shows.
    WrongCode,
    /// The code is too old.
    ExpiredCode,
    /// Too many attempts, or too many codes.
    TooManyAttempts,
    /// Another user has the address.
    AddressTaken,
    /// Anything else.
    Value,
}

impl AccountRefusal {
    /// A name of [`WrongCode`](Self::WrongCode).
    pub const WRONG_CODE: &str = "CodeMismatchException";

    /// What the name of an exception means.
    pub fn of(code: &str) -> Self {
        match code {
            Self::WRONG_CODE | "EnableSoftwareTokenMFAException" => Self::WrongCode,
            "ExpiredCodeException" => Self::ExpiredCode,
            "LimitExceededException" | "TooManyFailedAttemptsException" | "TooManyRequestsException" => {
                Self::TooManyAttempts
            }
            "AliasExistsException" => Self::AddressTaken,
            _ => Self::Value,
        }
    }
}

impl Provider {
    /// Does what the user of an access token asks for.
    ///
    /// # Errors
    /// [`Error::is_not_authorized`] if the token was revoked or the user disabled; [`Error::Refused`] with Cognito's name
    /// for what it does not take.
    pub async fn as_user(&self, access: &SecretString, asked: UserOperation<'_>) -> Result<serde_json::Value, Error> {
        let (name, operation, mut body) = asked.parts();
        body["AccessToken"] = access.expose_secret().into();
        self.user_pool(name, operation, &body).await
    }

    /// Whether there is a user pools API.
    pub fn has_user_pools(&self) -> bool {
        self.user_pools.is_some()
    }

    /// The user of an access token, as the pool has it now (GetUser).
    ///
    /// # Errors
    /// [`Error::is_not_authorized`] if the token was revoked or the user disabled.
    pub async fn get_user(&self, access: &SecretString) -> Result<User, Error> {
        let answer = self.as_user(access, UserOperation::GetUser).await?;
        User::from_api(&answer).map_err(|error| Error::Unusable(format!("GetUser: {error}")))
    }

    /// Ends what the pool has of the user of an access token: all refresh tokens, also those of other app clients
    /// (GlobalSignOut). Its browser sessions live on.
    ///
    /// # Errors
    /// As [`get_user`](Self::get_user).
    pub async fn global_sign_out(&self, access: &SecretString) -> Result<(), Error> {
        let body = json!({ "AccessToken": access.expose_secret() });
        self.user_pool("global_sign_out", "GlobalSignOut", &body).await.map(drop)
    }

    async fn user_pool(
        &self,
        name: &'static str,
        operation: &str,
        body: &serde_json::Value,
    ) -> Result<serde_json::Value, Error> {
        let Some(url) = &self.user_pools else {
            return Err(Error::Unusable("this provider has no user pools API".into()));
        };
        aws::call(&self.http, name, url, &format!("AWSCognitoIdentityProviderService.{operation}"), body).await
    }
}

/// Where the API is, if the provider has one.
pub fn endpoint(config: &ProviderConfig) -> Option<Url> {
    match (&config.user_pools_endpoint, config.profile) {
        (Some(url), _) => Some(url.clone()),
        (None, Profile::Cognito) => beside(&config.issuer),
        (None, Profile::Oidc) => None,
    }
}

/// The API of an issuer.
fn beside(issuer: &str) -> Option<Url> {
    let mut url = Url::parse(issuer).ok()?;
    if let Some(host) = url.host_str().and_then(|host| host.strip_prefix("issuer-cognito-idp.")) {
        let host = format!("cognito-idp.{host}");
        url.set_host(Some(&host)).ok()?;
    }
    url.set_path("/");
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_beside_the_issuer() {
        for issuer in [
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_X",
            "https://issuer-cognito-idp.eu-west-1.amazonaws.com/eu-west-1_X",
        ] {
            assert_eq!(beside(issuer).unwrap().as_str(), "https://cognito-idp.eu-west-1.amazonaws.com/");
        }
    }
}
