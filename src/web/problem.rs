//! What can go wrong, in groups: the problem types of RFC 9457 §3.1.1, each with its status and its stable name.
//! What people read about them is in `message`.

use super::refusal::Refusal;
use crate::domain::transaction::{AuthorizationError, CallbackError};
use crate::flow::Error;
use crate::provider;
use axum::http::StatusCode;

/// A problem, by what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Problem {
    SignIn(SignInProblem),
    Session(SessionProblem),
    Access(AccessProblem),
    Request(RequestProblem),
    Service(ServiceProblem),
}

/// A sign-in that did not work out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignInProblem {
    InvalidCallback,
    Expired,
    Unknown,
    Cancelled,
    CodeNotAccepted,
    TokenNotAccepted,
    AuthenticationRevoked,
    /// The provider did not authenticate the user as the sign-in asked for.
    InsufficientAuthentication,
    RedirectLoop,
    /// The provider asks for an interaction that this request did not allow.
    InteractionRequired,
    /// The provider reports a fault of its own that passes.
    ProviderFault,
    /// The provider does not accept this client or what it asks for.
    ClientNotAccepted,
    /// Any other refusal of the provider.
    Refused,
}

/// Credentials that are missing or do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionProblem {
    Anonymous,
    InvalidCredentials,
    Ambiguous,
    Ended,
    /// RFC 9470 §3.
    InsufficientAuthentication,
}

/// Something that this account, page or site may not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccessProblem {
    Denied,
    NotAdmitted,
    ProxyNotTrusted,
    OriginNotAllowed,
    AttributeNotWritable,
    Signature,
}

/// A request that cannot be answered as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestProblem {
    ForwardedRequest,
    Requirement,
    Body,
    AttributeRejected,
    LogoutToken,
    NoSuchSession,
    NoSuchUser,
    TooMany,
    Query,
    NotOffered,
    /// RFC 8707 §2.
    InvalidTarget,
}

/// A fault on our side, or on that of a service behind us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceProblem {
    ProviderUnavailable,
    ProviderFailed,
    RenewalUnavailable,
    StoreUnavailable,
    DirectoryUnavailable,
    AuditUnavailable,
    Timeout,
    Overloaded,
    NoCredentials,
}

