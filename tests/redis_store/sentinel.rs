//! A master, a replica and sentinels, and a fail-over between them.

use super::following::in_time;
use super::{key, record};
use crate::sessions::keeps_the_contract;
use crate::support::listener::{caught_up, follow};
use crate::support::redis::{Redis, eventually, store_at, url};
use auth_api::config::RedisServers;

async fn sentinel(master: u16) -> Redis {
    Redis::with_files(|folder| {
        let file = folder.join("sentinel.conf");
        let text = format!(
            "sentinel monitor main 127.0.0.1 {master} 2\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 1000\n"
        );
        std::fs::write(&file, text).unwrap();
        vec![file.display().to_string(), "--sentinel".to_owned()]
    })
    .await
}

/// A master, its replica, and three sentinels that know both.
pub(crate) async fn sentinels() -> (Redis, Redis, Vec<Redis>) {
    let main = Redis::start().await;
    let replica = Redis::with(&["--replicaof", &format!("127.0.0.1 {}", main.port)]).await;
    let mut sentinels = vec![];
    for _ in 0..3 {
        sentinels.push(sentinel(main.port).await);
    }
    for sentinel in &sentinels {
        eventually("the sentinels know each other and the replica", async || {
            let info: String = sentinel.ask("INFO sentinel").await;
            info.contains("slaves=1,sentinels=3")
        })
        .await;
    }
    (main, replica, sentinels)
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn sessions_survive_a_fail_over() {
    let (mut main, replica, mut sentinels) = sentinels().await;
    let servers =
        RedisServers::Sentinel { sentinels: sentinels.iter().map(Redis::at).collect(), master: "main".into() };
    let store = store_at(url(servers.clone()));
    keeps_the_contract(store.clone()).await;
    let kept = key();
    assert!(store.create(kept, record(1)).await.unwrap());
    main.replicated().await;
    let (heard, task) = follow(store.clone()).await;
    caught_up(&heard).await;

    main.kill();
    in_time(task).await;
    eventually("another is the master", async || store.ping().await.is_ok()).await;
    assert_eq!(store.load(kept).await.unwrap(), Some(record(1)));
    assert!(store.create(key(), record(1)).await.unwrap());
    let (heard, task) = follow(store.clone()).await;
    let told = key();
    assert!(store.create(told, record(1)).await.unwrap());
    caught_up(&heard).await;
    assert!(heard.said().changed.contains(&told));
    assert!(replica.ask::<String>("INFO replication").await.contains("role:master"));

    // Two of three are a majority, and one that is silent takes no call's time.
    sentinels[0].pause();
    store_at(url(servers.clone())).ping().await.unwrap();
    sentinels[0].kill();
    store_at(url(servers)).ping().await.unwrap();
    task.abort();
    let nobody = RedisServers::Sentinel { sentinels: vec![sentinels[1].at()], master: "other".into() };
    let why = store_at(url(nobody)).ping().await.unwrap_err().to_string();
    assert!(why.contains("no master of the name"), "{why}");
}
