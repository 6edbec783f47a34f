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
mod token;

pub use authenticate::ClientCredentials;
pub use error::MachineError;
pub use introspect::Introspection;
pub use token::{MachineTokenResponse, TokenRequest};

use crate::domain::machine::ClientRegistry;
use crate::store::MachineTokenStore;
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;

/// What the broker keeps to.
#[derive(Debug, Clone)]
pub struct MachineLimits {
    /// Whether callers may come with a provider's app client of their own.
    pub pass_through: bool,
    /// No token with this little life left is handed out, seconds.
    pub margin: u64,
    /// After this long, the secret of a caller's own app client is tried at the provider again, seconds.
    pub recheck: u64,
    /// Requests a client may make in a second.
    pub per_client: u32,
    /// Failed authentications an address may make in a minute.
    pub per_address: u32,
    /// Tokens that may be fetched for a client in an hour.
    pub fetches_per_hour: u32,
    /// Whether there is an app client that serves registered ones.
    pub has_upstreams: bool,
    /// What the provider bills for a token, US dollars.
    pub price: f64,
    /// How long a process may take to fetch a token before another one tries.
    pub lease: Duration,
}

/// Everything that the machine verbs need beside the rest.
#[derive(Debug)]
pub struct Broker {
    registry: ArcSwap<ClientRegistry>,
    tokens: MachineTokenStore,
    limits: MachineLimits,
    cache: cache::MachineTokenCache,
    guards: authenticate::RateLimits,
    budget: budget::FetchBudget,
}

impl Broker {
    /// A broker for the clients of `registry` that shares what it fetches through `tokens`.
    pub fn new(registry: ClientRegistry, tokens: MachineTokenStore, limits: MachineLimits) -> Self {
        let guards = authenticate::RateLimits::new(&limits);
        let budget = budget::FetchBudget::new(limits.fetches_per_hour);
        let (registry, cache) = (ArcSwap::from_pointee(registry), cache::MachineTokenCache::default());
        Self { registry, tokens, limits, cache, guards, budget }
    }

    /// Replaces the registered clients: whoever is disabled or gone stops at once.
    pub fn replace_clients(&self, registry: ClientRegistry) {
        self.registry.store(Arc::new(registry));
    }

    /// Forgets callers that were not seen for a while before `now`, epoch seconds.
    pub fn sweep(&self, now: u64) {
        self.guards.sweep();
        self.budget.sweep(now);
    }
}
