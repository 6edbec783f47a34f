//! A store or a disk that takes nothing more: who is signed in stays so, nobody is told yes who was not, and it passes.
#![cfg(target_os = "linux")]

use crate::fleet::{Fleet, PATIENT};
use crate::support::process::{PROGRAM, Service, configure, is_known, sign_in, spawn_program, terminate};
use crate::support::redis::{Redis, eventually};
use crate::support::{Browser, free_port, until};
use auth_api::dev::pool::{PoolSettings, UserPool};
use std::fs;
use std::path::Path;

/// Starts the service where no file may have more than `blocks` blocks of 512 bytes.
async fn with_small_files(folder: &Path, blocks: u64, telemetry: &str) -> (Service, UserPool) {
    // The shell runs the file that its first argument names.
    fs::write(folder.join("serve"), format!("ulimit -f {blocks}\nexec '{PROGRAM}' serve\n")).unwrap();
    loop {
        let (port, ops) = (free_port(), free_port());
        let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        configure(folder, &pool, port, ops);
        let toml = folder.join("auth-api.toml");
        fs::write(&toml, fs::read_to_string(&toml).unwrap() + telemetry).unwrap();
        if let Some(service) = spawn_program(Path::new("/bin/sh"), folder, port, ops, []) {
            return (service, pool);
        }
    }
}

async fn degraded(service: &Service) -> String {
    Browser::new().get(&format!("{}/readyz", service.ops)).await.json()["degraded"].to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_is_an_error_and_not_the_end_of_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let text = "audit = \"audit.jsonl\"\n[session]\nstore = \"memory:\"\n";
    let (mut service, _pool) = with_small_files(folder.path(), 2, text).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    until("the audit file is full", async || {
        jane.get(&format!("{}/auth/signin/callback?error=access_denied", service.url)).await;
        degraded(&service).await.contains("audit.jsonl cannot be written")
    })
    .await;
    assert!(is_known(&service, &jane).await);
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_redis_without_memory_keeps_everybody_and_readiness_names_it() {
    let redis = Redis::with(&["--maxmemory-policy", "noeviction"]).await;
    let fleet = Fleet::with(2, &format!("redis://{}", redis.at()), &[PATIENT]).await;
    let jane = fleet.sign_in("jane").await;
    fleet.all_say("she is known", 200, &jane).await;
    redis.ask::<()>("CONFIG SET maxmemory 1").await;
    let url = &fleet.services[0].url;
    let erin = Browser::new();
    let authorize = erin.get(&format!("{url}/auth/signin")).await.location();
    let callback = erin.log_in(&authorize, "erin").await;
    let full = erin.get(&callback).await;
    assert_eq!((full.status, full.header("retry-after")), (503, Some("5")), "{}", full.body);
    assert_eq!(jane.post(&format!("{url}/refresh?force=true"), &[]).await.status, 503);
    let out = jane.post(&format!("{url}/auth/signout"), &[]).await;
    assert_eq!(out.status, 503, "nobody is told that it worked: {}", out.body);
    fleet.all_say("she still is", 200, &jane).await;
    eventually("readiness names the store", async || degraded(&fleet.services[0]).await.contains("OOM")).await;
    redis.ask::<()>("CONFIG SET maxmemory 0").await;
    eventually("it is over", async || degraded(&fleet.services[0]).await == "{}").await;
    assert_eq!(erin.get(&callback).await.status, 302, "the code was not spent");
    eventually("she is renewed", async || jane.post(&format!("{url}/refresh?force=true"), &[]).await.status == 200)
        .await;
}
