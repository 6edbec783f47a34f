//! The forms of the account page. Each is sent by our own page, with the token of the session; what is dangerous needs an
//! authentication of the last five minutes, and what cannot be undone a typed word.

use super::Web;
use super::account_form_pages::{AccountForm, FormRequest, Typed};
use super::account_page::{ACCOUNT, attempt, signed_in};
use super::browser::{forget, redirect, with};
use super::form::Form;
use super::form_token::is_form_token;
use super::language::PageRequest;
use super::openapi::AccountPages;
use super::origin::{FormOrigin, RequestOrigin};
use super::pages;
use super::problem_page::{self, Attempted};
use super::refusal::Refusal;
use super::session_layer::BrowserSession;
use crate::flow::{Address, Error, RecentSession};
use crate::provider::AccountRefusal;
use crate::words::Text;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::Response;
use std::collections::BTreeMap;
use std::sync::Arc;
use tower_sessions::Session;

/// A form of the account page
///
/// `email`, `phone`, `authenticator`, `remove-authenticator`, `passkey`, `remove-passkey`, `delete`: what `account.offers`
/// names.
#[utoipa::path(
    get, path = "/auth/account/{form}", operation_id = "accountForm", tag = "browser", security(("session" = [])),
    params(("form" = String, Path, description = "Which form."),
        ("id" = Option<String>, Query, description = "Of `remove-passkey`: which one.")),
    responses(
        (status = 200, description = "The page.", body = String, content_type = "text/html"),
        (status = 302, description = "To the sign-in, where an authentication is missing or too old."),
        AccountPages,
    )
)]
pub(super) async fn form(
    State(web): State<Arc<Web>>,
    segment: Result<Path<String>, PathRejection>,
    visitor: BrowserSession,
    RawQuery(query): RawQuery,
    page: PageRequest,
) -> Response {
    let form = segment.ok().and_then(|Path(segment)| AccountForm::parse(&segment)).filter(|form| form.has_page());
    let Some(form) = form else {
        return problem_page::nothing(&web, StatusCode::NOT_FOUND, &page).await;
    };
    let opened = match signed_in(&web, visitor, &page, &form.path()) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let request = FormRequest { web: &web, page: &page, opened: &opened, form };
    let recent = match request.recent() {
        Ok(recent) => recent,
        Err(Error::InsufficientAuthentication(needed)) => {
            let back = web.rp.rules().return_to.choose(Some(&web.public_url.join(&form.path())));
            return redirect(StatusCode::FOUND, &pages::step_up_link(Some(&back), &needed));
        }
        Err(error) => return problem_page::page(&web, error, &page, &attempt(&web, &form.path())),
    };
    let query = query.unwrap_or_default();
    let id =
        url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "id").map(|(_, id)| id.into_owned());
    request.begin(&recent, Typed::default(), id.as_deref().unwrap_or_default()).await
}

/// Send a form of the account page
///
/// From our own page only, with the token that it holds.
#[utoipa::path(
    post, path = "/auth/account/{form}", operation_id = "sendAccountForm", tag = "browser", security(("session" = [])),
    params(("form" = String, Path, description = "Which form; also `profile` and `session`.")),
    request_body(content = BTreeMap<String, String>, content_type = "application/x-www-form-urlencoded",
        description = "The fields of the page's form, and its `token`."),
    responses(
        (status = 200, description = "The next page of the form, or that the account is deleted.", body = String,
            content_type = "text/html"),
        (status = 303, description = "It is done: to the account page."),
        AccountPages,
    )
)]
pub(super) async fn send_form(
    State(web): State<Arc<Web>>,
    segment: Result<Path<String>, PathRejection>,
    visitor: BrowserSession,
    session: Session,
    page: PageRequest,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    // A page that answers a form cannot be asked for again.
    let page = page.once();
    let Some(form) = segment.ok().and_then(|Path(segment)| AccountForm::parse(&segment)) else {
        return problem_page::nothing(&web, StatusCode::NOT_FOUND, &page).await;
    };
    let headers = visitor.headers.clone();
    if RequestOrigin::of(&web, &headers).of_form() != FormOrigin::OwnPage {
        return problem_page::page(&web, Refusal::Origin, &page, &Attempted::Visit);
    }
    let back = if form.has_page() { form.path() } else { ACCOUNT.to_owned() };
    let unreadable = |what| problem_page::page(&web, Refusal::Body(what), &page, &Attempted::Visit);
    let Ok(body) = body else { return unreadable("the body is too large, or incomplete") };
    let mut sent = match Form::read(&headers, &body) {
        Ok(sent) => sent,
        Err(wrong) => return unreadable(wrong),
    };
    let opened = match signed_in(&web, visitor, &page, &back) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let request = FormRequest { web: &web, page: &page, opened: &opened, form };
    let has_token = is_form_token(&web.ring, &opened, &sent.take("token").unwrap_or_default());
    if !form.has_page() {
        // Nothing else can show what was typed once more.
        return match has_token {
            true => request.send_plain(sent).await,
            false => problem_page::page(&web, Refusal::Origin, &page, &Attempted::Visit),
        };
    }
    let recent = match request.recent() {
        Ok(recent) => recent,
        Err(error) => return problem_page::page(&web, error, &page, &request.step_up()),
    };
    let words = web.languages.words(page.language);
    if !has_token {
        let typed = Typed { error: Some(&words.form_expired), ..Typed::default() };
        return request.begin(&recent, typed, &sent.take("id").unwrap_or_default()).await;
    }
    match form {
        AccountForm::Delete if request.is_word(&mut sent) => request.delete(&recent, &session, &headers).await,
        _ => request.send(&recent, sent).await,
    }
}

