//! The routes that a page's script or a sibling's server calls.

use super::layers::RequestId;
use super::session_layer::Visitor;
use super::{Web, error};
use crate::flow::Error;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// `GET /auth/session`
pub(super) async fn session(State(web): State<Arc<Web>>, visitor: Visitor, id: RequestId) -> Response {
    match visitor.session {
        Ok(Some(live)) => json(&live.identity.json),
        Ok(None) => {
            let sent = !visitor.ids.is_empty();
            let error = if sent { Error::Dead("the session is over".into()) } else { Error::Anonymous };
            error::problem(&error, &id, Some(web.public_url.join("/auth/signin")))
        }
        Err(error) => error::problem(&error, &id, None),
    }
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
    // A browser names the page's origin in every POST; a sibling's server names none.
    let foreign = headers.get_all(ORIGIN).iter().any(|o| !o.to_str().is_ok_and(|o| web.rp.return_to.allows_origin(o)));
    if foreign {
        return error::problem(&Error::Origin, &id, None);
    }
    let force =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(n, v)| n == "force" && v == "true");
    let sent = web.jar.session_ids(&headers);
    if sent.any && sent.ids().is_empty() {
        return error::problem(&Error::Dead("the session cookie cannot be read".into()), &id, None);
    }
    match web.rp.refresh(sent.ids(), force).await {
        Ok(live) => {
            let mut response = json(&live.identity.json);
            web.jar.set_exposed(&headers, Some((&live.session, web.rp.clock.now())), response.headers_mut());
            response
        }
        Err(error) => {
            let mut response = error::problem(&error, &id, Some(web.public_url.join("/auth/signin")));
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
pub(super) async fn openapi(State(web): State<Arc<Web>>) -> Json<serde_json::Value> {
    Json(document(web.public_url.as_str()))
}

pub(super) fn document(server_url: &str) -> serde_json::Value {
    let mut document: serde_json::Value =
        serde_json::from_str(include_str!("openapi.json")).expect("openapi.json is JSON: a test reads it");
    document["info"]["version"] = env!("CARGO_PKG_VERSION").into();
    document["servers"] = serde_json::json!([{ "url": server_url }]);
    document
}
