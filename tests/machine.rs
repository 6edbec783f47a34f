//! Programs fetch tokens: each is paid for once.

mod granted;
mod hostile;
pub(crate) mod identity;
mod own_tokens;
mod registrations;
mod watched_store;

use crate::support::{Answer, Browser, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use auth_api::domain::machine::SecretHash;
use futures_util::future::join_all;
use reqwest::Method;
use std::time::Duration;
use tower::ServiceExt;

pub(crate) const SECRET: &str = "a-secret-of-a-registered-client-0123456789";

/// A service that knows one registered client, `nightly`, and lets others pass through.
async fn site() -> (Site, tempfile::TempDir) {
    with(&[("MACHINE__PASS_THROUGH", "true")]).await
}

async fn with(configuration: &[(&str, &str)]) -> (Site, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let hash = SecretHash::of(SECRET);
    let text = format!(
        r#"
[[machine.upstream]]
name = "dev"
client_id = "dev-cms-client"
client_secret = "dev-cms-secret"
[machine]
clients = "clients.d"
[[machine.client]]
id = "nightly"
secret_hashes = ["{hash}"]
owner = "data team"
scopes = ["cms/read"]
upstream = "dev"
"#
    );
    std::fs::create_dir(folder.path().join("clients.d")).unwrap();
    let file = folder.path().join("auth-api.toml");
    std::fs::write(&file, &text).unwrap();
    (Site::with_file(&file, configuration).await, folder)
}

/// The token endpoint's answer in place of the genuine one.
fn answer_with(json: &serde_json::Value) -> Fault {
    Fault::Status { status: 200, content_type: "application/json", body: json.to_string() }
}

async fn token(site: &Site, id: &str, secret: &str, form: &[(&str, &str)]) -> Answer {
    let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(form).copied().collect();
    let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(secret)).form(&form);
    Browser::new().send(Method::POST, &site.auth("/token"), shape).await
}

fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.header("cache-control"), Some("no-store"), "{answer:?}");
    (answer.status, answer.json()["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_registered_client_gets_a_token_and_the_next_one_costs_nothing() {
    let (site, _folder) = site().await;
    let first = token(&site, "nightly", SECRET, &[("scope", "cms/read")]).await;
    assert_eq!(first.status, 200, "{first:?}");
    assert_eq!((first.header("cache-control"), first.header("pragma")), (Some("no-store"), Some("no-cache")));
    let json = first.json();
    assert_eq!((json["token_type"].as_str(), json["scope"].as_str()), (Some("Bearer"), Some("cms/read")));
    assert!((3_595..=3_600).contains(&json["expires_in"].as_u64().unwrap()), "{json}");
    site.pass(100);
    let second = token(&site, "nightly", SECRET, &[]).await.json();
    assert_eq!(second["access_token"], json["access_token"], "all it may have is the same");
    assert!((3_490..=3_500).contains(&second["expires_in"].as_u64().unwrap()), "what remains");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1);
    let known = Browser::new();
    let bearer = json["access_token"].as_str().unwrap();
    let known = known.send(Method::GET, &site.auth("/validate?scope=cms/read"), |r| r.bearer_auth(bearer)).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")));
    assert_eq!(site.metric("auth_api_machine_tokens_total{result=\"hit\"}").await, 1);
    assert_eq!(site.metric("auth_api_machine_calls_total{result=\"issued\"}").await, 1);
}

#[tokio::test]
async fn ten_thousand_at_once_are_one_call_and_all_are_answered() {
    let (site, _folder) = site().await;
    site.pool.fault_once(PoolEndpoint::TokenClientCredentials, Fault::Delay(Duration::from_millis(300)));
    let form = format!("grant_type=client_credentials&client_id=nightly&client_secret={SECRET}");
    let ask = async || {
        let request = http::Request::post("/token").header("content-type", "application/x-www-form-urlencoded");
        site.router
            .clone()
            .oneshot(request.body(axum::body::Body::from(form.clone())).unwrap())
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let answers = join_all((0..10_000).map(|_| ask())).await;
    assert!(answers.iter().all(|status| *status == 200));
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1);
}

#[tokio::test]
async fn a_hit_still_takes_the_right_secret() {
    let (site, _folder) = site().await;
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200);
    for wrong in ["wrong", "", &SECRET[1..], "dev-cms-secret"] {
        let answer = token(&site, "nightly", wrong, &[]).await;
        assert_eq!(error(&answer), (401, "invalid_client".into()), "{wrong}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"), "{answer:?}");
    }
    assert_eq!(token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await.status, 200);
    let calls = site.pool.count(PoolEndpoint::TokenClientCredentials);
    for _ in 0..5 {
        let answer = token(&site, "dev-cms-client", "wrong", &[("scope", "cms/read")]).await;
        assert_eq!(error(&answer), (401, "invalid_client".into()));
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), calls + 1, "asked once, then remembered");
    assert_eq!(token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await.status, 200);
    assert_eq!(token(&site, "dev-web-client", "dev-web-secret", &[]).await.json()["error"], "unauthorized_client");
}

