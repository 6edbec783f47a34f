//! Hearing of what others change.

use crate::support::listener::{caught_up, follow};
use crate::support::postgres::{Postgres, store_at, url};
use crate::support::records::{ENDS, key, record};
use crate::support::until;
use auth_api::config::{HostPort, PostgresServers, PostgresTls};
use auth_api::domain::store_key::{IndexKey, RevocationKey};
use auth_api::store::{RestoreOutcome, UpdateOutcome};
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

#[tokio::test]
#[ignore = "needs postgresql"]
async fn changes_by_others_are_told_and_uses_are_not() {
    let postgres = Postgres::start().await;
    let (ours, theirs) = (postgres.store(), postgres.store());
    let (heard, task) = follow(ours.clone()).await;
    for (what, store, mark) in
        [("others", &theirs, RevocationKey::token("t")), ("ourselves", &ours, RevocationKey::token("u"))]
    {
        let (a, b) = (key(), key());
        assert!(store.create(a, record(1)).await.unwrap());
        store.touch(vec![(a, ENDS)]).await.unwrap();
        let _ = store.lease(a, Duration::from_secs(9)).await.unwrap();
        let _ = store.list(IndexKey::user("jane")).await.unwrap();
        assert_eq!(store.update(a, 7, record(8), None).await.unwrap(), UpdateOutcome::Stale);
        caught_up(&heard).await;
        assert_eq!(heard.said().changed, [], "nothing changed by {what}");
        assert_eq!(store.update(a, 1, record(2), None).await.unwrap(), UpdateOutcome::Done);
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().changed), [a], "updated by {what}");
        assert_eq!(store.restore(b, record(2)).await.unwrap(), RestoreOutcome::Done);
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().changed), [b], "written back by {what}");
        assert!(store.revoke(mark, ENDS).await.unwrap());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().marked), [mark], "marked by {what}");
        assert!(store.delete(a, ENDS).await.unwrap().is_some());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().ended), [a], "ended by {what}");
        assert!(store.delete(a, ENDS).await.unwrap().is_none());
        caught_up(&heard).await;
        assert_eq!(std::mem::take(&mut heard.said().ended), [a], "some may have at hand what was lost");
    }
    until("the lag is measured", async || heard.said().lag.is_some()).await;
    assert!(!task.is_finished());
    assert_eq!(heard.said().begun, 1);
    task.abort();
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_change_is_always_told_before_the_time_it_was_made_counts_as_heard() {
    let postgres = Postgres::start().await;
    let (ours, theirs) = (postgres.store(), postgres.store());
    let (heard, task) = follow(ours).await;
    for _ in 0..30 {
        let keys: Vec<_> = (0..50).map(|_| key()).collect();
        for ended in join_all(keys.iter().map(|key| theirs.delete(*key, ENDS))).await {
            assert_eq!(ended.unwrap(), None);
        }
        caught_up(&heard).await;
        let ended = std::mem::take(&mut heard.said().ended);
        assert!(keys.iter().all(|key| ended.contains(key)));
    }
    task.abort();
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn following_ends_with_the_connection_and_begins_again() {
    let postgres = Postgres::start().await;
    let store = postgres.store();
    let (_, task) = follow(store.clone()).await;
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_notify%' AND pid <> pg_backend_pid()").await;
    let why = task.await.unwrap().to_string();
    assert!(why.contains(&format!("PostgreSQL at 127.0.0.1:{}", postgres.port)), "{why}");
    let (heard, task) = follow(store).await;
    caught_up(&heard).await;
    assert!(!heard.said().lost, "nothing was lost");
    task.abort();
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn emptied_tables_end_it_and_count_as_a_loss() {
    let postgres = Postgres::start().await;
    let store = postgres.store();
    let (heard, task) = follow(store.clone()).await;
    until("a canary is there", async || {
        heard.said().lag.is_some() && postgres.ask::<i64>("SELECT count(*) FROM canaries", &[]).await == 1
    })
    .await;
    postgres.execute("TRUNCATE records, revocations, canaries").await;
    let why = task.await.unwrap().to_string();
    assert!(why.contains("canary"), "{why}");
    let (heard, task) = follow(store).await;
    assert!(heard.said().lost, "its canary is gone");
    task.abort();
}

/// Stands between a store and its server. Once it is silent, nothing arrives any more, and no connection ends.
async fn way_that_goes_silent(server: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, silent) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
    let is_silent = silent.clone();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let is_silent = is_silent.clone();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
                loop {
                    let (length, to, bytes) = tokio::select! {
                        read = client.read(&mut question) => (read, &mut server, &question),
                        read = server.read(&mut answer) => (read, &mut client, &answer),
                    };
                    let Ok(length @ 1..) = length else { return };
                    if !is_silent.load(Ordering::Relaxed) && to.write_all(&bytes[..length]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (port, silent)
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_way_that_goes_silent_ends_calls_and_following_in_time() {
    let postgres = Postgres::start().await;
    let (port, silent) = way_that_goes_silent(postgres.port).await;
    let at = HostPort { port, ..postgres.at() };
    let store = store_at(url(PostgresServers::Network(vec![at], PostgresTls::Off)));
    let (heard, task) = follow(store.clone()).await;
    caught_up(&heard).await;
    silent.store(true, Ordering::Relaxed);
    let went_silent = Instant::now();
    let why = store.load(key()).await.unwrap_err().to_string();
    assert!(why.contains("no answer in 1s"), "{why}");
    let why = task.await.unwrap().to_string();
    assert!(why.contains("in 1s"), "{why}");
    assert!(heard.said().current.is_none_or(|at| at <= went_silent), "nothing was heard since");
    silent.store(false, Ordering::Relaxed);
    until("it goes on", async || store.load(key()).await.is_ok()).await;
}
