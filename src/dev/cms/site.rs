//! The routes of the site, and what each kind of visitor gets on them.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::CmsSettings;
use super::articles::{self, ARTICLES};
use super::comments::Comments;
use super::frame::{Addresses, Frame};
use super::pages::{self, ArticlePage, CmsLink, EditorsPage, HomePage, MessagePage, PeoplePage};
use super::visitor::{CmsVisitor, ValidateClient};

struct CmsSite {
    validate_client: ValidateClient,
    addresses: Addresses,
    comments: Option<Comments>,
}

/// The longest comment, characters.
const COMMENT_MAX: usize = 2_000;

#[expect(clippy::disallowed_methods, reason = "a site's pages are in no document")]
pub(super) fn router(settings: &CmsSettings) -> io::Result<Router> {
    let addresses = Addresses::new(settings)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the site's addresses must be absolute URLs"))?;
    let comments = settings.database.as_ref().map(Comments::new);
    let site = CmsSite { validate_client: ValidateClient::new(&settings.auth_base_internal)?, addresses, comments };
    let policy = pages::content_security_policy(settings.auth_base_public.trim_end_matches('/'));
    let policy = HeaderValue::try_from(policy)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the service's address must be a URL"))?;
    Ok(Router::new()
        .route("/", get(home))
        .route("/articles/{slug}", get(article))
        .route("/articles/{slug}/comments", post(comment))
        .route("/editors", get(editors))
        .route("/people", get(people))
        .route("/site.css", get(pages::stylesheet))
        .route("/icon.svg", get(pages::icon))
        .fallback(nothing_here)
        .layer(map_response(move |mut response: Response| {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
            std::future::ready(response)
        }))
        .with_state(Arc::new(site)))
}

impl CmsSite {
    /// The frame with the visitor in it, or with nobody. `None` if the service could not tell.
    async fn receive(&self, headers: &HeaderMap, uri: &Uri) -> Option<Frame> {
        match self.validate_client.validate(headers, None).await {
            CmsVisitor::SignedIn(person) => Some(self.addresses.frame(headers, uri, Some(*person))),
            CmsVisitor::Anonymous | CmsVisitor::Forbidden => Some(self.addresses.frame(headers, uri, None)),
            CmsVisitor::Unknown => None,
        }
    }

    fn unavailable(&self, headers: &HeaderMap, uri: &Uri) -> Response {
        let frame = self.addresses.frame(headers, uri, None);
        let page = MessagePage {
            title: "We cannot check who you are right now",
            text: "The sign-in service did not answer, so this page stays closed for the moment. If you were signed in, \
                   you still are. Please try again shortly.",
            links: vec![CmsLink { label: "Try again", href: frame.here().to_owned() }],
            frame,
        };
        let mut answer = pages::render(StatusCode::SERVICE_UNAVAILABLE, &page);
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        answer
    }
}

async fn home(State(site): State<Arc<CmsSite>>, headers: HeaderMap, uri: Uri) -> Response {
    match site.receive(&headers, &uri).await {
        Some(frame) => pages::render(StatusCode::OK, &HomePage { frame, articles: &ARTICLES }),
        None => site.unavailable(&headers, &uri),
    }
}

async fn article(State(site): State<Arc<CmsSite>>, Path(slug): Path<String>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(frame) = site.receive(&headers, &uri).await else {
        return site.unavailable(&headers, &uri);
    };
    if frame.person.is_none() {
        return redirect(&frame.sign_in());
    }
    match articles::find(&slug) {
        Some(article) => {
            let comments = match &site.comments {
                Some(comments) => comments.below(article.slug).await.inspect_err(log_failure).ok(),
                None => None,
            };
            pages::render(StatusCode::OK, &ArticlePage { frame, article, comments })
        }
        None => not_found(frame),
    }
}

