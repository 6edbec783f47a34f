//! Endings are final: whatever the store loses, as long as one process that was told is left, or the data is.

use super::{Fleet, at, durable};
use crate::support::redis::Redis;
use crate::support::{Browser, until};
use reqwest::Method;

const FORWARDED: (&str, &str) = ("GATEWAY__FORWARD_TOKENS", "access_token,id_token");

async fn kill(fleet: &mut Fleet, nth: usize) {
    let mut service = fleet.services.remove(nth);
    service.child.kill().unwrap();
    service.child.wait().unwrap();
}

/// Somebody signed in, known to every process, and her tokens.
async fn known(fleet: &Fleet) -> (Browser, Vec<String>) {
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    let known = fleet.ask(0, &jane, Method::GET, "/validate").await;
    let tokens = ["x-auth-access-token", "x-auth-id-token"].map(|name| known.header(name).unwrap().to_owned());
    for nth in 0..fleet.services.len() {
        for token in &tokens {
            // For a moment after a loss nobody can say that a token is not revoked.
            until("her tokens count", async || bearer(fleet, nth, token).await == 200).await;
        }
    }
    (jane, tokens.into())
}

async fn bearer(fleet: &Fleet, nth: usize, token: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}/validate", fleet.services[nth].port());
    Browser::new().send(Method::GET, &url, |request| request.bearer_auth(token)).await.status
}

