//! What the whole fleet may ask of the provider.

use super::signed_in;
use crate::fleet::{Fleet, PATIENT};
use crate::support::redis::Redis;
use crate::support::{Answer, Browser, Site};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use reqwest::Method;
use std::time::{Duration, Instant};

/// `provider.requests_per_second`, and how many are let through at once after a rest.
const RATE: u64 = 100;
const BURST: u64 = 10;

fn throttled(retry_after: &str) -> Fault {
    Fault::Throttle { retry_after: Some(retry_after.into()) }
}

async fn fleet(size: usize) -> (Redis, Fleet) {
    let redis = Redis::start().await;
    let store = format!("redis://{}", redis.at());
    let fleet = Fleet::with(size, &store, &[PATIENT, ("PROVIDER__TIMEOUT", "10s"), ("SESSION__PER_USER", "0")]).await;
    (redis, fleet)
}

async fn people(fleet: &Fleet, many: usize) -> Vec<Browser> {
    // One who signs in again and again is taken for a loop, and nobody waits for many in a row.
    let signing_in = stream::iter(0..many).map(|_| fleet.sign_in("jane"));
    signing_in.buffer_unordered(8).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn three_hundred_at_once_at_three_processes_go_out_at_the_rate() {
    let (_redis, fleet) = fleet(3).await;
    let people = people(&fleet, 300).await;
    let began = Instant::now();
    let asking = join_all(people.iter().enumerate().map(|(nth, browser)| fleet.refresh(nth % 3, browser)));
    let counting = async {
        while began.elapsed() < Duration::from_secs(120) {
            // What had been asked by then; a little later is never less allowed.
            let asked = fleet.pool.count(PoolEndpoint::TokenRefresh);
            let allowed = began.elapsed().as_secs_f64() * RATE as f64 + BURST as f64;
            assert!(asked as f64 <= allowed + 1.0, "{asked} after {:?}", began.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let answers: Vec<Answer> = tokio::select! {
        answers = asking => answers,
        () = counting => panic!("not all were answered"),
    };
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(good, 300, "everybody gets fresh tokens: {:?}", answers.iter().find(|answer| answer.status != 200));
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_429_quietens_every_process() {
    let (_redis, fleet) = fleet(3).await;
    let people = people(&fleet, 12).await;
    fleet.pool.fault(PoolEndpoint::TokenRefresh, throttled("60"));
    let first = fleet.refresh(0, &people[0]).await;
    assert_eq!((first.status, first.problem().as_str()), (503, "provider-unavailable"));
    for (nth, browser) in people.iter().enumerate().skip(1) {
        let answer = fleet.refresh(nth % 3, browser).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "provider-unavailable"), "{nth}");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((30..=61).contains(&wait), "{wait}");
    }
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 1, "nobody else asks");
    let browser = Browser::new();
    assert_eq!(fleet.try_sign_in(&browser, "erin").await.status, 302, "people can sign in all the same");
    for nth in 0..3 {
        assert_eq!(fleet.validate(nth, &people[0]).await, 200, "and nobody is signed out");
    }
}

#[tokio::test]
async fn a_429_quietens_the_background_too_and_without_a_time_it_is_short() {
    let site = Site::start().await;
    let browsers = signed_in(&site, "jane", 6).await;
    site.pool.fault(PoolEndpoint::TokenRefresh, throttled("30"));
    assert_eq!(browsers[0].post(&site.auth("/refresh?force=true"), &[]).await.status, 503);
    site.pass(3_500);
    for browser in &browsers {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    for _ in 0..5 {
        site.rp.renew_ahead().await;
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1);

    let site = Site::start().await;
    let browsers = signed_in(&site, "jane", 2).await;
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Throttle { retry_after: None });
    let throttled = browsers[0].post(&site.auth("/refresh?force=true"), &[]).await;
    let wait: u64 = throttled.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=5).contains(&wait), "{wait}");
    let next = browsers[1].post(&site.auth("/refresh?force=true"), &[]).await;
    assert_eq!((next.status, site.pool.count(PoolEndpoint::TokenRefresh)), (503, 1));
    crate::support::until("it goes on", async || {
        browsers[1].post(&site.auth("/refresh?force=true"), &[]).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn for_a_minute_of_real_time_two_that_fail_delay_nobody_at_two_processes() {
    let (_redis, fleet) = fleet(2).await;
    fleet.pool.edit_client("dev-web-client", |client| client.access_token_seconds = 60);
    let healthy = people(&fleet, 20).await;
    let failing = [fleet.sign_in("erin").await, fleet.sign_in("erin").await];
    let fault = Fault::Status { status: 500, content_type: "text/html", body: "<h1>oops</h1>".into() };
    fleet.pool.fault_refreshes_of("erin", fault);
    let began = Instant::now();
    let mut least = u64::MAX;
    while began.elapsed() < Duration::from_secs(75) {
        for (nth, browser) in healthy.iter().enumerate() {
            let answer = fleet.ask(nth % 2, browser, Method::GET, "/validate").await;
            let expires_at = answer.json()["expires_at"].as_u64().unwrap();
            #[expect(clippy::disallowed_methods, reason = "the processes go by the machine's time")]
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
            least = least.min(expires_at.saturating_sub(now));
        }
        for browser in &failing {
            assert_eq!(fleet.validate(0, browser).await, 200);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(least >= 5, "{least} s were left");
}
