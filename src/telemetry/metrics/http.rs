//! Requests of the public listener: how many, how they ended, how long they took. Counted on the hot path, so without a
//! look-up, a lock or an allocation: relaxed additions in cache lines that few threads share.

use http::{Method, StatusCode};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use std::array::from_fn;
use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// The upper bounds of the buckets, seconds: above an answer from memory, and up to the longest patience.
const BOUNDS: [f64; 13] = [0.000_05, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];
const BUCKETS: usize = BOUNDS.len() + 1;
/// The same in nanoseconds.
const BOUNDS_NS: [u64; BOUNDS.len()] = {
    let (mut bounds, mut i) = ([0; BOUNDS.len()], 0);
    while i < BOUNDS.len() {
        bounds[i] = (BOUNDS[i] * 1e9 + 0.5) as u64;
        i += 1;
    }
    bounds
};
/// The label of what is in no list: an address that is no route, a method that nothing answers to.
const OTHER: &str = "other";
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", OTHER];
/// The first is of a request without an answer: the client has left, or the handler panicked.
const STATUSES: [&str; 6] = ["aborted", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// Copies of each series, so that few threads share a cache line.
const SHARDS: usize = 8;

/// A route of the public listener: the label `route` has no other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpRoute(usize);

impl HttpRoute {
    /// The patterns, as the router has them. [`HttpRoute::VALIDATE`] and the like are the first.
    pub const PATTERNS: [&str; 32] = [
        "/validate",
        "/validate/browser",
        "/validate/envoy",
        "/token",
        "/introspect",
        "/revoke",
        "/auth/sessions/{handle}",
        "/users/{sub}",
        "/auth/account/{form}",
        "/",
        "/.well-known/oauth-authorization-server",
        "/auth/account",
        "/auth/account/export",
        "/auth/assets/icon.svg",
        "/auth/assets/logo",
        "/auth/assets/passkey.js",
        "/auth/assets/session.js",
        "/auth/assets/style.css",
        "/auth/aws-credentials",
        "/auth/backchannel-logout",
        "/auth/frontchannel-logout",
        "/auth/profile",
        "/auth/session",
        "/auth/sessions",
        "/auth/signin",
        "/auth/signin/callback",
        "/auth/signout",
        "/auth/signout/callback",
        "/favicon.ico",
        "/openapi.json",
        "/refresh",
        "/users",
    ];
    /// `/validate`.
    pub const VALIDATE: Self = Self(0);
    /// `/validate/browser`.
    pub const VALIDATE_BROWSER: Self = Self(1);
    /// `/validate/envoy` and what is below.
    pub const VALIDATE_ENVOY: Self = Self(2);
    /// `/token`.
    pub const TOKEN: Self = Self(3);
    /// `/introspect`.
    pub const INTROSPECT: Self = Self(4);
    /// `/revoke`.
    pub const REVOKE: Self = Self(5);
    /// The patterns that are not the path itself, and what is before the variable.
    const PREFIXES: [(&str, Self); 3] =
        [("/auth/sessions/", Self(6)), ("/users/", Self(7)), ("/auth/account/", Self(8))];

    /// The route of a path, found by going through them: for all but the hot path, which knows its route.
    pub fn of(path: &str) -> Self {
        if let Some(place) = Self::PATTERNS.iter().position(|pattern| *pattern == path) {
            return Self(place);
        }
        let is_one = |prefix| path.strip_prefix(prefix).is_some_and(|name| !name.is_empty() && !name.contains('/'));
        let found = Self::PREFIXES.into_iter().find(|(prefix, _)| is_one(*prefix));
        found.map_or(Self(Self::PATTERNS.len()), |(_, route)| route)
    }

    /// The pattern; `None` for an address that is no route.
    pub fn pattern(self) -> Option<&'static str> {
        Self::PATTERNS.get(self.0).copied()
    }

    /// Whether it is asked on each request of each sibling, or of each program.
    pub(in crate::telemetry) fn is_hot(self) -> bool {
        self.0 <= Self::TOKEN.0
    }

    fn label(self) -> &'static str {
        self.pattern().unwrap_or(OTHER)
    }
}

/// One copy of a series, in two cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct SeriesShard {
    buckets: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
}

