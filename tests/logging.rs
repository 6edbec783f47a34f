//! The log cannot be written, or a stranger writes into it: people are signed in all the same, and no line is forged.

use crate::support::process::{Service, command, configure, is_known, sign_in, spawn_with, terminate};
use crate::support::redis::Redis;
use crate::support::{Browser, free_port, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, UserPool};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::time::Duration;

/// Longer than anything here takes on the slowest machine: what stands still fails, and does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the service with this for its standard error.
async fn start(folder: &Path, stderr: impl Fn() -> Stdio, environment: &[(&str, &str)]) -> (Service, UserPool) {
    loop {
        let (port, ops) = (free_port(), free_port());
        let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        // The first thing that it has to say.
        pool.fault(PoolEndpoint::Discovery, Fault::Disconnect);
        configure(folder, &pool, port, ops);
        let mut child =
            command(folder).arg("serve").envs(environment.iter().copied()).stderr(stderr()).spawn().unwrap();
        let mut ended = false;
        let live = format!("http://127.0.0.1:{ops}/livez");
        until("it lives", async || {
            ended = child.try_wait().unwrap().is_some();
            ended || Browser::new().try_get(&live).await.is_some()
        })
        .await;
        if !ended {
            return (Service::of(child, port, ops), pool);
        }
    }
}

/// Everything that people and operators need goes on.
async fn works(service: &Service, pool: &UserPool) {
    let ready = format!("{}/readyz", service.ops);
    assert_eq!(Browser::new().get(&ready).await.status, 503, "it has not read the provider's metadata yet");
    pool.clear_faults();
    until("the metadata is read in the background", async || Browser::new().get(&ready).await.status == 200).await;
    let jane = Browser::new();
    let rubbish = format!("{}/auth/signin/callback?error={}", service.url, "x".repeat(60_000));
    for _ in 0..20 {
        assert_eq!(jane.get(&rubbish).await.status, 403);
    }
    sign_in(service, &jane).await;
    assert!(is_known(service, &jane).await);
    assert_eq!(jane.post(&format!("{}/refresh?force=true", service.url), &[]).await.status, 200);
    assert_eq!(jane.get(&format!("{}/auth/signin/callback?code=x", service.url)).await.status, 302);
    assert_eq!(jane.post(&format!("{}/auth/signout", service.url), &[]).await.status, 303);
    assert!(!is_known(service, &jane).await);
}

