//! A store in memory that counts what it is asked, and fails or panics on demand.

use crate::support::stored_in;
use async_trait::async_trait;
use auth_api::config::StoreUrl;
use auth_api::domain::clock::Timestamp;
use auth_api::domain::seal::KeyRing;
use auth_api::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use auth_api::store::{
    self, Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, Permits, RateLimit,
    RestoreOutcome, SealedSession, SealedTokens, SessionStore, UpdateOutcome,
};
use futures_util::stream::BoxStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Watched {
    store: Mutex<Arc<dyn SessionStore>>,
    loads: AtomicU64,
    writes: AtomicU64,
    away: AtomicBool,
    panics: AtomicBool,
    /// Everything that was ever written.
    written: Mutex<Vec<u8>>,
}

/// A store in memory with nothing in it.
pub(super) fn empty() -> Arc<dyn SessionStore> {
    store::open(&stored_in(StoreUrl::Memory), &Arc::new(KeyRing::new([]))).unwrap()
}

impl Watched {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            store: Mutex::new(empty()),
            loads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            away: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            written: Mutex::default(),
        })
    }

    fn inner(&self) -> Arc<dyn SessionStore> {
        self.store.lock().unwrap().clone()
    }

    /// From here on another store answers; returns the one before.
    pub(super) fn replace(&self, store: Arc<dyn SessionStore>) -> Arc<dyn SessionStore> {
        std::mem::replace(&mut self.store.lock().unwrap(), store)
    }

    pub(super) fn loads(&self) -> u64 {
        self.loads.load(Ordering::SeqCst)
    }

    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// The next read takes its caller down.
    pub(super) fn panic_once(&self) {
        self.panics.store(true, Ordering::SeqCst);
    }

    /// Whether this text was ever written as it is.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.written.lock().unwrap().windows(text.len()).any(|bytes| bytes == text.as_bytes())
    }

    fn judge(&self) -> Result<(), Error> {
        if self.away.load(Ordering::SeqCst) { Err(Error::Unavailable("it is away".into())) } else { Ok(()) }
    }

    fn write(&self, record: Option<&SealedSession>) -> Result<(), Error> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if let Some(record) = record {
            self.written.lock().unwrap().extend([&record.sealed[..], &record.summary[..]].concat());
        }
        self.judge()
    }
}

#[async_trait]
impl SessionStore for Watched {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        self.write(Some(&record))?;
        self.inner().create(key, record).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.swap(false, Ordering::SeqCst), "as the test asked for");
        self.judge()?;
        self.inner().lookup(key).await
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        self.judge()?;
        self.inner().load_tokens(key).await
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        self.write(Some(&record))?;
        self.inner().update(key, expected, record, fencing_token).await
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        self.write(None)?;
        self.inner().touch(last_used).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        self.write(Some(&record))?;
        self.inner().restore(key, record).await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        self.write(None)?;
        self.inner().delete(key, until).await
    }

    async fn list(&self, mark: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        self.judge()?;
        self.inner().list(mark).await
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        unreachable!("no operator asks here")
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        self.write(None)?;
        self.inner().lease(key, ttl).await
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.write(None)?;
        self.inner().extend(key, fencing_token, ttl).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.write(None)?;
        self.inner().release(key, fencing_token, after).await
    }

    async fn revoke(&self, mark: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        self.write(None)?;
        self.inner().revoke(mark, until).await
    }

    async fn revoked_until(&self, mark: RevocationKey) -> Result<Option<Timestamp>, Error> {
        self.judge()?;
        self.inner().revoked_until(mark).await
    }

    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error> {
        self.inner().sweep(now, idle).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.judge()?;
        self.inner().ping().await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.judge()?;
        self.inner().acquire(limit, wanted, ahead).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.judge()?;
        self.inner().back_off(limit, pause).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        self.inner().follow(listener).await
    }
}
