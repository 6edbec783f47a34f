//! PostgreSQL stopped, slow, read-only, full, without a free connection, restored, and replaced. Nobody with a session is
//! signed out, and nobody who signed out gets back in.

use crate::fleet::{Fleet, PATIENT};
use crate::support::listener::follow;
use crate::support::postgres::{Postgres, store_at, url};
use crate::support::records::{ENDS, key, record};
use crate::support::{Browser, until};
use auth_api::config::{HostPort, PostgresServers, PostgresTls, PostgresUrl};
use auth_api::store::{FencingToken, LeaseOutcome, Lookup, SealedSession, SealedTokens, UpdateOutcome};
use reqwest::Method;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn a_fleet_signs_in_renews_and_signs_out_and_an_outage_signs_nobody_out() {
    let mut postgres = Postgres::start().await;
    let fleet = Fleet::with(3, &postgres.address(), &[PATIENT]).await;
    let (jane, gone) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("she is known", 200, &jane).await;
    fleet.all_say("so is he", 200, &gone).await;
    assert_eq!(fleet.refresh(1, &jane).await.status, 200);
    assert_eq!(fleet.sign_out(1, &gone).await, 303);
    fleet.all_say("he is out", 401, &gone).await;
    postgres.kill();
    fleet.all_say("after a moment, nothing is known for sure", 503, &jane).await;
    assert_eq!(fleet.sign_out(0, &jane).await, 503, "nobody is told that it worked");
    assert_eq!(fleet.refresh(0, &jane).await.status, 503);
    assert_eq!(fleet.try_sign_in(&Browser::new(), "erin").await.status, 503);
    for service in &fleet.services {
        let ready = Browser::new().get(&format!("{}/readyz?strict=true", service.ops)).await;
        assert!(ready.status == 503 && ready.body.contains("session store"), "{}", ready.body);
    }
    assert!(postgres.up().await);
    fleet.all_say("she is back", 200, &jane).await;
    fleet.all_say("he is not", 401, &gone).await;
    until("renewals work again", async || fleet.refresh(0, &jane).await.status == 200).await;
    assert_eq!(fleet.sign_out(2, &jane).await, 303);
    fleet.all_say("and sign-outs count again", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn a_server_that_takes_no_writes_signs_nobody_out() {
    let postgres = Postgres::start().await;
    let fleet = Fleet::with(2, &postgres.address(), &[PATIENT]).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    postgres.set("default_transaction_read_only", "on").await;
    until("nobody signs in", async || fleet.try_sign_in(&Browser::new(), "erin").await.status == 503).await;
    for nth in [0, 1] {
        let status = fleet.validate(nth, &jane).await;
        assert!(status == 200 || status == 503, "{status}");
        let status = fleet.sign_out(nth, &jane).await;
        assert_eq!(status, 503);
    }
    postgres.set("default_transaction_read_only", "off").await;
    fleet.all_say("she still is", 200, &jane).await;
    until("she can sign out", async || fleet.sign_out(0, &jane).await == 303).await;
    fleet.all_say("and is out", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn the_standby_takes_over() {
    let mut postgres = Postgres::start().await;
    let standby = postgres.standby(&[]).await;
    let address = format!("postgres://auth_api@127.0.0.1:{},127.0.0.1:{}/postgres", standby.port, postgres.port);
    let fleet = Fleet::with(2, &address, &[PATIENT]).await;
    let (jane, gone) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("she is known", 200, &jane).await;
    assert_eq!(fleet.sign_out(0, &gone).await, 303);
    let all = "SELECT count(*) = 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()";
    until("the standby has it all", async || postgres.ask::<bool>(all, &[]).await).await;
    postgres.kill();
    fleet.all_say("nothing is known for sure", 503, &jane).await;
    assert!(standby.ask::<bool>("SELECT pg_promote()", &[]).await);
    fleet.all_say("she is known there", 200, &jane).await;
    fleet.all_say("he is out", 401, &gone).await;
    until("renewals work again", async || fleet.refresh(0, &jane).await.status == 200).await;
    assert_eq!(fleet.sign_out(1, &jane).await, 303);
    fleet.all_say("and sign-outs count", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn a_backup_that_is_restored_brings_nobody_back_and_signs_nobody_out() {
    let mut postgres = Postgres::start().await;
    let fleet = Fleet::with(2, &postgres.address(), &[PATIENT]).await;
    let gone = fleet.sign_in("erin").await;
    fleet.all_say("he is known", 200, &gone).await;
    let backup = postgres.backup();
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    assert_eq!(fleet.sign_out(0, &gone).await, 303);
    fleet.all_say("he is out", 401, &gone).await;
    for nth in [0, 1] {
        fleet.hears(nth).await;
    }
    postgres.kill();
    postgres.restore(&backup);
    assert!(postgres.up().await);
    fleet.all_say("she is written back", 200, &jane).await;
    fleet.all_say("he stays out", 401, &gone).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn a_server_that_hangs_makes_nobody_wait() {
    let postgres = Postgres::start().await;
    let fleet = Fleet::start(2, &postgres.address()).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    let blocking = postgres.connection().await;
    blocking.batch_execute("BEGIN; LOCK TABLE records, revocations, canaries IN ACCESS EXCLUSIVE MODE").await.unwrap();
    fleet.all_say("nothing is known for sure", 503, &jane).await;
    assert_eq!(fleet.sign_out(0, &jane).await, 503);
    blocking.batch_execute("ROLLBACK").await.unwrap();
    fleet.all_say("it goes on", 200, &jane).await;
    until("she can sign out", async || fleet.sign_out(0, &jane).await == 303).await;
    fleet.all_say("and is out", 401, &jane).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs postgresql"]
async fn an_operator_ends_sessions_beside_the_running_processes() {
    let postgres = Postgres::start().await;
    let fleet = Fleet::with(2, &postgres.address(), &[PATIENT]).await;
    let (jane, erin) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("she is known", 200, &jane).await;
    let ask = |arguments: &[&str]| {
        let output = fleet.command().arg("sessions").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let known = fleet.ask(0, &jane, Method::GET, "/validate").await.json();
    let sub = known["sub"].as_str().unwrap();
    assert_eq!(ask(&["list", "--sub", sub]).lines().count(), 2);
    assert_eq!(ask(&["end", "--sub", sub]), "1 session ended\n");
    fleet.all_say("she is signed out", 401, &jane).await;
    fleet.all_say("nobody else is", 200, &erin).await;
    ask(&["end", "--all"]);
    fleet.all_say("now everybody is", 401, &erin).await;
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn without_a_free_connection_calls_end_in_time_and_go_on_later() {
    let postgres = Postgres::with(&["max_connections=8", "superuser_reserved_connections=0"]).await;
    let store = postgres.store();
    let mut others = vec![];
    while let Ok(other) = postgres.try_connect().await {
        others.push(other);
    }
    let why = store.ping().await.unwrap_err().to_string();
    assert!(why.contains("53300"), "{why}");
    others.clear();
    until("there is one again", async || store.ping().await.is_ok()).await;
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_full_disk_refuses_what_is_new_and_loses_nothing() {
    // The largest file that the server can write stands for the disk.
    let postgres = Postgres::with_largest_file(24 << 20).await;
    let store = postgres.store();
    let known = key();
    assert!(store.create(known, record(1)).await.unwrap());
    let filler = "INSERT INTO records (key, tombstone, expires) SELECT sha256(i::text::bytea), 1, 4e9::bigint FROM \
                  generate_series(1, 2000) AS i";
    let filler = filler.replace("i::text", "(i || clock_timestamp()::text)");
    let client = postgres.connection().await;
    while client.batch_execute(&filler).await.is_ok() {}
    let refused = async {
        loop {
            if let Err(why) = store.create(key(), record(1)).await {
                return why.to_string();
            }
        }
    };
    let why = tokio::time::timeout(Duration::from_secs(60), refused).await.unwrap();
    assert!(why.contains("could not extend file"), "{why}");
    assert_eq!(store.load(known).await.unwrap(), Some(record(1)));
    client.batch_execute("DELETE FROM records WHERE tombstone = 1").await.unwrap();
    client.batch_execute("VACUUM records").await.unwrap();
    assert!(store.create(key(), record(1)).await.unwrap(), "there is room again");
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_password_is_used_and_not_shown() {
    let postgres = Postgres::start().await;
    postgres.execute("CREATE ROLE hunter1 LOGIN SUPERUSER PASSWORD 'hunter2'").await;
    postgres.require_passwords().await;
    let with = |password: &str| PostgresUrl {
        user: "hunter1".into(),
        password: Some(password.into()),
        ..url(PostgresServers::Network(vec![postgres.at()], PostgresTls::Off))
    };
    store_at(with("hunter2")).ping().await.unwrap();
    let url = with("hunter3");
    let shown = format!("{url} {url:?}");
    let store = store_at(url.clone());
    let wrong = store.ping().await.unwrap_err().to_string();
    assert!(wrong.contains("28P01") && !wrong.contains("hunter3"), "{wrong}");
    assert!(!format!("{shown} {store:?}").contains("hunter"), "{shown} {store:?}");
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_server_is_believed_only_with_the_certificate_that_was_named() {
    let [ours, other] = [(); 2].map(|()| rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap());
    let postgres = Postgres::with_certificate(&ours.cert.pem(), &ours.signing_key.serialize_pem()).await;
    let folder = tempfile::tempdir().unwrap();
    let trusting = |host: &str, certificate: Option<&rcgen::Certificate>| {
        let root = certificate.map(|certificate| {
            let path = folder.path().join("root.pem");
            std::fs::write(&path, certificate.pem()).unwrap();
            path
        });
        let server = HostPort { host: host.into(), port: postgres.port };
        store_at(url(PostgresServers::Network(vec![server], PostgresTls::Verified(root))))
    };
    let store = trusting("localhost", Some(&ours.cert));
    store.ping().await.unwrap();
    assert!(store.create(key(), record(1)).await.unwrap());
    let (_, task) = follow(store).await;
    task.abort();
    for store in
        [trusting("localhost", Some(&other.cert)), trusting("localhost", None), trusting("127.0.0.1", Some(&ours.cert))]
    {
        let why = store.ping().await.unwrap_err().to_string();
        assert!(why.contains("certificate"), "{why}");
    }
    let plain = Postgres::start().await;
    let tls = PostgresServers::Network(vec![plain.at()], PostgresTls::Verified(None));
    let why = store_at(url(tls)).ping().await.unwrap_err().to_string();
    assert!(why.contains("TLS"), "there is no way around it: {why}");
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_lease_that_was_lost_with_other_data_is_extended_and_nobody_elses() {
    let postgres = Postgres::start().await;
    let store = postgres.store();
    let key = key();
    assert!(store.create(key, record(1)).await.unwrap());
    let ttl = Duration::from_secs(60);
    let LeaseOutcome::Taken { fencing_token, .. } = store.lease(key, ttl).await.unwrap() else { panic!("free") };
    postgres.execute("TRUNCATE records").await;
    store.restore(key, record(1)).await.unwrap();
    assert!(store.extend(key, fencing_token, ttl).await.unwrap());
    assert_eq!(store.lease(key, ttl).await.unwrap(), LeaseOutcome::Held);
    let other = FencingToken(fencing_token.0 + 1);
    assert!(!store.extend(key, other, ttl).await.unwrap());
    assert_eq!(store.update(key, 1, record(2), Some(other)).await.unwrap(), UpdateOutcome::Stale);
    assert_eq!(store.update(key, 1, record(2), Some(fencing_token)).await.unwrap(), UpdateOutcome::Done);
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn an_ending_waits_for_a_renewal_that_is_written_and_returns_its_tokens() {
    let postgres = Postgres::start().await;
    let (store, key) = (postgres.patient_store(), key());
    let tokens = |refresh: &[u8]| SealedTokens { access: Some(b"access".to_vec()), refresh: Some(refresh.to_vec()) };
    assert!(store.create(key, SealedSession { tokens: tokens(b"old"), ..record(1) }).await.unwrap());
    let writer = postgres.connection().await;
    writer.batch_execute("BEGIN; UPDATE records SET version = 2, refresh = 'new'").await.unwrap();
    let ending = tokio::spawn({
        let store = store.clone();
        async move { store.delete(key, ENDS).await }
    });
    let waits = "SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    until("the ending waits", async || postgres.ask::<bool>(waits, &[]).await).await;
    writer.batch_execute("COMMIT").await.unwrap();
    let ended = ending.await.unwrap().unwrap().unwrap();
    assert_eq!((ended.version, ended.tokens), (2, tokens(b"new")), "so that they can be revoked");
    assert_eq!(store.lookup(key).await.unwrap(), Lookup::Ended(ENDS));
}

#[tokio::test]
#[ignore = "needs postgresql"]
async fn a_loss_at_a_restore_is_told() {
    let mut postgres = Postgres::start().await;
    let store = postgres.store();
    store.ping().await.unwrap();
    let backup = postgres.backup();
    let (heard, task) = follow(store.clone()).await;
    until("a canary is written", async || heard.said().lag.is_some()).await;
    postgres.kill();
    task.await.unwrap();
    assert!(postgres.up().await);
    let (heard, task) = follow(store.clone()).await;
    assert!(!heard.said().lost, "a restart loses nothing");
    until("a canary is written", async || heard.said().lag.is_some()).await;
    postgres.kill();
    task.await.unwrap();
    postgres.restore(&backup);
    assert!(postgres.up().await);
    let (heard, task) = follow(store).await;
    assert!(heard.said().lost);
    task.abort();
}
