//! Whose tables they are, and of which version.

use crate::support::postgres::{Postgres, store_at, url};
use crate::support::records::{key, record};
use crate::support::redis::store_with;
use crate::support::stored_in;
use auth_api::config::{PostgresServers, PostgresTls, PostgresUrl, StoreUrl};
use auth_api::store::Error;
use futures_util::future::join_all;

#[tokio::test]
#[ignore = "needs postgresql"]
async fn processes_that_start_at_once_make_the_tables_once() {
    let postgres = Postgres::start().await;
    let stores: Vec<_> = (0..8).map(|_| postgres.store()).collect();
    let keys: Vec<_> = stores.iter().map(|_| key()).collect();
    let created = join_all(stores.iter().zip(&keys).map(|(store, key)| store.create(*key, record(1)))).await;
    assert!(created.into_iter().all(Result::unwrap));
    assert_eq!(postgres.ask::<i64>("SELECT count(*) FROM migrations", &[]).await, 1);
    for key in keys {
        assert!(stores[0].load(key).await.unwrap().is_some());
    }
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn tables_of_the_next_release_are_used_as_long_as_they_say_so() {
    let postgres = Postgres::start().await;
    assert!(postgres.store().create(key(), record(1)).await.unwrap());
    postgres.execute("ALTER TABLE records ADD new_one text; INSERT INTO migrations VALUES (2, 1)").await;
    assert!(postgres.store().create(key(), record(1)).await.unwrap());
    postgres.execute("INSERT INTO migrations VALUES (3, 3)").await;
    let why = postgres.store().ping().await.unwrap_err();
    assert!(matches!(&why, Error::OtherDeployment(text) if text.contains("later release")), "{why}");
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn the_tables_of_others_are_left_alone() {
    let postgres = Postgres::start().await;
    postgres.store().ping().await.unwrap();
    postgres.store().ping().await.unwrap();
    let address = url(PostgresServers::Network(vec![postgres.at()], PostgresTls::Off));
    let config = stored_in(StoreUrl::Postgres(address.clone()));
    let why = store_with(config.clone(), &[b"a key of others, thirty-two bytes ++++"]).ping().await.unwrap_err();
    assert!(matches!(&why, Error::OtherDeployment(text) if text.contains("schema `auth_api`")), "{why}");
    store_at(PostgresUrl { schema: "another".into(), ..address }).ping().await.unwrap();
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn tables_that_are_dropped_are_made_again() {
    let postgres = Postgres::start().await;
    let store = postgres.store();
    store.ping().await.unwrap();
    postgres.execute("DROP SCHEMA auth_api CASCADE").await;
    store.ping().await.unwrap();
    assert!(store.create(key(), record(1)).await.unwrap());
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn what_is_over_is_removed_and_nothing_else() {
    let postgres = Postgres::start().await;
    let store = postgres.store();
    let (old, live) = (key(), key());
    assert!(store.create(live, record(1)).await.unwrap());
    let ends = auth_api::domain::clock::Timestamp::from_secs(1_000);
    assert!(store.create(old, auth_api::store::SealedSession { ends, ..record(1) }).await.unwrap());
    assert_eq!(store.load(old).await.unwrap(), None, "it was over long ago");
    assert!(
        store.create(old, auth_api::store::SealedSession { ends, ..record(1) }).await.unwrap(),
        "and is in nobody's way"
    );
    assert_eq!(store.sweep(ends, None).await.unwrap(), 1);
    assert_eq!(store.sweep(ends, None).await.unwrap(), 0);
    assert!(store.load(live).await.unwrap().is_some());
}
