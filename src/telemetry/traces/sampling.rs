//! Which traces are recorded: all of a trace or nothing of it.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SamplingResult, ShouldSample};
use std::sync::atomic::{AtomicU64, Ordering};

/// What begins a trace though no request waits for it. What else runs in the background asks and looks all the time.
const BACKGROUND_ROOTS: [&str; 2] = ["renewal", "machine token fetch"];

/// The share of traces that are recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct TraceRatio(f64);

impl TraceRatio {
    pub(super) fn new(share: f64) -> Self {
        Self(share)
    }

    /// Decides for one trace.
    pub(super) fn draw(self) -> bool {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // SplitMix64: even, which is all that is asked of it.
        let mut z = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // 53 bits fit a float.
        (((z ^ (z >> 31)) >> 11) as f64) < self.0 * (1u64 << 53) as f64
    }
}

/// What was decided for a trace that begins with a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RootDecision(pub(super) bool);

/// Goes by the parent; without one, by what was decided for the request.
#[derive(Debug, Clone)]
pub(super) struct TraceSampler(pub(super) TraceRatio);

impl ShouldSample for TraceSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        _: TraceId,
        name: &str,
        _: &SpanKind,
        _: &[KeyValue],
        _: &[Link],
    ) -> SamplingResult {
        let active = parent.filter(|cx| cx.span().span_context().is_valid());
        let is_recorded = match (active, parent.and_then(|cx| cx.get::<RootDecision>())) {
            (Some(cx), _) => cx.span().span_context().is_sampled(),
            (None, Some(decision)) => decision.0,
            (None, None) => BACKGROUND_ROOTS.contains(&name) && self.0.draw(),
        };
        let decision = if is_recorded { SamplingDecision::RecordAndSample } else { SamplingDecision::Drop };
        SamplingResult { decision, attributes: vec![], trace_state: TraceState::NONE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_renewals_begin_traces_in_the_background() {
        let is_recorded = |cx: Context, name: &str| {
            let sampler = TraceSampler(TraceRatio::new(1.0));
            let result = sampler.should_sample(Some(&cx), TraceId::INVALID, name, &SpanKind::Internal, &[], &[]);
            result.decision == SamplingDecision::RecordAndSample
        };
        assert!(is_recorded(Context::new(), "renewal") && is_recorded(Context::new(), "machine token fetch"));
        assert!(!is_recorded(Context::new(), "ping") && !is_recorded(Context::new(), "GET discovery"));
        let decided = |decision| Context::new().with_value(RootDecision(decision));
        assert!(is_recorded(decided(true), "GET /validate") && !is_recorded(decided(false), "GET /validate"));
    }

    #[test]
    fn a_ratio_is_kept_to() {
        let drawn = |share| (0..10_000).filter(|_| TraceRatio::new(share).draw()).count();
        assert_eq!(drawn(0.0), 0);
        assert_eq!(drawn(1.0), 10_000);
        let tenth = drawn(0.1);
        assert!((800..1_200).contains(&tenth), "{tenth}");
    }
}