#[tokio::test]
async fn scopes_are_those_asked_for_or_an_error() {
    let (site, _folder) = site().await;
    let scope = async |id: &str, secret: &str, scope: &str| {
        let answer = token(&site, id, secret, &[("scope", scope)]).await;
        (answer.status, answer.json()["scope"].as_str().or(answer.json()["error"].as_str()).unwrap().to_owned())
    };
    assert_eq!(scope("nightly", SECRET, "cms/write").await, (400, "invalid_scope".into()), "not its own");
    assert_eq!(scope("nightly", SECRET, "cms/read cms/write").await, (400, "invalid_scope".into()));
    let pass = ("dev-cms-client", "dev-cms-secret");
    assert_eq!(scope(pass.0, pass.1, "cms/write cms/read").await, (200, "cms/read cms/write".into()));
    assert_eq!(scope(pass.0, pass.1, "cms/read cms/write").await.0, 200);
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1, "in any order");
    assert_eq!(scope(pass.0, pass.1, "cms/read").await, (200, "cms/read".into()), "never a wider one");
    for (dropped, why) in [
        ("cms/read nowhere/nothing", "one that nobody defined, beside one that is: dropped without a word"),
        ("nowhere/nothing", "one that nobody defined"),
        ("openid", "not a custom one"),
        ("a\"b", "no scope at all"),
    ] {
        assert_eq!(scope(pass.0, pass.1, dropped).await, (400, "invalid_scope".into()), "{why}");
    }
}

#[tokio::test]
async fn the_protocol_is_kept_to_the_letter() {
    let (site, _folder) = site().await;
    let url = site.auth("/token");
    let post = async |shape: fn(reqwest::RequestBuilder) -> reqwest::RequestBuilder| {
        error(&Browser::new().send(Method::POST, &url, shape).await)
    };
    const FORM: &str = "application/x-www-form-urlencoded";
    let bad = |code: &str| (400, code.to_owned());
    assert_eq!(post(|r| r.basic_auth("nightly", Some(SECRET)).form(&[("a", "b")])).await, bad("invalid_request"));
    assert_eq!(
        post(|r| r.basic_auth("nightly", Some(SECRET)).form(&[("grant_type", "password")])).await,
        bad("unsupported_grant_type")
    );
    assert_eq!(
        post(|r| r.json(&serde_json::json!({"grant_type": "client_credentials"}))).await,
        bad("invalid_request")
    );
    assert_eq!(post(|r| r).await, bad("invalid_request"));
    assert_eq!(
        post(|r| r
            .header("content-type", FORM)
            .basic_auth("nightly", Some(SECRET))
            .body("grant_type=client_credentials&scope=cms/read&scope=cms/read"))
        .await,
        bad("invalid_request")
    );
    assert_eq!(
        post(|r| r.basic_auth("nightly", Some(SECRET)).form(&[
            ("grant_type", "client_credentials"),
            ("client_id", "nightly"),
            ("client_secret", SECRET)
        ]))
        .await,
        bad("invalid_request"),
        "one way, not two"
    );
    assert_eq!(post(|r| r.form(&[("grant_type", "client_credentials")])).await, (401, "invalid_client".into()));
    assert_eq!(
        post(|r| r.header("authorization", "Basic !!!").form(&[("grant_type", "client_credentials")])).await.0,
        401
    );
    let body = Browser::new()
        .post(&url, &[("grant_type", "client_credentials"), ("client_id", "nightly"), ("client_secret", SECRET)])
        .await;
    assert_eq!(body.status, 200, "in the body");
    let empty = token(&site, "nightly", SECRET, &[("scope", ""), ("resource", "")]).await;
    assert_eq!(empty.status, 200, "a parameter without a value counts as left out");
    let get = Browser::new().get(&url).await;
    assert_eq!((error(&get), get.header("allow")), ((405, "invalid_request".into()), Some("POST")));
    let large =
        Browser::new().send(Method::POST, &url, |r| r.header("content-type", FORM).body("a".repeat(100_000))).await;
    assert_eq!(error(&large), bad("invalid_request"));
    let metadata = site.auth("/.well-known/oauth-authorization-server");
    let wrong = Browser::new().post(&metadata, &[]).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (405, "method-not-allowed"));
    let metadata = Browser::new().get(&metadata).await.json();
    assert_eq!(
        (metadata["issuer"].as_str(), metadata["token_endpoint"].as_str()),
        (Some(&*site.auth_url), Some(&*url))
    );
}

