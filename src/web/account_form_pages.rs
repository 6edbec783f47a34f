//! The pages with one form each that the account page leads to.

use super::Web;
use super::account_page::{ACCOUNT, attempt};
use super::browser::show;
use super::form_token::form_token;
use super::language::PageRequest;
use super::pages::{self, PageFrame, QrCode};
use super::problem_page;
use super::security_headers::allow_own_script;
use crate::config::{AccountOffer, Support};
use crate::flow::{Address, RecentSession};
use crate::store::OpenedSession;
use crate::words::{Text, Words, fill};
use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::ExposeSecret;
use std::borrow::Cow;
use std::sync::Arc;

/// A form, by the last segment of its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountForm {
    Profile,
    Session,
    Address(Address),
    Authenticator,
    RemoveAuthenticator,
    Passkey,
    RemovePasskey,
    Delete,
}

impl AccountForm {
    const ALL: [(&'static str, Self); 9] = [
        ("profile", Self::Profile),
        ("session", Self::Session),
        ("email", Self::Address(Address::Email)),
        ("phone", Self::Address(Address::PhoneNumber)),
        ("authenticator", Self::Authenticator),
        ("remove-authenticator", Self::RemoveAuthenticator),
        ("passkey", Self::Passkey),
        ("remove-passkey", Self::RemovePasskey),
        ("delete", Self::Delete),
    ];

    pub(super) fn parse(segment: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == segment).map(|(_, form)| form)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, form)| *form == self).map_or("", |(name, _)| name)
    }

    pub(super) fn path(self) -> String {
        format!("{ACCOUNT}/{}", self.name())
    }

    /// Whether it has a page of its own.
    pub(super) fn has_page(self) -> bool {
        !matches!(self, Self::Profile | Self::Session)
    }

    /// What has to be offered for it.
    pub(super) fn offer(self) -> Option<AccountOffer> {
        match self {
            Self::Profile | Self::Session => None,
            Self::Address(address) => Some(address.offer()),
            Self::Authenticator | Self::RemoveAuthenticator => Some(AccountOffer::AuthenticatorApp),
            Self::Passkey | Self::RemovePasskey => Some(AccountOffer::Passkeys),
            Self::Delete => Some(AccountOffer::Deletion),
        }
    }

    /// Whether it can not be undone.
    pub(super) fn wants_word(self) -> bool {
        matches!(self, Self::RemoveAuthenticator | Self::RemovePasskey | Self::Delete)
    }
}

/// A page with one form.
#[derive(Template)]
#[template(path = "account_form.html", config = "src/web/askama.toml")]
struct AccountFormPage<'a> {
    words: &'a Words,
    frame: PageFrame<'a>,
    token: String,
    form: &'static str,
    title: &'a str,
    texts: Vec<Cow<'a, str>>,
    error: Option<&'a str>,
    hidden: Vec<(&'static str, String)>,
    field: Option<TypedField<'a>>,
    app: Option<AppSecret>,
    passkey_options: Option<String>,
    /// Whether another code can be asked for.
    resend: bool,
    button: &'a str,
    danger: bool,
}

/// What is typed.
struct TypedField<'a> {
    label: Cow<'a, str>,
    name: &'static str,
    value: String,
    kind: &'static str,
    autocomplete: &'static str,
    numeric: bool,
    hint: Option<&'a str>,
}

/// The secret of an authenticator app, to scan and to type.
struct AppSecret {
    secret: String,
    size: usize,
    path: String,
    /// Whom to ask without the app.
    lost: String,
}

#[derive(Template)]
#[template(path = "account_deleted.html", config = "src/web/askama.toml")]
struct DeletedPage<'a> {
    words: &'a Words,
    frame: PageFrame<'a>,
}

/// What a page with a form needs beside the form.
pub(super) struct FormRequest<'a> {
    pub(super) web: &'a Web,
    pub(super) page: &'a PageRequest,
    pub(super) opened: &'a Arc<OpenedSession>,
    pub(super) form: AccountForm,
}

/// What was typed, and what is wrong with it.
#[derive(Default)]
pub(super) struct Typed<'a> {
    pub(super) value: &'a str,
    pub(super) error: Option<&'a Text>,
}

