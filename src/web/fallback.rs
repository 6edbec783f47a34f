//! Where no route matches: 404, and 405 for a method that an address does not know.

use super::fetch::is_navigation;
use super::language::PageRequest;
use super::request_id::RequestId;
use super::{Web, error, problem_page};
use axum::extract::{OriginalUri, State};
use axum::http::header::{HeaderMap, HeaderValue, VARY};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use std::sync::Arc;

/// By what is asked for: people get a page, programs a problem.
const CHOSEN_BY: HeaderValue = HeaderValue::from_static("accept, sec-fetch-mode, sec-fetch-dest, x-requested-with");

pub(super) async fn not_found(
    State(web): State<Arc<Web>>,
    id: RequestId,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let mut response = if is_navigation(&headers) {
        problem_page::nothing(&web, StatusCode::NOT_FOUND, &PageRequest::new(&web, id, &headers, None)).await
    } else {
        let path: String = uri.path().chars().take(200).collect();
        let detail = format!("there is nothing at {path}");
        error::body(StatusCode::NOT_FOUND, "not-found", "Not found", &detail, id.as_str(), None)
    };
    response.headers_mut().insert(VARY, CHOSEN_BY);
    response
}

pub(super) async fn method_not_allowed(
    State(web): State<Arc<Web>>,
    id: RequestId,
    headers: HeaderMap,
    method: Method,
) -> Response {
    let page = not_allowed_page(&web, &headers, &id).await;
    let mut response = page.unwrap_or_else(|| {
        let detail = format!("this address does not know the method {method}; see Allow");
        error::body(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "Method not allowed",
            &detail,
            id.as_str(),
            None,
        )
    });
    response.headers_mut().insert(VARY, CHOSEN_BY);
    response
}

/// The page for a person who opens an address that is none, such as one for programs.
pub(super) async fn not_allowed_page(web: &Web, headers: &HeaderMap, id: &RequestId) -> Option<Response> {
    if !is_navigation(headers) {
        return None;
    }
    let page = PageRequest::new(web, *id, headers, None);
    let mut response = problem_page::nothing(web, StatusCode::METHOD_NOT_ALLOWED, &page).await;
    response.headers_mut().insert(VARY, CHOSEN_BY);
    Some(response)
}