type Series = Box<[SeriesShard; SHARDS]>;

/// A count in a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct CounterShard(AtomicU64);

/// The requests of the public listener.
#[derive(Clone)]
pub(super) struct HttpRequests(Arc<Counts>);

struct Counts {
    began: [CounterShard; SHARDS],
    /// By route, method and status; made when the first of its kind ends.
    series: Box<[OnceLock<Series>]>,
}

impl Default for HttpRequests {
    fn default() -> Self {
        let length = (HttpRoute::PATTERNS.len() + 1) * METHODS.len() * STATUSES.len();
        let series = std::iter::repeat_with(OnceLock::new).take(length).collect();
        Self(Arc::new(Counts { began: Default::default(), series }))
    }
}

impl fmt::Debug for HttpRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequests").field("in_flight", &self.in_flight()).finish_non_exhaustive()
    }
}

impl HttpRequests {
    pub(super) fn begin(&self, route: HttpRoute, method: &Method) -> RequestTimer<'_> {
        self.0.began[shard()].0.fetch_add(1, Ordering::Relaxed);
        let kind = (route.0 * METHODS.len() + method_index(method)) * STATUSES.len();
        RequestTimer { requests: self, kind, began: Instant::now() }
    }

    fn end(&self, index: usize, took: Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let series = self.0.series[index].get_or_init(|| Box::new(from_fn(|_| SeriesShard::default())));
        let shard = &series[shard()];
        let bucket = BOUNDS_NS.iter().position(|bound| took <= *bound).unwrap_or(BUCKETS - 1);
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shard.nanoseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Requests that have begun and not ended: counted by their difference, since each costs an addition.
    pub(super) fn in_flight(&self) -> u64 {
        // Those that end meanwhile are still in flight, so that there are never fewer than none.
        let ended: u64 = self.0.series.iter().filter_map(OnceLock::get).flat_map(buckets).sum();
        let began: u64 = self.0.began.iter().map(|count| count.0.load(Ordering::Acquire)).sum();
        began.saturating_sub(ended)
    }
}

impl EncodeMetric for HttpRequests {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        for (index, series) in self.0.series.iter().enumerate() {
            let Some(series) = series.get() else { continue };
            let (kind, status) = (index / STATUSES.len(), index % STATUSES.len());
            let (route, method) = (HttpRoute(kind / METHODS.len()), METHODS[kind % METHODS.len()]);
            let labels = [("route", route.label()), ("method", method), ("status", STATUSES[status])];
            let buckets = buckets(series);
            let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
            let counted: Vec<_> = bounds.zip(buckets).collect();
            let nanoseconds: u64 = series.iter().map(|shard| shard.nanoseconds.load(Ordering::Relaxed)).sum();
            let mut series_encoder = encoder.encode_family(&labels)?;
            let (sum, count) = (nanoseconds as f64 / 1e9, buckets.iter().sum());
            series_encoder.encode_histogram::<NoLabelSet>(sum, count, &counted, None)?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// What was counted in each bucket, in all shards.
fn buckets(series: &Series) -> [u64; BUCKETS] {
    from_fn(|bucket| series.iter().map(|shard| shard.buckets[bucket].load(Ordering::Acquire)).sum())
}

/// Which copy this thread counts in.
fn shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    SHARD.with(|own| {
        if own.get() == usize::MAX {
            own.set(THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS);
        }
        own.get()
    })
}

fn method_index(method: &Method) -> usize {
    match *method {
        Method::GET => 0,
        Method::HEAD => 1,
        Method::POST => 2,
        Method::PUT => 3,
        Method::PATCH => 4,
        Method::DELETE => 5,
        Method::OPTIONS => 6,
        _ => METHODS.len() - 1,
    }
}

/// A request under way. Dropped without an answer, it counts as aborted.
#[derive(Debug)]
pub struct RequestTimer<'a> {
    requests: &'a HttpRequests,
    /// The place of its series: route, method, and once it is known the status.
    kind: usize,
    began: Instant,
}

impl RequestTimer<'_> {
    /// The request is answered.
    pub fn answered(mut self, status: StatusCode) {
        self.kind += usize::from(status.as_u16() / 100).min(STATUSES.len() - 1);
    }
}

