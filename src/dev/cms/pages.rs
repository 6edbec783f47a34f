//! The site's pages.

use askama::Template;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use super::articles::Article;
use super::comments::{Comment, ListedPerson};
use super::frame::Frame;

/// Styles from this host, and the script of the sign-in service, which asks there. `form-action` is left out on purpose:
/// Chromium applies it to the redirects after a form too, and the sign-out form travels over the service and the identity
/// provider and back.
pub(super) fn content_security_policy(auth: &str) -> String {
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src {auth}; connect-src {auth}; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// The front page, for strangers and for visitors.
#[derive(Template)]
#[template(path = "cms/pages/home.html", config = "src/dev/askama.toml")]
pub(super) struct HomePage<'a> {
    pub(super) frame: Frame,
    pub(super) articles: &'a [Article],
}

/// One article.
#[derive(Template)]
#[template(path = "cms/pages/article.html", config = "src/dev/askama.toml")]
pub(super) struct ArticlePage<'a> {
    pub(super) frame: Frame,
    pub(super) article: &'a Article,
    /// None where this site has no database, or cannot reach it.
    pub(super) comments: Option<Vec<Comment>>,
}

/// Who is known, and how much they wrote.
#[derive(Template)]
#[template(path = "cms/pages/people.html", config = "src/dev/askama.toml")]
pub(super) struct PeoplePage {
    pub(super) frame: Frame,
    pub(super) people: Vec<ListedPerson>,
}

/// The editors' room.
#[derive(Template)]
#[template(path = "cms/pages/editors.html", config = "src/dev/askama.toml")]
pub(super) struct EditorsPage {
    pub(super) frame: Frame,
}

/// A message in plain words, and links to go on.
#[derive(Template)]
#[template(path = "cms/pages/message.html", config = "src/dev/askama.toml")]
pub(super) struct MessagePage {
    pub(super) frame: Frame,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) links: Vec<CmsLink>,
}

/// A link of a message.
pub(super) struct CmsLink {
    pub(super) label: &'static str,
    pub(super) href: String,
}

pub(super) fn render(status: StatusCode, page: &impl Template) -> Response {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        // Not `no-referrer`: under it a form's `Origin` is `null`, and the service likes to know who posts to it.
        (header::REFERRER_POLICY, "strict-origin-when-cross-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, html).into_response()
}

pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("pages/icon.svg")).into_response()
}

pub(super) async fn stylesheet() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, include_str!("pages/site.css")).into_response()
}
