//! What people do with their account: their attributes, and credentials for AWS.

use super::api::{nobody, unknown};
use super::openapi::{AwsCredentialsProblems, ChangeProfileProblems, OriginHeader, ProfileProblems};
use super::origin::RequestOrigin;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::session_layer::BrowserSession;
use super::{Web, error};
use crate::domain::clock::Timestamp;
use crate::domain::user::User;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Characters of a value; Cognito takes no more.
const VALUE_MAX: usize = 2_048;

/// My attributes
///
/// As the user pool has them now (GetUser), asked with the session's access token, which never leaves the service. Needs
/// the scope `aws.cognito.signin.user.admin`.
#[utoipa::path(
    get, path = "/auth/profile", operation_id = "profile", tag = "api", security(("session" = [])),
    responses((status = 200, description = "The attributes.", body = UserProfile), ProfileProblems)
)]
pub(super) async fn profile(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    answer(&web, visitor, &id, BTreeMap::new()).await
}

/// Change my attributes
///
/// Only those of `profile.writable`. All or none. The tokens are renewed, so that siblings see the change at once.
#[utoipa::path(
    patch, path = "/auth/profile", operation_id = "changeProfile", tag = "api", security(("session" = [])),
    params(OriginHeader),
    request_body(
        content = BTreeMap<String, String>,
        description = "Attributes and their new values (as RFC 7396, without removals), each of 2,048 characters at most.",
    ),
    responses((status = 200, description = "The attributes.", body = UserProfile), ChangeProfileProblems)
)]
pub(super) async fn change_profile(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    id: RequestId,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if RequestOrigin::of(&web, &visitor.headers).is_foreign() {
        return error::problem(Refusal::Origin, &id, None);
    }
    match read(&visitor.headers, body) {
        Ok(change) => answer(&web, visitor, &id, change).await,
        Err(error) => error::problem(error, &id, None),
    }
}

async fn answer(web: &Web, visitor: BrowserSession, id: &RequestId, change: BTreeMap<String, String>) -> Response {
    let opened = match visitor.session {
        Ok(Some(opened)) => opened,
        Ok(None) => return nobody(web, &visitor.ids, id),
        Err(error) => return unknown(web, error, id),
    };
    match web.rp.account(&opened, &change).await {
        Ok(user) => Json(shown(&user, web.rp.writable())).into_response(),
        Err(error) => error::problem(error, id, Some(web.public_url.join("/auth/signin"))),
    }
}

/// A user as the user pool has it now.
#[derive(Serialize, ToSchema)]
struct UserProfile<'a> {
    /// The provider's stable identifier. Opaque.
    #[schema(required)]
    sub: Option<&'a str>,
    /// The name in the pool.
    username: &'a str,
    /// The identity provider, `COGNITO` for a user of the pool itself.
    provider: &'a str,
    /// Every attribute as text; also `email_verified`.
    attributes: &'a BTreeMap<String, String>,
    /// Those that may be changed here.
    writable: &'a [String],
}

fn shown<'a>(user: &'a User, writable: &'a [String]) -> UserProfile<'a> {
    UserProfile {
        sub: user.sub.as_deref(),
        username: &user.username,
        provider: user.provider(),
        attributes: &user.attributes,
        writable,
    }
}

fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<BTreeMap<String, String>, Refusal> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Refusal::Body("the content type must be application/json"));
    }
    let body = body.map_err(|_| Refusal::Body("the body is too large, or incomplete"))?;
    let object: Map<String, Value> =
        serde_json::from_slice(&body).map_err(|_| Refusal::Body("the body must be a JSON object of attributes"))?;
    if object.is_empty() {
        return Err(Refusal::Body("the object names no attribute"));
    }
    let text = |(name, value): (String, Value)| match value {
        Value::String(value) if value.chars().count() <= VALUE_MAX => Ok((name, value)),
        _ => Err(Refusal::Body("each value must be a text of at most 2,048 characters")),
    };
    object.into_iter().map(text).collect()
}

/// Temporary credentials of an identity pool's role.
#[derive(Serialize, ToSchema)]
struct AwsCredentialsResponse<'a> {
    identity_id: &'a str,
    access_key_id: &'a str,
    secret_access_key: &'a str,
    session_token: &'a str,
    /// Epoch seconds.
    #[schema(value_type = u64)]
    expires_at: Timestamp,
}

/// AWS credentials
///
/// Temporary credentials from the identity pool of `aws.identity_pool`, good for five minutes at least. Strangers get a
/// guest's where `aws.guest` says so.
#[utoipa::path(
    post, path = "/auth/aws-credentials", operation_id = "awsCredentials", tag = "api",
    security(("session" = []), ()), params(OriginHeader),
    responses((status = 200, description = "The credentials.", body = AwsCredentialsResponse), AwsCredentialsProblems)
)]
pub(super) async fn aws_credentials(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    if RequestOrigin::of(&web, &visitor.headers).is_foreign() {
        return error::problem(Refusal::Origin, &id, None);
    }
    let opened = match visitor.session {
        Ok(opened) => opened,
        Err(error) => return unknown(&web, error, &id),
    };
    if opened.is_none() && !visitor.ids.is_empty() {
        // A session that is over is no guest's.
        return nobody(&web, &visitor.ids, &id);
    }
    match web.rp.aws_credentials(opened.as_ref()).await {
        Ok(credentials) => Json(AwsCredentialsResponse {
            identity_id: &credentials.identity_id,
            access_key_id: &credentials.access_key_id,
            secret_access_key: credentials.secret_access_key.expose_secret(),
            session_token: credentials.session_token.expose_secret(),
            expires_at: credentials.expires_at,
        })
        .into_response(),
        Err(error) => error::problem(error, &id, Some(web.public_url.join("/auth/signin"))),
    }
}
