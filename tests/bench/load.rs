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

use auth_api::dev::environment::{DevEnvironment, DevOptions};
use auth_api::domain::machine::SecretHash;
use auth_api::domain::principal::IDENTITY_HEADERS;
use auth_api::web;
use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::any;
use driver::{CONNECTIONS, SECONDS, Server, can_measure, drive, spread};
use std::io::Read;
use std::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(arguments.get(1).map_or("", String::as_str)),
        // Cargo says `--bench` when it means it; anything else only asks whether this builds and starts.
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v")]) => Ok(()),
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
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("auth-api.toml");
        let hash = SecretHash::of("a-secret-for-the-benchmark");
        let text = format!(
            "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n\
             [machine]\nrequests_per_second = 1000000\n[telemetry]\nlog = \"off\"\n\
             [server]\ntrusted_proxies = [\"127.0.0.1\"]\n\
             [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/admin\"\ngroups = [\"admins\"]\n\
             [[machine.client]]\nid = \"nightly\"\nsecret_hashes = [\"{hash}\"]\nowner = \"me\"\n\
             scopes = [\"cms/read\"]\nupstream = \"dev\"\n"
        );
        let world = DevEnvironment::start(DevOptions { file: Some((file, text)), ..DevOptions::default() }).await?;
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

#[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
fn bare() -> Router {
    Router::new().route("/", any(async || StatusCode::NO_CONTENT)).route("/answer", any(answer))
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
    name: &'static str,
    server: &'a Server,
    url: String,
    options: Vec<String>,
    good: bool,
    per_second: Vec<f64>,
    micros: Vec<f64>,
}

fn measure() -> anyhow::Result<()> {
    let (ours, bare) = (Server::start("ours", &[])?, Server::start("bare", &[])?);
    let said = |name: &str| ours.said[name].as_str().unwrap().to_owned();
    let cookie = Some(format!("Cookie: {}", said("cookie")));
    let bearer = Some(format!("Authorization: Bearer {}", said("bearer")));
    let mode = |name, server, url, header: &Option<String>, good| Mode {
        name,
        server,
        url,
        options: header.iter().flat_map(|header| ["-H".to_owned(), header.clone()]).collect(),
        good,
        per_second: vec![],
        micros: vec![],
    };
    let validate = ours.url("/validate");
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("token.lua");
    std::fs::write(&script, TOKEN)?;
    let script = script.display().to_string();
    let mut modes = vec![
        mode("bare axum handler, 204", &bare, bare.url("/"), &cookie, true),
        mode("validate, session cookie", &ours, validate.clone(), &cookie, true),
        Mode {
            options: [
                "x-forwarded-proto: http",
                "x-forwarded-host: wiki.app.localhost",
                "x-forwarded-uri: /admin/a?b=c",
            ]
            .into_iter()
            .chain(cookie.as_deref())
            .flat_map(|header| ["-H".to_owned(), header.to_owned()])
            .collect(),
            ..mode("validate, of a page with a rule", &ours, validate.clone(), &None, true)
        },
        mode("validate, bearer seen before", &ours, validate.clone(), &bearer, true),
        mode("validate, nobody: 401", &ours, validate, &None, false),
        Mode {
            options: vec!["-s".into(), script],
            ..mode("token, registered, cached", &ours, ours.url("/token"), &None, true)
        },
        mode("bare, 200 with as much to say", &bare, bare.url("/answer"), &cookie, true),
    ];
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
