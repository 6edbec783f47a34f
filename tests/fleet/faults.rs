//! Redis stopped, slow, read-only, emptied, restarted, and replaced. Nobody with a session is signed out, and
//! nobody who signed out gets back in.

use super::{Fleet, at, durable};
use crate::redis_store::sentinels;
use crate::support::redis::Redis;
use crate::support::{Browser, until};
use auth_api::dev::pool::PoolEndpoint;
use reqwest::Method;
use std::time::{Duration, Instant};

/// What a session that goes on may be answered: known, or try again.
async fn never_signed_out(fleet: &Fleet, browser: &Browser, for_how_long: Duration) {
    let until = Instant::now() + for_how_long;
    while Instant::now() < until {
        for nth in 0..fleet.services.len() {
            let status = fleet.validate(nth, browser).await;
            assert!(status == 200 || status == 503, "{status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn redis_stops_and_comes_back() {
    let mut redis = durable().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    let (jane, gone) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("both are known", 200, &jane).await;
    assert_eq!(fleet.sign_out(1, &gone).await, 303);
    redis.kill();
    fleet.all_say("after a moment, nothing is known for sure", 503, &jane).await;
    assert_eq!(fleet.sign_out(0, &jane).await, 503, "nobody is told that it worked");
    assert_eq!(fleet.refresh(0, &jane).await.status, 503);
    assert_eq!(fleet.try_sign_in(&Browser::new(), "erin").await.status, 503);
    for service in &fleet.services {
        let ready = Browser::new().get(&format!("{}/readyz?strict=true", service.ops)).await;
        assert!(ready.status == 503 && ready.body.contains("session store"), "{}", ready.body);
    }
    assert!(redis.up().await);
    fleet.all_say("she is back", 200, &jane).await;
    fleet.all_say("he is not", 401, &gone).await;
    assert_eq!(fleet.refresh(0, &jane).await.status, 200, "once it is clear that nothing newer was lost");
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    fleet.all_say("and sign-outs count again", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_longer_max_stale_bridges_an_outage() {
    let mut redis = durable().await;
    let fleet = Fleet::with(1, &at(&redis), &[("SESSION__MAX_STALE", "10m")]).await;
    let (jane, stranger) = (fleet.sign_in("jane").await, Browser::new());
    stranger.plant(&fleet.services[0].url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost");
    fleet.all_say("she is known", 200, &jane).await;
    until("the process hears of changes", async || {
        let metrics = Browser::new().get(&format!("{}/metrics", fleet.services[0].ops)).await.body;
        !metrics.contains("auth_api_revocation_lag_seconds_count 0")
    })
    .await;
    assert_eq!(fleet.validate(0, &jane).await, 200);
    redis.kill();
    until("it is noticed", async || fleet.validate(0, &stranger).await == 503).await;
    for _ in 0..50 {
        assert_eq!(fleet.validate(0, &jane).await, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_redis_that_hangs_makes_nobody_wait() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    redis.pause();
    never_signed_out(&fleet, &jane, Duration::from_secs(2)).await;
    fleet.all_say("nothing is known for sure", 503, &jane).await;
    redis.resume();
    fleet.all_say("it goes on", 200, &jane).await;
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    fleet.all_say("and she can sign out", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_redis_that_takes_no_writes_signs_nobody_out() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    redis.ask::<()>("CONFIG SET min-replicas-to-write 1").await;
    never_signed_out(&fleet, &jane, Duration::from_secs(1)).await;
    assert_eq!(fleet.sign_out(0, &jane).await, 503);
    assert_eq!(fleet.refresh(1, &jane).await.status, 503);
    assert_eq!(fleet.try_sign_in(&Browser::new(), "erin").await.status, 503);
    fleet.all_say("she still is", 200, &jane).await;
    redis.ask::<()>("CONFIG SET min-replicas-to-write 0").await;
    until("renewals work again", async || fleet.refresh(1, &jane).await.status == 200).await;
    until("she can sign out", async || fleet.sign_out(0, &jane).await == 303).await;
    fleet.all_say("and is out", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn an_emptied_redis_is_filled_again_with_who_is_signed_in_and_nobody_else() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(2, &at(&redis)).await;
    let (jane, gone, late) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await, fleet.sign_in("jane").await);
    for browser in [&jane, &gone, &late] {
        until("known at the first", async || fleet.validate(0, browser).await == 200).await;
    }
    fleet.hears(0).await;
    for browser in [&jane, &gone, &late] {
        assert_eq!(fleet.validate(0, browser).await, 200);
    }
    assert_eq!(fleet.sign_out(1, &gone).await, 303);
    redis.ask::<()>("FLUSHALL").await;
    assert_eq!(fleet.sign_out(1, &late).await, 303, "right behind it");
    never_signed_out(&fleet, &jane, Duration::from_secs(3)).await;
    fleet.all_say("she is there, also where she was not known", 200, &jane).await;
    for browser in [&gone, &late] {
        fleet.all_say("who signed out stays out", 401, browser).await;
    }
    assert_eq!(fleet.refresh(1, &jane).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_session_whose_tokens_are_lost_lasts_as_long_as_its_access_token() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(2, &at(&redis)).await;
    fleet.hears(1).await;
    let (jane, erin) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    for browser in [&jane, &erin] {
        fleet.all_say("known everywhere", 200, browser).await;
    }
    // Who wrote her tokens, and would write them back, is gone.
    fleet.services[0].child.kill().unwrap();
    fleet.services[0].child.wait().unwrap();
    redis.ask::<()>("FLUSHALL").await;
    let identity = async |browser| fleet.ask(1, browser, Method::GET, "/validate").await.json();
    until("written back without them", async || {
        redis.ask::<Vec<String>>("KEYS *:s:*").await.len() >= 2 && {
            let identity = identity(&jane).await;
            identity["session_expires_at"] == identity["expires_at"]
        }
    })
    .await;
    assert_eq!(redis.ask::<Vec<String>>("KEYS *:t:*").await, [""; 0]);
    assert_eq!(fleet.refresh(1, &jane).await.status, 200, "there is nothing to renew");
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 0);
    assert_eq!(fleet.sign_out(1, &jane).await, 303);
    assert_eq!(fleet.validate(1, &jane).await, 401);
    assert_eq!(fleet.validate(1, &erin).await, 200);
}

/// As a Redis leaves them that evicts what was used least.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_session_whose_tokens_alone_are_gone_ends_with_its_access_token() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(1, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    assert_eq!(fleet.validate(0, &jane).await, 200);
    let [tokens] = &redis.ask::<Vec<String>>("KEYS *:t:*").await[..] else { panic!("one session") };
    assert_eq!(redis.ask::<usize>(&format!("DEL {tokens}")).await, 1);
    until("the renewal notices", async || {
        let answer = fleet.refresh(0, &jane).await;
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        answer.status == 200
    })
    .await;
    let identity = fleet.ask(0, &jane, Method::GET, "/validate").await.json();
    assert_eq!(identity["session_expires_at"], identity["expires_at"]);
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 0, "there is nothing to ask with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn who_is_not_admitted_any_more_and_has_no_tokens_is_signed_out_by_a_renewal() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::start(1, &at(&redis)).await;
    let jane = fleet.sign_in("jane").await;
    fleet.set("POLICY__GROUPS", "nobody");
    fleet.restart(0);
    let [tokens] = &redis.ask::<Vec<String>>("KEYS *:t:*").await[..] else { panic!("one session") };
    assert_eq!(redis.ask::<usize>(&format!("DEL {tokens}")).await, 1);
    until("the renewal notices", async || {
        let answer = fleet.refresh(0, &jane).await;
        assert!([401, 503].contains(&answer.status), "{answer:?}");
        answer.status == 401
    })
    .await;
    assert_eq!(fleet.validate(0, &jane).await, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_sign_out_right_after_a_loss_revokes_the_refresh_token() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(1, &at(&redis)).await;
    fleet.hears(0).await;
    let jane = fleet.sign_in("jane").await;
    until("known", async || fleet.validate(0, &jane).await == 200).await;
    redis.ask::<()>("FLUSHALL").await;
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    until("it is revoked", async || fleet.pool.count(PoolEndpoint::Revoke) == 1).await;
    assert_eq!(fleet.validate(0, &jane).await, 401);
}

/// What a renewal writes follows what the provider gave.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_renewal_leaves_the_refresh_token_in_redis_alone() {
    let redis = Redis::start().await;
    let fleet = Fleet::start(1, &at(&redis)).await;
    let mut known = String::new();
    for (grace, refresh_token_changes) in [(None, false), (Some(0), true)] {
        grace.into_iter().for_each(|seconds| fleet.rotate(seconds));
        let jane = fleet.sign_in("jane").await;
        let names = redis.ask::<Vec<String>>("KEYS *:t:*").await;
        known = names.into_iter().find(|name| *name != known).unwrap();
        let parts = async || {
            let names = format!("MGET {} {known}", known.replace(":t:", ":s:"));
            let [record, tokens] = redis.ask::<[Vec<u8>; 2]>(&names).await;
            let space = tokens.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = String::from_utf8_lossy(&tokens[..space]).parse().unwrap();
            let (access, refresh) = tokens[space + 1..].split_at(length);
            [record, access.to_vec(), refresh.to_vec()]
        };
        let before = parts().await;
        assert_eq!(fleet.refresh(0, &jane).await.status, 200);
        let after = parts().await;
        let changed: Vec<_> = before.iter().zip(&after).map(|(before, after)| before != after).collect();
        assert_eq!(changed, [true, true, refresh_token_changes]);
    }
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenRefresh), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_fail_over_that_forgets_the_last_writes_changes_nothing() {
    let (mut main, replica, sentinels) = sentinels().await;
    let hosts = sentinels.iter().map(|s| format!("127.0.0.1:{}", s.port)).collect::<Vec<_>>().join(",");
    let fleet = Fleet::start(2, &format!("redis+sentinel://{hosts}/main")).await;
    fleet.rotate(0);
    let (jane, gone) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    for browser in [&jane, &gone] {
        fleet.all_say("known everywhere", 200, browser).await;
    }
    main.replicated().await;
    // From here on nothing reaches the replica.
    replica.pause();
    let new = fleet.sign_in("jane").await;
    fleet.all_say("known everywhere", 200, &new).await;
    assert_eq!(fleet.sign_out(0, &gone).await, 303);
    assert_eq!(fleet.refresh(1, &jane).await.status, 200, "her refresh token is another one now");
    main.kill();
    replica.resume();
    until("the replica has taken over", async || {
        let status = fleet.refresh(0, &jane).await.status;
        assert!(status == 200 || status == 503, "the token that the replica has is not spent: {status}");
        status == 200
    })
    .await;
    for browser in [&jane, &new] {
        fleet.all_say("nobody is signed out", 200, browser).await;
    }
    fleet.all_say("who signed out stays out", 401, &gone).await;
}
