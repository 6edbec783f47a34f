//! Where the provider tells us of sign-outs (OIDC Back-Channel Logout 1.0 §§2.5 and 2.8). No browser comes here:
//! no cookie is read, and no origin is allowed.

use super::form::Form;
use super::openapi::{LogoutTokenErrors, LogoutTokenForm};
use super::{Web, error};
use crate::flow::Error;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
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
    // The one parameter that counts.
    let token =
        Form::read(&headers, &body).and_then(|mut form| form.take("logout_token").ok_or("there is no logout_token"));
    let result = match token {
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
