//! One rate for all processes on a Redis.

use crate::support::redis::Redis;
use auth_api::store::{Permits, RateLimit};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs redis-server"]
async fn three_processes_have_one_rate() {
    let redis = Redis::start().await;
    let limit = RateLimit { name: "shared", per_second: 50, burst: 5 };
    let stores = [redis.store(), redis.store(), redis.store()];
    let began = Instant::now();
    let taken = join_all(stores.iter().map(async |store| {
        let mut taken = Vec::new();
        while began.elapsed() < Duration::from_secs(2) {
            match store.acquire(limit, 30, Duration::from_millis(100)).await.unwrap() {
                Permits::Granted(waits) => taken.extend(waits.into_iter().map(|wait| began.elapsed() + wait)),
                Permits::Exhausted(wait) => tokio::time::sleep(wait).await,
                Permits::BackOff(_) => panic!("nobody asked for it"),
            }
        }
        taken
    }))
    .await;
    let all = taken.iter().flatten().count();
    let most = began.elapsed().as_secs_f64() * 50.0 + 5.0 + 6.0;
    assert!((all as f64) <= most, "{all} of {most}");
    assert!(all >= 50, "and the rate is had: {all}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_rest_is_for_every_process_and_leaves_nothing_behind() {
    let redis = Redis::start().await;
    let limit = RateLimit { name: "rested", per_second: 50, burst: 5 };
    let (here, there) = (redis.store(), redis.store());
    assert!(matches!(there.acquire(limit, 1, Duration::ZERO).await.unwrap(), Permits::Granted(_)));
    here.back_off(limit, Duration::from_secs(60)).await.unwrap();
    assert!(matches!(there.acquire(limit, 1, Duration::ZERO).await.unwrap(), Permits::BackOff(_)));
    let names: Vec<String> = redis.ask("KEYS test:*").await;
    assert!(!names.is_empty());
    for name in names {
        let left: i64 = redis.ask(&format!("TTL {name}")).await;
        assert!((0..=61).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_limit_of_a_server_whose_clock_was_wrong_holds_up_nobody() {
    let redis = Redis::start().await;
    let limit = RateLimit { name: "clock", per_second: 50, burst: 5 };
    let store = redis.store();
    redis.ask::<u64>("HSET test:r:{clock} arrival 9000000000000000 rests 9000000000000000").await;
    assert!(matches!(store.acquire(limit, 1, Duration::ZERO).await.unwrap(), Permits::Granted(_)));
}
