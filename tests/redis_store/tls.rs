//! TLS, with a certificate that nobody knows and with one that the system trusts.

use crate::fleet::Fleet;
use crate::support::redis::{Redis, store_at, url};
use crate::support::{Browser, until};
use auth_api::config::{HostPort, RedisServers, RedisUrl};

fn at(port: u16) -> RedisUrl {
    RedisUrl { tls: true, ..url(RedisServers::One(HostPort { host: "localhost".into(), port })) }
}

async fn start() -> (Redis, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let arguments = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let redis = Redis::with(&[&arguments[..], &["--tls-auth-clients", "no"]].concat()).await;
    (redis, folder)
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_certificate_of_a_stranger_is_refused() {
    let (redis, _folder) = start().await;
    let why = store_at(at(redis.port)).ping().await.unwrap_err().to_string();
    assert!(why.contains("certificate"), "{why}");
    let plain = store_at(RedisUrl { tls: false, ..at(redis.port) });
    assert!(plain.ping().await.is_err(), "nor is there a way around TLS");
}

/// What the system trusts is the same for a whole process, so these are processes of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_certificate_that_the_system_trusts_is_accepted() {
    let (redis, folder) = start().await;
    let trusted = folder.path().join("cert.pem").display().to_string();
    let store = format!("rediss://localhost:{}", redis.port);
    let fleet = Fleet::on(2, &store, &[], &[("SSL_CERT_FILE", &trusted)]).await;
    let (jane, erin) = (fleet.sign_in("jane").await, fleet.sign_in("erin").await);
    fleet.all_say("known everywhere", 200, &jane).await;
    assert_eq!(fleet.refresh(1, &jane).await.status, 200);
    until("changes are told over TLS too", async || {
        let metrics = Browser::new().get(&format!("{}/metrics", fleet.services[1].ops)).await.body;
        !metrics.contains("auth_api_revocation_lag_seconds_count 0")
    })
    .await;
    assert_eq!(fleet.sign_out(0, &jane).await, 303);
    fleet.all_say("over everywhere", 401, &jane).await;
    fleet.all_say("nobody else is", 200, &erin).await;
}
