//! The sign-in page at `/login`, the form behind it, and `/logout`.

use crate::dev::pool::authorize::{self, AuthorizationRequest, AuthorizeError, SESSION_COOKIE};
use crate::dev::pool::messages::{self, Params};
use crate::dev::pool::pages::{self, LoginPage, ProviderLink};
use crate::dev::pool::passwords;
use crate::dev::pool::state::PoolState;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

pub(super) async fn page(request: AuthorizationRequest, headers: HeaderMap) -> Response {
    show(&request, &headers, request.params.get("login_hint").unwrap_or_default(), None, None)
}

pub(super) async fn submit(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let username = form.get("username").unwrap_or_default();
    let password = form.get("password").unwrap_or_default();
    Ok(match passwords::authenticate(&pool, &request.client.id, username, password).await {
        Ok(user) => super::advance(&pool, &request, &headers, &user).await,
        Err(error) => show(&request, &headers, username, Some(error.message()), None),
    })
}

/// The page, with an error or good news.
pub(super) fn show(
    request: &AuthorizationRequest,
    headers: &HeaderMap,
    username: &str,
    error: Option<&str>,
    notice: Option<&'static str>,
) -> Response {
    let federated = request.client.identity_providers.iter().filter(|name| *name != "COGNITO");
    let link = |name: &String| ProviderLink {
        name: name.clone(),
        href: format!("/oauth2/authorize?{}", request.params.encode_with("identity_provider", name)),
    };
    pages::form(headers, |csrf| LoginPage {
        csrf,
        action: request.url("/login"),
        username: username.to_owned(),
        error: error.map(str::to_owned),
        notice,
        providers: federated.map(link).collect(),
        links: vec![
            super::link(request, "Forgot your password?", "/forgotPassword"),
            super::link(request, "Sign up", "/signup"),
        ],
    })
}

/// The page for a browser whose sign-in waits no longer.
pub(super) fn expired(request: &AuthorizationRequest, headers: &HeaderMap) -> Response {
    show(request, headers, "", Some("Invalid session for the user, session is expired."), None)
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