impl Drop for RequestTimer<'_> {
    fn drop(&mut self) {
        self.requests.end(self.kind, self.began.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_of_one_route_or_of_none() {
        for (index, pattern) in HttpRoute::PATTERNS.into_iter().enumerate() {
            assert_eq!(HttpRoute::of(pattern), HttpRoute(index), "{pattern}");
        }
        assert_eq!(HttpRoute::of("/auth/sessions/AbC-_9").label(), "/auth/sessions/{handle}");
        for path in ["", "//", "/validate/", "/VALIDATE", "/auth/sessions/", "/auth/sessions/a/b", "/token\n", "other"]
        {
            assert_eq!(HttpRoute::of(path).label(), OTHER, "{path:?}");
        }
        let named = [
            (HttpRoute::VALIDATE, "/validate"),
            (HttpRoute::VALIDATE_BROWSER, "/validate/browser"),
            (HttpRoute::VALIDATE_ENVOY, "/validate/envoy"),
            (HttpRoute::TOKEN, "/token"),
            (HttpRoute::INTROSPECT, "/introspect"),
            (HttpRoute::REVOKE, "/revoke"),
            (HttpRoute::PREFIXES[0].1, "/auth/sessions/{handle}"),
            (HttpRoute::PREFIXES[1].1, "/users/{sub}"),
        ];
        for (route, label) in named {
            assert_eq!(route.label(), label);
        }
    }

    #[test]
    fn each_method_and_status_has_its_label() {
        for (index, name) in METHODS[..7].iter().enumerate() {
            assert_eq!(method_index(&name.parse().unwrap()), index, "{name}");
        }
        for other in ["TRACE", "CONNECT", "get", "PROPFIND"] {
            assert_eq!(method_index(&other.parse().unwrap()), METHODS.len() - 1, "{other}");
        }
        let requests = HttpRequests::default();
        for status in [99, 100, 204, 302, 404, 503, 600, 999].into_iter().filter_map(|s| StatusCode::from_u16(s).ok()) {
            requests.begin(HttpRoute::TOKEN, &Method::POST).answered(status);
        }
        let counts: Vec<u64> = (1..STATUSES.len())
            .map(|status| buckets(requests.0.series[(3 * 8 + 2) * 6 + status].get().unwrap()).iter().sum())
            .collect();
        assert_eq!(counts, [1, 1, 1, 1, 3]);
    }

    #[test]
    fn what_is_in_flight_is_told_and_what_gets_no_answer_is_aborted() {
        let requests = HttpRequests::default();
        let (first, second) = (
            requests.begin(HttpRoute::VALIDATE, &Method::GET),
            requests.begin(HttpRoute::of("/nothing"), &Method::TRACE),
        );
        assert_eq!(requests.in_flight(), 2);
        first.answered(StatusCode::OK);
        assert_eq!(requests.in_flight(), 1);
        drop(second);
        assert_eq!(requests.in_flight(), 0);
        let aborted = requests.0.series.last_chunk::<6>().map(|last| last[0].get().is_some());
        assert_eq!(aborted, Some(true), "the last route, the last method, the first status");
    }

    #[test]
    fn a_duration_is_in_the_bucket_that_begins_below_it() {
        let requests = HttpRequests::default();
        let times = [0, 50_000, 50_001, 9_999_999_999, 10_000_000_000, 10_000_000_001, u64::MAX];
        for time in times {
            requests.end(2, Duration::from_nanos(time));
        }
        let counted = buckets(requests.0.series[2].get().unwrap());
        assert_eq!((counted[0], counted[1], counted[12], counted[13]), (2, 1, 2, 2));
        assert_eq!(counted.iter().sum::<u64>(), times.len() as u64);
    }

    #[test]
    fn no_count_of_many_threads_is_lost() {
        let requests = HttpRequests::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARDS {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        requests.begin(HttpRoute::VALIDATE, &Method::GET).answered(StatusCode::OK);
                    }
                });
            }
        });
        assert_eq!(buckets(requests.0.series[2].get().unwrap()).iter().sum::<u64>(), 16_000);
        assert_eq!(requests.in_flight(), 0);
    }
}
