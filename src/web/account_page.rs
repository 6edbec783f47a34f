//! `/auth/account`: the page where people see their account, and what it leads to with one click.

use super::browser::{self, show};
use super::form_token::form_token;
use super::language::PageRequest;
use super::openapi::{AccountExportProblems, AccountPages};
use super::pages::format::{ago, day, device};
use super::pages::{self, PageFrame};
use super::problem_page::{self, Attempted};
use super::request_id::RequestId;
use super::security_headers::allow_image_of;
use super::session_layer::BrowserSession;
use super::{Web, api, error};
use crate::config::AccountOffer;
use crate::domain::sign_in::SignInIntent;
use crate::domain::user::{NATIVE, User};
use crate::flow::{AccountExport, Address, Error, OwnSession, Passkey};
use crate::store::OpenedSession;
use crate::words::{Words, fill};
use askama::Template;
use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, HeaderValue};
use axum::response::{IntoResponse, Response};
use std::sync::Arc;
use url::Url;

/// The address of the page.
pub(super) const ACCOUNT: &str = "/auth/account";

/// `GET /auth/account`
#[derive(Template)]
#[template(path = "account.html", config = "src/web/askama.toml")]
struct AccountPage<'a> {
    words: &'a Words,
    frame: PageFrame<'a>,
    token: String,
    name: String,
    initial: String,
    picture: Option<String>,
    notice: Option<&'a str>,
    /// Whether the provider could be asked for the account.
    has_account: bool,
    details: Vec<Detail<'a>>,
    addresses: Vec<AddressRow<'a>>,
    password: Option<PasswordRow>,
    authenticator_app: Option<bool>,
    passkeys: Option<Vec<PasskeyRow>>,
    provider_page: Option<&'a str>,
    providers: Vec<String>,
    sessions: Vec<SessionRow>,
    may_delete: bool,
}

/// An attribute that people may change.
struct Detail<'a> {
    name: &'a str,
    label: &'a str,
    value: String,
    autocomplete: &'static str,
}

struct AddressRow<'a> {
    form: &'static str,
    title: &'a str,
    value: String,
    verified: bool,
    may_change: bool,
}

/// Where the password is: a link, or a sentence.
struct PasswordRow {
    link: Option<String>,
    text: String,
}

struct PasskeyRow {
    id: String,
    name: String,
    added: Option<String>,
}

struct SessionRow {
    handle: String,
    current: bool,
    device: String,
    agent: String,
    address: String,
    provider: Option<String>,
    signed_in: String,
    last_used: String,
}

/// My account
///
/// Name and addresses, ways to sign in, sessions on all devices, an export, and deletion: what the provider and
/// `account.offers` allow.
#[utoipa::path(
    get, path = "/auth/account", operation_id = "account", tag = "browser", security(("session" = [])),
    params(("done" = Option<String>, Query, description = "What was done just now, which the page says."),
        ("lang" = Option<String>, Query, description = "The language of the page (BCP 47).")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 302, description = "To the sign-in, and from there back to the page."),
        AccountPages,
    )
)]
pub(super) async fn account(
    State(web): State<Arc<Web>>,
    visitor: BrowserSession,
    RawQuery(query): RawQuery,
    page: PageRequest,
) -> Response {
    let opened = match signed_in(&web, visitor, &page, ACCOUNT) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let read = async {
        let user = match web.rp.has_account(&opened) {
            true => Some(web.rp.account_user(&opened).await?),
            false => None,
        };
        let passkeys = match user.as_ref().is_some_and(User::is_native) {
            true => passkeys(&web, &opened).await?,
            // The pool has none of people who sign in elsewhere.
            false => None,
        };
        Ok::<_, Error>((user, passkeys, web.rp.my_sessions(&opened).await?))
    };
    let (user, passkeys, sessions) = match read.await {
        Ok(read) => read,
        Err(error) => return problem_page::page(&web, error, &page, &attempt(&web, ACCOUNT)),
    };
    let query = query.unwrap_or_default();
    let done = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "done").map(|(_, done)| done);
    let picture = user.as_ref().and_then(|user| user.attribute("picture")).and_then(https_url);
    let origin = picture.as_ref().map(|picture| picture.origin().ascii_serialization());
    let mut response = show(&web, &page, |words, frame| {
        let notice = match done.as_deref() {
            Some("saved") => Some(&*words.saved),
            Some("session") => Some(&*words.session_was_ended),
            _ => None,
        };
        pages::render(&AccountPage {
            notice,
            picture: picture.map(String::from),
            passkeys: passkeys.map(|list| list.into_iter().map(|passkey| passkey_row(words, passkey)).collect()),
            sessions: sessions.into_iter().map(|session| session_row(&web, words, session)).collect(),
            ..account_page(&web, words, frame, &opened, user.as_ref())
        })
    });
    if let Some(origin) = origin {
        allow_image_of(&mut response, &origin);
    }
    response
}

