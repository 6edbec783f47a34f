//! The script for pages of siblings: it says when the session is over, before something that was typed is lost.

use super::Web;
use super::language::PageRequest;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, VARY};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;

/// A function of its words.
const SCRIPT: &str = include_str!("pages/session.js");

const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// The script for pages of siblings
///
/// Says when the session is over or ends soon, and holds back a form that would be lost. In the language of the visitor,
/// or of the parameter `lang`.
#[utoipa::path(
    get, path = "/auth/assets/session.js", operation_id = "sessionScript", tag = "browser", security(()),
    params(("lang" = Option<String>, Query, description = "The language of the page (BCP 47).")),
    responses((status = 200, description = "It may be cached.", body = String, content_type = "text/javascript",
        headers(("Cache-Control" = String), ("Vary" = String))))
)]
pub(super) async fn script(State(web): State<Arc<Web>>, page: PageRequest) -> Response {
    let words = web.languages.words(page.language);
    let words = json!({
        "lang": words.language,
        "dir": words.direction.as_str(),
        "ended": words.notice_ended,
        "notSent": words.notice_not_sent,
        "endsSoon": words.notice_ends_soon,
        "signIn": words.sign_in,
        "close": words.close,
    });
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CACHE_CONTROL, "private, max-age=3600"),
        (VARY, "accept-language, cookie"),
        (CROSS_ORIGIN_RESOURCE_POLICY, "same-site"),
    ];
    (headers, format!("({})({words});\n", SCRIPT.trim_end())).into_response()
}
