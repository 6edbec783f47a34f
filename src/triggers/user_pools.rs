//! The user pools API, signed with the function's own credentials (Signature Version 4).

use super::settings::TriggerSettings;
use crate::domain::user::User;
use crate::outbound::OutboundClient;
use crate::outbound::aws_json::{self, AwsError};
use aws_lc_rs::digest::{SHA256, digest};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::{Context, SignRequest};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::fmt::{Display, Write};

/// An address that more users have than fit here is nobody's.
const MAX_PAGES: usize = 5;

/// Calls operations of the user pools API.
#[derive(Debug)]
pub struct UserPools {
    http: OutboundClient,
    endpoint: String,
    signer: RequestSigner,
    credential: Credential,
}

impl UserPools {
    pub(super) fn new(http: OutboundClient, settings: &TriggerSettings) -> Self {
        let credentials = &settings.credentials;
        Self {
            http,
            endpoint: settings.endpoint.clone(),
            signer: RequestSigner::new("cognito-idp", &settings.region),
            credential: Credential {
                access_key_id: credentials.access_key_id.clone(),
                secret_access_key: credentials.secret_access_key.expose_secret().to_owned(),
                session_token: credentials.session_token.as_ref().map(|token| token.expose_secret().to_owned()),
                expires_in: None,
            },
        }
    }

    /// Calls one operation.
    ///
    /// # Errors
    /// [`AwsError`].
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value, AwsError> {
        let target = format!("AWSCognitoIdentityProviderService.{operation}");
        let (mut head, body) = aws_json::request(&self.endpoint, &target, input)?.into_parts();
        let mut hash = String::new();
        for byte in digest(&SHA256, &body).as_ref() {
            let _ = write!(hash, "{byte:02x}");
        }
        let failed = |what: &dyn Display| AwsError::Unavailable(format!("{operation}: {what}"));
        // The signer takes the body's hash from here.
        head.headers.insert("x-amz-content-sha256", hash.parse().map_err(|e| failed(&e))?);
        let signed = self.signer.sign_request(&Context::new(), &mut head, Some(&self.credential), None).await;
        signed.map_err(|e| failed(&format_args!("cannot be signed: {e}")))?;
        let response = self.http.call(http::Request::from_parts(head, body)).await.map_err(|e| failed(&e))?;
        aws_json::read(&target, &response)
    }

    /// All users with an e-mail address, in any status, as it is told and in small letters.
    ///
    /// # Errors
    /// [`AwsError`], also if there are too many.
    pub async fn users_with_email(&self, pool: &str, email: &str) -> Result<Vec<User>, AwsError> {
        let mut spellings = vec![email.to_owned(), email.to_ascii_lowercase()];
        spellings.dedup();
        let mut users: Vec<User> = Vec::new();
        for spelling in spellings {
            let mut input = json!({ "UserPoolId": pool, "Filter": filter(&spelling), "Limit": 60 });
            let mut pages = 0;
            loop {
                let answer = self.call("ListUsers", &input).await?;
                let page = answer.get("Users").and_then(Value::as_array);
                let page = page.ok_or_else(|| AwsError::Unavailable("ListUsers: no list".into()))?;
                for user in page {
                    let user = User::from_api(user).map_err(|e| AwsError::Unavailable(format!("ListUsers: {e}")))?;
                    if users.iter().all(|known| known.username != user.username) {
                        users.push(user);
                    }
                }
                match answer.get("PaginationToken").filter(|token| !token.is_null()) {
                    None => break,
                    Some(token) => input["PaginationToken"] = token.clone(),
                }
                pages += 1;
                if pages == MAX_PAGES {
                    return Err(AwsError::Unavailable("ListUsers: too many users have this address".into()));
                }
            }
        }
        Ok(users)
    }
}

/// ListUsers' filter for an e-mail address.
fn filter(email: &str) -> String {
    format!("email = \"{}\"", email.replace('\\', "\\\\").replace('"', "\\\""))
}
