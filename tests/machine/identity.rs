//! Whose a token is: a registered client's own, unless its upstream is shared.

use super::watched_store::Watched;
use super::{SECRET, answer_with, error, token};
use crate::support::{Answer, Browser, Log, Site, until};
use auth_api::dev::pool::PoolEndpoint;
use auth_api::domain::machine::SecretHash;
use reqwest::Method;
use serde_json::{Value, json};
use std::fmt::Write;

const JANE: &str = "34c84488-e0e1-70ae-d2ee-991ad1a898c8";

/// Clients with these ids and further keys, all with the same secret, scope and upstream.
pub(crate) fn clients(upstream: &str, clients: &[(&str, &str)]) -> String {
    let hash = SecretHash::of(SECRET);
    let mut text = format!(
        "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n{upstream}\n"
    );
    for (id, more) in clients {
        let block = format!("id = \"{id}\"\nsecret_hashes = [\"{hash}\"]\nowner = \"owners of {id}\"\n{more}\n");
        write!(text, "[[machine.client]]\n{block}scopes = [\"cms/read\"]\nupstream = \"dev\"\n").unwrap();
    }
    text
}

async fn fetched(site: &Site, id: &str) -> String {
    let answer = token(site, id, SECRET, &[]).await;
    assert_eq!(answer.status, 200, "{id}: {answer:?}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn validate(site: &Site, query: &str, bearer: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth(&format!("/validate{query}")), |r| r.bearer_auth(bearer)).await
}

async fn page(site: &Site, path: &str, bearer: &str) -> u16 {
    let shape = |request: reqwest::RequestBuilder| {
        let request = request.header("x-forwarded-proto", "http").header("x-forwarded-host", "wiki.app.localhost");
        request.header("x-forwarded-uri", path).bearer_auth(bearer)
    };
    Browser::new().send(Method::GET, &site.auth("/validate"), shape).await.status
}

async fn about(site: &Site, path: &str, (id, secret): (&str, &str), token: &str) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(secret)).form(&[("token", token)]);
    Browser::new().send(Method::POST, &site.auth(path), shape).await
}

/// `client_id`, `owner`, `on_behalf_of` and `upstream_client_id`.
fn identity(json: &Value) -> [&Value; 4] {
    ["client_id", "owner", "on_behalf_of", "upstream_client_id"].map(|name| &json[name])
}

#[tokio::test]
async fn a_token_says_which_registered_client_has_it() {
    let behalf = format!("on_behalf_of = \"{JANE}\"");
    let site = Site::with_text(&clients("", &[("nightly", ""), ("weekly", &behalf)]), &[]).await;
    let log = Log::capture();
    let (nightly, weekly) = (fetched(&site, "nightly").await, fetched(&site, "weekly").await);
    assert_ne!(nightly, weekly, "each has its own");
    assert_eq!(fetched(&site, "nightly").await, nightly, "and it is kept");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 2);
    for (id, token, user) in [("nightly", &nightly, Value::Null), ("weekly", &weekly, json!(JANE))] {
        let expected = [json!(id), json!(format!("owners of {id}")), user, json!("dev-cms-client")];
        let known = validate(&site, "", token).await;
        assert_eq!((known.status, known.header("x-auth-client-id")), (200, Some(id)), "{known:?}");
        assert_eq!((known.header("x-auth-username"), known.header("x-auth-kind")), (Some(id), Some("machine")));
        let json = known.json();
        assert_eq!(identity(&json), expected.each_ref(), "{json}");
        assert_eq!(json["sub"], "dev-cms-client", "the provider's, which no registration changes");
        // Any client may ask about any token.
        let told = about(&site, "/introspect", ("nightly", SECRET), token).await.json();
        assert_eq!(identity(&told), expected.each_ref(), "{told}");
    }
    let line = log.text().lines().find(|line| line.contains("client=\"weekly\"")).unwrap().to_owned();
    for word in ["owner=\"owners of weekly\"", &format!("on_behalf_of=\"{JANE}\"")] {
        assert!(line.contains(word), "{word}: {line}");
    }
    let jane = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let json = validate(&site, "", &jane).await.json();
    assert!(json.get("owner").is_none() && json.get("on_behalf_of").is_none(), "nothing of that is a person's: {json}");
}

#[tokio::test]
async fn acting_for_a_user_makes_nobody_that_user() {
    let rules = "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/admin\"\ngroups = [\"admins\"]\n\
                 [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/any\"\nmachines = true\n";
    let behalf = format!("on_behalf_of = \"{JANE}\"");
    let text = format!("{}{rules}", clients("", &[("jane", &behalf), (JANE, &behalf)]));
    let site = Site::with_text(&text, &[("SERVER__TRUSTED_PROXIES", "127.0.0.1")]).await;
    for id in ["jane", JANE] {
        let token = fetched(&site, id).await;
        let known = validate(&site, "", &token).await;
        assert_eq!(
            (known.header("x-auth-kind"), known.header("x-auth-subject")),
            (Some("machine"), Some("dev-cms-client"))
        );
        assert_eq!((known.header("x-auth-groups"), known.header("x-auth-email")), (Some(""), Some("")));
        assert_eq!(validate(&site, "?group=admins", &token).await.status, 403);
        assert_eq!((page(&site, "/", &token).await, page(&site, "/admin", &token).await), (403, 403), "{id}");
        assert_eq!(page(&site, "/any", &token).await, 200);
    }
}

