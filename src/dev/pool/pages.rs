//! The pages of the hosted UI, and the double-submit check of their forms: the `XSRF-TOKEN` cookie must come back in
//! the field `_csrf`.

use super::messages::{self, Params};
use super::random;
use askama::Template;
use axum::extract::RawQuery;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};

const CSRF_COOKIE: &str = "XSRF-TOKEN";

/// No script at all, styles from this host only. `form-action` is left out on purpose: Chromium applies it to the
/// redirects after a form too, and those lead to the application and on to its sites.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Sign in with a password, or go to an identity provider.
#[derive(Template)]
#[template(path = "pool/pages/login.html", config = "src/dev/askama.toml")]
pub(super) struct LoginPage {
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) username: String,
    pub(super) error: Option<String>,
    pub(super) notice: Option<&'static str>,
    pub(super) providers: Vec<ProviderLink>,
    pub(super) links: Vec<HostedUiLink>,
}

/// A "Continue with …" button.
pub(super) struct ProviderLink {
    pub(super) name: String,
    pub(super) href: String,
}

/// A way to another page of the hosted UI.
pub(super) struct HostedUiLink {
    pub(super) label: &'static str,
    pub(super) href: String,
}

/// Any other form of the hosted UI. The default has no fields.
#[derive(Default, Template)]
#[template(path = "pool/pages/form.html", config = "src/dev/askama.toml")]
pub(super) struct FormPage {
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) title: &'static str,
    pub(super) lead: String,
    pub(super) error: Option<String>,
    pub(super) notice: Option<&'static str>,
    pub(super) authenticator: Option<AuthenticatorSecret>,
    pub(super) fields: Vec<FormField>,
    pub(super) submit: &'static str,
    /// Whether a second button sends the code again.
    pub(super) resend: bool,
    pub(super) links: Vec<HostedUiLink>,
}

/// What an authenticator app is set up with.
pub(super) struct AuthenticatorSecret {
    pub(super) secret: String,
    pub(super) uri: String,
}

/// One labelled input.
#[derive(Default)]
pub(super) struct FormField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    /// `type` of the input.
    pub(super) kind: &'static str,
    pub(super) autocomplete: &'static str,
    pub(super) value: String,
    pub(super) hint: Option<&'static str>,
    pub(super) optional: bool,
}

impl FormField {
    pub(super) fn text(name: &'static str, label: &'static str, autocomplete: &'static str) -> Self {
        Self { name, label, kind: "text", autocomplete, ..Self::default() }
    }

    /// Six digits.
    pub(super) fn code() -> Self {
        Self::text("code", "Code", "one-time-code")
    }

    /// A password that the user chooses.
    pub(super) fn new_password(name: &'static str, label: &'static str) -> Self {
        Self { kind: "password", ..Self::text(name, label, "new-password") }
    }

    pub(super) fn with(self, value: Option<&str>) -> Self {
        Self { value: value.unwrap_or_default().to_owned(), ..self }
    }
}

/// The account chooser of a pretended identity provider.
#[derive(Template)]
#[template(path = "pool/pages/provider.html", config = "src/dev/askama.toml")]
pub(super) struct ProviderPage {
    pub(super) csrf: String,
    pub(super) action: String,
    pub(super) provider: String,
    pub(super) identities: Vec<IdentityChoice>,
}

/// One account to choose.
pub(super) struct IdentityChoice {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) email: Option<String>,
}

#[derive(Template)]
#[template(path = "pool/pages/error.html", config = "src/dev/askama.toml")]
struct ErrorPage<'a> {
    error: &'a str,
    text: &'a str,
}

/// The pool's own error page.
pub(super) fn error(status: StatusCode, error: &str, text: &str) -> Response {
    render(status, &ErrorPage { error, text })
}

/// Where Cognito sends a browser whose request it cannot trust.
pub(super) async fn error_page(RawQuery(query): RawQuery) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let (error, text) = match params.get("error").unwrap_or_default() {
        error @ "Required parameters missing" => (error, "The request must name an app client of this user pool."),
        error @ "invalid_client" => (error, "There is no app client of this id in the user pool."),
        error @ "redirect_mismatch" => {
            (error, "The redirect_uri is not among the callback URLs of the app client, byte for byte.")
        }
        error @ "Required String parameter 'redirect_uri' is not present" => {
            (error, "Neither logout_uri nor redirect_uri is among the URLs of the app client, byte for byte.")
        }
        _ => ("invalid_request", "The request cannot be understood."),
    };
    self::error(StatusCode::BAD_REQUEST, error, text)
}

/// A page with a form in it, made with the value of its `_csrf` field. That value is the browser's own if it has one
/// already, since other tabs hold it too.
pub(super) fn form<T: Template>(headers: &HeaderMap, page: impl FnOnce(String) -> T) -> Response {
    let uuid_shaped =
        |value: &&str| value.len() == 36 && value.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    let csrf = messages::cookie(headers, CSRF_COOKIE).filter(uuid_shaped).map_or_else(random::uuid, str::to_owned);
    messages::set_cookie(render(StatusCode::OK, &page(csrf.clone())), CSRF_COOKIE, &csrf, None)
}

/// What was filled into a form, if it is one of this browser's.
pub(super) fn submitted(headers: &HeaderMap, body: &[u8]) -> Option<Params> {
    let form = Params::parse(body);
    let genuine = messages::cookie(headers, CSRF_COOKIE).is_some_and(|cookie| form.get("_csrf") == Some(cookie));
    genuine.then_some(form)
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    let (status, html) = match page.render() {
        Ok(html) => (status, html),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
    };
    let headers = [
        (header::CONTENT_TYPE, "text/html;charset=UTF-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ];
    (status, headers, html).into_response()
}

pub(super) async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml")], include_str!("pages/icon.svg")).into_response()
}

pub(super) async fn stylesheet() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/css;charset=UTF-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, include_str!("pages/pool.css")).into_response()
}

pub(super) async fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Not found", "There is nothing at this address.")
}
