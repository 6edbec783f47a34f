//! What programs ask for, and what it costs.

use super::registration::{Labels, add, add_counters};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

/// What is counted from the start, with 0: of a series that is not there Prometheus does not see the first increase.
const TOKEN_RESULTS: [&str; 10] = [
    "hit",
    "miss",
    "invalid_request",
    "invalid_client",
    "unauthorized_client",
    "invalid_scope",
    "invalid_target",
    "limited",
    "unavailable",
    "upstream_refused",
];
const CALL_RESULTS: [&str; 2] = ["issued", "failed"];

/// The counters of machine tokens.
#[derive(Debug)]
pub(super) struct MachineCounters {
    pub(super) tokens: Family<Labels<1>, Counter>,
    /// The one of `tokens` that is on the hot path.
    pub(super) hits: Counter,
    pub(super) calls: Family<Labels<1>, Counter>,
    pub(super) saved: Counter<f64, AtomicU64>,
}

impl MachineCounters {
    pub(super) fn register(all: &mut Registry) -> Self {
        let tokens = add_counters(all, "machine_tokens", "Answers of /token, by result", "result", &TOKEN_RESULTS);
        let hits = tokens.get_or_create(&[("result", "hit")]).clone();
        let help = "Requests for machine tokens at the provider, by result";
        let calls = add_counters(all, "machine_calls", help, "result", &CALL_RESULTS);
        let help = "What cached machine tokens would have cost at machine.price_per_1000";
        let saved = add(all, "machine_saved_dollars", help);
        Self { tokens, hits, calls, saved }
    }
}