async fn comment(
    State(site): State<Arc<CmsSite>>,
    Path(slug): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    body: String,
) -> Response {
    let Some(frame) = site.receive(&headers, &uri).await else {
        return site.unavailable(&headers, &uri);
    };
    let (Some(article), Some(comments)) = (articles::find(&slug), &site.comments) else { return not_found(frame) };
    let Some(person) = &frame.person else { return redirect(&frame.sign_in()) };
    let text = url::form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == "text").map(|(_, text)| text);
    let text = text.unwrap_or_default().trim().replace('\0', "");
    if !site.addresses.are_own(&headers) || text.is_empty() || text.chars().count() > COMMENT_MAX {
        return StatusCode::BAD_REQUEST.into_response();
    }
    match comments.add(article.slug, &person.sub, &text).await.inspect_err(log_failure) {
        Ok(()) => (StatusCode::SEE_OTHER, [(header::LOCATION, format!("/articles/{}", article.slug))]).into_response(),
        Err(_) => site.unavailable(&headers, &uri),
    }
}

async fn people(State(site): State<Arc<CmsSite>>, headers: HeaderMap, uri: Uri) -> Response {
    let Some(frame) = site.receive(&headers, &uri).await else {
        return site.unavailable(&headers, &uri);
    };
    let Some(comments) = &site.comments else { return not_found(frame) };
    if frame.person.is_none() {
        return redirect(&frame.sign_in());
    }
    match comments.people().await.inspect_err(log_failure) {
        Ok(people) => pages::render(StatusCode::OK, &PeoplePage { frame, people }),
        Err(_) => site.unavailable(&headers, &uri),
    }
}

fn log_failure(error: &tokio_postgres::Error) {
    tracing::warn!(%error, "demo CMS: the database failed");
}

async fn editors(State(site): State<Arc<CmsSite>>, headers: HeaderMap, uri: Uri) -> Response {
    match site.validate_client.validate(&headers, Some(("group", "editors"))).await {
        CmsVisitor::SignedIn(person) => {
            let frame = site.addresses.frame(&headers, &uri, Some(*person));
            pages::render(StatusCode::OK, &EditorsPage { frame })
        }
        CmsVisitor::Anonymous => redirect(&site.addresses.frame(&headers, &uri, None).sign_in()),
        // A refusal does not say who was refused; ask again without the demand, to show whose account this is.
        CmsVisitor::Forbidden => match site.receive(&headers, &uri).await {
            Some(frame) => forbidden(frame),
            None => site.unavailable(&headers, &uri),
        },
        CmsVisitor::Unknown => site.unavailable(&headers, &uri),
    }
}

async fn nothing_here(State(site): State<Arc<CmsSite>>, headers: HeaderMap, uri: Uri) -> Response {
    match site.receive(&headers, &uri).await {
        Some(frame) => not_found(frame),
        None => site.unavailable(&headers, &uri),
    }
}

fn forbidden(frame: Frame) -> Response {
    let link = CmsLink { label: "Sign in as another account", href: frame.sign_in_as_another() };
    let page = MessagePage {
        title: "This room is for editors",
        text: "You are signed in, but your account is not in the group \u{201c}editors\u{201d}. If it should be, \
               ask whoever looks after the accounts; or use another one.",
        links: vec![link, home_link(&frame)],
        frame,
    };
    pages::render(StatusCode::FORBIDDEN, &page)
}

fn not_found(frame: Frame) -> Response {
    let page = MessagePage {
        title: "There is no such page",
        text: "Perhaps it was moved, perhaps the address has a typing mistake in it.",
        links: vec![home_link(&frame)],
        frame,
    };
    pages::render(StatusCode::NOT_FOUND, &page)
}

fn home_link(frame: &Frame) -> CmsLink {
    CmsLink { label: "Back to the front page", href: frame.home.clone() }
}

fn redirect(location: &str) -> Response {
    match HeaderValue::try_from(location) {
        Ok(location) => {
            let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
            (StatusCode::FOUND, headers).into_response()
        }
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}
