//! A request, and what it waits for, is one trace at the collector; nothing secret is in it, and nobody waits for it.

mod collector;

use crate::support::process::{Service, configure, is_known, sign_in, spawn_with, terminate};
use crate::support::redis::Redis;
use crate::support::{Browser, free_port, param, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, UserPool};
use axum::http::StatusCode;
use collector::{Collector, Spans, attributes, hex};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// A proxy that is trusted, and an address that is not.
const PROXY: &str = "127.0.0.2:0";
const STRANGER: &str = "127.0.0.1:0";

/// The service with traces at `endpoint`, whatever listens there.
async fn serve(folder: &Path, endpoint: &str, configuration: &[(&str, &str)]) -> (Service, UserPool) {
    let given = [
        ("TELEMETRY__OTLP_ENDPOINT", endpoint),
        ("SERVER__TRUSTED_PROXIES", "127.0.0.2"),
        ("MACHINE__PASS_THROUGH", "true"),
    ];
    loop {
        let (port, ops) = (free_port(), free_port());
        let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        configure(folder, &pool, port, ops);
        let env = given.iter().chain(configuration).map(|(key, value)| (format!("AUTH_API__{key}"), value.to_string()));
        if let Some(service) = spawn_with(folder, port, ops, env) {
            let ready = format!("{}/readyz", service.ops);
            until("it is ready", async || Browser::new().get(&ready).await.status == 200).await;
            return (service, pool);
        }
    }
}

/// Stops the service, which sends what it has, and returns its log.
fn stop(mut service: Service) -> String {
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    service.log()
}

/// Asks for a page from another address of this machine.
async fn ask_from(address: &str, service: &Service, path: &str, headers: &str) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address.parse().unwrap()).unwrap();
    let mut stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], service.port()))).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: auth-api.app.localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
}

async fn metric(service: &Service, name: &str) -> u64 {
    let text = Browser::new().get(&format!("{}/metrics", service.ops)).await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

fn assert_secret(collector: &Collector, secrets: &[&str]) {
    let bytes = collector.bytes();
    for secret in secrets {
        assert!(!secret.is_empty());
        let shown = bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret.as_bytes()));
        assert!(!shown, "{secret} was exported");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_request_waits_for_is_in_its_trace() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start(StatusCode::OK).await);
    let (service, pool) = serve(folder.path(), &collector.url, &[]).await;
    let jane = Browser::new();
    let authorize = jane.get(&format!("{}/auth/signin?return_to=/secret-page", service.url)).await.location();
    let callback = jane.log_in(&authorize, "jane").await;
    assert_eq!(jane.get(&callback).await.status, 302);
    let at_exchange = pool.last_traceparent(PoolEndpoint::TokenCode).unwrap();
    assert!(is_known(&service, &jane).await);
    assert_eq!(jane.post(&format!("{}/refresh?force=true", service.url), &[]).await.status, 200);
    let at_renewal = pool.last_traceparent(PoolEndpoint::TokenRefresh).unwrap();
    let bearer = pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let validate = format!("{}/validate", service.url);
    let shown = |request: reqwest::RequestBuilder| request.bearer_auth(&bearer);
    assert_eq!(Browser::new().send(reqwest::Method::GET, &validate, shown).await.status, 200);
    let program = [
        ("grant_type", "client_credentials"),
        ("client_id", "dev-machine-client"),
        ("client_secret", "dev-machine-secret"),
    ];
    let token = Browser::new().post(&format!("{}/token", service.url), &program).await;
    assert_eq!(token.status, 200, "{}", token.body);
    let cookies = jane.cookies(&service.url);
    stop(service);

    let spans = collector.spans();
    let paths = spans.paths();
    for path in [
        "GET /auth/signin > sign-in",
        "GET /auth/signin/callback > callback > code exchange > POST token",
        "GET /auth/signin/callback > callback > code exchange > token verification",
        "GET /auth/signin/callback > callback > create",
        "GET /validate > token verification",
        "POST /refresh > renewal > renewal lease > lease",
        "POST /refresh > renewal > renewal permit",
        "POST /refresh > renewal > POST token",
        "POST /refresh > renewal > token verification",
        "POST /refresh > renewal > update",
        "POST /token > machine token > machine token fetch > POST token_machine",
    ] {
        assert!(paths.contains(path), "no {path} in {paths:#?}");
    }
    // What runs in the background is in nobody's trace, and in none of its own.
    let routes = ["GET /", "POST /"];
    assert!(paths.iter().all(|path| routes.iter().any(|route| path.starts_with(route))), "{paths:#?}");

    let exchange = spans.at("GET /auth/signin/callback > callback > code exchange > POST token");
    assert_eq!(at_exchange, format!("00-{}-{}-01", hex(&exchange.trace_id), hex(&exchange.span_id)));
    let renewal = spans.at("POST /refresh > renewal > POST token");
    assert_eq!(at_renewal, format!("00-{}-{}-01", hex(&renewal.trace_id), hex(&renewal.span_id)));
    has_standard_attributes(&spans, &pool);

    let (code, state) = (param(&callback, "code").unwrap(), param(&callback, "state").unwrap());
    let token = token.json()["access_token"].as_str().unwrap().to_owned();
    let mut secrets = vec![&*code, &*state, &*bearer, &*token, "jane", "secret-page", "dev-machine-secret"];
    secrets.extend(cookies.split("; ").filter_map(|cookie| Some(cookie.split_once('=')?.1)));
    assert!(secrets.len() > 8, "{cookies}");
    assert_secret(&collector, &secrets);
}

