//! What a stranger, or one client against another, may try at the routes of machines.

use super::{SECRET, error, site, token, with};
use crate::support::{Answer, Browser, Log, Site, stored_in};
use auth_api::config::StoreUrl;
use auth_api::dev::pool::{Fault, PoolEndpoint};
use auth_api::domain::seal::KeyRing;
use auth_api::store;
use axum::body::Body;
use axum::extract::ConnectInfo;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceExt;

const FORM: &str = "application/x-www-form-urlencoded";

type Header<'a> = (&'a str, &'a [u8]);

async fn raw(site: &Site, path: &str, header: &[Header<'_>], body: Vec<u8>) -> (u16, serde_json::Value) {
    raw_from(site, "203.0.113.5:1", path, header, body).await
}

async fn raw_from(
    site: &Site,
    peer: &str,
    path: &str,
    headers: &[Header<'_>],
    body: Vec<u8>,
) -> (u16, serde_json::Value) {
    let mut request = http::Request::post(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::from(body)).unwrap();
    request.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
    let answer = site.router.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status} without JSON")))
}

fn basic(pair: &[u8]) -> Vec<u8> {
    format!("Basic {}", BASE64_STANDARD.encode(pair)).into_bytes()
}

async fn about(site: &Site, path: &str, id: &str, secret: &str, token: &str) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(secret)).form(&[("token", token)]);
    Browser::new().send(Method::POST, &site.auth(path), shape).await
}

#[tokio::test]
async fn no_bad_input_is_our_fault_or_costs_a_call() {
    let (site, _folder) = site().await;
    let form = ("content-type", FORM.as_bytes());
    let good = basic(format!("nightly:{SECRET}").as_bytes());
    let good = ("authorization", &good[..]);
    let grant = b"grant_type=client_credentials".to_vec();
    let with = |more: &[u8]| [&grant[..], b"&", more].concat();
    let many: Vec<u8> = (0..40).flat_map(|i| format!("a{i}=b&").into_bytes()).collect();
    let cases: Vec<(&str, Vec<Header<'_>>, Vec<u8>)> = vec![
        ("two content types", vec![("content-type", b"text/plain"), form, good], grant.clone()),
        ("no utf-8 content type", vec![("content-type", b"\xff"), good], grant.clone()),
        ("multipart", vec![("content-type", b"multipart/form-data; boundary=a"), good], grant.clone()),
        ("two Basic lines", vec![form, good, good], grant.clone()),
        ("Basic and Bearer", vec![form, good, ("authorization", b"Bearer a")], grant.clone()),
        ("a Bearer line", vec![form, ("authorization", b"Bearer a")], grant.clone()),
        ("a line of no scheme", vec![form, ("authorization", b"bmlnaHRseQ==")], grant.clone()),
        ("an empty line", vec![form, ("authorization", b"")], grant.clone()),
        ("no base64", vec![form, ("authorization", b"Basic \xff\xfe")], grant.clone()),
        ("duplicates by encoding", vec![form, good], with(b"%67rant_type=client_credentials")),
        ("twice, once empty", vec![form, good], with(b"scope=&scope=cms/read")),
        ("more than there are", vec![form, good], with(&many)),
        ("a NUL in the scope", vec![form, good], with(b"scope=cms/read%00")),
        ("a line break in the scope", vec![form, good], with(b"scope=cms/read%0acms/write")),
        ("a tab between scopes", vec![form, good], with(b"scope=cms/read%09cms/read")),
        ("no utf-8 in the scope", vec![form, good], with(b"scope=%ff")),
        ("an odd grant", vec![form, good], b"grant_type=client_credentials%00".to_vec()),
        ("a grant in capitals", vec![form, good], b"grant_type=CLIENT_CREDENTIALS".to_vec()),
        ("another client in the body", vec![form, good], with(b"client_id=dev-cms-client")),
        ("a secret in both", vec![form, good], with(format!("client_secret={SECRET}").as_bytes())),
        ("a relative resource", vec![form, good], with(b"resource=/a")),
        ("a resource with a line break", vec![form, good], with(b"resource=https://a.test/%0a")),
        ("a resource with white space", vec![form, good], with(b"resource=%20https://a.test/")),
        ("an empty body", vec![form, good], vec![]),
        ("a huge body", vec![form, good], with(&vec![b'a'; 1 << 20])),
        ("binary", vec![form, good], (0..=255).collect()),
    ];
    for (what, headers, body) in cases {
        for path in ["/token", "/introspect", "/revoke"] {
            let (status, json) = raw(&site, path, &headers, body.clone()).await;
            assert!(status == 400 || status == 401, "{what} at {path}: {status} {json}");
            assert!(json["error"].is_string(), "{what}: {json}");
        }
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 0);
}

