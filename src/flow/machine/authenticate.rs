//! Who a machine is: a client registered here, or the caller's own app client at the provider.
//!
//! Right credentials always pass. Wrong ones are counted by address, so that nobody can use up a limit
//! that is somebody else's; only who is authenticated is counted by client.

use super::{Broker, MachineError, MachineLimits};
use crate::domain::machine::{Client, SecretHash, Upstream};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What a machine shows (RFC 6749 §2.3.1), and where it comes from.
#[derive(Debug)]
pub struct Credentials {
    /// The client's id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The address that it comes from, if it is known.
    pub address: Option<IpAddr>,
}

/// A machine whose id and secret were looked at.
#[derive(Debug, Clone)]
pub enum Machine {
    /// Registered here, and authenticated.
    Registered(Arc<Client>),
    /// The caller's own app client. Only the provider can say whether the secret is right; what is kept for
    /// it is found only with the same one.
    PassThrough(Arc<Upstream>),
}

impl Machine {
    /// The app client at the provider.
    pub fn upstream(&self) -> &Arc<Upstream> {
        match self {
            Self::Registered(client) => &client.upstream,
            Self::PassThrough(upstream) => upstream,
        }
    }

    /// The id that the caller showed.
    pub fn id(&self) -> &str {
        match self {
            Self::Registered(client) => &client.id,
            Self::PassThrough(upstream) => &upstream.client_id,
        }
    }

    /// Who answers for it.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Registered(client) => Some(&client.owner),
            Self::PassThrough(_) => None,
        }
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct Guards {
    clients: DefaultKeyedRateLimiter<String>,
    failures: DefaultKeyedRateLimiter<Option<IpAddr>>,
}

impl Guards {
    pub(super) fn new(limits: &MachineLimits) -> Self {
        let some = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            clients: RateLimiter::keyed(Quota::per_second(some(limits.per_client))),
            failures: RateLimiter::keyed(Quota::per_minute(some(limits.per_address))),
        }
    }

    pub(super) fn sweep(&self) {
        self.clients.retain_recent();
        self.failures.retain_recent();
    }
}

impl Broker {
    /// Looks at who a machine says it is.
    ///
    /// # Errors
    /// [`MachineError::InvalidClient`], [`MachineError::TooMany`].
    pub(super) fn authenticate(&self, shown: Credentials) -> Result<Machine, MachineError> {
        let hash = SecretHash::of(shown.secret.expose_secret());
        match self.registry.load().get(&shown.id) {
            Some(client) if client.knows(&hash) && !client.disabled => {
                self.guards.clients.check_key(&client.id).map_err(|early| too_many(&early))?;
                Ok(Machine::Registered(client.clone()))
            }
            None if self.limits.pass_through => {
                Ok(Machine::PassThrough(Arc::new(Upstream { client_id: shown.id, secret: shown.secret })))
            }
            _ => {
                self.charge(shown.address)?;
                Err(MachineError::InvalidClient)
            }
        }
    }

    /// Charges an address with credentials that are wrong, or that only the provider can judge.
    pub(super) fn charge(&self, address: Option<IpAddr>) -> Result<(), MachineError> {
        self.guards.failures.check_key(&address).map_err(|early| too_many(&early))
    }
}

fn too_many(early: &governor::NotUntil<governor::clock::QuantaInstant>) -> MachineError {
    let wait: Duration = early.wait_time_from(governor::clock::QuantaClock::default().now());
    MachineError::TooMany(wait.as_secs() + 1)
}
