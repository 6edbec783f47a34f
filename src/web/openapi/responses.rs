//! The answers that several routes share. A refusal is described by the table that answers it, so that its status, its
//! code and its headers cannot differ from the document's.

use crate::domain::identity::{ActiveIdentity, IDENTITY_HEADERS, Inactive};
use crate::flow::MachineError;
use crate::store;
use crate::web::error_body::{OAuthErrorResponse, ProblemDetails};
use crate::web::message::message;
use crate::web::problem::{AccessProblem, Problem, RequestProblem, ServiceProblem, SessionProblem, SignInProblem};
use crate::web::{error, token};
use crate::words::ENGLISH;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::openapi::schema::{ObjectBuilder, OneOf, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, Schema};
use utoipa::{IntoResponses, ToSchema};

type Responses = BTreeMap<String, RefOr<Response>>;

const PROBLEM: &str = "application/problem+json";
const PAGE: &str = "text/html";
const JSON: &str = "application/json";

const ORIGIN: Problem = Problem::Access(AccessProblem::OriginNotAllowed);

/// Gives a set of responses a name for the annotations.
macro_rules! responses {
    ($($name:ident = $responses:expr;)*) => {$(
        pub(in crate::web) enum $name {}

        impl IntoResponses for $name {
            fn responses() -> Responses {
                $responses
            }
        }
    )*};
}

responses! {
    HomePages = described(&[PAGE], [OVERLOADED.into(), store()]);
    SignInPages = described(
        &[PAGE],
        [vec![Problem::SignIn(SignInProblem::RedirectLoop), AUDIT], OVERLOADED.into(), provider(), store()]
    );
    CallbackPages = described(&[PAGE], [callback(), vec![AUDIT], OVERLOADED.into(), provider(), store()]);
    ConfirmSignOutPages = described(&[PAGE], [OVERLOADED.into(), store()]);
    SignOutPages = described(&[PAGE], [vec![ORIGIN], OVERLOADED.into(), store()]);
    SignedOutRedirect = {
        let mut redirect = answer("Signed out here: to the provider's sign-out.", []);
        redirect.headers.insert("Set-Cookie".to_owned(), header("RemovedCookies"));
        BTreeMap::from([("303".to_owned(), RefOr::T(redirect))])
    };
    SignOutCallbackPages = described(&[PAGE], [OVERLOADED.into(), provider()]);
    AccountPages = described(&[PAGE], [account_page(), OVERLOADED.into(), account(), store()]);
    AccountExportProblems = described(&[PROBLEM], [session(), OVERLOADED.into(), account()]);
    FrontchannelLogoutProblems = described(&[PROBLEM], [OVERLOADED.into(), store(), vec![Problem::Request(RequestProblem::LogoutToken)]]);
    SessionProblems = described(&[PROBLEM], [session(), OVERLOADED.into()]);
    EndSessionProblems = described(&[PROBLEM], [session(), OVERLOADED.into(), vec![ORIGIN, Problem::Request(RequestProblem::NoSuchSession)]]);
    ProfileProblems = described(&[PROBLEM], [session(), OVERLOADED.into(), account()]);
    ChangeProfileProblems = described(&[PROBLEM], [session(), OVERLOADED.into(), account(), change()]);
    AwsCredentialsProblems = described(&[PROBLEM], [session(), OVERLOADED.into(), account(), aws_credentials()]);
    RefreshProblems = described(&[PROBLEM], [session(), renewal(), vec![ORIGIN]]);
    ValidateProblems = described(&[PROBLEM], [validate()]);
    ValidateBrowserProblems = described(&[PROBLEM, PAGE], [validate()]);
    UserProblems = described(&[PROBLEM], [directory(), OVERLOADED.into(), vec![Problem::Request(RequestProblem::NoSuchUser)]]);
    UserListProblems = described(&[PROBLEM], [directory(), OVERLOADED.into(), vec![Problem::Request(RequestProblem::Query)]]);
    UserEventProblems = described(&[PROBLEM], [OVERLOADED.into(), user_event()]);
    LogoutTokenErrors = logout_token();
    TokenErrors = machine(&[
        (MachineError::UnsupportedGrantType, "another grant than `client_credentials`"),
        (MachineError::UnauthorizedClient(""), "the app client may not use this grant"),
        (MachineError::InvalidScope(String::new()), "a scope that does not exist or is not the client's"),
        (MachineError::InvalidTarget(""), "a resource that does not exist or is not the client's"),
        (MachineError::OverBudget(Duration::ZERO), "too many tokens were fetched for the client in an hour"),
        (MachineError::TokenType, "the provider issued a token of another type than Bearer (RFC 6749 §7.1)"),
        (MachineError::Upstream, "the provider refuses the app client that serves this client"),
    ]);
    AboutTokenErrors = machine(&[(MachineError::UnauthorizedClient(""), "the token was issued to another client")]);
    IdentityAnswer = identity();
}