#[tokio::test]
async fn what_cannot_be_credentials_is_asked_of_nobody_and_forges_no_line_of_the_log() {
    let (site, _folder) = site().await;
    let log = Log::capture();
    let grant = b"grant_type=client_credentials".to_vec();
    let long = "a".repeat(4_000);
    let pairs: Vec<Vec<u8>> = vec![
        b"a\n2026-01-01 ERROR forged: b".to_vec(),
        b"a%0a2026-01-01 ERROR forged:b".to_vec(),
        b"a:b%00".to_vec(),
        b"a:".to_vec(),
        b":b".to_vec(),
        b"a:%1b[31mred".to_vec(),
        "ä:ö".into(),
        b"\xff:\xff".to_vec(),
        b"%ff:%ff".to_vec(),
        format!("{long}:b").into_bytes(),
        format!("a:{long}").into_bytes(),
    ];
    for pair in pairs {
        let line = basic(&pair);
        let (status, json) =
            raw(&site, "/token", &[("content-type", FORM.as_bytes()), ("authorization", &line)], grant.clone()).await;
        assert_eq!((status, json["error"].as_str()), (401, Some("invalid_client")), "{pair:?}");
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 0);
    token(&site, "stranger", "a-wrong-secret", &[("scope", "cms/read")]).await;
    token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await;
    token(&site, "nightly", SECRET, &[]).await;
    let text = log.text();
    assert!(text.contains("token_issued"), "{text}");
    for secret in ["a-wrong-secret", "dev-cms-secret", SECRET, "eyJ", "\n2026-01-01 ERROR"] {
        assert!(!text.contains(secret), "{secret} is in the log: {text}");
    }
}

#[tokio::test]
async fn what_shapes_a_token_never_runs_into_something_else() {
    let (site, _folder) = site().await;
    let ask = async |id: &str, secret: &str, form: &[(&str, &str)]| {
        let answer = token(&site, id, secret, form).await;
        (answer.status, answer.json()["access_token"].as_str().unwrap_or_default().to_owned())
    };
    let own = ("dev-cms-client", "dev-cms-secret");
    let (_, all) = ask(own.0, own.1, &[]).await;
    let (_, read) = ask(own.0, own.1, &[("scope", "cms/read")]).await;
    let (_, resource) = ask(own.0, own.1, &[("scope", "cms/read"), ("resource", "https://a.test/")]).await;
    let (_, other) = ask(own.0, own.1, &[("scope", "cms/read"), ("resource", "https://a.test")]).await;
    let distinct = std::collections::HashSet::from([&all, &read, &resource, &other]);
    assert_eq!(distinct.len(), 4);
    assert_eq!(ask(own.0, own.1, &[("scope", " cms/read  cms/read ")]).await.1, read);
    for (id, secret) in [
        ("dev-cms-clientd", "ev-cms-secret"),
        ("dev-cms-clien", "tdev-cms-secret"),
        ("dev-cms-client ", "dev-cms-secret"),
        ("DEV-CMS-CLIENT", "dev-cms-secret"),
        ("dev-cms-client", "dev-cms-secret "),
        ("dev-cms-client", "dev-cms-secretcms/read"),
        ("dev-cms-client", SECRET),
        ("nightly", "dev-cms-secret"),
    ] {
        assert_eq!(ask(id, secret, &[("scope", "cms/read")]).await.0, 401, "{id} {secret}");
    }
    let (_, registered) = ask("nightly", SECRET, &[]).await;
    assert_ne!(registered, read, "the same app client and scope, and another's");
}

