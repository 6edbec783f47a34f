//! The inside of a running pool, shared by its handlers and its handle.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::clock::Clock;
use super::draft::Tampering;
use super::faults::Faults;
use super::federation::FederationFault;
use super::grants::World;
use super::keys::KeyRing;
use super::settings::Settings;
use super::triggers::Triggers;

/// What every handler works on.
#[derive(Debug)]
pub(super) struct State {
    host: String,
    addr: SocketAddr,
    pub(super) pool_id: String,
    pub(super) clock: Clock,
    keys: Mutex<KeyRing>,
    world: Mutex<World>,
    pub(super) faults: Faults,
    pub(super) tampering: Tampering,
    pub(super) federation_fault: Mutex<Option<FederationFault>>,
    pub(super) switches: Switches,
    pub(super) triggers: Option<Triggers>,
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

impl State {
    pub(super) fn new(settings: &Settings, addr: SocketAddr) -> Self {
        Self {
            host: settings.host.clone(),
            addr,
            pool_id: settings.pool_id.clone(),
            clock: Clock::default(),
            keys: Mutex::new(KeyRing::first()),
            world: Mutex::new(World::new(settings)),
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

    pub(super) fn keys(&self) -> KeyRing {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn rotate_keys(&self) {
        let fresh = KeyRing::generate();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// JSON as text, with `\/` where the switch asks for it. A slash can only stand inside a JSON string.
    pub(super) fn write_json(&self, value: &Value) -> String {
        let text = value.to_string();
        if self.switches.escape_slashes.load(Ordering::Relaxed) { text.replace('/', "\\/") } else { text }
    }
}
