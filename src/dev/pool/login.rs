//! `/login`: the hosted UI's page and the classic form behind it.

use std::sync::Arc;

use axum::extract::{RawQuery, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::ask::Ask;
use super::authorize;
use super::csrf;
use super::pages::{self, LoginPage, ProviderLink};
use super::params::Params;
use super::state::State;

pub(super) async fn show(Shared(pool): Shared<Arc<State>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    match Ask::read(&pool, &params) {
        Ok(ask) => page(&ask, &params, &headers, ask.login_hint.as_deref().unwrap_or_default(), None),
        Err(refusal) => refusal.answer(&pool),
    }
}

pub(super) async fn submit(
    Shared(pool): Shared<Arc<State>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let ask = match Ask::read(&pool, &params) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.answer(&pool),
    };
    let form = Params::parse(&body);
    if !csrf::holds(&headers, &form) {
        return pages::error(StatusCode::FORBIDDEN, "Invalid CSRF token", "Open the sign-in page again and retry.");
    }
    let typed = form.get("username").unwrap_or_default();
    match check_password(&pool, typed, form.get("password").unwrap_or_default()) {
        Ok(username) => authorize::complete(&pool, &ask, &username, "COGNITO"),
        Err(message) => page(&ask, &params, &headers, typed, Some(message)),
    }
}

fn check_password(pool: &State, typed: &str, password: &str) -> Result<String, &'static str> {
    let world = pool.world();
    let user = world
        .native_user(typed)
        .filter(|user| user.password.as_deref() == Some(password))
        .ok_or("Incorrect username or password.")?;
    if user.enabled { Ok(user.username.clone()) } else { Err("User is disabled.") }
}

fn page(ask: &Ask, params: &Params, headers: &HeaderMap, username: &str, error: Option<&'static str>) -> Response {
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
