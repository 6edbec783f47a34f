//! `POST /`: the user pools API and the identity pools API, one operation per `X-Amz-Target`; and what a user may do
//! with an access token alone.
//!
//! | operations of | take | are in |
//! |---|---|---|
//! | a user: `GetUser`, … | `AccessToken` in the body | `api` |
//! | an administrator: `AdminGetUser`, … | a SigV4 signature, of which only the presence is checked | `admin` |
//! | an identity pool: `GetId`, … | an ID token in the body | `identity_pool` |

mod admin;
mod identity_pool;

pub use identity_pool::IDENTITY_POOL;

use crate::dev::pool::messages::{self, ApiError, required};
use crate::dev::pool::state::PoolState;
use crate::dev::pool::tokens::TokenClaims;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use std::sync::Arc;

const USER_POOLS: &str = "AWSCognitoIdentityProviderService.";
const IDENTITY_POOLS: &str = "AWSCognitoIdentityService.";

/// Attributes that a user cannot write.
const READ_ONLY: [&str; 3] = ["sub", "identities", "email_verified"];

pub(super) async fn dispatch(State(pool): State<Arc<PoolState>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = text("x-amz-target");
    let signed = text(header::AUTHORIZATION.as_str()).starts_with("AWS4-HMAC-SHA256 ");
    let outcome = match serde_json::from_slice(&body) {
        Ok(input) => match target.strip_prefix(IDENTITY_POOLS) {
            Some(operation) => identity_pool::operate(&pool, operation, &input),
            None => operate(&pool, target.strip_prefix(USER_POOLS).unwrap_or_default(), signed, &input),
        },
        Err(_) => Err(ApiError::new("SerializationException", "")),
    };
    outcome.map_or_else(ApiError::into_response, |output| messages::aws_json(StatusCode::OK, &output))
}

fn operate(pool: &PoolState, operation: &str, signed: bool, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "GetUser" => get_user(pool, input),
        "GlobalSignOut" => global_sign_out(pool, input),
        "UpdateUserAttributes" => update_user_attributes(pool, input),
        "" => Err(ApiError::unknown_operation()),
        _ if !signed => Err(ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token")),
        "AdminAddUserToGroup" => admin::add_user_to_group(pool, input),
        "AdminLinkProviderForUser" => admin::link_provider_for_user(pool, input),
        "AdminUpdateUserAttributes" => admin::update_user_attributes(pool, input),
        "ListUsers" => admin::list_users(pool, input),
        _ => Err(ApiError::unknown_operation()),
    }
}

fn get_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized_user(pool, input)?;
    let data = pool.data();
    let user = data.user(&username).ok_or_else(ApiError::user_not_found)?;
    Ok(json!({ "Username": user.username, "UserAttributes": admin::attribute_list(user) }))
}

fn update_user_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized_user(pool, input)?;
    let list = input["UserAttributes"].as_array().ok_or_else(|| ApiError::missing_parameter("userAttributes"))?;
    let mut changes = Vec::new();
    for attribute in list {
        let (name, value) = (required(attribute, "Name")?, attribute["Value"].as_str().unwrap_or_default());
        if READ_ONLY.contains(&name) {
            return Err(ApiError::not_authorized("A client attempted to write unauthorized attribute"));
        }
        if value.chars().count() > 2_048 {
            return Err(ApiError::invalid_parameter(format!("{name}: value too long")));
        }
        changes.push((name.to_owned(), value.to_owned()));
    }
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    user.attributes.extend(changes);
    Ok(json!({ "CodeDeliveryDetailsList": [] }))
}

fn global_sign_out(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized_user(pool, input)?;
    pool.data().sign_out_globally(&username);
    Ok(json!({}))
}

/// The user of an access token with the scope of these operations.
fn authorized_user(pool: &PoolState, input: &Value) -> Result<String, ApiError> {
    let claims = TokenClaims::from_access_token(pool, required(input, "AccessToken")?);
    let claims = claims.ok_or_else(|| ApiError::not_authorized("Invalid Access Token"))?;
    if !claims.scopes().iter().any(|scope| scope == "aws.cognito.signin.user.admin") {
        return Err(ApiError::not_authorized("Access Token does not have required scopes"));
    }
    let data = pool.data();
    if data.is_revoked_origin(&claims.origin_jti) {
        return Err(ApiError::not_authorized("Access Token has been revoked"));
    }
    let user = data.user(&claims.username).ok_or_else(ApiError::user_not_found)?;
    if !user.enabled {
        return Err(ApiError::not_authorized("User is disabled."));
    }
    Ok(claims.username)
}