async fn metric(service: &Service, name: &str) -> u64 {
    let text = Browser::new().get(&format!("{}/metrics", service.ops)).await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

async fn in_time(work: impl Future<Output = ()>) {
    tokio::time::timeout(PATIENCE, work).await.expect("it stands still");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_log_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap().into();
    let (mut service, pool) = start(folder.path(), full, &[]).await;
    in_time(works(&service, &pool)).await;
    assert!(metric(&service, "auth_api_log_lines_dropped_total").await > 0);
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_goes_away_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, pool) = start(folder.path(), Stdio::piped, &[]).await;
    drop(service.child.stderr.take());
    in_time(works(&service, &pool)).await;
    assert!(metric(&service, "auth_api_log_lines_dropped_total").await > 0);
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_the_log_that_stands_still_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    // More lines than any pipe and queue hold.
    let (mut service, pool) = start(folder.path(), Stdio::piped, &[("AUTH_API__TELEMETRY__LOG", "trace")]).await;
    in_time(works(&service, &pool)).await;
    let validate = format!("{}/validate", service.url);
    in_time(until("lines are dropped", async || {
        for _ in 0..100 {
            assert_eq!(Browser::new().get(&validate).await.status, 401);
        }
        metric(&service, "auth_api_log_lines_dropped_total").await > 0
    }))
    .await;
    terminate(&service.child);
    in_time(until("it ends", async || service.child.try_wait().unwrap().is_some())).await;
    assert!(service.child.wait().unwrap().success());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn redis_is_found_again_though_nobody_can_be_told() {
    let mut redis = Redis::start().await;
    let folder = tempfile::tempdir().unwrap();
    let full = || File::options().write(true).open("/dev/full").unwrap().into();
    let url = format!("redis://127.0.0.1:{}/0", redis.port);
    let (service, pool) = start(folder.path(), full, &[("AUTH_API__SESSION__STORE", &url)]).await;
    in_time(works(&service, &pool)).await;
    let ready = format!("{}/readyz?strict=true", service.ops);
    redis.kill();
    in_time(until("it is missed", async || Browser::new().get(&ready).await.status == 503)).await;
    assert!(redis.up().await);
    in_time(until("it is found again", async || Browser::new().get(&ready).await.status == 200)).await;
    let jane = Browser::new();
    in_time(async {
        // For a moment no code is spent: an earlier claim of it may be on its way back into the store.
        let authorize = jane.get(&format!("{}/auth/signin", service.url)).await.location();
        let callback = jane.log_in(&authorize, "jane").await;
        until("sign-ins work again", async || jane.get(&callback).await.status == 302).await;
        assert!(is_known(&service, &jane).await);
    })
    .await;
}

/// The lines of the log until one has this in it.
fn lines_until(log: &mut BufReader<ChildStderr>, last: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(log.read_line(&mut line).unwrap() > 0, "no {last} in {lines:#?}");
        let found = line.contains(last);
        lines.push(line);
        if found {
            return lines;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_strangers_write_is_cut_and_forges_no_field_and_no_line() {
    for format in ["text", "json"] {
        // A session file is for one deployment.
        let folder = tempfile::tempdir().unwrap();
        let environment = [
            ("AUTH_API__TELEMETRY__FORMAT", format),
            ("AUTH_API__MACHINE__PASS_THROUGH", "true"),
            ("AUTH_API__TELEMETRY__LOG", "debug"),
        ];
        let (mut service, pool) = start(folder.path(), Stdio::piped, &environment).await;
        pool.clear_faults();
        let ready = format!("{}/readyz", service.ops);
        until("ready", async || Browser::new().get(&ready).await.status == 200).await;
        let forged = "eve owner=\"board\" level=ERROR\n2026-01-01T00:00:00Z  INFO signed in \u{202e}\u{1b}[31m";
        let mallory = Browser::new();
        let long = format!("{forged}{}", "y".repeat(25_000));
        let url = |path: &str, pairs: &[(&str, &str)]| {
            url::Url::parse_with_params(&format!("{}{path}", service.url), pairs).unwrap().to_string()
        };
        let token = url("/token", &[]);
        let form = [("grant_type", "client_credentials"), ("client_id", forged), ("client_secret", "x")];
        mallory.post(&token, &form).await;
        // A session's worth of foreign text: what the provider says, what a link says, what a browser says.
        let texts = [("error", long.as_str()), ("error_description", &long), ("state", "")];
        mallory.get(&url("/auth/signin/callback", &texts[..1])).await;
        mallory.get(&url("/auth/signin/callback", &texts)).await;
        mallory.get(&url("/validate", &[(forged, "x")])).await;
        mallory.get(&url("/auth/signout/callback", &[("last", "x")])).await;
        let authorize = mallory.get(&url("/auth/signin", &[])).await.location();
        let state = crate::support::param(&authorize, "state").unwrap();
        mallory.get(&url("/auth/signin/callback", &[("state", &state), texts[0], texts[1]])).await;
        terminate(&service.child);
        let mut log = BufReader::new(service.child.stderr.take().unwrap());
        let lines = lines_until(&mut log, "auth-api has stopped");
        assert!(lines.iter().any(|line| line.contains("eve")), "{lines:#?}");
        for line in lines {
            assert!(line.len() < 2_000, "{} bytes: {}", line.len(), &line[..400]);
            assert!(!line.contains(['\u{202e}', '\u{1b}']), "{line:?}");
            assert!(!line.starts_with("2026-01-01"), "{line}");
            match format {
                "json" => drop(serde_json::from_str::<serde_json::Value>(&line).unwrap()),
                // Not but within quotes.
                _ => assert!(!line.contains(" owner=\"board\" level"), "{line}"),
            }
        }
        service.child.wait().unwrap();
    }
}

#[test]
fn what_is_said_last_is_written_before_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (mut service, _pool) = runtime.block_on(crate::support::process::serve(folder.path()));
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    assert!(service.log().lines().last().unwrap().contains("auth-api has stopped"));
}

/// The lines of the access log of a process that was asked some things, and what it answered as `X-Request-Id` to one with
/// an id of its own.
async fn access_log(environment: &[(&str, &str)]) -> (Vec<Value>, String) {
    let folder = tempfile::tempdir().unwrap();
    let settings = PoolSettings::for_service("http://auth-api.app.localhost:1");
    let pool = UserPool::start(settings).await.unwrap();
    let mut service = loop {
        let (port, ops) = (free_port(), free_port());
        configure(folder.path(), &pool, port, ops);
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        if let Some(service) = spawn_with(folder.path(), port, ops, environment) {
            break service;
        }
    };
    let send = async |method: Method, path: &str| {
        let shape = |r: reqwest::RequestBuilder| {
            let request = r.header("x-request-id", "4b32a0c5-2e1c:9f").header("user-agent", "a browser\u{e4}");
            request.header("x-forwarded-for", "192.0.2.7").header("cookie", "auth=a-secret-cookie")
        };
        Browser::new().send(method, &format!("{}{path}", service.url), shape).await
    };
    assert_eq!(send(Method::GET, "/validate?group=a-secret-query").await.status, 401);
    assert_eq!(send(Method::GET, "/auth/signin?return_to=/a-secret-query").await.status, 302);
    assert_eq!(send(Method::DELETE, "/token").await.status, 405);
    assert_eq!(send(Method::GET, "/nowhere/at%0Aall").await.status, 404);
    let answer = send(Method::POST, "/token").await;
    assert_eq!(answer.status, 400);
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    let log = service.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines: Vec<Value> = lines.filter(|line| line["target"] == "auth_api::access").collect();
    assert!(lines.iter().all(|line| line.get("spans").is_none()), "{log}");
    assert!(!log.contains("a-secret"), "{log}");
    (lines, answer.header("x-request-id").unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_access_log_has_a_line_for_each_request() {
    let on = ("AUTH_API__TELEMETRY__ACCESS_LOG", "true");
    let (lines, _) = access_log(&[]).await;
    assert!(lines.is_empty(), "off by default: {lines:?}");
    let (lines, id) = access_log(&[on]).await;
    assert!(id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit()), "a stranger's id is not taken over: {id}");
    assert!(lines.iter().all(|line| line["address"] == "127.0.0.1"), "{lines:?}");
    let (lines, id) = access_log(&[on, ("AUTH_API__SERVER__TRUSTED_PROXIES", "127.0.0.1,::1")]).await;
    assert_eq!(id, "4b32a0c5-2e1c:9f");
    let said: Vec<_> = lines.iter().map(|line| (&line["method"], &line["path"], &line["status"])).collect();
    let expected = [
        ("GET", "/validate", 401),
        ("GET", "/auth/signin", 302),
        ("DELETE", "/token", 405),
        ("GET", "/nowhere/at%0Aall", 404),
        ("POST", "/token", 400),
    ];
    let expected = expected.map(|(method, path, status)| (json!(method), json!(path), json!(status)));
    assert_eq!(said, expected.iter().map(|(method, path, status)| (method, path, status)).collect::<Vec<_>>());
    for line in &lines {
        assert_eq!((&line["address"], &line["request_id"]), (&json!("192.0.2.7"), &json!(id)), "{line}");
        assert_eq!(line["agent"], "a browser\u{e4}");
        assert!(line["milliseconds"].as_f64().unwrap() > 0.0 && line["bytes"].is_u64(), "{line}");
    }
}
