//! `/validate` over the network, beside a bare axum handler.
//!
//! `cargo bench --bench load` (needs `wrk`; Linux). The service and the bare handler run as processes of
//! their own, each with one worker thread, the same allocator and the same server loop, and are driven
//! in turn. Requests per second swing with whatever else the machine does; the processor time that a
//! server spends on one request is the figure to watch, and its ratio to the bare handler's.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it fails")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod visitor;

use anyhow::{Context, bail, ensure};
use auth_api::dev::world::{Plan, World};
use auth_api::domain::principal::IDENTITY_HEADERS;
use auth_api::web;
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::any;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const SECONDS: usize = 2;
const CONNECTIONS: usize = 64;
/// `USER_HZ`: the unit of the times in `/proc/PID/stat`, the same on every Linux we run on.
const TICKS: f64 = 100.0;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(arguments.get(1).map_or("", String::as_str)),
        // Cargo says `--bench` when it means it; anything else only asks whether this builds and starts.
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !runs("wrk", "-v") => {
            println!("skipped: wrk not installed");
            Ok(())
        }
        _ if !cfg!(target_os = "linux") => {
            println!("skipped: processor time is read from /proc");
            Ok(())
        }
        _ => measure(),
    }
}

// --- the servers ---

/// Serves until standard input closes, after a line of JSON that says where and what to ask with.
fn serve(what: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (world, said) = runtime.block_on(async {
        if what == "bare" {
            return anyhow::Ok((None, serde_json::json!({ "port": serve_bare()? })));
        }
        let world = World::start(Plan::default()).await?;
        let cookie = visitor::cookie(&world, "erin").await?;
        let bearer = visitor::bearer(&world, "erin");
        let port = url::Url::parse(&world.auth_url)?.port();
        let said = serde_json::json!({ "port": port, "cookie": cookie, "bearer": bearer });
        Ok((Some(world), said))
    })?;
    println!("{said}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    world.map_or(Ok(()), |world| runtime.block_on(world.stop()))
}

fn bare() -> Router {
    Router::new().route("/", any(async || StatusCode::NO_CONTENT)).route("/answer", any(answer))
}

/// As much as a validate answers, without asking anything first.
async fn answer() -> Response {
    const VALUES: [&str; 9] = [
        "b4d8f4a8-3091-70e2-9c1f-5a0f7d2e6b13",
        "erin",
        "erin@example.com",
        "editors,admins",
        "openid email profile",
        "dev-web-client",
        "user",
        "COGNITO",
        "1795164254",
    ];
    const JSON: &str = r#"{"active":true,"kind":"user","sub":"b4d8f4a8-3091-70e2-9c1f-5a0f7d2e6b13","username":"erin","email":"erin@example.com","email_verified":true,"name":"Erin Editor","groups":["editors","admins"],"scopes":["openid","email","profile"],"client_id":"dev-web-client","provider":"COGNITO","attributes":{},"issued_at":1795160654,"expires_at":1795164254,"session_expires_at":1797752654}"#;
    let mut response = Response::new(Body::from(JSON));
    let headers = response.headers_mut();
    headers.reserve(VALUES.len() + 2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in IDENTITY_HEADERS.into_iter().zip(VALUES) {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

fn serve_bare() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    tokio::spawn(web::listen(listener, bare(), None, axum_server::Handle::new()));
    Ok(port)
}

// --- the measurement ---

struct Server {
    process: Child,
    said: serde_json::Value,
}

impl Server {
    fn start(what: &str) -> anyhow::Result<Self> {
        let this = std::env::current_exe()?;
        // A core of its own keeps the driver and the scheduler out of the figure.
        let mut command = match runs("taskset", "-V") {
            true => Command::new("taskset"),
            false => Command::new(&this),
        };
        if command.get_program() == "taskset" {
            command.args(["-c", "0"]).arg(&this);
        }
        let command = command.args(["serve", what]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("a piped stdout")?).read_line(&mut line)?;
        let said = serde_json::from_str(&line).with_context(|| format!("{what} did not start"))?;
        Ok(Self { process, said })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.said["port"])
    }

    /// User and system seconds spent so far.
    fn processor_time(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // The second field is the program's name and may hold spaces.
        let (_, fields) = stat.rsplit_once(')').context("no process name")?;
        let ticks =
            |nth: usize| -> anyhow::Result<f64> { Ok(fields.split_whitespace().nth(nth).context("short")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

struct Mode<'a> {
    name: &'static str,
    server: &'a Server,
    url: String,
    header: Option<String>,
    good: bool,
    per_second: Vec<f64>,
    micros: Vec<f64>,
}

fn measure() -> anyhow::Result<()> {
    let (ours, bare) = (Server::start("ours")?, Server::start("bare")?);
    let said = |name: &str| ours.said[name].as_str().unwrap().to_owned();
    let cookie = Some(format!("Cookie: {}", said("cookie")));
    let bearer = Some(format!("Authorization: Bearer {}", said("bearer")));
    let mode = |name, server, url, header: &Option<String>, good| Mode {
        name,
        server,
        url,
        header: header.clone(),
        good,
        per_second: vec![],
        micros: vec![],
    };
    let validate = ours.url("/validate");
    let mut modes = [
        mode("bare axum handler, 204", &bare, bare.url("/"), &cookie, true),
        mode("validate, session cookie", &ours, validate.clone(), &cookie, true),
        mode("validate, bearer seen before", &ours, validate.clone(), &bearer, true),
        mode("validate, nobody: 401", &ours, validate, &None, false),
        mode("bare, 200 with as much to say", &bare, bare.url("/answer"), &cookie, true),
    ];
    println!("wrk -t1 -c{CONNECTIONS} -d{SECONDS}s, {ROUNDS} rounds in turn; one worker thread on each side\n");
    for _ in 0..ROUNDS {
        for mode in &mut modes {
            let before = mode.server.processor_time()?;
            let requests = drive(mode)?;
            let spent = mode.server.processor_time()? - before;
            mode.per_second.push(requests.per_second);
            mode.micros.push(spent * 1e6 / requests.total);
        }
    }
    report(&modes);
    Ok(())
}

fn report(modes: &[Mode<'_>]) {
    println!("{:31}{:>27}   {:>27}   of bare", "", "requests/s [min .. max]", "user+sys µs per request");
    for mode in modes {
        // Round by round, so that what slows the machine down slows down both sides.
        let ratios = mode.micros.iter().zip(&modes[0].micros).map(|(ours, bare)| ours / bare);
        let (rate, low, high) = spread(&mode.per_second);
        let (micros, least, most) = spread(&mode.micros);
        let (ratio, ..) = spread(&ratios.collect::<Vec<_>>());
        println!(
            "{:31}{rate:>9.0} [{low:>6.0} .. {high:>6.0}]   {micros:>9.2} [{least:>5.2} .. {most:>5.2}]   {ratio:>7.2}",
            mode.name
        );
    }
}

/// Median, least and most.
fn spread(values: &[f64]) -> (f64, f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[0], sorted[sorted.len() - 1])
}

struct Requests {
    total: f64,
    per_second: f64,
}

fn drive(mode: &Mode<'_>) -> anyhow::Result<Requests> {
    let mut wrk = match runs("taskset", "-V") && std::thread::available_parallelism()?.get() > 1 {
        true => Command::new("taskset"),
        false => Command::new("wrk"),
    };
    if wrk.get_program() == "taskset" {
        wrk.args(["-c", "1", "wrk"]);
    }
    wrk.args(["-t1".into(), format!("-c{CONNECTIONS}"), format!("-d{SECONDS}s")]);
    if let Some(header) = &mode.header {
        wrk.args(["-H", header]);
    }
    let output = wrk.arg(&mode.url).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str| line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse::<f64>().ok());
    let find = |part: &str| text.lines().find(|line| line.contains(part)).and_then(number);
    let (Some(total), Some(per_second)) = (find(" requests in "), find("Requests/sec:")) else {
        bail!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr));
    };
    ensure!(!text.contains("Socket errors"), "{}: {text}", mode.name);
    let refused = find("Non-2xx").unwrap_or(0.0);
    ensure!(refused == if mode.good { 0.0 } else { total }, "{}: {text}", mode.name);
    Ok(Requests { total, per_second })
}

fn runs(program: &str, flag: &str) -> bool {
    Command::new(program).arg(flag).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
