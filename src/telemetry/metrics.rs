//! Counters and histograms, in Prometheus' text format under `auth_api_*`.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The labels of a metric: names and values.
type Labels<const N: usize> = [(&'static str, &'static str); N];

/// How a validate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidateResult {
    /// 200 for a session.
    Session,
    /// 200 for a bearer token.
    Bearer,
    /// 200 for a stranger on a public page.
    Public,
    /// 401 without credentials.
    Anonymous,
    /// 401 with dead credentials.
    Invalid,
    /// 401 with live sessions of several users.
    Ambiguous,
    /// 401 of a user who has to authenticate again, or in another way.
    InsufficientAuthentication,
    /// 403.
    Forbidden,
    /// 400.
    Malformed,
    /// 503.
    Unavailable,
}

impl ValidateResult {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Session, "session"),
        (Self::Bearer, "bearer"),
        (Self::Public, "public"),
        (Self::Anonymous, "anonymous"),
        (Self::Invalid, "invalid"),
        (Self::Ambiguous, "ambiguous"),
        (Self::InsufficientAuthentication, "insufficient_authentication"),
        (Self::Forbidden, "forbidden"),
        (Self::Malformed, "malformed"),
        (Self::Unavailable, "unavailable"),
    ];
}

/// The kinds of warnings about the store.
const STORE_WARNINGS: [&str; 2] = ["eviction", "eviction_unknown"];

/// Every metric of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    sign_ins: Family<Labels<1>, Counter>,
    refreshes: Family<Labels<1>, Counter>,
    sign_outs: Counter,
    // Handles are kept, since a validate must not look one up.
    validates: [Counter; 10],
    provider: Family<Labels<2>, Histogram>,
    store_errors: Counter,
    store_warnings: Family<Labels<1>, Gauge>,
    revocation_lag: Histogram,
    machine_tokens: Family<Labels<1>, Counter>,
    machine_hits: Counter,
    machine_calls: Family<Labels<1>, Counter>,
    machine_saved: Counter<f64, AtomicU64>,
    background_ends: Family<Labels<1>, Counter>,
    reloads: Family<Labels<1>, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("auth_api");
        let all = &mut registry;
        let validates: Family<Labels<1>, Counter> = add(all, "validates", "Answers of /validate, by result");
        let machine_tokens: Family<Labels<1>, Counter> = add(all, "machine_tokens", "Answers of /token, by result");
        let machine_hits = machine_tokens.get_or_create(&[("result", "hit")]).clone();
        let provider_seconds = || Histogram::new(exponential_buckets(0.005, 2.0, 12));
        let metrics = Self {
            sign_ins: add(all, "sign_ins", "Sign-ins that came back to the callback, by outcome"),
            refreshes: add(all, "refreshes", "Token renewals at the provider, by outcome"),
            sign_outs: add(all, "sign_outs", "Sessions ended by their user"),
            validates: ValidateResult::ALL.map(|(_, result)| validates.get_or_create(&[("result", result)]).clone()),
            provider: add_made(
                all,
                "provider_request_seconds",
                "Requests to the provider, by endpoint and outcome",
                Family::new_with_constructor(provider_seconds),
            ),
            store_errors: add(all, "store_errors", "Failed calls of the session store"),
            store_warnings: add(
                all,
                "store_warnings",
                "Servers of the session store that are set up to lose sessions, by kind; 0 is good",
            ),
            revocation_lag: add_made(
                all,
                "revocation_lag_seconds",
                "Time until a change in a shared session store is known here, measured once a second",
                Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            ),
            machine_hits,
            machine_tokens,
            machine_calls: add(all, "machine_calls", "Requests for machine tokens at the provider"),
            machine_saved: add(
                all,
                "machine_saved_dollars",
                "What cached machine tokens would have cost at machine.price_per_1000",
            ),
            background_ends: add(
                all,
                "background_task_ends",
                "Background tasks that ended, by a panic or by themselves, and were started again",
            ),
            reloads: add(all, "config_reloads", "Reloads of the configuration, by outcome"),
            registry: {
                let dropped = "Lines of the log that could not be written, or that nobody read in time";
                registry.register("log_lines_dropped", dropped, super::writer::dropped());
                registry
            },
        };
        metrics.store_warnings(std::iter::empty());
        metrics
    }
}

/// Registers a metric that begins at nothing.
fn add<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    add_made(registry, name, help, M::default())
}

fn add_made<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts a sign-in that came back.
    pub fn sign_in(&self, outcome: &'static str) {
        self.sign_ins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a renewal.
    pub fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a sign-out.
    pub fn sign_out(&self) {
        self.sign_outs.inc();
    }

    /// Counts a validate.
    pub fn validate(&self, result: ValidateResult) {
        self.validates[result as usize].inc();
    }

    /// Records a request to the provider.
    pub fn provider(&self, endpoint: &'static str, outcome: &'static str, took: Duration) {
        self.provider.get_or_create(&[("endpoint", endpoint), ("outcome", outcome)]).observe(took.as_secs_f64());
    }

    /// Counts a failed store call.
    pub fn store_error(&self) {
        self.store_errors.inc();
    }

    /// Sets how many warnings of each kind there are about the store.
    pub fn store_warnings(&self, kinds: impl Iterator<Item = &'static str>) {
        let kinds: Vec<_> = kinds.collect();
        for kind in STORE_WARNINGS {
            let count = kinds.iter().filter(|each| **each == kind).count();
            self.store_warnings.get_or_create(&[("kind", kind)]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Records how long a change in the store took to be known here.
    pub fn revocation_lag(&self, took: Duration) {
        self.revocation_lag.observe(took.as_secs_f64());
    }

    /// Counts an answer to a machine.
    pub fn machine_token(&self, result: &'static str) {
        self.machine_tokens.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a token that was not fetched, at the price of one, US dollars.
    pub fn machine_hit(&self, price: f64) {
        self.machine_hits.inc();
        self.machine_saved.inc_by(price);
    }

    /// Counts a request for a machine token at the provider.
    pub fn machine_call(&self, issued: bool) {
        self.machine_calls.get_or_create(&[("result", if issued { "issued" } else { "failed" })]).inc();
    }

    /// Counts a background task that ended and is started again.
    pub fn background_task_ended(&self, task: &'static str) {
        self.background_ends.get_or_create(&[("task", task)]).inc();
    }

    /// Counts a reload of the configuration.
    pub fn reload(&self, applied: bool) {
        self.reloads.get_or_create(&[("outcome", if applied { "applied" } else { "refused" })]).inc();
    }

    /// The text for `/metrics`.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