/// Of every route that `overload` may refuse.
const OVERLOADED: [Problem; 1] = [Problem::Service(ServiceProblem::Overloaded)];
const AUDIT: Problem = Problem::Service(ServiceProblem::AuditUnavailable);

fn store() -> Vec<Problem> {
    vec![Problem::Service(ServiceProblem::StoreUnavailable)]
}

fn user_event() -> Vec<Problem> {
    let requests = [RequestProblem::NotOffered, RequestProblem::Body].map(Problem::Request);
    [requests.into(), vec![Problem::Access(AccessProblem::Signature)]].concat()
}

/// Of every route that reads the directory.
fn directory() -> Vec<Problem> {
    let credentials = [SessionProblem::Anonymous, SessionProblem::InvalidCredentials].map(Problem::Session);
    let requests = [RequestProblem::NotOffered, RequestProblem::TooMany].map(Problem::Request);
    let services = [ServiceProblem::DirectoryUnavailable, ServiceProblem::ProviderUnavailable].map(Problem::Service);
    let access = vec![Problem::Access(AccessProblem::Denied), Problem::Access(AccessProblem::NotAdmitted)];
    [credentials.into(), requests.into(), access, services.into(), store()].concat()
}

/// Of every page of the account.
fn account_page() -> Vec<Problem> {
    let session = [SessionProblem::Ambiguous, SessionProblem::InsufficientAuthentication].map(Problem::Session);
    let requests = [RequestProblem::Body, RequestProblem::AttributeRejected, RequestProblem::NoSuchSession];
    [session.into(), requests.map(Problem::Request).into(), vec![ORIGIN]].concat()
}

fn provider() -> Vec<Problem> {
    [ServiceProblem::ProviderFailed, ServiceProblem::ProviderUnavailable].map(Problem::Service).into()
}

fn callback() -> Vec<Problem> {
    let sign_in = [
        SignInProblem::InvalidCallback,
        SignInProblem::Expired,
        SignInProblem::Unknown,
        SignInProblem::Refused,
        SignInProblem::ProviderFault,
        SignInProblem::Cancelled,
        SignInProblem::CodeNotAccepted,
        SignInProblem::TokenNotAccepted,
    ];
    sign_in.map(Problem::SignIn).into_iter().chain([Problem::Access(AccessProblem::NotAdmitted)]).collect()
}

/// Of every route that needs a session; the requirements are refused by a layer.
fn session() -> Vec<Problem> {
    let own = [SessionProblem::Anonymous, SessionProblem::InvalidCredentials, SessionProblem::Ambiguous];
    [vec![Problem::Request(RequestProblem::Requirement)], own.map(Problem::Session).into(), store()].concat()
}

fn renewal() -> Vec<Problem> {
    vec![Problem::Session(SessionProblem::Ended), Problem::Service(ServiceProblem::RenewalUnavailable)]
}

fn account() -> Vec<Problem> {
    let own = vec![
        Problem::Session(SessionProblem::Ended),
        Problem::Access(AccessProblem::NotAdmitted),
        Problem::Request(RequestProblem::NotOffered),
        Problem::SignIn(SignInProblem::TokenNotAccepted),
    ];
    [own, provider()].concat()
}

fn change() -> Vec<Problem> {
    let values = [RequestProblem::Body, RequestProblem::AttributeRejected].map(Problem::Request);
    let access = [AccessProblem::AttributeNotWritable, AccessProblem::OriginNotAllowed].map(Problem::Access);
    [values, access].concat()
}

fn aws_credentials() -> Vec<Problem> {
    vec![Problem::Service(ServiceProblem::NoCredentials), Problem::Access(AccessProblem::OriginNotAllowed)]
}

fn validate() -> Vec<Problem> {
    let request = [RequestProblem::Requirement, RequestProblem::ForwardedRequest].map(Problem::Request);
    let session = [SessionProblem::Anonymous, SessionProblem::InvalidCredentials, SessionProblem::Ambiguous];
    let access = [AccessProblem::Denied, AccessProblem::NotAdmitted, AccessProblem::ProxyNotTrusted];
    let service = [ServiceProblem::ProviderUnavailable, ServiceProblem::Timeout].map(Problem::Service);
    [request.as_slice(), &session.map(Problem::Session), &access.map(Problem::Access), &service, &store()].concat()
}

struct RefusalResponse {
    status: StatusCode,
    code: &'static str,
    meaning: &'static str,
    retry: bool,
    /// The component that describes its `WWW-Authenticate`.
    challenge: Option<&'static str>,
}

