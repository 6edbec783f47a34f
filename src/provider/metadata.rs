//! Discovery and keys: read once, kept while the provider is down, read again when a token names a
//! key we have not seen.

use super::discovery::{Endpoints, MetadataSource};
use super::error::Error;
use super::http::HttpClient;
use super::keys::VerificationKeys;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::seal::sha256;
use crate::telemetry::in_current_spans;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use url::Url;

/// The time between two reads of the JWKS that unknown keys of strangers' tokens may cause.
const UNTRUSTED_READ_PAUSE: Duration = Duration::from_secs(10);
/// The same of tokens that the provider itself has just given us: people wait for them, and codes are spent.
const TRUSTED_READ_PAUSE: Duration = Duration::from_secs(1);
/// The time between two attempts at a provider that does not answer.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a document that cannot be used: that is no outage, and somebody has to mend it.
const MISTAKE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// What we know of the provider.
#[derive(Debug)]
pub struct ProviderSnapshot {
    /// The endpoints.
    pub endpoints: Arc<Endpoints>,
    /// The keys.
    pub keys: Arc<VerificationKeys>,
}

#[derive(Debug)]
struct FailedRead {
    at: Timestamp,
    error: Error,
    pause: Duration,
}

impl FailedRead {
    /// The failure of an attempt after `before`.
    fn after(before: Option<&Self>, error: Error, at: Timestamp) -> Self {
        let pause = match (&error, before) {
            (Error::Unusable(_), Some(before)) => (2 * before.pause).min(MISTAKE_PAUSE_MAX),
            _ => FAILURE_PAUSE,
        };
        Self { at, error, pause }
    }
}

/// When the JWKS was last read for a key that was not known. Held across a read, so that there is
/// never more than one.
type LastRead = Mutex<Option<Timestamp>>;

/// The cached metadata of one issuer.
#[derive(Debug)]
pub struct Metadata {
    source: MetadataSource,
    http: HttpClient,
    clock: Arc<dyn Clock>,
    snapshot: ArcSwapOption<ProviderSnapshot>,
    // Held across a read, so that there is never more than one.
    failed: Mutex<Option<FailedRead>>,
    // Apart, so that strangers' tokens cannot keep those of a sign-in from the provider's new keys.
    trusted_reads: LastRead,
    untrusted_reads: LastRead,
    /// Counts the readings of the keys.
    generation: AtomicU64,
    /// When the keys were last read, changed or not, epoch seconds; 0 if they never were.
    keys_fetched: AtomicU64,
}

