//! Several processes on one Redis: what a validate costs there, how soon a sign-out counts elsewhere, and
//! what a million sessions change. And the same calls on Redis and on PostgreSQL.
//!
//! `cargo bench --bench fleet` (needs `wrk`, `redis-server` and `postgresql`; Linux; 8 GB of memory for the million, which
//! `-- million` measures alone, as `-- stores` does the two stores). Like `load`, it compares processes with one worker
//! thread each, in turn.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

mod driver;
mod store_server;
mod visitor;

use auth_api::app::App;
use auth_api::config::{self, Sources};
use auth_api::dev::environment::{DevEnvironment, DevOptions};
use auth_api::domain::clock::SystemClock;
use auth_api::domain::session::Session;
use auth_api::domain::token::TokenSet;
use auth_api::flow::RelyingParty;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::any;
use driver::{Server, can_measure, drive, spread};
use futures_util::StreamExt;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;
use store_server::StoreServer;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const KEYS: &str = "0123456789 of a key for the benchmark 9876543210";
const SIGN_OUTS: usize = 500;
const FEW: usize = 1_000;
const MANY: usize = 1_000_000;
/// Sessions whose memory is weighed.
const WEIGHED: usize = 20_000;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(&arguments[1], &arguments[2..]),
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v"), ("redis-server", "--version")]) => Ok(()),
        _ => measure(&arguments),
    }
}

/// Serves until standard input closes, after a line of JSON that says where and what to ask with.
fn serve(what: &str, configuration: &[String]) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let router = match what {
        #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
        "bare" => Router::new().route("/", any(async || StatusCode::NO_CONTENT)),
        _ => {
            let app = app(configuration)?;
            let rp = app.rp.clone();
            runtime.spawn(async move { rp.sessions.follow().await });
            app.router()
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port() }));
    let idle = std::time::Duration::from_secs(75);
    runtime.spawn(auth_api::web::listen(listener.into(), router, None, idle, std::future::pending()));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn app(configuration: &[String]) -> anyhow::Result<App> {
    let config = config::load(Sources { file: None, env: pairs(configuration) });
    Ok(App::build(&config.map_err(|problems| anyhow::anyhow!("{problems:?}"))?, Arc::new(SystemClock))?)
}

fn pairs(configuration: &[String]) -> Vec<(String, String)> {
    let pair = |text: &String| text.split_once('=').map(|(key, value)| (format!("AUTH_API__{key}"), value.to_owned()));
    configuration.iter().filter_map(pair).collect()
}

fn stored_in(store: &StoreServer, user: &str) -> [String; 2] {
    [format!("SESSION__STORE={}", store.address(user)), format!("COOKIES__KEYS={KEYS}")]
}

/// This process as one more of the fleet, without a listener.
struct Member {
    rp: Arc<RelyingParty>,
    pattern: (Session, TokenSet),
    /// What all of the fleet have.
    deployment: Vec<String>,
}

impl Member {
    async fn join(store: &StoreServer, user: &str) -> anyhow::Result<Self> {
        let world = DevEnvironment::start(DevOptions::default()).await?;
        let pattern = visitor::session(&world, "erin").await?;
        let deployment = [
            "SERVER__PUBLIC_URL=http://auth-api.app.localhost:1".to_owned(),
            format!("PROVIDER__ISSUER={}", world.pool.issuer()),
            format!("PROVIDER__CLIENT_ID={}", visitor::CLIENT),
            "COOKIES__DOMAIN=app.localhost".to_owned(),
        ];
        let deployment = deployment.to_vec();
        let rp = app(&[&stored_in(store, user)[..], &deployment].concat())?.rp;
        Ok(Self { rp, pattern, deployment })
    }

    /// The configuration of another process.
    fn configuration(&self, store: &StoreServer, user: &str) -> Vec<String> {
        [&stored_in(store, user)[..], &self.deployment].concat()
    }

