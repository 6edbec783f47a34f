//! The way to the collector: a bounded queue, and a task that sends what is in it. Nobody waits for it; what finds no room
//! and what the collector does not take is dropped and counted.

use super::sampling::{TraceRatio, TraceSampler};
use crate::outbound::OutboundClient;
use ::http::Request;
use ::http::header::CONTENT_TYPE;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Context, KeyValue};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor};
use prometheus_client::metrics::counter::Counter;
use prost::Message;
use std::sync::LazyLock;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Spans that wait, about a kilobyte each.
const QUEUE_CAPACITY: usize = 4_096;
/// Spans of a request to the collector.
const BATCH_MAX: usize = 512;
/// How long a span waits for others at most.
const BATCH_PAUSE: Duration = Duration::from_millis(500);
/// How long a request to the collector takes at most.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the process waits for what is in the queue.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is said that nothing is taken.
const REPORT_PAUSE: Duration = Duration::from_secs(60);

static DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Counts spans that no collector has taken. One for the process, as its traces are.
pub(in crate::telemetry) fn dropped() -> Counter {
    DROPPED.clone()
}

/// The task that sends spans.
#[derive(Debug)]
pub struct TraceExport {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TraceExport {
    /// Sends what is in the queue, for two seconds at most, and ends.
    pub async fn flush(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(FLUSH_TIMEOUT, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("trace export incomplete: the collector did not answer in time");
        }
    }
}

/// A tracer, and the task that sends its spans.
pub(super) fn start(endpoint: &str, ratio: TraceRatio) -> Result<(SdkTracer, TraceExport), String> {
    let client = OutboundClient::new("auth-api", TIMEOUT, Duration::from_secs(90))?;
    let resource = Resource::builder_empty()
        .with_service_name("auth-api")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let (queue, spans) = channel(QUEUE_CAPACITY);
    let exporter = Exporter {
        client,
        endpoint: endpoint.to_owned(),
        resource: ResourceAttributesWithSchema::from(&resource),
        reports: FailureReports::default(),
    };
    let provider = SdkTracerProvider::builder()
        .with_span_processor(SpanQueue(queue))
        .with_sampler(TraceSampler(ratio))
        .with_resource(resource)
        .build();
    let stop = CancellationToken::new();
    let task = tokio::spawn(exporter.run(spans, stop.clone()));
    Ok((provider.tracer("auth-api"), TraceExport { stop, task }))
}

/// Takes spans as they end.
#[derive(Debug)]
struct SpanQueue(Sender<SpanData>);

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if self.0.try_send(span).is_err() {
            DROPPED.inc();
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

#[derive(Debug)]
struct Exporter {
    client: OutboundClient,
    endpoint: String,
    resource: ResourceAttributesWithSchema,
    reports: FailureReports,
}

/// When it was last said that spans are not taken; `None` while all is well.
#[derive(Debug, Default)]
struct FailureReports(Option<Instant>);

impl FailureReports {
    /// Whether it is to be said now.
    fn is_due(&mut self) -> bool {
        let is_due = self.0.is_none_or(|at| at.elapsed() >= REPORT_PAUSE);
        if is_due {
            self.0 = Some(Instant::now());
        }
        is_due
    }

    /// All is well; whether it was not before.
    fn end(&mut self) -> bool {
        self.0.take().is_some()
    }
}

impl Exporter {
    /// Sends spans until `stop`, and then those that wait.
    async fn run(mut self, mut spans: Receiver<SpanData>, stop: CancellationToken) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        loop {
            tokio::select! {
                () = fill(&mut spans, &mut batch) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
            if stop.is_cancelled() {
                spans.close();
                spans.recv_many(&mut batch, BATCH_MAX).await;
            }
            if batch.is_empty() {
                return;
            }
            self.export(std::mem::take(&mut batch)).await;
        }
    }

    async fn export(&mut self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        let (lost, reason) = match self.send(batch).await {
            Ok(0) => {
                if self.reports.end() {
                    tracing::info!("trace export works again");
                }
                return;
            }
            Ok(rejected) => (rejected.min(count), "rejected by the collector".to_owned()),
            Err(reason) => (count, reason),
        };
        DROPPED.inc_by(lost);
        if self.reports.is_due() {
            tracing::warn!(reason, spans = lost, dropped = DROPPED.get(), "trace export failed: spans dropped");
        }
    }

    /// Sends spans (OTLP/HTTP, binary protobuf). How many of them the collector rejected.
    async fn send(&self, batch: Vec<SpanData>) -> Result<u64, String> {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = Request::post(&self.endpoint)
            .header(CONTENT_TYPE, "application/x-protobuf")
            .body(ExportTraceServiceRequest { resource_spans }.encode_to_vec());
        let request = request.map_err(|error| error.to_string())?;
        let response = self.client.call(request).await.map_err(|error| error.to_string())?;
        if !response.status().is_success() {
            return Err(format!("the collector answered {}", response.status().as_u16()));
        }
        // What cannot be read says nothing of spans that were not taken.
        let answer = ExportTraceServiceResponse::decode(response.body().as_slice()).unwrap_or_default();
        Ok(answer.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or(0)))
    }
}

/// Waits for a span, and a little for those that come after it. Nothing is lost where the wait is given up.
async fn fill(spans: &mut Receiver<SpanData>, batch: &mut Vec<SpanData>) {
    if spans.recv_many(batch, BATCH_MAX).await == 0 {
        return;
    }
    let more = async { while batch.len() < BATCH_MAX && spans.recv_many(batch, BATCH_MAX - batch.len()).await > 0 {} };
    let _ = tokio::time::timeout(BATCH_PAUSE, more).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::Tracer;

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let (queue, mut spans) = channel(1);
        let provider = SdkTracerProvider::builder().with_span_processor(SpanQueue(queue)).build();
        let before = dropped().get();
        for name in ["first", "second"] {
            drop(provider.tracer("test").start(name));
        }
        assert_eq!(spans.try_recv().unwrap().name, "first");
        assert!(spans.try_recv().is_err());
        assert!(dropped().get() > before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_goes_on_is_said_once_a_minute() {
        let mut reports = FailureReports::default();
        assert!(!reports.end(), "nothing has failed");
        assert!(reports.is_due());
        tokio::time::advance(REPORT_PAUSE / 2).await;
        assert!(!reports.is_due());
        tokio::time::advance(REPORT_PAUSE / 2).await;
        assert!(reports.is_due());
        assert!(reports.end());
        assert!(reports.is_due(), "the next one is news");
    }
}
