//! The page for a person where something went wrong: what is said, the ways on from there with the best one first, and
//! whom to ask. What operators have to know is in the log, under the reference that the page shows.

use super::Web;
use super::error::{describe, finish, log};
use super::layers::{self, RequestId};
use super::pages::{self, Contact, PageLink, ProblemPage, Tone};
use crate::config::Support;
use crate::domain::return_to::ReturnTo;
use crate::domain::transaction::{AuthorizationError, CallbackError, SignInIntent};
use crate::flow::Error;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use axum::response::{IntoResponse, Response};
use url::Url;

/// Characters of a provider's own text that are shown.
const FOREIGN_MAX: usize = 300;

/// What the person was about, which trying again repeats.
#[derive(Debug)]
pub(super) enum Attempted {
    /// A sign-in.
    SignIn(SignInIntent),
    /// A sign-out.
    SignOut,
    /// A look at our front page.
    Visit,
}

impl Attempted {
    /// A sign-in of which no more than this is known.
    pub(super) fn sign_in(web: &Web, return_to: Option<ReturnTo>) -> Self {
        Self::SignIn(SignInIntent::plain(return_to.unwrap_or_else(|| web.rp.return_to.choose(None))))
    }
}

/// A way on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextStep {
    Again,
    SignIn,
    AnotherAccount,
    /// The provider's page with all ways to sign in, where one was asked for.
    AnotherProvider,
    Back,
    SignOut,
}

/// The button to press, if there is one that may help, and the others.
fn ways(error: &Error) -> (Option<NextStep>, &'static [NextStep]) {
    match error {
        Error::Cancelled(_) => (Some(NextStep::Again), &[NextStep::AnotherProvider, NextStep::Back]),
        Error::Callback(CallbackError::Provider(refusal)) => match refusal.code.as_str() {
            "login_required" | "interaction_required" | "account_selection_required" | "consent_required" => {
                (Some(NextStep::SignIn), &[NextStep::Back])
            }
            "server_error" | "temporarily_unavailable" => (Some(NextStep::Again), &[NextStep::Back]),
            // The provider does not take what this service asks for: no person can mend that.
            "invalid_scope" | "invalid_client" | "unauthorized_client" | "unsupported_response_type" => {
                (None, &[NextStep::Again, NextStep::Back])
            }
            _ => (Some(NextStep::AnotherAccount), &[NextStep::Again]),
        },
        Error::Denied(_) | Error::NotAdmitted(_) => (Some(NextStep::AnotherAccount), &[NextStep::Again]),
        Error::Callback(_)
        | Error::UnknownSignIn
        | Error::Provider(_)
        | Error::NotRenewed(_)
        | Error::Store(_)
        | Error::Timeout => (Some(NextStep::Again), &[]),
        Error::Anonymous | Error::InvalidCredentials(_) | Error::SessionEnded | Error::AmbiguousSession => {
            (Some(NextStep::SignIn), &[])
        }
        Error::Origin => (Some(NextStep::SignOut), &[]),
        Error::RedirectLoop(_) => (None, &[NextStep::Again]),
        Error::BadForwardedHeaders(_)
        | Error::Untrusted(_)
        | Error::InvalidRequirement(_)
        | Error::NoSuchSession
        | Error::NotOffered(_)
        | Error::NotWritable(_)
        | Error::Body(_)
        | Error::RejectedByProvider(_)
        | Error::NoCredentials { .. }
        | Error::LogoutToken(_) => (None, &[]),
    }
}

fn tone(error: &Error) -> Tone {
    match error {
        Error::Cancelled(_) => Tone::Back,
        Error::Callback(CallbackError::Expired) => Tone::Late,
        _ => Tone::Bad,
    }
}

/// A page for a person.
pub(super) fn page(web: &Web, error: &Error, id: &RequestId, attempt: &Attempted) -> Response {
    page_under("", web, error, id, attempt)
}

/// The same where a proxy shows it under the address of its site: everything in it leads to us.
pub(super) fn page_elsewhere(web: &Web, error: &Error, id: &RequestId, page: Option<ReturnTo>) -> Response {
    let us = web.public_url.as_str();
    let mut response = page_under(us, web, error, id, &Attempted::sign_in(web, page));
    let csp = format!(
        "default-src 'none'; style-src {us}; img-src {us}; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"
    );
    if let Ok(csp) = HeaderValue::from_str(&csp) {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, csp);
    }
    response
}

