//! Why a flow did not do what was asked. `web::error` turns each into an answer.

use crate::domain::policy::{MalformedDemand, Unmet};
use crate::domain::transaction::CallbackRefused;
use crate::{provider, store};

/// A failed flow.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The callback is not accepted; no code was spent.
    #[error(transparent)]
    Callback(#[from] CallbackRefused),
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
    Looping(usize),
    /// No credentials.
    #[error("no credentials were sent")]
    Anonymous,
    /// Credentials that are not, or no longer, good.
    #[error("the credentials are not good: {0}")]
    Dead(String),
    /// The provider ended the session: its refresh token is dead.
    #[error("the provider ended the session")]
    SessionEnded,
    /// Known, but a demand is not met.
    #[error(transparent)]
    Unmet(#[from] Unmet),
    /// A demand that cannot be understood.
    #[error(transparent)]
    Malformed(#[from] MalformedDemand),
    /// A page of a foreign site asked.
    #[error("the request comes from a page of a site that is not allowed")]
    Origin,
    /// The user has no session of that name.
    #[error("you have no such session")]
    NoSuchSession,
    /// A logout token that is not, or no longer, good.
    #[error("the logout token is not accepted: {0}")]
    LogoutToken(String),
}
