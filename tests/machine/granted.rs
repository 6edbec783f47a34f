//! What a machine is granted: never another type, scope or resource than it may have, and not without end.

use super::{SECRET, answer_with, error, token, with};
use crate::support::{Answer, Browser, Log, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use auth_api::domain::machine::SecretHash;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

/// A registered client with further keys in its block and its upstream's.
async fn registered(upstream: &str, client: &str, more: &[(&str, &str)]) -> (Site, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let hash = SecretHash::of(SECRET);
    let text = format!(
        "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n\
         {upstream}\n[[machine.client]]\nid = \"nightly\"\nsecret_hashes = [\"{hash}\"]\nowner = \"data team\"\n\
         scopes = [\"cms/read\", \"cms/write\"]\nupstream = \"dev\"\n{client}\n"
    );
    let file = folder.path().join("auth-api.toml");
    std::fs::write(&file, text).unwrap();
    (Site::with_file(&file, more).await, folder)
}

fn described(answer: &Answer) -> String {
    answer.json()["error_description"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_token_of_another_type_is_not_handed_out_as_bearer() {
    let answers = async |profile: &str, kind: &str| {
        let (site, _folder) = with(&[("PROVIDER__PROFILE", profile)]).await;
        let access = site.pool.mint_machine_token("dev-cms-client", &["cms/read"]);
        let answer = json!({"access_token": access, "token_type": kind, "expires_in": 600, "scope": "cms/read"});
        site.pool.fault_once(PoolEndpoint::TokenClientCredentials, answer_with(&answer));
        token(&site, "nightly", SECRET, &[]).await
    };
    for profile in ["cognito", "oidc"] {
        for kind in ["mac", "DPoP", "Bearer-ish", ""] {
            let log = Log::capture();
            let refused = answers(profile, kind).await;
            assert_eq!(error(&refused), (502, "server_error".into()), "{profile} {kind}");
            assert!(described(&refused).contains("Bearer"), "{refused:?}");
            let text = log.text();
            assert!(text.to_lowercase().contains(&format!("{:?}", kind.to_lowercase())), "{kind}: {text}");
        }
        for kind in ["bearer", "BEARER"] {
            assert_eq!(answers(profile, kind).await.json()["token_type"], "Bearer", "{profile} {kind}");
        }
    }
}

#[tokio::test]
async fn scopes_that_the_provider_adds_are_named_or_allowed_by_registration() {
    let granted = |site: &Site, scope: &str| {
        let answer = json!({"access_token": scope.replace(' ', "-"), "token_type": "Bearer", "expires_in": 600,
            "scope": scope});
        site.pool.fault_once(PoolEndpoint::TokenClientCredentials, answer_with(&answer));
    };
    let other = [("PROVIDER__PROFILE", "oidc"), ("MACHINE__PASS_THROUGH", "true")];
    let ask = async |site: &Site| token(site, "nightly", SECRET, &[("scope", "cms/read")]).await;

    let (site, _folder) = registered("share = true", "", &other).await;
    let log = Log::capture();
    granted(&site, "profile cms/read email");
    let refused = ask(&site).await;
    assert_eq!(error(&refused), (400, "invalid_scope".into()));
    assert!(described(&refused).contains("email profile"), "they are named: {refused:?}");
    let text = log.text();
    assert!(text.contains("email profile") && text.contains("default_scopes"), "{text}");
    // Its own app client: the caller is told what the provider granted (RFC 6749 §5.1).
    granted(&site, "profile cms/read email");
    let passed = token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read")]).await;
    assert_eq!(passed.json()["scope"], "cms/read email profile", "{passed:?}");
    let refused = ask(&site).await;
    assert_eq!(error(&refused), (400, "invalid_scope".into()), "what is at hand is judged as well");
    assert!(described(&refused).contains("email profile"), "{refused:?}");

    let (site, _folder) = registered("default_scopes = [\"email\", \"profile\"]", "", &other).await;
    granted(&site, "profile cms/read email");
    let allowed = ask(&site).await;
    assert_eq!((allowed.status, allowed.json()["scope"].as_str()), (200, Some("cms/read email profile")));
    let token = allowed.json()["access_token"].as_str().unwrap().to_owned();
    let shape = |r: reqwest::RequestBuilder| r.basic_auth("nightly", Some(SECRET)).form(&[("token", &token)]);
    let revoked = Browser::new().send(Method::POST, &site.auth("/revoke"), shape).await;
    assert_eq!(revoked.status, 200, "what it was given it may revoke: {revoked:?}");
    for wider in ["profile cms/read email admin", "cms/read cms/write"] {
        granted(&site, wider);
        assert_eq!(error(&ask(&site).await), (400, "invalid_scope".into()), "{wider}");
    }
    granted(&site, "email profile");
    let missing = ask(&site).await;
    assert_eq!(error(&missing), (400, "invalid_scope".into()), "none of those replaces what was asked for");
    assert!(described(&missing).contains("cms/read"), "{missing:?}");
}

#[tokio::test]
async fn metadata_for_a_trigger_is_refused_and_not_dropped() {
    let (site, _folder) = registered("", "", &[]).await;
    let answer =
        token(&site, "nightly", SECRET, &[("scope", "cms/read"), ("aws_client_metadata", "{\"a\":\"b\"}")]).await;
    assert_eq!(error(&answer), (400, "invalid_request".into()));
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 0, "it cost nothing");
}

#[tokio::test]
async fn a_resource_is_refused_unless_the_registration_lists_it() {
    let ask = async |site: &Site, resource: &str| {
        token(site, "nightly", SECRET, &[("scope", "cms/read"), ("resource", resource)]).await
    };
    let (site, _folder) = registered("", "", &[]).await;
    assert_eq!(error(&ask(&site, "https://api.example.com").await), (400, "invalid_target".into()), "none by default");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 0, "it cost nothing");

    let listed = "resources = [\"https://api.example.com\", \"urn:example:orders\"]";
    let (site, _folder) = registered("", listed, &[("MACHINE__PASS_THROUGH", "true")]).await;
    let log = Log::capture();
    for good in ["https://api.example.com", "urn:example:orders"] {
        assert_eq!(ask(&site, good).await.status, 200, "{good}");
        assert!(log.text().contains(&format!("resource={good:?}")), "{}", log.text());
    }
    assert_eq!(token(&site, "nightly", SECRET, &[("scope", "cms/read")]).await.status, 200, "without one");
    let calls = site.pool.count(PoolEndpoint::TokenClientCredentials);
    for other in [
        "https://api.example.com/",
        "https://API.example.com",
        "https://api.example.com:443",
        "https://api.example.com/x",
        "https://api.example.com.evil.test",
        "https://evil.test",
        "urn:example:order",
    ] {
        let refused = ask(&site, other).await;
        assert_eq!(error(&refused), (400, "invalid_target".into()), "{other}");
    }
    for malformed in ["/a", "api", "https://api.example.com#a", "https://api.example.com/ a"] {
        assert_eq!(error(&ask(&site, malformed).await), (400, "invalid_target".into()), "{malformed}");
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), calls);
    let own = [("scope", "cms/read"), ("resource", "https://own.example.com")];
    assert_eq!(token(&site, "dev-cms-client", "dev-cms-secret", &own).await.status, 200, "its own app client");
}

