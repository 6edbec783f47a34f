//! The ops listener: for probes and Prometheus, never for the public.

use crate::flow::RelyingParty;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the process still takes work. Dropped at the start of a shutdown, so that a load balancer
/// turns away before the listener closes.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on `/readyz` says no.
    pub fn drop_now(&self) {
        self.0.store(true, Ordering::Release);
    }
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

async fn ready(State((rp, readiness)): State<(Arc<RelyingParty>, Readiness)>) -> Response {
    let mut reasons = Vec::new();
    if readiness.0.load(Ordering::Acquire) {
        reasons.push("shutting down".to_owned());
    }
    if !rp.provider.has_metadata() {
        reasons.push("the provider's discovery document and keys were never read".to_owned());
    }
    if let Err(error) = rp.sessions.ping().await {
        reasons.push(error.to_string());
    }
    match reasons.is_empty() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n").into_response(),
    }
}

async fn metrics(State((rp, _)): State<(Arc<RelyingParty>, Readiness)>) -> Response {
    const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, TYPE)], rp.metrics.render()).into_response()
}
