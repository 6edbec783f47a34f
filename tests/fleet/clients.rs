//! Clients that are registered in the shared store.

use super::{Fleet, PATIENT};
use crate::support::redis::Redis;
use crate::support::{Browser, until};
use auth_api::dev::pool::PoolEndpoint;

const UPSTREAM: &str =
    "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n";

async fn fetch(fleet: &Fleet, nth: usize, secret: &str) -> u16 {
    let form = [("grant_type", "client_credentials"), ("client_id", "weekly"), ("client_secret", secret)];
    Browser::new().post(&format!("http://127.0.0.1:{}/token", fleet.services[nth].port()), &form).await.status
}

fn ask(fleet: &Fleet, arguments: &[&str]) -> String {
    let output = fleet.command().arg("client").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn secret(printed: &str) -> &str {
    printed.lines().find_map(|line| line.strip_prefix("client_secret  ")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_registration_reaches_every_process_and_outlives_the_stores_data() {
    let redis = Redis::start().await;
    let url = format!("redis://{}", redis.at());
    let fleet = Fleet::on(2, &url, &[PATIENT], &[("AUTH_API_CONFIG", UPSTREAM)]).await;
    let client = ["--id", "weekly", "--owner", "them", "--upstream", "dev", "--scope", "cms/read"];
    let made = ask(&fleet, &[&["new", "--register"], &client[..]].concat());
    for nth in [0, 1] {
        until("the process knows it", async || fetch(&fleet, nth, secret(&made)).await == 200).await;
    }
    assert_eq!(fleet.pool.count(PoolEndpoint::TokenClientCredentials), 1, "and they share its token");
    let () = redis.ask("FLUSHALL").await;
    until("it is written back", async || ask(&fleet, &["list"]).contains("weekly")).await;
    let rotated = ask(&fleet, &["rotate", "--id", "weekly", "--replace"]);
    for nth in [0, 1] {
        until("the process knows the new secret", async || fetch(&fleet, nth, secret(&rotated)).await == 200).await;
        until("and forgets the old one", async || fetch(&fleet, nth, secret(&made)).await == 401).await;
    }
    ask(&fleet, &["disable", "--id", "weekly"]);
    for nth in [0, 1] {
        until("the process refuses it", async || fetch(&fleet, nth, secret(&rotated)).await == 401).await;
    }
}
