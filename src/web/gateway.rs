//! `/validate`: the hot path. No layer is around it, and a good answer is made of shared bytes.

use super::layers::RequestId;
use super::{Web, error};
use crate::domain::principal::IDENTITY_HEADERS;
use crate::flow::{Credentials, Error, Who};
use crate::telemetry::metrics::ValidateResult;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use secrecy::ExposeSecret;
use std::sync::{Arc, LazyLock};

/// The identity headers' names, judged once and not in each answer.
static NAMES: LazyLock<[HeaderName; IDENTITY_HEADERS.len()]> =
    LazyLock::new(|| IDENTITY_HEADERS.map(HeaderName::from_static));

/// Any method of `/validate`. The body is not read.
pub(super) async fn validate(State(web): State<Arc<Web>>, request: Request) -> Response {
    let headers = request.headers();
    let sent = web.jar.session_ids(headers);
    let exposed;
    let credentials = match bearer(headers) {
        Authorization::Bearer(token) => Credentials::Bearer(token),
        Authorization::Ambiguous => Credentials::Unreadable,
        Authorization::None if !sent.ids().is_empty() => Credentials::Session(sent.ids()),
        // A session cookie that is no id speaks for nobody, and no other cookie speaks in its place.
        Authorization::None if sent.any => Credentials::Unreadable,
        Authorization::None => match web.jar.exposed_id_token(headers) {
            Some(token) => {
                exposed = token;
                Credentials::Bearer(&exposed)
            }
            None => Credentials::None,
        },
    };
    match web.rp.validate(credentials, request.uri().query()).await {
        Ok(who) => {
            web.rp.metrics.validate(match who {
                Who::Session(_) => ValidateResult::Session,
                Who::Bearer(_) => ValidateResult::Bearer,
            });
            known(&web, &who)
        }
        Err(error) => {
            web.rp.metrics.validate(match error {
                Error::Anonymous => ValidateResult::Anonymous,
                Error::Dead(_) => ValidateResult::Dead,
                Error::Unmet(_) => ValidateResult::Forbidden,
                Error::Malformed(_) => ValidateResult::Malformed,
                _ => ValidateResult::Unavailable,
            });
            let id = RequestId::new();
            id.span().in_scope(|| error::problem(&error, &id, None))
        }
    }
}

fn known(web: &Web, who: &Who) -> Response {
    let identity = who.identity();
    let mut response = Response::new(Body::from(identity.json.clone()));
    let headers = response.headers_mut();
    headers.reserve(IDENTITY_HEADERS.len() + 4);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in NAMES.iter().zip(&identity.headers) {
        // Identity encodes what no header can hold.
        let value = HeaderValue::from_maybe_shared(value.clone()).unwrap_or(HeaderValue::from_static(""));
        headers.insert(name.clone(), value);
    }
    let tokens = match who {
        Who::Session(live) => Some(&live.session.tokens),
        Who::Bearer(_) => None,
    };
    let forward = [
        (web.forward.id_token, "x-auth-id-token", tokens.map(|t| &t.id)),
        (web.forward.access_token, "x-auth-access-token", tokens.map(|t| &t.access)),
    ];
    for (wanted, name, token) in forward {
        if wanted {
            let token = token.map(ExposeSecret::expose_secret).unwrap_or_default();
            let mut value = HeaderValue::from_str(token).unwrap_or(HeaderValue::from_static(""));
            value.set_sensitive(true);
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    response
}

enum Authorization<'a> {
    Bearer(&'a str),
    /// More than one line, or a Bearer line without a token: judged as bad credentials.
    Ambiguous,
    /// No line, or one of another scheme.
    None,
}

fn bearer(headers: &HeaderMap) -> Authorization<'_> {
    let mut lines = headers.get_all(AUTHORIZATION).iter();
    let (Some(line), more) = (lines.next(), lines.next()) else { return Authorization::None };
    if more.is_some() {
        return Authorization::Ambiguous;
    }
    let line = line.as_bytes().trim_ascii();
    let (scheme, token) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(line.len()));
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Authorization::None;
    }
    match std::str::from_utf8(token.trim_ascii()) {
        Ok(token) if !token.is_empty() => Authorization::Bearer(token),
        _ => Authorization::Ambiguous,
    }
}
