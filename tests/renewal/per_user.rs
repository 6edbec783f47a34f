//! How many sessions a user has at most.

use super::signed_in;
use crate::fleet::{Fleet, PATIENT};
use crate::support::redis::Redis;
use crate::support::{Browser, Site, until};
use futures_util::future::join_all;
use reqwest::Method;

/// Signs in again and again: the oldest ends, and no other user's.
async fn keeps_to_three(configuration: &[(&str, &str)]) {
    let mut settings = vec![("SESSION__PER_USER", "3")];
    settings.extend_from_slice(configuration);
    let site = Site::with(&settings).await;
    let erin = signed_in(&site, "erin", 1).await;
    let mut browsers = Vec::new();
    for nth in 0..5 {
        browsers.extend(signed_in(&site, "jane", 1).await);
        // Else which is the oldest is not known.
        site.pass(2);
        for (index, browser) in browsers.iter().enumerate() {
            let status = if index + 3 > nth { 200 } else { 401 };
            assert_eq!(browser.validate(&site).await.status, status, "{index} of {nth}");
        }
    }
    assert_eq!(erin[0].validate(&site).await.status, 200);
    until("what ended is revoked at the provider", async || site.pool.live_refresh_tokens() == 4).await;
    // A browser that signs in again replaces its own.
    let callback = browsers[3].to_callback(&site, "prompt=login", "jane").await;
    assert_eq!(browsers[3].get(&callback).await.status, 302);
    for browser in &browsers[2..] {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
}

#[tokio::test]
async fn the_oldest_session_of_a_user_ends_in_memory() {
    keeps_to_three(&[]).await;
}

#[tokio::test]
async fn the_oldest_session_of_a_user_ends_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("redb:{}", folder.path().join("s.redb").display());
    keeps_to_three(&[("SESSION__STORE", &store)]).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn the_oldest_session_of_a_user_ends_in_redis() {
    let redis = Redis::start().await;
    keeps_to_three(&[("SESSION__STORE", &format!("redis://{}", redis.at())), PATIENT]).await;
}

#[tokio::test]
async fn zero_is_no_limit() {
    let site = Site::with(&[("SESSION__PER_USER", "0")]).await;
    for browser in signed_in(&site, "jane", 105).await {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
}

/// Signs in at one of the processes; the session cookie, unless others have replaced the session by then.
async fn sign_in_at(fleet: &Fleet, nth: usize) -> Option<String> {
    let browser = Browser::new();
    let authorize = browser.get(&format!("{}/auth/signin", fleet.services[0].url)).await.location();
    let callback = browser.log_in(&authorize, "jane").await;
    let path = callback.strip_prefix(&fleet.services[0].url).unwrap();
    let answer = fleet.ask(nth, &browser, Method::GET, path).await;
    assert!([302, 400].contains(&answer.status), "{answer:?}");
    let set = (answer.status == 302).then(|| answer.set_cookies("auth=").remove(0))?;
    Some(set.split(';').next().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn processes_keep_to_it_together() {
    let redis = Redis::start().await;
    let store = format!("redis://{}", redis.at());
    let fleet = Fleet::with(3, &store, &[PATIENT, ("SESSION__PER_USER", "3")]).await;
    let cookies: Vec<_> = join_all((0..9).map(|nth| sign_in_at(&fleet, nth % 3))).await.into_iter().flatten().collect();
    for nth in 0..3 {
        let url = format!("http://127.0.0.1:{}/validate", fleet.services[nth].port());
        until("three are left, at every process", async || {
            let asked = cookies.iter().map(async |cookie| {
                Browser::new().send(Method::GET, &url, |request| request.header("cookie", cookie)).await.status
            });
            let statuses = join_all(asked).await;
            assert!(statuses.iter().all(|status| [200, 401].contains(status)), "{statuses:?}");
            statuses.iter().filter(|status| **status == 200).count() == 3
        })
        .await;
    }
    until("and at the provider", async || fleet.pool.live_refresh_tokens() == 3).await;
}