#[tokio::test]
async fn a_revocation_ends_the_token_of_whoever_has_it_and_no_other() {
    let site =
        Site::with_text(&clients("", &[("nightly", ""), ("weekly", "")]), &[("MACHINE__PASS_THROUGH", "true")]).await;
    let own = [("dev-cms-client", "dev-cms-secret"), ("weekly", SECRET)];
    let nightly = fetched(&site, "nightly").await;
    assert_eq!(token(&site, own[0].0, own[0].1, &[]).await.status, 200);
    for other in own {
        let refused = about(&site, "/revoke", other, &nightly).await;
        assert_eq!(error(&refused), (400, "unauthorized_client".into()), "{other:?}");
    }
    let weekly = fetched(&site, "weekly").await;
    assert_eq!(about(&site, "/revoke", ("nightly", SECRET), &nightly).await.status, 200);
    assert_eq!((validate(&site, "", &nightly).await.status, validate(&site, "", &weekly).await.status), (401, 200));
    assert_eq!(fetched(&site, "weekly").await, weekly);
}

#[tokio::test]
async fn clients_of_a_shared_upstream_have_one_token_which_is_the_upstreams() {
    let behalf = format!("on_behalf_of = \"{JANE}\"");
    let registered = [("nightly", ""), ("weekly", ""), ("janes", &*behalf), ("janes-too", &behalf)];
    let site = Site::with_text(&clients("share = true", &registered), &[]).await;
    let nightly = fetched(&site, "nightly").await;
    let janes = fetched(&site, "janes").await;
    assert_eq!((fetched(&site, "weekly").await, fetched(&site, "janes-too").await), (nightly.clone(), janes.clone()));
    assert_ne!(nightly, janes, "they act for different users");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 2);
    for (token, user) in [(&nightly, Value::Null), (&janes, json!(JANE))] {
        let json = validate(&site, "", token).await.json();
        assert_eq!(identity(&json), [&json!("dev-cms-client"), &Value::Null, &user, &Value::Null], "{json}");
        assert_eq!(validate(&site, "?client=nightly&client=dev-cms-client", token).await.status, 403);
    }
    assert_eq!(about(&site, "/revoke", ("weekly", SECRET), &nightly).await.status, 200);
    assert_eq!(validate(&site, "", &nightly).await.status, 401, "it ends for all");
    assert_ne!(fetched(&site, "nightly").await, nightly);
    assert_eq!(validate(&site, "", &janes).await.status, 200);
}

#[tokio::test]
async fn a_rule_that_names_a_client_is_for_that_client_alone() {
    let rules = "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/export\"\nclients = [\"nightly\", \"dev-cms-client\"]\n";
    let text = format!("{}{rules}", clients("", &[("nightly", ""), ("weekly", "")]));
    let more = [("SERVER__TRUSTED_PROXIES", "127.0.0.1"), ("MACHINE__PASS_THROUGH", "true")];
    let site = Site::with_text(&text, &more).await;
    let passed = token(&site, "dev-cms-client", "dev-cms-secret", &[]).await.json();
    let passed = passed["access_token"].as_str().unwrap().to_owned();
    let jane = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let (nightly, weekly) = (fetched(&site, "nightly").await, fetched(&site, "weekly").await);
    let log = Log::capture();
    for (who, token, status) in [
        ("it", &nightly, 200),
        ("another", &weekly, 403),
        ("an app client of that name at the provider", &passed, 403),
        ("a person", &jane, 403),
    ] {
        assert_eq!(page(&site, "/export", token).await, status, "{who}");
        assert_eq!(validate(&site, "?client=nightly&client=dev-cms-client", token).await.status, status, "{who}");
    }
    assert!(log.text().contains("client=\"weekly\""), "who was denied: {}", log.text());
    assert_eq!(page(&site, "/", &nightly).await, 403, "another page");
}

#[tokio::test]
async fn who_is_disabled_or_gone_is_refused_at_once_with_the_token_that_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("clients.toml");
    let block = |owner: &str, disabled: bool| {
        let hash = SecretHash::of(SECRET);
        format!(
            "[[client]]\nid = \"nightly\"\nsecret_hashes = [\"{hash}\"]\nowner = \"{owner}\"\nscopes = [\"cms/read\"]\n\
             upstream = \"dev\"\ndisabled = {disabled}\n"
        )
    };
    std::fs::write(&file, block("jane", false)).unwrap();
    let more = [("MACHINE__CLIENTS", file.to_str().unwrap())];
    let site = Site::with_text(&clients("", &[("other", "")]), &more).await;
    let token = fetched(&site, "nightly").await;
    let status = async || validate(&site, "", &token).await.status;
    assert_eq!(status().await, 200);
    std::fs::write(&file, block("mary", false)).unwrap();
    until("another owner", async || validate(&site, "", &token).await.json()["owner"] == "mary").await;
    for (what, text) in [("disabled", block("mary", true)), ("gone", "# nobody\n".to_owned())] {
        std::fs::write(&file, text).unwrap();
        until(what, async || status().await == 401).await;
        assert_eq!(about(&site, "/introspect", ("other", SECRET), &token).await.body, "{\"active\":false}");
        std::fs::write(&file, block("mary", false)).unwrap();
        until("it is back", async || status().await == 200).await;
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1);
}

