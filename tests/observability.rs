//! What an operator sees of the service from outside: its metrics, and the alerts and the dashboard that are made of them.

mod prometheus;
mod rules;

use crate::support::{Browser, Site};
use auth_api::telemetry::metrics::HttpRoute;
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// One scrape: the value of each sample.
struct Scrape {
    text: String,
    samples: BTreeMap<String, f64>,
}

impl Scrape {
    async fn of(ops_url: &str) -> Self {
        let answer = Browser::new().get(&format!("{ops_url}/metrics")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        };
        Self { samples: lines.map(sample).collect(), text: answer.body }
    }

    fn get(&self, sample: &str) -> Option<f64> {
        self.samples.get(sample).copied()
    }

    /// The names, without what a histogram adds.
    fn names(&self) -> BTreeSet<&str> {
        self.text.lines().filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0)).collect()
    }

    /// The values that a label of a metric has.
    fn values(&self, metric: &str, label: &str) -> BTreeSet<&str> {
        let of_metric = self.samples.keys().filter(|sample| sample.starts_with(&format!("{metric}{{")));
        of_metric
            .map(|sample| sample.split(&format!("{label}=\"")).nth(1).unwrap().split('"').next().unwrap())
            .collect()
    }
}

/// How many requests of a route ended so.
fn requests(route: &str, method: &str, status: &str) -> String {
    format!("auth_api_http_request_seconds_count{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}}")
}

/// One of everything that makes a metric.
async fn traffic(site: &Site) {
    let jane = Browser::new();
    jane.sign_in(site, "jane").await;
    assert_eq!(jane.validate(site).await.status, 200);
    assert_eq!(Browser::new().validate(site).await.status, 401);
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    assert_eq!(jane.post(&site.auth("/token"), &[]).await.status, 400);
    assert_eq!(jane.get(&site.auth("/nothing")).await.status, 404);
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let site = Site::start().await;
    traffic(&site).await;
    let browser = Browser::new();
    assert_eq!(browser.get(&site.auth("/token")).await.status, 405);
    assert_eq!(browser.get(&site.auth("/validate/envoy/page")).await.status, 403);
    assert_eq!(browser.send(Method::DELETE, &site.auth("/auth/sessions/abc"), |r| r).await.status, 401);
    assert_eq!(browser.get(&site.auth("/auth/sessions")).await.status, 401);
    let scrape = Scrape::of(&site.ops_url).await;
    for (route, method, status, count) in [
        ("/validate", "GET", "2xx", 1.0),
        ("/validate", "GET", "4xx", 1.0),
        ("/validate/envoy", "GET", "4xx", 1.0),
        ("/token", "POST", "4xx", 1.0),
        ("/token", "GET", "4xx", 1.0),
        ("/refresh", "POST", "2xx", 1.0),
        ("/auth/sessions", "GET", "4xx", 1.0),
        ("/auth/sessions/{handle}", "DELETE", "4xx", 1.0),
        ("/auth/signin/callback", "GET", "3xx", 1.0),
        ("other", "GET", "4xx", 1.0),
    ] {
        assert_eq!(scrape.get(&requests(route, method, status)), Some(count), "{route} {method} {status}");
    }
    // The buckets grow, and the last has all.
    let bucket = |le: &str| {
        let bucket = requests("/validate", "GET", "2xx").replace("_count{", &format!("_bucket{{le=\"{le}\","));
        scrape.get(&bucket).unwrap_or_else(|| panic!("{bucket} in {}", scrape.text))
    };
    assert!(bucket("0.00005") <= bucket("0.0001") && bucket("10.0") <= bucket("+Inf") && bucket("+Inf") == 1.0);
    let sum = scrape.get(&requests("/validate", "GET", "2xx").replace("_count{", "_sum{")).unwrap();
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    assert_eq!(scrape.get("auth_api_http_requests_in_flight"), Some(0.0));
}

#[tokio::test]
async fn a_request_is_in_flight_until_it_is_answered_or_its_client_leaves() {
    use auth_api::dev::pool::{Fault, PoolEndpoint};
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pool.fault(PoolEndpoint::TokenRefresh, Fault::Stall);
    let in_flight = async || Scrape::of(&site.ops_url).await.get("auth_api_http_requests_in_flight");
    let url = site.auth("/refresh?force=true");
    {
        let renewal = std::pin::pin!(jane.post(&url, &[]));
        let seen = std::pin::pin!(crate::support::until("it is in flight", async || in_flight().await == Some(1.0)));
        // Whichever ends first drops the other: the client leaves.
        futures_util::future::select(renewal, seen).await;
    }
    crate::support::until("it is over", async || in_flight().await == Some(0.0)).await;
    assert_eq!(site.metric(&requests("/refresh", "POST", "aborted")).await, 1);
}

