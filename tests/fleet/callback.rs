//! One callback that reaches several processes, as when a browser sends it again or a proxy retries.

use super::{Fleet, at};
use crate::support::redis::Redis;
use crate::support::{Answer, Browser};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use futures_util::future::join_all;
use reqwest::Method;
use std::time::Duration;

/// A browser that is back from the hosted UI, and the path and query that it was sent to.
async fn back_from_hosted_ui(fleet: &Fleet, return_to: &str) -> (Browser, String) {
    let browser = Browser::new();
    let sign_in = format!("{}/auth/signin?return_to={return_to}", fleet.services[0].url);
    let authorize = browser.get(&sign_in).await.location();
    let callback = browser.log_in(&authorize, "jane").await;
    let path = callback.strip_prefix(&fleet.services[0].url).unwrap().to_owned();
    (browser, path)
}

fn session_cookie(answer: &Answer) -> String {
    let cookies = answer.headers.get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
    let of_session = cookies.filter_map(|cookie| cookie.strip_prefix("auth="));
    of_session.map(|cookie| cookie.split(';').next().unwrap()).find(|id| !id.is_empty()).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn twenty_copies_at_three_processes_are_one_exchange_and_one_session() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(3, &at(&redis), &[("SESSION__STORE_TIMEOUT", "5s")]).await;
    fleet.rotate(0);
    fleet.pool.code_reuse_revokes(true);
    let (browser, path) = back_from_hosted_ui(&fleet, "/openapi.json").await;
    // Long enough for every copy to arrive while the first is at it.
    fleet.pool.fault_once(PoolEndpoint::TokenCode, Fault::Delay(Duration::from_millis(300)));
    let answers = join_all((0..20).map(|i| fleet.ask(i % 3, &browser, Method::GET, &path))).await;
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 1);
    for answer in &answers {
        assert_eq!((answer.status, answer.location()), (302, format!("{}/openapi.json", fleet.services[0].url)));
    }
    let ids: std::collections::BTreeSet<_> = answers.iter().map(session_cookie).collect();
    assert_eq!(ids.len(), 1, "one session");
    browser.plant(&fleet.services[0].url, &format!("auth={}; Domain=app.localhost", ids.first().unwrap()));
    fleet.all_say("signed in everywhere", 200, &browser).await;
    for nth in 0..3 {
        let renewed = fleet.refresh(nth, &browser).await;
        assert_eq!(renewed.status, 200, "the provider saw no code twice: {renewed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_copy_that_comes_later_lands_in_the_same_session() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[("SESSION__STORE_TIMEOUT", "5s")]).await;
    fleet.pool.code_reuse_revokes(true);
    let (browser, path) = back_from_hosted_ui(&fleet, "/openapi.json").await;
    let first = fleet.ask(0, &browser, Method::GET, &path).await;
    let second = fleet.ask(1, &browser, Method::GET, &path).await;
    assert_eq!((second.status, second.location()), (302, first.location()));
    assert_eq!(session_cookie(&first), session_cookie(&second));
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 1);
    browser.plant(&fleet.services[0].url, &format!("auth={}; Domain=app.localhost", session_cookie(&first)));
    assert_eq!(fleet.sign_out(1, &browser).await, 303);
    fleet.all_say("signed out", 401, &browser).await;
    // With the cookies of before the sign-in.
    let stale = fleet.ask(0, &browser, Method::GET, &path).await;
    assert!(stale.status != 302 || stale.location() != first.location(), "a used callback signs nobody in: {stale:?}");
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_process_killed_in_the_exchange_costs_that_sign_in_and_no_second_exchange() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::with(2, &at(&redis), &[("SESSION__STORE_TIMEOUT", "5s"), ("PROVIDER__TIMEOUT", "1s")]).await;
    let (browser, path) = back_from_hosted_ui(&fleet, "/openapi.json").await;
    fleet.pool.fault_once(PoolEndpoint::TokenCode, Fault::Lose);
    tokio::select! {
        answer = fleet.ask(1, &browser, Method::GET, &path) => panic!("{answer:?}"),
        () = crate::support::until("the pool is asked", async || fleet.pool.count(PoolEndpoint::TokenCode) > 0) => {}
    }
    fleet.services[1].child.kill().unwrap();
    fleet.services[1].child.wait().unwrap();
    let again = fleet.ask(0, &browser, Method::GET, &path).await;
    assert!(again.status != 302 && again.status < 500, "a page that offers to sign in again: {again:?}");
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn without_a_store_the_code_is_not_spent_and_a_reload_signs_in() {
    let mut redis = super::durable().await;
    let fleet = Fleet::start(1, &at(&redis)).await;
    let (browser, path) = back_from_hosted_ui(&fleet, "/openapi.json").await;
    redis.kill();
    let url = format!("{}{path}", fleet.services[0].url);
    assert_eq!(browser.get(&url).await.status, 503);
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 0);
    assert!(redis.up().await);
    crate::support::until("the reload signs in", async || browser.get(&url).await.status == 302).await;
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenCode), 1);
}