#[tokio::test]
async fn every_process_knows_whose_a_token_is_and_a_lost_mapping_makes_it_the_upstreams() {
    let text = clients("", &[("nightly", ""), ("weekly", "")]);
    let key = [("COOKIES__KEYS", "0123456789 of a key for this test 9876543210")];
    let store = Watched::new();
    let first = Site::over_text(store.clone(), &text, &key).await;
    let issuer = first.pool.issuer();
    let same = [key[0], ("PROVIDER__ISSUER", issuer.as_str()), ("SERVER__PUBLIC_URL", &first.auth_url)];
    let second = Site::over_text(store.clone(), &text, &same).await;
    // Another store: as one that has lost its data.
    let other = Site::over_text(Watched::new(), &text, &same).await;
    let nightly = fetched(&first, "nightly").await;
    assert_eq!(fetched(&second, "nightly").await, nightly, "paid for once");
    assert_ne!(fetched(&second, "weekly").await, nightly);
    for site in [&first, &second] {
        assert_eq!(validate(site, "?client=nightly", &nightly).await.header("x-auth-client-id"), Some("nightly"));
    }
    let (loads, writes) = (store.loads(), store.writes());
    for _ in 0..10 {
        assert_eq!(validate(&second, "?client=nightly", &nightly).await.status, 200);
    }
    assert_eq!((store.loads(), store.writes()), (loads, writes), "at hand");
    assert!(!store.holds("nightly"), "nothing in the open");

    let json = validate(&other, "", &nightly).await.json();
    assert_eq!(identity(&json), [&json!("dev-cms-client"), &Value::Null, &Value::Null, &Value::Null], "{json}");
    assert_eq!(json["kind"], "machine");
    for query in ["?client=nightly", "?client=dev-cms-client"] {
        assert_eq!(validate(&other, query, &nightly).await.status, 403, "{query}");
    }
}

#[tokio::test]
async fn while_the_store_is_away_nobody_takes_a_clients_token_for_the_upstreams() {
    let text = clients("", &[("nightly", "")]);
    let key = [("COOKIES__KEYS", "0123456789 of a key for this test 9876543210")];
    let store = Watched::new();
    let first = Site::over_text(store.clone(), &text, &key).await;
    let issuer = first.pool.issuer();
    let same = [key[0], ("PROVIDER__ISSUER", issuer.as_str()), ("SERVER__PUBLIC_URL", &first.auth_url)];
    let second = Site::over_text(store.clone(), &text, &same).await;
    let nightly = fetched(&first, "nightly").await;
    store.fail(true);
    let unknown = validate(&second, "", &nightly).await;
    assert!(unknown.status == 503 || unknown.header("x-auth-client-id") == Some("dev-cms-client"), "{unknown:?}");
    store.fail(false);
    assert_eq!(validate(&second, "", &nightly).await.header("x-auth-client-id"), Some("nightly"));
}

#[tokio::test]
async fn a_provider_that_issues_one_token_twice_does_not_make_one_client_another() {
    for (share, status) in [("", 502), ("share = true", 200)] {
        let text = clients(share, &[("nightly", ""), ("weekly", "")]);
        let site = Site::with_text(&text, &[("PROVIDER__PROFILE", "oidc")]).await;
        let answer = json!({"access_token": "one-for-all", "token_type": "bearer", "expires_in": 600});
        site.pool.fault(PoolEndpoint::TokenClientCredentials, answer_with(&answer));
        assert_eq!(fetched(&site, "nightly").await, "one-for-all");
        let second = token(&site, "weekly", SECRET, &[]).await;
        assert_eq!(second.status, status, "{share}: {second:?}");
        let known = validate(&site, "", "one-for-all").await;
        let client = if share.is_empty() { "nightly" } else { "dev-cms-client" };
        assert_eq!((known.status, known.header("x-auth-client-id")), (200, Some(client)));
    }
}

#[tokio::test]
async fn a_client_can_have_a_budget_of_its_own() {
    let scopes = "resources = [\"urn:a\", \"urn:b\", \"urn:c\"]";
    let small = format!("{scopes}\nfetches_per_hour = 1");
    let site =
        Site::with_text(&clients("", &[("nightly", scopes), ("small", &small)]), &[("MACHINE__FETCHES_PER_HOUR", "2")])
            .await;
    for (id, most) in [("nightly", 2), ("small", 1)] {
        for (nth, resource) in ["urn:a", "urn:b", "urn:c"].into_iter().enumerate() {
            let status = token(&site, id, SECRET, &[("resource", resource)]).await.status;
            assert_eq!(status, if nth < most { 200 } else { 429 }, "{id} {resource}");
        }
    }
}