impl FormRequest<'_> {
    /// The session, if the form is offered to its user, and the authentication is recent enough for it.
    fn recent(&self) -> Result<RecentSession, Error> {
        if let Some(offer) = self.form.offer() {
            self.web.rp.require_offer(self.opened, offer)?;
        }
        self.web.rp.recent(self.opened)
    }

    /// A sign-in that leads back to the form, with what is needed for it.
    fn step_up(&self) -> Attempted {
        let attempt = attempt(self.web, &self.form.path());
        match (attempt, self.recent()) {
            (Attempted::SignIn(mut intent), Err(Error::InsufficientAuthentication(needed))) => {
                intent.authentication = needed;
                Attempted::SignIn(intent)
            }
            (attempt, _) => attempt,
        }
    }

    fn done(done: &str) -> Response {
        redirect(StatusCode::SEE_OTHER, &format!("{ACCOUNT}?done={done}"))
    }

    fn refused(&self, refusal: impl Into<Refusal>) -> Response {
        problem_page::page(self.web, refusal, self.page, &attempt(self.web, ACCOUNT))
    }

    /// Whether the word that was asked for was typed.
    fn is_word(&self, sent: &mut Form<'_>) -> bool {
        let typed = sent.take("word").unwrap_or_default();
        typed.trim().to_lowercase() == self.words().confirm_word.to_lowercase()
    }

    /// The forms on the account page itself.
    async fn send_plain(&self, mut sent: Form<'_>) -> Response {
        let rp = &self.web.rp;
        if self.form == AccountForm::Session {
            let handle = sent.take("handle").unwrap_or_default();
            return match rp.end_mine(self.opened, &handle).await {
                Ok(_) => Self::done("session"),
                Err(error) => self.refused(error),
            };
        }
        let user = match rp.account_user(self.opened).await {
            Ok(user) => user,
            Err(error) => return self.refused(error),
        };
        let changed = |name: &String| {
            let value = sent.take(name)?.trim().to_owned();
            (user.attributes.get(name).map_or("", String::as_str) != value).then(|| (name.clone(), value))
        };
        let change: BTreeMap<_, _> = rp.writable().iter().filter_map(changed).collect();
        if change.is_empty() {
            return Self::done("saved");
        }
        match rp.account(self.opened, &change).await {
            Ok(_) => Self::done("saved"),
            Err(error) => self.refused(error),
        }
    }

    /// The first page of a form.
    async fn begin(&self, recent: &RecentSession, typed: Typed<'_>, id: &str) -> Response {
        let words = self.words();
        match self.form {
            AccountForm::Address(address) => self.address_page(address, typed),
            AccountForm::Authenticator => self.authenticator_page(recent, typed).await,
            AccountForm::Passkey => match self.web.rp.begin_passkey(recent).await {
                Ok(options) => self.passkey_page(options.to_string(), typed),
                Err(error) => self.refused(error),
            },
            AccountForm::RemoveAuthenticator => self.word_page(
                &words.authenticator_remove_title,
                &words.authenticator_remove_text,
                &words.remove,
                typed,
                "",
            ),
            AccountForm::RemovePasskey => {
                self.word_page(&words.passkey_remove_title, &words.passkey_remove_text, &words.remove, typed, id)
            }
            AccountForm::Delete => {
                self.word_page(&words.delete_account, &words.delete_text, &words.delete_account, typed, "")
            }
            AccountForm::Profile | AccountForm::Session => redirect(StatusCode::SEE_OTHER, ACCOUNT),
        }
    }

    async fn send(&self, recent: &RecentSession, mut sent: Form<'_>) -> Response {
        let (rp, words) = (&self.web.rp, self.words());
        let code = sent.take("code").unwrap_or_default().replace(' ', "");
        let id = sent.take("id").unwrap_or_default().into_owned();
        if self.form.wants_word() && !self.is_word(&mut sent) {
            return self.begin(recent, Typed { error: Some(&words.wrong_word), ..Typed::default() }, &id).await;
        }
        let done = match self.form {
            AccountForm::Address(address) => match sent.take("sent_to") {
                Some(sent_to) => {
                    let confirmed = rp.confirm_address(recent, address, &code).await;
                    return self.after(confirmed, |typed| self.code_page(address, &sent_to, typed));
                }
                None => return self.send_address(recent, address, &sent.take("value").unwrap_or_default()).await,
            },
            AccountForm::Authenticator => {
                let confirmed = rp.confirm_authenticator_app(recent, &code).await;
                let secret = sent.take("secret").unwrap_or_default();
                return self.after(confirmed, |typed| self.app_page(&secret, typed));
            }
            AccountForm::Passkey => match serde_json::from_str(&sent.take("credential").unwrap_or_default()) {
                Ok(credential) => rp.confirm_passkey(recent, &credential).await,
                Err(_) => return self.refused(Refusal::Body("the credential is not JSON")),
            },
            AccountForm::RemoveAuthenticator => rp.remove_authenticator_app(recent).await,
            AccountForm::RemovePasskey => rp.remove_passkey(recent, &id).await,
            AccountForm::Delete | AccountForm::Profile | AccountForm::Session => Ok(()),
        };
        match done {
            Ok(()) => Self::done("saved"),
            Err(error) => self.refused(error),
        }
    }

    async fn send_address(&self, recent: &RecentSession, address: Address, value: &str) -> Response {
        let value = match address {
            Address::Email => value.trim().to_owned(),
            // E.164.
            Address::PhoneNumber => value.chars().filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '/')).collect(),
        };
        match self.web.rp.change_address(recent, address, &value).await {
            Ok(Some(sent_to)) => self.code_page(address, &sent_to, Typed::default()),
            // The pool sends no codes.
            Ok(None) => Self::done("saved"),
            Err(error) => match self.sentence(&error) {
                Some(sentence) => self.address_page(address, Typed { value: &value, error: Some(sentence) }),
                None => self.refused(error),
            },
        }
    }

    /// The account page, or once more the page with what is wrong.
    fn after(&self, done: Result<(), Error>, page: impl FnOnce(Typed<'_>) -> Response) -> Response {
        match done {
            Ok(()) => Self::done("saved"),
            Err(error) => match self.sentence(&error) {
                Some(sentence) => page(Typed { error: Some(sentence), ..Typed::default() }),
                None => self.refused(error),
            },
        }
    }

    /// What is wrong with a form, where typing something else may help.
    fn sentence(&self, error: &Error) -> Option<&Text> {
        let words = self.words();
        let Error::RejectedByProvider(code) = error else { return None };
        Some(match AccountRefusal::of(code) {
            AccountRefusal::WrongCode => &words.wrong_code,
            AccountRefusal::ExpiredCode => &words.expired_code,
            AccountRefusal::TooManyAttempts => &words.too_many_attempts,
            AccountRefusal::AddressTaken => &words.address_taken,
            AccountRefusal::Value => &words.value_not_accepted,
        })
    }

    async fn delete(&self, recent: &RecentSession, session: &Session, headers: &HeaderMap) -> Response {
        if let Err(error) = self.web.rp.delete_account(recent).await {
            return self.refused(error);
        }
        let mut out = HeaderMap::new();
        forget(self.web, session, headers, &mut out).await;
        with(self.deleted_page(), out)
    }
}
