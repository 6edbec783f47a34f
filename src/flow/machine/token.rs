//! `POST /token` (RFC 6749 §4.4).
//!
//! 1. The caller is authenticated, cached token or not.
//! 2. A registered client gets what it is allowed, all of it if it names nothing.
//! 3. A token at hand with more life left than the margin is the answer; one that will run out soon is
//!    renewed in the background meanwhile.
//! 4. Else it is fetched: once, whoever else waits for the same.

use super::MachineError;
use super::authenticate::{Credentials, Machine};
use super::cache::{Entry, Shape};
use crate::domain::machine::Scopes;
use crate::flow::RelyingParty;
use std::net::IpAddr;
use std::sync::Arc;

/// What a machine asks for.
#[derive(Debug, Default, Clone)]
pub struct TokenRequest {
    /// The scopes; empty for all that it may have.
    pub scopes: Scopes,
    /// The resource that the token is for (RFC 8707).
    pub resource: Option<String>,
}

/// A token that is handed out.
#[derive(Debug)]
pub struct Granted {
    entry: Arc<Entry>,
    /// Seconds of life left.
    pub expires_in: u64,
    /// Whether it cost nothing.
    pub from_cache: bool,
}

impl Granted {
    /// The answer's JSON up to the number of seconds.
    pub fn json_head(&self) -> &str {
        &self.entry.json_head
    }

    /// What it is good for.
    pub fn scopes(&self) -> &Scopes {
        &self.entry.token.scopes
    }
}

