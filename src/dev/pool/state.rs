//! The inside of a running pool, shared by its handlers and its handle.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::clock::PoolClock;
use super::draft::Tampering;
use super::faults::Faults;
use super::federation::FederationFault;
use super::grants::PoolData;
use super::keys::SigningKeys;
use super::settings::PoolSettings;
use super::triggers::TriggerFunction;

/// What every handler works on.
#[derive(Debug)]
pub(super) struct PoolState {
    host: String,
    addr: SocketAddr,
    pub(super) pool_id: String,
    pub(super) clock: PoolClock,
    keys: Mutex<SigningKeys>,
    world: Mutex<PoolData>,
    pub(super) faults: Faults,
    pub(super) tampering: Tampering,
    pub(super) federation_fault: Mutex<Option<FederationFault>>,
    pub(super) switches: Switches,
    pub(super) triggers: Option<TriggerFunction>,
}

/// Harmless oddities a test can turn on.
#[derive(Debug, Default)]
pub(super) struct Switches {
    pub(super) errors_without_state: AtomicBool,
    pub(super) ignores_prompt: AtomicBool,
    pub(super) discovery_extras: AtomicBool,
    pub(super) escape_slashes: AtomicBool,
    pub(super) code_reuse_revokes: AtomicBool,
    pub(super) padding: AtomicUsize,
    /// Shared with the listener, which drops connections while it is set.
    pub(super) down: Arc<AtomicBool>,
}

impl PoolState {
    pub(super) fn new(settings: &PoolSettings, addr: SocketAddr) -> Self {
        Self {
            host: settings.host.clone(),
            addr,
            pool_id: settings.pool_id.clone(),
            clock: PoolClock::default(),
            keys: Mutex::new(SigningKeys::first()),
            world: Mutex::new(PoolData::new(settings)),
            faults: Faults::default(),
            tampering: Tampering::default(),
            federation_fault: Mutex::new(None),
            switches: Switches::default(),
            triggers: settings.triggers.clone(),
        }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}:{}", self.host, self.addr.port())
    }

    pub(super) fn issuer(&self) -> String {
        format!("{}/{}", self.base_url(), self.pool_id)
    }

    pub(super) fn now(&self) -> i64 {
        self.clock.now()
    }

    pub(super) fn keys(&self) -> SigningKeys {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rotate_keys(&self) {
        let fresh = SigningKeys::generate();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    pub(super) fn world(&self) -> MutexGuard<'_, PoolData> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// JSON as text, with `\/` where the switch asks for it. A slash can only stand inside a JSON string.
    pub(super) fn write_json(&self, value: &Value) -> String {
        let text = value.to_string();
        if self.switches.escape_slashes.load(Ordering::Relaxed) { text.replace('/', "\\/") } else { text }
    }
}
