//! How a browser came to ask: for a page that a person waits for, or by a script, of which page (Fetch standard,
//! Fetch Metadata, CORS).

use super::Web;
use super::forwarded::ForwardedRequest;
use super::origin::RequestOrigin;
use axum::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

/// A browser asks whether a page's script may ask (Fetch standard, CORS): without credentials, by design. Not every
/// site keeps its pages from `OPTIONS`, so what a proxy asks about is one only where our answer is `handed_on` to the
/// browser, as a proxy shows by asking in the browser's own method, or if preflights may pass.
pub(super) fn is_preflight(
    web: &Web,
    request: &Parts,
    forwarded: Option<&ForwardedRequest<'_>>,
    handed_on: bool,
) -> bool {
    let own = request.method == Method::OPTIONS;
    let is = match forwarded {
        None => own,
        Some(ForwardedRequest { method: None, .. }) => own && (handed_on || web.preflights),
        Some(ForwardedRequest { method: Some(method), .. }) => {
            *method == "OPTIONS" && (own && handed_on || web.preflights)
        }
    };
    is && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && RequestOrigin::of(web, &request.headers).allowed().is_some()
}

/// Lets `origin` read the answer.
pub(super) fn allow(headers: &mut HeaderMap, origin: &HeaderValue) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
}

/// Lets the script of an allowed page read why it is refused.
pub(super) fn allow_refusal(web: &Web, asked: &HeaderMap, answer: &mut HeaderMap) {
    if let Some(origin) = RequestOrigin::of(web, asked).allowed() {
        allow(answer, origin);
        let readable = HeaderValue::from_static("www-authenticate, retry-after, x-request-id");
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    }
}

// Names that were judged once are found sooner than texts.
static SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
static SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
static X_REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// Whether a person waits for a page in a window of its own: by Fetch Metadata, else by what is accepted.
pub(super) fn is_navigation(headers: &HeaderMap) -> bool {
    let is = |name, value| headers.get(name).map(|found: &HeaderValue| found == value);
    match is(&SEC_FETCH_MODE, "navigate") {
        Some(navigates) => navigates && is(&SEC_FETCH_DEST, "document") != Some(false),
        None => {
            let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
            let html = accepted.split(',').map(|range| range.split(';').next().unwrap_or_default().trim());
            html.into_iter().any(|range| range.eq_ignore_ascii_case("text/html"))
                && !headers.contains_key(&X_REQUESTED_WITH)
        }
    }
}
