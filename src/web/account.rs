//! What people do with their account: their attributes, and credentials for AWS.

use super::api::{is_foreign, nobody, unknown};
use super::layers::RequestId;
use super::session_layer::BrowserSession;
use super::{Web, error};
use crate::domain::user::User;
use crate::flow::Error;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Characters of a value; Cognito takes no more.
const VALUE_MAX: usize = 2_048;

/// `GET /auth/profile`
pub(super) async fn profile(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    answer(&web, visitor, &id, BTreeMap::new()).await
}

/// `PATCH /auth/profile`: a JSON object of attributes and their new values (as RFC 7396, without removals).
pub(super) async fn change_profile(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    id: RequestId,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if is_foreign(&web, &visitor.headers) {
        return error::problem(&Error::Origin, &id, None);
    }
    match read(&visitor.headers, body) {
        Ok(change) => answer(&web, visitor, &id, change).await,
        Err(error) => error::problem(&error, &id, None),
    }
}

async fn answer(web: &Web, visitor: BrowserSession, id: &RequestId, change: BTreeMap<String, String>) -> Response {
    let live = match visitor.session {
        Ok(Some(live)) => live,
        Ok(None) => return nobody(web, &visitor.ids, id),
        Err(error) => return unknown(web, &error, id),
    };
    match web.rp.account(&live, &change).await {
        Ok(user) => Json(shown(&user, web.rp.writable())).into_response(),
        Err(error) => error::problem(&error, id, Some(web.public_url.join("/auth/signin"))),
    }
}

fn shown(user: &User, writable: &[String]) -> Value {
    json!({
        "sub": user.sub, "username": user.username, "provider": user.provider(), "attributes": user.attributes,
        "writable": writable,
    })
}

fn read(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<BTreeMap<String, String>, Error> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Error::Body("the content type must be application/json"));
    }
    let body = body.map_err(|_| Error::Body("the body is too large, or incomplete"))?;
    let object: Map<String, Value> =
        serde_json::from_slice(&body).map_err(|_| Error::Body("the body must be a JSON object of attributes"))?;
    if object.is_empty() {
        return Err(Error::Body("the object names no attribute"));
    }
    let text = |(name, value): (String, Value)| match value {
        Value::String(value) if value.chars().count() <= VALUE_MAX => Ok((name, value)),
        _ => Err(Error::Body("each value must be a text of at most 2,048 characters")),
    };
    object.into_iter().map(text).collect()
}

/// `POST /auth/aws-credentials`
pub(super) async fn aws_credentials(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    if is_foreign(&web, &visitor.headers) {
        return error::problem(&Error::Origin, &id, None);
    }
    let live = match visitor.session {
        Ok(live) => live,
        Err(error) => return unknown(&web, &error, &id),
    };
    if live.is_none() && !visitor.ids.is_empty() {
        // A session that is over is no guest's.
        return nobody(&web, &visitor.ids, &id);
    }
    match web.rp.aws_credentials(live.as_ref()).await {
        Ok(credentials) => Json(json!({
            "identity_id": credentials.identity_id,
            "access_key_id": credentials.access_key_id,
            "secret_access_key": credentials.secret_access_key.expose_secret(),
            "session_token": credentials.session_token.expose_secret(),
            "expires_at": credentials.expires_at,
        }))
        .into_response(),
        Err(error) => error::problem(&error, &id, Some(web.public_url.join("/auth/signin"))),
    }
}
