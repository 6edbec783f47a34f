//! Why a trigger fails.

use crate::outbound::aws_json::AwsError;

/// Why a trigger fails. Cognito shows the text as `<Trigger> failed with error <text>.`, so it says nothing that a
/// stranger may not know, and has no full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TriggerFailure {
    /// The legacy system knows no such user or another password.
    #[error("Incorrect username or password")]
    WrongPassword,
    /// The legacy system knows no such user.
    #[error("There is no such user")]
    NoUser,
    /// A password can be chosen anew only by who can be sent a code.
    #[error("The user has no verified e-mail address or phone number")]
    Unreachable,
    /// Somebody signs in with a provider and has the address already. The operator has chosen to say so to strangers.
    #[error("There is an account with this e-mail address already: sign in with {0}")]
    AddressTaken(String),
    /// A system that is needed did not answer, or nothing that makes sense. The reason is for the log.
    #[error("The account cannot be looked up at the moment, please try again")]
    Unavailable(String),
    /// An environment variable is missing.
    #[error("The trigger is not set up: {0} is missing")]
    NotConfigured(&'static str),
    /// Not what Cognito sends.
    #[error("The event cannot be read: {0}")]
    Event(&'static str),
}

impl TriggerFailure {
    /// A stable name, Lambda's `errorType`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WrongPassword => "WrongPassword",
            Self::NoUser => "NoUser",
            Self::Unreachable => "Unreachable",
            Self::AddressTaken(_) => "AddressTaken",
            Self::Unavailable(_) => "Unavailable",
            Self::NotConfigured(_) => "NotConfigured",
            Self::Event(_) => "Event",
        }
    }

    /// Whether the legacy system said no, rather than nothing.
    pub fn is_no(&self) -> bool {
        matches!(self, Self::WrongPassword | Self::NoUser | Self::Unreachable)
    }
}

impl From<AwsError> for TriggerFailure {
    fn from(failure: AwsError) -> Self {
        Self::Unavailable(format!("the user pools API: {failure}"))
    }
}
