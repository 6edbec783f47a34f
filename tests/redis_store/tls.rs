//! TLS, with a certificate that nobody knows and with one that the system trusts.

use crate::support::redis::{Redis, store_at, url};
use auth_api::config::{HostPort, RedisServers, RedisUrl};
use std::process::Command;

fn at(port: u16) -> RedisUrl {
    RedisUrl { tls: true, ..url(RedisServers::One(HostPort { host: "localhost".into(), port })) }
}

async fn start() -> Option<(Redis, tempfile::TempDir)> {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let (cert, key) = (cert.display().to_string(), key.display().to_string());
    let arguments = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let redis = Redis::with(&[&arguments[..], &["--tls-auth-clients", "no"]].concat()).await?;
    Some((redis, folder))
}

#[tokio::test]
async fn a_certificate_of_a_stranger_is_refused() {
    let Some((redis, _folder)) = start().await else { return };
    let why = store_at(at(redis.port)).ping().await.unwrap_err().to_string();
    assert!(why.contains("certificate"), "{why}");
    let plain = store_at(RedisUrl { tls: false, ..at(redis.port) });
    assert!(plain.ping().await.is_err(), "nor is there a way around TLS");
}

#[tokio::test]
async fn a_certificate_that_the_system_trusts_is_accepted() {
    let Some((redis, folder)) = start().await else { return };
    // What the system trusts is the same for a whole process.
    let this = std::env::current_exe().unwrap();
    let name = "redis_store::tls::in_a_process_that_trusts_it";
    let mut child = Command::new(this);
    child.args(["--exact", name, "--ignored"]).env("SSL_CERT_FILE", folder.path().join("cert.pem"));
    let output = child.env("AUTH_API_TEST_PORT", redis.port.to_string()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "started by the test above"]
async fn in_a_process_that_trusts_it() {
    let port = crate::real::variable("AUTH_API_TEST_PORT").unwrap().parse().unwrap();
    let store = store_at(at(port));
    store.ping().await.unwrap();
    crate::sessions::keeps_the_contract(store).await;
}
