//! Renewal across processes: one call, and nobody is signed out whatever happens to it.

use super::{Fleet, at};
use crate::support::redis::Redis;
use crate::support::until;
use auth_api::dev::pool::{Fault, PoolEndpoint};
use futures_util::future::join_all;
use reqwest::Method;
use std::time::Duration;

fn unavailable(status: u16) -> Fault {
    Fault::Status { status, content_type: "text/html", body: "<h1>busy</h1>".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_hundred_renewals_at_three_processes_are_one_call() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(3, &at(&redis), &[("SESSION__STORE_TIMEOUT", "5s")]).await;
    fleet.rotate(0);
    // Due at once, and no more after one renewal, however long the hundred take to arrive.
    let live = |seconds| fleet.pool.edit_client("dev-web-client", |client| client.access_token_seconds = seconds);
    live(290);
    let jane = fleet.sign_in("jane").await;
    live(3_600);
    fleet.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(300)));
    let answers = join_all((0..100).map(|i| fleet.ask(i % 3, &jane, Method::POST, "/refresh"))).await;
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 1);
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.body == answers[0].body));
    fleet.all_say("nobody is signed out", 200, &jane).await;
}

/// The first process has the provider renew, and is killed before it hears of it.
async fn killed_at_work(fleet: &mut Fleet, jane: &crate::support::Browser) {
    fleet.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Lose);
    let asked = fleet.pool.count(PoolEndpoint::TokenRefresh);
    tokio::select! {
        answer = fleet.refresh(0, jane) => panic!("{answer:?}"),
        () = until("the pool is asked", async || fleet.pool.count(PoolEndpoint::TokenRefresh) > asked) => {}
    }
    fleet.services[0].child.kill().unwrap();
    fleet.services[0].child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_process_killed_at_work_is_replaced_within_the_grace_period() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    fleet.rotate(60);
    let jane = fleet.sign_in("jane").await;
    killed_at_work(&mut fleet, &jane).await;
    assert_eq!(fleet.validate(1, &jane).await, 200, "nobody waits for a renewal");
    let answer = fleet.refresh(1, &jane).await;
    assert_eq!(answer.status, 200, "the other one takes over: {answer:?}");
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 2);
    assert_eq!(fleet.validate(1, &jane).await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_process_killed_at_work_signs_nobody_out_even_without_a_grace_period() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    fleet.rotate(0);
    let jane = fleet.sign_in("jane").await;
    killed_at_work(&mut fleet, &jane).await;
    let answer = fleet.refresh(1, &jane).await;
    assert_eq!(answer.status, 200, "the session goes on: {answer:?}");
    assert_eq!(fleet.validate(1, &jane).await, 200);
    assert_eq!(fleet.refresh(1, &jane).await.status, 200);
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 2, "a token that is dead is not spent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_loss_of_data_is_remembered_though_redis_evicts_the_mark_of_it() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    fleet.rotate(0);
    fleet.hears(1).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("known everywhere", 200, &jane).await;
    killed_at_work(&mut fleet, &jane).await;
    // That her refresh token may be spent is known to the lease alone, and from here on to nobody.
    redis.ask::<()>("FLUSHALL").await;
    until("she is written back", async || !redis.ask::<Vec<String>>("KEYS *:s:*").await.is_empty()).await;
    let marks = redis.ask::<Vec<String>>("KEYS *:m:*").await;
    let evicted = redis.ask::<usize>(&format!("DEL {}", marks.join(" "))).await;
    assert_eq!(evicted, 2, "of the used code and of the loss");
    until("renewed as far as it can be", async || {
        let answer = fleet.refresh(1, &jane).await;
        assert!([200, 503].contains(&answer.status), "nobody is signed out: {answer:?}");
        answer.status == 200
    })
    .await;
    assert_eq!(fleet.validate(1, &jane).await, 200);
    assert_eq!(redis.ask::<Vec<String>>("KEYS *:m:*").await.len(), 2, "for processes that start later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_provider_in_trouble_is_asked_once_and_signs_nobody_out() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    fleet.rotate(60);
    for (case, fault) in [
        ("429", unavailable(429)),
        ("500", unavailable(500)),
        ("slower than the time-out", Fault::Stall),
        ("an answer that is lost", Fault::Lose),
    ] {
        let jane = fleet.sign_in("jane").await;
        fleet.all_say("known everywhere", 200, &jane).await;
        fleet.pool.fault(PoolEndpoint::TokenRefresh, fault);
        let asked = fleet.pool.count(PoolEndpoint::TokenRefresh);
        let answers = join_all((0..10).map(|i| fleet.refresh(i % 2, &jane))).await;
        for answer in answers {
            assert_eq!((answer.status, answer.problem().as_str()), (503, "provider-unavailable"), "{case}");
            assert!(answer.header("retry-after").is_some(), "{case}");
        }
        assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), asked + 1, "{case}: once for all processes");
        fleet.all_say("nobody is signed out", 200, &jane).await;
        fleet.pool.clear_faults();
        until(case, async || fleet.refresh(1, &jane).await.status == 200).await;
        fleet.all_say("nor afterwards", 200, &jane).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_sign_out_elsewhere_beats_a_renewal_under_way() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    fleet.rotate(0);
    let jane = fleet.sign_in("jane").await;
    fleet.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(500)));
    // As if the first revocation had not arrived.
    fleet
        .pool
        .fault_once(PoolEndpoint::Revoke, Fault::Status { status: 200, content_type: "text/plain", body: "".into() });
    let (renewed, out) = tokio::join!(fleet.refresh(0, &jane), async {
        until("the pool is asked", async || fleet.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        fleet.sign_out(1, &jane).await
    });
    assert_eq!((renewed.status, out), (401, 303));
    fleet.all_say("she stays out", 401, &jane).await;
    until("nothing is left that could sign her in again", async || fleet.pool.live_refresh_tokens() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn the_providers_keys_change_under_traffic() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    for round in 0..2 {
        fleet.pool.rotate_keys();
        for nth in 0..2 {
            assert_eq!(fleet.validate(nth, &jane).await, 200, "{round}");
        }
        until("keys are read again, in their time", async || fleet.refresh(round, &jane).await.status == 200).await;
        fleet.all_say("nobody is signed out", 200, &jane).await;
        until("people can sign in", async || {
            let browser = crate::support::Browser::new();
            fleet.try_sign_in(&browser, "erin").await.status == 302
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_machine_token_is_fetched_once_for_all_processes() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(3, &at(&redis), &[("MACHINE__PASS_THROUGH", "true")]).await;
    fleet.pool.fault_once(PoolEndpoint::TokenClientCredentials, Fault::Delay(Duration::from_millis(300)));
    let ask = async |nth: usize, secret: &'static str| {
        let url = format!("http://127.0.0.1:{}/token", fleet.services[nth].port());
        let form = [("grant_type", "client_credentials"), ("scope", "cms/read")];
        let shape = |r: reqwest::RequestBuilder| r.basic_auth("dev-cms-client", Some(secret)).form(&form);
        crate::support::Browser::new().send(reqwest::Method::POST, &url, shape).await
    };
    let answers = join_all((0..60).map(|i| ask(i % 3, "dev-cms-secret"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let token = |answer: &crate::support::Answer| answer.json()["access_token"].as_str().unwrap().to_owned();
    assert!(answers.iter().all(|answer| token(answer) == token(&answers[0])), "all get the same");
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenClientCredentials), 1);
    assert_eq!(ask(1, "wrong").await.status, 401, "what is shared takes the right secret");
}
