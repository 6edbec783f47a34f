//! Tokens for machines (RFC 6749 §4.4): fetched once, handed out many times.
//!
//! A provider bills every token. So each one is kept until it has to be renewed, and every caller who asks
//! for the same gets the same. That never loosens who may have it: a caller is authenticated each time,
//! and what is kept is found only under everything that shaped it.

mod authenticate;
mod budget;
mod cache;
mod error;
mod fetch;
mod introspect;
mod issued;
mod registry;
mod token;

pub use authenticate::ClientCredentials;
pub use error::MachineError;
pub use introspect::Introspection;
pub use registry::ClientStoreError;
pub use token::{MachineTokenResponse, TokenRequest};

use crate::config::Config;
use crate::domain::clock::Timestamp;
use crate::domain::machine::ClientRegistry;
use crate::store::{ClientRegistrations, MachineTokenStore};
use std::sync::Arc;

/// Everything that the machine verbs need beside the rest.
#[derive(Debug)]
pub struct Broker {
    registry: registry::Registry,
    tokens: MachineTokenStore,
    config: Arc<Config>,
    cache: cache::MachineTokenCache,
    guards: authenticate::RateLimits,
    budget: budget::FetchBudget,
}

impl Broker {
    /// A broker for the clients of the configuration and those in `registrations`, that shares what it fetches through
    /// `tokens`.
    pub fn new(
        configured: ClientRegistry,
        registrations: ClientRegistrations,
        tokens: MachineTokenStore,
        config: Arc<Config>,
    ) -> Self {
        let guards = authenticate::RateLimits::new(&config.machine);
        let budget = budget::FetchBudget::new(config.machine.fetches_per_hour);
        let registry = registry::Registry::new(configured, registrations, config.clone());
        Self { registry, tokens, config, cache: cache::MachineTokenCache::default(), guards, budget }
    }

    /// Forgets callers that were not seen for a while before `now`.
    pub fn sweep(&self, now: Timestamp) {
        self.guards.sweep();
        self.budget.sweep(now);
    }
}
