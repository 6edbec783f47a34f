//! What is ended at one process is over at all.

use super::{Fleet, at};
use crate::machine::SECRET;
use crate::machine::identity::clients;
use crate::support::redis::Redis;
use crate::support::{Answer, Browser, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::Method;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_sign_out_at_one_process_counts_at_all() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(3, &at(&redis)).await;
    let stays = fleet.sign_in("erin").await;
    for nth in [0, 1, 2, 1] {
        let jane = fleet.sign_in("jane").await;
        fleet.all_say("everybody knows her", 200, &jane).await;
        assert_eq!(fleet.sign_out(nth, &jane).await, 303);
        assert_eq!(fleet.validate(nth, &jane).await, 401, "at once where she signed out");
        fleet.all_say("and soon elsewhere", 401, &jane).await;
        assert_eq!(fleet.refresh((nth + 1) % 3, &jane).await.status, 401);
    }
    fleet.all_say("nobody else is signed out", 200, &stays).await;
    let metrics = Browser::new().get(&format!("{}/metrics", fleet.services[1].ops)).await.body;
    assert!(metrics.contains("auth_api_revocation_lag_seconds_count"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_process_that_is_not_told_of_changes_answers_by_what_redis_has() {
    let redis = Redis::start().await;
    redis.ask::<()>("ACL SETUSER blind on nopass ~* &* +@all -client|tracking").await;
    let fleet = Fleet::start(2, &at(&redis).replacen("://", "://blind:x@", 1)).await;
    let (jane, erin) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    for browser in [&jane, &erin, &jane, &erin] {
        assert_eq!(fleet.validate(1, browser).await, 200);
    }
    assert_eq!(fleet.refresh(0, &jane).await.status, 200);
    assert_eq!(fleet.validate(1, &jane).await, 200);
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    assert_eq!((fleet.validate(1, &jane).await, fleet.validate(1, &erin).await), (401, 200));
    for record in redis.ask::<Vec<String>>("KEYS *:s:*").await {
        redis.ask::<u64>(&format!("SETRANGE {record} 90 damaged")).await;
    }
    assert_eq!(fleet.validate(1, &erin).await, 401, "what is remembered is not what is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn the_tokens_of_a_session_that_ended_are_refused_everywhere() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[("GATEWAY__FORWARD_TOKENS", "access_token,id_token")]).await;
    let jane = fleet.sign_in("jane").await;
    let known = fleet.ask(0, &jane, Method::GET, "/validate").await;
    let tokens = ["x-auth-access-token", "x-auth-id-token"].map(|name| known.header(name).unwrap().to_owned());
    let bearer = async |nth: usize, token: &str| {
        let url = format!("http://127.0.0.1:{}/validate", fleet.services[nth].port());
        Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await.status
    };
    for token in &tokens {
        assert_eq!((bearer(0, token).await, bearer(1, token).await), (200, 200));
    }
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    for token in &tokens {
        assert_eq!(bearer(0, token).await, 401);
        until("elsewhere too", async || bearer(1, token).await == 401).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn keys_change_process_by_process_and_nobody_is_signed_out() {
    const OLD: &str = "0123456789 of a key for this test 9876543210";
    const NEW: &str = "9876543210 of a new key for the test 0123456789";
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    let mut browsers = vec![fleet.sign_in("jane").await];
    for keys in [format!("{OLD},{NEW}"), format!("{NEW},{OLD}")] {
        fleet.set("COOKIES__KEYS", &keys);
        for nth in 0..2 {
            fleet.restart(nth);
            browsers.push(fleet.sign_in("jane").await);
            for browser in &browsers {
                fleet.all_say("every process knows every session", 200, browser).await;
            }
        }
    }
    for browser in &browsers {
        assert_eq!(fleet.refresh(1, browser).await.status, 200, "a write seals it anew");
    }
    fleet.set("COOKIES__KEYS", NEW);
    for nth in 0..2 {
        fleet.restart(nth);
    }
    for browser in &browsers {
        fleet.all_say("what was written since opens with the new key alone", 200, browser).await;
    }
    fleet.set("COOKIES__KEYS", "a key that has nothing to do with the others 00");
    fleet.restart(1);
    let ready = Browser::new().get(&format!("{}/readyz", fleet.services[1].ops)).await;
    assert!(ready.status == 503 && ready.body.contains("cookies.keys"), "{}", ready.body);
    fleet.all_say_but(1, 200, &browsers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn sessions_of_another_client_or_origin_are_not_honoured() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    for (key, value) in
        [("PROVIDER__CLIENT_ID", "dev-other-client"), ("SERVER__PUBLIC_URL", "http://other.app.localhost:1")]
    {
        let before = fleet.setting(key);
        fleet.set(key, value);
        fleet.restart(1);
        let ready = Browser::new().get(&format!("{}/readyz", fleet.services[1].ops)).await;
        assert!(ready.status == 503 && ready.body.contains(value) && ready.body.contains(&before), "{}", ready.body);
        assert_eq!(fleet.validate(1, &jane).await, 401);
        assert_eq!(fleet.validate(0, &jane).await, 200);
        fleet.set(key, &before);
    }
    fleet.restart(1);
    fleet.all_say("she is known again", 200, &jane).await;
}

async fn machine(fleet: &Fleet, nth: usize, path: &str, form: &[(&str, &str)]) -> Answer {
    let url = format!("http://127.0.0.1:{}{path}", fleet.services[nth].port());
    let shape = |r: reqwest::RequestBuilder| r.basic_auth("dev-cms-client", Some("dev-cms-secret")).form(form);
    Browser::new().send(Method::POST, &url, shape).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_machine_token_revoked_at_one_process_is_handed_out_by_none() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[("MACHINE__PASS_THROUGH", "true")]).await;
    let grant = [("grant_type", "client_credentials")];
    let token = |answer: Answer| answer.json()["access_token"].as_str().unwrap().to_owned();
    let first = token(machine(&fleet, 0, "/token", &grant).await);
    assert_eq!(machine(&fleet, 0, "/revoke", &[("token", &first)]).await.status, 200);
    assert_ne!(token(machine(&fleet, 1, "/token", &grant).await), first, "though it never saw it before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_token_that_one_process_fetched_is_known_at_all_and_revoked_at_all() {
    let redis = Redis::start().await;
    let more = [
        ("PROVIDER__PROFILE", "oidc"),
        ("MACHINE__PASS_THROUGH", "true"),
        ("PROVIDER__ACCEPTED_CLIENTS", "dev-cms-client"),
    ];
    let fleet = Fleet::with(3, &at(&redis), &more).await;
    let bearer = async |nth: usize, token: &str| {
        let url = format!("http://127.0.0.1:{}/validate", fleet.services[nth].port());
        let answer = Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await;
        (answer.status, answer.header("x-auth-kind").map(str::to_owned))
    };
    let grant = [("grant_type", "client_credentials"), ("scope", "cms/read")];
    let mut last = String::new();
    for (nth, name) in ["opaque-one", "opaque-two"].into_iter().enumerate() {
        let body = format!(r#"{{"access_token":"{name}","token_type":"bearer","expires_in":3600,"scope":"cms/read"}}"#);
        let opaque = Fault::Status { status: 200, content_type: "application/json", body };
        fleet.pool.fault_once(PoolEndpoint::TokenClientCredentials, opaque);
        let fetched = machine(&fleet, nth, "/token", &grant).await.json()["access_token"].as_str().unwrap().to_owned();
        assert_eq!(fetched, name, "never {last} again");
        for nth in 0..3 {
            assert_eq!(bearer(nth, &fetched).await, (200, Some("machine".to_owned())), "at {nth}");
        }
        assert_eq!(machine(&fleet, nth, "/revoke", &[("token", &fetched)]).await.status, 200);
        for nth in 0..3 {
            until("it is refused everywhere", async || bearer(nth, &fetched).await.0 == 401).await;
            let told = machine(&fleet, nth, "/introspect", &[("token", &fetched)]).await;
            assert!(told.status == 401 || told.body == "{\"active\":false}", "{told:?}");
        }
        last = fetched;
    }
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenClientCredentials), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_token_is_known_again_after_the_store_has_lost_its_data() {
    let redis = Redis::start().await;
    let more = [
        ("PROVIDER__PROFILE", "oidc"),
        ("MACHINE__PASS_THROUGH", "true"),
        ("PROVIDER__ACCEPTED_CLIENTS", "dev-cms-client"),
    ];
    let fleet = Fleet::with(2, &at(&redis), &more).await;
    let bearer = async |token: &str| {
        let url = format!("http://127.0.0.1:{}/validate", fleet.services[1].port());
        Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await.status
    };
    let mut fetched = vec![];
    for scope in ["cms/read", "cms/write"] {
        let body = format!(r#"{{"access_token":"{scope}","token_type":"bearer","expires_in":3600,"scope":"{scope}"}}"#);
        let opaque = Fault::Status { status: 200, content_type: "application/json", body };
        fleet.pool.fault_once(PoolEndpoint::TokenClientCredentials, opaque);
        let grant = [("grant_type", "client_credentials"), ("scope", scope)];
        assert_eq!(machine(&fleet, 0, "/token", &grant).await.status, 200);
        fetched.push(scope);
    }
    assert_eq!(machine(&fleet, 0, "/revoke", &[("token", fetched[1])]).await.status, 200);
    redis.ask::<()>("FLUSHALL").await;
    until("the other process knows it", async || bearer(fetched[0]).await == 200).await;
    until("and that it was revoked", async || bearer(fetched[1]).await == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn every_process_knows_whose_a_token_is_and_only_that_client_revokes_it() {
    let redis = Redis::start().await;
    let text = clients("", &[("nightly", ""), ("weekly", "")]);
    let fleet = Fleet::on(2, &at(&redis), &[], &[("AUTH_API_CONFIG", &text)]).await;
    let ask = async |nth: usize, id: &str, path: &str, form: &[(&str, &str)]| {
        let url = format!("http://127.0.0.1:{}{path}", fleet.services[nth].port());
        let shape = |r: reqwest::RequestBuilder| r.basic_auth(id, Some(SECRET)).form(form);
        Browser::new().send(Method::POST, &url, shape).await
    };
    let holder = async |nth: usize, token: &str| {
        let url = format!("http://127.0.0.1:{}/validate", fleet.services[nth].port());
        let answer = Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await;
        answer.header("x-auth-client-id").filter(|_| answer.status == 200).map(str::to_owned)
    };
    let grant = [("grant_type", "client_credentials")];
    let fetched = async |nth: usize, id: &str| {
        ask(nth, id, "/token", &grant).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let (nightly, weekly) = (fetched(0, "nightly").await, fetched(1, "weekly").await);
    assert_eq!((fetched(1, "nightly").await, fetched(0, "weekly").await), (nightly.clone(), weekly.clone()));
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenClientCredentials), 2);
    for nth in 0..2 {
        assert_eq!(holder(nth, &nightly).await.as_deref(), Some("nightly"), "at {nth}");
        assert_eq!(holder(nth, &weekly).await.as_deref(), Some("weekly"), "at {nth}");
        assert_eq!(ask(nth, "weekly", "/revoke", &[("token", &nightly)]).await.status, 400);
    }
    assert_eq!(ask(1, "nightly", "/revoke", &[("token", &nightly)]).await.status, 200);
    until("it is refused everywhere", async || holder(0, &nightly).await.is_none()).await;
    assert_eq!(holder(0, &weekly).await.as_deref(), Some("weekly"));
}
