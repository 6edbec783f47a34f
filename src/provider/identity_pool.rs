//! Cognito identity pools: AWS credentials for an ID token (the enhanced flow).

use super::Provider;
use super::aws;
use super::error::Error;
use crate::config::IdentityPoolConfig;
use crate::domain::aws::AwsCredentials;
use crate::domain::clock::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

impl Provider {
    /// Whether AWS credentials can be had here.
    pub fn has_identity_pool(&self) -> bool {
        self.identity_pool.is_some()
    }

    /// Whether strangers may have some.
    pub fn takes_guests(&self) -> bool {
        self.identity_pool.as_ref().is_some_and(|pool| pool.guests)
    }

    /// The identity of the user of an ID token, of a guest without one (GetId).
    ///
    /// # Errors
    /// [`Error::Refused`] with Cognito's name for it.
    pub async fn identity_id(&self, id_token: Option<&SecretString>) -> Result<String, Error> {
        let pool = self.pool()?;
        let mut body = json!({ "IdentityPoolId": pool.id });
        if let Some(token) = id_token {
            body["Logins"] = logins(pool, token);
        }
        let answer = self.identity("get_id", "GetId", &body).await?;
        let id = answer.get("IdentityId").and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| Error::Unusable("GetId tells no identity".into()))
    }

    /// Credentials of an identity (GetCredentialsForIdentity).
    ///
    /// # Errors
    /// [`Error::Refused`] with Cognito's name for it.
    pub async fn credentials(&self, identity: &str, id_token: Option<&SecretString>) -> Result<AwsCredentials, Error> {
        let pool = self.pool()?;
        let mut body = json!({ "IdentityId": identity });
        if let Some(token) = id_token {
            body["Logins"] = logins(pool, token);
            if let Some(role) = &pool.role_arn {
                body["CustomRoleArn"] = role.as_str().into();
            }
        }
        let answer = self.identity("get_credentials", "GetCredentialsForIdentity", &body).await?;
        let fields = answer.get("Credentials").unwrap_or(&Value::Null);
        let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
        // Seconds with a fraction.
        let expires_at = fields.get("Expiration").and_then(Value::as_f64).filter(|at| (0.0..1e12).contains(at));
        let credentials = (|| {
            Some(AwsCredentials {
                identity_id: answer.get("IdentityId").and_then(Value::as_str).unwrap_or(identity).to_owned(),
                access_key_id: text("AccessKeyId")?,
                secret_access_key: text("SecretKey")?.into(),
                session_token: text("SessionToken")?.into(),
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "within bounds, see above"
                )]
                expires_at: Timestamp::from_secs(expires_at? as u64),
            })
        })();
        credentials.ok_or_else(|| Error::Unusable("GetCredentialsForIdentity tells no credentials".into()))
    }

    fn pool(&self) -> Result<&IdentityPoolConfig, Error> {
        self.identity_pool.as_ref().ok_or_else(|| Error::Unusable("aws.identity_pool is not configured".into()))
    }

    async fn identity(&self, name: &'static str, operation: &str, body: &Value) -> Result<Value, Error> {
        let target = format!("AWSCognitoIdentityService.{operation}");
        aws::call(&self.http, name, &self.pool()?.endpoint, &target, body).await
    }
}

fn logins(pool: &IdentityPoolConfig, id_token: &SecretString) -> Value {
    Map::from_iter([(pool.login.clone(), id_token.expose_secret().into())]).into()
}
