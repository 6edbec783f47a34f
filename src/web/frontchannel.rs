//! The frame with which the provider's page tells of a sign-out (OIDC Front-Channel Logout 1.0 §2). No cookie is read: in
//! a frame of another site there is none.

use super::openapi::FrontchannelLogoutProblems;
use super::request_id::RequestId;
use super::security_headers::allow_frame_of;
use super::{Web, error};
use crate::flow::Error;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use url::Url;

/// Longer ones are no provider's.
const SID_MAX: usize = 255;

/// Somebody signs out at the provider, in this browser
///
/// OpenID Connect Front-Channel Logout 1.0: ends the sessions of the provider's session `sid`. Pages of the issuer's origin
/// alone may show it in a frame.
#[utoipa::path(
    get, path = "/auth/frontchannel-logout", operation_id = "frontchannelLogout", tag = "provider", security(()),
    params(
        ("iss" = String, Query, description = "The issuer, exactly as configured."),
        ("sid" = String, Query, description = "The provider's session, as the ID token named it."),
    ),
    responses((status = 200, description = "They have ended, or there were none."), FrontchannelLogoutProblems)
)]
pub(super) async fn logout(State(web): State<Arc<Web>>, RawQuery(query): RawQuery, id: RequestId) -> Response {
    let query = query.unwrap_or_default();
    let mut response = match session_named(&query, web.rp.provider.issuer()) {
        Err(wrong) => error::problem(Error::LogoutToken(wrong.into()), &id, None),
        Ok(sid) => match web.rp.frontchannel_logout(&sid).await {
            Ok(sessions) => {
                tracing::info!(sessions, "sessions ended: signed out at the provider");
                StatusCode::OK.into_response()
            }
            Err(error) => error::problem(error, &id, None),
        },
    };
    if let Ok(issuer) = Url::parse(web.rp.provider.issuer()) {
        allow_frame_of(&mut response, &issuer.origin().ascii_serialization());
    }
    response
}

/// The `sid`, where both parameters are there, each once, and `iss` is ours.
fn session_named(query: &str, issuer: &str) -> Result<String, &'static str> {
    let one = |name: &str| {
        let mut values =
            url::form_urlencoded::parse(query.as_bytes()).filter(|(n, _)| n == name).map(|(_, value)| value);
        let value = values.next().filter(|_| values.next().is_none());
        value.filter(|value| !value.is_empty())
    };
    let iss = one("iss").ok_or("iss is required, once")?;
    let sid = one("sid").ok_or("sid is required, once")?;
    if iss != issuer {
        return Err("iss is not the issuer of this service");
    }
    if sid.len() > SID_MAX {
        return Err("sid is too long");
    }
    Ok(sid.into_owned())
}
