//! The routes that a page's script or a sibling's server calls.

use super::browser::{forget, with};
use super::openapi::{EndSessionProblems, OriginHeader, RefreshProblems, SessionProblems};
use super::origin::RequestOrigin;
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::session_layer::BrowserSession;
use super::{Web, error, pages};
use crate::domain::clock::Timestamp;
use crate::domain::identity::ActiveIdentity;
use crate::domain::session::SessionId;
use crate::flow::{Error, OwnSession};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use tower_sessions::Session;
use utoipa::ToSchema;

/// Who is signed in, for a page's script
///
/// Pages of allowed sites may call it with credentials (CORS).
#[utoipa::path(
    get, path = "/auth/session", operation_id = "session", tag = "api", security(("session" = [])),
    responses((status = 200, description = "Who it is.", body = ActiveIdentity), SessionProblems)
)]
pub(super) async fn session(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    match visitor.session {
        Ok(Some(opened)) if web.rp.admit(&opened).is_ok() => json(opened.identity.json()),
        Ok(_) => nobody(&web, &visitor.ids, &id),
        Err(error) => unknown(&web, error, &id),
    }
}

/// The refusal where the visitor's session cannot be told: of two live ones, a sign-in helps that asks again.
pub(super) fn unknown(web: &Web, error: Error, id: &RequestId) -> Response {
    let again = || web.public_url.join(&pages::sign_in_link(None, Some("login")));
    let signin_url = matches!(error, Error::AmbiguousSession).then(again);
    error::problem(error, id, signin_url)
}

/// The 401 for a visitor who sent these ids.
pub(super) fn nobody(web: &Web, ids: &[SessionId], id: &RequestId) -> Response {
    let error = if ids.is_empty() { Error::Anonymous } else { Error::InvalidCredentials("the session is over".into()) };
    error::problem(error, id, Some(web.public_url.join("/auth/signin")))
}

#[derive(Serialize, ToSchema)]
struct SessionList {
    sessions: Vec<SessionItem>,
}

/// A session in the list of its user's.
#[derive(Serialize, ToSchema)]
struct SessionItem {
    /// Its name, to end it by. It opens nothing.
    handle: String,
    /// Whether it is the caller's own.
    current: bool,
    /// What the browser called itself at sign-in (`User-Agent`), at most 256 characters. Foreign text: escape it.
    device: String,
    /// The IP address that it signed in from.
    address: String,
    /// The identity provider.
    #[schema(required)]
    provider: Option<String>,
    /// Epoch seconds.
    #[schema(value_type = u64)]
    started: Timestamp,
    /// When it was last used, epoch seconds, to a minute or so.
    #[schema(value_type = u64)]
    last_seen: Timestamp,
    /// Its end, epoch seconds.
    #[schema(value_type = u64)]
    ends: Timestamp,
}

/// My sessions on all devices
///
/// The live sessions of the user who is signed in, the newest first. Pages of allowed sites may call it with
/// credentials (CORS).
#[utoipa::path(
    get, path = "/auth/sessions", operation_id = "sessions", tag = "api", security(("session" = [])),
    responses((status = 200, description = "The sessions.", body = SessionList), SessionProblems)
)]
pub(super) async fn sessions(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    let me = match visitor.session {
        Ok(Some(me)) => me,
        Ok(None) => return nobody(&web, &visitor.ids, &id),
        Err(error) => return unknown(&web, error, &id),
    };
    let item = |s: OwnSession| SessionItem {
        handle: s.handle,
        current: s.current,
        device: s.device.agent,
        address: s.device.address,
        provider: s.provider,
        started: s.started,
        last_seen: s.last_seen,
        ends: s.ends,
    };
    match web.rp.my_sessions(&me).await {
        Ok(mine) => {
            let sessions = mine.into_iter().map(item).collect();
            Json(SessionList { sessions }).into_response()
        }
        Err(error) => error::problem(error, &id, None),
    }
}

