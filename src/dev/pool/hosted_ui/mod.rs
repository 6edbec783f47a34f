//! The classic hosted UI: the sign-in page at `/login`, the form behind it, and `/logout`.

use crate::dev::pool::authorize::{self, AuthorizationRequest, AuthorizeError, SESSION_COOKIE};
use crate::dev::pool::messages::{self, Params};
use crate::dev::pool::pages::{self, LoginPage, ProviderLink};
use crate::dev::pool::state::PoolState;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

const INCORRECT: &str = "Incorrect username or password.";

pub(super) async fn login_page(request: AuthorizationRequest, headers: HeaderMap) -> Response {
    page(&request, &headers, request.params.get("login_hint").unwrap_or_default(), None)
}

pub(super) async fn login(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = submitted(&headers, &body)?;
    let username = form.get("username").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    Ok(match sign_in(&pool, &request.client.id, username, password).await {
        Ok(username) => authorize::complete(&pool, &request, &username, "COGNITO"),
        Err(message) => page(&request, &headers, username, Some(message)),
    })
}

/// The fields of a form of the hosted UI.
pub(super) fn submitted(headers: &HeaderMap, body: &[u8]) -> Result<Params, AuthorizeError> {
    pages::submitted(headers, body).ok_or(AuthorizeError::Csrf)
}

/// The name of the user, who may be one that the user migration trigger knew; or the message on the page.
async fn sign_in(pool: &PoolState, client_id: &str, typed: &str, password: &str) -> Result<String, String> {
    let user = pool.data().native_user(typed).cloned();
    match user {
        Some(user) if user.password.as_deref() != Some(password) => Err(INCORRECT.to_owned()),
        Some(user) if !user.enabled => Err("User is disabled.".to_owned()),
        Some(user) => Ok(user.username),
        None if typed.is_empty() || password.is_empty() => Err(INCORRECT.to_owned()),
        None => {
            let migrated = pool.triggers.user_migration(client_id, typed, password).await;
            let user = migrated.map_err(|failure| failure.message(INCORRECT))?;
            let username = user.username.clone();
            pool.data().add_user(user);
            Ok(username)
        }
    }
}

fn page(request: &AuthorizationRequest, headers: &HeaderMap, username: &str, error: Option<String>) -> Response {
    let federated = request.client.identity_providers.iter().filter(|name| *name != "COGNITO");
    let link = |name: &String| ProviderLink {
        name: name.clone(),
        href: format!("/oauth2/authorize?{}", request.params.encode_with("identity_provider", name)),
    };
    pages::form(headers, |csrf| LoginPage {
        csrf,
        action: format!("/login?{}", request.params.encode_with("client_id", &request.client.id)),
        username: username.to_owned(),
        error,
        providers: federated.map(link).collect(),
    })
}

/// Ends the hosted UI's session. Not RP-initiated logout of OpenID Connect: it takes `client_id` with `logout_uri`, or
/// with `redirect_uri` and `response_type` to show the sign-in page again.
pub(super) async fn logout(
    State(pool): State<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AuthorizeError> {
    let query = query.unwrap_or_default();
    let params = Params::parse(query.as_bytes());
    let client_id = params.get("client_id").unwrap_or_default().to_owned();
    let client = params.get("client_id").and_then(|id| pool.data().clients.get(id).cloned());
    let Some(client) = client else {
        return Err(AuthorizeError::OwnPage { error: "Required parameters missing", client_id });
    };
    let registered = |name, urls: &[String]| params.get(name).filter(|url| urls.iter().any(|allowed| allowed == url));
    let target = if let Some(logout_uri) = registered("logout_uri", &client.logout_urls) {
        logout_uri.to_owned()
    } else if registered("redirect_uri", &client.callback_urls).is_some() && params.get("response_type").is_some() {
        format!("/login?{query}")
    } else {
        let error = "Required String parameter 'redirect_uri' is not present";
        return Err(AuthorizeError::OwnPage { error, client_id });
    };
    if let Some(cookie) = messages::cookie(&headers, SESSION_COOKIE) {
        pool.data().close_session(cookie);
    }
    Ok(messages::set_cookie(messages::redirect(&target), SESSION_COOKIE, "", Some(0)))
}