#[tokio::test]
async fn a_token_is_renewed_in_the_background_and_a_steady_caller_never_waits() {
    let (site, _folder) = site().await;
    let first = token(&site, "nightly", SECRET, &[]).await.json();
    site.pass(3_600 * 92 / 100);
    let second = token(&site, "nightly", SECRET, &[]).await.json();
    assert_eq!(second["access_token"], first["access_token"], "answered at once");
    until("a new one is there", async || {
        token(&site, "nightly", SECRET, &[]).await.json()["access_token"] != first["access_token"]
    })
    .await;
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 2);
}

#[tokio::test]
async fn a_provider_that_is_away_is_left_alone_and_what_is_cached_is_answered() {
    let (site, _folder) = site().await;
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200);
    let busy = Fault::Status { status: 429, content_type: "text/html", body: "<h1>slow down</h1>".into() };
    site.pool.fault(PoolEndpoint::TokenClientCredentials, busy);
    site.pass(3_000);
    for _ in 0..5 {
        assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200, "it is still good");
    }
    site.pass(540);
    let asked = site.pool.count(PoolEndpoint::TokenClientCredentials);
    for _ in 0..5 {
        let answer = token(&site, "nightly", SECRET, &[]).await;
        assert_eq!(error(&answer), (503, "temporarily_unavailable".into()), "less than the margin is left");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(site.pool.count(PoolEndpoint::TokenClientCredentials) <= asked + 1, "nobody hammers");
    site.pool.clear_faults();
    site.pass(60);
    until("it works again", async || token(&site, "nightly", SECRET, &[]).await.status == 200).await;
}

#[tokio::test]
async fn a_client_is_introspected_and_revoked_by_itself_only() {
    let (site, _folder) = site().await;
    let access = token(&site, "nightly", SECRET, &[]).await.json()["access_token"].as_str().unwrap().to_owned();
    let ask = async |path: &str, id: &str, secret: &str, token: &str| {
        let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(secret)).form(&[("token", token)]);
        Browser::new().send(Method::POST, &site.auth(path), shape).await
    };
    let known = ask("/introspect", "nightly", SECRET, &access).await.json();
    assert_eq!((known["active"].as_bool(), known["scope"].as_str()), (Some(true), Some("cms/read")));
    assert_eq!((known["client_id"].as_str(), known["token_type"].as_str()), (Some("nightly"), Some("Bearer")));
    assert_eq!(error(&ask("/introspect", "nightly", "wrong", &access).await), (401, "invalid_client".into()));
    for dead in ["", "garbage", "a.b.c"] {
        let answer = ask("/introspect", "nightly", SECRET, dead).await;
        assert!(answer.status == 400 || answer.body == "{\"active\":false}", "{answer:?}");
    }
    let user = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(ask("/introspect", "nightly", SECRET, &user).await.json()["username"], "jane");
    assert_eq!(error(&ask("/revoke", "nightly", SECRET, &user).await), (400, "unauthorized_client".into()));
    assert_eq!(ask("/revoke", "nightly", SECRET, "garbage").await.status, 200, "RFC 7009 §2.2");
    assert_eq!(ask("/revoke", "nightly", SECRET, &access).await.status, 200);
    assert_eq!(ask("/introspect", "nightly", SECRET, &access).await.body, "{\"active\":false}");
    let bearer = Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(&access)).await;
    assert_eq!(bearer.status, 401);
    let next = token(&site, "nightly", SECRET, &[]).await.json();
    assert_ne!(next["access_token"].as_str(), Some(&*access), "nobody is handed it again");
}

#[tokio::test]
async fn clients_are_added_changed_and_disabled_without_a_restart() {
    let (site, folder) = site().await;
    let file = folder.path().join("clients.d/more.toml");
    let block = |hashes: &str, disabled: bool| {
        format!(
            "[[client]]\nid = \"added\"\nsecret_hashes = [{hashes}]\nowner = \"jane\"\nscopes = [\"cms/read\"]\n\
             upstream = \"dev\"\ndisabled = {disabled}\n"
        )
    };
    let hash = |secret: &str| format!("\"{}\"", SecretHash::of(secret));
    let status = async |secret: &str| token(&site, "added", secret, &[]).await.status;
    std::fs::write(&file, block(&hash("first"), false)).unwrap();
    until("it is known", async || status("first").await == 200).await;
    std::fs::write(&file, block(&format!("{}, {}", hash("second"), hash("first")), false)).unwrap();
    until("two secrets at once", async || status("second").await == 200).await;
    assert_eq!(status("first").await, 200);
    std::fs::write(&file, "[[client]]\nid = broken").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(status("second").await, 200, "a mistake takes nothing away");
    std::fs::write(&file, block(&hash("second"), false)).unwrap();
    until("the old secret is gone", async || status("first").await == 401).await;
    std::fs::write(&file, block(&hash("second"), true)).unwrap();
    until("it is disabled", async || status("second").await == 401).await;
}

