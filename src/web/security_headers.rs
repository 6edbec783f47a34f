//! The headers of pages, redirects and answers about a person.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;
use std::sync::LazyLock;

/// Nobody stores the answer, shows it in a frame, or runs a script in it.
pub(super) async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| OURS_ALONE.clone());
    response
}

/// Style and images from us, and forms to us.
static OURS_ALONE: LazyLock<HeaderValue> = LazyLock::new(|| content_security_policy("'self'", "'self'"));

/// Lets a page load style and images from `assets`, and send forms to `forms` (CSP source lists).
pub(super) fn set_content_security_policy(response: &mut Response, assets: &str, forms: &str) {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, content_security_policy(assets, forms));
}

fn content_security_policy(assets: &str, forms: &str) -> HeaderValue {
    let policy = format!(
        "default-src 'none'; style-src {assets}; img-src {assets}; form-action {forms}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    // Of what no header can hold, nothing is allowed.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
