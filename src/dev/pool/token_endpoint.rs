//! The token endpoint, `POST /oauth2/token`, with its three grants, and the revocation endpoint, `POST /oauth2/revoke`
//! (RFC 6749 §3.2, RFC 7009).

use super::data::UserAuthentication;
use super::messages::{self, OAuthError, Params};
use super::random;
use super::settings::{AppClient, OAuthFlow, Rotation};
use super::state::PoolState;
use super::tokens;
use super::users::PoolUser;
use aws_lc_rs::digest;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::sync::Arc;

/// Scopes of every pool; all others belong to a resource server.
const STANDARD_SCOPES: [&str; 5] = ["openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"];

pub(super) async fn token(
    State(pool): State<Arc<PoolState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Params::of_form(&headers, &body)?;
    let grant_type = form.get("grant_type").ok_or(OAuthError::INVALID_REQUEST)?;
    let flow = match grant_type {
        "authorization_code" | "refresh_token" => OAuthFlow::Code,
        "client_credentials" => OAuthFlow::ClientCredentials,
        _ => return Err(OAuthError::UNSUPPORTED_GRANT_TYPE),
    };
    // A client that fails here has not spent the code: it may come again with the right secret.
    let client = authenticated_client(&pool, &headers, &form).ok_or(OAuthError::INVALID_CLIENT)?;
    if client.flow != flow {
        return Err(OAuthError::UNAUTHORIZED_CLIENT);
    }
    let body = match grant_type {
        "authorization_code" => authorization_code(&pool, &client, &form)?,
        "refresh_token" => refresh_token(&pool, &client, &form).await?,
        _ => client_credentials(&pool, &client, &form).await?,
    };
    Ok(messages::json(StatusCode::OK, &body))
}

/// 200 with an empty body for a token that is revoked now, was before, or never existed.
pub(super) async fn revoke(
    State(pool): State<Arc<PoolState>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let form = Params::of_form(&headers, &body)?;
    let client = authenticated_client(&pool, &headers, &form)
        .ok_or(OAuthError::INVALID_CLIENT.with_status(StatusCode::UNAUTHORIZED))?;
    let token = form.get("token").filter(|_| client.revocation).ok_or(OAuthError::INVALID_REQUEST)?;
    // Three parts are a signed token; refresh tokens have five.
    if token.split('.').count() == 3 {
        return Err(OAuthError::UNSUPPORTED_TOKEN_TYPE);
    }
    pool.data().revoke(token, &client.id);
    Ok((StatusCode::OK, [("x-amz-cognito-request-id", random::uuid())]).into_response())
}

/// The client, by HTTP Basic, by form fields, or by the bare id of a public client (RFC 6749 §2.3.1). One that has a
/// secret must send it.
fn authenticated_client(pool: &PoolState, headers: &HeaderMap, form: &Params) -> Option<AppClient> {
    let (id, secret) = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let (id, secret) = basic_credentials(value.to_str().ok()?)?;
            // The header decides; a body that names another client is a mistake.
            if form.get("client_id").is_some_and(|named| named != id) {
                return None;
            }
            (id, Some(secret))
        }
        None => (form.get("client_id")?.to_owned(), form.get("client_secret").map(str::to_owned)),
    };
    let client = pool.data().clients.get(&id).cloned()?;
    let proved = match (&client.secret, &secret) {
        // Both halves should be form-encoded; whether Cognito decodes them is not known, so both forms pass.
        (Some(_), Some(secret)) => client.knows_secret(secret) || client.knows_secret(&form_decoded(secret)),
        (Some(_), None) => false,
        (None, secret) => secret.as_ref().is_none_or(String::is_empty),
    };
    proved.then_some(client)
}

fn basic_credentials(authorization: &str) -> Option<(String, String)> {
    let (_, encoded) = authorization.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((form_decoded(id), secret.to_owned()))
}

