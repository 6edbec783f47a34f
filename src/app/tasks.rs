//! The background tasks: a table of what runs beside the requests, and how often.

use super::Supervisor;
use crate::config::Config;
use crate::directory::Directory;
use crate::domain::backoff::ExponentialBackoff;
use crate::flow::{self, RelyingParty};
use crate::{provider, store};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often discovery and keys are read again.
const METADATA_AGE: Duration = Duration::from_secs(15 * 60);
/// How soon again while they were never read.
const METADATA_RETRY: ExponentialBackoff =
    ExponentialBackoff { first: Duration::from_secs(2), most: Duration::from_secs(60) };
/// How often uses are written down.
const FLUSH: Duration = Duration::from_secs(10);
/// How soon after a flood of audit records it is said how many were left out.
const AUDIT_SUMMARY: Duration = Duration::from_secs(10);
/// How often ended sessions are removed.
const SWEEP: Duration = Duration::from_secs(5 * 60);
/// How often the clients in the store are looked at.
const CLIENTS: Duration = Duration::from_secs(3);
/// How often the store's set-up is looked at, and soon again where it could not be.
const INSPECTION: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(5));
/// How often active users are checked for having been disabled or signed out at the provider.
const CHECK_REVOKED: Duration = Duration::from_secs(5);
/// Starts them all.
pub(super) fn start(rp: &Arc<RelyingParty>, config: &Arc<Config>) -> Supervisor {
    let mut tasks = Supervisor::new(rp.clone(), rp.metrics.clone());
    let pause = Arc::<Mutex<Option<Duration>>>::default();
    tasks.paced("provider metadata", move |rp| refresh_metadata(rp, pause.clone()));
    // One each: none waits for another that does not answer.
    for issuer in &config.provider.bearer_issuer {
        let (iss, pause) = (Arc::<str>::from(issuer.issuer.as_str()), Arc::<Mutex<Option<Duration>>>::default());
        tasks.paced("bearer issuer keys", move |rp| refresh_bearer_issuer(rp, iss.clone(), pause.clone()));
    }
    tasks.every(FLUSH, "session uses", flush);
    tasks.every(AUDIT_SUMMARY, "audit summaries", async |rp| rp.audit.summarize());
    tasks.paced("sweep", sweep);
    tasks.always("store changes", follow);
    tasks.always("issued tokens", restore_issued);
    let last_warnings = Arc::<Mutex<Vec<store::Warning>>>::default();
    tasks.paced("store set-up", move |rp| inspect_store(rp, last_warnings.clone()));
    if config.machine.upstreams().next().is_some() {
        let problem = Arc::<Mutex<Option<String>>>::default();
        tasks.paced("client registrations", move |rp| refresh_clients(rp, problem.clone()));
    }
    tasks.always("renewals", renew_ahead);
    if let Some(directory) = &rp.directory {
        let directory = directory.clone();
        tasks.always("directory", move |_| catch_up(directory.clone()));
    }
    if let Some(interval) = config.validate.check_revoked {
        tasks.every(CHECK_REVOKED, "revocation checks", move |rp| check_revoked(rp, interval));
    }
    tasks
}

/// Reads discovery and keys; soon again if they were never had, ever later while they cannot be used: that is no
/// outage, somebody has to mend it.
async fn refresh_metadata(rp: Arc<RelyingParty>, pause: Arc<Mutex<Option<Duration>>>) -> Duration {
    let Err(error) = rp.provider.renew_metadata().await else { return METADATA_AGE };
    tracing::warn!(%error, "provider metadata refresh failed: keeping the last known metadata");
    let mut pause = pause.lock().unwrap_or_else(PoisonError::into_inner);
    let previous = pause.filter(|_| matches!(error, provider::Error::Unusable(_)));
    let next = METADATA_RETRY.following(previous);
    *pause = Some(next);
    if rp.provider.has_metadata() { METADATA_RETRY.most } else { next }
}

/// Reads the keys of a further issuer; ever later while they cannot be had, since a token that needs them asks at once.
async fn refresh_bearer_issuer(rp: Arc<RelyingParty>, iss: Arc<str>, pause: Arc<Mutex<Option<Duration>>>) -> Duration {
    let renewed = rp.bearer_issuers.renew(&iss).await;
    let mut pause = pause.lock().unwrap_or_else(PoisonError::into_inner);
    *pause = renewed.err().map(|error| {
        tracing::warn!(%iss, %error, "bearer issuer refresh failed: keeping the last known keys");
        METADATA_RETRY.following(*pause)
    });
    pause.unwrap_or(METADATA_AGE)
}

/// Writes down which sessions were used.
async fn flush(rp: Arc<RelyingParty>) {
    if let Err(error) = rp.sessions.flush().await {
        tracing::warn!(%error, "session use flush failed: retrying later");
    }
}

/// Hears what other processes change in the store.
async fn follow(rp: Arc<RelyingParty>) {
    rp.sessions.follow().await;
}

/// Writes down again the issued machine tokens that a store has lost.
async fn restore_issued(rp: Arc<RelyingParty>) {
    match rp.restore_issued().await {}
}

/// Says what is wrong with how the store is set up, whenever that changes.
async fn inspect_store(rp: Arc<RelyingParty>, last_warnings: Arc<Mutex<Vec<store::Warning>>>) -> Duration {
    // What hears of changes says that the store is away.
    let Ok(warnings) = rp.sessions.warnings().await else { return INSPECTION.1 };
    let mut last_warnings = last_warnings.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in warnings.iter().filter(|warning| !last_warnings.contains(*warning)) {
        tracing::warn!(kind = warning.kind(), reason = %warning, "store eviction possible");
    }
    *last_warnings = warnings;
    INSPECTION.0
}

/// Reads the clients of the store again. While one contains a mistake, or the store does not answer, the last valid
/// clients stay in use, and the problem is logged once.
async fn refresh_clients(rp: Arc<RelyingParty>, last_problem: Arc<Mutex<Option<String>>>) -> Duration {
    let problem = match rp.broker.refresh_clients().await {
        Ok(mistakes) => mistakes.into_iter().next(),
        Err(error) => Some(error.to_string()),
    };
    let mut last_problem = last_problem.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(problem) = problem.as_ref().filter(|_| *last_problem != problem) {
        tracing::error!(reason = %problem, "client refresh failed: keeping the last known clients");
    }
    *last_problem = problem;
    CLIENTS
}

/// Renews tokens before they run out.
async fn renew_ahead(rp: Arc<RelyingParty>) {
    // A fixed period, however long a search takes.
    let mut searches = tokio::time::interval(flow::RENEWAL_SEARCH);
    searches.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        searches.tick().await;
        rp.renew_ahead().await;
    }
}

/// Writes down what waits for the directory.
async fn catch_up(directory: Arc<Directory>) {
    directory.catch_up().await;
}

/// Asks the provider about those at work.
async fn check_revoked(rp: Arc<RelyingParty>, interval: Duration) {
    rp.check_revoked(interval).await;
}

/// Removes sessions that are over.
async fn sweep(rp: Arc<RelyingParty>) -> Duration {
    rp.broker.sweep(rp.clock.now());
    match rp.sessions.sweep().await {
        Ok(0) => {}
        Ok(swept) => tracing::info!(sessions = swept, "expired sessions removed"),
        Err(error) => tracing::warn!(%error, "session sweep failed: retrying later"),
    }
    SWEEP
}
