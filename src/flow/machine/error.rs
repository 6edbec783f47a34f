//! Why a machine did not get what it asked for, in the words of RFC 6749 §5.2.

use crate::domain::machine::Scopes;
use crate::provider;
use crate::store;
use std::time::Duration;

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
    /// A resource that the client may not name or that does not exist (RFC 8707 §2).
    #[error("{0}")]
    InvalidTarget(&'static str),
    /// The provider's token cannot be handed out as a Bearer token (RFC 6749 §7.1).
    #[error("the provider issued a token of another type than Bearer, which is not handed out")]
    TokenType,
    /// The provider issued one token to two clients, so it cannot say which one shows it.
    #[error("the provider issued a token that another client has, which is not handed out")]
    SharedToken,
    /// Too many tokens were fetched for it. The time to wait.
    #[error("too many tokens were fetched for this client; those at hand are still handed out, others in {} s", .0.as_secs())]
    OverBudget(Duration),
    /// Too often.
    #[error("too many requests; try again in {} s", .0.as_secs())]
    TooMany(Duration),
    /// The provider does not issue tokens now. The time to wait.
    #[error("the provider cannot issue a token now; try again in {} s", .0.as_secs())]
    Unavailable(Duration),
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

impl MachineError {
    /// The provider granted scopes that were neither asked for nor allowed by registration.
    pub(super) fn unrequested(scopes: &Scopes) -> Self {
        Self::InvalidScope(format!("the provider adds scopes that were not asked for: {scopes}"))
    }

    /// For the metrics.
    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) | Self::UnsupportedGrantType => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::InvalidScope(_) => "invalid_scope",
            Self::InvalidTarget(_) => "invalid_target",
            Self::TooMany(_) | Self::OverBudget(_) => "limited",
            Self::Unavailable(_) | Self::Store(_) | Self::Provider(_) => "unavailable",
            Self::Upstream | Self::TokenType | Self::SharedToken => "upstream_refused",
        }
    }
}
