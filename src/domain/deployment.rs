//! Which deployment keeps and seals something.

use std::fmt::{self, Display, Formatter};

/// A deployment: its provider, its client there, and its own origin. What one has sealed opens for no other, though
/// both have the same keys and the same store.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Deployment {
    issuer: String,
    client_id: String,
    origin: String,
}

impl Deployment {
    /// The deployment at `origin` whose users sign in at `issuer` as those of `client_id`.
    pub fn new(issuer: &str, client_id: &str, origin: &str) -> Self {
        Self { issuer: issuer.to_owned(), client_id: client_id.to_owned(), origin: origin.to_owned() }
    }

    /// A text that differs between deployments.
    pub(super) fn key(&self) -> String {
        // None of the three can hold a line break.
        format!("{}\n{}\n{}", self.issuer, self.client_id, self.origin)
    }
}

impl Display for Deployment {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "provider.issuer {}, provider.client_id {}, server.public_url {}",
            self.issuer, self.client_id, self.origin
        )
    }
}