    /// Stores sessions; the first `shown` cookies.
    async fn fill(&self, count: usize, shown: usize) -> anyhow::Result<Vec<String>> {
        let create = async |_| {
            let (session, tokens) = self.pattern.clone();
            self.rp.sessions.create(session, tokens).await
        };
        let mut made = futures_util::stream::iter(0..count).map(create).buffer_unordered(256);
        let mut cookies = Vec::with_capacity(shown);
        while let Some(live) = made.next().await {
            let live = live?;
            if cookies.len() < shown {
                cookies.push(visitor::cookie_of(&live));
            }
        }
        Ok(cookies)
    }
}

fn measure(arguments: &[String]) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments.iter().any(|argument| argument == "million") {
        return a_million(&runtime);
    }
    if arguments.iter().any(|argument| argument == "stores") {
        return stores(&runtime);
    }
    let redis = StoreServer::redis()?;
    let member = runtime.block_on(Member::join(&redis, ""))?;
    processor_time(&runtime, &redis, &member)?;
    revocation_lag(&runtime, &redis, &member, "")?;
    memory(&runtime, &redis, &member)?;
    stores(&runtime)?;
    a_million(&runtime)
}

/// The same calls on a Redis without a disk and on a PostgreSQL that waits for its disk.
fn stores(runtime: &Runtime) -> anyhow::Result<()> {
    for (name, store, user) in
        [("Redis", StoreServer::redis()?, ""), ("PostgreSQL", StoreServer::postgresql()?, "auth_api@")]
    {
        println!("\n{name}, ms: p50, p99");
        let member = runtime.block_on(Member::join(&store, user))?;
        let server = Server::start("ours", &member.configuration(&store, user))?;
        let url = server.url("/validate");
        #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
        let client = reqwest::Client::builder().no_proxy().build()?;
        let (mut create, mut cold, mut warm, mut end) = (vec![], vec![], vec![], vec![]);
        runtime.block_on(async {
            for _ in 0..2_000 {
                let (session, tokens) = member.pattern.clone();
                let began = Instant::now();
                let live = member.rp.sessions.create(session, tokens).await?;
                create.push(began.elapsed().as_secs_f64() * 1e3);
                let cookie = visitor::cookie_of(&live);
                for times in [&mut cold, &mut warm] {
                    let began = Instant::now();
                    let answer = client.get(&url).header("cookie", &cookie).send().await?;
                    anyhow::ensure!(answer.status() == 200, "a new session is known: {}", answer.status());
                    times.push(began.elapsed().as_secs_f64() * 1e3);
                }
                let began = Instant::now();
                member.rp.sessions.end(live.id).await?;
                end.push(began.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(())
        })?;
        for (what, times) in [
            ("the store's part of a sign-in", &mut create),
            ("validate, at another process, first", &mut cold),
            ("validate, again", &mut warm),
            ("the store's part of a sign-out", &mut end),
        ] {
            times.sort_by(f64::total_cmp);
            println!("{what:40} {:.2} {:.2}", times[times.len() / 2], times[times.len() * 99 / 100]);
        }
        revocation_lag(runtime, &store, &member, user)?;
    }
    Ok(())
}

/// What a validate costs with and without memory, beside a bare handler.
fn processor_time(runtime: &Runtime, redis: &StoreServer, member: &Member) -> anyhow::Result<()> {
    // One that may not ask to be told of changes has to ask Redis every time.
    let mut client = std::net::TcpStream::connect(("127.0.0.1", redis.port))?;
    std::io::Write::write_all(&mut client, b"ACL SETUSER blind on nopass ~* &* +@all -client|tracking\r\n")?;
    client.read_exact(&mut [0; 5])?;
    let bare = Server::start("bare", &[])?;
    let (warm, blind) = (
        Server::start("ours", &member.configuration(redis, ""))?,
        Server::start("ours", &member.configuration(redis, "blind:x@"))?,
    );
    let cookie = format!("Cookie: {}", runtime.block_on(member.fill(1, 1))?[0]);
    let modes = [
        ("bare axum handler, 204", &bare, bare.url("/")),
        ("validate, Redis, remembered", &warm, warm.url("/validate")),
        ("validate, Redis, asked each time", &blind, blind.url("/validate")),
    ];
    let mut micros = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        for ((_, server, url), micros) in modes.iter().zip(&mut micros) {
            let before = server.processor_time()?;
            let requests = drive(url, &["-H", &cookie], true)?;
            micros.push((server.processor_time()? - before) * 1e6 / requests.total);
        }
    }
    println!("user+sys µs per request, median of {ROUNDS} rounds in turn, and the ratio to the bare handler\n");
    for ((name, ..), spent) in modes.iter().zip(&micros) {
        let ratios: Vec<_> = spent.iter().zip(&micros[0]).map(|(ours, bare)| ours / bare).collect();
        println!("{name:36} {:>7.2} {:>7.2}", spread(spent).0, spread(&ratios).0);
    }
    Ok(())
}

/// From the end of a session at one process to the first 401 at another, which serves others meanwhile.
fn revocation_lag(runtime: &Runtime, store: &StoreServer, member: &Member, user: &str) -> anyhow::Result<()> {
    let other = Server::start("ours", &member.configuration(store, user))?;
    let url = other.url("/validate");
    let busy = format!("Cookie: {}", runtime.block_on(member.fill(1, 1))?[0]);
    let seconds = "-d20s";
    let mut load =
        Command::new("wrk").args(["-t1", "-c16", seconds, "-H", &busy, &url]).stdout(Stdio::null()).spawn()?;
    let mut lags = runtime.block_on(async {
        #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut lags = Vec::new();
        for _ in 0..SIGN_OUTS {
            let (session, tokens) = member.pattern.clone();
            let live = member.rp.sessions.create(session, tokens).await?;
            let cookie = visitor::cookie_of(&live);
            let ask = async || anyhow::Ok(client.get(&url).header("cookie", &cookie).send().await?.status().as_u16());
            anyhow::ensure!(ask().await? == 200 && ask().await? == 200, "a new session is known");
            let ended = Instant::now();
            member.rp.sessions.end(live.id).await?;
            while ask().await? != 401 {}
            lags.push(ended.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(lags)
    })?;
    let under_load = load.try_wait()?.is_none();
    let _ = load.kill();
    let _ = load.wait();
    lags.sort_by(f64::total_cmp);
    let at = |percent: usize| lags[lags.len() * percent / 100];
    println!(
        "\na sign-out counts at the other process{}, asked for until it does: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms ({SIGN_OUTS} sign-outs)",
        if under_load { " under load" } else { "" },
        at(50),
        at(99),
        lags[lags.len() - 1],
    );
    Ok(())
}

/// What a remembered session takes.
fn memory(runtime: &Runtime, redis: &StoreServer, member: &Member) -> anyhow::Result<()> {
    let cookies = runtime.block_on(member.fill(WEIGHED, WEIGHED))?;
    let folder = tempfile::tempdir()?;
    let server = Server::start("ours", &member.configuration(redis, ""))?;
    let url = server.url("/validate");
    // Whatever it needs to serve at all.
    drive(&url, &["-H", &format!("Cookie: {}", cookies[0])], true)?;
    let before = server.memory()?;
    let [script, _] = many(folder.path(), &cookies)?;
    for _ in 0..3 {
        drive(&url, &["-s", &script], true)?;
    }
    let each = (server.memory()? - before) / WEIGHED as f64;
    println!("\nmemory of a remembered session: {each:.0} bytes ({WEIGHED} of them)");
    Ok(())
}

/// The same traffic on a store with a thousand sessions and on one with a million, all of them read before.
fn a_million(runtime: &Runtime) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (small, large) = (StoreServer::redis()?, StoreServer::redis()?);
    let members = [runtime.block_on(Member::join(&small, ""))?, runtime.block_on(Member::join(&large, ""))?];
    let few = runtime.block_on(members[0].fill(FEW, FEW))?;
    let began = Instant::now();
    let many_cookies = runtime.block_on(members[1].fill(MANY, MANY))?;
    println!("\n{MANY} sessions stored in {:.0} s", began.elapsed().as_secs_f64());
    // One for each kind of traffic: what they remember is the kind's own.
    let kinds = [
        ("1,000 sessions", members[0].configuration(&small, ""), &few[..], "256MB"),
        ("1,000,000, of which 1,000 are at work", members[1].configuration(&large, ""), &many_cookies[..FEW], "256MB"),
        ("1,000,000, of which 200,000 are", members[1].configuration(&large, ""), &many_cookies[..200_000], "256MB"),
        ("1,000,000, of which 200,000 are", members[1].configuration(&large, ""), &many_cookies[..200_000], "512MB"),
        ("1,000,000, all at work", members[1].configuration(&large, ""), &many_cookies[..], "2GB"),
    ];
    let mut modes = vec![];
    for (nth, (name, mut configuration, cookies, memory)) in kinds.into_iter().enumerate() {
        configuration.push(format!("SESSION__CACHE_MEMORY={memory}"));
        let (server, folder) = (Server::start("ours", &configuration)?, folder.path().join(nth.to_string()));
        std::fs::create_dir(&folder)?;
        let [each, any] = many(&folder, cookies)?;
        let mut asked = 0.0;
        while asked < 2.0 * cookies.len() as f64 {
            // Each time wrk begins with the first of them.
            let seconds = format!("-d{}s", 2 + cookies.len() / 5_000);
            asked += drive(&server.url("/validate"), &["-s", &each, &seconds], true)?.total;
        }
        modes.push((format!("{name}, cache_memory {memory}"), server, any));
    }
    let mut rates = vec![vec![]; modes.len()];
    let mut micros = rates.clone();
    for _ in 0..ROUNDS {
        for ((rates, micros), (_, server, script)) in rates.iter_mut().zip(&mut micros).zip(&modes) {
            let before = server.processor_time()?;
            let requests = drive(&server.url("/validate"), &["-s", script], true)?;
            rates.push(requests.per_second);
            micros.push((server.processor_time()? - before) * 1e6 / requests.total);
        }
    }
    println!("validates with, median of {ROUNDS} rounds in turn: a second, of the first, µs per request\n");
    for ((name, server, _), (rate, micros)) in modes.iter().zip(rates.iter().zip(&micros)) {
        let ratios: Vec<_> = rate.iter().zip(&rates[0]).map(|(this, first)| this / first).collect();
        let (ratio, least, most) = spread(&ratios);
        let megabytes = server.memory()? / 1e6;
        println!(
            "{name:60} {:>8.0} {ratio:>6.2} [{least:.2} .. {most:.2}] {:>7.2} {megabytes:>6.0} MB",
            spread(rate).0,
            spread(micros).0
        );
    }
    Ok(())
}

/// Scripts for wrk: one asks with one cookie after the other, one with any of them.
fn many(folder: &Path, cookies: &[String]) -> anyhow::Result<[String; 2]> {
    let list = folder.join("cookies");
    std::fs::write(&list, cookies.join("\n"))?;
    let list = list.display().to_string();
    let script = |name: &str, next: &str| {
        let script = folder.join(name);
        let text = format!(
            "local all, at = {{}}, 0\nfor line in io.lines({list:?}) do all[#all + 1] = {{ Cookie = line }} end\n\
             math.randomseed(os.time())\n\
             request = function() at = {next}; return wrk.format('GET', nil, all[at]) end\n"
        );
        std::fs::write(&script, text).map(|()| script.display().to_string())
    };
    Ok([script("each.lua", "at % #all + 1")?, script("any.lua", "math.random(#all)")?])
}