/// End one of my sessions
///
/// Its tokens are refused from then on, and its refresh token is revoked at the provider. Pages of allowed sites may
/// call it with credentials (CORS).
#[utoipa::path(
    delete, path = "/auth/sessions/{handle}", operation_id = "endSession", tag = "api", security(("session" = [])),
    params(("handle" = String, Path, description = "The session's name in the list. It opens nothing."), OriginHeader),
    responses(
        (status = 204, description = "It has ended.", headers(("Set-Cookie" = String, description = "If it was the \
            caller's own: the removal of the session cookie, and of the exposed tokens."))),
        EndSessionProblems,
    )
)]
pub(super) async fn end_session(
    State(web): State<Arc<Web>>,
    handle: Result<Path<String>, PathRejection>,
    visitor: BrowserSession,
    session: Session,
    id: RequestId,
) -> Response {
    if RequestOrigin::of(&web, &visitor.headers).is_foreign() {
        return error::problem(Refusal::Origin, &id, None);
    }
    let me = match visitor.session {
        Ok(Some(me)) => me,
        Ok(None) => return nobody(&web, &visitor.ids, &id),
        Err(error) => return unknown(&web, error, &id),
    };
    let mut out = HeaderMap::new();
    // What does not decode is no handle.
    let handle = handle.map(|Path(handle)| handle).unwrap_or_default();
    match web.rp.end_mine(&me, &handle).await {
        Ok(ended) => {
            if ended.current {
                forget(&web, &session, &visitor.headers, &mut out).await;
            }
            with(StatusCode::NO_CONTENT.into_response(), out)
        }
        Err(error) => error::problem(error, &id, None),
    }
}

/// `OPTIONS`: CORS answers preflights before they get here.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// Renew the session's tokens
///
/// Asks the provider for new tokens if the access token has less than the configured margin left, and says who it is.
/// Callers that come at the same time share one renewal. Where it fails with 503, the session is as it was. Pages of
/// allowed sites may call it with credentials (CORS).
#[utoipa::path(
    post, path = "/refresh", operation_id = "refresh", tag = "api", security(("session" = [])),
    params(("force" = Option<bool>, Query, description = "Renew whatever is left."), OriginHeader),
    responses(
        (status = 200, description = "Who it is, with the times of the tokens as they are now.", body = ActiveIdentity,
            headers(("Set-Cookie" = String, description = "The exposed tokens, where they are configured."))),
        RefreshProblems,
    )
)]
pub(super) async fn refresh(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
) -> Response {
    if RequestOrigin::of(&web, &headers).is_foreign() {
        return error::problem(Refusal::Origin, &id, None);
    }
    let force =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(n, v)| n == "force" && v == "true");
    let sent = web.jar.session_ids(&headers);
    if sent.any && sent.ids().is_empty() {
        return error::problem(Error::InvalidCredentials("the session cookie cannot be read".into()), &id, None);
    }
    match web.rp.refresh(sent.ids(), force).await {
        Ok(opened) => {
            let mut response = json(opened.identity.json());
            web.jar.set_exposed(&headers, Some((&opened, web.rp.clock.now())), response.headers_mut());
            response
        }
        Err(error) => {
            let is_ended = matches!(error, Error::SessionEnded);
            let mut response = match error {
                Error::AmbiguousSession => unknown(&web, error, &id),
                _ => error::problem(error, &id, Some(web.public_url.join("/auth/signin"))),
            };
            if is_ended {
                web.jar.set_exposed(&headers, None, response.headers_mut());
            }
            response
        }
    }
}

fn json(body: bytes::Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", operation_id = "openapi", tag = "api", security(()),
    responses((status = 200, description = "An OpenAPI 3.1 document.", body = Object, content_type = "application/json"))
)]
pub(super) async fn openapi(State(web): State<Arc<Web>>) -> Response {
    json(web.openapi.clone())
}
