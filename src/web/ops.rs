//! The ops listener: for probes and Prometheus, never for the public.

use crate::flow::RelyingParty;
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
}

impl Readiness {
    /// From now on `/readyz` answers 503, so that a load balancer turns away before the listener closes.
    pub fn drop_now(&self) {
        self.0.shutting_down.store(true, Ordering::Release);
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
        .route("/metrics", get(metrics))
        .with_state((rp, readiness))
}

/// `?strict=true` makes 503 of everything that does not work.
async fn ready(
    State((rp, Readiness(flags))): State<(Arc<RelyingParty>, Readiness)>,
    RawQuery(query): RawQuery,
) -> Response {
    let mut degraded = BTreeMap::new();
    let shutting_down = flags.shutting_down.load(Ordering::Acquire);
    if shutting_down {
        degraded.insert("process".into(), "shutting down".to_owned());
    }
    if flags.reload_refused.load(Ordering::Acquire) {
        degraded.insert("configuration".into(), "the last reload was refused: the log says why".to_owned());
    }
    let has_metadata = rp.provider.has_metadata();
    if let Some(error) = rp.provider.metadata_failure() {
        degraded.insert("provider".into(), error.to_string());
    } else if !has_metadata {
        degraded.insert("provider".into(), "the discovery document and keys were never read".to_owned());
    }
    // Their tokens alone have to wait: no reason to be not ready.
    degraded.extend(rp.bearer_issuers.degraded().map(|(iss, why)| (format!("bearer issuer {iss}").into(), why)));
    match rp.sessions.ping().await {
        Ok(()) => flags.store_seen.store(true, Ordering::Release),
        Err(error) => drop(degraded.insert("store".into(), error.to_string())),
    }
    let strict = query.is_some_and(|query| query.split('&').any(|pair| pair == "strict=true"));
    let started = has_metadata && flags.store_seen.load(Ordering::Acquire);
    let ready = started && !shutting_down && (!strict || degraded.is_empty());
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessResponse { ready, degraded })).into_response()
}

async fn metrics(State((rp, _)): State<(Arc<RelyingParty>, Readiness)>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, TYPE)], rp.metrics.render()).into_response()
}
