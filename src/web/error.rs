//! One table from what went wrong to what is said, in four faces: a page for a person (`problem_page`), an RFC 9457
//! problem for a program, the same with RFC 6750's header for a gateway, and RFC 6749's JSON for a provider.
//! Logged once, here.

use super::error_body::{OAuthErrorResponse, ProblemDetails};
use super::fetch::is_navigation;
use super::layers::RequestId;
use super::{Web, problem_page};
use crate::domain::transaction::CallbackError;
use crate::domain::untrusted::UntrustedText;
use crate::flow::Error;
use crate::provider;
use axum::Json;
use axum::extract::{OriginalUri, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use std::borrow::Cow;
use std::sync::Arc;

/// Seconds after which a caller may try again when nobody said otherwise.
const RETRY: u64 = 5;

/// What is said about an error. `detail` is for programs, `words` for people; neither holds a secret.
pub(super) struct ErrorView {
    pub(super) status: StatusCode,
    /// A stable name.
    pub(super) slug: &'static str,
    pub(super) title: &'static str,
    detail: Cow<'static, str>,
    pub(super) words: &'static str,
    pub(super) retry_after: Option<u64>,
}

/// The table.
pub(super) fn describe(error: &Error) -> ErrorView {
    let said = |status, slug, title, words: &'static str| ErrorView {
        status,
        slug,
        title,
        detail: Cow::Owned(error.to_string()),
        words,
        retry_after: None,
    };
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const UPSTREAM: StatusCode = StatusCode::BAD_GATEWAY;
    match error {
        Error::Callback(CallbackError::Duplicate(_) | CallbackError::MissingCode | CallbackError::Issuer) => said(
            BAD,
            "invalid-callback",
            "This sign-in link is not valid",
            "The answer that came back from the sign-in page is not one we can use. Please start again.",
        ),
        Error::Callback(CallbackError::Expired) => said(
            BAD,
            "sign-in-expired",
            "That took too long",
            "The sign-in was open for too long and was closed. Try again: it leads to the page that you wanted.",
        ),
        Error::Callback(CallbackError::State) | Error::UnknownSignIn => said(
            BAD,
            "unknown-sign-in",
            "This sign-in was not started here",
            "The sign-in was begun in another browser, was already used, or its cookie is gone. Please start again.",
        ),
        Error::Cancelled(_) => said(
            StatusCode::FORBIDDEN,
            "sign-in-cancelled",
            "Sign-in cancelled",
            "You are not signed in, and nothing has changed.",
        ),
        Error::Callback(CallbackError::Provider(refusal)) => {
            let words = match refusal.code.as_str() {
                "login_required" | "interaction_required" | "account_selection_required" | "consent_required" => {
                    "You are not signed in at the sign-in service. Please sign in."
                }
                "server_error" | "temporarily_unavailable" => {
                    "The sign-in service has a problem of its own right now. Please try again in a moment."
                }
                "invalid_scope" | "invalid_client" | "unauthorized_client" | "unsupported_response_type" => {
                    "The sign-in service does not know this site well enough. The people who run it have to mend that."
                }
                _ => "The sign-in service did not accept this account or this sign-in.",
            };
            let passing = matches!(refusal.code.as_str(), "server_error" | "temporarily_unavailable");
            let status = if passing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
            let mut said = said(status, "refused-by-provider", "You could not be signed in", words);
            said.retry_after = passing.then_some(RETRY);
            said
        }
        Error::Provider(provider::Error::Unavailable { retry_after, .. }) => ErrorView {
            detail: "the sign-in provider cannot be reached; try again later".into(),
            retry_after: Some(retry_after.unwrap_or(RETRY)),
            ..said(
                StatusCode::SERVICE_UNAVAILABLE,
                "provider-unavailable",
                "The sign-in service cannot be reached",
                "Nothing is wrong with your account. Please try again in a moment.",
            )
        },
        Error::Provider(e) if e.is_invalid_grant() => ErrorView {
            detail: "the provider no longer accepts this sign-in; start again".into(),
            ..said(
                BAD,
                "code-not-accepted",
                "This sign-in can no longer be finished",
                "It was already used or has run out. Please start again.",
            )
        },
        Error::Provider(provider::Error::Token(_)) => ErrorView {
            detail: "the provider's token did not pass verification".into(),
            ..said(
                UPSTREAM,
                "token-not-accepted",
                "The sign-in could not be verified",
                "The answer of the sign-in service did not pass our checks, so nobody was signed in. If this happens again, tell the people who run this site.",
            )
        },
        Error::Provider(
            provider::Error::Refused { .. }
            | provider::Error::RefusedWithoutReason { .. }
            | provider::Error::Unusable(_)
            | provider::Error::TokenType(_),
        ) => ErrorView {
            detail: "the provider's answer cannot be used".into(),
            ..said(
                UPSTREAM,
                "provider-failed",
                "The sign-in service gave an unexpected answer",
                "Nobody was signed in. If this happens again, tell the people who run this site.",
            )
        },
        Error::NotRenewed(e) => ErrorView {
            detail: "the session cannot be renewed now and is as it was; try again later".into(),
            retry_after: Some(match e {
                provider::Error::Unavailable { retry_after: Some(seconds), .. } => *seconds,
                _ => RETRY,
            }),
            ..said(
                StatusCode::SERVICE_UNAVAILABLE,
                "provider-unavailable",
                "The session cannot be renewed now",
                "Nothing is wrong with your account. Please try again in a moment.",
            )
        },
        Error::Store(_) => ErrorView {
            detail: "the session store cannot be reached; try again later".into(),
            retry_after: Some(RETRY),
            ..said(
                StatusCode::SERVICE_UNAVAILABLE,
                "store-unavailable",
                "We cannot look up your session right now",
                "This is our fault and should pass. Please try again in a moment.",
            )
        },
        Error::RedirectLoop(_) => said(
            StatusCode::TOO_MANY_REQUESTS,
            "sign-in-loop",
            "You are going round in circles",
            "You were signed in several times within a minute, and the site sent you back here each time. It probably does not receive the session cookie: it may be on another domain than the cookie, or the browser blocks cookies.",
        ),
        Error::Anonymous => {
            said(StatusCode::UNAUTHORIZED, "not-signed-in", "Not signed in", "Please sign in to go on.")
        }
        Error::InvalidCredentials(_) => said(
            StatusCode::UNAUTHORIZED,
            "credentials-not-valid",
            "The credentials are not valid",
            "Please sign in again.",
        ),
        Error::AmbiguousSession => said(
            StatusCode::UNAUTHORIZED,
            "ambiguous-session",
            "You are signed in as two people at once",
            "This browser holds the sign-ins of two accounts, and we cannot know which is yours. Sign in again; if this page comes back, remove this site's cookies in the browser's settings.",
        ),
        Error::Timeout => ErrorView {
            retry_after: Some(RETRY),
            ..said(
                StatusCode::SERVICE_UNAVAILABLE,
                "timeout",
                "We cannot look up your session right now",
                "This is our fault and should pass. Please try again in a moment.",
            )
        },
        Error::SessionEnded => {
            said(StatusCode::UNAUTHORIZED, "session-ended", "Your session is over", "Please sign in again.")
        }
        Error::Denied(_) => said(
            StatusCode::FORBIDDEN,
            "insufficient-scope",
            "This account may not see that",
            "You are signed in, but this page is not open to the account that you use.",
        ),
        Error::NotAdmitted(_) => said(
            StatusCode::FORBIDDEN,
            "not-admitted",
            "This account may not sign in here",
            "The sign-in worked, but our sites are not open to the account that you used.",
        ),
        Error::BadForwardedHeaders(_) => said(
            BAD,
            "invalid-forwarded-request",
            "The page cannot be told",
            "The address of the page that you asked for is one that we do not pass on.",
        ),
        Error::Untrusted(_) => said(
            StatusCode::FORBIDDEN,
            "proxy-not-trusted",
            "This site is not set up yet",
            "The people who run it have not told us yet that we may answer for it. Tell them about this page.",
        ),
        Error::InvalidRequirement(_) => {
            said(BAD, "invalid-requirement", "The requirement cannot be understood", "This request is not valid.")
        }
        Error::Origin => said(
            StatusCode::FORBIDDEN,
            "origin-not-allowed",
            "This came from another site",
            "For your safety, pages of other sites may not do this.",
        ),
        Error::NoSuchSession => said(
            StatusCode::NOT_FOUND,
            "no-such-session",
            "There is no such session",
            "It may have ended already. Nothing else was changed.",
        ),
        Error::NotOffered(_) => said(
            StatusCode::NOT_FOUND,
            "not-offered",
            "This is not offered here",
            "The people who run this site have not switched it on.",
        ),
        Error::NotWritable(_) => said(
            StatusCode::FORBIDDEN,
            "attribute-not-writable",
            "This may not be changed here",
            "Ask the people who run this site to change it.",
        ),
        Error::Body(_) => said(BAD, "unreadable-body", "The body cannot be read", "This request is not valid."),
        Error::RejectedByProvider(_) => said(
            BAD,
            "attribute-rejected",
            "The change was not accepted",
            "The account service did not accept a value. Nothing was changed.",
        ),
        Error::NoCredentials { code, .. } => ErrorView {
            detail: credentials_hint(code).into(),
            ..said(
                UPSTREAM,
                "no-credentials",
                "AWS gives no credentials",
                "This is our fault. Tell the people who run this site.",
            )
        },
        Error::LogoutToken(_) => {
            said(BAD, "logout-token-not-accepted", "The logout token is not accepted", "This request is not valid.")
        }
    }
}