impl Metadata {
    pub(super) fn new(source: MetadataSource, http: HttpClient, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            http,
            clock,
            snapshot: ArcSwapOption::empty(),
            failed: Mutex::default(),
            trusted_reads: Mutex::default(),
            untrusted_reads: Mutex::default(),
            generation: AtomicU64::new(0),
            keys_fetched: AtomicU64::new(0),
        }
    }

    /// What was read, if anything was.
    pub fn current(&self) -> Option<Arc<ProviderSnapshot>> {
        self.snapshot.load_full()
    }

    /// Why the last reading failed; `None` if it did not, or while one is under way.
    pub fn last_failure(&self) -> Option<Error> {
        self.failed.try_lock().ok()?.as_ref().map(|failed| failed.error.clone())
    }

    /// Which reading of the keys is current.
    pub fn generation(&self) -> Option<u64> {
        self.snapshot.load().as_ref().map(|snapshot| snapshot.keys.generation)
    }

    /// When the keys were last read, changed or not.
    pub fn keys_fetched(&self) -> Option<Timestamp> {
        Some(self.keys_fetched.load(Ordering::Relaxed)).filter(|at| *at > 0).map(Timestamp::from_secs)
    }

    /// What is known, read now if it never was.
    ///
    /// # Errors
    /// Why the provider's documents cannot be had.
    pub async fn snapshot(&self) -> Result<Arc<ProviderSnapshot>, Error> {
        if let Some(snapshot) = self.current() {
            return Ok(snapshot);
        }
        let mut failed = self.failed.lock().await;
        if let Some(snapshot) = self.current() {
            return Ok(snapshot);
        }
        if let Some(failed) = &*failed
            && self.clock.now().abs_diff(failed.at) < failed.pause
        {
            return Err(failed.error.clone());
        }
        self.read(&mut failed).await
    }

    /// Reads everything again; what was known stays if that fails.
    ///
    /// # Errors
    /// Why the provider's documents cannot be had.
    pub async fn renew(&self) -> Result<Arc<ProviderSnapshot>, Error> {
        let mut failed = self.failed.lock().await;
        self.read(&mut failed).await
    }

    /// What is known, with the key `kid` of a token that the provider itself has given us, if it publishes that.
    ///
    /// # Errors
    /// As [`Metadata::snapshot`]. That the key is still unknown is no error here.
    pub async fn with_key(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<ProviderSnapshot>, Error> {
        self.find_key(kid, |metadata| (&metadata.trusted_reads, TRUSTED_READ_PAUSE)).await
    }

    /// The same for a token that anybody may have made up: they cause at most one read in ten seconds, however many
    /// keys they name.
    ///
    /// # Errors
    /// As [`Metadata::with_key`].
    pub async fn with_untrusted_key(self: &Arc<Self>, kid: Option<&str>) -> Result<Arc<ProviderSnapshot>, Error> {
        self.find_key(kid, |metadata| (&metadata.untrusted_reads, UNTRUSTED_READ_PAUSE)).await
    }

    async fn find_key(
        self: &Arc<Self>,
        kid: Option<&str>,
        budget: fn(&Self) -> (&LastRead, Duration),
    ) -> Result<Arc<ProviderSnapshot>, Error> {
        let snapshot = self.snapshot().await?;
        if snapshot.keys.contains(kid) {
            return Ok(snapshot);
        }
        // A task of its own: a caller who hangs up must not cut off the one read that all wait for.
        let (this, kid, fallback) = (self.clone(), kid.map(str::to_owned), snapshot.clone());
        let read = async move { this.read_jwks_for(kid.as_deref(), snapshot, budget).await };
        let read = tokio::spawn(in_current_spans(read));
        Ok(read.await.unwrap_or(fallback))
    }

    async fn read_jwks_for(
        &self,
        kid: Option<&str>,
        snapshot: Arc<ProviderSnapshot>,
        budget: fn(&Self) -> (&LastRead, Duration),
    ) -> Arc<ProviderSnapshot> {
        let (last_read, pause) = budget(self);
        let mut last_read = last_read.lock().await;
        let snapshot = self.current().unwrap_or(snapshot);
        let lately = last_read.is_some_and(|at| self.clock.now().abs_diff(at) < pause);
        if snapshot.keys.contains(kid) || lately {
            return snapshot;
        }
        let read = self.read_keys(&snapshot.endpoints.jwks, Some(&snapshot.keys)).await;
        // Afterwards: who has waited for a slow answer must not begin another one.
        *last_read = Some(self.clock.now());
        match read {
            Ok(keys) => {
                let snapshot = Arc::new(ProviderSnapshot { endpoints: snapshot.endpoints.clone(), keys });
                self.snapshot.store(Some(snapshot.clone()));
                snapshot
            }
            Err(error) => {
                tracing::warn!(%error, "JWKS refresh failed: keeping the last known keys");
                snapshot
            }
        }
    }

    async fn read(&self, failed: &mut Option<FailedRead>) -> Result<Arc<ProviderSnapshot>, Error> {
        let result = async {
            let endpoints = self.source.read(&self.http).await?;
            let current = self.current();
            let keys = self.read_keys(&endpoints.jwks, current.as_deref().map(|snapshot| &snapshot.keys)).await?;
            Ok(Arc::new(ProviderSnapshot { endpoints: Arc::new(endpoints), keys }))
        }
        .await;
        match &result {
            Ok(snapshot) => {
                *failed = None;
                self.snapshot.store(Some(snapshot.clone()));
            }
            Err(error) => *failed = Some(FailedRead::after(failed.as_ref(), Error::clone(error), self.clock.now())),
        }
        result
    }

    /// The keys as they are published now; the same reading as before if they have not changed, so that
    /// what was verified with it stays verified.
    async fn read_keys(
        &self,
        url: &Url,
        before: Option<&Arc<VerificationKeys>>,
    ) -> Result<Arc<VerificationKeys>, Error> {
        let document = self.http.get("jwks", url).await?;
        let digest = sha256(&document);
        let keys = match before.filter(|keys| keys.digest == digest) {
            Some(same) => same.clone(),
            None => {
                let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
                Arc::new(VerificationKeys::parse(&document, digest, generation).map_err(Error::Unusable)?)
            }
        };
        self.keys_fetched.store(self.clock.now().as_secs(), Ordering::Relaxed);
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;

    #[test]
    fn a_mistake_is_asked_about_less_and_less_and_an_outage_soon() {
        let mistake = || Error::Unusable("another issuer".into());
        let outage = || Error::unavailable("no answer".into());
        let mut failed = FailedRead::after(None, mistake(), at(0));
        let mut pauses = vec![failed.pause.as_secs()];
        for _ in 0..8 {
            failed = FailedRead::after(Some(&failed), mistake(), at(0));
            pauses.push(failed.pause.as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(FailedRead::after(Some(&failed), outage(), at(0)).pause.as_secs(), 1);
    }
}
