//! Bearer tokens, verified with the provider's keys, which are kept while the provider is down.

use super::failure::AuthorizationFailure;
use crate::config::Config;
use crate::domain::clock::{Clock, Timestamp};
use crate::provider::{Bearer, Error, HttpClient, Provider};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The age at which keys are read anew, so that withdrawn ones are not believed for as long as the function lives.
const KEYS_AGE: Duration = Duration::from_secs(15 * 60);
/// The time between two such attempts while the provider is down. Each costs one request its time.
const RETRY: Duration = Duration::from_secs(60);

/// Verifies bearer tokens on its own.
#[derive(Debug)]
pub struct BearerVerifier {
    provider: Provider,
    clock: Arc<dyn Clock>,
    /// When the keys are to be read anew, epoch seconds.
    renewal: AtomicU64,
}

impl BearerVerifier {
    /// For the provider of `config`. No reading takes more than half of `timeout`, so that old keys still get their
    /// chance.
    pub fn new(config: &Config, timeout: Duration, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let http = HttpClient::new(timeout / 2, Arc::new(Metrics::default())).map_err(|e| e.to_string())?;
        let provider = Provider::new(http, config, String::new(), clock.clone());
        Ok(Self { provider, clock, renewal: AtomicU64::new(0) })
    }

    /// Reads the keys if they were never read or are old.
    pub async fn renew_old_keys(&self) {
        let now = self.clock.now();
        if now < Timestamp::from_secs(self.renewal.load(Ordering::Relaxed)) {
            return;
        }
        self.renewal.store((now + RETRY).as_secs(), Ordering::Relaxed);
        match self.provider.renew_metadata().await {
            Ok(()) => self.renewal.store((now + KEYS_AGE).as_secs(), Ordering::Relaxed),
            Err(error) => tracing::warn!(%error, "keys not renewed: keeping the last known ones, if there are any"),
        }
    }

    /// The token's claims, if it is good.
    pub async fn verify(&self, token: &str) -> Result<Bearer, AuthorizationFailure> {
        self.renew_old_keys().await;
        self.provider.verify_bearer(token, None).await.map_err(|error| match error {
            Error::Token(reason) => AuthorizationFailure::Unauthorized(reason.to_string()),
            other => AuthorizationFailure::Unavailable(other.to_string()),
        })
    }
}