impl Problem {
    /// The problem that a refusal is to callers and people.
    pub(super) fn of(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::Flow(error) => Self::of_flow(error),
            Refusal::RedirectLoop(_) => Self::SignIn(SignInProblem::RedirectLoop),
            Refusal::Timeout => Self::Service(ServiceProblem::Timeout),
            Refusal::Overloaded => Self::Service(ServiceProblem::Overloaded),
            Refusal::UntrustedProxy(_) => Self::Access(AccessProblem::ProxyNotTrusted),
            Refusal::Origin => Self::Access(AccessProblem::OriginNotAllowed),
            Refusal::BadForwardedHeaders(_) => Self::Request(RequestProblem::ForwardedRequest),
            Refusal::Body(_) => Self::Request(RequestProblem::Body),
        }
    }

    fn of_flow(error: &Error) -> Self {
        match error {
            Error::Callback(CallbackError::Duplicate(_) | CallbackError::MissingCode | CallbackError::Issuer) => {
                Self::SignIn(SignInProblem::InvalidCallback)
            }
            Error::Callback(CallbackError::Expired) => Self::SignIn(SignInProblem::Expired),
            Error::Callback(CallbackError::State) | Error::UnknownSignIn => Self::SignIn(SignInProblem::Unknown),
            Error::Callback(CallbackError::Provider(refusal)) => Self::SignIn(SignInProblem::refused(refusal)),
            Error::Cancelled(_) => Self::SignIn(SignInProblem::Cancelled),
            Error::Provider(provider::Error::Unavailable { .. }) => Self::Service(ServiceProblem::ProviderUnavailable),
            Error::Provider(provider::Error::Token(_)) => Self::SignIn(SignInProblem::TokenNotAccepted),
            Error::Provider(error) if error.is_invalid_grant() => Self::SignIn(SignInProblem::CodeNotAccepted),
            Error::Provider(_) => Self::Service(ServiceProblem::ProviderFailed),
            Error::NotRenewed(_) => Self::Service(ServiceProblem::RenewalUnavailable),
            Error::Store(_) => Self::Service(ServiceProblem::StoreUnavailable),
            Error::Directory(_) => Self::Service(ServiceProblem::DirectoryUnavailable),
            Error::Audit(_) => Self::Service(ServiceProblem::AuditUnavailable),
            Error::NoCredentials(_) => Self::Service(ServiceProblem::NoCredentials),
            Error::Anonymous => Self::Session(SessionProblem::Anonymous),
            Error::InvalidCredentials(_) => Self::Session(SessionProblem::InvalidCredentials),
            Error::AmbiguousSession => Self::Session(SessionProblem::Ambiguous),
            Error::SessionEnded => Self::Session(SessionProblem::Ended),
            Error::Denied(_) => Self::Access(AccessProblem::Denied),
            Error::NotAdmitted(_) => Self::Access(AccessProblem::NotAdmitted),
            Error::AuthenticationRevoked => Self::SignIn(SignInProblem::AuthenticationRevoked),
            Error::NotReauthenticated | Error::AuthenticationTooWeak => {
                Self::SignIn(SignInProblem::InsufficientAuthentication)
            }
            Error::InsufficientAuthentication(_) => Self::Session(SessionProblem::InsufficientAuthentication),
            Error::InvalidTarget => Self::Request(RequestProblem::InvalidTarget),
            Error::NotWritable(_) => Self::Access(AccessProblem::AttributeNotWritable),
            Error::InvalidRequirement(_) => Self::Request(RequestProblem::Requirement),
            Error::RejectedByProvider(_) => Self::Request(RequestProblem::AttributeRejected),
            Error::LogoutToken(_) => Self::Request(RequestProblem::LogoutToken),
            Error::NoSuchSession => Self::Request(RequestProblem::NoSuchSession),
            Error::NoSuchUser => Self::Request(RequestProblem::NoSuchUser),
            Error::TooManyRequests(_) => Self::Request(RequestProblem::TooMany),
            Error::Signature => Self::Access(AccessProblem::Signature),
            Error::InvalidEvent => Self::Request(RequestProblem::Body),
            Error::InvalidQuery(_) => Self::Request(RequestProblem::Query),
            Error::NotOffered(_) => Self::Request(RequestProblem::NotOffered),
        }
    }

    /// The status, and the name after `urn:auth-api:problem:`.
    pub(super) fn status_and_name(self) -> (StatusCode, &'static str) {
        match self {
            Self::SignIn(problem) => problem.status_and_name(),
            Self::Session(problem) => (StatusCode::UNAUTHORIZED, problem.name()),
            Self::Access(problem) => (StatusCode::FORBIDDEN, problem.name()),
            Self::Request(problem) => problem.status_and_name(),
            Self::Service(problem) => problem.status_and_name(),
        }
    }

    /// The challenge of RFC 9110 §15.5.2, in the words of RFC 6750 §3 and RFC 9470 §3.
    pub(super) fn challenge(self) -> Option<&'static str> {
        match self {
            Self::Session(SessionProblem::Anonymous) => Some("Bearer"),
            Self::Session(SessionProblem::InsufficientAuthentication) => {
                Some("Bearer error=\"insufficient_user_authentication\"")
            }
            Self::Session(_) => Some("Bearer error=\"invalid_token\""),
            Self::Access(AccessProblem::Denied | AccessProblem::NotAdmitted) => {
                Some("Bearer error=\"insufficient_scope\"")
            }
            _ => None,
        }
    }
}

impl SignInProblem {
    fn refused(refusal: &AuthorizationError) -> Self {
        match refusal.code.as_str() {
            "login_required" | "interaction_required" | "account_selection_required" | "consent_required" => {
                Self::InteractionRequired
            }
            "server_error" | "temporarily_unavailable" => Self::ProviderFault,
            "invalid_scope" | "invalid_client" | "unauthorized_client" | "unsupported_response_type" => {
                Self::ClientNotAccepted
            }
            _ => Self::Refused,
        }
    }

