//! The hosted UI's double-submit check: the `XSRF-TOKEN` cookie must come back in the form's `_csrf` field.

use axum::response::Response;
use http::HeaderMap;

use super::answer;
use super::params::Params;
use super::random;

const COOKIE: &str = "XSRF-TOKEN";

/// The value for a form: the browser's own if it has one (other tabs hold it too), else a new one.
pub(super) fn value(headers: &HeaderMap) -> String {
    answer::cookie(headers, COOKIE).filter(|value| is_ours(value)).map_or_else(random::uuid, str::to_owned)
}

pub(super) fn remember(answer: Response, value: &str) -> Response {
    answer::set_cookie(answer, COOKIE, value, None)
}

pub(super) fn holds(headers: &HeaderMap, form: &Params) -> bool {
    matches!((answer::cookie(headers, COOKIE), form.get("_csrf")), (Some(cookie), Some(field)) if cookie == field)
}

fn is_ours(value: &str) -> bool {
    value.len() == 36 && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}
