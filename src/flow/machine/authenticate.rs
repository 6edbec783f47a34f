//! Who a machine is: a client registered here, or the caller's own app client at the provider.
//!
//! An id that is registered never passes through. But where others do, the provider is asked about a wrong secret of
//! it as about a stranger's, with a secret that nobody has: else the time of the answer would tell which ids are
//! registered.
//!
//! Right credentials always pass. Wrong ones are counted by address, so that nobody can use up a limit
//! that is somebody else's; only who is authenticated is counted by client.

use super::budget::BudgetKey;
use super::cache::{TokenKey, TokenRequestKey};
use super::{Broker, MachineError};
use crate::config::MachineConfig;
use crate::domain::backoff::next_second;
use crate::domain::clock::Timestamp;
use crate::domain::machine::{MachineClient, SecretHash, TokenHolder, UnrequestedScopes, Upstream, new_secret};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use secrecy::{ExposeSecret, SecretString};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// No id or secret of a provider is longer, bytes.
const CREDENTIAL_MAX: usize = 512;

/// What a machine shows (RFC 6749 §2.3.1), and where it comes from.
#[derive(Debug)]
pub struct ClientCredentials {
    /// The client's id.
    pub id: String,
    /// Its secret.
    pub secret: SecretString,
    /// The address that it comes from, if it is known.
    pub address: Option<IpAddr>,
}

/// A machine whose id and secret were looked at.
#[derive(Debug, Clone)]
pub enum AuthenticatedClient {
    /// Registered here, and authenticated.
    Registered(Arc<MachineClient>),
    /// The caller's own app client. Only the provider can say whether the secret is right; what is kept for
    /// it is found only with the same one.
    PassThrough {
        /// What it showed.
        upstream: Arc<Upstream>,
        /// The same as a key.
        credentials: TokenKey,
        /// Whether the provider has accepted it lately.
        secret_confirmed: bool,
        /// The id is a registered client's and the secret is wrong: rejected, whatever the provider answers.
        is_registered_id: bool,
    },
}

impl AuthenticatedClient {
    /// The app client at the provider.
    pub fn upstream(&self) -> &Arc<Upstream> {
        match self {
            Self::Registered(client) => &client.upstream,
            Self::PassThrough { upstream, .. } => upstream,
        }
    }

    /// The id that the caller showed.
    pub fn id(&self) -> &str {
        match self {
            Self::Registered(client) => &client.id,
            Self::PassThrough { upstream, .. } => &upstream.client_id,
        }
    }

    /// For whom a token is fetched.
    pub(super) fn budget_key(&self) -> BudgetKey {
        let (per_hour, credentials) = match self {
            Self::Registered(client) => (client.fetches_per_hour, None),
            Self::PassThrough { credentials, .. } => (None, Some(*credentials)),
        };
        BudgetKey { client: self.id().to_owned(), per_hour, credentials }
    }

    /// Whose the tokens are that are fetched for it.
    pub(super) fn token_holder(&self) -> TokenHolder {
        match self {
            Self::Registered(client) => client.token_holder(),
            Self::PassThrough { .. } => TokenHolder::Upstream { on_behalf_of: None },
        }
    }

    /// The user on whose behalf it acts.
    pub fn on_behalf_of(&self) -> Option<&str> {
        match self {
            Self::Registered(client) => client.on_behalf_of.as_deref(),
            Self::PassThrough { .. } => None,
        }
    }

    /// Who answers for it.
    pub fn owner(&self) -> Option<&str> {
        match self {
            Self::Registered(client) => Some(&client.owner),
            Self::PassThrough { .. } => None,
        }
    }
}

/// The counts.
#[derive(Debug)]
pub(super) struct RateLimits {
    clients: DefaultKeyedRateLimiter<String>,
    failures: DefaultKeyedRateLimiter<Option<IpAddr>>,
}

impl RateLimits {
    pub(super) fn new(config: &MachineConfig) -> Self {
        let some = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self {
            clients: RateLimiter::keyed(Quota::per_second(some(config.requests_per_second))),
            failures: RateLimiter::keyed(Quota::per_minute(some(config.failures_per_minute))),
        }
    }

    pub(super) fn sweep(&self) {
        self.clients.retain_recent();
        self.failures.retain_recent();
    }
}

impl Broker {
    /// Authenticates a client at `now`.
    ///
    /// # Errors
    /// [`MachineError::InvalidClient`], [`MachineError::TooMany`], [`MachineError::Store`].
    pub(super) fn authenticate(
        &self,
        client_credentials: ClientCredentials,
        now: Timestamp,
    ) -> Result<AuthenticatedClient, MachineError> {
        let hash = SecretHash::of(client_credentials.secret.expose_secret());
        match self.registry.load().find(&client_credentials.id)? {
            Some(client) if client.has_secret(&hash) && !client.disabled => {
                self.count(&client.id)?;
                Ok(AuthenticatedClient::Registered(client.clone()))
            }
            registered
                if self.config.machine.pass_through
                    && is_credential(&client_credentials.id)
                    && is_credential(client_credentials.secret.expose_secret()) =>
            {
                let is_registered_id = registered.is_some();
                let unrequested = UnrequestedScopes::Any;
                let mut upstream = Arc::new(Upstream {
                    client_id: client_credentials.id,
                    secret: client_credentials.secret,
                    unrequested,
                    share: false,
                });
                let credentials = TokenRequestKey::credentials(&upstream);
                let secret_confirmed = !is_registered_id && self.cache.is_valid(credentials, now);
                if secret_confirmed {
                    self.count(&upstream.client_id)?;
                }
                if is_registered_id {
                    // A secret of ours, mistyped or out of use, is nothing for the provider.
                    Arc::make_mut(&mut upstream).secret = new_secret();
                }
                Ok(AuthenticatedClient::PassThrough { upstream, credentials, secret_confirmed, is_registered_id })
            }
            _ => {
                self.charge(client_credentials.address)?;
                Err(MachineError::InvalidClient)
            }
        }
    }

    fn count(&self, id: &String) -> Result<(), MachineError> {
        self.guards.clients.check_key(id).map_err(|early| too_many(&early))
    }

    /// Charges an address with credentials that are wrong, or that only the provider can judge.
    pub(super) fn charge(&self, address: Option<IpAddr>) -> Result<(), MachineError> {
        self.guards.failures.check_key(&address.map(site)).map_err(|early| too_many(&early))
    }
}

/// What RFC 6749 appendices A.1 and A.2 allow. Anything else would be odd at the provider and in the log.
fn is_credential(text: &str) -> bool {
    (1..=CREDENTIAL_MAX).contains(&text.len()) && text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

/// Who has one address of IPv6 has the 2^64 around it.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

fn too_many(early: &governor::NotUntil<governor::clock::QuantaInstant>) -> MachineError {
    let wait: Duration = early.wait_time_from(governor::clock::QuantaClock::default().now());
    MachineError::TooMany(next_second(wait))
}
