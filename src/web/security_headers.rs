//! The headers of pages, redirects and answers about a person.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;

/// Nobody stores the answer, shows it in a frame, or runs a script in it.
pub(super) async fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        set_content_security_policy(&mut response, "'self'", "'self'");
    }
    response
}

/// Lets a page load style and images from `assets`, and send forms to `forms` (CSP source lists).
pub(super) fn set_content_security_policy(response: &mut Response, assets: &str, forms: &str) {
    let policy = format!(
        "default-src 'none'; style-src {assets}; img-src {assets}; form-action {forms}; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
}
