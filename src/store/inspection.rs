//! What the store is asked beside sessions: how it is set up, and what all processes on it may do together.

use super::{CacheUsage, Error, RateLimit, Sessions, SharedRateLimiter, Warning};
use std::sync::Arc;

impl Sessions {
    /// What may cost sessions some day, though the store answers now. The metric says it too.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        let warnings = self.count_errors(self.store.warnings().await)?;
        self.metrics.store_warnings(warnings.iter().map(Warning::kind));
        Ok(warnings)
    }

    /// How many sessions the store has, where it knows without going through them.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn count(&self) -> Result<Option<u64>, Error> {
        self.count_errors(self.store.count().await)
    }

    /// How much this process remembers.
    pub fn cache_usage(&self) -> CacheUsage {
        self.cache.usage()
    }

    /// A rate limit for all processes on this store.
    pub fn rate_limiter(&self, limit: RateLimit) -> Arc<SharedRateLimiter> {
        SharedRateLimiter::new(self.store.clone(), limit)
    }
}
