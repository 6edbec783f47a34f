//! A collector that keeps what it receives (OTLP/HTTP, binary protobuf).

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// It answers every request with `status`.
pub(super) struct Collector {
    pub(super) url: String,
    received: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
    pub(super) async fn start(status: StatusCode) -> Self {
        let received = Arc::<Mutex<Vec<Bytes>>>::default();
        let take = move |State(received): State<Arc<Mutex<Vec<Bytes>>>>, headers: HeaderMap, body: Bytes| async move {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            received.lock().unwrap().push(body);
            status
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(received.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, received }
    }

    /// Everything, as it came.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.received.lock().unwrap().concat()
    }

    pub(super) fn spans(&self) -> Spans {
        let mut spans = vec![];
        for body in self.received.lock().unwrap().iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).unwrap();
            for of_resource in request.resource_spans {
                let resource = texts(&of_resource.resource.unwrap().attributes);
                assert_eq!(resource["service.name"], "auth-api");
                assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
                spans.extend(of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans));
            }
        }
        Spans(spans)
    }
}

/// The spans of some traces.
pub(super) struct Spans(pub(super) Vec<Span>);

impl Spans {
    /// Each with its ancestors: `root > child > itself`.
    pub(super) fn paths(&self) -> BTreeSet<String> {
        self.0.iter().map(|span| self.path(span)).collect()
    }

    fn path(&self, span: &Span) -> String {
        let parent = self.0.iter().find(|other| other.span_id == span.parent_span_id);
        parent.map_or_else(
            || span.name.clone(),
            |parent| {
                assert_eq!(parent.trace_id, span.trace_id, "{} and {}", parent.name, span.name);
                format!("{} > {}", self.path(parent), span.name)
            },
        )
    }

    /// The first of this path.
    pub(super) fn at(&self, path: &str) -> &Span {
        let mut found = self.0.iter().filter(|span| self.path(span) == path);
        found.next().unwrap_or_else(|| panic!("no {path} in {:#?}", self.paths()))
    }

    /// Those of one trace.
    pub(super) fn of_trace(&self, id: &str) -> Self {
        Self(self.0.iter().filter(|span| hex(&span.trace_id) == id).cloned().collect())
    }
}

/// The attributes of a span, as text.
pub(super) fn attributes(span: &Span) -> BTreeMap<String, String> {
    texts(&span.attributes)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Option<AnyValue>| match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), text(&attribute.value))).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