/// The passkeys, where they are offered. A pool that has them switched off takes nothing else of the page away.
async fn passkeys(web: &Web, opened: &Arc<OpenedSession>) -> Result<Option<Vec<Passkey>>, Error> {
    if !web.rp.offers(opened, AccountOffer::Passkeys) {
        return Ok(None);
    }
    match web.rp.passkeys(opened).await {
        Err(Error::RejectedByProvider(code)) => {
            tracing::warn!(%code, "passkeys not listed: account.offers names them, and the user pool refuses");
            Ok(None)
        }
        listed => listed.map(Some),
    }
}

/// What the page says of the person.
fn account_page<'a>(
    web: &'a Web,
    words: &'a Words,
    frame: PageFrame<'a>,
    opened: &OpenedSession,
    user: Option<&User>,
) -> AccountPage<'a> {
    let principal = opened.principal();
    let name = pages::display_name(opened);
    let is_native = user.is_some_and(User::is_native);
    let offers = |offer| web.rp.offers(opened, offer);
    let address = |form, title, address: Address, offer| {
        let value = match user {
            Some(user) => user.attribute(address.attribute()).map(str::to_owned),
            None => principal.email.clone().filter(|_| address == Address::Email),
        };
        let verified = match user {
            Some(user) => user.attribute(&format!("{}_verified", address.attribute())) == Some("true"),
            None => principal.email_verified,
        };
        AddressRow { form, title, value: value.unwrap_or_default(), verified, may_change: is_native && offers(offer) }
    };
    let addresses = [
        address("email", &words.email_label, Address::Email, AccountOffer::Email),
        address("phone", &words.phone_label, Address::PhoneNumber, AccountOffer::PhoneNumber),
    ];
    let writable = user.map_or(&[][..], |_| web.rp.writable());
    AccountPage {
        words,
        frame,
        token: form_token(&web.ring, opened),
        initial: name.chars().next().map(|c| c.to_uppercase().to_string()).unwrap_or_default(),
        name,
        picture: None,
        notice: None,
        has_account: user.is_some(),
        details: writable.iter().map(|attribute| detail(words, attribute, user)).collect(),
        // No empty row that leads nowhere.
        addresses: addresses.into_iter().filter(|row| !row.value.is_empty() || row.may_change).collect(),
        password: user.map(|user| password_row(web, words, user)),
        authenticator_app: user
            .filter(|_| is_native && offers(AccountOffer::AuthenticatorApp))
            .map(User::has_authenticator_app),
        passkeys: None,
        provider_page: web.provider_page.as_deref(),
        providers: user.map(|user| user.identities.iter().map(|i| i.provider.clone()).collect()).unwrap_or_default(),
        sessions: Vec::new(),
        may_delete: offers(AccountOffer::Deletion),
    }
}

fn detail<'a>(words: &'a Words, attribute: &'a str, user: Option<&User>) -> Detail<'a> {
    let value = user.and_then(|user| user.attribute(attribute)).unwrap_or_default().to_owned();
    let (label, autocomplete): (&str, _) = match attribute {
        "name" => (&words.name_label, "name"),
        "given_name" => (&words.given_name_label, "given-name"),
        "family_name" => (&words.family_name_label, "family-name"),
        "middle_name" => (&words.middle_name_label, "additional-name"),
        "nickname" => (&words.nickname_label, "nickname"),
        "preferred_username" => (&words.preferred_username_label, "username"),
        "gender" => (&words.gender_label, "sex"),
        "birthdate" => (&words.birthdate_label, "bday"),
        "address" => (&words.address_label, "street-address"),
        "locale" => (&words.locale_label, "language"),
        "zoneinfo" => (&words.zoneinfo_label, "off"),
        "website" => (&words.website_label, "url"),
        "profile" => (&words.profile_label, "off"),
        "picture" => (&words.picture_label, "photo"),
        other => (other.strip_prefix("custom:").unwrap_or(other), "off"),
    };
    Detail { name: attribute, label, value, autocomplete }
}

