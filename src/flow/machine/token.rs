//! `POST /token` (RFC 6749 §4.4).
//!
//! 1. The caller is authenticated, cached token or not.
//! 2. A registered client gets what it is allowed, all of it if it names nothing.
//! 3. A token at hand with more life left than the margin is the answer; one that will run out soon is
//!    renewed in the background meanwhile.
//! 4. Else it is fetched: once, whoever else waits for the same.

use super::MachineError;
use super::authenticate::{AuthenticatedClient, ClientCredentials};
use super::cache::{CachedToken, TokenKey, TokenRequestKey};
use crate::audit::{self, AuditEvent};
use crate::domain::clock::Timestamp;
use crate::domain::machine::{Scopes, UpstreamRequest};
use crate::flow::RelyingParty;
use crate::telemetry::traces::TARGET;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tracing::instrument;

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
pub struct MachineTokenResponse {
    entry: Arc<CachedToken>,
    /// The life left.
    pub expires_in: Duration,
    /// Whether it cost nothing.
    pub from_cache: bool,
}

impl MachineTokenResponse {
    /// The answer's JSON up to the number of seconds.
    pub fn json_head(&self) -> &str {
        &self.entry.json_head
    }

    /// What it is good for.
    pub fn scopes(&self) -> &Scopes {
        &self.entry.token.scopes
    }

    /// The resource that it was asked for.
    pub fn resource(&self) -> Option<&str> {
        self.entry.token.issued.requested.resource.as_deref()
    }
}

