//! Why a flow did not do what was asked. `web::problem` says which answer each gets.

use crate::audit::AuditUnavailable;
use crate::domain::authentication::AuthenticationRequirement;
use crate::domain::requirement::{InvalidRequirement, MissingRequirement};
use crate::domain::transaction::{AuthorizationError, CallbackError};
use crate::{directory, provider, store};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A failed flow.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The callback is not accepted; no code was spent.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// The person left the provider's page without signing in: a choice, and no failure.
    #[error("the sign-in was cancelled at the provider: {}", .0.code)]
    Cancelled(AuthorizationError),
    /// The callback belongs to no sign-in that this browser has under way.
    #[error("no sign-in of this browser is waiting for this answer")]
    UnknownSignIn,
    /// The provider failed or is not believed.
    #[error(transparent)]
    Provider(#[from] provider::Error),
    /// The tokens could not be renewed now. The session is as it was.
    #[error("the tokens could not be renewed: {0}")]
    NotRenewed(provider::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The directory failed.
    #[error(transparent)]
    Directory(#[from] directory::Error),
    /// A sign-in that could not be recorded.
    #[error(transparent)]
    Audit(#[from] AuditUnavailable),
    /// No credentials.
    #[error("no credentials were sent")]
    Anonymous,
    /// Credentials that are not, or no longer, good.
    #[error("the credentials are not good: {0}")]
    InvalidCredentials(String),
    /// Live sessions of several users: nobody can say who asks.
    #[error("the request holds live sessions of several users, or more session cookies than are looked at")]
    AmbiguousSession,
    /// The provider ended the session: its refresh token is dead.
    #[error("the provider ended the session")]
    SessionEnded,
    /// Known, but not allowed.
    #[error("{}", .0.missing)]
    Denied(Box<AccessDenied>),
    /// The account may not be signed in here at all.
    #[error("this account may not sign in here: {}", .0.missing)]
    NotAdmitted(Box<AccessDenied>),
    /// The user was signed out from elsewhere after this authentication.
    #[error("the user authenticated before being signed out from elsewhere, and the provider did not ask again")]
    AuthenticationRevoked,
    /// The sign-in was to be recent, and the provider let the user in with an older one.
    #[error("the user has not authenticated as lately as the sign-in asked for (max_age)")]
    NotReauthenticated,
    /// The sign-in was to be of another class.
    #[error("the user has not authenticated in one of the ways that the sign-in asked for (acr_values)")]
    AuthenticationTooWeak,
    /// Known and allowed, once the user has authenticated again or in another way.
    #[error("this needs {0}")]
    InsufficientAuthentication(AuthenticationRequirement),
    /// A sign-in for an API that is not offered.
    #[error("the `resource` is not one of provider.resources")]
    InvalidTarget,
    /// A requirement that cannot be understood.
    #[error(transparent)]
    InvalidRequirement(#[from] InvalidRequirement),
    /// The user has no session of that name.
    #[error("you have no such session")]
    NoSuchSession,
    /// Nothing is known of the person.
    #[error("there is no such user")]
    NoSuchUser,
    /// More requests of one program than it may make; after how long the next will be answered.
    #[error("there were too many requests of this client; try again later")]
    TooManyRequests(Duration),
    /// A trigger's event without a good signature.
    #[error("the signature is missing, is of another key or of another time")]
    Signature,
    /// A trigger's event that tells of no user.
    #[error("the event tells of no user")]
    InvalidEvent,
    /// A query that cannot be understood.
    #[error("{0}")]
    InvalidQuery(&'static str),
    /// What this deployment does not offer.
    #[error("this is not offered here: {0}")]
    NotOffered(&'static str),
    /// An attribute that people may not change.
    #[error("the attribute {0} may not be changed here")]
    NotWritable(String),
    /// The user pool does not take a change.
    #[error("the user pool does not take it: {0}")]
    RejectedByProvider(String),
    /// AWS gives no credentials.
    #[error("AWS gives no credentials: {0}")]
    NoCredentials(provider::Error),
    /// A logout token that is not, or no longer, good.
    #[error("the logout token is not accepted: {0}")]
    LogoutToken(String),
}

/// Who was denied what, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDenied {
    /// The user or machine.
    pub sub: String,
    /// The further issuer whose `sub` that is. No sign-in has one.
    #[serde(skip)]
    pub issuer: Option<String>,
    /// The registered client, if it is one: the provider knows the upstream only. No sign-in has one.
    #[serde(skip)]
    pub client: Option<String>,
    /// The page without its query, where one is known.
    pub page: Option<String>,
    /// The rule that decided; none for a requirement of the caller.
    pub rule: Option<String>,
    /// What is missing.
    pub missing: MissingRequirement,
}