fn password_row(web: &Web, words: &Words, user: &User) -> PasswordRow {
    match user.provider() {
        NATIVE => {
            let back = web.rp.rules().return_to.choose(Some(&web.public_url.join(ACCOUNT)));
            PasswordRow { link: Some(pages::password_link(&back)), text: String::new() }
        }
        provider => PasswordRow { link: None, text: fill(&words.password_elsewhere, "provider", provider) },
    }
}

fn passkey_row(words: &Words, passkey: Passkey) -> PasskeyRow {
    let added = passkey.created.map(|at| fill(&words.added_on, "date", &day(words, at)));
    let name = if passkey.name.is_empty() { passkey.id.chars().take(8).collect() } else { passkey.name };
    PasskeyRow { id: passkey.id, name, added }
}

fn session_row(web: &Web, words: &Words, session: OwnSession) -> SessionRow {
    let past = web.rp.clock.now().since(session.last_seen);
    SessionRow {
        handle: session.handle,
        current: session.current,
        device: device(words, &session.device.agent),
        agent: session.device.agent,
        address: session.device.address,
        provider: session.provider.filter(|provider| provider != NATIVE),
        signed_in: fill(&words.signed_in_on, "date", &day(words, session.started)),
        last_used: fill(&words.last_used, "time", &ago(words, past)),
    }
}

/// An address that a Content Security Policy can name: `*` is a host to URLs.
fn https_url(text: &str) -> Option<Url> {
    let is_plain = |host: &str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b));
    Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.host_str().is_some_and(is_plain))
}

/// The session of who asks for a page below `/auth/account`, or the way to the sign-in.
pub(super) fn signed_in(
    web: &Web,
    visitor: BrowserSession,
    page: &PageRequest,
    path: &str,
) -> Result<Arc<OpenedSession>, Box<Response>> {
    let opened = match visitor.session {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            let back = web.rp.rules().return_to.choose(Some(&web.public_url.join(path)));
            return Err(Box::new(browser::redirect(StatusCode::FOUND, &pages::sign_in_link(Some(&back), None))));
        }
        Err(error) => return Err(Box::new(problem_page::page(web, error, page, &attempt(web, path)))),
    };
    match web.rp.admit(&opened) {
        Ok(()) => Ok(opened),
        Err(error) => Err(Box::new(problem_page::page(web, error, page, &attempt(web, path)))),
    }
}

/// A visit that a sign-in leads back to.
pub(super) fn attempt(web: &Web, path: &str) -> Attempted {
    let back = web.rp.rules().return_to.choose(Some(&web.public_url.join(path)));
    Attempted::SignIn(SignInIntent::plain(back))
}

/// What is stored about me
///
/// A file: what the token says, what the user pool has, the sessions, and the row of the directory. No token is in it.
#[utoipa::path(
    get, path = "/auth/account/export", operation_id = "exportAccount", tag = "browser", security(("session" = [])),
    responses(
        (status = 200, description = "The file.", body = Object, content_type = "application/json",
            headers(("Content-Disposition" = String))),
        AccountExportProblems,
    )
)]
pub(super) async fn export(State(web): State<Arc<Web>>, visitor: BrowserSession, id: RequestId) -> Response {
    let opened = match visitor.session {
        Ok(Some(opened)) => opened,
        Ok(None) => return api::nobody(&web, &visitor.ids, &id),
        Err(error) => return api::unknown(&web, error, &id),
    };
    match web.rp.export_account(&opened).await {
        Ok(export) => file(&export),
        Err(error) => error::problem(error, &id, Some(web.public_url.join("/auth/signin"))),
    }
}

fn file(export: &AccountExport) -> Response {
    let name = HeaderValue::from_static("attachment; filename=\"account.json\"");
    ([(CONTENT_DISPOSITION, name)], Json(export)).into_response()
}
