//! Traces: a request, and what it waits for, as spans that are exported by OTLP over HTTP.
//!
//! Spans are made with `tracing` under [`TARGET`], and only these are exported: the log does not show them, and what client
//! libraries say of themselves stays here. While traces are off the filter disables them where they are made, which costs a
//! load and a comparison. Attributes have the names of OpenTelemetry's semantic conventions; none is a query, a
//! credential, or what somebody has sent.

mod context;
mod exporter;
mod sampling;

pub use self::exporter::TraceExport;
pub(super) use self::exporter::dropped;

use self::sampling::{RootDecision, TraceRatio};
use super::metrics::HttpRoute;
use ::http::{HeaderMap, Method, Request, StatusCode, Uri};
use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::trace::SdkTracer;
use std::sync::OnceLock;
use tracing::field::Empty;
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The target of spans that are exported.
pub const TARGET: &str = "auth_api::traces";

/// How many traces are recorded; without it, none.
static RATIO: OnceLock<TraceRatio> = OnceLock::new();

/// Where spans go.
#[derive(Debug)]
pub struct Traces {
    tracer: SdkTracer,
    ratio: TraceRatio,
}

impl Traces {
    /// Exports spans to the collector at `endpoint`, whose path ends in `/v1/traces`, in a task of its own. Of the traces
    /// that begin here, the share `ratio` is recorded.
    ///
    /// # Errors
    /// If the TLS set-up of this machine cannot be loaded.
    pub fn start(endpoint: &str, ratio: f64) -> Result<(Self, TraceExport), String> {
        let ratio = TraceRatio::new(ratio);
        let (tracer, export) = exporter::start(endpoint, ratio)?;
        Ok((Self { tracer, ratio }, export))
    }

    /// What hands the spans to the exporter. From now on requests have spans.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + 'static
    where
        S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        let _ = RATIO.set(self.ratio);
        tracing_opentelemetry::layer()
            .with_tracer(self.tracer.clone())
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_level(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(filter_fn(is_traced))
    }
}

/// Whether it is exported, and not logged.
pub(super) fn is_traced(metadata: &Metadata<'_>) -> bool {
    metadata.target() == TARGET
}

/// A request of the public listener. The trace of a `traceparent` (W3C Trace Context) is continued, and its decision to
/// record taken over, if who sent it `is_trusted`; else a trace begins.
pub fn request(route: HttpRoute, method: &Method, headers: &HeaderMap, is_trusted: impl FnOnce() -> bool) -> Span {
    match RATIO.get() {
        None => Span::none(),
        Some(ratio) => request_span(*ratio, route, method, context::sent(headers).filter(|_| is_trusted())),
    }
}

fn request_span(ratio: TraceRatio, route: HttpRoute, method: &Method, remote: Option<Context>) -> Span {
    let is_recorded = remote.as_ref().map_or_else(|| ratio.draw(), |cx| cx.span().span_context().is_sampled());
    // Elsewhere a span that is not recorded tells those below it not to be.
    if !is_recorded && route.is_hot() {
        return Span::none();
    }
    let method = match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE | Method::OPTIONS => {
            method.as_str()
        }
        _ => "_OTHER",
    };
    let named = if method == "_OTHER" { "HTTP" } else { method };
    let pattern = route.pattern();
    let span = tracing::info_span!(
        target: TARGET, "request",
        otel.name = pattern.map_or_else(|| named.to_owned(), |pattern| format!("{named} {pattern}")),
        otel.kind = "server",
        http.request.method = method,
        http.route = pattern,
        http.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
    );
    // It fails where the span is disabled.
    let _ = span.set_parent(remote.unwrap_or_else(|| Context::new().with_value(RootDecision(is_recorded))));
    span
}

/// Notes how a request of the public listener was answered.
pub fn answered(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        failed(span, status.as_str());
    }
}

/// A request of ours, which is given a `traceparent`. `endpoint` is what is asked for.
pub fn outgoing<T>(endpoint: &'static str, request: &mut Request<T>) -> Span {
    let uri = request.uri();
    let span = tracing::info_span!(
        target: TARGET, "outgoing",
        otel.name = format!("{} {endpoint}", request.method()),
        otel.kind = "client",
        http.request.method = request.method().as_str(),
        server.address = uri.host(),
        server.port = uri.port_u16().map(i64::from),
        url.full = without_query(uri),
        http.response.status_code = Empty,
        "error.type" = Empty,
        otel.status_code = Empty,
    );
    context::send(&span, request.headers_mut());
    span
}

/// The query may hold codes and tokens; a name and a password before the host are for nobody, either.
fn without_query(uri: &Uri) -> String {
    let host = uri.authority().and_then(|authority| authority.as_str().rsplit('@').next()).unwrap_or_default();
    format!("{}://{host}{}", uri.scheme_str().unwrap_or("https"), uri.path())
}

/// Notes the answer to a request of ours.
pub fn received(span: &Span, status: StatusCode) {
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", i64::from(status.as_u16()));
    if status.is_client_error() || status.is_server_error() {
        failed(span, status.as_str());
    }
}

/// A call of the session store. `system` is a value of `db.system.name`.
pub fn store_call(system: &'static str, operation: &'static str) -> Span {
    tracing::info_span!(
        target: TARGET, "store",
        otel.name = operation,
        otel.kind = "client",
        db.system.name = system,
        db.operation.name = operation,
        "error.type" = Empty,
        otel.status_code = Empty,
    )
}

/// Notes that what the span is about failed; `kind` is one of a few words.
pub fn failed(span: &Span, kind: &str) {
    span.record("error.type", kind);
    span.record("otel.status_code", "ERROR");
}
