//! The `traceparent` header (W3C Trace Context). `tracestate`, which is other vendors' own, is neither read nor sent.

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::TraceContextExt;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

const TRACEPARENT: &str = "traceparent";

/// The one `traceparent` of a request.
struct TraceParent<'a>(&'a str);

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

/// The span that `headers` name, if they name one.
pub(super) fn sent(headers: &HeaderMap) -> Option<Context> {
    let mut lines = headers.get_all(TRACEPARENT).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &TraceParent(line.to_str().ok()?));
    context.span().span_context().is_valid().then_some(context)
}

/// Names `span` in `headers`, unless it is disabled.
pub(super) fn send(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    let context = span.context();
    let span = context.span();
    let named = span.span_context();
    if named.is_valid() {
        let line = format!("00-{}-{}-{:02x}", named.trace_id(), named.span_id(), u8::from(named.is_sampled()));
        headers.insert(HeaderName::from_static(TRACEPARENT), HeaderValue::try_from(line).expect("digits and dashes"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn sent_by(lines: &[&str]) -> Option<Context> {
        sent(&lines.iter().map(|line| (HeaderName::from_static(TRACEPARENT), line.parse().unwrap())).collect())
    }

    #[test]
    fn one_good_line_names_a_span() {
        let context = sent_by(&[VALID]).unwrap();
        let span = context.span();
        let named = span.span_context();
        assert_eq!(named.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(named.span_id().to_string(), "00f067aa0ba902b7");
        assert!(named.is_sampled() && named.is_remote());
        assert!(!sent_by(&[&VALID.replace("-01", "-00")]).unwrap().span().span_context().is_sampled());
    }

    #[test]
    fn anything_else_names_none() {
        for lines in [
            &[][..],
            &[VALID, VALID],
            &[""],
            &["00"],
            &["ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
            &["00-00000000000000000000000000000000-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"],
            &["00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01"],
            &["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"],
        ] {
            assert!(sent_by(lines).is_none(), "{lines:?}");
        }
    }
}
