//! The user pools API, signed with the function's own credentials (Signature Version 4).

use super::link;
use super::settings::TriggerSettings;
use crate::domain::user::User;
use crate::outbound::{OutboundClient, OutboundError};
use aws_lc_rs::digest::{SHA256, digest};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::{Context, SignRequest};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::fmt::Write;

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

/// An operation that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserPoolError {
    /// The API's own word.
    #[error("{kind}: {message}")]
    Refused {
        /// The exception, `UserNotFoundException`.
        kind: String,
        /// Its text.
        message: String,
    },
    /// No answer, or none that can be read.
    #[error("{0}")]
    Unavailable(String),
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
    /// [`UserPoolError`].
    pub async fn call(&self, operation: &str, input: &Value) -> Result<Value, UserPoolError> {
        let body = input.to_string().into_bytes();
        let mut hash = String::new();
        for byte in digest(&SHA256, &body).as_ref() {
            let _ = write!(hash, "{byte:02x}");
        }
        let unavailable = |what: String| UserPoolError::Unavailable(format!("{operation}: {what}"));
        let request = http::Request::post(&self.endpoint)
            .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{operation}"))
            // The signer takes the body's hash from here.
            .header("x-amz-content-sha256", hash)
            .body(body)
            .map_err(|e| unavailable(e.to_string()))?;
        let (mut head, body) = request.into_parts();
        let signed = self.signer.sign_request(&Context::new(), &mut head, Some(&self.credential), None).await;
        signed.map_err(|e| unavailable(format!("cannot be signed: {e}")))?;
        let failed = |e: OutboundError| unavailable(e.to_string());
        let request = http::Request::from_parts(head, body);
        let response = self.http.send(request).await.map_err(failed)?.read().await.map_err(failed)?;
        let status = response.status().as_u16();
        parse_response(status, response.body())
            .unwrap_or_else(|| Err(unavailable(format!("status {status}, no JSON object"))))
    }

    /// All users with an e-mail address, in any status, as it is told and in small letters.
    ///
    /// # Errors
    /// [`UserPoolError`], also if there are too many.
    pub async fn users_with_email(&self, pool: &str, email: &str) -> Result<Vec<User>, UserPoolError> {
        let mut spellings = vec![email.to_owned(), email.to_ascii_lowercase()];
        spellings.dedup();
        let mut users: Vec<User> = Vec::new();
        for spelling in spellings {
            let mut input = json!({ "UserPoolId": pool, "Filter": link::filter(&spelling), "Limit": 60 });
            let mut pages = 0;
            loop {
                let answer = self.call("ListUsers", &input).await?;
                let page = answer.get("Users").and_then(Value::as_array);
                let page = page.ok_or_else(|| UserPoolError::Unavailable("ListUsers: no list".into()))?;
                for user in page {
                    let user =
                        User::from_api(user).map_err(|e| UserPoolError::Unavailable(format!("ListUsers: {e}")))?;
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
                    return Err(UserPoolError::Unavailable("ListUsers: too many users have this address".into()));
                }
            }
        }
        Ok(users)
    }
}

/// What an answer means; `None` if it cannot be read. A success may have an empty body.
fn parse_response(status: u16, body: &[u8]) -> Option<Result<Value, UserPoolError>> {
    if status == 200 && body.is_empty() {
        return Some(Ok(json!({})));
    }
    let body: Value = serde_json::from_slice(body).ok().filter(Value::is_object)?;
    if status == 200 {
        return Some(Ok(body));
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let kind = text("__type")?;
    let kind = kind.rsplit_once('#').map_or(kind, |(_, kind)| kind).to_owned();
    let message = text("message").or_else(|| text("Message")).unwrap_or_default().to_owned();
    Some(Err(UserPoolError::Refused { kind, message }))
}