#[tokio::test]
async fn no_stranger_makes_a_label() {
    let site = Site::start().await;
    let browser = Browser::new();
    let methods = ["GET", "PUT", "TRACE", "PROPFIND", "X-HOSTILE-\u{21}", "route"];
    for path in
        ["/%22%7D", "/auth/sessions/%22,a=%22", "/validate/x", "/auth/../validate", "/validate/envoy/%0A", "/token/x"]
    {
        for method in methods {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            browser.send(method, &site.auth(path), |r| r.header("x-http-method-override", "HOSTILE")).await;
        }
    }
    for method in methods {
        browser.send(Method::from_bytes(method.as_bytes()).unwrap(), &site.auth("/validate"), |r| r).await;
    }
    let scrape = Scrape::of(&site.ops_url).await;
    let (metric, known) = ("auth_api_http_request_seconds_count", |list: &[&'static str]| -> BTreeSet<&str> {
        list.iter().copied().chain(["other"]).collect()
    });
    let routes = scrape.values(metric, "route");
    assert!(routes.is_subset(&known(&HttpRoute::PATTERNS)) && routes.contains("other"), "{routes:?}");
    assert_eq!(scrape.values(metric, "method"), known(&["GET", "PUT"]));
    assert!(scrape.values(metric, "status").is_subset(&["2xx", "3xx", "4xx", "aborted"].into()));
    assert!(!scrape.text.contains("HOSTILE") && !scrape.text.contains("a="), "{}", scrape.text);
}

#[test]
fn every_route_has_a_label_and_every_label_a_route() {
    let document = auth_api::web::openapi("https://auth-api.example.com");
    let documented: BTreeSet<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    let patterns = BTreeSet::from(HttpRoute::PATTERNS);
    assert_eq!(patterns.len(), HttpRoute::PATTERNS.len(), "each once");
    // OpenAPI has no wildcard for Envoy's addresses.
    let undocumented: Vec<_> = patterns.difference(&documented).collect();
    assert_eq!(undocumented, [&"/validate/envoy"]);
    assert!(documented.is_subset(&patterns), "{:?}", documented.difference(&patterns));
}

#[tokio::test]
async fn the_state_of_the_service_is_told() {
    let site = Site::start().await;
    let before = Scrape::of(&site.ops_url).await;
    assert_eq!((before.get("auth_api_sessions"), before.get("auth_api_session_cache_entries")), (Some(0.0), Some(0.0)));
    let (jane, erin) = (Browser::new(), Browser::new());
    for (browser, user) in [(&jane, "jane"), (&erin, "erin")] {
        browser.sign_in(&site, user).await;
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    let scrape = Scrape::of(&site.ops_url).await;
    assert_eq!((scrape.get("auth_api_sessions"), scrape.get("auth_api_session_cache_entries")), (Some(2.0), Some(2.0)));
    let (bytes, limit) = (
        scrape.get("auth_api_session_cache_bytes").unwrap(),
        scrape.get("auth_api_session_cache_limit_bytes").unwrap(),
    );
    assert!(bytes > 1_000.0 && bytes < 20_000.0 && limit == f64::from(256 << 20), "{bytes} {limit}");
    assert_eq!(scrape.get("auth_api_ready"), Some(1.0));
    for component in ["process", "configuration", "connections", "audit", "provider", "store", "bearer_issuer"] {
        assert_eq!(scrape.get(&format!("auth_api_degraded{{component=\"{component}\"}}")), Some(0.0), "{component}");
    }
    let build =
        concat!("auth_api_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\",commit=\"development build\"}");
    assert_eq!(scrape.get(build), Some(1.0));
    for (operation, count) in [("create", 2.0), ("ping", 2.0)] {
        let sample = format!("auth_api_store_request_seconds_count{{operation=\"{operation}\",outcome=\"ok\"}}");
        assert!(scrape.get(&sample) >= Some(count), "{operation}");
    }
    let task = "auth_api_background_task_ends_total{task=\"sweep\"}";
    assert_eq!(scrape.get(task), Some(0.0), "there from the start, so that its first increase is seen");
    if cfg!(target_os = "linux") {
        let process =
            ["cpu_seconds_total", "resident_memory_bytes", "virtual_memory_bytes", "open_fds", "start_time_seconds"];
        assert!(process.iter().all(|name| scrape.get(&format!("process_{name}")) > Some(0.0)), "{}", scrape.text);
    }
    jane.post(&site.auth("/auth/signout"), &[]).await;
    assert_eq!(site.metric("auth_api_sessions").await, 1);
}

#[tokio::test]
async fn the_age_of_the_keys_is_told() {
    use auth_api::dev::pool::{Fault, PoolEndpoint};
    let site = Site::start().await;
    let sample = format!("auth_api_provider_keys_fetched_timestamp_seconds{{issuer=\"{}\"}}", site.pool.issuer());
    let now = || site.rp.clock.now().as_secs() as f64;
    site.rp.provider.renew_metadata().await.unwrap();
    // From here on the background reads nothing either.
    site.pool.fault(PoolEndpoint::Jwks, Fault::Disconnect);
    site.rp.provider.renew_metadata().await.unwrap_err();
    let first = Scrape::of(&site.ops_url).await.get(&sample).unwrap();
    assert!(now() - first < 60.0, "{first}");
    site.pass(3_600);
    site.rp.provider.renew_metadata().await.unwrap_err();
    let scrape = Scrape::of(&site.ops_url).await;
    assert_eq!(scrape.get(&sample), Some(first), "they were not read");
    assert_eq!(scrape.get("auth_api_degraded{component=\"provider\"}"), Some(1.0));
    site.pool.clear_faults();
    site.rp.provider.renew_metadata().await.unwrap();
    let second = Scrape::of(&site.ops_url).await.get(&sample).unwrap();
    assert!(second >= first + 3_600.0, "the same keys, read again");
}
