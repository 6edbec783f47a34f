//! A token that the broker fetched is known by what it is, whatever it looks like.

use super::watched_store::Watched;
use super::{SECRET, answer_with, error, token, with};
use crate::support::{Answer, Browser, Site};
use auth_api::dev::pool::{PoolEndpoint, UnsignedJwt};
use reqwest::Method;
use serde_json::{Value, json};

/// A provider that is no Cognito: nothing is known of its access tokens.
const OTHER: (&str, &str) = ("PROVIDER__PROFILE", "oidc");

fn opaque(site: &Site, token: &str) {
    let answer = json!({"access_token": token, "token_type": "bearer", "expires_in": 600, "scope": "cms/read"});
    site.pool.fault_once(PoolEndpoint::TokenClientCredentials, answer_with(&answer));
}

async fn fetched(site: &Site, id: &str, secret: &str) -> String {
    let answer = token(site, id, secret, &[("scope", "cms/read")]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn validate(site: &Site, bearer: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(bearer)).await
}

async fn about(site: &Site, path: &str, token: &str) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.basic_auth("nightly", Some(SECRET)).form(&[("token", token)]);
    Browser::new().send(Method::POST, &site.auth(path), shape).await
}

/// All three routes know this token as the machine's.
async fn is_known(site: &Site, token: &str) {
    let known = validate(site, token).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")), "{known:?}");
    assert_eq!(known.header("x-auth-client-id"), Some("nightly"));
    assert_eq!(known.header("x-auth-scopes"), Some("cms/read"));
    assert_eq!(known.json()["kind"], "machine");
    let told = about(site, "/introspect", token).await.json();
    assert_eq!((told["active"].as_bool(), told["kind"].as_str()), (Some(true), Some("machine")), "{told}");
    assert_eq!((told["scope"].as_str(), told["client_id"].as_str()), (Some("cms/read"), Some("nightly")));
    assert_eq!(told["exp"].as_u64(), known.header("x-auth-expires").unwrap().parse().ok());
}

async fn is_refused(site: &Site, token: &str) {
    let answer = validate(site, token).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    assert!(answer.header("www-authenticate").unwrap().contains("invalid_token"), "{answer:?}");
    assert_eq!(about(site, "/introspect", token).await.body, "{\"active\":false}");
}

#[tokio::test]
async fn an_opaque_token_is_validated_introspected_and_revoked() {
    let (site, _folder) = with(&[OTHER]).await;
    opaque(&site, "opaque-1");
    assert_eq!(fetched(&site, "nightly", SECRET).await, "opaque-1");
    is_known(&site, "opaque-1").await;
    for stranger in ["opaque-2", "opaque-1 ", "OPAQUE-1", "opaque-"] {
        let stranger = stranger.replace(' ', "~");
        is_refused(&site, &stranger).await;
        assert_eq!(about(&site, "/revoke", &stranger).await.status, 200, "RFC 7009 §2.2");
    }
    is_known(&site, "opaque-1").await;
    assert_eq!(about(&site, "/revoke", "opaque-1").await.status, 200);
    is_refused(&site, "opaque-1").await;
    opaque(&site, "opaque-3");
    assert_eq!(fetched(&site, "nightly", SECRET).await, "opaque-3", "nobody is handed the revoked one again");
    is_known(&site, "opaque-3").await;
    site.pass(600 + 31);
    is_refused(&site, "opaque-3").await;
}

#[tokio::test]
async fn a_jwt_of_a_service_account_is_a_machines() {
    type Form = (&'static str, fn(&mut UnsignedJwt));
    let forms: [Form; 3] = [
        ("Keycloak's", |draft| {
            draft.header.insert("typ".into(), json!("JWT"));
            for gone in ["client_id", "token_use"] {
                draft.claims.remove(gone);
            }
            for (name, value) in [
                ("typ", json!("Bearer")),
                ("sub", json!("c8a1e27e-0b0f-4d0a-9f0b-7d4b6f6f5a11")),
                ("azp", json!("dev-cms-client")),
                ("aud", json!("account")),
                ("preferred_username", json!("service-account-dev-cms-client")),
            ] {
                draft.claims.insert(name.into(), value);
            }
        }),
        ("one with our own audience", |draft| {
            draft.claims.insert("aud".into(), json!("dev-web-client"));
            draft.claims.insert("azp".into(), json!("dev-web-client"));
            draft.claims.insert("sub".into(), json!("somebody"));
        }),
        ("RFC 9068's for an API", |draft| {
            draft.header.insert("typ".into(), json!("at+jwt"));
            draft.claims.insert("aud".into(), json!("https://api.example.com"));
        }),
    ];
    for (what, tamper) in forms {
        let (site, _folder) = with(&[OTHER]).await;
        site.pool.tamper_access_token(tamper);
        let own = fetched(&site, "nightly", SECRET).await;
        assert!(own.starts_with("eyJ"), "{what}");
        is_known(&site, &own).await;
        assert_eq!(about(&site, "/revoke", &own).await.status, 200, "{what}");
        is_refused(&site, &own).await;
        assert_ne!(fetched(&site, "nightly", SECRET).await, own, "{what}");
    }
}

#[tokio::test]
async fn whose_client_is_not_accepted_is_nobody_here_and_may_revoke_its_own() {
    for (accepted, status) in [("another-client", 401), ("dev-machine-client", 200)] {
        let more = [OTHER, ("MACHINE__PASS_THROUGH", "true"), ("PROVIDER__ACCEPTED_CLIENTS", accepted)];
        let (site, _folder) = with(&more).await;
        opaque(&site, "passed-through");
        let (id, secret) = ("dev-machine-client", "dev-machine-secret");
        assert_eq!(fetched(&site, id, secret).await, "passed-through");
        assert_eq!(validate(&site, "passed-through").await.status, status, "{accepted}");
        assert_eq!(about(&site, "/introspect", "passed-through").await.json()["active"], status == 200, "{accepted}");
        assert_eq!(error(&about(&site, "/revoke", "passed-through").await), (400, "unauthorized_client".into()));
        let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(secret)).form(&[("token", "passed-through")]);
        assert_eq!(Browser::new().send(Method::POST, &site.auth("/revoke"), shape).await.status, 200);
        assert_eq!(validate(&site, "passed-through").await.status, 401, "{accepted}");
        opaque(&site, "the next");
        assert_eq!(fetched(&site, id, secret).await, "the next", "{accepted}");
    }
}

