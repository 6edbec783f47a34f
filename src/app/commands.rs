//! What an operator's commands do with the configured provider and store.

use super::operator::{OperatorCommand, execute};
use super::{Error, key_ring};
use crate::config::Config;
use crate::domain::client_registration::{ClientChange, ClientList};
use crate::domain::clock::{Clock, SystemClock, Timestamp};
use crate::domain::finding::Finding;
use crate::flow::{EndedSessions, OwnSession};
use crate::provider::{BearerIssuers, HttpClient, Provider};
use crate::store;
use std::sync::Arc;

/// Asks the provider and the store that `config` names. Leaves no files: they would belong to whoever asks.
///
/// # Errors
/// [`Error::Provider`] if this machine's TLS set-up cannot be loaded.
pub async fn probe(config: &Config) -> Result<Vec<Finding>, Error> {
    let own = &config.server.public_url;
    let callback = own.join("/auth/signin/callback");
    let http = HttpClient::new(config.provider.timeout, Arc::default())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bearer_issuers = BearerIssuers::new(&http, &config.provider, &clock);
    let provider = Provider::new(http, config, callback, clock);
    let (back, signed_out) = (config.return_to_policy().choose(None), own.join("/auth/signout/callback"));
    let upstreams: Vec<_> = config.machine.upstreams().collect();
    let mut findings = provider.probe(back, &signed_out, &upstreams).await;
    findings.extend(bearer_issuers.probe().await);
    findings.extend(store::probe(&config.session, &Arc::new(key_ring(config))).await);
    Ok(findings)
}

/// The live sessions of the user `sub` in the configured store, the newest first.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn sessions_of(config: &Config, sub: &str) -> Result<Vec<OwnSession>, Error> {
    execute(config, &OperatorCommand::ListSessions { sub: sub.to_owned() }).await
}

/// Ends the sessions of the user `sub` in the configured store, or the one called `handle`, and revokes their
/// refresh tokens at the provider.
///
/// # Errors
/// [`Error`], a sentence for the operator. Some sessions may have ended all the same.
pub async fn end_sessions_of(config: &Config, sub: &str, handle: Option<&str>) -> Result<EndedSessions, Error> {
    let (sub, handle) = (sub.to_owned(), handle.map(str::to_owned));
    execute(config, &OperatorCommand::EndSessions { sub, handle }).await
}

/// The live sessions in the configured store of the users with this verified e-mail address.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn sessions_with_email(config: &Config, email: &str) -> Result<Vec<OwnSession>, Error> {
    execute(config, &OperatorCommand::ListSessionsByEmail { email: email.to_owned() }).await
}

/// Ends them, and revokes their refresh tokens at the provider.
///
/// # Errors
/// [`Error`], a sentence for the operator. Some sessions may have ended all the same.
pub async fn end_sessions_with_email(config: &Config, email: &str) -> Result<EndedSessions, Error> {
    execute(config, &OperatorCommand::EndSessionsByEmail { email: email.to_owned() }).await
}

/// Ends the sessions of everybody in the configured store, and returns up to when they were started. Their refresh tokens
/// are not revoked at the provider.
///
/// # Errors
/// [`Error`], a sentence for the operator: they may still be alive.
pub async fn end_all_sessions(config: &Config) -> Result<Timestamp, Error> {
    execute(config, &OperatorCommand::EndAllSessions).await
}

/// The registered clients, of the configuration and of the configured store.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn clients(config: &Config) -> Result<ClientList, Error> {
    execute(config, &OperatorCommand::ListClients).await
}

/// Changes the clients that the configured store keeps. All processes go by it within seconds.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn change_client(config: &Config, change: ClientChange) -> Result<(), Error> {
    execute(config, &OperatorCommand::ChangeClient(change)).await
}