/// Problems, or the pages that people get instead of them.
fn described<const N: usize>(media: &[&str], problems: [Vec<Problem>; N]) -> Responses {
    let refusals = problems.into_iter().flatten().map(|problem| {
        let (status, code) = problem.status_and_name();
        let challenge = match status {
            // A page challenges nobody.
            StatusCode::UNAUTHORIZED if media.contains(&PAGE) => "OptionalBearerChallenge",
            StatusCode::UNAUTHORIZED => "BearerChallenge",
            _ => "ScopeChallenge",
        };
        let challenge = problem.challenge().filter(|_| media.contains(&PROBLEM)).map(|_| challenge);
        RefusalResponse {
            status,
            code,
            meaning: message(&ENGLISH, problem).0,
            retry: error::has_retry_after(status),
            challenge,
        }
    });
    responses(media, refusals)
}

/// The errors of RFC 6749 §5.2 that `own` are, and those of every route for clients.
fn machine(own: &[(MachineError, &'static str)]) -> Responses {
    let common = [
        (MachineError::InvalidRequest(""), "the form is malformed, or a parameter is missing or duplicate"),
        (MachineError::InvalidClient, "the client is unknown or disabled, or its secret is wrong"),
        (
            MachineError::TooMany(Duration::ZERO),
            "too many requests of the client, or too many wrong secrets from the address",
        ),
        (MachineError::Store(store::Error::Recovering), "the store or the provider cannot be reached"),
    ];
    let refusals = own.iter().chain(&common).map(|(error, meaning)| {
        let (status, code) = token::status_and_code(error);
        let challenge = (status == StatusCode::UNAUTHORIZED).then_some("BasicChallenge");
        RefusalResponse { status, code, meaning, retry: token::retry_after(error).is_some(), challenge }
    });
    responses(&[JSON], refusals)
}

fn logout_token() -> Responses {
    let problems = [vec![Problem::Request(RequestProblem::LogoutToken)], provider(), store()].concat();
    let refusals = problems.into_iter().map(|problem| {
        let (status, _) = problem.status_and_name();
        let (meaning, retry) = (message(&ENGLISH, problem).0, error::has_retry_after(status));
        RefusalResponse { status, code: error::oauth_code(status), meaning, retry, challenge: None }
    });
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    let meaning = "the form is larger than 16 KiB";
    let too_large = RefusalResponse { status, code: error::oauth_code(status), meaning, retry: false, challenge: None };
    responses(&[JSON], refusals.chain([too_large]))
}

/// One response for each status, which names the codes of all its refusals.
fn responses(media: &[&str], refusals: impl Iterator<Item = RefusalResponse>) -> Responses {
    let mut statuses = BTreeMap::<StatusCode, Response>::new();
    for refusal in refusals {
        let response =
            statuses.entry(refusal.status).or_insert_with(|| answer("", media.iter().map(|m| (*m, schema(m)))));
        response.description.push_str(&format!("- `{}`: {}\n", refusal.code, refusal.meaning));
        let retry = refusal.retry.then_some(("Retry-After", "RetryAfter"));
        let challenge = refusal.challenge.map(|component| ("WWW-Authenticate", component));
        let headers = [Some(("X-Request-Id", "RequestId")), retry, challenge];
        response
            .headers
            .extend(headers.into_iter().flatten().map(|(name, component)| (name.into(), header(component))));
    }
    statuses.into_iter().map(|(status, response)| (status.as_str().to_owned(), RefOr::T(response))).collect()
}

fn schema(media: &str) -> RefOr<Schema> {
    match media {
        PROBLEM => Ref::from_schema_name(ProblemDetails::name()).into(),
        JSON => Ref::from_schema_name(OAuthErrorResponse::name()).into(),
        _ => ObjectBuilder::new().schema_type(Type::String).into(),
    }
}

fn answer<'a>(description: &str, content: impl IntoIterator<Item = (&'a str, RefOr<Schema>)>) -> Response {
    let mut response = Response::new(description);
    let content = content.into_iter().map(|(media, schema)| (media.to_owned(), Content::new(Some(schema)).into()));
    response.content.extend(content);
    response
}

/// A header that the document describes once.
pub(super) fn header(component: &str) -> RefOr<utoipa::openapi::Header> {
    RefOr::Ref(Ref::new(format!("#/components/headers/{component}")))
}

/// The 200 of `/validate`: every header that a proxy may copy.
fn identity() -> Responses {
    let schemas = [ActiveIdentity::name(), Inactive::name()].map(Ref::from_schema_name);
    let body = schemas.into_iter().fold(OneOf::builder(), utoipa::openapi::schema::OneOfBuilder::item);
    let description = "Who it is, in the body and in a header for each fact. Every identity header is there, empty if \
        unknown; what no header can hold is percent-encoded. On a public page a stranger gets a 200, too: `active` is \
        false, and every header is empty.";
    let mut response = answer(description, [(JSON, RefOr::T(body.into()))]);
    let names =
        IDENTITY_HEADERS.iter().map(|header| header.name).chain(super::OPTIONAL_IDENTITY_HEADERS.map(|(name, _)| name));
    response.headers.extend(names.map(|name| (name.to_owned(), header(name))));
    BTreeMap::from([("200".to_owned(), RefOr::T(response))])
}
