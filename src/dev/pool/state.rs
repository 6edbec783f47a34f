//! The state of a running pool, shared by its endpoints and its handle; its issuer, and its clock.

use super::data::PoolData;
use super::faults::Faults;
use super::jwt::SigningKeys;
use super::settings::{MfaConfiguration, PoolSettings};
use super::triggers::LambdaTriggers;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What every endpoint works on.
pub(super) struct PoolState {
    host: String,
    pub(super) addr: SocketAddr,
    pub(super) triggers: LambdaTriggers,
    pub(super) mfa: MfaConfiguration,
    pub(super) attributes_require_verification: bool,
    /// Seconds between this machine's time and the pool's.
    clock_offset: AtomicI64,
    keys: Mutex<SigningKeys>,
    data: Mutex<PoolData>,
    faults: Mutex<Faults>,
    /// Shared with the listener, which resets connections while it is set.
    pub(super) down: Arc<AtomicBool>,
}

impl PoolState {
    pub(super) fn new(settings: PoolSettings, addr: SocketAddr) -> Self {
        let PoolSettings {
            host, pool_id, triggers: function, token_event, mfa, attributes_require_verification, ..
        } = settings.clone();
        Self {
            host,
            addr,
            triggers: LambdaTriggers { pool_id, function, token_event },
            mfa,
            attributes_require_verification,
            clock_offset: AtomicI64::new(0),
            keys: Mutex::new(SigningKeys::first()),
            data: Mutex::new(PoolData::new(settings)),
            faults: Mutex::default(),
            down: Arc::default(),
        }
    }

    pub(super) fn pool_id(&self) -> &str {
        &self.triggers.pool_id
    }

    /// The domain of the hosted UI and the OAuth endpoints. A real pool has its issuer on another host.
    pub(super) fn base_url(&self) -> String {
        format!("http://{}:{}", self.host, self.addr.port())
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/{}", self.base_url(), self.pool_id())
    }

    /// Epoch seconds.
    pub(super) fn now(&self) -> i64 {
        machine_seconds().saturating_add(self.clock_offset.load(Ordering::Relaxed))
    }

    pub(super) fn shift_clock(&self, seconds: i64) {
        self.clock_offset.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) fn keys(&self) -> MutexGuard<'_, SigningKeys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn data(&self) -> MutexGuard<'_, PoolData> {
        self.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pool is a program of its own and cannot ask the service's clock; this is its only look at the time"
)]
fn machine_seconds() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
