//! Instructions that one request executes in this process, without a network, counted by valgrind's callgrind: a figure
//! that no other program on the machine changes.
//!
//! `cargo bench --no-default-features --bench instructions` prints them. With `--check` it fails where a figure of ours is
//! more than ten per cent above the one in `tests/data/instructions.toml`. It starts itself under valgrind, which it needs.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops where it fails, and prints")]

use anyhow::{Context, bail, ensure};
use auth_api::app::App;
use auth_api::config::{Sources, load};
use auth_api::domain::clock::SystemClock;
use auth_api::domain::principal::{IDENTITY_HEADERS, Principal};
use auth_api::domain::session::{Device, Session, SignInContext};
use auth_api::domain::token::{TokenIds, TokenSet};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HeaderName, HeaderValue};
use axum::http::{Request, Response, StatusCode};
use axum::routing::any;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests that are counted, after as many that are not.
const REQUESTS: usize = 500;
/// How much a figure may grow before `--check` fails: other processors and compilers do the same in other instructions.
const TOLERANCE: f64 = 1.10;
const EXPECTED: &str = "tests/data/instructions.toml";
/// Before the case, in the process that valgrind runs.
const CASE: &str = "--case";
const CASES: [&str; 6] =
    ["bare_204", "bare_same_answer", "validate", "validate_page_rule", "validate_unmet_requirement", "validate_nobody"];

const CONFIG: &str = r#"
server = { public_url = "https://auth-api.example.com", trusted_proxies = ["127.0.0.1"] }
cookies = { domain = "example.com", keys = ["a key of this benchmark, 32 bytes and more"] }
session.store = "memory:"
[provider]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aB3dE5fG7"
client_id = "web"
client_secret = "secret"
[[policy.site]]
host = "wiki.example.com"
path = "/edit"
groups = ["editors"]
"#;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [CASE, case] = &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        return run(case);
    }
    let check = arguments.iter().any(|argument| argument == "--check");
    let expected: BTreeMap<String, u64> = toml::from_str(&std::fs::read_to_string(EXPECTED)?)?;
    let mut grown = vec![];
    println!("{:28} {:>12} {:>12} {:>8}", "request", "instructions", "expected", "of bare");
    let mut bare = None;
    for case in CASES {
        let counted = count(case)?;
        let (of, before) = (*bare.get_or_insert(counted), expected.get(case).copied().unwrap_or_default());
        println!("{case:28} {counted:>12} {before:>12} {:>8.2}", counted as f64 / of as f64);
        if case.starts_with("validate") && counted as f64 > before as f64 * TOLERANCE {
            grown.push(case);
        }
    }
    ensure!(!check || grown.is_empty(), "more instructions than in {EXPECTED}: {}", grown.join(", "));
    Ok(())
}

/// Runs one case under valgrind, and returns the instructions of one request.
fn count(case: &str) -> anyhow::Result<u64> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("callgrind.out");
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*counted_requests*"])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(std::env::current_exe()?)
        .args([CASE, case])
        .output()
        .context("valgrind cannot be started: is it installed?")?;
    ensure!(ran.status.success(), "{case}: {}", String::from_utf8_lossy(&ran.stderr));
    let profile = std::fs::read_to_string(&output)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total: u64 = total.context("callgrind has counted nothing")?.trim().parse()?;
    Ok(total / REQUESTS as u64)
}