impl RelyingParty {
    /// Hands out a token.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn machine_token(
        self: &Arc<Self>,
        client_credentials: ClientCredentials,
        request: TokenRequest,
    ) -> Result<MachineTokenResponse, MachineError> {
        let address = client_credentials.address;
        let outcome = match self.broker.authenticate(client_credentials, self.clock.now()) {
            Ok(machine) => match request_key(&machine, request) {
                Ok(request_key) => match self.at_hand(&machine, &request_key) {
                    Some(granted) => Ok((granted, machine)),
                    // Boxed, so that the way that is nearly always taken carries nothing of it along.
                    None => {
                        Box::pin(self.token_for(&machine, request_key, address)).await.map(|granted| (granted, machine))
                    }
                },
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        match outcome {
            Ok((granted, machine)) => {
                match granted.from_cache {
                    true => self.metrics.machine_hit(self.broker.config.machine.price_per_1000 / 1_000.0),
                    false => self.metrics.machine_token("miss"),
                }
                if self.audit.is_enabled() {
                    self.audit.record(&AuditEvent::TokenIssued {
                        client: audit::text(machine.id()),
                        owner: machine.owner().map(audit::text),
                        on_behalf_of: machine.on_behalf_of().map(audit::text),
                        scopes: audit::list(granted.scopes()),
                        resource: granted.resource().map(audit::text),
                        cached: granted.from_cache,
                    });
                }
                Ok(granted)
            }
            Err(error) => {
                self.metrics.machine_token(error.outcome());
                tracing::debug!(%error, "machine token refused");
                self.audit.record(&AuditEvent::TokenRefused { reason: error.outcome() });
                Err(error)
            }
        }
    }

    /// The token that this process has at hand, if it is known to be good without asking anybody.
    fn at_hand(
        self: &Arc<Self>,
        machine: &AuthenticatedClient,
        request_key: &TokenRequestKey,
    ) -> Option<MachineTokenResponse> {
        let (key, now) = (request_key.key(), self.clock.now());
        let entry = self.broker.cache.tokens.get(&key)?;
        let revocation_keys = &entry.token.issued.revocation_keys;
        if !self.has_time(&entry, machine, now) || self.sessions.cached_revocation(revocation_keys) != Some(false) {
            return None;
        }
        self.hand_out(entry, machine, request_key, now).ok()
    }

    fn hand_out(
        self: &Arc<Self>,
        entry: Arc<CachedToken>,
        machine: &AuthenticatedClient,
        request_key: &TokenRequestKey,
        now: Timestamp,
    ) -> Result<MachineTokenResponse, MachineError> {
        is_allowed(machine, &entry)?;
        if entry.is_due(now) {
            self.renew_machine_token(entry.clone(), machine, request_key.clone());
        }
        let expires_in = entry.token.remaining(now);
        Ok(MachineTokenResponse { entry, expires_in, from_cache: true })
    }

    #[instrument(target = TARGET, name = "machine token", skip_all)]
    async fn token_for(
        self: &Arc<Self>,
        machine: &AuthenticatedClient,
        request_key: TokenRequestKey,
        address: Option<IpAddr>,
    ) -> Result<MachineTokenResponse, MachineError> {
        let (key, now) = (request_key.key(), self.clock.now());
        // The secret of a caller's own app client may have been changed at the provider.
        let mut issued_after = match machine {
            AuthenticatedClient::Registered(_) => Timestamp::default(),
            AuthenticatedClient::PassThrough { .. } => now - self.broker.config.machine.recheck,
        };
        if let Some(entry) = self.broker.cache.tokens.get(&key) {
            let revocation_keys = &entry.token.issued.revocation_keys;
            // If the store cannot say whether it was revoked, whoever is shown the token will ask again.
            if self.has_time(&entry, machine, now) && !self.sessions.is_revoked(revocation_keys).await.unwrap_or(false)
            {
                return self.hand_out(entry, machine, &request_key, now);
            }
            issued_after = issued_after.max(entry.token.issued_at);
        }
        if let AuthenticatedClient::PassThrough { credentials, secret_confirmed, .. } = machine {
            if self.broker.cache.is_invalid(*credentials, now) {
                return Err(MachineError::InvalidClient);
            }
            if !secret_confirmed {
                self.broker.charge(address)?;
            }
        }
        let fetched = self.fetch_for(machine, key, request_key, issued_after).await;
        match (fetched, machine) {
            (
                Ok(entry),
                AuthenticatedClient::Registered(_) | AuthenticatedClient::PassThrough { is_registered_id: false, .. },
            ) => {
                if let AuthenticatedClient::PassThrough { credentials, .. } = machine {
                    self.broker
                        .cache
                        .note_valid(*credentials, entry.token.issued_at + self.broker.config.machine.recheck);
                }
                is_allowed(machine, &entry)?;
                let expires_in = entry.token.remaining(self.clock.now());
                Ok(MachineTokenResponse { entry, expires_in, from_cache: false })
            }
            // Nobody has the secret that the provider was shown.
            (Ok(_), AuthenticatedClient::PassThrough { .. }) => Err(MachineError::InvalidClient),
            (Err(MachineError::InvalidClient), AuthenticatedClient::PassThrough { credentials, .. }) => {
                self.broker.cache.note_invalid(*credentials, now);
                Err(MachineError::InvalidClient)
            }
            (
                Err(MachineError::InvalidClient | MachineError::UnauthorizedClient(_)),
                AuthenticatedClient::Registered(_),
            ) => Err(MachineError::Upstream),
            (Err(error), _) => Err(error),
        }
    }

    /// Fetches a token, or waits for whoever does.
    async fn fetch_for(
        self: &Arc<Self>,
        machine: &AuthenticatedClient,
        key: TokenKey,
        request_key: TokenRequestKey,
        issued_after: Timestamp,
    ) -> Result<Arc<CachedToken>, MachineError> {
        let budget_key = machine.budget_key();
        let has_budget = || match machine {
            AuthenticatedClient::PassThrough { secret_confirmed: false, .. } => Ok(()),
            _ => self.broker.budget.check(&budget_key, self.clock.now()),
        };
        has_budget()?;
        match self.fetch(key, request_key.clone(), issued_after, budget_key.clone()).await {
            // It may have been another client's fetch, and that one's budget.
            Err(MachineError::OverBudget(_)) if has_budget().is_ok() => {
                self.fetch(key, request_key, issued_after, budget_key).await
            }
            fetched => fetched,
        }
    }

    /// Whether a token at hand has enough life left, and its caller's secret was tried lately enough.
    fn has_time(&self, entry: &CachedToken, machine: &AuthenticatedClient, now: Timestamp) -> bool {
        let token = &entry.token;
        let tried = match machine {
            AuthenticatedClient::Registered(_) => true,
            AuthenticatedClient::PassThrough { .. } => now.since(token.issued_at) < self.broker.config.machine.recheck,
        };
        tried && token.remaining(now) > self.broker.config.machine.cache_margin
    }

    fn renew_machine_token(
        self: &Arc<Self>,
        entry: Arc<CachedToken>,
        machine: &AuthenticatedClient,
        request_key: TokenRequestKey,
    ) {
        let budget_key = machine.budget_key();
        if self.broker.budget.check(&budget_key, self.clock.now()).is_err() {
            // It is handed out as long as it lasts; another client may have it renewed.
            entry.renewal_failed();
            return;
        }
        let flight = self.fetch(request_key.key(), request_key.clone(), entry.token.issued_at, budget_key);
        let this = self.clone();
        self.tasks.spawn(async move {
            match flight.await {
                Ok(_) => {}
                // Its secret is dead: so is what was fetched with it.
                Err(MachineError::InvalidClient) => {
                    this.broker.cache.tokens.remove(&request_key.key());
                    this.broker
                        .cache
                        .note_invalid(TokenRequestKey::credentials(&request_key.upstream), this.clock.now());
                }
                Err(_) => entry.renewal_failed(),
            }
        });
    }
}

/// A token at hand may have been fetched for a caller who may have more.
fn is_allowed(machine: &AuthenticatedClient, entry: &CachedToken) -> Result<(), MachineError> {
    match machine.upstream().unrequested.allow(&entry.unrequested) {
        true => Ok(()),
        false => Err(MachineError::unrequested(&entry.unrequested)),
    }
}

/// What a machine gets if nothing stands against it: the scopes that it asks for, or all that it may have.
fn request_key(machine: &AuthenticatedClient, request: TokenRequest) -> Result<TokenRequestKey, MachineError> {
    let scopes = match machine {
        AuthenticatedClient::Registered(client) if request.scopes.is_empty() => client.scopes.clone(),
        AuthenticatedClient::Registered(client) if !client.scopes.cover(&request.scopes) => {
            let not_theirs = request.scopes.without(&client.scopes);
            return Err(MachineError::InvalidScope(format!("this client may not ask for: {not_theirs}")));
        }
        _ => request.scopes,
    };
    if let (AuthenticatedClient::Registered(client), Some(resource)) = (machine, &request.resource)
        && !client.may_name(resource)
    {
        return Err(MachineError::InvalidTarget("this client may not name that resource"));
    }
    let requested = UpstreamRequest { scopes, resource: request.resource };
    Ok(TokenRequestKey { upstream: machine.upstream().clone(), requested, holder: machine.token_holder() })
}
