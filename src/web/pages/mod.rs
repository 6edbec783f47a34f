//! The few pages of our own. Escaped by askama, styled by one sheet, without a script.

pub(super) mod format;
mod frame;
mod qr_code;

use crate::config::PageImage;
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::return_to::ReturnTo;
use crate::domain::sign_in::{SignInIntent, SignInScreen};
use crate::store::OpenedSession;
use crate::web::error_body::ProblemDetails;
use crate::web::request_id::RequestId;
use crate::web::security_headers::set_content_security_policy;
use crate::web::{Web, error};
use crate::words::{Piece, Words};
use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

pub(super) use frame::{Brand, PageFrame};
pub(super) use qr_code::QrCode;

/// `GET /`
#[derive(Template)]
#[template(path = "home.html", config = "src/web/askama.toml")]
pub(super) struct FrontPage<'a> {
    pub(super) words: &'a Words,
    pub(super) frame: PageFrame<'a>,
    pub(super) name: Option<String>,
    pub(super) sign_in: String,
    /// Where people go from here, if that is elsewhere.
    pub(super) onward: Option<String>,
}

/// Something went wrong, or is not there.
#[derive(Template)]
#[template(path = "problem.html", config = "src/web/askama.toml")]
pub(super) struct ProblemPage<'a> {
    pub(super) words: &'a Words,
    pub(super) frame: PageFrame<'a>,
    pub(super) tone: Tone,
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    /// The provider's own text.
    pub(super) provider_text: Option<String>,
    /// The button to press.
    pub(super) first: Option<PageLink>,
    pub(super) others: Vec<PageLink>,
    /// The sentence that says whom to ask.
    pub(super) contact: &'a str,
    /// Whom to ask.
    pub(super) support: Option<PageLink>,
    pub(super) reference: &'a str,
}

/// How a page looks at what happened.
#[derive(Debug, Clone, Copy)]
pub(super) enum Tone {
    /// A failure or a refusal.
    Bad,
    /// Somebody turned back.
    Back,
    /// Somebody took their time.
    Late,
    /// Nothing is there.
    Nothing,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Bad => "mark bad",
            Self::Back => "mark onward",
            Self::Late | Self::Nothing => "mark",
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Bad => "!",
            Self::Back => "←",
            Self::Late => "…",
            Self::Nothing => "?",
        }
    }
}

/// A button, or whom people can ask.
#[derive(Debug)]
pub(super) struct PageLink {
    pub(super) words: String,
    pub(super) href: String,
}

impl PageLink {
    /// The same where the page is shown under another origin than ours.
    pub(super) fn under(self, origin: &str) -> Self {
        match self.href.starts_with('/') {
            true => Self { href: format!("{origin}{}", self.href), ..self },
            false => self,
        }
    }
}

/// `GET /auth/signout`
#[derive(Template)]
#[template(path = "sign_out.html", config = "src/web/askama.toml")]
pub(super) struct SignOutPage<'a> {
    pub(super) words: &'a Words,
    pub(super) frame: PageFrame<'a>,
    pub(super) name: Option<String>,
    pub(super) return_to: String,
    /// Whether the box for all devices is ticked.
    pub(super) everywhere: bool,
}

/// `GET /auth/signout/callback`
#[derive(Template)]
#[template(path = "signed_out.html", config = "src/web/askama.toml")]
pub(super) struct SignedOutPage<'a> {
    pub(super) words: &'a Words,
    pub(super) frame: PageFrame<'a>,
    pub(super) sign_in: String,
    /// Whether all devices were signed out.
    pub(super) everywhere: bool,
}

