//! What an operator's commands do with the configured provider and store.

use super::{App, Error, key_ring};
use crate::config::{Config, StoreUrl};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::finding::Finding;
use crate::flow::{EndedSessions, OwnSession};
use crate::provider::{BearerIssuers, HttpClient, Provider};
use crate::store::{self, OpenError};
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
    Ok(beside_the_service(config)?.rp.sessions_of(sub).await?)
}

/// Ends the sessions of the user `sub` in the configured store, or the one called `handle`, and revokes their
/// refresh tokens at the provider.
///
/// # Errors
/// [`Error`], a sentence for the operator. Some sessions may have ended all the same.
pub async fn end_sessions_of(config: &Config, sub: &str, handle: Option<&str>) -> Result<EndedSessions, Error> {
    Ok(beside_the_service(config)?.rp.end_sessions_of(sub, handle).await?)
}

/// The flows over the configured store, for a command. Makes no store where there is none.
fn beside_the_service(config: &Config) -> Result<App, Error> {
    match &config.session.store {
        StoreUrl::Memory => return Err(Error::OnlyInMemory),
        StoreUrl::Redb(path) if !path.exists() => return Err(Error::NoStore(path.display().to_string())),
        _ => {}
    }
    App::build(config, Arc::new(SystemClock)).map_err(|error| match error {
        Error::Store(in_use @ OpenError::InUse { .. }) => Error::Busy(in_use),
        other => other,
    })
}
