//! Why nobody is let in.

use crate::domain::untrusted::UntrustedText;

/// Why nobody is let in. The text is what API Gateway sees: `Unauthorized`, letter by letter, makes a 401 of it.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationFailure {
    /// No credentials, or none that are good. The reason is for the log.
    #[error("Unauthorized")]
    Unauthorized(String),
    /// Known, but not allowed.
    #[error("Denied")]
    Denied {
        /// Who it is, if that is known here.
        sub: Option<String>,
        /// The error code of RFC 6750 §3.1 or RFC 9470 §3.
        code: &'static str,
        /// For the log.
        reason: String,
    },
    /// Nothing was decided. The reason is for the log.
    #[error("nothing could be decided: the log says why")]
    Unavailable(String),
    /// No event that this function understands.
    #[error("the event cannot be read: {0}")]
    Event(&'static str),
}

impl AuthorizationFailure {
    pub(super) fn denied(sub: &str, code: &'static str, reason: &str) -> Self {
        Self::Denied { sub: Some(sub.to_owned()), code, reason: reason.to_owned() }
    }

    /// A name for the log and for the error that Lambda reports.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "Unauthorized",
            Self::Denied { .. } => "Denied",
            Self::Unavailable(_) => "Unavailable",
            Self::Event(_) => "Event",
        }
    }

    /// Says in the log why; never with credentials.
    pub(super) fn log(&self) {
        let text = |reason| UntrustedText::up_to(300, reason);
        match self {
            Self::Unauthorized(reason) => tracing::info!(reason = text(reason).as_str(), "request not authenticated"),
            Self::Denied { sub, reason, .. } => {
                let sub = UntrustedText::new(sub.as_deref().unwrap_or_default());
                tracing::info!(sub = sub.as_str(), reason = text(reason).as_str(), "request denied");
            }
            Self::Unavailable(reason) => tracing::error!(reason = text(reason).as_str(), "no decision"),
            Self::Event(reason) => tracing::error!(reason, "event not understood"),
        }
    }
}
