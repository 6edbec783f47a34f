//! The few pages of our own. Escaped by askama, styled by one sheet, without a script.

use crate::domain::return_to::ReturnTo;
use crate::store::Live;
use askama::Template;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use axum::response::{Html, IntoResponse, Response};

/// `GET /`
#[derive(Template)]
#[template(path = "home.html", config = "src/web/askama.toml")]
pub(super) struct Home {
    pub(super) name: Option<String>,
    pub(super) sign_in: String,
    /// Where people go from here, if that is elsewhere.
    pub(super) onward: Option<String>,
}

/// Something went wrong.
#[derive(Template)]
#[template(path = "problem.html", config = "src/web/askama.toml")]
pub(super) struct Problem<'a> {
    /// Ours, where the page is shown under another one.
    pub(super) origin: &'a str,
    pub(super) title: &'a str,
    pub(super) words: &'a str,
    /// What the account lacks.
    pub(super) why: Option<String>,
    /// The provider's own text.
    pub(super) foreign: Option<String>,
    pub(super) reference: &'a str,
    pub(super) again: String,
    pub(super) another: Option<String>,
}

/// Nothing is there.
#[derive(Template)]
#[template(path = "not_found.html", config = "src/web/askama.toml")]
pub(super) struct NotFound {
    pub(super) sign_in: String,
}

/// `GET /auth/signout`
#[derive(Template)]
#[template(path = "sign_out.html", config = "src/web/askama.toml")]
pub(super) struct SignOut {
    pub(super) name: Option<String>,
    pub(super) return_to: String,
    /// Whether the box for all devices is ticked.
    pub(super) everywhere: bool,
}

/// `GET /auth/signout/callback`
#[derive(Template)]
#[template(path = "signed_out.html", config = "src/web/askama.toml")]
pub(super) struct SignedOut {
    pub(super) sign_in: String,
}

/// The page, or a bare 500 if a template fails, which only a broken formatter could cause.
pub(super) fn render(page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Allows the page's form to be redirected to `targets` (CSP sources) beside ourselves.
pub(super) fn with_form_targets(mut response: Response, targets: &[String]) -> Response {
    let csp = format!(
        "default-src 'none'; style-src 'self'; form-action 'self' {}; base-uri 'none'; frame-ancestors 'none'",
        targets.join(" ")
    );
    if let Ok(csp) = HeaderValue::from_str(&csp) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, csp);
    }
    response
}

/// What to call a signed-in person.
pub(super) fn display_name(live: &Live) -> String {
    let p = &live.session.principal;
    p.name.clone().unwrap_or_else(|| p.username.clone())
}

/// Our own sign-in address, leading to `return_to`.
pub(super) fn sign_in_link(return_to: Option<&ReturnTo>, prompt: Option<&str>) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if let Some(return_to) = return_to {
        query.append_pair("return_to", return_to.as_str());
    }
    if let Some(prompt) = prompt {
        query.append_pair("prompt", prompt);
    }
    match query.finish() {
        query if query.is_empty() => "/auth/signin".to_owned(),
        query => format!("/auth/signin?{query}"),
    }
}

/// `GET /auth/assets/style.css`
pub(super) async fn stylesheet() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "public, max-age=3600")];
    (headers, include_str!("style.css"))
}
