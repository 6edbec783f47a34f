//! From an error to an answer, in four faces: a page for a person (`problem_page`), an RFC 9457 problem for a program,
//! the same with RFC 6750's header for a gateway, and RFC 6749's JSON for a provider. Logged once, here.

use super::error_body::{OAuthErrorResponse, ProblemDetails};
use super::message::message;
use super::problem::{Problem, ServiceProblem, SignInProblem};
use super::refusal::Refusal;
use super::request_id::RequestId;
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::backoff::next_second;
use crate::domain::transaction::CallbackError;
use crate::domain::untrusted::UntrustedText;
use crate::flow::Error;
use crate::provider;
use crate::words::ENGLISH;
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::fmt::Write;
use std::time::Duration;

/// The time after which a caller may try again when the provider names no time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What callers learn of an error; it holds no secret.
pub(super) struct ErrorView {
    pub(super) problem: Problem,
    pub(super) status: StatusCode,
    /// The name of the problem type.
    name: &'static str,
    /// For programs.
    detail: Cow<'static, str>,
    pub(super) retry_after: Option<Duration>,
}

pub(super) fn describe(refusal: &Refusal) -> ErrorView {
    let problem = Problem::of(refusal);
    let (status, name) = problem.status_and_name();
    let retry_after = match refusal {
        Refusal::Flow(
            Error::Provider(provider::Error::Unavailable { retry_after, .. })
            | Error::NotRenewed(provider::Error::Unavailable { retry_after, .. }),
        ) => *retry_after,
        Refusal::Flow(Error::TooManyRequests(wait)) => Some(next_second(*wait)),
        _ => None,
    };
    let retry_after = retry_after.or_else(|| has_retry_after(status).then_some(DEFAULT_RETRY_AFTER));
    ErrorView { problem, status, name, detail: detail(problem, refusal), retry_after }
}

/// Whether an answer says when to try again.
pub(super) fn has_retry_after(status: StatusCode) -> bool {
    status == StatusCode::SERVICE_UNAVAILABLE
}

/// An error's own text, unless it tells what stays inside.
fn detail(problem: Problem, refusal: &Refusal) -> Cow<'static, str> {
    match (problem, refusal) {
        (Problem::Service(ServiceProblem::ProviderUnavailable), _) => {
            "the sign-in provider cannot be reached; try again later".into()
        }
        (Problem::Service(ServiceProblem::ProviderFailed), _) => "the provider's answer cannot be used".into(),
        (Problem::Service(ServiceProblem::RenewalUnavailable), _) => {
            "the session cannot be renewed now and is as it was; try again later".into()
        }
        (Problem::Service(ServiceProblem::StoreUnavailable), _) => {
            "the session store cannot be reached; try again later".into()
        }
        (Problem::Service(ServiceProblem::DirectoryUnavailable), _) => {
            "the directory of people cannot be reached; try again later".into()
        }
        (Problem::SignIn(SignInProblem::CodeNotAccepted), _) => {
            "the provider no longer accepts this sign-in; start again".into()
        }
        (Problem::SignIn(SignInProblem::TokenNotAccepted), _) => {
            "the provider's token did not pass verification".into()
        }
        (_, Refusal::Flow(Error::NoCredentials(error))) => error.credentials_hint().into(),
        _ => {
            // Room for nearly all of them: they are put together of many pieces.
            let mut text = String::with_capacity(128);
            let _ = write!(text, "{refusal}");
            text.into()
        }
    }
}

/// Logged once, with what stays inside. The request's id is in the span. Cut and escaped, since a part may be a
/// stranger's.
pub(super) fn log(refusal: &Refusal, view: &ErrorView) {
    /// Characters of a sentence of ours with foreign words in it.
    const SENTENCE: usize = 400;
    let reason = || UntrustedText::up_to(SENTENCE, refusal);
    let (status, problem) = (view.status.as_u16(), view.name);
    match refusal {
        // An overload is logged when it begins and when it ends.
        Refusal::Overloaded
        | Refusal::Flow(
            Error::Anonymous
            | Error::InvalidCredentials(_)
            | Error::AmbiguousSession
            | Error::InvalidRequirement(_)
            | Error::NoSuchUser
            | Error::InsufficientAuthentication(_),
        ) => {
            tracing::debug!(status, problem, reason = reason().as_str(), "request refused");
        }
        Refusal::Flow(Error::Denied(denied) | Error::NotAdmitted(denied)) => {
            let page = || denied.page.as_ref().map(|page| UntrustedText::up_to(SENTENCE, page));
            tracing::info!(
                status,
                problem,
                reason = reason().as_str(),
                sub = UntrustedText::new(&denied.sub).as_str(),
                iss = denied.issuer,
                client = denied.client,
                page = page().as_ref().map(UntrustedText::as_str),
                rule = denied.rule,
                "request denied"
            );
        }
        Refusal::Flow(Error::Cancelled(answer)) => {
            tracing::info!(status, problem, code = UntrustedText::new(&answer.code).as_str(), "sign-in cancelled");
        }
        Refusal::Flow(Error::Callback(CallbackError::Expired)) => {
            tracing::info!(status, problem, reason = reason().as_str(), "request refused");
        }
        Refusal::Flow(Error::Callback(CallbackError::Provider(answer))) => {
            let code = UntrustedText::new(&answer.code);
            let description = UntrustedText::new(answer.description.as_deref().unwrap_or_default());
            tracing::warn!(
                status,
                problem,
                code = code.as_str(),
                description = description.as_str(),
                "request refused"
            );
        }
        _ if view.status.is_server_error() => {
            tracing::error!(status, problem, reason = reason().as_str(), "request failed");
        }
        _ => tracing::warn!(status, problem, reason = reason().as_str(), "request refused"),
    }
}

