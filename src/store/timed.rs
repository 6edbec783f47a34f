//! A store whose calls are counted and timed, whatever it is.

use super::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, Permits, RateLimit, RestoreOutcome,
    SealedSession, SealedTokens, SessionStore, UpdateOutcome, Warning,
};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use crate::telemetry::{Metrics, traces};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// A store, and where its calls are counted.
#[derive(Debug)]
pub struct TimedStore {
    store: Arc<dyn SessionStore>,
    system: &'static str,
    metrics: Arc<Metrics>,
}

impl TimedStore {
    /// Counts the calls of `store`, which traces call `system`.
    pub fn new(store: Arc<dyn SessionStore>, system: &'static str, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { store, system, metrics })
    }

    async fn timed<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let began = Instant::now();
        let span = traces::store_call(self.system, operation);
        let result = call.instrument(span.clone()).await;
        if result.is_err() {
            traces::failed(&span, "unavailable");
        }
        self.metrics.store(operation, if result.is_ok() { "ok" } else { "error" }, began.elapsed());
        result
    }
}

#[async_trait]
impl SessionStore for TimedStore {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        self.timed("create", self.store.create(key, record)).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.timed("lookup", self.store.lookup(key)).await
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        self.timed("load_tokens", self.store.load_tokens(key)).await
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        self.timed("update", self.store.update(key, expected, record, fencing_token)).await
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        self.timed("touch", self.store.touch(last_used)).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        self.timed("restore", self.store.restore(key, record)).await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        self.timed("delete", self.store.delete(key, until)).await
    }

    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        self.timed("list", self.store.list(index_key)).await
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        self.store.keys()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        self.timed("lease", self.store.lease(key, ttl)).await
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.timed("extend", self.store.extend(key, fencing_token, ttl)).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.timed("release", self.store.release(key, fencing_token, after)).await
    }

    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        self.timed("revoke", self.store.revoke(revocation_key, until)).await
    }

    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        self.timed("revoked_until", self.store.revoked_until(revocation_key)).await
    }

    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error> {
        self.timed("sweep", self.store.sweep(now, idle)).await
    }

    async fn count(&self) -> Result<Option<u64>, Error> {
        self.timed("count", self.store.count()).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.timed("ping", self.store.ping()).await
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        self.timed("warnings", self.store.warnings()).await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.timed("acquire", self.store.acquire(limit, wanted, ahead)).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.timed("back_off", self.store.back_off(limit, pause)).await
    }

    // It returns when the connection is lost: that is no call that takes a time.
    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        self.store.follow(listener).await
    }
}
