//! What an operator's commands do with the configured provider and store.

use super::operator::{OperatorCommand, execute, own_uid, written_by_commands};
use super::{Error, key_ring, open_audit};
use crate::audit::AuditEvent;
use crate::config::Config;
use crate::directory::{Directory, SyncCounts, SyncOptions};
use crate::domain::client_registration::{ClientChange, ClientList};
use crate::domain::clock::{Clock, SystemClock, Timestamp};
use crate::domain::finding::Finding;
use crate::domain::person::{DirectoryEntry, PersonKey};
use crate::flow::{self, EndedSessions, ErasedPerson, OwnSession, PersonExport};
use crate::outbound::OutboundClient;
use crate::outbound::user_pools::UserPools;
use crate::provider::{self, BearerIssuers, HttpClient, Provider};
use crate::store;
use std::sync::Arc;
use std::time::Duration;

/// For how long a connection to the user pools API is kept.
const IDLE: Duration = Duration::from_secs(10);

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
    let provider = Provider::new(http, config, callback, clock.clone());
    let (back, signed_out) = (config.return_to_policy().choose(None), own.join("/auth/signout/callback"));
    let upstreams: Vec<_> = config.machine.upstreams().collect();
    let mut findings = provider.probe(back, &signed_out, &upstreams).await;
    findings.extend(bearer_issuers.probe().await);
    findings.extend(store::probe(&config.session, &Arc::new(key_ring(config))).await);
    if let Some(directory) = Directory::open(&config.directory, &config.provider.issuer, clock, Arc::default())? {
        findings.push(directory.probe().await);
    }
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

/// What the configured directory knows of a person.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn show_user(config: &Config, key: PersonKey) -> Result<Option<DirectoryEntry>, Error> {
    execute(config, &OperatorCommand::ShowUser(key)).await
}

/// That, and the live sessions in the configured store.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn export_user(config: &Config, key: PersonKey) -> Result<Option<PersonExport>, Error> {
    execute(config, &OperatorCommand::ExportUser(key)).await
}

/// Ends a person's sessions, revokes their refresh tokens, and forgets the row of the directory.
///
/// # Errors
/// [`Error`], a sentence for the operator: some of it may be done, and it can be done again.
pub async fn erase_user(config: &Config, sub: &str) -> Result<ErasedPerson, Error> {
    execute(config, &OperatorCommand::EraseUser { sub: sub.to_owned() }).await
}

/// Brings the configured directory up to date with the user pool.
///
/// # Errors
/// [`Error`], a sentence for the operator: it can be done again, and goes on where it was.
pub async fn sync_users(
    config: &Config,
    dry_run: bool,
    restart: bool,
    calls_per_second: u32,
    progress: impl FnMut(&SyncCounts),
) -> Result<SyncCounts, Error> {
    let (provider, clock) = (&config.provider, Arc::new(SystemClock));
    let directory = Directory::open(&config.directory, &provider.issuer, clock.clone(), Arc::default())?;
    let directory = directory.ok_or(flow::Error::NotOffered("directory.url is not set"))?;
    let endpoint = provider::user_pools_endpoint(provider);
    let endpoint = endpoint.ok_or(flow::Error::NotOffered("only Cognito's user pools can be listed"))?;
    let pool = provider.issuer.rsplit('/').next().unwrap_or_default().to_owned();
    let region = pool.split('_').next().unwrap_or_default().to_owned();
    let http = OutboundClient::new("auth-api", provider.timeout, IDLE).map_err(provider::Error::Unusable)?;
    let pools = UserPools::with_default_credentials(http, endpoint.as_str(), &region);
    let trusted = provider.trust_email_from.clone();
    let options = SyncOptions { pool, dry_run, restart, calls_per_second, trusted };
    let done = directory.synchronise(&pools, &options, progress).await;
    let audit = open_audit(&written_by_commands(config).telemetry, clock, Arc::default())?;
    audit.record(&AuditEvent::OperatorCommand {
        command: if dry_run { "users sync --dry-run" } else { "users sync" },
        uid: own_uid(),
        about: None,
        session: None,
        done: done.is_ok(),
    });
    audit.flush();
    Ok(done?)
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
