//! What can go wrong between us and the provider, sorted by what a caller may do about it.

use super::invalid_token::InvalidToken;
use crate::domain::untrusted::UntrustedText;
use std::time::Duration;

/// A failed request to the provider.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No usable answer for now: network, time-out, 429, 5xx. Nothing was decided; try later.
    #[error("the provider cannot be reached: {detail}")]
    Unavailable {
        /// For the log.
        detail: String,
        /// How long to wait, if the provider said.
        retry_after: Option<Duration>,
        /// The request was certainly not acted upon: it did not arrive, or was turned away.
        untouched: bool,
        /// It has too many requests, of whomever: 429, or what Cognito's API says instead.
        throttled: bool,
    },
    /// An error response of the token endpoint (RFC 6749 §5.2).
    #[error(
        "the provider refused: {}{}",
        UntrustedText::new(.code), .description.as_ref().map(|d| format!(" ({})", UntrustedText::new(d))).unwrap_or_default()
    )]
    Refused {
        /// The error code.
        code: String,
        /// Foreign text.
        description: Option<String>,
    },
    /// The token endpoint said no, and nothing else: its answer is not that of RFC 6749 §5.2.
    #[error("the token endpoint answered {status} without saying why")]
    RefusedWithoutReason {
        /// The status, 4xx.
        status: u16,
    },
    /// An answer that the protocol does not know.
    #[error("the provider's answer cannot be used: {}", UntrustedText::up_to(300, .0))]
    Unusable(String),
    /// A token of another `token_type` than Bearer (RFC 6749 §7.1). Foreign text, cut.
    #[error("the provider issued a token of the type {0:?}, and only Bearer is understood")]
    TokenType(String),
    /// A token that must not be trusted.
    #[error("the provider's token is not accepted: {0}")]
    Token(#[from] InvalidToken),
}

impl Error {
    pub(crate) fn unavailable(detail: String) -> Self {
        Self::Unavailable { detail, retry_after: None, untouched: false, throttled: false }
    }

    /// A request that was never sent, since there are too many of its kind.
    pub(crate) fn turned_away(detail: &str, retry_after: Duration) -> Self {
        Self::Unavailable {
            detail: detail.to_owned(),
            retry_after: Some(retry_after),
            untouched: true,
            throttled: false,
        }
    }

    /// Whether the provider has too many requests, and for how long it wants none, if it said.
    pub fn throttled(&self) -> Option<Option<Duration>> {
        match self {
            Self::Unavailable { throttled: true, retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether the provider may have done what it was asked for, though nobody can tell.
    pub fn may_have_been_done(&self) -> bool {
        matches!(self, Self::Unavailable { untouched: false, .. } | Self::Unusable(_) | Self::TokenType(_))
    }

    /// Whether Cognito no longer takes the token: revoked, expired, or of a user who is disabled, deleted or to choose
    /// a new password.
    pub fn is_not_authorized(&self) -> bool {
        const CODES: [&str; 3] = ["NotAuthorizedException", "UserNotFoundException", "PasswordResetRequiredException"];
        matches!(self, Self::Refused { code, .. } if CODES.contains(&code.as_str()))
    }

    /// Whether AWS's refusal may mean that the user's identity is another one by now: deleted, or merged.
    pub fn may_be_another_identity(&self) -> bool {
        const CODES: [&str; 3] = ["ResourceNotFoundException", "NotAuthorizedException", "ResourceConflictException"];
        matches!(self, Self::Refused { code, .. } if CODES.contains(&code.as_str()))
    }

    /// What to look at when an identity pool gives no credentials; AWS's own text stays in the log.
    pub fn credentials_hint(&self) -> &'static str {
        const OTHER: &str = "AWS refuses; its word is in the log under this id";
        let Self::Refused { code, .. } = self else { return OTHER };
        match code.as_str() {
            "NotAuthorizedException" => {
                "AWS does not take the session's ID token: is this user pool and its app client a provider of the identity pool?"
            }
            "ResourceNotFoundException" => "AWS does not know the identity pool: is aws.identity_pool right?",
            "InvalidIdentityPoolConfigurationException" => {
                "the identity pool has no role for this user, or the role's trust policy does not name the pool"
            }
            "InvalidParameterException" => {
                "AWS does not take the request: is aws.role_arn a role that the pool may give?"
            }
            _ => OTHER,
        }
    }

    /// Whether this may be how a provider says that a grant is dead, if it keeps saying so: glewlwyd with an empty
    /// body, LemonLDAP::NG with `invalid_request`. Passing faults look like this, too.
    pub fn may_be_invalid_grant(&self) -> bool {
        match self {
            Self::RefusedWithoutReason { status } => *status == 400,
            Self::Refused { code, .. } => code == "invalid_request",
            _ => false,
        }
    }

    /// Whether the grant itself is dead: a used code, a revoked or expired refresh token.
    pub fn is_invalid_grant(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "invalid_grant")
    }
}