fn page_under(origin: &str, web: &Web, error: &Error, id: &RequestId, attempt: &Attempted) -> Response {
    let said = describe(error);
    log(error, &said);
    let foreign = match error {
        Error::Callback(CallbackError::Provider(refusal)) | Error::Cancelled(refusal) => foreign(refusal),
        _ => None,
    };
    let (first, others) = ways(error);
    let link = |way| link(way, web, error, attempt).map(|link| link.under(origin));
    let page = ProblemPage {
        origin,
        tone: tone(error),
        title: said.title,
        words: said.words,
        foreign,
        first: first.and_then(link),
        others: others.iter().copied().filter_map(link).collect(),
        access: matches!(error, Error::Denied(_) | Error::NotAdmitted(_)),
        support: web.support.as_ref().map(|support| contact(support, id)),
        reference: id.as_str(),
    };
    let mut response = (said.status, pages::render(&page)).into_response();
    finish(&mut response, &said);
    response
}

/// The provider's own text, unless it only repeats its code.
fn foreign(refusal: &AuthorizationError) -> Option<String> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let text = refusal.description.as_deref()?;
    let shown = text.chars().filter(|c| !c.is_control()).take(FOREIGN_MAX).collect();
    (letters(text) != letters(&refusal.code)).then_some(shown)
}

/// `None` where it leads nowhere from this attempt.
fn link(way: NextStep, web: &Web, error: &Error, attempt: &Attempted) -> Option<PageLink> {
    let known = match attempt {
        Attempted::SignIn(intent) => Some(intent),
        Attempted::SignOut | Attempted::Visit => None,
    };
    let intent = known.cloned().unwrap_or_else(|| SignInIntent::plain(web.rp.return_to.choose(None)));
    let (words, href) = match way {
        // There is a session; a sign-in would only lead here again.
        NextStep::Again if matches!(error, Error::Denied(_)) => ("Try again", intent.return_to.as_str().to_owned()),
        NextStep::Again => match attempt {
            Attempted::SignIn(_) => ("Try again", pages::intent_link(&intent)),
            Attempted::SignOut => ("Try again", "/auth/signout".to_owned()),
            Attempted::Visit => ("Try again", "/".to_owned()),
        },
        NextStep::SignIn => {
            // One of several sessions is alive and would lead here again.
            let prompt = matches!(error, Error::AmbiguousSession).then(|| "login".to_owned());
            ("Sign in", pages::intent_link(&SignInIntent { prompt, ..intent }))
        }
        NextStep::AnotherAccount => {
            let prompt = Some(web.rp.provider.account_choice().to_owned());
            ("Use another account", pages::intent_link(&SignInIntent { prompt, provider: None, ..intent }))
        }
        NextStep::AnotherProvider => {
            intent.provider.as_ref()?;
            ("Sign in another way", pages::intent_link(&SignInIntent { provider: None, ..intent }))
        }
        NextStep::Back => {
            let target = known?.return_to.as_str();
            let host = Url::parse(target).ok()?.host_str()?.to_owned();
            return Some(PageLink { words: format!("Back to {host}"), href: target.to_owned() });
        }
        NextStep::SignOut => ("Sign out", "/auth/signout".to_owned()),
    };
    Some(PageLink { words: words.to_owned(), href })
}

fn contact(support: &Support, id: &RequestId) -> Contact {
    match support {
        Support::Mail(address) => {
            Contact { words: address.clone(), href: format!("mailto:{address}?subject=Reference%20{}", id.as_str()) }
        }
        Support::Page(url) => {
            Contact { words: url.host_str().unwrap_or_default().to_owned(), href: url.as_str().to_owned() }
        }
    }
}

/// The same for an address where there is nothing (404), or nothing of that kind (405).
pub(super) async fn nothing(web: &Web, status: StatusCode, id: &RequestId) -> Response {
    let page = ProblemPage {
        origin: "",
        tone: Tone::Nothing,
        title: if status == StatusCode::NOT_FOUND { "There is nothing here" } else { "This is no page" },
        words: match status {
            StatusCode::NOT_FOUND => "The address may be mistyped, or it was only good for a moment.",
            _ => "This address is for programs, or for a form that was sent before. Nothing was changed.",
        },
        foreign: None,
        first: Some(PageLink { words: "Start page".to_owned(), href: "/".to_owned() }),
        others: vec![],
        access: false,
        support: web.support.as_ref().map(|support| contact(support, id)),
        reference: id.as_str(),
    };
    layers::private((status, pages::render(&page)).into_response()).await
}
