//! How many sessions a user has at most.

use super::signed_in;
use crate::fleet::{Fleet, PATIENT};
use crate::support::redis::Redis;
use crate::support::{Site, until};

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
    browsers[3].sign_in(&site, "jane").await;
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
async fn the_oldest_session_of_a_user_ends_in_redis() {
    let Some(redis) = Redis::start().await else { return };
    keeps_to_three(&[("SESSION__STORE", &format!("redis://{}", redis.at())), PATIENT]).await;
}

#[tokio::test]
async fn zero_is_no_limit() {
    let site = Site::with(&[("SESSION__PER_USER", "0")]).await;
    for browser in signed_in(&site, "jane", 105).await {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_keep_to_it_together() {
    let Some(redis) = Redis::start().await else { return };
    let store = format!("redis://{}", redis.at());
    let fleet = Fleet::with(3, &store, &[PATIENT, ("SESSION__PER_USER", "3")]).await;
    let browsers = futures_util::future::join_all((0..9).map(|_| fleet.sign_in("jane")));
    let browsers = browsers.await;
    until("three are left, at every process", async || {
        let mut alive = [0; 3];
        for browser in &browsers {
            for (nth, alive) in alive.iter_mut().enumerate() {
                *alive += usize::from(fleet.validate(nth, browser).await == 200);
            }
        }
        alive == [3; 3]
    })
    .await;
    until("and at the provider", async || fleet.pool.live_refresh_tokens() == 3).await;
}
