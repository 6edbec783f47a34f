//! Counters, gauges and histograms, in Prometheus' text format: `auth_api_*`, and `process_*` as everywhere.

mod exposition;
mod http;
mod machine;
mod observations;
mod process;
mod registration;

pub use self::exposition::CONTENT_TYPE;
pub use self::http::{HttpRoute, RequestTimer};
pub use self::observations::Observations;

use self::http::HttpRequests;
use self::machine::MachineCounters;
use self::registration::{Labels, add, add_counters, add_made, add_seconds};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

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

/// What is counted from the start, with 0: of a series that is not there Prometheus does not see the first increase.
const REFRESH_OUTCOMES: [&str; 5] =
    ["renewed", "ended_by_provider", "ended_meanwhile", "provider_failed", "store_failed"];
const DIRECTORY_OUTCOMES: [&str; 3] = ["written", "failed", "dropped"];
const RELOAD_OUTCOMES: [&str; 2] = ["applied", "refused"];

/// The upper bounds of the store's buckets, seconds: from one in memory to the longest that is waited for.
const STORE_BOUNDS: [f64; 13] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Every metric of this process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    http: HttpRequests,
    sign_ins: Family<Labels<1>, Counter>,
    refreshes: Family<Labels<1>, Counter>,
    sign_outs: Counter,
    // Handles are kept, since a validate must not look one up.
    validates: [Counter; 10],
    provider: Family<Labels<2>, Histogram>,
    store: Family<Labels<2>, Histogram>,
    store_errors: Counter,
    store_warnings: Family<Labels<1>, Gauge>,
    revocation_lag: Histogram,
    machine: MachineCounters,
    background_ends: Family<Labels<1>, Counter>,
    reloads: Family<Labels<1>, Counter>,
    directory_writes: Family<Labels<1>, Counter>,
    shed: Counter,
    audit_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("auth_api");
        let all = &mut registry;
        let validates: Family<Labels<1>, Counter> = add(all, "validates", "Answers of /validate, by result");
        let metrics = Self {
            http: add(
                all,
                "http_request_seconds",
                "Requests of the public listener until their answer was made, by route, method and class of status; aborted: the \
                 client left before",
            ),
            sign_ins: add(all, "sign_ins", "Sign-ins that came back to the callback, by outcome"),
            refreshes: {
                let help = "Token renewals at the provider, by outcome";
                add_counters(all, "refreshes", help, "outcome", &REFRESH_OUTCOMES)
            },
            sign_outs: add(all, "sign_outs", "Sessions ended by their user"),
            validates: ValidateResult::ALL.map(|(_, result)| validates.get_or_create(&[("result", result)]).clone()),
            provider: add_seconds(
                all,
                "provider_request_seconds",
                "Requests to the provider, by endpoint and outcome",
                || Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            ),
            store: add_seconds(
                all,
                "store_request_seconds",
                "Calls of the session store, by operation and outcome",
                || Histogram::new(STORE_BOUNDS),
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
            machine: MachineCounters::register(all),
            background_ends: add(all, "background_task_ends", "Background tasks that ended and were started again"),
            reloads: {
                let help = "Reloads of the configuration, by outcome";
                add_counters(all, "config_reloads", help, "outcome", &RELOAD_OUTCOMES)
            },
            directory_writes: {
                let help = "Rows of people for the directory, by outcome; what failed is tried again";
                add_counters(all, "directory_writes", help, "outcome", &DIRECTORY_OUTCOMES)
            },
            shed: add(all, "http_requests_shed", "Requests refused for an overload; they count as answered, too"),
            audit_dropped: add(all, "audit_records_dropped", "Audit records that could not be written"),
            registry: {
                register_dropped(&mut registry);
                registry
            },
        };
        metrics.store_warnings(std::iter::empty());
        metrics
    }
}

/// What was dropped so that nobody waits for who takes it.
fn register_dropped(registry: &mut Registry) {
    let lines = "Lines of the log that could not be written, or that nobody read in time";
    registry.register("log_lines_dropped", lines, super::writer::dropped());
    let spans = "Spans that the collector of traces did not take, or for which there was no room";
    registry.register("trace_spans_dropped", spans, super::traces::dropped());
}

impl Metrics {
    /// Counts and times a request of the public listener, until it is answered or dropped.
    pub fn request(&self, route: HttpRoute, method: &::http::Method) -> RequestTimer<'_> {
        self.http.begin(route, method)
    }

    /// Counts a request that is refused for an overload.
    pub fn request_shed(&self) {
        self.shed.inc();
    }

    /// Counts a sign-in that came back.
    pub fn sign_in(&self, outcome: &'static str) {
        self.sign_ins.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a renewal.
    pub fn refresh(&self, outcome: &'static str) {
        self.refreshes.get_or_create(&[("outcome", outcome)]).inc();
    }

    /// Counts a row of the directory.
    pub fn directory_write(&self, outcome: &'static str) {
        self.directory_writes.get_or_create(&[("outcome", outcome)]).inc();
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

    /// Records a call of the store.
    pub fn store(&self, operation: &'static str, outcome: &'static str, took: Duration) {
        self.store.get_or_create(&[("operation", operation), ("outcome", outcome)]).observe(took.as_secs_f64());
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
        self.machine.tokens.get_or_create(&[("result", result)]).inc();
    }

    /// Counts a token that was not fetched, at the price of one, US dollars.
    pub fn machine_hit(&self, price: f64) {
        self.machine.hits.inc();
        self.machine.saved.inc_by(price);
    }

    /// Counts a request for a machine token at the provider.
    pub fn machine_call(&self, issued: bool) {
        self.machine.calls.get_or_create(&[("result", if issued { "issued" } else { "failed" })]).inc();
    }

    /// Counts a background task from its start.
    pub fn background_task_started(&self, task: &'static str) {
        drop(self.background_ends.get_or_create(&[("task", task)]));
    }

    /// Counts a background task that ended and is started again.
    pub fn background_task_ended(&self, task: &'static str) {
        self.background_ends.get_or_create(&[("task", task)]).inc();
    }

    /// Counts an audit record that is lost.
    pub fn audit_record_dropped(&self) {
        self.audit_dropped.inc();
    }

    /// Counts a reload of the configuration.
    pub fn reload(&self, applied: bool) {
        self.reloads.get_or_create(&[("outcome", RELOAD_OUTCOMES[usize::from(!applied)])]).inc();
    }

    /// The text for `/metrics`, with what was seen for it.
    pub fn render(&self, observed: &Observations) -> String {
        let mut text = String::new();
        exposition::write(&mut text, &self.registry);
        exposition::write(&mut text, &observed.registry(self.http.in_flight()));
        text
    }
}