fn form_decoded(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

fn authorization_code(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    let now = pool.now();
    let text = form.get("code").ok_or(OAuthError::INVALID_REQUEST)?;
    // Spent from here on, whatever else is wrong with the request.
    let code = pool.data().redeem_code(text, now);
    let Some(code) = code else {
        if pool.faults().code_reuse_revokes {
            pool.data().revoke_redeemed(text);
        }
        return Err(OAuthError::INVALID_GRANT);
    };
    if code.authentication.client_id != client.id {
        return Err(OAuthError::INVALID_GRANT);
    }
    let redirect_uri = form.get("redirect_uri").ok_or(OAuthError::INVALID_REQUEST)?;
    if redirect_uri != code.redirect_uri {
        return Err(OAuthError::INVALID_REDIRECT);
    }
    if code.code_challenge != form.get("code_verifier").map(s256) {
        return Err(OAuthError::INVALID_REQUEST);
    }
    enabled_user(pool, &code.authentication)?;
    let expires_at = now.saturating_add(client.refresh_token_seconds);
    let refresh_token = pool.data().issue_refresh_token(code.authentication.clone(), expires_at);
    let mut response = token_response(pool, client, &code.user, &code.authentication, code.nonce.as_deref());
    response["refresh_token"] = refresh_token.into();
    Ok(response)
}

/// The `code_challenge` of a verifier (RFC 7636 §4.2).
fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}

/// The response has a new refresh token only where the app client has rotation on.
async fn refresh_token(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    let now = pool.now();
    let text = form.get("refresh_token").ok_or(OAuthError::INVALID_REQUEST)?;
    let mut token = pool.data().refresh_token(text, now).ok_or(OAuthError::INVALID_GRANT)?;
    if token.authentication.client_id != client.id {
        return Err(OAuthError::INVALID_GRANT);
    }
    let user = enabled_user(pool, &token.authentication)?;
    let scopes = &token.authentication.scopes;
    let overrides = pool.triggers.token_generation("TokenGeneration_RefreshTokens", &client.id, &user, scopes).await;
    token.authentication.overrides = overrides.map_err(|_| OAuthError::INVALID_GRANT)?;
    let rotated = match client.rotation {
        Rotation::Off => None,
        Rotation::On { grace_seconds } => {
            Some(pool.data().rotate_refresh_token(text, now, grace_seconds).ok_or(OAuthError::INVALID_GRANT)?)
        }
    };
    let mut response = token_response(pool, client, &user, &token.authentication, None);
    if let Some(rotated) = rotated {
        response["refresh_token"] = rotated.into();
    }
    Ok(response)
}

/// `resource` has no effect here.
async fn client_credentials(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    if client.secret.is_none() {
        return Err(OAuthError::INVALID_CLIENT);
    }
    let defined: Vec<String> =
        pool.data().resource_servers.iter().flat_map(|server| server.full_scopes().collect::<Vec<_>>()).collect();
    let allowed: Vec<&String> = client.scopes.iter().filter(|scope| defined.contains(scope)).collect();
    let scopes: Vec<String> = match form.get("scope") {
        None => allowed.into_iter().cloned().collect(),
        Some(scope) => {
            // A scope that no resource server defines is dropped beside one that is; alone it is an error.
            let mut requested: Vec<String> = scope
                .split_whitespace()
                .filter(|scope| !STANDARD_SCOPES.contains(scope) && defined.iter().any(|name| name == scope))
                .map(str::to_owned)
                .collect();
            requested.sort();
            requested.dedup();
            if requested.is_empty() {
                return Err(OAuthError::INVALID_SCOPE);
            }
            if requested.iter().any(|scope| !allowed.contains(&scope)) {
                return Err(OAuthError::INVALID_GRANT);
            }
            requested
        }
    };
    if scopes.is_empty() {
        return Err(OAuthError::INVALID_GRANT);
    }
    let metadata = form.get("aws_client_metadata").and_then(|text| serde_json::from_str(text).ok());
    let overrides = pool.triggers.machine_token_generation(&client.id, &scopes, metadata).await;
    let overrides = overrides.map_err(|_| OAuthError::INVALID_GRANT)?;
    Ok(json!({
        "access_token": tokens::machine_token(pool, client, &scopes, &overrides),
        "expires_in": client.access_token_seconds,
        "token_type": "Bearer",
    }))
}

fn enabled_user(pool: &PoolState, authentication: &UserAuthentication) -> Result<PoolUser, OAuthError> {
    pool.data().enabled_user(&authentication.username).cloned().ok_or(OAuthError::INVALID_GRANT)
}

/// The access token, and an ID token if `openid` was granted.
fn token_response(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    authentication: &UserAuthentication,
    nonce: Option<&str>,
) -> Value {
    let access_token = tokens::access_token(pool, client, user, authentication);
    let mut response = json!({ "expires_in": client.access_token_seconds, "token_type": "Bearer" });
    if authentication.scopes.iter().any(|scope| scope == "openid") {
        response["id_token"] = tokens::id_token(pool, client, user, authentication, nonce, &access_token).into();
    }
    response["access_token"] = access_token.into();
    response
}
