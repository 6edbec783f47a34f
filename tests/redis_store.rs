//! Sessions in a real Redis: kept, told, and answered for in time when it is away.

mod cluster;
mod eviction;
mod following;
mod rate_limits;
mod sentinel;
mod tls;

pub(crate) use sentinel::sentinels;

use crate::sessions::keeps_the_contract;
use crate::support::records::{ENDS, key, record};
use crate::support::redis::{KEY, Redis, eventually, store_at, store_with, url};
use crate::support::{at, stored_in, until};
use auth_api::config::{HostPort, RedisServers, RedisUrl, StoreUrl};
use auth_api::domain::clock::{Clock, SystemClock};
use auth_api::domain::store_key::{IndexKey, RevocationKey};
use auth_api::store::{LeaseOutcome, LeaseRelease, RateLimit, SealedSession, SessionStore, UpdateOutcome};
use futures_util::future::join_all;
use std::time::{Duration, Instant};

const LIMIT: RateLimit = RateLimit { name: "test", per_second: 1_000, burst: 10 };
/// The stores' time and some more for a busy machine.
const IN_TIME: Duration = Duration::from_millis(1_500);

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_keeps_the_contract() {
    let redis = Redis::start().await;
    keeps_the_contract(redis.store()).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_user_a_password_and_a_database_are_used() {
    let redis = Redis::with(&["--requirepass", "hunter2"]).await;
    let with = |user: Option<&str>, password: &str| RedisUrl {
        user: user.map(str::to_owned),
        password: Some(password.into()),
        db: 3,
        ..url(RedisServers::One(redis.at()))
    };
    keeps_the_contract(store_at(with(None, "hunter2"))).await;
    keeps_the_contract(store_at(with(Some("default"), "hunter2"))).await;
    let none = store_at(url(RedisServers::One(redis.at()))).ping().await.unwrap_err().to_string();
    assert!(none.contains("NOAUTH") || none.contains("uthentication"), "{none}");
    for url in [with(None, "hunter3"), with(Some("hunter4"), "hunter2")] {
        let shown = format!("{url} {url:?}");
        let store = store_at(url);
        let wrong = store.ping().await.unwrap_err().to_string();
        assert!(wrong.contains("WRONGPASS") || wrong.contains("uthentication"), "{wrong}");
        assert!(wrong.contains(&redis.port.to_string()), "{wrong}");
        assert!(!format!("{wrong} {shown} {store:?}").contains("hunter"), "{wrong} {shown} {store:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_list_holds_any_number_of_sessions() {
    let redis = Redis::start().await;
    let store = redis.store();
    let jane = IndexKey::user("jane");
    let listed = || SealedSession { listed: vec![jane], ..record(1) };
    let keys: Vec<_> = (0..1_500).map(|_| key()).collect();
    for some in keys.chunks(250) {
        assert!(join_all(some.iter().map(|key| store.create(*key, listed()))).await.into_iter().all(Result::unwrap));
    }
    assert_eq!(store.list(jane).await.unwrap().len(), 1_500);
    for some in keys[..700].chunks(250) {
        for deleted in join_all(some.iter().map(|key| store.delete(*key, ENDS))).await {
            assert!(deleted.unwrap().is_some());
        }
    }
    assert_eq!(store.list(jane).await.unwrap().len(), 800);
    let index = index(&redis).await;
    assert_eq!(redis.ask::<u64>(&format!("ZCARD {index}")).await, 800, "a delete takes it off the list");
}

async fn index(redis: &Redis) -> String {
    let all: Vec<String> = redis.ask("KEYS test:i:*").await;
    all.into_iter().next().unwrap()
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_list_forgets_what_has_no_record_and_regains_what_it_lost() {
    let redis = Redis::start().await;
    let store = redis.store();
    let (jane, lost, gone) = (IndexKey::user("jane"), key(), key());
    let listed = |version| SealedSession { listed: vec![jane], ..record(version) };
    assert!(store.create(lost, listed(1)).await.unwrap() && store.create(gone, listed(1)).await.unwrap());
    let index = index(&redis).await;
    let _: u64 = redis.ask("EVAL return(redis.call('DEL',unpack(redis.call('KEYS','test:s:*')))) 0").await;
    assert_eq!(store.list(jane).await.unwrap(), []);
    assert_eq!(redis.ask::<u64>(&format!("ZCARD {index}")).await, 2, "their records may be on their way");
    let members: Vec<Vec<u8>> = redis.ask(&format!("ZRANGE {index} 0 -1")).await;
    for member in members {
        let mut command = redis::cmd("ZINCRBY");
        command.arg(&index).arg(-61).arg(member);
        command.exec_async(&mut redis.connection().await).await.unwrap();
    }
    assert_eq!(store.list(jane).await.unwrap(), []);
    assert_eq!(redis.ask::<u64>(&format!("EXISTS {index}")).await, 0, "nothing is on its way for a minute");

    let kept = key();
    assert!(store.create(kept, listed(1)).await.unwrap());
    redis.ask::<u64>(&format!("DEL {index}")).await;
    assert_eq!(store.update(kept, 1, listed(2), None).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(store.list(jane).await.unwrap(), [(kept, listed(2))]);
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn everything_expires_by_itself_and_in_use_it_does_not() {
    let redis = Redis::start().await;
    // That many seconds from now.
    let later = |seconds| SystemClock.now() + Duration::from_secs(seconds);
    let mut config = stored_in(StoreUrl::Redis(url(RedisServers::One(redis.at()))));
    let session =
        |last_used| SealedSession { last_used, ends: later(10_000), listed: vec![IndexKey::user("jane")], ..record(1) };
    let ttl = async |name: &str| -> i64 {
        let names: Vec<String> = redis.ask(&format!("KEYS {name}")).await;
        assert_eq!(names.len(), 1, "{names:?}");
        redis.ask(&format!("TTL {}", names[0])).await
    };
    let (a, b) = (key(), key());
    let near = |ttl: i64, expected: i64| (expected - 5..=expected).contains(&ttl);
    let store = store_with(config.clone(), &[KEY]);
    assert!(store.create(a, session(later(0))).await.unwrap());
    store.touch(vec![(a, later(3_000))]).await.unwrap();
    assert!(near(ttl("test:s:*").await, 10_120) && near(ttl("test:u:*").await, 10_120));
    assert!(near(ttl("test:i:*").await, 10_120));
    assert!(matches!(store.lease(a, Duration::from_secs(9)).await.unwrap(), LeaseOutcome::Taken { .. }));
    assert!(near(ttl("test:l:*").await, 10_120), "one that is abandoned is told as long as the session lasts");
    store.delete(a, later(50)).await.unwrap();
    assert!(near(ttl("test:d:*").await, 3_600), "for a while at least");
    store.delete(a, later(10_000)).await.unwrap();
    store.delete(a, later(50)).await.unwrap();
    assert!(near(ttl("test:d:*").await, 10_120), "as long as the session would have lasted");
    assert!(store.revoke(RevocationKey::token("t"), later(50)).await.unwrap());
    assert!(!store.revoke(RevocationKey::token("t"), later(90)).await.unwrap());
    assert!(near(ttl("test:m:*").await, 210));

    config.idle = Some(Duration::from_secs(1_000));
    let store = store_with(config, &[KEY]);
    assert!(store.create(b, session(later(0))).await.unwrap());
    assert!(near(ttl("test:s:*").await, 2_120), "twice the idle time");
    store.touch(vec![(b, later(500))]).await.unwrap();
    assert!(near(ttl("test:s:*").await, 2_120) && near(ttl("test:u:*").await, 2_620));
    store.touch(vec![(b, later(7_000))]).await.unwrap();
    let name: Vec<String> = redis.ask("KEYS test:s:*").await;
    redis.ask::<u64>(&format!("EXPIRE {} 900", name[0])).await;
    store.touch(vec![(b, later(7_500))]).await.unwrap();
    assert!(near(ttl("test:s:*").await, 9_620));
    store.touch(vec![(b, later(9_500))]).await.unwrap();
    assert_eq!(
        store.update(b, 1, SealedSession { version: 2, ..session(later(0)) }, None).await.unwrap(),
        UpdateOutcome::Done
    );
    assert!(near(ttl("test:s:*").await, 10_120), "not beyond its end, and by its last use");
    // The clock of the server is not the judge.
    assert!(
        store.create(a, SealedSession { ends: later(0) - Duration::from_secs(60), ..session(at(0)) }).await.is_ok()
    );
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_lease_in_doubt_outlives_the_process() {
    let redis = Redis::start().await;
    let key = key();
    let store = redis.store();
    assert!(store.create(key, record(1)).await.unwrap());
    let LeaseOutcome::Taken { fencing_token, .. } = store.lease(key, Duration::from_secs(9)).await.unwrap() else {
        panic!("free")
    };
    store.release(key, fencing_token, LeaseRelease::OutcomeUnknown(Duration::ZERO)).await.unwrap();
    drop(store);
    let taken = redis.store().lease(key, Duration::from_secs(9)).await.unwrap();
    assert!(matches!(taken, LeaseOutcome::Taken { abandoned: true, .. }), "{taken:?}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn sessions_under_other_keys_are_told_apart() {
    let redis = Redis::start().await;
    const OTHER: &[u8] = b"another key for the tests, 32 bytes+++";
    let at = |prefix: &str| {
        stored_in(StoreUrl::Redis(RedisUrl { prefix: prefix.into(), ..url(RedisServers::One(redis.at())) }))
    };
    store_with(at("a"), &[KEY]).ping().await.unwrap();
    let wrong = store_with(at("a"), &[OTHER]).ping().await.unwrap_err().to_string();
    assert!(wrong.contains("other cookies.keys") && wrong.contains("`a`"), "{wrong}");
    store_with(at("b"), &[OTHER]).ping().await.unwrap();
    // A rotation: the new key first, the old one still there; then the old one can go.
    store_with(at("a"), &[OTHER, KEY]).ping().await.unwrap();
    store_with(at("a"), &[OTHER]).ping().await.unwrap();
    redis.ask::<()>("FLUSHALL").await;
    let first = store_with(at("a"), &[KEY]);
    let many = join_all((0..20).map(|_| first.ping())).await;
    assert!(many.iter().all(Result::is_ok), "{many:?}");
}

/// Every method, none of which takes longer than the store's time.
async fn all_in_time(store: &dyn SessionStore) -> Vec<bool> {
    let (key, mark, revocation) = (key(), IndexKey::user("x"), RevocationKey::token("x"));
    let fencing_token = auth_api::store::FencingToken(1);
    let timed = async |what: &str, call: std::pin::Pin<Box<dyn Future<Output = bool> + Send + '_>>| {
        let begun = Instant::now();
        let ok = call.await;
        assert!(begun.elapsed() < IN_TIME, "{what} took {:?}", begun.elapsed());
        ok
    };
    let all = [
        timed(
            "create",
            Box::pin(async { store.create(key, SealedSession { listed: vec![mark], ..record(1) }).await.is_ok() }),
        ),
        timed("load", Box::pin(async { store.load(key).await.is_ok() })),
        timed("update", Box::pin(async { store.update(key, 1, record(2), None).await.is_ok() })),
        timed("touch", Box::pin(async { store.touch(vec![(key, at(1)); 300]).await.is_ok() })),
        timed("delete", Box::pin(async { store.delete(key, ENDS).await.is_ok() })),
        timed("listed", Box::pin(async { store.list(mark).await.is_ok() })),
        timed("lease", Box::pin(async { store.lease(key, IN_TIME).await.is_ok() })),
        timed("extend", Box::pin(async { store.extend(key, fencing_token, IN_TIME).await.is_ok() })),
        timed("release", Box::pin(async { store.release(key, fencing_token, LeaseRelease::Free).await.is_ok() })),
        timed("mark", Box::pin(async { store.revoke(revocation, ENDS).await.is_ok() })),
        timed("is_marked", Box::pin(async { store.is_revoked(revocation).await.is_ok() })),
        timed("ping", Box::pin(async { store.ping().await.is_ok() })),
        timed("acquire", Box::pin(async { store.acquire(LIMIT, 1, Duration::ZERO).await.is_ok() })),
        timed("back_off", Box::pin(async { store.back_off(LIMIT, Duration::ZERO).await.is_ok() })),
        timed("warnings", Box::pin(async { store.warnings().await.is_ok() })),
    ];
    join_all(all).await
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_hangs_is_not_waited_for() {
    let redis = Redis::start().await;
    let store = redis.store();
    assert!(all_in_time(&*store).await.into_iter().all(|ok| ok));
    redis.pause();
    for _ in 0..3 {
        assert!(all_in_time(&*store).await.into_iter().all(|ok| !ok));
    }
    redis.resume();
    until("it answers again", async || store.ping().await.is_ok()).await;
    assert!(all_in_time(&*store).await.into_iter().all(|ok| ok));
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_is_away_costs_no_time_and_comes_back() {
    let mut redis = Redis::with(&["--appendonly", "yes"]).await;
    let store = redis.store();
    let kept = key();
    assert!(store.create(kept, record(1)).await.unwrap());
    redis.kill();
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(store.load(kept).await.is_err());
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(redis.up().await);
    until("it answers again", async || store.ping().await.is_ok()).await;
    assert_eq!(store.load(kept).await.unwrap(), Some(record(1)));
    // It lost its scripts.
    redis.ask::<()>("SCRIPT FLUSH").await;
    assert!(all_in_time(&*store).await.into_iter().all(|ok| ok));
    // A connection that was cut is not noticed before it is used.
    redis.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
    assert_eq!(store.load(kept).await.unwrap(), Some(record(1)), "what is harmless is done again");
}

#[tokio::test]
async fn a_service_can_start_before_its_store() {
    let nowhere = HostPort { host: "127.0.0.1".into(), port: crate::support::free_port() };
    let store = store_at(url(RedisServers::One(nowhere.clone())));
    let why = store.ping().await.unwrap_err().to_string();
    assert!(why.contains(&nowhere.to_string()) && why.contains("refused"), "{why}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_read_only_replica_is_no_store() {
    let redis = Redis::start().await;
    let main = Redis::start().await;
    let store = redis.store();
    store.ping().await.unwrap();
    redis.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", main.port)).await;
    let why = store.ping().await.unwrap_err().to_string();
    assert!(why.contains("read-only") || why.contains("LOADING") || why.contains("MASTERDOWN"), "{why}");
    eventually("it is in step", async || {
        redis.ask::<String>("INFO replication").await.contains("master_link_status:up")
    })
    .await;
    let why = store.ping().await.unwrap_err().to_string();
    assert!(why.contains("read-only"), "{why}");
    let why = store.create(key(), record(1)).await.unwrap_err().to_string();
    assert!(why.contains("READONLY") || why.contains("ReadOnly"), "{why}");
    redis.ask::<()>("REPLICAOF NO ONE").await;
    store.ping().await.unwrap();
}
