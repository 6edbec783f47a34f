//! The page for a person where something went wrong: what is said, the ways on from there with the best one first, and
//! whom to ask. What operators have to know is in the log, under the reference that the page shows.

use super::Web;
use super::error::{describe, finish, log};
use super::language::{Language, PageRequest};
use super::message::message;
use super::pages::{self, PageFrame, PageLink, ProblemPage, Tone};
use super::problem::{AccessProblem, Problem, ServiceProblem, SessionProblem, SignInProblem};
use super::refusal::Refusal;
use super::request_id::RequestId;
use super::security_headers::{private, set_content_security_policy};
use crate::config::Support;
use crate::domain::return_to::ReturnTo;
use crate::domain::sign_in::SignInIntent;
use crate::domain::transaction::{AuthorizationError, CallbackError};
use crate::flow::Error;
use crate::words::{Words, fill};
use axum::http::StatusCode;
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
    /// What the browser's address bar says.
    ThisAddress,
}

impl Attempted {
    /// The language of what was attempted, or else of the request.
    fn language(&self, web: &Web, page: &PageRequest) -> Language {
        let asked = match self {
            Self::SignIn(intent) => intent.lang.as_deref(),
            Self::SignOut | Self::Visit | Self::ThisAddress => None,
        };
        asked.and_then(|tag| web.languages.of_tag(tag)).unwrap_or(page.language)
    }