impl FormRequest<'_> {
    pub(super) fn words(&self) -> &Words {
        self.web.languages.words(self.page.language)
    }

    /// The page that says that the account is gone.
    pub(super) fn deleted_page(&self) -> Response {
        show(self.web, self.page, |words, frame| pages::render(&DeletedPage { words, frame }))
    }

    /// A page with nothing but a title and a button.
    fn plain<'a>(
        &self,
        words: &'a Words,
        frame: PageFrame<'a>,
        title: &'a str,
        typed: &Typed<'a>,
    ) -> AccountFormPage<'a> {
        AccountFormPage {
            words,
            frame,
            token: form_token(&self.web.ring, self.opened),
            form: self.form.name(),
            title,
            texts: Vec::new(),
            error: typed.error.map(|error| &**error),
            hidden: Vec::new(),
            field: None,
            app: None,
            passkey_options: None,
            resend: false,
            button: &words.confirm,
            danger: false,
        }
    }

    fn show(&self, is_wrong: bool, render: impl FnOnce(&Words, PageFrame<'_>) -> Response) -> Response {
        let response = show(self.web, self.page, render);
        if is_wrong { (StatusCode::BAD_REQUEST, response).into_response() } else { response }
    }

    pub(super) fn address_page(&self, address: Address, typed: Typed<'_>) -> Response {
        self.show(typed.error.is_some(), |words, frame| {
            let (title, label, kind, autocomplete) = match address {
                Address::Email => (&words.change_email_title, &words.new_email_label, "email", "email"),
                Address::PhoneNumber => (&words.change_phone_title, &words.new_phone_label, "tel", "tel"),
            };
            let hint = (address == Address::PhoneNumber).then_some(&*words.phone_hint);
            let (name, value, numeric) = ("value", typed.value.to_owned(), false);
            let field = TypedField { label: label.clone(), name, value, kind, autocomplete, numeric, hint };
            let texts = vec![words.code_will_come.clone()];
            let page = self.plain(words, frame, title, &typed);
            pages::render(&AccountFormPage { field: Some(field), texts, button: &words.send_code, ..page })
        })
    }

    pub(super) fn code_page(&self, address: Address, sent_to: &str, typed: Typed<'_>) -> Response {
        self.show(typed.error.is_some(), |words, frame| {
            let title = match address {
                Address::Email => &words.change_email_title,
                Address::PhoneNumber => &words.change_phone_title,
            };
            // The pool's own text for it, and what comes back from the page: no more than a few characters.
            let sent_to: String = sent_to.chars().take(100).collect();
            let texts = vec![fill(&words.code_sent, "address", &sent_to).into()];
            let hidden = vec![("sent_to", sent_to)];
            let page = self.plain(words, frame, title, &typed);
            pages::render(&AccountFormPage { field: Some(code_field(words)), texts, hidden, resend: true, ..page })
        })
    }

    pub(super) async fn authenticator_page(&self, recent: &RecentSession, typed: Typed<'_>) -> Response {
        match self.web.rp.begin_authenticator_app(recent).await {
            Ok(secret) => self.app_page(secret.expose_secret(), typed),
            Err(error) => problem_page::page(self.web, error, self.page, &attempt(self.web, ACCOUNT)),
        }
    }

    pub(super) fn app_page(&self, secret: &str, typed: Typed<'_>) -> Response {
        // What comes back from the page is shown to the person who sent it, and is no other text than Base32.
        let is_secret = secret.len() <= 128 && secret.bytes().all(|b| b.is_ascii_alphanumeric());
        let secret = if is_secret { secret } else { "" };
        let issuer = self.web.brand.name.as_deref().unwrap_or(self.web.public_url.host());
        let QrCode { size, path } = QrCode::of_app(issuer, &pages::display_name(self.opened), secret);
        self.show(typed.error.is_some(), |words, frame| {
            let grouped = secret.as_bytes().chunks(4).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
            let support = self.web.brand.support.as_ref().map(Support::name);
            let lost = fill(&words.authenticator_lost, "contact", support.unwrap_or(&words.operators));
            let app = Some(AppSecret { secret: grouped, size, path, lost });
            let texts = vec![words.authenticator_scan.clone()];
            let hidden = vec![("secret", secret.to_owned())];
            let page = self.plain(words, frame, &words.authenticator_set_up_title, &typed);
            pages::render(&AccountFormPage { field: Some(code_field(words)), app, texts, hidden, ..page })
        })
    }

    pub(super) fn passkey_page(&self, options: String, typed: Typed<'_>) -> Response {
        let mut response = self.show(typed.error.is_some(), |words, frame| {
            let texts = vec![words.passkeys_text.clone()];
            let page = self.plain(words, frame, &words.add_passkey, &typed);
            pages::render(&AccountFormPage {
                passkey_options: Some(options),
                texts,
                button: &words.add_passkey,
                ..page
            })
        });
        allow_own_script(&mut response);
        response
    }

    pub(super) fn word_page(&self, title: &str, text: &Text, button: &str, typed: Typed<'_>, id: &str) -> Response {
        self.show(typed.error.is_some(), |words, frame| {
            let label = fill(&words.type_to_confirm, "word", &words.confirm_word).into();
            let (name, value, kind, autocomplete, numeric) = ("word", String::new(), "text", "off", false);
            let field = TypedField { label, name, value, kind, autocomplete, numeric, hint: None };
            let hidden = if id.is_empty() { vec![] } else { vec![("id", id.to_owned())] };
            let page = self.plain(words, frame, title, &typed);
            let texts = vec![text.clone()];
            pages::render(&AccountFormPage { field: Some(field), texts, hidden, button, danger: true, ..page })
        })
    }
}

fn code_field(words: &Words) -> TypedField<'_> {
    let (name, value, kind, autocomplete) = ("code", String::new(), "text", "one-time-code");
    TypedField { label: words.code_label.clone(), name, value, kind, autocomplete, numeric: true, hint: None }
}