#[tokio::test]
async fn every_process_knows_what_one_has_fetched() {
    let store = Watched::new();
    let shared = [
        OTHER,
        ("COOKIES__KEYS", "0123456789 of a key for this test 9876543210"),
        ("MACHINE__PASS_THROUGH", "true"),
        ("PROVIDER__ACCEPTED_CLIENTS", "dev-cms-client"),
    ];
    let first = Site::over_with(store.clone(), &shared).await;
    let issuer = first.pool.issuer();
    // Processes of one deployment have one origin.
    let same = [("PROVIDER__ISSUER", issuer.as_str()), ("SERVER__PUBLIC_URL", &first.auth_url)];
    let second = Site::over_with(store.clone(), &[&shared[..], &same].concat()).await;
    opaque(&first, "shared");
    assert_eq!(fetched(&first, "dev-cms-client", "dev-cms-secret").await, "shared");
    for site in [&first, &second] {
        let known = validate(site, "shared").await;
        assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("machine")));
    }
    let held = store.loads();
    for _ in 0..10 {
        assert_eq!(validate(&second, "shared").await.status, 200);
    }
    assert_eq!(store.loads(), held, "remembered");
    assert!(!store.holds("shared"), "no token in the open");
}

#[tokio::test]
async fn a_strangers_garbage_costs_one_look_and_no_write() {
    let store = Watched::new();
    let more = [OTHER, ("MACHINE__PASS_THROUGH", "true")];
    let site = Site::over_with(store.clone(), &more).await;
    validate(&site, "warm").await;
    let (loads, writes) = (store.loads(), store.writes());
    for nth in 0..20 {
        assert_eq!(validate(&site, &format!("garbage-{nth}")).await.status, 401);
    }
    assert!(store.loads() <= loads + 20, "{} for 20", store.loads() - loads);
    let loads = store.loads();
    for _ in 0..40 {
        assert_eq!(validate(&site, "garbage-1").await.status, 401);
    }
    assert!(store.loads() < loads + 20, "{} for the same 40 times", store.loads() - loads);
    assert_eq!(store.writes(), writes);
    // Where no client can fetch anything, nothing is looked for.
    let store = Watched::new();
    let site = Site::over(store.clone()).await;
    let before = store.loads();
    assert_eq!(validate(&site, "garbage").await.status, 401);
    assert_eq!(store.loads(), before);
}

#[tokio::test]
async fn while_the_store_is_away_an_unknown_token_is_not_called_dead() {
    let store = Watched::new();
    let more = [OTHER, ("MACHINE__PASS_THROUGH", "true"), ("PROVIDER__ACCEPTED_CLIENTS", "dev-cms-client")];
    let site = Site::over_with(store.clone(), &more).await;
    opaque(&site, "known");
    assert_eq!(fetched(&site, "dev-cms-client", "dev-cms-secret").await, "known");
    assert_eq!(validate(&site, "known").await.status, 200);
    store.fail(true);
    assert_eq!(validate(&site, "known").await.status, 200, "remembered");
    let unknown = validate(&site, "unknown").await;
    assert_eq!(unknown.status, 503, "it may be one of ours");
    assert!(unknown.header("retry-after").is_some());
    store.fail(false);
    assert_eq!(validate(&site, "unknown").await.status, 401);
}

#[tokio::test]
async fn a_fetch_that_dies_leaves_the_token_to_the_next_caller() {
    let store = Watched::new();
    let site = Site::over_with(store.clone(), &[("MACHINE__PASS_THROUGH", "true")]).await;
    store.panic_once();
    let ask = async || token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await;
    let cut = ask().await;
    assert_eq!(error(&cut), (503, "temporarily_unavailable".into()));
    let next = ask().await;
    assert_eq!(next.status, 200, "{next:?}");
    assert!(matches!(next.json()["access_token"], Value::String(_)));
}