#[tokio::test]
async fn wrong_secrets_are_limited_by_address_and_right_ones_pass() {
    let (site, _folder) = with(&[("MACHINE__FAILURES_PER_MINUTE", "10")]).await;
    let mut limited = 0;
    for _ in 0..20 {
        let answer = token(&site, "nightly", "wrong", &[]).await;
        limited += usize::from(answer.status == 429 && answer.header("retry-after").is_some());
        assert!(answer.status == 401 || answer.status == 429, "{answer:?}");
    }
    assert!(limited >= 9, "{limited}");
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200, "nobody can use up what is hers");
    assert_eq!(token(&site, "dev-cms-client", "dev-cms-secret", &[]).await.status, 429, "nothing passes through here");
}

#[tokio::test]
async fn a_secret_changed_at_the_provider_stops_working_here() {
    let (site, _folder) = with(&[("MACHINE__PASS_THROUGH", "true"), ("MACHINE__RECHECK", "10m")]).await;
    let ask = async |secret: &str| token(&site, "dev-cms-client", secret, &[("scope", "cms/read")]).await.status;
    assert_eq!(ask("dev-cms-secret").await, 200);
    site.pool.edit_client("dev-cms-client", |client| client.secret = Some("a-new-secret".into()));
    assert_eq!(ask("dev-cms-secret").await, 200, "for a while");
    assert_eq!(ask("a-new-secret").await, 200);
    site.pass(600);
    assert_eq!(ask("dev-cms-secret").await, 401);
    assert_eq!(ask("a-new-secret").await, 200);
}

#[tokio::test]
async fn a_thousand_different_ones_at_once_each_get_their_own() {
    let (site, folder) = with(&[]).await;
    let clients: Vec<_> = (0..100).map(|i| (format!("client-{i}"), format!("a secret of client {i}"))).collect();
    let blocks: String = clients
        .iter()
        .enumerate()
        .map(|(i, (id, secret))| {
            let own: Vec<_> = (0..10).map(|j| format!("\"cms/area-{}\"", i * 10 + j)).collect();
            let (hash, scopes) = (SecretHash::of(secret), own.join(", "));
            format!(
                "[[client]]\nid = \"{id}\"\nsecret_hashes = [\"{hash}\"]\nowner = \"jane\"\nscopes = [{scopes}]\n\
                 upstream = \"dev\"\n"
            )
        })
        .collect();
    let areas: Vec<_> = (0..1_000).map(|i| format!("area-{i}")).collect();
    let all: Vec<_> = areas.iter().map(|area| format!("cms/{area}")).collect();
    site.pool.edit_resource_server("cms", |cms| cms.scopes = areas.clone());
    site.pool.edit_client("dev-cms-client", |client| client.scopes = all.clone());
    std::fs::write(folder.path().join("clients.d/many.toml"), blocks).unwrap();
    until("they are known", async || token(&site, "client-99", "a secret of client 99", &[]).await.status == 200).await;
    let before = site.pool.count(PoolEndpoint::TokenClientCredentials);
    let ask = async |i: usize| {
        let (id, secret) = &clients[i / 10];
        let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=cms/area-{i}");
        let request = http::Request::post("/token").header("content-type", "application/x-www-form-urlencoded");
        let answer = site.router.clone().oneshot(request.body(axum::body::Body::from(form)).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 16).await.unwrap();
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (
            json["scope"].as_str().unwrap_or_default().to_owned(),
            json["access_token"].as_str().unwrap_or_default().to_owned(),
        )
    };
    let answers = join_all((0..1_000).map(ask)).await;
    for (i, (scope, token)) in answers.iter().enumerate() {
        assert_eq!(*scope, format!("cms/area-{i}"));
        assert!(!token.is_empty());
    }
    let distinct: std::collections::HashSet<_> = answers.iter().map(|(_, token)| token).collect();
    assert_eq!(distinct.len(), 1_000);
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), before + 1_000);
}