    /// A sign-in of which no more than this is known.
    pub(super) fn sign_in(web: &Web, return_to: Option<ReturnTo>) -> Self {
        Self::SignIn(SignInIntent::plain(return_to.unwrap_or_else(|| web.rp.rules().return_to.choose(None))))
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
fn next_steps(problem: Problem) -> (Option<NextStep>, &'static [NextStep]) {
    match problem {
        Problem::SignIn(SignInProblem::Cancelled) => {
            (Some(NextStep::Again), &[NextStep::AnotherProvider, NextStep::Back])
        }
        Problem::SignIn(SignInProblem::InsufficientAuthentication) => {
            (Some(NextStep::Again), &[NextStep::AnotherAccount, NextStep::Back])
        }
        Problem::SignIn(SignInProblem::InteractionRequired) => (Some(NextStep::SignIn), &[NextStep::Back]),
        Problem::SignIn(SignInProblem::ProviderFault) => (Some(NextStep::Again), &[NextStep::Back]),
        // The provider does not accept what this service asks for: no person can mend that.
        Problem::SignIn(SignInProblem::ClientNotAccepted) => (None, &[NextStep::Again, NextStep::Back]),
        Problem::SignIn(SignInProblem::Refused | SignInProblem::AuthenticationRevoked)
        | Problem::Access(AccessProblem::Denied | AccessProblem::NotAdmitted) => {
            (Some(NextStep::AnotherAccount), &[NextStep::Again])
        }
        Problem::SignIn(SignInProblem::RedirectLoop) => (None, &[NextStep::Again]),
        Problem::Service(ServiceProblem::NoCredentials) => (None, &[]),
        Problem::SignIn(_) | Problem::Service(_) => (Some(NextStep::Again), &[]),
        Problem::Session(_) => (Some(NextStep::SignIn), &[]),
        Problem::Access(AccessProblem::OriginNotAllowed) => (Some(NextStep::SignOut), &[]),
        Problem::Access(_) | Problem::Request(_) => (None, &[]),
    }
}

fn tone(problem: Problem) -> Tone {
    match problem {
        Problem::SignIn(SignInProblem::Cancelled) => Tone::Back,
        Problem::SignIn(SignInProblem::Expired) => Tone::Late,
        _ => Tone::Bad,
    }
}

/// A page for a person.
pub(super) fn page(web: &Web, refusal: impl Into<Refusal>, page: &PageRequest, attempt: &Attempted) -> Response {
    page_under("", web, &refusal.into(), page, attempt)
}

/// The same where a proxy shows it under the address of its site: everything in it leads to us.
pub(super) fn page_elsewhere(web: &Web, refusal: &Refusal, page: &PageRequest, back: Option<ReturnTo>) -> Response {
    let us = web.public_url.as_str();
    let mut response = page_under(us, web, refusal, page, &Attempted::sign_in(web, back));
    set_content_security_policy(&mut response, us, "'none'");
    response
}

fn page_under(origin: &str, web: &Web, refusal: &Refusal, page: &PageRequest, attempt: &Attempted) -> Response {
    let view = describe(refusal);
    log(refusal, &view);
    let provider_text = match refusal {
        Refusal::Flow(Error::Callback(CallbackError::Provider(answer)) | Error::Cancelled(answer)) => {
            provider_text(answer)
        }
        _ => None,
    };
    let (first, others) = next_steps(view.problem);
    let words = web.languages.words(attempt.language(web, page));
    let (title, text) = message(words, view.problem);
    let link = |step| link(step, web, words, view.problem, attempt).map(|link| link.under(origin));
    let is_access = matches!(view.problem, Problem::Access(AccessProblem::Denied | AccessProblem::NotAdmitted));
    let page = ProblemPage {
        words,
        frame: PageFrame::once(web, origin),
        tone: tone(view.problem),
        title,
        text,
        provider_text,
        first: first.and_then(link),
        others: others.iter().copied().filter_map(link).collect(),
        contact: if is_access { &words.ask_for_access } else { &words.ask_for_help },
        support: web.brand.support.as_ref().map(|support| contact(support, &page.id)),
        reference: page.id.as_str(),
    };
    let mut response = (view.status, pages::render(&page)).into_response();
    finish(&mut response, &view);
    response
}

/// The provider's own text, unless it only repeats its code.
fn provider_text(answer: &AuthorizationError) -> Option<String> {
    let letters = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let text = answer.description.as_deref()?;
    let shown = text.chars().filter(|c| !c.is_control()).take(FOREIGN_MAX).collect();
    (letters(text) != letters(&answer.code)).then_some(shown)
}

/// `None` where it leads nowhere from this attempt.
fn link(step: NextStep, web: &Web, words: &Words, problem: Problem, attempt: &Attempted) -> Option<PageLink> {
    let known = match attempt {
        Attempted::SignIn(intent) => Some(intent),
        Attempted::SignOut | Attempted::Visit | Attempted::ThisAddress => None,
    };
    let intent = known.cloned().unwrap_or_else(|| SignInIntent::plain(web.rp.rules().return_to.choose(None)));
    let (words, href) = match step {
        // There is a session; a sign-in would only lead here again.
        NextStep::Again if problem == Problem::Access(AccessProblem::Denied) => {
            (&words.try_again, intent.return_to.as_str().to_owned())
        }
        NextStep::Again => match attempt {
            Attempted::SignIn(_) => (&words.try_again, pages::sign_in_url_of(&intent)),
            Attempted::SignOut => (&words.try_again, "/auth/signout".to_owned()),
            Attempted::Visit => (&words.try_again, "/".to_owned()),
            // Empty, so relative to the page's own address (RFC 3986 §4.4).
            Attempted::ThisAddress => (&words.try_again, String::new()),
        },
        NextStep::SignIn => {
            // One of several sessions is alive and would lead here again.
            let prompt = (problem == Problem::Session(SessionProblem::Ambiguous)).then(|| "login".to_owned());
            (&words.sign_in, pages::sign_in_url_of(&SignInIntent { prompt, ..intent }))
        }
        NextStep::AnotherAccount => {
            let prompt = Some(web.rp.provider.account_choice().to_owned());
            (&words.another_account, pages::sign_in_url_of(&SignInIntent { prompt, provider: None, ..intent }))
        }
        NextStep::AnotherProvider => {
            intent.provider.as_ref()?;
            (&words.another_provider, pages::sign_in_url_of(&SignInIntent { provider: None, ..intent }))
        }
        NextStep::Back => {
            let target = known?.return_to.as_str();
            let host = Url::parse(target).ok()?.host_str()?.to_owned();
            return Some(PageLink { words: fill(&words.back_to, "host", &host), href: target.to_owned() });
        }
        NextStep::SignOut => (&words.sign_out, "/auth/signout".to_owned()),
    };
    Some(PageLink { words: words.to_string(), href })
}

fn contact(support: &Support, id: &RequestId) -> PageLink {
    let href = match support {
        Support::Mail(address) => format!("mailto:{address}?subject=Reference%20{}", id.as_str()),
        Support::Page(url) => url.as_str().to_owned(),
    };
    PageLink { words: support.name().to_owned(), href }
}

/// The same for an address where there is nothing (404), or nothing of that kind (405).
pub(super) async fn nothing(web: &Web, status: StatusCode, page: &PageRequest) -> Response {
    let words = web.languages.words(page.language);
    let (title, text) = match status {
        StatusCode::NOT_FOUND => (&words.not_found_title, &words.not_found_text),
        _ => (&words.no_page_title, &words.no_page_text),
    };
    let page = ProblemPage {
        words,
        frame: PageFrame::once(web, ""),
        tone: Tone::Nothing,
        title,
        text,
        provider_text: None,
        first: Some(PageLink { words: words.start_page.to_string(), href: "/".to_owned() }),
        others: vec![],
        contact: &words.ask_for_help,
        support: web.brand.support.as_ref().map(|support| contact(support, &page.id)),
        reference: page.id.as_str(),
    };
    private((status, pages::render(&page)).into_response()).await
}