#[tokio::test]
async fn wrong_secrets_of_a_stranger_lock_nobody_out() {
    let (site, _folder) = site().await;
    let pass = async |secret: &str, form: &[(&str, &str)]| token(&site, "dev-cms-client", secret, form).await.status;
    for _ in 0..20 {
        assert_eq!(pass("wrong", &[("scope", "cms/read")]).await, 401);
    }
    assert_eq!(pass("dev-cms-secret", &[("scope", "cms/read")]).await, 200);
    for i in 0..150 {
        pass(&format!("wrong {i}"), &[]).await;
    }
    assert_eq!(pass("dev-cms-secret", &[("scope", "cms/write")]).await, 200, "who is known to be right passes on");
}

#[tokio::test]
async fn an_address_cannot_be_borrowed() {
    let (site, _folder) = with(&[("MACHINE__FAILURES_PER_MINUTE", "10")]).await;
    let wrong = basic(b"nightly:wrong");
    let guess = async |peer: &str, forwarded: &str| {
        let headers: [Header<'_>; 3] =
            [("content-type", FORM.as_bytes()), ("authorization", &wrong), ("x-forwarded-for", forwarded.as_bytes())];
        raw_from(&site, peer, "/token", &headers, b"grant_type=client_credentials".to_vec()).await.0
    };
    let mut last = 0;
    for i in 0..15 {
        last = guess("203.0.113.5:1", &format!("198.51.100.{i}")).await;
    }
    assert_eq!(last, 429, "nobody's word counts but a proxy's of ours");
    assert_eq!(guess("198.51.100.1:1", "").await, 401, "whose address was named is not charged");
    for i in 0..15 {
        last = guess(&format!("[2001:db8:1:2:{i:x}::1]:1"), "").await;
    }
    assert_eq!(last, 429, "who has one address of IPv6 has the 2^64 around it");
    assert_eq!(guess("[2001:db8:1:3::1]:1", "").await, 401);
}

#[tokio::test]
async fn one_clients_odd_answers_pause_nobody_else() {
    let (site, _folder) = site().await;
    let blocked = Fault::Status { status: 403, content_type: "text/html", body: "<h1>blocked</h1>".into() };
    let broken = Fault::Status { status: 500, content_type: "text/html", body: "<h1>oops</h1>".into() };
    for (id, odd) in [("<script>", blocked), ("<script>2", Fault::Html), ("<script>3", broken)] {
        site.pool.fault_once(PoolEndpoint::TokenClientCredentials, odd);
        let stranger = token(&site, id, "a", &[]).await;
        assert_eq!(error(&stranger), (503, "temporarily_unavailable".into()));
        assert_eq!(token(&site, "dev-cms-client", "dev-cms-secret", &[]).await.status, 200);
        site.pass(3_600);
    }
}

#[tokio::test]
async fn a_client_that_passes_through_has_a_limit_of_its_own() {
    let settings = [("MACHINE__PASS_THROUGH", "true"), ("MACHINE__REQUESTS_PER_SECOND", "5")];
    let (site, _folder) = with(&settings).await;
    let ask = async |path: &str| match path {
        "/token" => token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await.status,
        path => about(&site, path, "dev-cms-client", "dev-cms-secret", "garbage").await.status,
    };
    assert_eq!(ask("/token").await, 200);
    for path in ["/token", "/introspect"] {
        let mut limited = false;
        for _ in 0..100 {
            limited |= ask(path).await == 429;
        }
        assert!(limited, "{path}");
    }
    assert_eq!(token(&site, "dev-cms-client", "wrong", &[]).await.status, 401, "a stranger uses nothing up");
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200);
}