#[tokio::test]
async fn one_client_cannot_make_the_company_pay_without_end() {
    let (site, _folder) = with(&[("MACHINE__PASS_THROUGH", "true"), ("MACHINE__FETCHES_PER_HOUR", "3")]).await;
    let pass = async |nth: usize| {
        let resource = format!("https://api-{nth}.example.com");
        token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/read"), ("resource", &resource)]).await
    };
    let log = Log::capture();
    for nth in 0..3 {
        assert_eq!(pass(nth).await.status, 200, "{nth}");
    }
    for nth in 3..10 {
        let refused = pass(nth).await;
        assert_eq!(error(&refused), (429, "temporarily_unavailable".into()), "{nth}");
        let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3_600).contains(&wait), "{wait}");
    }
    assert!(log.text().contains("machine.fetches_per_hour"), "{}", log.text());
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 3, "nobody else was asked");
    for nth in 0..3 {
        assert_eq!(pass(nth).await.status, 200, "what is at hand costs nothing");
    }
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 200, "nobody else is limited");
    site.pass(3_601);
    assert_eq!((pass(11).await.status, pass(12).await.status), (200, 200), "an hour later");
}

#[tokio::test]
async fn a_renewal_counts_and_an_outage_does_not() {
    let (site, _folder) = with(&[("MACHINE__FETCHES_PER_HOUR", "2")]).await;
    let busy = Fault::Status { status: 429, content_type: "text/html", body: "<h1>slow down</h1>".into() };
    site.pool.fault(PoolEndpoint::TokenClientCredentials, busy);
    for _ in 0..5 {
        assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 503);
        site.pass(90);
    }
    let body = json!({"error": "invalid_scope"}).to_string();
    let refused = Fault::Status { status: 400, content_type: "application/json", body };
    site.pool.fault(PoolEndpoint::TokenClientCredentials, refused);
    until("the provider is asked again", async || token(&site, "nightly", SECRET, &[]).await.status == 400).await;
    for _ in 0..3 {
        assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 400);
    }
    site.pool.clear_faults();
    site.pool.edit_client("dev-cms-client", |client| client.access_token_seconds = 1_000);
    let first = token(&site, "nightly", SECRET, &[]).await.json();
    assert!(first["access_token"].is_string(), "nothing of that was billed: {first}");
    site.pass(905);
    token(&site, "nightly", SECRET, &[]).await;
    let renewed = async || token(&site, "nightly", SECRET, &[]).await.json()["access_token"] != first["access_token"];
    until("it is renewed in the background", renewed).await;
    let second = token(&site, "nightly", SECRET, &[]).await.json();
    site.pass(905);
    for _ in 0..5 {
        let same = token(&site, "nightly", SECRET, &[]).await.json();
        assert_eq!(same["access_token"], second["access_token"], "handed out as long as it lasts");
    }
    site.pass(40);
    assert_eq!(token(&site, "nightly", SECRET, &[]).await.status, 429, "the renewal was the second");
}