impl RelyingParty {
    /// Hands out a token.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn machine_token(
        self: &Arc<Self>,
        shown: Credentials,
        request: TokenRequest,
    ) -> Result<Granted, MachineError> {
        let address = shown.address;
        let outcome = match self.broker.authenticate(shown, self.clock.now()) {
            Ok(machine) => match shape(&machine, request) {
                Ok(shape) => match self.at_hand(&machine, &shape) {
                    Some(granted) => Ok((granted, machine)),
                    // Boxed, so that the way that is nearly always taken carries nothing of it along.
                    None => Box::pin(self.token_for(&machine, shape, address)).await.map(|granted| (granted, machine)),
                },
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match outcome {
            Ok((granted, machine)) => {
                let cache = if granted.from_cache { "hit" } else { "miss" };
                match granted.from_cache {
                    true => self.metrics.machine_hit(self.broker.limits.price),
                    false => self.metrics.machine_token(cache),
                }
                // The audit trail: who got what, never the token.
                tracing::info!(
                    target: "auth_api::audit", client = %machine.id(), owner = machine.owner(),
                    scopes = %granted.scopes(), cache, "issued a machine token"
                );
                Ok(granted)
            }
            Err(error) => {
                self.metrics.machine_token(error.outcome());
                tracing::debug!(%error, "refused a machine token");
                Err(error)
            }
        }
    }

    /// The token that this process has at hand, if it is known to be good without asking anybody.
    fn at_hand(self: &Arc<Self>, machine: &Machine, shape: &Shape) -> Option<Granted> {
        let (key, now) = (shape.key(), self.clock.now());
        let entry = self.broker.cache.tokens.get(&key)?;
        if !self.has_time(&entry, machine, now) || self.sessions.remembered_ended(&entry.token.names) != Some(false) {
            return None;
        }
        Some(self.hand_out(entry, shape, now))
    }

    fn hand_out(self: &Arc<Self>, entry: Arc<Entry>, shape: &Shape, now: u64) -> Granted {
        if entry.is_due(now) {
            self.renew_machine_token(entry.clone(), shape.clone());
        }
        let expires_in = entry.token.remaining(now);
        Granted { entry, expires_in, from_cache: true }
    }

    async fn token_for(
        self: &Arc<Self>,
        machine: &Machine,
        shape: Shape,
        address: Option<IpAddr>,
    ) -> Result<Granted, MachineError> {
        let (key, now) = (shape.key(), self.clock.now());
        // The secret of a caller's own app client may have been changed at the provider.
        let mut than = match machine {
            Machine::Registered(_) => 0,
            Machine::PassThrough { .. } => now.saturating_sub(self.broker.limits.recheck),
        };
        if let Some(entry) = self.broker.cache.tokens.get(&key) {
            // If the store cannot say whether it was revoked, whoever is shown the token will ask again.
            if self.has_time(&entry, machine, now) && !self.sessions.is_ended(&entry.token.names).await.unwrap_or(false)
            {
                return Ok(self.hand_out(entry, &shape, now));
            }
            than = than.max(entry.token.issued_at);
        }
        let credentials = match machine {
            Machine::Registered(_) => None,
            Machine::PassThrough { credentials, .. } if self.broker.cache.is_wrong(*credentials, now) => {
                return Err(MachineError::InvalidClient);
            }
            Machine::PassThrough { credentials, known, .. } => {
                if !known {
                    self.broker.charge(address)?;
                }
                Some(*credentials)
            }
        };
        match self.fetch(key, shape, than).await {
            Ok(entry) => {
                if let Some(credentials) = credentials {
                    self.broker.cache.note_good(credentials, entry.token.issued_at + self.broker.limits.recheck);
                }
                let expires_in = entry.token.remaining(self.clock.now());
                Ok(Granted { entry, expires_in, from_cache: false })
            }
            Err(MachineError::InvalidClient) => match credentials {
                Some(credentials) => {
                    self.broker.cache.note_wrong(credentials, now);
                    Err(MachineError::InvalidClient)
                }
                None => Err(MachineError::Upstream),
            },
            Err(MachineError::UnauthorizedClient(_)) if credentials.is_none() => Err(MachineError::Upstream),
            Err(error) => Err(error),
        }
    }

    /// Whether a token at hand has enough life left, and its caller's secret was tried lately enough.
    fn has_time(&self, entry: &Entry, machine: &Machine, now: u64) -> bool {
        let token = &entry.token;
        let tried = match machine {
            Machine::Registered(_) => true,
            Machine::PassThrough { .. } => now.saturating_sub(token.issued_at) < self.broker.limits.recheck,
        };
        tried && token.remaining(now) > self.broker.limits.margin
    }

    fn renew_machine_token(self: &Arc<Self>, entry: Arc<Entry>, shape: Shape) {
        let flight = self.fetch(shape.key(), shape.clone(), entry.token.issued_at);
        let this = self.clone();
        self.tasks.spawn(async move {
            match flight.await {
                Ok(_) => {}
                // Its secret is dead: so is what was fetched with it.
                Err(MachineError::InvalidClient) => {
                    this.broker.cache.tokens.remove(&shape.key());
                    this.broker.cache.note_wrong(Shape::credentials(&shape.upstream), this.clock.now());
                }
                Err(_) => entry.renewal_failed(),
            }
        });
    }
}

/// What a machine gets if nothing stands against it: the scopes that it asks for, or all that it may have.
fn shape(machine: &Machine, request: TokenRequest) -> Result<Shape, MachineError> {
    let scopes = match machine {
        Machine::Registered(client) if request.scopes.is_empty() => client.scopes.clone(),
        Machine::Registered(client) if !client.scopes.cover(&request.scopes) => {
            let not_theirs: Vec<_> =
                request.scopes.iter().filter(|scope| !client.scopes.iter().any(|own| own == *scope)).collect();
            let what = format!("this client may not ask for: {}", not_theirs.join(" "));
            return Err(MachineError::InvalidScope(what));
        }
        _ => request.scopes,
    };
    Ok(Shape { upstream: machine.upstream().clone(), scopes, resource: request.resource })
}

impl MachineError {
    /// For the metrics.
    fn outcome(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) | Self::UnsupportedGrantType => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnauthorizedClient(_) => "unauthorized_client",
            Self::InvalidScope(_) => "invalid_scope",
            Self::TooMany(_) => "limited",
            Self::Unavailable(_) | Self::Store(_) | Self::Provider(_) => "unavailable",
            Self::Upstream => "upstream_refused",
        }
    }
}
