//! `POST /`: the user pools API and the identity pools API, one operation per `X-Amz-Target`.
//!
//! | operations of | take | are in |
//! |---|---|---|
//! | a user | `AccessToken` | `profile`, `factors`, `passkeys` |
//! | somebody who is not signed in yet | `ClientId`, and the proof of its secret | `registration`, `sign_in` |
//! | an administrator | a SigV4 signature, of which only the presence is checked | `admin`, `user_filter`, `groups` |
//! | an identity pool | an ID token | `identity_pool` |

mod admin;
mod factors;
mod groups;
mod identity_pool;
mod input;
mod passkeys;
mod profile;
mod registration;
mod sign_in;
mod user_filter;

pub use identity_pool::IDENTITY_POOL;

use crate::dev::pool::messages::{self, ApiError};
use crate::dev::pool::state::PoolState;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use std::sync::Arc;

const USER_POOLS: &str = "AWSCognitoIdentityProviderService.";
const IDENTITY_POOLS: &str = "AWSCognitoIdentityService.";

pub(super) async fn dispatch(State(pool): State<Arc<PoolState>>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = text("x-amz-target");
    let signed = text(header::AUTHORIZATION.as_str()).starts_with("AWS4-HMAC-SHA256 ");
    let outcome = match serde_json::from_slice(&body) {
        Ok(input) => match target.strip_prefix(IDENTITY_POOLS) {
            Some(operation) => identity_pool::operate(&pool, operation, &input),
            None => operate(&pool, target.strip_prefix(USER_POOLS).unwrap_or_default(), signed, &input).await,
        },
        Err(_) => Err(ApiError::new("SerializationException", "")),
    };
    outcome.map_or_else(ApiError::into_response, |output| messages::aws_json(StatusCode::OK, &output))
}

async fn operate(pool: &PoolState, operation: &str, signed: bool, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "AssociateSoftwareToken" => factors::associate(pool, input),
        "ChangePassword" => profile::change_password(pool, input),
        "CompleteWebAuthnRegistration" => passkeys::complete(pool, input),
        "ConfirmForgotPassword" => registration::confirm_forgot_password(pool, input).await,
        "ConfirmSignUp" => registration::confirm_sign_up(pool, input).await,
        "DeleteUser" => profile::delete_user(pool, input),
        "DeleteUserAttributes" => profile::delete_attributes(pool, input),
        "DeleteWebAuthnCredential" => passkeys::delete(pool, input),
        "ForgotPassword" => registration::forgot_password(pool, input).await,
        "GetTokensFromRefreshToken" => sign_in::tokens_from_refresh_token(pool, input).await,
        "GetUser" => profile::get_user(pool, input),
        "GetUserAttributeVerificationCode" => profile::get_attribute_code(pool, input),
        "GetUserAuthFactors" => factors::list_factors(pool, input),
        "GlobalSignOut" => profile::global_sign_out(pool, input),
        "InitiateAuth" => sign_in::initiate(pool, input).await,
        "ListDevices" => factors::list_devices(pool, input),
        "ListWebAuthnCredentials" => passkeys::list(pool, input),
        "ResendConfirmationCode" => registration::resend_code(pool, input),
        "RespondToAuthChallenge" => sign_in::respond(pool, input).await,
        "RevokeToken" => sign_in::revoke(pool, input),
        "SetUserMFAPreference" => factors::set_preference(pool, input),
        "SignUp" => registration::sign_up(pool, input).await,
        "StartWebAuthnRegistration" => passkeys::start(pool, input),
        "UpdateUserAttributes" => profile::update_attributes(pool, input),
        "VerifySoftwareToken" => factors::verify(pool, input),
        "VerifyUserAttribute" => profile::verify_attribute(pool, input),
        "" => Err(ApiError::unknown_operation()),
        _ if !signed => Err(ApiError::new("MissingAuthenticationTokenException", "Missing Authentication Token")),
        "AdminAddUserToGroup" => groups::add_user(pool, input),
        "AdminCreateUser" => admin::create_user(pool, input).await,
        "AdminDeleteUser" => admin::delete_user(pool, input),
        "AdminDisableUser" => admin::disable_user(pool, input),
        "AdminEnableUser" => admin::enable_user(pool, input),
        "AdminGetUser" => admin::get_user(pool, input),
        "AdminLinkProviderForUser" => admin::link_provider_for_user(pool, input),
        "AdminListGroupsForUser" => groups::list_of_user(pool, input),
        "AdminRemoveUserFromGroup" => groups::remove_user(pool, input),
        "AdminSetUserPassword" => admin::set_password(pool, input),
        "AdminUpdateUserAttributes" => admin::update_attributes(pool, input),
        "AdminUserGlobalSignOut" => admin::global_sign_out(pool, input),
        "DescribeUserPool" => admin::describe_pool(pool, input),
        "ListGroups" => groups::list(pool, input),
        "ListUsers" => user_filter::list_users(pool, input),
        "ListUsersInGroup" => groups::list_users(pool, input),
        _ => Err(ApiError::unknown_operation()),
    }
}
