//! `/validate` and `/token` over the network, beside a bare axum handler.
//!
//! `cargo bench --bench load` (needs `wrk`; Linux). The service and the bare handler run as processes of
//! their own, each with one worker thread, the same allocator and the same server loop, and are driven
//! in turn. Requests per second swing with whatever else the machine does; the processor time that a
//! server spends on one request is the figure to watch, and its ratio to the bare handler's.

#![expect(clippy::unwrap_used, reason = "a benchmark stops where it fails")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod driver;
mod visitor;

use auth_api::app;
use auth_api::dev::environment::{DevEnvironment, DevOptions};
use auth_api::domain::identity::IDENTITY_HEADERS;
use auth_api::domain::machine::SecretHash;
use auth_api::telemetry;
use auth_api::telemetry::traces::Traces;
use auth_api::web;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use driver::{CONNECTIONS, SECONDS, Server, can_measure, drive, spread};
use std::io::Read;
use std::net::TcpListener;
use std::sync::LazyLock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => {
            let threads = arguments.get(2).map_or(Ok(1), |threads| threads.parse())?;
            serve(&arguments[1], threads, arguments.get(3).map_or("", String::as_str))
        }
        // Cargo says `--bench` when it means it; anything else only asks whether this builds and starts.
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v")]) => Ok(()),
        _ => measure(),
    }
}

// --- the servers ---