/// What to look at, by AWS's name for it; its own text stays in the log.
fn credentials_hint(code: &str) -> &'static str {
    match code {
        "NotAuthorizedException" => {
            "AWS does not take the session's ID token: is this user pool and its app client a provider of the identity pool?"
        }
        "ResourceNotFoundException" => "AWS does not know the identity pool: is aws.identity_pool right?",
        "InvalidIdentityPoolConfigurationException" => {
            "the identity pool has no role for this user, or the role's trust policy does not name the pool"
        }
        "InvalidParameterException" => "AWS does not take the request: is aws.role_arn a role that the pool may give?",
        _ => "AWS refuses; its word is in the log under this id",
    }
}

/// Logged once, with what stays inside. The request's id is in the span. Cut and escaped, since a part may be a
/// stranger's.
pub(super) fn log(error: &Error, said: &ErrorView) {
    /// Characters of a sentence of ours with foreign words in it.
    const SENTENCE: usize = 400;
    let reason = || UntrustedText::up_to(SENTENCE, error);
    let (status, problem) = (said.status.as_u16(), said.slug);
    match error {
        Error::Anonymous | Error::InvalidCredentials(_) | Error::AmbiguousSession | Error::InvalidRequirement(_) => {
            tracing::debug!(status, problem, reason = reason().as_str(), "refused");
        }
        Error::Denied(denied) | Error::NotAdmitted(denied) => {
            let (page, rule) = (denied.page.as_ref().map(|page| UntrustedText::up_to(SENTENCE, page)), &denied.rule);
            let (page, sub) = (page.as_ref().map(UntrustedText::as_str), UntrustedText::new(&denied.sub));
            let rule = rule.as_deref();
            tracing::info!(status, problem, reason = reason().as_str(), sub = sub.as_str(), page, rule, "denied");
        }
        Error::Cancelled(refusal) => {
            tracing::info!(status, problem, code = UntrustedText::new(&refusal.code).as_str(), "sign-in cancelled");
        }
        Error::Callback(CallbackError::Expired) => {
            tracing::info!(status, problem, reason = reason().as_str(), "refused");
        }
        Error::Callback(CallbackError::Provider(refusal)) => {
            let code = UntrustedText::new(&refusal.code);
            let description = UntrustedText::new(refusal.description.as_deref().unwrap_or_default());
            tracing::warn!(status, problem, code = code.as_str(), description = description.as_str(), "refused");
        }
        _ if said.status.is_server_error() => {
            tracing::error!(status, problem, reason = reason().as_str(), "failed");
        }
        _ => tracing::warn!(status, problem, reason = reason().as_str(), "refused"),
    }
}

