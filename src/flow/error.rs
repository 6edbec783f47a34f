//! Why a flow did not do what was asked. `web::error` turns each into an answer.

use crate::domain::requirement::{InvalidRequirement, MissingRequirement};
use crate::domain::return_to::InvalidReturnTo;
use crate::domain::transaction::{AuthorizationError, CallbackError};
use crate::{provider, store};
use serde::{Deserialize, Serialize};

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
    /// The browser goes round in a circle between a site and the sign-in.
    #[error("this browser was signed in {0} times within a minute")]
    RedirectLoop(usize),
    /// No credentials.
    #[error("no credentials were sent")]
    Anonymous,
    /// Credentials that are not, or no longer, good.
    #[error("the credentials are not good: {0}")]
    InvalidCredentials(String),
    /// Live sessions of several users: nobody can say who asks.
    #[error("the request holds live sessions of several users, or more session cookies than are looked at")]
    AmbiguousSession,
    /// Something that is needed for an answer did not come in time.
    #[error("there was no answer in time")]
    Timeout,
    /// The provider ended the session: its refresh token is dead.
    #[error("the provider ended the session")]
    SessionEnded,
    /// Known, but not allowed.
    #[error("{}", .0.missing)]
    Denied(Box<AccessDenied>),
    /// The account may not be signed in here at all.
    #[error("this account may not sign in here: {}", .0.missing)]
    NotAdmitted(Box<AccessDenied>),
    /// A proxy's word about the page that is asked for cannot be used.
    #[error("the forwarded page address cannot be used: {0}")]
    BadForwardedHeaders(#[from] BadForwardedHeaders),
    /// Forwarded headers from an address that is not a trusted proxy.
    #[error("{0}")]
    Untrusted(&'static str),
    /// A requirement that cannot be understood.
    #[error(transparent)]
    InvalidRequirement(#[from] InvalidRequirement),
    /// A page of a foreign site asked.
    #[error("the request comes from a page of a site that is not allowed")]
    Origin,
    /// The user has no session of that name.
    #[error("you have no such session")]
    NoSuchSession,
    /// What this deployment does not offer.
    #[error("this is not offered here: {0}")]
    NotOffered(&'static str),
    /// An attribute that people may not change.
    #[error("the attribute {0} may not be changed here")]
    NotWritable(String),
    /// A body that is not understood.
    #[error("{0}")]
    Body(&'static str),
    /// The user pool does not take a change.
    #[error("the user pool does not take it: {0}")]
    RejectedByProvider(String),
    /// AWS gives no credentials.
    #[error("AWS gives no credentials: {code} ({description})")]
    NoCredentials {
        /// AWS's name for it.
        code: String,
        /// Foreign text.
        description: String,
    },
    /// A logout token that is not, or no longer, good.
    #[error("the logout token is not accepted: {0}")]
    LogoutToken(String),
}

/// Who was denied what, for the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessDenied {
    /// The user or machine.
    pub sub: String,
    /// The page without its query, where one is known.
    pub page: Option<String>,
    /// The rule that decided; none for a requirement of the caller.
    pub rule: Option<String>,
    /// What is missing.
    pub missing: MissingRequirement,
}

/// What is wrong with a proxy's word about a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadForwardedHeaders {
    /// A header is there twice.
    #[error("{0} is there more than once")]
    Twice(&'static str),
    /// Only a part is there.
    #[error("X-Forwarded-Uri needs X-Forwarded-Proto and X-Forwarded-Host beside it")]
    Incomplete,
    /// Nothing is there.
    #[error("send X-Forwarded-Proto, -Host and -Uri, or X-Original-URL")]
    Missing,
    /// Envoy's route, with another path behind it than the page's.
    #[error("the path and query behind /validate/envoy are not those of the page; /validate/browser reads a query")]
    NotBehind,
    /// Both ways of telling are there and tell different pages.
    #[error("X-Original-URL and X-Forwarded-Uri tell different pages; a proxy sets one and removes the other")]
    Different,
    /// It is not one that we can judge.
    #[error(transparent)]
    Refused(#[from] InvalidReturnTo),
}
