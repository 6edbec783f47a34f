//! HTTP messages as all endpoints read and write them: parameters, cookies, redirects, JSON, error bodies.
//!
//! Cognito has two error bodies: `{"error": …}` of OAuth (RFC 6749 §5.2) and `{"__type": …, "message": …}` of the AWS
//! JSON protocol. The status of both is 400, with one exception: see [`OAuthError::INVALID_CLIENT`].

use super::random;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use url::form_urlencoded;

const NEVER_CACHE: &str = "no-cache, no-store, max-age=0, must-revalidate";

/// The decoded parameters of one query or form, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The form of an OAuth endpoint: of the right content type, no parameter twice (RFC 6749 §3.2).
    pub(super) fn of_form(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let form = Self::parse(body);
        let good = essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") && !form.has_duplicates();
        good.then_some(form).ok_or(OAuthError::INVALID_REQUEST)
    }

    /// The value of a parameter; absent and empty are the same thing, as they are to Cognito.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    pub(super) fn has_duplicates(&self) -> bool {
        self.0.iter().enumerate().any(|(at, (key, _))| self.0[..at].iter().any(|(earlier, _)| earlier == key))
    }

    /// The same parameters with one replaced, encoded again.
    pub(super) fn encode_with(&self, name: &str, value: &str) -> String {
        let others = self.0.iter().filter(|(key, _)| key != name);
        form_urlencoded::Serializer::new(String::new()).extend_pairs(others).append_pair(name, value).finish()
    }
}

/// A 302 to `url` with more query parameters. Custom schemes are callback URLs too, so this works on text.
pub(super) fn redirect_with_query(url: &str, pairs: &[(&str, &str)]) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    let separator = if url.contains('?') { '&' } else { '?' };
    redirect(&format!("{url}{separator}{query}"))
}

pub(super) fn redirect(location: &str) -> Response {
    let Ok(location) = HeaderValue::try_from(location) else { return StatusCode::BAD_REQUEST.into_response() };
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (StatusCode::FOUND, headers).into_response()
}

/// Adds a cookie for this host only.
pub(super) fn set_cookie(mut response: Response, name: &str, value: &str, max_age: Option<i64>) -> Response {
    let lifetime = max_age.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default();
    if let Ok(cookie) = HeaderValue::try_from(format!("{name}={value}; Path=/{lifetime}; HttpOnly; SameSite=Lax")) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}

/// The value of a request's cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// JSON with the request id and the cache headers of the token endpoint.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json;charset=UTF-8".to_owned()),
        (header::CACHE_CONTROL, NEVER_CACHE.to_owned()),
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".to_owned()),
        (HeaderName::from_static("x-amz-cognito-request-id"), random::uuid()),
    ];
    (status, headers, body.to_string()).into_response()
}

/// JSON of the AWS JSON 1.1 protocol; `null` is no body.
pub(super) fn aws_json(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/x-amz-json-1.1".to_owned()),
        (HeaderName::from_static("x-amzn-requestid"), random::uuid()),
    ];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    (status, headers, body).into_response()
}

/// An error of the token endpoint and its neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct OAuthError {
    status: StatusCode,
    code: &'static str,
    description: Option<&'static str>,
}

impl OAuthError {
    pub(super) const INVALID_REQUEST: Self = Self::new("invalid_request");
    /// 400 at the token endpoint, 401 at the revocation endpoint.
    pub(super) const INVALID_CLIENT: Self = Self::new("invalid_client");
    pub(super) const INVALID_GRANT: Self = Self::new("invalid_grant");
    pub(super) const INVALID_SCOPE: Self = Self::new("invalid_scope");
    pub(super) const UNAUTHORIZED_CLIENT: Self = Self::new("unauthorized_client");
    /// Cognito's answer to another `redirect_uri` than the authorization code was issued for.
    pub(super) const INVALID_REDIRECT: Self =
        Self { description: Some("invalid_redirect"), ..Self::UNAUTHORIZED_CLIENT };
    pub(super) const UNSUPPORTED_GRANT_TYPE: Self = Self::new("unsupported_grant_type");
    pub(super) const UNSUPPORTED_TOKEN_TYPE: Self = Self::new("unsupported_token_type");

    const fn new(code: &'static str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, description: None }
    }

    pub(super) const fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let mut body = json!({ "error": self.code });
        if let Some(description) = self.description {
            body["error_description"] = description.into();
        }
        json(self.status, &body)
    }
}

/// An exception of an API operation.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    exception: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn new(exception: &'static str, message: impl Into<String>) -> Self {
        Self { exception, message: message.into() }
    }

    /// What people read at the hosted UI.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn invalid_parameter(message: impl Into<String>) -> Self {
        Self::new("InvalidParameterException", message)
    }

    pub(super) fn missing_parameter(name: &str) -> Self {
        Self::invalid_parameter(format!(
            "1 validation error detected: Value at '{name}' failed to satisfy constraint: Member must not be null"
        ))
    }

    pub(super) fn not_authorized(message: impl Into<String>) -> Self {
        Self::new("NotAuthorizedException", message)
    }

    /// Also where there is no such user.
    pub(super) fn incorrect_password() -> Self {
        Self::not_authorized("Incorrect username or password.")
    }

    pub(super) fn user_not_found() -> Self {
        Self::new("UserNotFoundException", "User does not exist.")
    }

    pub(super) fn unknown_operation() -> Self {
        Self::new("UnknownOperationException", "")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        aws_json(StatusCode::BAD_REQUEST, &json!({ "__type": self.exception, "message": self.message }))
    }
}

/// A string that an operation's input must have.
pub(super) fn required<'a>(input: &'a Value, name: &str) -> Result<&'a str, ApiError> {
    input[name].as_str().ok_or_else(|| ApiError::missing_parameter(name))
}