/// Nobody says 200, now and once everything has settled.
async fn stays_out(fleet: &Fleet, browser: &Browser, tokens: &[String]) {
    for _ in 0..20 {
        for nth in 0..fleet.services.len() {
            assert_ne!(fleet.validate(nth, browser).await, 200);
            for token in tokens {
                assert_ne!(bearer(fleet, nth, token).await, 200, "a token of an ended session");
            }
        }
    }
    fleet.all_say("signed out", 401, browser).await;
    for nth in 0..fleet.services.len() {
        assert_eq!(fleet.refresh(nth, browser).await.status, 401);
        for token in tokens {
            until("refused", async || bearer(fleet, nth, token).await == 401).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn an_emptied_store_and_a_dead_process_bring_nobody_back() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::with(3, &at(&redis), &[FORWARDED]).await;
    for _ in 0..5 {
        let (gone, tokens) = known(&fleet).await;
        let (stays, _) = known(&fleet).await;
        assert_eq!(fleet.sign_out(2, &gone).await, 303);
        fleet.all_say("told", 401, &gone).await;
        redis.ask::<()>("FLUSHALL").await;
        stays_out(&fleet, &gone, &tokens).await;
        fleet.all_say("nobody else is signed out", 200, &stays).await;
    }
    let (gone, tokens) = known(&fleet).await;
    assert_eq!(fleet.sign_out(2, &gone).await, 303);
    fleet.all_say("told", 401, &gone).await;
    kill(&mut fleet, 2).await;
    redis.ask::<()>("FLUSHALL").await;
    stays_out(&fleet, &gone, &tokens).await;
    // A second fault: only the store remembers now, then only the other process.
    kill(&mut fleet, 1).await;
    stays_out(&fleet, &gone, &tokens).await;
    redis.ask::<()>("FLUSHALL").await;
    stays_out(&fleet, &gone, &tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_restart_without_data_brings_nobody_back_and_signs_nobody_out() {
    let mut redis = Redis::start().await;
    let mut fleet = Fleet::with(3, &at(&redis), &[FORWARDED]).await;
    let (gone, tokens) = known(&fleet).await;
    let (stays, _) = known(&fleet).await;
    assert_eq!(fleet.sign_out(2, &gone).await, 303);
    fleet.all_say("told", 401, &gone).await;
    kill(&mut fleet, 2).await;
    redis.kill();
    fleet.all_say("an ending needs no store", 401, &gone).await;
    fleet.all_say("nothing else is known for sure", 503, &stays).await;
    assert!(redis.up().await);
    fleet.all_say("nobody is signed out", 200, &stays).await;
    stays_out(&fleet, &gone, &tokens).await;
    assert_eq!(fleet.refresh(0, &stays).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_restart_that_loses_the_last_seconds_brings_nobody_back() {
    let mut redis = durable().await;
    let mut fleet = Fleet::with(3, &at(&redis), &[FORWARDED]).await;
    let (gone, tokens) = known(&fleet).await;
    // From here on nothing is written to the disk.
    redis.ask::<()>("CONFIG SET appendfsync no").await;
    redis.ask::<()>("BGREWRITEAOF").await;
    until("all before is on disk", async || {
        redis.ask::<String>("INFO persistence").await.contains("aof_rewrite_in_progress:0")
    })
    .await;
    let kept = redis.copy_of_data();
    assert_eq!(fleet.sign_out(2, &gone).await, 303);
    fleet.all_say("told", 401, &gone).await;
    kill(&mut fleet, 2).await;
    redis.kill();
    redis.replace_data(kept);
    assert!(redis.up().await);
    stays_out(&fleet, &gone, &tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn what_an_operator_ended_from_a_shell_stays_ended() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[FORWARDED]).await;
    let (gone, tokens) = known(&fleet).await;
    let sub = fleet.ask(0, &gone, Method::GET, "/validate").await.json()["sub"].as_str().unwrap().to_owned();
    let ended = fleet.command().args(["sessions", "end", "--sub", &sub]).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    fleet.all_say("told", 401, &gone).await;
    redis.ask::<()>("FLUSHALL").await;
    stays_out(&fleet, &gone, &tokens).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn what_the_store_evicts_is_written_back() {
    let redis = Redis::start().await;
    let fleet = Fleet::with(2, &at(&redis), &[FORWARDED]).await;
    let (gone, tokens) = known(&fleet).await;
    let (stays, _) = known(&fleet).await;
    assert_eq!(fleet.sign_out(1, &gone).await, 303);
    fleet.all_say("told", 401, &gone).await;
    // As an eviction does: keys go one by one, and each is announced.
    for kind in ["d", "m", "s"] {
        let _: u64 = redis
            .ask(&format!("EVAL return(redis.call('DEL',unpack(redis.call('KEYS','auth-api:{kind}:*')))) 0"))
            .await;
    }
    fleet.all_say("nobody is signed out", 200, &stays).await;
    stays_out(&fleet, &gone, &tokens).await;
    until("the tombstone is there again", async || !redis.ask::<Vec<String>>("KEYS auth-api:d:*").await.is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn the_end_of_all_sessions_outlives_processes_and_data() {
    let redis = Redis::start().await;
    let mut fleet = Fleet::with(2, &at(&redis), &[FORWARDED]).await;
    let (jane, tokens) = known(&fleet).await;
    let ended = fleet.command().args(["sessions", "end", "--all"]).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    stays_out(&fleet, &jane, &tokens).await;
    until("an authentication of a later second counts", async || {
        let browser = fleet.sign_in("erin").await;
        fleet.validate(0, &browser).await == 200
    })
    .await;
    let (erin, _) = known(&fleet).await;
    assert!(fleet.launch(crate::support::free_port()));
    stays_out(&fleet, &jane, &tokens).await;
    redis.ask::<()>("FLUSHALL").await;
    stays_out(&fleet, &jane, &tokens).await;
    fleet.all_say("who signed in since then stays", 200, &erin).await;
    // Now only the store remembers, and then only the other process.
    kill(&mut fleet, 2).await;
    fleet.restart(1);
    kill(&mut fleet, 0).await;
    stays_out(&fleet, &jane, &tokens).await;
    redis.ask::<()>("FLUSHALL").await;
    stays_out(&fleet, &jane, &tokens).await;
    assert!(fleet.launch(crate::support::free_port()));
    kill(&mut fleet, 0).await;
    stays_out(&fleet, &jane, &tokens).await;
}
