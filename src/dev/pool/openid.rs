//! The endpoints of OpenID Connect: discovery, the JWKS, and `/oauth2/userInfo`.

use super::messages;
use super::pages;
use super::state::PoolState;
use super::tokens::TokenClaims;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The discovery document, with Cognito's keys: it has neither `code_challenge_methods_supported` nor
/// `grant_types_supported`, though PKCE works.
pub(super) async fn configuration(State(pool): State<Arc<PoolState>>, Path(pool_id): Path<String>) -> Response {
    let (base, issuer) = (pool.base_url(), pool.issuer());
    let document = json!({
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "end_session_endpoint": format!("{base}/logout"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code", "token"],
        "revocation_endpoint": format!("{base}/oauth2/revoke"),
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "token_endpoint": format!("{base}/oauth2/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": format!("{base}/oauth2/userInfo"),
    });
    document_of(&pool, &pool_id, &document)
}

pub(super) async fn jwks(State(pool): State<Arc<PoolState>>, Path(pool_id): Path<String>) -> Response {
    let jwks = pool.keys().jwks();
    document_of(&pool, &pool_id, &jwks)
}

fn document_of(pool: &PoolState, pool_id: &str, document: &Value) -> Response {
    if pool_id != pool.pool_id() {
        return pages::error(StatusCode::NOT_FOUND, "Not found", "There is no user pool of this id here.");
    }
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, document.to_string()).into_response()
}

/// The domain of the hosted UI does not serve discovery; looking for it there is a common mistake.
pub(super) async fn configuration_of_domain() -> Response {
    let text = "Discovery is served under the issuer, which ends in the user pool's id.";
    pages::error(StatusCode::BAD_REQUEST, "Bad request", text)
}

pub(super) async fn user_info(State(pool): State<Arc<PoolState>>, headers: HeaderMap) -> Response {
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = authorization.and_then(|value| value.split_once(' '));
    let Some((_, token)) = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")) else {
        return challenge(StatusCode::BAD_REQUEST, "invalid_request", "Bad OAuth2 request at UserInfo Endpoint");
    };
    match attributes(&pool, token.trim()) {
        Ok(body) => messages::json(StatusCode::OK, &Value::Object(body)),
        Err(text) => challenge(StatusCode::UNAUTHORIZED, "invalid_token", text),
    }
}

/// Every value is a string, `"true"` and `"false"` among them, and the name is `username`, not `cognito:username`.
fn attributes(pool: &PoolState, token: &str) -> Result<Map<String, Value>, &'static str> {
    const DEAD: &str = "Access token is expired, disabled, or deleted, or the user has globally signed out.";
    let claims = TokenClaims::from_access_token(pool, token).ok_or(DEAD)?;
    let data = pool.data();
    if data.is_revoked_origin(&claims.origin_jti) {
        return Err(DEAD);
    }
    let user = data.enabled_user(&claims.username).ok_or(DEAD)?;
    let scopes = claims.scopes();
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err("Access token does not contain openid scope");
    }
    let mut body = user.readable(&scopes);
    body.insert("sub".to_owned(), user.sub.clone());
    body.insert("username".to_owned(), user.username.clone());
    body.extend(user.identities_attribute().map(|identities| ("identities".to_owned(), identities)));
    Ok(body.into_iter().map(|(name, value)| (name, value.into())).collect())
}

fn challenge(status: StatusCode, error: &str, text: &str) -> Response {
    let mut response = messages::json(status, &json!({ "error": error, "error_description": text }));
    if let Ok(value) = HeaderValue::try_from(format!("error=\"{error}\", error_description=\"{text}\"")) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    response
}
