//! The routes that a page's script or a sibling's server calls.

use super::browser::{forget, with};
use super::layers::RequestId;
use super::session_layer::BrowserSession;
use super::{Web, error, pages};
use crate::domain::session::SessionId;
use crate::flow::{Error, OwnSession};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use tower_sessions::Session;

/// `GET /auth/session`
pub(super) async fn session(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    match visitor.session {
        Ok(Some(live)) if web.rp.admit(&live).is_ok() => json(&live.identity.json),
        Ok(_) => nobody(&web, &visitor.ids, &id),
        Err(error) => unknown(&web, &error, &id),
    }
}

/// The refusal where the visitor's session cannot be told: of two live ones, a sign-in helps that asks again.
pub(super) fn unknown(web: &Web, error: &Error, id: &RequestId) -> Response {
    let again = || web.public_url.join(&pages::sign_in_link(None, Some("login")));
    error::problem(error, id, matches!(error, Error::AmbiguousSession).then(again))
}

/// The 401 for a visitor who sent these ids.
pub(super) fn nobody(web: &Web, ids: &[SessionId], id: &RequestId) -> Response {
    let error = if ids.is_empty() { Error::Anonymous } else { Error::InvalidCredentials("the session is over".into()) };
    error::problem(&error, id, Some(web.public_url.join("/auth/signin")))
}

#[derive(Serialize)]
struct List {
    sessions: Vec<Item>,
}

/// A session in the list of its user's.
#[derive(Serialize)]
struct Item {
    handle: String,
    current: bool,
    device: String,
    address: String,
    provider: Option<String>,
    started: u64,
    last_seen: u64,
    ends: u64,
}

/// `GET /auth/sessions`
pub(super) async fn sessions(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    let me = match visitor.session {
        Ok(Some(me)) => me,
        Ok(None) => return nobody(&web, &visitor.ids, &id),
        Err(error) => return unknown(&web, &error, &id),
    };
    let item = |s: OwnSession| Item {
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
            Json(List { sessions }).into_response()
        }
        Err(error) => error::problem(&error, &id, None),
    }
}

/// `DELETE /auth/sessions/{handle}`
pub(super) async fn end_session(
    State(web): State<Arc<Web>>,
    handle: Result<Path<String>, PathRejection>,
    visitor: BrowserSession,
    session: Session,
    id: RequestId,
) -> Response {
    if is_foreign(&web, &visitor.headers) {
        return error::problem(&Error::Origin, &id, None);
    }
    let me = match visitor.session {
        Ok(Some(me)) => me,
        Ok(None) => return nobody(&web, &visitor.ids, &id),
        Err(error) => return unknown(&web, &error, &id),
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
        Err(error) => error::problem(&error, &id, None),
    }
}

/// Whether a page of a site that is not allowed asks: a browser names the page's origin in every request that
/// changes something, a sibling's server names none.
pub(super) fn is_foreign(web: &Web, headers: &HeaderMap) -> bool {
    headers.get_all(ORIGIN).iter().any(|o| !o.to_str().is_ok_and(|o| web.rp.return_to.allows_origin(o)))
}

/// `OPTIONS`: CORS answers preflights before they get here.
pub(super) async fn preflight() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// `POST /refresh`
pub(super) async fn refresh(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    id: RequestId,
) -> Response {
    if is_foreign(&web, &headers) {
        return error::problem(&Error::Origin, &id, None);
    }
    let force =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(n, v)| n == "force" && v == "true");
    let sent = web.jar.session_ids(&headers);
    if sent.any && sent.ids().is_empty() {
        return error::problem(&Error::InvalidCredentials("the session cookie cannot be read".into()), &id, None);
    }
    match web.rp.refresh(sent.ids(), force).await {
        Ok(live) => {
            let mut response = json(&live.identity.json);
            web.jar.set_exposed(&headers, Some((&live.session, web.rp.clock.now())), response.headers_mut());
            response
        }
        Err(error) => {
            let mut response = match error {
                Error::AmbiguousSession => unknown(&web, &error, &id),
                _ => error::problem(&error, &id, Some(web.public_url.join("/auth/signin"))),
            };
            if matches!(error, Error::SessionEnded) {
                web.jar.set_exposed(&headers, None, response.headers_mut());
            }
            response
        }
    }
}

fn json(body: &bytes::Bytes) -> Response {
    ([(CONTENT_TYPE, "application/json")], body.clone()).into_response()
}

/// `GET /openapi.json`
pub(super) async fn openapi(State(web): State<Arc<Web>>) -> Response {
    json(&web.openapi)
}

pub(super) fn document(server_url: &str) -> serde_json::Value {
    let mut document: serde_json::Value =
        serde_json::from_str(include_str!("openapi.json")).expect("openapi.json is JSON: a test reads it");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["servers"] = serde_json::json!([{ "url": server_url }]);
    document
}
