//! The answers that several routes share. A refusal is described by the table that answers it, so that its status, its
//! code and its headers cannot differ from the document's.

use crate::domain::principal::{ActiveIdentity, IDENTITY_HEADERS, Inactive};
use crate::domain::requirement::{InvalidRequirement, MissingRequirement};
use crate::domain::transaction::{AuthorizationError, CallbackError};
use crate::flow::{AccessDenied, BadForwardedHeaders, Error, MachineError};
use crate::provider::{self, InvalidToken};
use crate::store;
use crate::web::error_body::{OAuthErrorResponse, ProblemDetails};
use crate::web::{error, token};
use axum::http::StatusCode;
use std::collections::BTreeMap;
use utoipa::openapi::schema::{ObjectBuilder, OneOf, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, Schema};
use utoipa::{IntoResponses, ToSchema};

type Responses = BTreeMap<String, RefOr<Response>>;

const PROBLEM: &str = "application/problem+json";
const PAGE: &str = "text/html";
const JSON: &str = "application/json";

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
    HomePages = described(&[PAGE], [store()]);
    SignInPages = described(&[PAGE], [vec![Error::RedirectLoop(0)], provider(), store()]);
    CallbackPages = described(&[PAGE], [callback(), provider(), store()]);
    ConfirmSignOutPages = described(&[PAGE], [store()]);
    SignOutPages = described(&[PAGE], [vec![Error::Origin], store()]);
    SignedOutRedirect = {
        let mut redirect = answer("Signed out here: to the provider's sign-out.", []);
        redirect.headers.insert("Set-Cookie".to_owned(), header("RemovedCookies"));
        BTreeMap::from([("303".to_owned(), RefOr::T(redirect))])
    };
    SignOutCallbackPages = described(&[PAGE], [provider()]);
    SessionProblems = described(&[PROBLEM], [session()]);
    EndSessionProblems = described(&[PROBLEM], [session(), vec![Error::Origin, Error::NoSuchSession]]);
    ProfileProblems = described(&[PROBLEM], [session(), account()]);
    ChangeProfileProblems = described(&[PROBLEM], [session(), account(), change()]);
    AwsCredentialsProblems = described(&[PROBLEM], [session(), account(), aws_credentials()]);
    RefreshProblems = described(&[PROBLEM], [session(), renewal(), vec![Error::Origin]]);
    ValidateProblems = described(&[PROBLEM], [validate()]);
    ValidateBrowserProblems = described(&[PROBLEM, PAGE], [validate()]);
    LogoutTokenErrors = logout_token();
    TokenErrors = machine(&[
        (MachineError::UnsupportedGrantType, "another grant than `client_credentials`"),
        (MachineError::UnauthorizedClient(""), "the app client may not use this grant"),
        (MachineError::InvalidScope(String::new()), "a scope that does not exist or is not the client's"),
        (MachineError::InvalidTarget(""), "a resource that does not exist or is not the client's"),
        (MachineError::OverBudget(0), "too many tokens were fetched for the client in an hour"),
        (MachineError::TokenType, "the provider issued a token of another type than Bearer (RFC 6749 §7.1)"),
        (MachineError::Upstream, "the provider refuses the app client that serves this client"),
    ]);
    AboutTokenErrors = machine(&[(MachineError::UnauthorizedClient(""), "the token was issued to another client")]);
    IdentityAnswer = identity();
}

fn store() -> Vec<Error> {
    vec![Error::Store(store::Error(String::new()))]
}

fn provider() -> Vec<Error> {
    let errors = [provider::Error::Unusable(String::new()), provider::Error::unavailable(String::new())];
    errors.map(Error::Provider).into()
}

fn token_verification() -> Error {
    Error::Provider(provider::Error::Token(InvalidToken::Algorithm))
}

fn denied() -> Box<AccessDenied> {
    Box::new(AccessDenied { sub: String::new(), page: None, rule: None, missing: MissingRequirement::Person })
}

fn callback() -> Vec<Error> {
    let refusal = |code: &str| AuthorizationError { code: code.to_owned(), description: None };
    let invalid_grant = provider::Error::Refused { code: "invalid_grant".to_owned(), description: None };
    vec![
        Error::Callback(CallbackError::MissingCode),
        Error::Callback(CallbackError::Expired),
        Error::Callback(CallbackError::State),
        Error::Callback(CallbackError::Provider(refusal("access_denied"))),
        Error::Callback(CallbackError::Provider(refusal("server_error"))),
        Error::Cancelled(refusal("access_denied")),
        Error::Provider(invalid_grant),
        token_verification(),
        Error::NotAdmitted(denied()),
    ]
}

