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

impl Provider {
    /// The user of an access token, as the pool has it now (GetUser).
    ///
    /// # Errors
    /// [`Error::is_not_authorized`] if the token was revoked or the user disabled.
    pub async fn get_user(&self, access: &SecretString) -> Result<User, Error> {
        let body = json!({ "AccessToken": access.expose_secret() });
        let answer = self.user_pool("get_user", "GetUser", &body).await?;
        User::from_api(&answer).map_err(|error| Error::Unusable(format!("GetUser: {error}")))
    }

    /// Changes attributes of the user of an access token (UpdateUserAttributes).
    ///
    /// # Errors
    /// As [`get_user`](Self::get_user); [`Error::Refused`] with Cognito's name for what it does not take.
    pub async fn update_user(&self, access: &SecretString, change: &BTreeMap<String, String>) -> Result<(), Error> {
        let list: Vec<_> = change.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        let body = json!({ "AccessToken": access.expose_secret(), "UserAttributes": list });
        self.user_pool("update_user", "UpdateUserAttributes", &body).await.map(|_| ())
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
