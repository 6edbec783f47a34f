//! The headers of pages, redirects and answers about a person.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;
use std::sync::LazyLock;

/// Nobody stores the answer, shows it in a frame, or runs a script in it.
pub(super) async fn private(mut response: Response) -> Response {
    let is_framable = response.extensions().get::<Framable>().is_some();
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // It cannot name an origin, as `frame-ancestors` can.
    if !is_framable {
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert_with(|| OURS_ALONE.clone());
    response
}

/// Style and images from us, and forms to us.
static OURS_ALONE: LazyLock<HeaderValue> =
    LazyLock::new(|| content_security_policy("style-src 'self'; img-src 'self'; form-action 'self'"));

/// Lets a page of ours show a picture from `origin`, too.
pub(super) fn allow_image_of(response: &mut Response, origin: &str) {
    set(response, &format!("style-src 'self'; img-src 'self' {origin}; form-action 'self'"));
}

/// Lets a page of ours run our own scripts.
pub(super) fn allow_own_script(response: &mut Response) {
    set(response, "style-src 'self'; img-src 'self'; form-action 'self'; script-src 'self'");
}

/// The mark of an answer that pages of another origin show in a frame.
#[derive(Clone)]
struct Framable;

/// Lets pages of `origin` show the answer in a frame, which loads nothing.
pub(super) fn allow_frame_of(response: &mut Response, origin: &str) {
    let policy = format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {origin}");
    if let Ok(policy) = HeaderValue::try_from(policy) {
        response.extensions_mut().insert(Framable);
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
    }
}

/// Lets a page load style and images from `assets`, and send forms to `forms` (CSP source lists).
pub(super) fn set_content_security_policy(response: &mut Response, assets: &str, forms: &str) {
    set(response, &format!("style-src {assets}; img-src {assets}; form-action {forms}"));
}

fn set(response: &mut Response, directives: &str) {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, content_security_policy(directives));
}

fn content_security_policy(directives: &str) -> HeaderValue {
    let policy = format!("default-src 'none'; {directives}; base-uri 'none'; frame-ancestors 'none'");
    // Of what no header can hold, nothing is allowed.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}
