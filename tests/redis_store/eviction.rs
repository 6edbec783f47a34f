//! A Redis that drops what it was given is named, before anything is lost.

use crate::fleet::{Fleet, PATIENT};
use crate::support::Browser;
use crate::support::redis::{Redis, eventually, store_at, url};
use auth_api::config::{RedisServers, RedisUrl};
use auth_api::store::Warning;

#[tokio::test]
#[ignore = "needs redis-server"]
async fn every_policy_but_noeviction_is_named() {
    let redis = Redis::with(&["--maxmemory", "100mb"]).await;
    let store = redis.store();
    assert_eq!(store.warnings().await.unwrap(), []);
    for policy in ["volatile-lru", "allkeys-lru", "volatile-ttl", "allkeys-random"] {
        redis.ask::<()>(&format!("CONFIG SET maxmemory-policy {policy}")).await;
        let warnings = store.warnings().await.unwrap();
        let server = redis.at().to_string();
        assert_eq!(warnings, [Warning::Eviction { server: server.clone(), policy: policy.into() }]);
        let sentence = warnings[0].to_string();
        for word in [&server, policy, "noeviction", "parameter group"] {
            assert!(sentence.contains(word), "{sentence}");
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_forbids_config_is_read_all_the_same_and_one_that_forbids_info_is_named() {
    let redis = Redis::with(&["--maxmemory-policy", "volatile-lru"]).await;
    let store = |user: &str| {
        let (user, password) = (Some(user.to_owned()), Some("secret-word".into()));
        store_at(RedisUrl { user, password, ..url(RedisServers::One(redis.at())) })
    };
    redis.ask::<()>("ACL SETUSER managed on >secret-word ~* &* +@all -config").await;
    let warnings = store("managed").warnings().await.unwrap();
    assert!(matches!(warnings.as_slice(), [Warning::Eviction { .. }]), "{warnings:?}");
    redis.ask::<()>("ACL SETUSER narrow on >secret-word ~* &* +@all -@dangerous").await;
    let warnings = store("narrow").warnings().await.unwrap();
    assert!(matches!(warnings.as_slice(), [Warning::EvictionUnknown { .. }]), "{warnings:?}");
    assert!(warnings[0].to_string().contains("INFO"), "{warnings:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn the_service_says_so_at_its_start_and_in_a_metric() {
    let redis = Redis::with(&["--maxmemory-policy", "volatile-lru"]).await;
    let store = format!("redis://{}", redis.at());
    let mut fleet = Fleet::with(1, &store, &[PATIENT]).await;
    let url = format!("{}/metrics", fleet.services[0].ops);
    let says = |text: &str| text.lines().any(|line| line == "auth_api_store_warnings{kind=\"eviction\"} 1");
    eventually("the metric says so", async || says(&Browser::new().get(&url).await.body)).await;
    redis.ask::<()>("CONFIG SET maxmemory-policy noeviction").await;
    fleet.services[0].child.kill().unwrap();
    let log = fleet.services[0].log();
    let line = log.lines().find(|line| line.contains("volatile-lru")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("WARN") && line.contains("noeviction"), "{line}");
}