#[tokio::test]
async fn a_secret_that_was_changed_at_the_provider_asks_about_no_token() {
    let (site, _folder) = with(&[("MACHINE__PASS_THROUGH", "true"), ("MACHINE__RECHECK", "10m")]).await;
    let (id, secret) = ("dev-cms-client", "dev-cms-secret");
    assert_eq!(about(&site, "/introspect", id, secret, "garbage").await.status, 401, "not tried yet");
    assert_eq!(token(&site, id, secret, &[]).await.status, 200);
    site.pool.edit_client(id, |client| client.secret = Some("a-new-secret".into()));
    for (after, status) in [(0, 200), (540, 200), (60, 401)] {
        site.pass(after);
        for path in ["/introspect", "/revoke"] {
            assert_eq!(about(&site, path, id, secret, "garbage").await.status, status, "{path}");
        }
    }
}

#[tokio::test]
async fn a_secret_that_was_changed_gets_nothing_that_another_process_left() {
    let store = store::open(&stored_in(StoreUrl::Memory), &Arc::new(KeyRing::new([]))).unwrap();
    let shared = [
        ("COOKIES__KEYS", "0123456789 of a key for this test 9876543210"),
        ("MACHINE__PASS_THROUGH", "true"),
        ("MACHINE__RECHECK", "10m"),
    ];
    let first = Site::over_with(store.clone(), &shared).await;
    let issuer = first.pool.issuer();
    let second = Site::over_with(store, &[&shared[..], &[("PROVIDER__ISSUER", &issuer)]].concat()).await;
    let ask = async |site: &Site| token(site, "dev-cms-client", "dev-cms-secret", &[]).await.status;
    assert_eq!((ask(&first).await, ask(&first).await), (200, 200));
    first.pool.edit_client("dev-cms-client", |client| client.secret = Some("a-new-secret".into()));
    first.pass(600);
    second.pass(600);
    assert_eq!(ask(&second).await, 401);
    assert_eq!(ask(&first).await, 401);
}

#[tokio::test]
async fn every_answer_is_found_in_the_log_by_its_request_id() {
    let (site, _folder) = site().await;
    let log = Log::capture();
    let id = |answer: &Answer| answer.header("x-request-id").unwrap().to_owned();
    let miss = token(&site, "nightly", SECRET, &[]).await;
    let hit = token(&site, "nightly", SECRET, &[]).await;
    let refused = token(&site, "nightly", "wrong", &[]).await;
    let text = log.text();
    for answer in [&miss, &hit, &refused] {
        let line = text.lines().rfind(|line| line.contains(&format!("request_id={}", id(answer))));
        assert!(
            line.is_some_and(|line| line.contains("token_issued") || line.contains("token_refused")),
            "{answer:?} {text}"
        );
    }
    assert!(id(&miss) != id(&hit) && id(&hit) != id(&refused));
    for path in ["/token", "/introspect", "/revoke", "/.well-known/oauth-authorization-server"] {
        let wrong = Browser::new().send(Method::PUT, &site.auth(path), |r| r).await;
        assert_eq!((wrong.status, id(&wrong).len()), (405, 16), "{path}");
    }
    assert_eq!(id(&about(&site, "/introspect", "nightly", SECRET, "garbage").await).len(), 16);
    assert_eq!(id(&about(&site, "/revoke", "nightly", "wrong", "garbage").await).len(), 16);
}

#[tokio::test]
async fn a_body_that_never_ends_is_answered_in_time() {
    let (site, _folder) = with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    tokio::time::pause();
    let request = http::Request::post("/token").header("content-type", FORM);
    let request = request.body(Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>()));
    let answer = site.router.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (503, &"no-store".parse().unwrap()));
    assert!(answer.headers().contains_key("retry-after") && answer.headers().contains_key("x-request-id"));
}