/// The page, or a bare 500 if a template fails, which only a broken formatter could cause.
pub(super) fn render(page: &impl Template) -> Response {
    // Room for each of our pages, and for the headers that layers add.
    let mut html = String::with_capacity(4 << 10);
    if page.render_into(&mut html).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let mut response = Response::new(Body::from(html));
    response.headers_mut().reserve(10);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// Lets the page's form be redirected to `targets` (CSP sources), too.
pub(super) fn with_form_targets(mut response: Response, targets: &[String]) -> Response {
    set_content_security_policy(&mut response, "'self'", &format!("'self' {}", targets.join(" ")));
    response
}

/// What to call a signed-in person.
pub(super) fn display_name(opened: &OpenedSession) -> String {
    opened.identity.display_name().into_owned()
}

/// Our own sign-in address, leading to `return_to`.
pub(super) fn sign_in_link(return_to: Option<&ReturnTo>, prompt: Option<&str>) -> String {
    link([("return_to", return_to.map(ReturnTo::as_str)), ("prompt", prompt)])
}

/// The same for who has to authenticate as `needed`.
pub(super) fn step_up_link(return_to: Option<&ReturnTo>, needed: &AuthenticationRequirement) -> String {
    let (max_age, acr_values) = (max_age(needed), needed.acr_values_text());
    link([
        ("return_to", return_to.map(ReturnTo::as_str)),
        ("max_age", max_age.as_deref()),
        ("acr_values", acr_values.as_deref()),
    ])
}

fn max_age(needed: &AuthenticationRequirement) -> Option<String> {
    needed.max_age.map(|age| age.as_secs().to_string())
}

/// Our own sign-in address, asking for the same once more.
pub(super) fn sign_in_url_of(intent: &SignInIntent) -> String {
    // To be shown no page at all is not what somebody wants who looks at one.
    let prompt = intent.prompt.as_deref().filter(|prompt| *prompt != "none");
    let (max_age, acr_values) = (max_age(&intent.authentication), intent.authentication.acr_values_text());
    let screen = match intent.screen {
        SignInScreen::SignIn => None,
        SignInScreen::SignUp => Some(SIGN_UP),
        SignInScreen::NewPassword => Some(NEW_PASSWORD),
    };
    link([
        ("return_to", Some(intent.return_to.as_str())),
        ("provider", intent.provider.as_deref()),
        ("idp_identifier", intent.idp_identifier.as_deref()),
        ("lang", intent.lang.as_deref()),
        ("prompt", prompt),
        ("max_age", max_age.as_deref()),
        ("acr_values", acr_values.as_deref()),
        ("resource", intent.resource.as_deref()),
        ("screen", screen),
    ])
}

/// Our own sign-in address that leads through the provider's page for a new password.
pub(super) fn password_link(return_to: &ReturnTo) -> String {
    link([("screen", Some(NEW_PASSWORD)), ("return_to", Some(return_to.as_str()))])
}

/// The value of `screen` that leads to the page for a new password.
pub(super) const NEW_PASSWORD: &str = "password";

/// The value of `screen` that leads to the page for new accounts.
pub(super) const SIGN_UP: &str = "signup";

fn link<const N: usize>(parameters: [(&str, Option<&str>); N]) -> String {
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    match url::form_urlencoded::Serializer::new(String::new()).extend_pairs(given).finish() {
        query if query.is_empty() => "/auth/signin".to_owned(),
        query => format!("/auth/signin?{query}"),
    }
}

/// The style sheet of the pages
#[utoipa::path(
    get, path = "/auth/assets/style.css", operation_id = "stylesheet", tag = "browser", security(()),
    responses((status = 200, description = "It may be cached.", body = String, content_type = "text/css",
        headers(("Cache-Control" = String))))
)]
pub(super) async fn stylesheet(State(web): State<Arc<Web>>) -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, CACHE_FOR_AN_HOUR)];
    (headers, web.brand.stylesheet.clone())
}

/// Long enough to be asked for rarely, short enough for a new one to be seen.
const CACHE_FOR_AN_HOUR: &str = "public, max-age=3600";
const CACHE_FOR_A_DAY: &str = "public, max-age=86400";

/// The icon of the pages
#[utoipa::path(
    get, path = "/auth/assets/icon.svg", operation_id = "icon", tag = "browser", security(()),
    responses((status = 200, description = "It may be cached.", body = String, content_type = "image/svg+xml",
        headers(("Cache-Control" = String))))
)]
pub(super) async fn icon() -> impl IntoResponse {
    ([(CONTENT_TYPE, "image/svg+xml"), (CACHE_CONTROL, CACHE_FOR_A_DAY)], include_str!("icon.svg"))
}

/// The icon for browsers that look for it here
///
/// That of `pages.favicon`, or our own.
#[utoipa::path(
    get, path = "/favicon.ico", operation_id = "favicon", tag = "browser", security(()),
    responses((status = 200, description = "It may be cached.", content(("image/x-icon")),
        headers(("Cache-Control" = String))))
)]
pub(super) async fn favicon(State(web): State<Arc<Web>>) -> Response {
    match &web.brand.favicon {
        Some(icon) => image(icon),
        None => {
            let headers = [(CONTENT_TYPE, "image/x-icon"), (CACHE_CONTROL, CACHE_FOR_A_DAY)];
            (headers, include_bytes!("favicon.ico").as_slice()).into_response()
        }
    }
}

/// The script that makes a passkey
#[utoipa::path(
    get, path = "/auth/assets/passkey.js", operation_id = "passkeyScript", tag = "browser", security(()),
    responses((status = 200, description = "It may be cached.", body = String, content_type = "text/javascript",
        headers(("Cache-Control" = String))))
)]
pub(super) async fn passkey_script() -> impl IntoResponse {
    let headers = [(CONTENT_TYPE, "text/javascript; charset=utf-8"), (CACHE_CONTROL, CACHE_FOR_AN_HOUR)];
    (headers, include_str!("passkey.js"))
}

/// The logo of the pages
#[utoipa::path(
    get, path = "/auth/assets/logo", operation_id = "logo", tag = "browser", security(()),
    responses(
        (status = 200, description = "That of `pages.logo`. It may be cached.",
            content(("image/svg+xml"), ("image/png")), headers(("Cache-Control" = String))),
        (status = 404, description = "`not-found`: the pages have none.", body = ProblemDetails,
            content_type = "application/problem+json"),
    )
)]
pub(super) async fn logo(State(web): State<Arc<Web>>, id: RequestId) -> Response {
    match &web.brand.logo {
        Some(logo) => image(logo),
        None => {
            error::body(StatusCode::NOT_FOUND, "not-found", "Not found", "the pages have no logo", id.as_str(), None)
        }
    }
}

fn image(image: &PageImage) -> Response {
    let headers = [(CONTENT_TYPE, image.media_type), (CACHE_CONTROL, CACHE_FOR_AN_HOUR)];
    (headers, image.bytes.clone()).into_response()
}
