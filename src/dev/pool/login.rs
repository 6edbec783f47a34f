//! `/login`: the hosted UI's page and the classic form behind it.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::ask::AuthorizationRequest;
use super::authorize;
use super::csrf;
use super::pages::{self, LoginPage, ProviderLink};
use super::params::Params;
use super::state::PoolState;
use super::triggers::{self, TriggerFailure};

pub(super) async fn show(
    Shared(pool): Shared<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match AuthorizationRequest::read(&pool, &params) {
        Ok(ask) => page(&ask, &params, &headers, ask.login_hint.as_deref().unwrap_or_default(), None),
        Err(refusal) => refusal.answer(&pool),
    }
}

pub(super) async fn submit(
    Shared(pool): Shared<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let ask = match AuthorizationRequest::read(&pool, &params) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.answer(&pool),
    };
    let form = Params::parse(&body);
    if !csrf::holds(&headers, &form) {
        return pages::error(StatusCode::FORBIDDEN, "Invalid CSRF token", "Open the sign-in page again and retry.");
    }
    let typed = form.get("username").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    let mut judged = check_password(&pool, typed, password);
    if matches!(judged, Err(PasswordFailure::Unknown)) && !typed.is_empty() && !password.is_empty() {
        judged = triggers::migrate(&pool, &ask.client.id, typed, password).await.map_err(PasswordFailure::Migrated);
    }
    let message = match judged {
        Ok(username) => return authorize::complete(&pool, &ask, &username, "COGNITO"),
        Err(PasswordFailure::Disabled) => "User is disabled.".to_owned(),
        Err(PasswordFailure::Migrated(TriggerFailure::Because(text))) => text,
        Err(
            PasswordFailure::Unknown
            | PasswordFailure::WrongPassword
            | PasswordFailure::Migrated(TriggerFailure::Refused),
        ) => INCORRECT.to_owned(),
    };
    page(&ask, &params, &headers, typed, Some(message))
}

const INCORRECT: &str = "Incorrect username or password.";

/// Why somebody may not sign in.
enum PasswordFailure {
    Unknown,
    WrongPassword,
    Disabled,
    Migrated(TriggerFailure),
}

fn check_password(pool: &PoolState, typed: &str, password: &str) -> Result<String, PasswordFailure> {
    let world = pool.world();
    let user = world.native_user(typed).ok_or(PasswordFailure::Unknown)?;
    match (user.password.as_deref() == Some(password), user.enabled) {
        (false, _) => Err(PasswordFailure::WrongPassword),
        (true, false) => Err(PasswordFailure::Disabled),
        (true, true) => Ok(user.username.clone()),
    }
}

fn page(
    ask: &AuthorizationRequest,
    params: &Params,
    headers: &HeaderMap,
    username: &str,
    error: Option<String>,
) -> Response {
    let csrf = csrf::value(headers);
    let providers = ask
        .client
        .identity_providers
        .iter()
        .filter(|name| *name != "COGNITO")
        .map(|name| ProviderLink {
            name: name.clone(),
            href: format!("/oauth2/authorize?{}", params.encode_with("identity_provider", name)),
        })
        .collect();
    let page = LoginPage {
        csrf: csrf.clone(),
        action: format!("/login?{}", params.encode_with("client_id", &ask.client.id)),
        username: username.to_owned(),
        error,
        providers,
    };
    csrf::remember(pages::render(StatusCode::OK, &page), &csrf)
}
