//! The ops listener: for probes and Prometheus, never for the public.

use super::Overload;
use super::listen::ConnectionLimit;
use crate::flow::RelyingParty;
use crate::telemetry::metrics::{self, Observations};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether requests should be sent to this process. Once it was ready it stays so until its shutdown: an outage of the
/// store or of the provider is no reason to replace a process, which remembers what they may lose.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<ReadinessFlags>);

#[derive(Debug, Default)]
struct ReadinessFlags {
    store_seen: AtomicBool,
    shutting_down: AtomicBool,
    reload_refused: AtomicBool,
    connections: ConnectionLimit,
    overload: Overload,
}

impl Readiness {
    /// From now on `/readyz` answers 503, so that a load balancer turns away before the listener closes.
    pub fn drop_now(&self) {
        self.0.shutting_down.store(true, Ordering::Release);
    }

    /// The limit of the public listener's connections.
    pub fn connections(&self) -> &ConnectionLimit {
        &self.0.connections
    }

    /// The load of this process.
    pub fn overload(&self) -> &Overload {
        &self.0.overload
    }

    /// Whether the configuration that was read last does not count.
    pub fn set_reload_refused(&self, refused: bool) {
        self.0.reload_refused.store(refused, Ordering::Release);
    }
}

/// The body of `/readyz`.
#[derive(Debug, Serialize)]
struct ReadinessResponse {
    ready: bool,
    /// What does not work at the moment, by component.
    degraded: BTreeMap<Cow<'static, str>, String>,
}

/// The ops listener's routes.
#[expect(clippy::disallowed_methods, reason = "probes and Prometheus read no OpenAPI document")]
pub fn router(rp: Arc<RelyingParty>, readiness: Readiness) -> Router {
    Router::new()
        .route("/livez", get(async || "live\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(prometheus))
        .with_state((rp, readiness))
}

/// `?strict=true` makes 503 of everything that does not work.
async fn ready(
    State((rp, Readiness(flags))): State<(Arc<RelyingParty>, Readiness)>,
    RawQuery(query): RawQuery,
) -> Response {
    let readiness = look(&rp, &flags).await;
    let strict = query.is_some_and(|query| query.split('&').any(|pair| pair == "strict=true"));
    let ready = readiness.ready && (!strict || readiness.degraded.is_empty());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessResponse { ready, ..readiness })).into_response()
}

/// Asks each component.
async fn look(rp: &RelyingParty, flags: &ReadinessFlags) -> ReadinessResponse {
    let mut degraded = BTreeMap::new();
    let shutting_down = flags.shutting_down.load(Ordering::Acquire);
    if shutting_down {
        degraded.insert("process".into(), "shutting down".to_owned());
    }
    if flags.reload_refused.load(Ordering::Acquire) {
        degraded.insert("configuration".into(), "the last reload was refused: the log says why".to_owned());
    }
    if flags.connections.is_reached() {
        degraded.insert("connections".into(), "there are as many as may be: further ones are closed".to_owned());
    }
    if flags.overload.is_told() {
        degraded
            .insert("overload".into(), "requests are refused: there are more than can be answered in time".to_owned());
    }
    if let Some(reason) = rp.audit.failure() {
        degraded.insert("audit".into(), reason);
    }
    let has_metadata = rp.provider.has_metadata();
    if let Some(error) = rp.provider.metadata_failure() {
        degraded.insert("provider".into(), error.to_string());
    } else if !has_metadata {
        degraded.insert("provider".into(), "the discovery document and keys were never read".to_owned());
    }
    // Their tokens alone have to wait: no reason to be not ready.
    degraded.extend(rp.bearer_issuers.degraded().map(|(iss, why)| (format!("bearer issuer {iss}").into(), why)));
    if let Some(directory) = rp.directory.as_ref().filter(|directory| directory.is_failing()) {
        let waiting = directory.waiting();
        degraded
            .insert("directory".into(), format!("the database does not take rows: the log says why; {waiting} wait"));
    }
    match rp.sessions.ping().await {
        Ok(()) => flags.store_seen.store(true, Ordering::Release),
        Err(error) => drop(degraded.insert("store".into(), error.to_string())),
    }
    let started = has_metadata && flags.store_seen.load(Ordering::Acquire);
    ReadinessResponse { ready: started && !shutting_down, degraded }
}

async fn prometheus(State((rp, Readiness(flags))): State<(Arc<RelyingParty>, Readiness)>) -> Response {
    // At once: a disk that hangs must not take twice the time of a scrape.
    let (readiness, sessions) = tokio::join!(look(&rp, &flags), rp.sessions.count());
    // A further issuer is called `bearer issuer https://…` there.
    let count = |component: &str| readiness.degraded.keys().filter(|name| name.starts_with(component)).count();
    let usage = rp.sessions.cache_usage();
    let issuer = rp.provider.keys_fetched().map(|at| (rp.provider.issuer(), at));
    let issuers = issuer.into_iter().chain(rp.bearer_issuers.keys_fetched());
    let observed = Observations {
        ready: readiness.ready,
        degraded: vec![
            ("process", count("process")),
            ("configuration", count("configuration")),
            ("connections", count("connections")),
            ("overload", count("overload")),
            ("audit", count("audit")),
            ("provider", count("provider")),
            ("store", count("store")),
            ("directory", count("directory")),
            ("bearer_issuer", count("bearer issuer ")),
        ],
        // A store that does not answer says so above.
        sessions: sessions.ok().flatten(),
        directory_waiting: rp.directory.as_ref().map_or(0, |directory| directory.waiting()),
        scheduling_delay: flags.overload.delay().as_secs_f64(),
        cache_entries: usage.entries,
        cache_bytes: usage.bytes,
        cache_limit: usage.limit,
        keys_fetched: issuers.map(|(issuer, at)| (issuer.to_owned(), at.as_secs())).collect(),
    };
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], rp.metrics.render(&observed)).into_response()
}