/// Of every route that needs a session; the requirements are refused by a layer.
fn session() -> Vec<Error> {
    let requirement = Error::InvalidRequirement(InvalidRequirement::NotRead("group"));
    [vec![requirement, Error::Anonymous, Error::InvalidCredentials(String::new()), Error::AmbiguousSession], store()]
        .concat()
}

fn renewal() -> Vec<Error> {
    vec![Error::SessionEnded, Error::NotRenewed(provider::Error::unavailable(String::new()))]
}

fn account() -> Vec<Error> {
    let own = vec![Error::SessionEnded, Error::NotAdmitted(denied()), Error::NotOffered(""), token_verification()];
    [own, provider()].concat()
}

fn change() -> Vec<Error> {
    vec![Error::Body(""), Error::RejectedByProvider(String::new()), Error::NotWritable(String::new()), Error::Origin]
}

fn aws_credentials() -> Vec<Error> {
    vec![Error::NoCredentials { code: String::new(), description: String::new() }, Error::Origin]
}

fn validate() -> Vec<Error> {
    let own = vec![
        Error::InvalidRequirement(InvalidRequirement::NotRead("group")),
        Error::BadForwardedHeaders(BadForwardedHeaders::Missing),
        Error::Anonymous,
        Error::InvalidCredentials(String::new()),
        Error::AmbiguousSession,
        Error::Denied(denied()),
        Error::NotAdmitted(denied()),
        Error::Untrusted(""),
        Error::Provider(provider::Error::unavailable(String::new())),
        Error::Timeout,
    ];
    [own, store()].concat()
}

/// What the document says of one refusal.
struct Refusal {
    status: StatusCode,
    code: &'static str,
    meaning: &'static str,
    retry: bool,
    /// The component that describes its `WWW-Authenticate`.
    challenge: Option<&'static str>,
}

/// Problems, or the pages that people get instead of them.
fn described<const N: usize>(media: &[&str], errors: [Vec<Error>; N]) -> Responses {
    let refusals = errors.into_iter().flatten().map(|error| {
        let said = error::describe(&error);
        let challenge = match said.status {
            // A page challenges nobody.
            StatusCode::UNAUTHORIZED if media.contains(&PAGE) => "OptionalBearerChallenge",
            StatusCode::UNAUTHORIZED => "BearerChallenge",
            _ => "ScopeChallenge",
        };
        let challenge = error::challenge(&error).filter(|_| media.contains(&PROBLEM)).map(|_| challenge);
        let retry = said.retry_after.is_some();
        Refusal { status: said.status, code: said.slug, meaning: said.title, retry, challenge }
    });
    responses(media, refusals)
}

/// The errors of RFC 6749 §5.2 that `own` are, and those of every route for clients.
fn machine(own: &[(MachineError, &'static str)]) -> Responses {
    let common = [
        (MachineError::InvalidRequest(""), "the form is malformed, or a parameter is missing or duplicate"),
        (MachineError::InvalidClient, "the client is unknown or disabled, or its secret is wrong"),
        (MachineError::TooMany(0), "too many requests of the client, or too many wrong secrets from the address"),
        (MachineError::Store(store::Error(String::new())), "the store or the provider cannot be reached"),
    ];
    let refusals = own.iter().chain(&common).map(|(error, meaning)| {
        let (status, code) = token::status_and_code(error);
        let challenge = (status == StatusCode::UNAUTHORIZED).then_some("BasicChallenge");
        Refusal { status, code, meaning, retry: token::retry_after(error).is_some(), challenge }
    });
    responses(&[JSON], refusals)
}

fn logout_token() -> Responses {
    let errors = [vec![Error::LogoutToken(String::new())], provider(), store()].concat();
    let refusals = errors.iter().map(|error| {
        let said = error::describe(error);
        let (status, meaning, retry) = (said.status, said.title, said.retry_after.is_some());
        Refusal { status, code: error::oauth_code(status), meaning, retry, challenge: None }
    });
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    let meaning = "the form is larger than 16 KiB";
    let too_large = Refusal { status, code: error::oauth_code(status), meaning, retry: false, challenge: None };
    responses(&[JSON], refusals.chain([too_large]))
}

/// One response for each status, which names the codes of all its refusals.
fn responses(media: &[&str], refusals: impl Iterator<Item = Refusal>) -> Responses {
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
    let names = IDENTITY_HEADERS.into_iter().chain(super::OPTIONAL_IDENTITY_HEADERS.map(|(name, _)| name));
    response.headers.extend(names.map(|name| (name.to_owned(), header(name))));
    BTreeMap::from([("200".to_owned(), RefOr::T(response))])
}
