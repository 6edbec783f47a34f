//! Many sessions to renew, and a provider that does not renew all of them at once.

mod budget;
mod per_user;

use crate::support::{Browser, Site, at, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use auth_api::domain::clock::Clock;
use std::time::Duration;

fn broken() -> Fault {
    Fault::Status { status: 500, content_type: "text/html", body: "<h1>oops</h1>".into() }
}

/// Signed in as `user`, so many times.
async fn signed_in(site: &Site, user: &str, times: usize) -> Vec<Browser> {
    let browsers: Vec<_> = (0..times).map(|_| Browser::new()).collect();
    for browser in &browsers {
        assert_eq!(browser.sign_in(site, user).await.status, 302);
    }
    browsers
}

/// Seconds that the tokens of a session live on, as `/validate` tells, which notes its use.
async fn left(site: &Site, browser: &Browser) -> u64 {
    let answer = browser.validate(site).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["expires_at"].as_u64().unwrap().saturating_sub(site.clock.now().as_secs())
}

#[tokio::test]
async fn two_whose_renewal_fails_delay_nobody_for_ten_minutes() {
    let site = Site::start().await;
    site.pool.edit_client("dev-web-client", |client| client.access_token_seconds = 60);
    let healthy = signed_in(&site, "jane", 20).await;
    let failing = signed_in(&site, "erin", 2).await;
    site.pool.fault_refreshes_of("erin", broken());
    for second in (0..600).step_by(5) {
        site.pass(5);
        for browser in &healthy {
            let left = left(&site, browser).await;
            assert!(left >= 5, "{left} s left after {second} s");
        }
        for browser in &failing {
            assert_eq!(browser.validate(&site).await.status, 200, "nobody is signed out by it");
        }
        site.rp.renew_ahead().await;
    }
    let renewed = site.metric("auth_api_refreshes_total{outcome=\"renewed\"}").await;
    assert!((200..=400).contains(&renewed), "{renewed}: each of 20 in a minute, and not all the time");
    let failed = site.pool.count(PoolEndpoint::TokenRefresh) - renewed;
    assert!((2..=20).contains(&failed), "{failed}: less and less often");
    site.pool.clear_faults();
    for browser in &failing {
        until("they are renewed as soon as that works", async || {
            site.pass(5);
            site.rp.renew_ahead().await;
            left(&site, browser).await > 0
        })
        .await;
    }
}

#[tokio::test]
async fn one_whose_renewal_gets_no_answer_delays_nobody() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "60s")]).await;
    let stalled = signed_in(&site, "erin", 12).await;
    let healthy = signed_in(&site, "jane", 12).await;
    site.pool.fault_refreshes_of("erin", Fault::Stall);
    site.pass(3_500);
    for browser in stalled.iter().chain(&healthy) {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    let renewing = async {
        while site.clock.now() > at(0) {
            site.rp.renew_ahead().await;
        }
    };
    let renewed = async {
        for browser in &healthy {
            until("it is renewed", async || left(&site, browser).await > 1_000).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(40), async {
        tokio::select! { () = renewed => {}, () = renewing => {} }
    });
    assert!(in_time.await.is_ok(), "long before the first one is given up");
}

#[tokio::test]
async fn the_search_goes_on_as_soon_as_one_gets_through() {
    let site = Site::start().await;
    let browsers = signed_in(&site, "jane", 40).await;
    site.pass(3_500);
    site.pool.fault(PoolEndpoint::TokenRefresh, broken());
    for browser in &browsers {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    for _ in 0..20 {
        site.rp.renew_ahead().await;
    }
    let asked = site.pool.count(PoolEndpoint::TokenRefresh);
    assert!((1..=16).contains(&asked), "nobody hammers: {asked}");
    site.pool.clear_faults();
    until("all are renewed after a rest", async || {
        site.pass(1);
        site.rp.renew_ahead().await;
        let mut all = true;
        for browser in &browsers {
            all &= left(&site, browser).await > 1_000;
        }
        all
    })
    .await;
}
