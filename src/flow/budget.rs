//! What all processes together may ask of the provider.
//!
//! 1. Sign-ins and renewals share one rate, below what Cognito allows; people who wait go before the background. The
//!    user pools API and tokens for machines have rates of their own, as they have at Cognito.
//! 2. A 429 quietens all of a kind, at every process, for as long as the provider says, or for a moment that grows.
//! 3. A sign-in makes room for itself and is not held up: a person waits, and the code does not last. If the provider
//!    wants rest from it too, it says so itself.

use super::RelyingParty;
use crate::domain::backoff::{ExponentialBackoff, jittered};
use crate::domain::transaction::{Transaction, VerifiedCallback};
use crate::provider::{self, AuthenticatedUser};
use crate::store::{Priority, RateLimit, Sessions, SharedRateLimiter};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a sign-in makes room for others to let it go first.
const SIGN_IN_MAX_WAIT: Duration = Duration::from_secs(1);
/// The shortest and the longest back-off after a 429.
const MIN_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(300);
/// The back-off where the provider sent no `Retry-After`.
const DEFAULT_BACKOFF: ExponentialBackoff = ExponentialBackoff { first: MIN_BACKOFF, most: Duration::from_secs(32) };
/// One in so many of the rate may be questions to the user pools API, which has others to serve.
const USER_POOL_SHARE: u32 = 4;

/// The rates that all processes keep to.
#[derive(Debug)]
pub(super) struct ProviderBudget {
    /// Sign-ins and renewals.
    pub(super) tokens: RequestBudget,
    /// The user pools API.
    pub(super) users: RequestBudget,
    /// Tokens for machines.
    pub(super) machines: RequestBudget,
}

/// One kind of request.
#[derive(Debug)]
pub(super) struct RequestBudget {
    limiter: Arc<SharedRateLimiter>,
    /// Answers of 429 in a row.
    throttled: AtomicU32,
}

impl ProviderBudget {
    /// At most `per_second` of a kind.
    pub(super) fn new(sessions: &Sessions, per_second: u32) -> Self {
        let budget = |name, per_second: u32| {
            let per_second = per_second.max(1);
            let limit = RateLimit { name, per_second, burst: (per_second / 10).max(1) };
            RequestBudget { limiter: sessions.rate_limiter(limit), throttled: AtomicU32::new(0) }
        };
        Self {
            tokens: budget("tokens", per_second),
            users: budget("users", per_second / USER_POOL_SHARE),
            machines: budget("machines", per_second),
        }
    }
}

impl RequestBudget {
    /// Waits until a request may be made.
    ///
    /// # Errors
    /// How long to stay away: the provider is left alone, or too many wait.
    pub(super) async fn acquire(&self, priority: Priority, max_wait: Duration) -> Result<(), Duration> {
        self.limiter.acquire(priority, max_wait).await
    }

    /// Whether the provider is left alone, as far as is known here.
    ///
    /// # Errors
    /// For how long.
    pub(super) fn check_backoff(&self) -> Result<(), Duration> {
        self.limiter.check_backoff()
    }

    /// Notes what came of a request: a 429 quietens every process.
    pub(super) async fn note(&self, error: Option<&provider::Error>) {
        let Some(retry_after) = error.and_then(provider::Error::throttled) else {
            // Time-outs say nothing about it.
            if error.is_none() {
                self.throttled.store(0, Ordering::Relaxed);
            }
            return;
        };
        let earlier = self.throttled.fetch_add(1, Ordering::Relaxed);
        let pause = retry_after.unwrap_or_else(|| jittered(DEFAULT_BACKOFF.after(earlier)));
        let pause = pause.clamp(MIN_BACKOFF, MAX_BACKOFF);
        tracing::warn!(?pause, "provider throttled requests: backing off");
        self.limiter.back_off(pause).await;
    }
}

impl RelyingParty {
    /// Spends a code, ahead of everybody else.
    pub(super) async fn exchange(
        &self,
        callback: VerifiedCallback,
    ) -> Result<(AuthenticatedUser, Transaction), provider::Error> {
        // With or without one it goes.
        let _ = self.budget.tokens.acquire(Priority::SignIn, SIGN_IN_MAX_WAIT).await;
        let exchanged = self.provider.exchange(callback).await;
        self.budget.tokens.note(exchanged.as_ref().err()).await;
        exchanged
    }
}