#[tokio::test]
async fn an_answer_does_not_tell_which_ids_are_registered() {
    let (site, _folder) = with(&[("MACHINE__PASS_THROUGH", "true")]).await;
    let calls = || site.pool.count(PoolEndpoint::TokenClientCredentials);
    let mut answers = vec![];
    for id in ["a-stranger", "nightly"] {
        let before = calls();
        let wrong = token(&site, id, "a-wrong-secret", &[("scope", "cms/read")]).await;
        let again = token(&site, id, "a-wrong-secret", &[("scope", "cms/read")]).await;
        let other = token(&site, id, "another-wrong-secret", &[("scope", "cms/write")]).await;
        answers.push((calls() - before, [wrong, again, other].map(|answer| (answer.status, answer.body))));
    }
    assert_eq!(answers[0], answers[1], "the provider is asked about both, and both answers are the same");
    assert_eq!(answers[0].1[0].0, 401);
    // Where the provider does not answer, nobody is told more either.
    let busy = Fault::Status { status: 500, content_type: "text/html", body: "<h1>busy</h1>".into() };
    for id in ["a-stranger", "nightly"] {
        site.pool.fault_once(PoolEndpoint::TokenClientCredentials, busy.clone());
        let away = token(&site, id, "a-third-wrong-secret", &[]).await;
        assert_eq!(error(&away), (503, "temporarily_unavailable".into()), "{id}");
        site.pass(90);
    }
    let calls = site.pool.count(PoolEndpoint::TokenClientCredentials);
    let known = token(&site, "nightly", SECRET, &[]).await;
    assert_eq!(known.status, 200, "{known:?}");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), calls + 1);
}

#[tokio::test]
async fn a_registered_secret_is_shown_to_nobody_even_if_it_is_mistyped() {
    // The secret of the app client of the same name is right at the provider, and still opens nothing here.
    let folder = tempfile::tempdir().unwrap();
    let hash = SecretHash::of(SECRET);
    let text = format!(
        "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n\
         [[machine.client]]\nid = \"dev-cms-client\"\nsecret_hashes = [\"{hash}\"]\nowner = \"data team\"\n\
         scopes = [\"cms/read\"]\nupstream = \"dev\"\n"
    );
    let file = folder.path().join("auth-api.toml");
    std::fs::write(&file, text).unwrap();
    let site = Site::with_file(&file, &[("MACHINE__PASS_THROUGH", "true")]).await;
    let slow = Fault::Delay(Duration::from_millis(1));
    site.pool.fault_once(PoolEndpoint::TokenClientCredentials, slow);
    let refused = token(&site, "dev-cms-client", "dev-cms-secret", &[("scope", "cms/write")]).await;
    assert_eq!(error(&refused), (401, "invalid_client".into()), "what the provider got was not that secret");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1);
    assert_eq!(token(&site, "dev-cms-client", SECRET, &[]).await.status, 200);
}

#[tokio::test]
async fn a_program_has_not_authenticated_as_a_person_does_whatever_its_token_says() {
    for profile in ["cognito", "oidc"] {
        let (site, _folder) = with(&[("PROVIDER__PROFILE", profile)]).await;
        let access_token = site.pool.mint_access_token("dev-cms-client", "jane", &["cms/read"]);
        let answer = json!({ "access_token": access_token, "token_type": "Bearer", "expires_in": 3_600 });
        site.pool.fault_once(PoolEndpoint::TokenClientCredentials, answer_with(&answer));
        let granted = token(&site, "nightly", SECRET, &[]).await;
        assert_eq!(granted.status, 200, "{profile}: {granted:?}");
        let shape = |r: reqwest::RequestBuilder| r.bearer_auth(&access_token);
        let json = Browser::new().send(Method::GET, &site.auth("/validate"), shape).await.json();
        let told = ["kind", "auth_time", "acr", "amr"].map(|name| json[name].clone());
        assert_eq!(told, [json!("machine"), json!(null), json!(null), json!([])], "{profile}: {json}");
    }
}