fn run(case: &str) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let file = Some(("auth-api.toml".into(), CONFIG.to_owned()));
    let config = load(Sources { file, env: vec![] }).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
    let app = App::build(&config, Arc::new(SystemClock))?;
    // Nobody else writes to a store in memory: from here on what is remembered is believed.
    let rp = app.rp.clone();
    runtime.spawn(async move { rp.sessions.follow().await });
    runtime.block_on(tokio::task::yield_now());
    let live = runtime.block_on(app.rp.sessions.create(session(&app)))?;
    let cookie = format!("__Secure-auth={}", BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes()));
    let get = |uri: &str| Request::get(uri).header("user-agent", "sibling/1.0").header("accept", "*/*");
    let signed_in = |uri: &str| get(uri).header(COOKIE, &cookie);
    let page = || {
        let request = signed_in("/validate").extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let request = request.header("x-forwarded-proto", "https");
        request.header("x-forwarded-host", "wiki.example.com").header("x-forwarded-uri", "/edit/page?version=7")
    };
    let bodiless = |request: axum::http::request::Builder| request.body(Body::empty()).unwrap();
    let (router, request, status): (Router, &dyn Fn() -> Request<Body>, u16) = match case {
        "bare_204" => (bare(async || StatusCode::NO_CONTENT), &|| bodiless(signed_in("/validate")), 204),
        "bare_same_answer" => (bare(async || same_answer()), &|| bodiless(signed_in("/validate")), 200),
        "validate" => (app.router(), &|| bodiless(signed_in("/validate")), 200),
        "validate_page_rule" => (app.router(), &|| bodiless(page()), 200),
        "validate_unmet_requirement" => (app.router(), &|| bodiless(signed_in("/validate?group=nobody")), 403),
        "validate_nobody" => (app.router(), &|| bodiless(get("/validate")), 401),
        _ => bail!("there is no case {case}"),
    };
    // The first requests fill what is remembered.
    let requests = || -> Vec<_> { (0..REQUESTS).map(|_| request()).collect() };
    for request in requests() {
        ensure!(ask(&router, request).status() == status, "{case} is not answered with {status}");
    }
    black_box(counted_requests(&router, requests()));
    Ok(())
}

#[inline(never)]
fn counted_requests(router: &Router, requests: Vec<Request<Body>>) -> usize {
    requests.into_iter().map(|request| usize::from(black_box(ask(router, request)).status().as_u16())).sum()
}

fn ask(router: &Router, request: Request<Body>) -> Response<Body> {
    // Nothing has to be waited for where everything is remembered.
    router.clone().oneshot(request).now_or_never().unwrap().unwrap()
}

fn bare<H: axum::handler::Handler<T, ()>, T: 'static>(handler: H) -> Router {
    #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
    Router::new().route("/validate", any(handler))
}

/// As many headers and as long a body as `/validate` answers with.
fn same_answer() -> Response<Body> {
    let mut response = Response::new(Body::from(bytes::Bytes::from_static(&[b'x'; 512])));
    let headers = response.headers_mut();
    headers.reserve(IDENTITY_HEADERS.len() + 2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for header in IDENTITY_HEADERS {
        headers.insert(HeaderName::from_static(header.name), HeaderValue::from_static("jane.doe@example.com"));
    }
    response
}

/// What a sign-in of a Cognito user leaves: tokens of the lengths that Cognito's have.
fn session(app: &App) -> Session {
    let now = app.rp.clock.now();
    let expires_at = now + Duration::from_secs(3_600);
    let principal = Principal {
        sub: "34c84488-e0e1-70ae-d2ee-991ad1a898c8".into(),
        username: "jane".into(),
        email: Some("jane.doe@example.com".into()),
        email_verified: true,
        name: Some("Jane Doe".into()),
        groups: vec!["editors".into(), "readers".into()],
        scopes: ["openid", "email", "profile"].map(str::to_owned).into(),
        client_id: "web".into(),
        provider: Some("COGNITO".into()),
        auth_time: Some(now),
        issued_at: now,
        expires_at,
        ..Principal::default()
    };
    let tokens = TokenSet {
        access: "a".repeat(1_050).into(),
        id: "i".repeat(1_250).into(),
        refresh: Some("r".repeat(1_780).into()),
        expires_at,
        ids: TokenIds::default(),
        provider_session: None,
    };
    let sign_in =
        SignInContext { tag: String::new(), return_to: app.rp.return_to.choose(None), device: Device::default() };
    Session {
        principal,
        tokens,
        sign_in,
        started: now,
        renewed: now,
        ends: now + Duration::from_secs(86_400),
        version: 1,
    }
}