fn has_standard_attributes(spans: &Spans, pool: &UserPool) {
    let callback = spans.at("GET /auth/signin/callback");
    assert_eq!(callback.kind(), SpanKind::Server);
    let expected =
        [("http.request.method", "GET"), ("http.response.status_code", "302"), ("http.route", "/auth/signin/callback")];
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    assert_eq!(attributes(callback), owned(&expected));
    let exchange = spans.at("GET /auth/signin/callback > callback > code exchange > POST token");
    assert_eq!(exchange.kind(), SpanKind::Client);
    let (port, url) = (pool.addr().port().to_string(), format!("{}/oauth2/token", pool.base_url()));
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
        ("url.full", &url),
    ];
    assert_eq!(attributes(exchange), owned(&expected));
    let create = spans.at("GET /auth/signin/callback > callback > create");
    assert_eq!(create.kind(), SpanKind::Client);
    assert_eq!(attributes(create), owned(&[("db.operation.name", "create"), ("db.system.name", "redb")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_marked() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start(StatusCode::OK).await);
    let (service, pool) = serve(folder.path(), &collector.url, &[]).await;
    let jane = Browser::new();
    let authorize = jane.get(&format!("{}/auth/signin", service.url)).await.location();
    let callback = jane.log_in(&authorize, "jane").await;
    pool.fault(PoolEndpoint::TokenCode, Fault::Throttle { retry_after: None });
    assert_eq!(jane.get(&callback).await.status, 503);
    stop(service);
    let spans = collector.spans();
    for (path, kind) in [
        ("GET /auth/signin/callback", "503"),
        ("GET /auth/signin/callback > callback > code exchange > POST token", "unavailable"),
    ] {
        let span = spans.at(path);
        assert_eq!(span.status.clone().unwrap().code(), SpanStatus::Error, "{path}");
        assert_eq!(attributes(span)["error.type"], kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trusted_proxy_s_trace_is_continued_and_a_stranger_s_is_not() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start(StatusCode::OK).await);
    let (service, _pool) = serve(folder.path(), &collector.url, &[]).await;
    let traces =
        ["11111111111111111111111111111111", "22222222222222222222222222222222", "33333333333333333333333333333333"];
    let visitor = "X-Forwarded-For: 198.51.100.7\r\nUser-Agent: Navigator/4.7\r\ntracestate: vendor=opaque\r\n";
    for (address, trace, flags) in [(PROXY, traces[0], "01"), (PROXY, traces[1], "00"), (STRANGER, traces[2], "01")] {
        let headers = format!("{visitor}traceparent: 00-{trace}-00f067aa0ba902b7-{flags}\r\n");
        ask_from(address, &service, "/auth/signin?login_hint=kim@example.com", &headers).await;
    }
    stop(service);

    let spans = collector.spans();
    let continued = spans.of_trace(traces[0]);
    assert_eq!(hex(&continued.at("GET /auth/signin").parent_span_id), "00f067aa0ba902b7");
    assert!(continued.paths().contains("GET /auth/signin > sign-in"));
    assert!(spans.of_trace(traces[1]).0.is_empty(), "the proxy does not record it");
    assert!(spans.of_trace(traces[2]).0.is_empty(), "a stranger names a trace");
    let begun = spans.0.iter().filter(|span| span.name == "GET /auth/signin" && span.parent_span_id.is_empty());
    assert_eq!(begun.count(), 1, "{:#?}", spans.paths());
    assert_secret(&collector, &["198.51.100.7", "Navigator", "kim@example.com", "kim%40", "login_hint", "opaque"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_the_traces_that_begin_here_a_share_is_recorded() {
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start(StatusCode::OK).await);
    let (service, pool) = serve(folder.path(), &collector.url, &[("TELEMETRY__TRACE_RATIO", "0")]).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    assert!(is_known(&service, &jane).await);
    let traceparent = pool.last_traceparent(PoolEndpoint::TokenCode).unwrap();
    assert!(traceparent.starts_with("00-") && traceparent.ends_with("-00"), "{traceparent}");
    let trace = "44444444444444444444444444444444";
    ask_from(PROXY, &service, "/auth/signin", &format!("traceparent: 00-{trace}-00f067aa0ba902b7-01\r\n")).await;
    stop(service);
    let spans = collector.spans();
    assert!(spans.0.iter().all(|span| hex(&span.trace_id) == trace), "{:#?}", spans.paths());
    assert!(spans.paths().contains("GET /auth/signin > sign-in"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_traced() {
    let folder = tempfile::tempdir().unwrap();
    let (service, pool) = serve(folder.path(), "", &[("TELEMETRY__LOG", "trace")]).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    assert_eq!(pool.last_traceparent(PoolEndpoint::TokenCode), None);
    assert_eq!(metric(&service, "auth_api_trace_spans_dropped_total").await, 0);
    let log = stop(service);
    assert!(!log.contains("code exchange"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_fails_stops_nobody() {
    let refusing = Collector::start(StatusCode::SERVICE_UNAVAILABLE).await;
    let away = format!("http://127.0.0.1:{}", free_port());
    for endpoint in [refusing.url, away] {
        let folder = tempfile::tempdir().unwrap();
        let (service, _pool) = serve(folder.path(), &endpoint, &[]).await;
        let jane = Browser::new();
        sign_in(&service, &jane).await;
        until("spans are dropped", async || metric(&service, "auth_api_trace_spans_dropped_total").await > 0).await;
        let dropped = metric(&service, "auth_api_trace_spans_dropped_total").await;
        assert!(is_known(&service, &jane).await);
        until("more are", async || metric(&service, "auth_api_trace_spans_dropped_total").await > dropped).await;
        let log = stop(service);
        assert!(log.contains("trace export failed"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_holds_nobody_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path(), &endpoint, &[]).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    assert!(is_known(&service, &jane).await);
    assert!(stop(service).contains("trace export incomplete"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn calls_of_redis_are_in_the_trace() {
    let redis = Redis::start().await;
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    let (folder, collector) = (tempfile::tempdir().unwrap(), Collector::start(StatusCode::OK).await);
    let (service, _pool) = serve(folder.path(), &collector.url, &[("SESSION__STORE", &url)]).await;
    sign_in(&service, &Browser::new()).await;
    stop(service);
    let spans = collector.spans();
    let create = spans.at("GET /auth/signin/callback > callback > create");
    assert_eq!(attributes(create)["db.system.name"], "redis");
}