/// An RFC 9457 problem for a program.
pub(super) fn problem(error: &Error, id: &RequestId, signin_url: Option<String>) -> Response {
    let said = describe(error);
    log(error, &said);
    let mut response = body(said.status, said.slug, said.title, &said.detail, id.as_str(), signin_url);
    finish(&mut response, &said);
    if let Some(challenge) = challenge(error) {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

/// RFC 9110 §15.5.2 requires a challenge with every 401; RFC 6750 §3 gives its words.
pub(super) fn challenge(error: &Error) -> Option<&'static str> {
    match error {
        Error::Anonymous => Some("Bearer"),
        Error::InvalidCredentials(_) | Error::AmbiguousSession | Error::SessionEnded => {
            Some("Bearer error=\"invalid_token\"")
        }
        Error::Denied(_) | Error::NotAdmitted(_) => Some("Bearer error=\"insufficient_scope\""),
        _ => None,
    }
}

/// For a provider that calls us (OIDC Back-Channel Logout §2.8): the words of RFC 6749 §5.2.
pub(super) fn oauth(error: &Error) -> Response {
    let said = describe(error);
    log(error, &said);
    let mut response = oauth_refusal(said.status, &said.detail);
    finish(&mut response, &said);
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

pub(super) fn finish(response: &mut Response, said: &ErrorView) {
    if let Some(seconds) = said.retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

fn body(status: StatusCode, slug: &str, title: &str, detail: &str, id: &str, signin_url: Option<String>) -> Response {
    let body = ProblemDetails {
        r#type: format!("urn:auth-api:problem:{slug}"),
        title,
        status: status.as_u16(),
        detail,
        instance: id,
        signin_url,
    };
    let json = serde_json::to_vec(&body).unwrap_or_default();
    (status, [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")], json).into_response()
}

/// By what is asked for: people get a page, programs a problem.
const CHOSEN_BY: HeaderValue = HeaderValue::from_static("accept, sec-fetch-mode, sec-fetch-dest, x-requested-with");

pub(super) async fn not_found(
    State(web): State<Arc<Web>>,
    id: RequestId,
    headers: HeaderMap,
    OriginalUri(uri): OriginalUri,
) -> Response {
    let mut response = if is_navigation(&headers) {
        problem_page::nothing(&web, StatusCode::NOT_FOUND, &id).await
    } else {
        let path: String = uri.path().chars().take(200).collect();
        let detail = format!("there is nothing at {path}");
        body(StatusCode::NOT_FOUND, "not-found", "Not found", &detail, id.as_str(), None)
    };
    response.headers_mut().insert(VARY, CHOSEN_BY);
    response
}

pub(super) async fn method_not_allowed(
    State(web): State<Arc<Web>>,
    id: RequestId,
    headers: HeaderMap,
    method: Method,
) -> Response {
    let page = not_allowed_page(&web, &headers, &id).await;
    let mut response = page.unwrap_or_else(|| {
        let detail = format!("this address does not know the method {method}; see Allow");
        body(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed", &detail, id.as_str(), None)
    });
    response.headers_mut().insert(VARY, CHOSEN_BY);
    response
}

/// The page for a person who opens an address that is none, such as one for programs.
pub(super) async fn not_allowed_page(web: &Web, headers: &HeaderMap, id: &RequestId) -> Option<Response> {
    if !is_navigation(headers) {
        return None;
    }
    let mut response = problem_page::nothing(web, StatusCode::METHOD_NOT_ALLOWED, id).await;
    response.headers_mut().insert(VARY, CHOSEN_BY);
    Some(response)
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
    tracing::error!("a handler panicked");
    body(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Internal error", "see the log", "", None)
}
