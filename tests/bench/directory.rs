//! The directory of people: what it adds to a sign-in, and how fast a user pool of 100,000 is written down.
//!
//! `cargo bench --bench directory` (needs `postgresql`; Linux). PostgreSQL has its defaults: what it acknowledges is on disk.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

#[expect(dead_code, reason = "Redis keeps no directory")]
mod store_server;

use anyhow::Context;
use auth_api::app::sync_users;
use auth_api::config::{Config, Sources, load};
use auth_api::dev::pool::{PoolSettings, PoolUser, UserPool};
use auth_api::directory::{Directory, SyncCounts};
use auth_api::domain::clock::{Clock, SystemClock};
use auth_api::domain::person::{Person, PersonObservation};
use futures_util::stream::{StreamExt, iter};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use store_server::StoreServer;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIGN_INS: usize = 20_000;
const PEOPLE: usize = 5_000;
const USERS: usize = 100_000;
/// Calls of the pool a second: more than it is asked, so that the pool's own limit does not count.
const RATE: u32 = 1_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("sync") => sync(&arguments[1], &arguments[2]),
        _ if !arguments.iter().any(|argument| argument == "--bench") => Ok(()),
        _ => measure(),
    }
}

fn config(database: &str, issuer: &str) -> anyhow::Result<Config> {
    let text = format!(
        "server.public_url = \"http://auth-api.app.localhost\"\nsession.store = \"memory:\"\n\
         [provider]\nissuer = \"{issuer}\"\nclient_id = \"web\"\n\
         [cookies]\nkeys = [\"0123456789 of a key for the benchmark 9876543210\"]\n\
         [directory]\nurl = \"{database}\"\ntimeout = \"2s\"\n"
    );
    load(Sources { file: Some((Default::default(), text)), env: vec![] })
        .map_err(|problems| anyhow::anyhow!("{}", auth_api::config::Problems::in_configuration(problems)))
}

fn measure() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (server, runtime) = (StoreServer::postgresql()?, Runtime::new()?);
    let database = server.address("auth_api@");
    runtime.block_on(async {
        while tokio_postgres::connect(&database, tokio_postgres::NoTls).await.is_err() {
            tokio::task::yield_now().await;
        }
        sign_ins(&config(&database, "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI")?).await
    })?;
    let mut settings = PoolSettings::for_service("http://auth-api.app.localhost");
    settings.users = (0..USERS).map(user).collect();
    let pool = runtime.block_on(UserPool::start(settings))?;
    for what in ["first", "again"] {
        let began = Instant::now();
        let program = std::env::current_exe()?;
        let ran = Command::new(program)
            .args(["sync", &database, &pool.issuer()])
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .stderr(Stdio::inherit())
            .output()?;
        anyhow::ensure!(ran.status.success(), "sync failed");
        let elapsed = began.elapsed().as_secs_f64();
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        println!("sync, {what}: {elapsed:.1} s, {:.0} users a second; {}", USERS as f64 / elapsed, said.trim());
    }
    Ok(())
}

/// A person signs in: the row is written before the browser is sent on.
async fn sign_ins(config: &Config) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock);
    let directory = Directory::open(&config.directory, &config.provider.issuer, clock.clone(), Arc::default())?;
    let directory = directory.context("there is a directory")?;
    let person = |nth: usize| Person {
        sub: format!("34c84488-e0e1-70ae-d2ee-{nth:012}"),
        username: format!("user{nth}"),
        email: Some(format!("user{nth}@example.com")),
        email_verified: Some(true),
        name: Some("Jane Doe".to_owned()),
        groups: Some(vec!["editors".to_owned(), "readers".to_owned()]),
        provider: Some("Google".to_owned()),
        attributes: [("custom:legacy_id".to_owned(), nth.to_string())].into(),
        is_complete: false,
    };
    for nth in 0..PEOPLE {
        directory.record(PersonObservation { person: person(nth), at: clock.now(), seen: true }).await;
    }
    for at_once in [1, 8] {
        let timed = iter(0..SIGN_INS).map(|nth| {
            let observation = PersonObservation { person: person(nth % PEOPLE), at: clock.now(), seen: true };
            let directory = &directory;
            async move {
                let began = Instant::now();
                directory.record(observation).await;
                began.elapsed()
            }
        });
        let mut times: Vec<Duration> = timed.buffer_unordered(at_once).collect().await;
        times.sort_unstable();
        let ms = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e3;
        println!("a sign-in's row, {at_once} at once: p50 {:.2} ms, p99 {:.2} ms", ms(0.5), ms(0.99));
    }
    anyhow::ensure!(directory.waiting() == 0, "the database kept up");
    Ok(())
}

fn user(nth: usize) -> PoolUser {
    let user = PoolUser::native(&format!("user{nth}"), "", &format!("54c84488-e0e1-70ae-d2ee-{nth:012}"));
    let user = user.with("email", &format!("person{nth}@example.com")).with("email_verified", "true");
    user.with("name", "Jane Doe").with("custom:legacy_id", &nth.to_string())
}

/// In a process of its own, whose memory is weighed.
fn sync(database: &str, issuer: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let config = config(database, issuer)?;
    let done = Runtime::new()?.block_on(sync_users(&config, false, true, RATE, |_| {}))?;
    let SyncCounts { listed, new, same, .. } = done;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!("{listed} listed, {new} new, {same} the same; at most {most} of memory");
    Ok(())
}