    fn status_and_name(self) -> (StatusCode, &'static str) {
        match self {
            Self::InvalidCallback => (StatusCode::BAD_REQUEST, "invalid-callback"),
            Self::Expired => (StatusCode::BAD_REQUEST, "sign-in-expired"),
            Self::Unknown => (StatusCode::BAD_REQUEST, "unknown-sign-in"),
            Self::CodeNotAccepted => (StatusCode::BAD_REQUEST, "code-not-accepted"),
            Self::Cancelled => (StatusCode::FORBIDDEN, "sign-in-cancelled"),
            Self::AuthenticationRevoked => (StatusCode::FORBIDDEN, "authentication-revoked"),
            Self::InsufficientAuthentication => (StatusCode::FORBIDDEN, "insufficient-authentication"),
            Self::InteractionRequired | Self::ClientNotAccepted | Self::Refused => {
                (StatusCode::FORBIDDEN, "refused-by-provider")
            }
            Self::ProviderFault => (StatusCode::SERVICE_UNAVAILABLE, "refused-by-provider"),
            Self::RedirectLoop => (StatusCode::TOO_MANY_REQUESTS, "sign-in-loop"),
            Self::TokenNotAccepted => (StatusCode::BAD_GATEWAY, "token-not-accepted"),
        }
    }
}

impl SessionProblem {
    fn name(self) -> &'static str {
        match self {
            Self::Anonymous => "not-signed-in",
            Self::InvalidCredentials => "credentials-not-valid",
            Self::Ambiguous => "ambiguous-session",
            Self::Ended => "session-ended",
            Self::InsufficientAuthentication => "insufficient-user-authentication",
        }
    }
}

impl AccessProblem {
    fn name(self) -> &'static str {
        match self {
            Self::Denied => "insufficient-scope",
            Self::NotAdmitted => "not-admitted",
            Self::ProxyNotTrusted => "proxy-not-trusted",
            Self::OriginNotAllowed => "origin-not-allowed",
            Self::AttributeNotWritable => "attribute-not-writable",
            Self::Signature => "signature-not-valid",
        }
    }
}

impl RequestProblem {
    fn status_and_name(self) -> (StatusCode, &'static str) {
        match self {
            Self::ForwardedRequest => (StatusCode::BAD_REQUEST, "invalid-forwarded-request"),
            Self::Requirement => (StatusCode::BAD_REQUEST, "invalid-requirement"),
            Self::Body => (StatusCode::BAD_REQUEST, "unreadable-body"),
            Self::AttributeRejected => (StatusCode::BAD_REQUEST, "attribute-rejected"),
            Self::LogoutToken => (StatusCode::BAD_REQUEST, "logout-token-not-accepted"),
            Self::NoSuchSession => (StatusCode::NOT_FOUND, "no-such-session"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
            Self::Query => (StatusCode::BAD_REQUEST, "invalid-query"),
            Self::NoSuchUser => (StatusCode::NOT_FOUND, "no-such-user"),
            Self::NotOffered => (StatusCode::NOT_FOUND, "not-offered"),
            Self::InvalidTarget => (StatusCode::BAD_REQUEST, "invalid-target"),
        }
    }
}

impl ServiceProblem {
    fn status_and_name(self) -> (StatusCode, &'static str) {
        match self {
            Self::ProviderUnavailable | Self::RenewalUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, "provider-unavailable")
            }
            Self::StoreUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
            Self::DirectoryUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "directory-unavailable"),
            Self::AuditUnavailable => (StatusCode::SERVICE_UNAVAILABLE, "audit-unavailable"),
            Self::Timeout => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::ProviderFailed => (StatusCode::BAD_GATEWAY, "provider-failed"),
            Self::NoCredentials => (StatusCode::BAD_GATEWAY, "no-credentials"),
        }
    }
}
