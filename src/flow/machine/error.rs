//! Why a machine did not get what it asked for, in the words of RFC 6749 §5.2.

use crate::provider;
use crate::store;

/// A refused machine.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MachineError {
    /// The request itself is not right.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// Not one of the grants served here.
    #[error("grant_type must be client_credentials")]
    UnsupportedGrantType,
    /// Unknown, disabled, or with a wrong secret.
    #[error("the client is unknown, disabled, or its secret is wrong")]
    InvalidClient,
    /// Known, but may not do that.
    #[error("{0}")]
    UnauthorizedClient(&'static str),
    /// Scopes that the client may not have or that do not exist.
    #[error("{0}")]
    InvalidScope(String),
    /// Too often.
    #[error("too many requests; try again in {0} s")]
    TooMany(u64),
    /// The provider does not issue tokens now. Seconds to wait.
    #[error("the provider cannot issue a token now; try again in {0} s")]
    Unavailable(u64),
    /// The provider refuses the app client that serves this one: our configuration, not the caller's.
    #[error("the provider refuses the app client that serves this client")]
    Upstream,
    /// The store failed, and without it there is no safe answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The provider's keys cannot be had.
    #[error(transparent)]
    Provider(#[from] provider::Error),
}
