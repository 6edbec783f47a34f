//! `POST /`: the user pools API, one operation per `X-Amz-Target`.
//!
//! | an operation | takes | lives in |
//! |---|---|---|
//! | of an administrator | a SigV4 signature, here only its presence | `admin` |
//! | of a user | an access token in the body | `self_service` |
//! | of an identity pool | an ID token in the body | `identity_pool` |

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};
use serde_json::{Value, json};

use super::admin;
use super::identity_pool;
use super::random;
use super::self_service;
use super::state::PoolState;

const PREFIX: &str = "AWSCognitoIdentityProviderService.";
const IDENTITY_POOLS: &str = "AWSCognitoIdentityService.";
const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// What an operation answers with instead of a result: `{"__type": …, "message": …}`, status 400.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    kind: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    pub(super) fn no_user() -> Self {
        Self::new("UserNotFoundException", "User does not exist.")
    }

    pub(super) fn missing(name: &str) -> Self {
        let message = format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
        );
        Self::new("InvalidParameterException", message)
    }
}

/// A text that must be there.
pub(super) fn text<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    input.get(name).and_then(Value::as_str).ok_or_else(|| ApiError::missing(name))
}

pub(super) async fn dispatch(Shared(pool): Shared<Arc<PoolState>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let signed = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value.to_str().is_ok_and(|value| value.starts_with("AWS4-HMAC-SHA256 ")));
    let outcome = match serde_json::from_slice::<Value>(&body) {
        Ok(input) => match target.strip_prefix(IDENTITY_POOLS) {
            Some(operation) => identity_pool::operate(&pool, operation, &input),
            None => operate(&pool, target.strip_prefix(PREFIX).unwrap_or_default(), signed, &input),
        },
        Err(_) => Err(ApiError::new("SerializationException", "")),
    };
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (StatusCode::BAD_REQUEST, json!({ "__type": error.kind, "message": error.message })),
    };
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (HeaderName::from_static("x-amzn-requestid"), random::uuid()),
    ];
    (status, headers, pool.write_json(&body)).into_response()
}

/// The table of operations.
fn operate(pool: &PoolState, operation: &str, signed: bool, input: &Value) -> Result<Value, ApiError> {
    // Of users: no signature, `AccessToken` in the body.
    match operation {
        "GetUser" => return self_service::get_user(pool, input),
        "GlobalSignOut" => return self_service::global_sign_out(pool, input),
        "UpdateUserAttributes" => return self_service::update_user_attributes(pool, input),
        _ => {}
    }
    let unknown = || ApiError::new("UnknownOperationException", "");
    if operation.is_empty() {
        return Err(unknown());
    }
    // Of administrators.
    if !signed {
        return Err(ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token"));
    }
    match operation {
        "AdminAddUserToGroup" => admin::add_user_to_group(pool, input),
        "AdminLinkProviderForUser" => admin::link_provider_for_user(pool, input),
        "AdminUpdateUserAttributes" => admin::update_user_attributes(pool, input),
        "ListUsers" => admin::list_users(pool, input),
        _ => Err(unknown()),
    }
}