/// Serves until standard input closes, after a line of JSON that says where and what to ask with.
/// `telemetry` is what is observed: nothing, `log`, `access log`, or a share of traces and where they go.
fn serve(what: &str, threads: usize, telemetry: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = app::runtime().worker_threads(threads).build()?;
    let (world, said, _export) = runtime.block_on(async {
        let traced = match telemetry.split_once(" http") {
            Some((ratio, rest)) => {
                Some(Traces::start(&format!("http{rest}"), ratio.parse()?).map_err(anyhow::Error::msg)?)
            }
            None => None,
        };
        let (traces, export) = traced.unzip();
        if !telemetry.is_empty() {
            telemetry::start("info", true, traces.as_ref()).map_err(anyhow::Error::msg)?;
        }
        if what == "bare" {
            return anyhow::Ok((None, serde_json::json!({ "port": serve_bare()? }), export));
        }
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("auth-api.toml");
        let hash = SecretHash::of("a-secret-for-the-benchmark");
        let text = format!(
            "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n\
             [machine]\nrequests_per_second = 1000000\n[telemetry]\naccess_log = {}\n\
             [server]\ntrusted_proxies = [\"127.0.0.1\"]\n\
             [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/admin\"\ngroups = [\"admins\"]\n\
             [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/staff\"\ngroups = [\"nobody\"]\n\
             [[machine.client]]\nid = \"nightly\"\nsecret_hashes = [\"{hash}\"]\nowner = \"me\"\n\
             scopes = [\"cms/read\"]\nupstream = \"dev\"\n",
            telemetry == "access log"
        );
        let world = DevEnvironment::start(DevOptions { file: Some((file, text)), ..DevOptions::default() }).await?;
        let cookie = visitor::cookie(&world, "erin").await?;
        let bearer = visitor::bearer(&world, "erin");
        let port = url::Url::parse(&world.auth_url)?.port();
        let said = serde_json::json!({ "port": port, "cookie": cookie, "bearer": bearer });
        Ok((Some(world), said, export))
    })?;
    println!("{said}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    world.map_or(Ok(()), |world| runtime.block_on(world.stop()))
}

#[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
fn bare() -> Router {
    Router::new()
        .route("/", any(async || StatusCode::NO_CONTENT))
        .route("/answer", any(answer))
        .route("/v1/traces", any(async || StatusCode::OK))
        .route("/page/{length}", any(async |Path(length): Path<usize>| page(length)))
}

/// A page of so many bytes, with as many headers as one of ours.
fn page(length: usize) -> Response {
    static BODY: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(vec![b'x'; 1 << 20]));
    let mut response = Response::new(Body::from(BODY.slice(..length)));
    let headers = response.headers_mut();
    headers.reserve(8);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'"),
        (HeaderName::from_static("x-request-id"), "0123456789abcdef"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// As much as a validate answers, without asking anything first.
async fn answer() -> Response {
    const VALUES: [&str; IDENTITY_HEADERS.len()] = [
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
    for (header, value) in IDENTITY_HEADERS.into_iter().zip(VALUES) {
        headers.insert(HeaderName::from_static(header.name), HeaderValue::from_static(value));
    }
    response
}

fn serve_bare() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    tokio::spawn(web::listen(
        listener.into(),
        bare(),
        None,
        std::time::Duration::from_secs(75),
        std::future::pending(),
    ));
    Ok(port)
}

// --- the measurement ---

/// A machine that asks for its token, for wrk.
const TOKEN: &str = "wrk.method = 'POST'\n\
    wrk.body = 'grant_type=client_credentials&scope=cms%2Fread'\n\
    wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'\n\
    wrk.headers['Authorization'] = 'Basic bmlnaHRseTphLXNlY3JldC1mb3ItdGhlLWJlbmNobWFyaw=='\n";

struct Mode<'a> {
    name: String,
    server: &'a Server,
    url: String,
    options: Vec<String>,
    good: bool,
    per_second: Vec<f64>,
    micros: Vec<f64>,
}

impl<'a> Mode<'a> {
    fn new(name: impl Into<String>, server: &'a Server, path: &str, headers: &[&str]) -> Self {
        let options = headers.iter().flat_map(|header| ["-H".to_owned(), (*header).to_owned()]).collect();
        let (name, url) = (name.into(), server.url(path));
        Self { name, server, url, options, good: true, per_second: vec![], micros: vec![] }
    }

    fn refused(self) -> Self {
        Self { good: false, ..self }
    }
}

/// The pages, in pairs of ours and a bare handler's that is as long.
fn pages<'a>(ours: &'a Server, bare: &'a Server, cookie: &str) -> anyhow::Result<Vec<Mode<'a>>> {
    const HTML: &str = "Accept: text/html";
    let of_page = ["x-forwarded-proto: http", "x-forwarded-host: wiki.app.localhost", "x-forwarded-uri: /staff"];
    let asked: [(&str, &str, Vec<&str>, bool); 4] = [
        ("openapi document", "/openapi.json", vec![], true),
        ("front page, signed in", "/", vec![cookie, HTML], true),
        ("page: not found", "/nothing", vec![HTML], false),
        ("page: denied", "/validate/browser", [&of_page[..], &[cookie, HTML]].concat(), false),
    ];
    #[expect(clippy::disallowed_methods, reason = "a measurement asks its own servers")]
    let client = reqwest::Client::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut modes = vec![];
    for (name, path, headers, good) in asked {
        let request = headers
            .iter()
            .filter_map(|line| line.split_once(": "))
            .fold(client.get(ours.url(path)), |request, (name, value)| request.header(name, value));
        let length = runtime.block_on(async { request.send().await?.bytes().await })?.len();
        let mode = Mode::new(name, ours, path, &headers);
        modes.push(if good { mode } else { mode.refused() });
        modes.push(Mode::new(format!("  bare, {length} bytes"), bare, &format!("/page/{length}"), &headers));
    }
    Ok(modes)
}

/// The service with a telemetry of its own.
fn observed(telemetry: &str) -> anyhow::Result<Server> {
    Server::start_silent("ours", &["1".to_owned(), telemetry.to_owned()])
}

fn measure() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (ours, bare) = (Server::start("ours", &[])?, Server::start("bare", &[])?);
    let [one, two] = ["1", "2"].map(|threads| Server::start_everywhere("ours", &[threads.to_owned()]));
    let (one, two) = (one?, two?);
    let collector = bare.url("/v1/traces");
    let (logged, access) = (observed("log")?, observed("access log")?);
    let (few, all) = (observed(&format!("0.01 {collector}"))?, observed(&format!("1 {collector}"))?);
    let said = |server: &Server, name: &str| server.said[name].as_str().unwrap().to_owned();
    let cookie_of = |server: &Server| format!("Cookie: {}", said(server, "cookie"));
    let (cookie, bearer) = (cookie_of(&ours), format!("Authorization: Bearer {}", said(&ours, "bearer")));
    let (cookie, bearer) = (cookie.as_str(), bearer.as_str());
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("token.lua");
    std::fs::write(&script, TOKEN)?;
    let rule = ["x-forwarded-proto: http", "x-forwarded-host: wiki.app.localhost", "x-forwarded-uri: /admin/a?b=c"];
    let mut modes = vec![
        Mode::new("bare axum handler, 204", &bare, "/", &[cookie]),
        Mode::new("validate, session cookie", &ours, "/validate", &[cookie]),
        Mode::new("validate, of a page with a rule", &ours, "/validate", &[&rule[..], &[cookie]].concat()),
        Mode::new("validate, bearer seen before", &ours, "/validate", &[bearer]),
        Mode::new("validate, nobody: 401", &ours, "/validate", &[]).refused(),
        Mode::new("validate, 403", &ours, "/validate?group=nobody", &[cookie]).refused(),
        Mode {
            options: vec!["-s".into(), script.display().to_string()],
            ..Mode::new("token, registered, cached", &ours, "/token", &[])
        },
        Mode::new("bare, 200 with as much to say", &bare, "/answer", &[cookie]),
        Mode::new("the same once more", &bare, "/answer", &[cookie]),
        Mode {
            options: vec!["-s".into(), script.display().to_string()],
            ..Mode::new("  bare, POST, as long", &bare, "/page/1000", &[])
        },
        Mode::new("validate, log", &logged, "/validate", &[&cookie_of(&logged)]),
        Mode::new("validate, log and access log", &access, "/validate", &[&cookie_of(&access)]),
        Mode::new("validate, 1 of 100 traced", &few, "/validate", &[&cookie_of(&few)]),
        Mode::new("validate, all traced", &all, "/validate", &[&cookie_of(&all)]),
        Mode::new("validate, all cores, 1 thread", &one, "/validate", &[&cookie_of(&one)]),
        Mode::new("validate, all cores, 2 threads", &two, "/validate", &[&cookie_of(&two)]),
    ];
    modes.extend(pages(&ours, &bare, cookie)?);
    println!("wrk -t1 -c{CONNECTIONS} -d{SECONDS}s, {ROUNDS} rounds in turn; one worker thread on each side\n");
    for _ in 0..ROUNDS {
        for mode in &mut modes {
            let before = mode.server.processor_time()?;
            let options: Vec<_> = mode.options.iter().map(String::as_str).collect();
            let requests = drive(&mode.url, &options, mode.good)?;
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
