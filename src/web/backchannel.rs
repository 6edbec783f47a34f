//! Where the provider tells us of sign-outs (OIDC Back-Channel Logout 1.0 §§2.5 and 2.8). No browser comes here:
//! no cookie is read, and no origin is allowed.

use super::openapi::{LogoutTokenErrors, LogoutTokenForm};
use super::{Web, error};
use crate::flow::Error;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Somebody signed out at the provider
///
/// OpenID Connect Back-Channel Logout 1.0: ends the sessions that the logout token names, by `sid` or else all of `sub`.
/// A token counts once.
#[utoipa::path(
    post, path = "/auth/backchannel-logout", operation_id = "backchannelLogout", tag = "provider", security(()),
    request_body(content = inline(LogoutTokenForm), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "They have ended, or there were none."), LogoutTokenErrors)
)]
pub(super) async fn logout(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return error::oauth_refusal(rejection.status(), "the form is too large, or incomplete"),
    };
    let result = match token(&headers, &body) {
        Ok(token) => web.rp.backchannel_logout(&token).await,
        Err(wrong) => Err(Error::LogoutToken(wrong.into())),
    };
    match result {
        Ok(sessions) => {
            tracing::info!(sessions, "sessions ended: signed out at the provider");
            StatusCode::OK.into_response()
        }
        Err(error) => error::oauth(&error.into()),
    }
}

/// The one parameter that counts. Others are ignored, but none may come twice (RFC 6749 §3.2).
fn token(headers: &HeaderMap, body: &[u8]) -> Result<String, &'static str> {
    let mut types = headers.get_all(CONTENT_TYPE).iter().map(|value| value.as_bytes());
    let (Some(media), None) = (types.next(), types.next()) else {
        return Err("the body is not said to be a form");
    };
    let media = media.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    if !media.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Err("the body is not said to be a form");
    }
    let mut seen = Vec::new();
    let mut token = None;
    for (name, value) in url::form_urlencoded::parse(body) {
        if seen.contains(&name) {
            return Err("a parameter comes twice");
        }
        if name == "logout_token" {
            token = Some(value.into_owned());
        }
        seen.push(name);
    }
    token.ok_or("there is no logout_token")
}
