//! Sessions in a real PostgreSQL: kept, told, and answered for in time when it is away.

mod faults;
mod following;
mod tables;

use crate::sessions::keeps_the_contract;
use crate::support::postgres::{Postgres, store_at, url};
use auth_api::config::{PostgresServers, PostgresUrl};

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_server_keeps_the_contract() {
    let postgres = Postgres::start().await;
    keeps_the_contract(postgres.store()).await;
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_socket_and_a_schema_of_ones_own_are_used() {
    let postgres = Postgres::start().await;
    let socket = PostgresServers::Socket(postgres.socket_folder().to_owned(), postgres.port);
    let store = store_at(PostgresUrl { schema: "user".into(), ..url(socket) });
    keeps_the_contract(store).await;
    assert!(postgres.ask::<i64>("SELECT count(*) FROM \"user\".records", &[]).await > 3_000);
    let ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'auth_api'";
    assert_eq!(postgres.ask::<i64>(ours, &[]).await, 0);
}
