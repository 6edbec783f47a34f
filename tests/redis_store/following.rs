//! Hearing of what others change.

use super::{ENDS, IN_TIME, key, record};
use crate::support::listener::{Heard, caught_up, follow};
use crate::support::redis::{Redis, store_at, url};
use crate::support::until;
use auth_api::config::{HostPort, RedisServers};
use auth_api::domain::store_key::{IndexKey, RevocationKey};
use auth_api::store::{Error, UpdateOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::Instant;

#[tokio::test]
#[ignore = "needs redis-server"]
async fn changes_by_others_are_told_and_uses_are_not() {
    let redis = Redis::start().await;
    let (ours, theirs) = (redis.store(), redis.store());
    let (heard, task) = follow(ours.clone()).await;
    let (a, b, mark) = (key(), key(), RevocationKey::token("t"));
    for (what, store) in [("others", &theirs), ("ourselves", &ours)] {
        let (a, mark) = if what == "others" { (a, mark) } else { (b, RevocationKey::token("u")) };
        assert!(store.create(a, record(1)).await.unwrap());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().changed), [a], "created by {what}");
        store.touch(vec![(a, ENDS)]).await.unwrap();
        let _ = store.lease(a, Duration::from_secs(9)).await.unwrap();
        let _ = store.list(IndexKey::user("jane")).await.unwrap();
        caught_up(&heard).await;
        assert_eq!(heard.said().changed, [], "used by {what}");
        assert_eq!(store.update(a, 1, record(2), None).await.unwrap(), UpdateOutcome::Done);
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().changed), [a], "updated by {what}");
        assert!(store.revoke(mark, ENDS).await.unwrap());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().marked), [mark], "marked by {what}");
        assert!(store.delete(a, ENDS).await.unwrap().is_some());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().changed), [a], "deleted by {what}");
        assert_eq!(std::mem::take(&mut heard.said().ended), [a], "ended by {what}");
        assert!(store.delete(a, ENDS).await.unwrap().is_none());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().ended), [a], "some may have at hand what was lost");
    }
    until("the lag is measured", async || heard.said().lag.is_some_and(|lag| lag < IN_TIME)).await;
    assert_eq!(heard.said().emptied, 0);
    redis.ask::<()>("FLUSHALL").await;
    caught_up(&heard).await;
    assert_eq!(heard.said().emptied, 1);
    assert!(!task.is_finished());
    assert_eq!(heard.said().begun, 1);
    task.abort();
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_change_is_always_told_before_the_time_it_was_made_counts_as_heard() {
    let redis = Redis::start().await;
    let (ours, theirs) = (redis.store(), redis.store());
    let (heard, task) = follow(ours).await;
    for _ in 0..30 {
        let keys: Vec<_> = (0..50).map(|_| key()).collect();
        for created in futures_util::future::join_all(keys.iter().map(|key| theirs.create(*key, record(1)))).await {
            assert!(created.unwrap());
        }
        caught_up(&heard).await;
        let changed = std::mem::take(&mut heard.said().changed);
        assert!(keys.iter().all(|key| changed.contains(key)));
    }
    task.abort();
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn following_ends_when_the_connection_does() {
    let mut redis = Redis::start().await;
    let store = redis.store();
    let (_, task) = follow(store.clone()).await;
    redis.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
    let why = in_time(task).await;
    assert!(why.contains("lost") || why.contains("Redis at"), "{why}");
    let (_, task) = follow(store.clone()).await;
    redis.kill();
    in_time(task).await;
    let heard = Heard::default();
    let began = Instant::now();
    store.follow(&heard).await;
    assert!(began.elapsed() < IN_TIME && heard.said().begun == 0, "nobody is there");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn following_ends_when_the_server_hangs() {
    let redis = Redis::start().await;
    let (heard, task) = follow(redis.store()).await;
    caught_up(&heard).await;
    redis.pause();
    let paused = Instant::now();
    in_time(task).await;
    assert!(heard.said().current.is_none_or(|at| at < paused + Duration::from_millis(100)));
    redis.resume();
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn following_ends_when_the_server_becomes_a_replica() {
    let (redis, main) = (Redis::start().await, Redis::start().await);
    let (_, task) = follow(redis.store()).await;
    redis.ask::<()>(&format!("REPLICAOF 127.0.0.1 {}", main.port)).await;
    let why = in_time(task).await;
    assert!(why.contains("read-only"), "{why}");
}

/// What a task that follows says when it ends, which it does in time.
pub(super) async fn in_time(task: JoinHandle<Error>) -> String {
    tokio::time::timeout(IN_TIME, task).await.expect("it ends").unwrap().to_string()
}

/// Stands between a store and its server, and swallows what the server tells while it is deaf.
async fn deafener(server: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, deaf) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
    let flag = deaf.clone();
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) =
                TcpStream::connect(("127.0.0.1", server)).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            let flag = flag.clone();
            tokio::spawn(async move {
                let mut bytes = vec![0; 65_536];
                loop {
                    let read = from_server.read(&mut bytes).await.unwrap();
                    let mut kept = bytes[..read].to_vec();
                    if flag.load(Ordering::Relaxed) {
                        // `>2 $10 invalidate *1 $LENGTH KEY`: six lines.
                        const PUSH: &[u8] = b">2\r\n$10\r\ninvalidate\r\n";
                        while let Some(at) = kept.windows(PUSH.len()).position(|found| found == PUSH) {
                            let lines = kept[at..].split_inclusive(|byte| *byte == b'\n');
                            let length = lines.take(6).map(<[u8]>::len).sum::<usize>();
                            kept.drain(at..at + length);
                        }
                    }
                    if read == 0 || to_client.write_all(&kept).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, deaf)
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn changes_that_are_no_longer_told_are_noticed() {
    let redis = Redis::start().await;
    let (port, deaf) = deafener(redis.port).await;
    let (heard, task) = follow(store_at(url(RedisServers::One(HostPort { port, ..redis.at() })))).await;
    until("the lag is measured", async || heard.said().lag.is_some()).await;
    deaf.store(true, Ordering::Relaxed);
    // Up to a second until the next one is written, and the store's time to hear of it.
    let why = tokio::time::timeout(IN_TIME * 2, task).await.expect("it ends").unwrap().to_string();
    assert!(why.contains("not told"), "{why}");
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_server_that_lost_its_newest_writes_is_told_from_one_that_did_not() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let store = redis.store();
    let (heard, task) = follow(store.clone()).await;
    assert!(!heard.said().lost, "nothing was written before");
    until("a canary was written", async || heard.said().lag.is_some()).await;
    redis.kill();
    in_time(task).await;
    assert!(redis.up().await);
    let (heard, task) = follow(store.clone()).await;
    assert!(!heard.said().lost, "all of it is there");
    until("a canary was written", async || heard.said().lag.is_some()).await;
    redis.ask::<()>("FLUSHALL").await;
    redis.ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
    in_time(task).await;
    let (heard, _) = follow(store).await;
    assert!(heard.said().lost);
}