/// An RFC 9457 problem for a program.
pub(super) fn problem(refusal: impl Into<Refusal>, id: &RequestId, signin_url: Option<String>) -> Response {
    let refusal = refusal.into();
    let view = describe(&refusal);
    log(&refusal, &view);
    let mut response =
        body(view.status, view.name, message(&ENGLISH, view.problem).0, &view.detail, id.as_str(), signin_url);
    finish(&mut response, &view);
    if let Some(challenge) = view.problem.challenge() {
        let challenge = match &refusal {
            Refusal::Flow(Error::InsufficientAuthentication(needed)) => step_up_challenge(challenge, needed),
            _ => HeaderValue::from_static(challenge),
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A challenge that says what is needed (RFC 9470 §3).
fn step_up_challenge(challenge: &'static str, needed: &AuthenticationRequirement) -> HeaderValue {
    let max_age = needed.max_age.map(|age| format!(", max_age=\"{}\"", age.as_secs()));
    let acr_values = needed.acr_values_text().map(|values| format!(", acr_values=\"{values}\""));
    let [max_age, acr_values] = [max_age, acr_values].map(Option::unwrap_or_default);
    let whole = format!("{challenge}, error_description=\"This needs {needed}\"{acr_values}{max_age}");
    HeaderValue::try_from(whole).unwrap_or(HeaderValue::from_static(challenge))
}

/// For a provider that calls us (OIDC Back-Channel Logout §2.8): the words of RFC 6749 §5.2.
pub(super) fn oauth(refusal: &Refusal) -> Response {
    let view = describe(refusal);
    log(refusal, &view);
    let mut response = oauth_refusal(view.status, &view.detail);
    finish(&mut response, &view);
    response
}

/// The same, for what never became an error of a flow.
pub(super) fn oauth_refusal(status: StatusCode, description: &str) -> Response {
    // RFC 6749 §5.2 has no room for others.
    let plain = |c: &char| matches!(c, ' '..='~') && !matches!(c, '"' | '\\');
    let error_description: String = description.chars().filter(plain).collect();
    let body = OAuthErrorResponse { error: oauth_code(status), error_description: &error_description };
    (status, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

pub(super) fn oauth_code(status: StatusCode) -> &'static str {
    if status.is_server_error() { "temporarily_unavailable" } else { "invalid_request" }
}

pub(super) fn finish(response: &mut Response, view: &ErrorView) {
    if let Some(time) = view.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(time.as_secs()));
    }
}

pub(super) fn body(
    status: StatusCode,
    slug: &str,
    title: &str,
    detail: &str,
    id: &str,
    signin_url: Option<String>,
) -> Response {
    let body = ProblemDetails {
        r#type: ["urn:auth-api:problem:", slug].concat(),
        title,
        status: status.as_u16(),
        detail,
        instance: id,
        signin_url,
    };
    // Room for nearly all of them, and for the headers that others add.
    let mut json = Vec::with_capacity(512);
    let _ = serde_json::to_writer(&mut json, &body);
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A form that is too large, or whose sender went away.
pub(super) fn unreadable_body(status: StatusCode, id: &RequestId) -> Response {
    body(
        status,
        "unreadable-body",
        "The form cannot be read",
        "it is larger than any of ours, or incomplete",
        id.as_str(),
        None,
    )
}

/// What a caller hears when we panic: nothing. The log has the rest under the request's id.
pub(super) fn panicked() -> Response {
    tracing::error!("handler panicked");
    body(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "see the log", "", None)
}
