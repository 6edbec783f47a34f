//! An answer that is lost on the way: the call is repeated, and what it does counts once.

use crate::support::postgres::{self, Postgres};
use crate::support::records::{ENDS, key, record};
use crate::support::redis::{self, Redis};
use auth_api::config::{HostPort, PostgresServers, PostgresTls, RedisServers};
use auth_api::domain::store_key::{RevocationKey, SessionKey};
use auth_api::store::{LeaseOutcome, LeaseRelease, Lookup, SessionStore, UpdateOutcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const TTL: Duration = Duration::from_secs(60);
/// A way to the server on which as many answers as it says are lost, each with its connection.
struct LossyWay {
    store: Arc<dyn SessionStore>,
    to_lose: Arc<AtomicU32>,
}

impl LossyWay {
    async fn to(server: u16, store: impl Fn(HostPort) -> Arc<dyn SessionStore>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let to_lose = Arc::<AtomicU32>::default();
        let left = to_lose.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(pass_on(client, server, left.clone()));
            }
        });
        Self { store: store(HostPort { host: "127.0.0.1".into(), port }), to_lose }
    }

    /// Does it with its answer lost.
    async fn lose<T>(&self, done: impl Future<Output = T>) -> T {
        self.to_lose.store(1, Ordering::SeqCst);
        let done = done.await;
        assert_eq!(self.to_lose.load(Ordering::SeqCst), 0, "an answer was lost");
        done
    }

    /// One session made, so that the server knows scripts and statements.
    async fn session(&self) -> SessionKey {
        let key = key();
        assert!(self.store.create(key, record(1)).await.unwrap());
        key
    }
}

async fn pass_on(mut client: TcpStream, server: u16, to_lose: Arc<AtomicU32>) {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (mut question, mut answer) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut question) => match read {
                Ok(length @ 1..) => server.write_all(&question[..length]).await.unwrap(),
                _ => return,
            },
            read = server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return };
                let lost = to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                if lost.is_ok() || client.write_all(&answer[..length]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn each_call_counts_once(way: LossyWay) {
    a_session_is_created_once_and_says_so(&way).await;
    an_update_is_done_and_not_stale(&way).await;
    a_lease_is_ours_and_was_not_abandoned(&way).await;
    what_was_abandoned_stays_so_when_the_answer_that_says_it_is_lost(&way).await;
    a_mark_is_ours(&way).await;
    an_ending_is_an_ending_however_often_it_is_sent(&way).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn each_call_to_redis_counts_once() {
    let redis = Redis::start().await;
    let store = |at| redis::store_at(redis::url(RedisServers::One(at)));
    each_call_counts_once(LossyWay::to(redis.port, store).await).await;
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn each_call_to_postgresql_counts_once() {
    let postgres = Postgres::start().await;
    let store = |at| postgres::store_at(postgres::url(PostgresServers::Network(vec![at], PostgresTls::Off)));
    each_call_counts_once(LossyWay::to(postgres.port, store).await).await;
}

async fn a_mark_is_ours(way: &LossyWay) {
    let mark = |text| RevocationKey::token(text);
    assert!(way.store.revoke(mark("first"), ENDS).await.unwrap());
    assert!(way.lose(way.store.revoke(mark("second"), ENDS)).await.unwrap());
    assert!(!way.store.revoke(mark("second"), ENDS).await.unwrap());
}

async fn a_session_is_created_once_and_says_so(way: &LossyWay) {
    way.session().await;
    let key = key();
    assert!(way.lose(way.store.create(key, record(1))).await.unwrap(), "it is ours");
    assert!(!way.store.create(key, record(1)).await.unwrap(), "and nobody else's");
}

async fn an_update_is_done_and_not_stale(way: &LossyWay) {
    let key = way.session().await;
    assert_eq!(way.store.update(key, 1, record(2), None).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(way.lose(way.store.update(key, 2, record(3), None)).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(way.store.load(key).await.unwrap().unwrap().version, 3);
    assert_eq!(way.store.update(key, 2, record(3), None).await.unwrap(), UpdateOutcome::Stale, "another writer's");
}

async fn a_lease_is_ours_and_was_not_abandoned(way: &LossyWay) {
    let (first, key) = (way.session().await, way.session().await);
    way.store.lease(first, TTL).await.unwrap();
    let leased = way.lose(way.store.lease(key, TTL)).await.unwrap();
    let LeaseOutcome::Taken { fencing_token, abandoned } = leased else { panic!("{leased:?}") };
    assert!(!abandoned);
    assert_eq!(way.store.lease(key, TTL).await.unwrap(), LeaseOutcome::Held, "nobody else gets it");
    assert!(way.store.extend(key, fencing_token, TTL).await.unwrap(), "the one that is known is the one that counts");
    way.store.release(first, fencing_token, LeaseRelease::Free).await.unwrap();
    way.lose(way.store.release(key, fencing_token, LeaseRelease::Free)).await.unwrap();
    assert!(matches!(way.store.lease(key, TTL).await.unwrap(), LeaseOutcome::Taken { abandoned: false, .. }));
}

async fn what_was_abandoned_stays_so_when_the_answer_that_says_it_is_lost(way: &LossyWay) {
    let key = way.session().await;
    let LeaseOutcome::Taken { fencing_token, .. } = way.store.lease(key, TTL).await.unwrap() else {
        panic!("it is free")
    };
    way.store.release(key, fencing_token, LeaseRelease::OutcomeUnknown(Duration::ZERO)).await.unwrap();
    let leased = way.lose(way.store.lease(key, TTL)).await.unwrap();
    assert!(matches!(leased, LeaseOutcome::Taken { abandoned: true, .. }), "{leased:?}");
}

async fn an_ending_is_an_ending_however_often_it_is_sent(way: &LossyWay) {
    let (first, key) = (way.session().await, way.session().await);
    way.store.delete(first, ENDS).await.unwrap();
    // The second time there is nothing left to return.
    assert_eq!(way.lose(way.store.delete(key, ENDS)).await.unwrap(), None);
    assert_eq!(way.store.lookup(key).await.unwrap(), Lookup::Ended(ENDS));
}
