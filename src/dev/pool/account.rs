//! `/oauth2/userInfo`, `/oauth2/revoke` and `/logout`: looking at a sign-in, and ending one.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use super::answer::{self, OAuthError};
use super::authorize::SESSION_COOKIE;
use super::client_auth;
use super::pages;
use super::params::Params;
use super::random;
use super::state::PoolState;
use super::token::is_form;
use super::tokens;

pub(super) async fn user_info(Shared(pool): Shared<Arc<PoolState>>, headers: HeaderMap) -> Response {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let Some(token) = bearer else {
        return challenge(&pool, StatusCode::BAD_REQUEST, "invalid_request", "Bad OAuth2 request at UserInfo Endpoint");
    };
    match attributes(&pool, token) {
        Ok(body) => answer::json(&pool, StatusCode::OK, &Value::Object(body)),
        Err(text) => challenge(&pool, StatusCode::UNAUTHORIZED, "invalid_token", text),
    }
}

/// Every value a string, `"true"` and `"false"` among them, and `username` rather than `cognito:username`.
fn attributes(pool: &PoolState, token: &str) -> Result<Map<String, Value>, &'static str> {
    const DEAD: &str = "Access token is expired, disabled, or deleted, or the user has globally signed out.";
    let claims = tokens::read_access_token(pool, token).ok_or(DEAD)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    let scopes: Vec<String> = text("scope").split_whitespace().map(str::to_owned).collect();
    let world = pool.world();
    if world.is_revoked_origin(text("origin_jti")) {
        return Err(DEAD);
    }
    let user = world.user(text("username")).filter(|user| user.enabled).ok_or(DEAD)?;
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err("Access token does not contain openid scope");
    }
    let mut body: Map<String, Value> =
        user.readable(&scopes).into_iter().map(|(name, value)| (name, value.into())).collect();
    body.insert("sub".to_owned(), user.sub.clone().into());
    body.insert("username".to_owned(), user.username.clone().into());
    if let Some(identities) = user.identities_attribute() {
        body.insert("identities".to_owned(), identities.into());
    }
    Ok(body)
}

fn challenge(pool: &PoolState, status: StatusCode, error: &'static str, text: &'static str) -> Response {
    let mut answer = answer::json(pool, status, &json!({ "error": error, "error_description": text }));
    if let Ok(value) = HeaderValue::try_from(format!("error=\"{error}\", error_description=\"{text}\"")) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    answer
}

/// 200 with nothing in it for a token that is revoked now, was before, or never existed.
pub(super) async fn revoke(Shared(pool): Shared<Arc<PoolState>>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Params::parse(&body);
    if !is_form(&headers) || form.has_duplicates() {
        return OAuthError::INVALID_REQUEST.answer(&pool);
    }
    let Some(client) = client_auth::authenticate(&pool, &headers, &form) else {
        return OAuthError::INVALID_CLIENT.answer_with(&pool, StatusCode::UNAUTHORIZED);
    };
    let Some(token) = form.get("token").filter(|_| client.revocation) else {
        return OAuthError::INVALID_REQUEST.answer(&pool);
    };
    // Three parts are a signed token; refresh tokens have five.
    if token.split('.').count() == 3 {
        return OAuthError::UNSUPPORTED_TOKEN_TYPE.answer(&pool);
    }
    pool.world().revoke(token, &client.id);
    (StatusCode::OK, [("x-amz-cognito-request-id", random::uuid())]).into_response()
}

/// Not OpenID Connect's RP-initiated logout: `logout_uri`, or a `redirect_uri` to sign in for again.
pub(super) async fn logout(
    Shared(pool): Shared<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let params = Params::parse(query.as_bytes());
    let client = params.get("client_id").and_then(|id| pool.world().clients.get(id).cloned());
    let Some(client) = client else {
        let text = "The request must name an app client of this user pool in client_id.";
        return pages::error(StatusCode::BAD_REQUEST, "Required parameters missing", text);
    };
    let registered = |name: &str, urls: &[String]| params.get(name).filter(|url| urls.iter().any(|known| known == url));
    let target = if let Some(logout_uri) = registered("logout_uri", &client.logout_urls) {
        logout_uri.to_owned()
    } else if registered("redirect_uri", &client.callback_urls).is_some() && params.get("response_type").is_some() {
        format!("/login?{query}")
    } else {
        let text = "Neither logout_uri nor redirect_uri is among the URLs allowed for the app client, byte for byte.";
        return pages::error(StatusCode::BAD_REQUEST, "Required String parameter 'redirect_uri' is not present", text);
    };
    if let Some(cookie) = answer::cookie(&headers, SESSION_COOKIE) {
        pool.world().close_session(cookie);
    }
    answer::set_cookie(answer::redirect(&target), SESSION_COOKIE, "", Some(0))
}
