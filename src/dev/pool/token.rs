//! `POST /oauth2/token`: codes, refresh tokens and client credentials for tokens.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use axum::extract::State as Shared;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};

use super::answer::{self, OAuthError};
use super::ask::is_standard_scope;
use super::client_auth;
use super::clients::{AppClient, OAuthFlow, Rotation};
use super::grants::UserAuthentication;
use super::params::Params;
use super::state::PoolState;
use super::tokens;
use super::users::PoolUser;

pub(super) async fn token(Shared(pool): Shared<Arc<PoolState>>, headers: HeaderMap, body: Bytes) -> Response {
    match grant(&pool, &headers, &body) {
        Ok(tokens) => answer::json(&pool, StatusCode::OK, &tokens),
        Err(error) => error.answer(&pool),
    }
}

fn grant(pool: &PoolState, headers: &HeaderMap, body: &[u8]) -> Result<Value, OAuthError> {
    if !is_form(headers) {
        return Err(OAuthError::INVALID_REQUEST);
    }
    let form = Params::parse(body);
    if form.has_duplicates() {
        return Err(OAuthError::INVALID_REQUEST);
    }
    let grant: Grant = match form.get("grant_type").ok_or(OAuthError::INVALID_REQUEST)? {
        "authorization_code" => (OAuthFlow::Code, redeem_code),
        "refresh_token" => (OAuthFlow::Code, refresh),
        "client_credentials" => (OAuthFlow::ClientCredentials, client_credentials),
        _ => return Err(OAuthError::UNSUPPORTED_GRANT_TYPE),
    };
    // A client that fails here has not touched the code: it may come again with the right secret.
    let client = client_auth::authenticate(pool, headers, &form).ok_or(OAuthError::INVALID_CLIENT)?;
    let (flow, redeem) = grant;
    if client.flow != flow {
        return Err(OAuthError::UNAUTHORIZED_CLIENT);
    }
    redeem(pool, &client, &form)
}

type Grant = (OAuthFlow, fn(&PoolState, &AppClient, &Params) -> Result<Value, OAuthError>);

pub(super) fn is_form(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    })
}

fn redeem_code(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    let now = pool.now();
    let text = form.get("code").ok_or(OAuthError::INVALID_REQUEST)?;
    // Spent from here on, whatever else is wrong with the request.
    let Some(code) = pool.world().burn_code(text, now) else {
        if pool.switches.code_reuse_revokes.load(Ordering::Relaxed) {
            pool.world().revoke_redeemed(text);
        }
        return Err(OAuthError::INVALID_GRANT);
    };
    if code.sign_in.client_id != client.id {
        return Err(OAuthError::INVALID_GRANT);
    }
    let redirect_uri = form.get("redirect_uri").ok_or(OAuthError::INVALID_REQUEST)?;
    if redirect_uri != code.redirect_uri {
        return Err(OAuthError::INVALID_REDIRECT);
    }
    match (&code.challenge, form.get("code_verifier")) {
        (None, None) => {}
        (Some(challenge), Some(verifier)) if *challenge == s256(verifier) => {}
        _ => return Err(OAuthError::INVALID_REQUEST),
    }
    let user = enabled_user(pool, &code.sign_in)?;
    let expires_at = now.saturating_add(client.refresh_token_seconds);
    let refresh_token = pool.world().issue_refresh_token(code.sign_in.clone(), expires_at);
    let mut answer = issue(pool, client, &user, &code.sign_in, code.nonce.as_deref());
    answer["refresh_token"] = refresh_token.into();
    Ok(answer)
}

fn refresh(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    let now = pool.now();
    let text = form.get("refresh_token").ok_or(OAuthError::INVALID_REQUEST)?;
    let grant = pool
        .world()
        .refresh_grant(text, now)
        .filter(|grant| grant.sign_in.client_id == client.id)
        .ok_or(OAuthError::INVALID_GRANT)?;
    let user = enabled_user(pool, &grant.sign_in)?;
    let rotated = match client.rotation {
        Rotation::Off => None,
        Rotation::On { grace_seconds } => {
            Some(pool.world().rotate_refresh_token(text, now, grace_seconds).ok_or(OAuthError::INVALID_GRANT)?)
        }
    };
    let mut answer = issue(pool, client, &user, &grant.sign_in, None);
    if let Some(rotated) = rotated {
        answer["refresh_token"] = rotated.into();
    }
    Ok(answer)
}

fn client_credentials(pool: &PoolState, client: &AppClient, form: &Params) -> Result<Value, OAuthError> {
    if client.secret.is_none() {
        return Err(OAuthError::INVALID_CLIENT);
    }
    let defined: Vec<String> =
        pool.world().resource_servers.iter().flat_map(|server| server.full_scopes().collect::<Vec<_>>()).collect();
    let allowed: Vec<&String> = client.scopes.iter().filter(|scope| defined.contains(scope)).collect();
    let scopes: Vec<String> = match form.get("scope") {
        None => allowed.into_iter().cloned().collect(),
        Some(asked) => {
            // A scope that no resource server defines is dropped beside one that is; alone it is an error.
            let mut known: Vec<String> = asked
                .split_whitespace()
                .filter(|scope| !is_standard_scope(scope) && defined.iter().any(|name| name == scope))
                .map(str::to_owned)
                .collect();
            known.sort();
            known.dedup();
            if known.is_empty() {
                return Err(OAuthError::INVALID_SCOPE);
            }
            if known.iter().any(|scope| !allowed.contains(&scope)) {
                return Err(OAuthError::INVALID_GRANT);
            }
            known
        }
    };
    if scopes.is_empty() {
        return Err(OAuthError::INVALID_GRANT);
    }
    Ok(json!({
        "access_token": tokens::machine_token(pool, client, &scopes),
        "expires_in": client.access_token_seconds,
        "token_type": "Bearer",
    }))
}

fn enabled_user(pool: &PoolState, sign_in: &UserAuthentication) -> Result<PoolUser, OAuthError> {
    pool.world().user(&sign_in.username).filter(|user| user.enabled).cloned().ok_or(OAuthError::INVALID_GRANT)
}

/// Access token, and ID token if `openid` was granted.
fn issue(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    sign_in: &UserAuthentication,
    nonce: Option<&str>,
) -> Value {
    let access_token = tokens::access_token(pool, client, user, sign_in);
    let mut answer = json!({ "expires_in": client.access_token_seconds, "token_type": "Bearer" });
    if sign_in.has_scope("openid") {
        answer["id_token"] = tokens::id_token(pool, client, user, sign_in, nonce, &access_token).into();
    }
    answer["access_token"] = access_token.into();
    answer
}

fn s256(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref())
}
