//! Answers in Cognito's form: JSON with its headers, error bodies, redirects.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::pages;
use super::random;
use super::state::PoolState;

const JSON: &str = "application/json;charset=UTF-8";
const NEVER_CACHE: &str = "no-cache, no-store, max-age=0, must-revalidate";

/// A JSON answer with the request id and the cache headers of the token endpoint.
pub(super) fn json(pool: &PoolState, status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, JSON.to_owned()),
        (header::CACHE_CONTROL, NEVER_CACHE.to_owned()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
        (header::HeaderName::from_static("x-amz-cognito-request-id"), random::uuid()),
    ];
    (status, headers, pool.write_json(body)).into_response()
}

/// An error of the OAuth endpoints: `{"error": …}`, sometimes with a description. The status is 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) code: &'static str,
    pub(super) description: Option<&'static str>,
}

impl OAuthError {
    pub(super) const INVALID_REQUEST: Self = Self::plain("invalid_request");
    pub(super) const INVALID_CLIENT: Self = Self::plain("invalid_client");
    pub(super) const INVALID_GRANT: Self = Self::plain("invalid_grant");
    pub(super) const INVALID_SCOPE: Self = Self::plain("invalid_scope");
    pub(super) const UNAUTHORIZED_CLIENT: Self = Self::plain("unauthorized_client");
    pub(super) const INVALID_REDIRECT: Self =
        Self { code: "unauthorized_client", description: Some("invalid_redirect") };
    pub(super) const UNSUPPORTED_GRANT_TYPE: Self = Self::plain("unsupported_grant_type");
    pub(super) const UNSUPPORTED_TOKEN_TYPE: Self = Self::plain("unsupported_token_type");

    const fn plain(code: &'static str) -> Self {
        Self { code, description: None }
    }

    pub(super) fn answer(self, pool: &PoolState) -> Response {
        self.answer_with(pool, StatusCode::BAD_REQUEST)
    }

    pub(super) fn answer_with(self, pool: &PoolState, status: StatusCode) -> Response {
        let body = match self.description {
            Some(description) => json!({ "error": self.code, "error_description": description }),
            None => json!({ "error": self.code }),
        };
        json(pool, status, &body)
    }
}

/// A 302.
pub(super) fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else {
        return pages::error(StatusCode::BAD_REQUEST, "invalid_request", "The address to return to is not usable.");
    };
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::FOUND, headers).into_response()
}

/// Adds a cookie for this host only.
pub(super) fn set_cookie(mut answer: Response, name: &str, value: &str, max_age: Option<i64>) -> Response {
    let lifetime = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    let cookie = format!("{name}={value}; Path=/{lifetime}; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers_mut().append(header::SET_COOKIE, cookie);
    }
    answer
}

/// The value of a request cookie.
pub(super) fn cookie<'a>(headers: &'a http::HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}
