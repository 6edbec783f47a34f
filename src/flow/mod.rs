//! The verbs: one file for each thing that can be asked of us.

mod callback;
mod error;
mod refresh;
mod sign_in;
mod sign_out;
mod validate;

pub use callback::{CallbackFailed, Landing};
pub use error::Error;
pub use sign_in::{SignIn, SignInRequest};
pub use sign_out::SignedOut;
pub use validate::{Credentials, Who};

use crate::domain::clock::Clock;
use crate::domain::return_to::ReturnToPolicy;
use crate::domain::session::SessionId;
use crate::provider::Provider;
use crate::store::{Live, Sessions};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// The relying party (OIDC Core §1.2): everything a flow needs, one method for each verb.
#[derive(Debug)]
pub struct RelyingParty {
    /// The OpenID Provider.
    pub provider: Provider,
    /// The live sessions.
    pub sessions: Sessions,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where browsers may be sent.
    pub return_to: ReturnToPolicy,
    /// The counters.
    pub metrics: Arc<Metrics>,
    max_age: u64,
    refresh_margin: u64,
    revocation_limit: Duration,
    bearers: validate::Bearers,
    renewals: refresh::Renewals,
    tasks: TaskTracker,
}

/// The times that the flows keep to, seconds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A session's absolute lifetime.
    pub max_age: u64,
    /// Tokens with less life than this are renewed when asked.
    pub refresh_margin: u64,
    /// How long a sign-out may wait for the provider.
    pub revocation: Duration,
}

impl RelyingParty {
    /// Puts the parts together.
    pub fn new(
        provider: Provider,
        sessions: Sessions,
        clock: Arc<dyn Clock>,
        return_to: ReturnToPolicy,
        metrics: Arc<Metrics>,
        limits: Limits,
    ) -> Self {
        Self {
            provider,
            sessions,
            clock,
            return_to,
            metrics,
            max_age: limits.max_age,
            refresh_margin: limits.refresh_margin,
            revocation_limit: limits.revocation,
            bearers: validate::Bearers::default(),
            renewals: refresh::Renewals::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// The live session among the ids that a browser sent: it may hold a stale or a planted one too.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn session(&self, ids: &[SessionId]) -> Result<Option<Arc<Live>>, Error> {
        for id in ids {
            if let Some(live) = self.sessions.load(*id).await? {
                return Ok(Some(live));
            }
        }
        Ok(None)
    }

    /// Waits until no renewal is under way: a rotated refresh token must reach the store.
    pub async fn finish(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
