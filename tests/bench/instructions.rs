//! Instructions and allocations of one request in this process, without a network, counted by valgrind's callgrind: figures
//! that no other program on the machine changes. Each answer is compared with a bare handler's that says the same.
//!
//! `cargo bench --no-default-features --bench instructions` prints them. With `--check` it fails where a request takes more
//! than ten per cent more instructions than `tests/data/instructions.toml` has, or an allocation more (one in 25). It starts itself under
//! valgrind, which it needs.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark stops where it fails, and prints")]

use anyhow::{Context, bail, ensure};
use auth_api::app::App;
use auth_api::config::{Sources, load};
use auth_api::domain::clock::SystemClock;
use auth_api::domain::machine::SecretHash;
use auth_api::domain::principal::Principal;
use auth_api::domain::session::{Device, Session, SignInContext};
use auth_api::domain::token::{TokenIds, TokenMetadata, TokenSet};
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE};
use axum::http::{Request, Response, StatusCode};
use axum::routing::any;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use futures_util::FutureExt;
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tower::ServiceExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What Rust calls of it to get memory.
const ALLOCATING: [&str; 3] = ["mi_malloc_aligned", "mi_zalloc_aligned", "mi_realloc_aligned"];
/// Requests that are counted, after as many that are not.
const REQUESTS: usize = 500;
/// How many more instructions `--check` allows: other processors and compilers do the same in others.
const TOLERANCE: f64 = 1.10;
const EXPECTED: &str = "tests/data/instructions.toml";
/// Before the case and who answers, in the process that valgrind runs.
const CASE: &str = "--case";
const CASES: [&str; 10] = [
    "validate",
    "validate_page_rule",
    "validate_bearer",
    "validate_unmet_requirement",
    "validate_nobody",
    "token",
    "openapi",
    "front_page",
    "denied_page",
    "not_found_page",
];
const SECRET: &str = "a-secret-of-this-benchmark-as-long-as-ours-are";

fn config(provider: &str) -> String {
    let hash = SecretHash::of(SECRET);
    format!(
        r#"
server = {{ public_url = "http://auth-api.example.localhost", trusted_proxies = ["127.0.0.1"] }}
cookies = {{ domain = "example.localhost", keys = ["a key of this benchmark, 32 bytes and more"] }}
session.store = "memory:"
[provider]
profile = "oidc"
issuer = "{provider}"
client_id = "web"
client_secret = "secret"
[[policy.site]]
host = "wiki.example.localhost"
path = "/edit"
groups = ["editors"]
[[policy.site]]
host = "wiki.example.localhost"
path = "/admin"
groups = ["admins"]
[machine]
requests_per_second = 1000000
[[machine.upstream]]
name = "one"
client_id = "upstream"
client_secret = "secret"
[[machine.client]]
id = "nightly"
secret_hashes = ["{hash}"]
owner = "me"
scopes = ["cms/read"]
upstream = "one"
"#
    )
}

/// What one request takes.
#[derive(Debug, Default, Clone, Copy, serde::Deserialize)]
struct Cost {
    instructions: u64,
    allocations: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [CASE, case, who] = &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        return run(case, *who == "bare");
    }
    let check = arguments.iter().any(|argument| argument == "--check");
    let expected: BTreeMap<String, Cost> = toml::from_str(&std::fs::read_to_string(EXPECTED)?)?;
    let mut grown = vec![];
    println!("{:28} {:^30}   allocations", "", "instructions");
    println!("{:28} {:>8} {:>8} {:>6} {:>6}   now expected bare", "request", "now", "expected", "bare", "ratio");
    for case in CASES {
        let (ours, bare) = (count(case, "ours")?, count(case, "bare")?);
        let before = expected.get(case).copied().unwrap_or_default();
        println!(
            "{case:28} {:>8} {:>8} {:>6} {:>6.2}   {:>3} {:>8} {:>4}",
            ours.instructions,
            before.instructions,
            bare.instructions,
            ours.instructions as f64 / bare.instructions as f64,
            ours.allocations,
            before.allocations,
            bare.allocations
        );
        // A page makes so many that one more or less depends on the compiler.
        let allocations = before.allocations + before.allocations / 25;
        if ours.instructions as f64 > before.instructions as f64 * TOLERANCE || ours.allocations > allocations {
            grown.push(case);
        }
    }
    ensure!(!check || grown.is_empty(), "more than in {EXPECTED}: {}", grown.join(", "));
    Ok(())
}

/// Runs one case under valgrind.
fn count(case: &str, who: &str) -> anyhow::Result<Cost> {
    let folder = tempfile::tempdir()?;
    let output = folder.path().join("callgrind.out");
    let ran = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*counted_requests*",
            "--compress-strings=no",
        ])
        .arg(format!("--callgrind-out-file={}", output.display()))
        .arg(std::env::current_exe()?)
        .args([CASE, case, who])
        .output()
        .context("valgrind cannot be started: is it installed?")?;
    ensure!(ran.status.success(), "{case}: {}", String::from_utf8_lossy(&ran.stderr));
    let profile = std::fs::read_to_string(&output)?;
    let total = profile.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let instructions: u64 = total.context("callgrind has counted nothing")?.trim().parse()?;
    let (mut allocations, mut callee) = (0, "");
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("cfn=") {
            callee = name;
        } else if let Some(calls) = line.strip_prefix("calls=").filter(|_| ALLOCATING.contains(&callee)) {
            allocations += calls.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
    }
    // Calls are counted from the start, by as many requests that are not measured, too.
    let requests = REQUESTS as u64;
    // Without symbols there is nothing to count, and nothing would ever grow.
    ensure!(instructions > 0 && allocations > 0, "callgrind has counted nothing for {case}: are there symbols?");
    Ok(Cost { instructions: instructions / requests, allocations: allocations / (2 * requests) })
}

fn run(case: &str, bare: bool) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _entered = runtime.enter();
    let file = Some(("auth-api.toml".into(), config(&runtime.block_on(provider())?)));
    let config = load(Sources { file, env: vec![] }).map_err(|mistakes| anyhow::anyhow!("{mistakes:?}"))?;
    let app = App::build(&config, Arc::new(SystemClock))?;
    // Nobody else writes to a store in memory: from here on what is remembered is believed.
    let rp = app.rp.clone();
    runtime.spawn(async move { rp.sessions.follow().await });
    runtime.block_on(app.load_clients());
    let (session, tokens) = session(&app);
    let live = runtime.block_on(app.rp.sessions.create(session, tokens))?;
    let cookie = format!("auth={}", BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes()));
    let request = || request(case, &cookie).unwrap();
    // The first answers fill what is remembered.
    runtime.block_on(app.router().oneshot(self::request("token", &cookie)?))?;
    let first = runtime.block_on(app.router().oneshot(request()))?;
    let mut answer =
        BareAnswer { status: first.status(), headers: first.headers().clone(), body: body(&runtime, first)? };
    ensure!(answer.status == expected_status(case), "{case} is answered with {}: {:?}", answer.status, answer.body);
    answer.headers.remove(CONTENT_LENGTH);
    let router = if bare { answer.router() } else { app.router() };
    let requests = || -> Vec<_> { (0..REQUESTS).map(|_| request()).collect() };
    for request in requests() {
        black_box(ask(&router, request));
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

fn body(runtime: &tokio::runtime::Runtime, response: Response<Body>) -> anyhow::Result<bytes::Bytes> {
    Ok(runtime.block_on(to_bytes(response.into_body(), usize::MAX))?)
}

fn expected_status(case: &str) -> StatusCode {
    match case {
        "validate_nobody" => StatusCode::UNAUTHORIZED,
        "validate_unmet_requirement" | "denied_page" => StatusCode::FORBIDDEN,
        "not_found_page" => StatusCode::NOT_FOUND,
        _ => StatusCode::OK,
    }
}

fn request(case: &str, cookie: &str) -> anyhow::Result<Request<Body>> {
    const FORM: &str = "grant_type=client_credentials&scope=cms%2Fread";
    let get = |uri: &str| Request::get(uri).header("user-agent", "sibling/1.0").header(ACCEPT, "*/*");
    let signed_in = |uri: &str| get(uri).header(COOKIE, cookie);
    let of_page = |uri: &str, page: &str| {
        let request = Request::get(uri).header("user-agent", "sibling/1.0").header(COOKIE, cookie);
        let request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        let request = request.header("x-forwarded-proto", "http").header("x-forwarded-host", "wiki.example.localhost");
        request.header("x-forwarded-uri", page)
    };
    let (request, body) = match case {
        "validate" => (signed_in("/validate"), ""),
        "validate_page_rule" => (of_page("/validate", "/edit/page?version=7").header(ACCEPT, "*/*"), ""),
        "validate_bearer" => (get("/validate").header(AUTHORIZATION, format!("Bearer {}", token())), ""),
        "validate_unmet_requirement" => (signed_in("/validate?group=nobody"), ""),
        "validate_nobody" => (get("/validate"), ""),
        "token" => {
            let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("nightly:{SECRET}")));
            let form = (CONTENT_TYPE, "application/x-www-form-urlencoded");
            (Request::post("/token").header(AUTHORIZATION, basic).header(form.0, form.1), FORM)
        }
        "openapi" => (get("/openapi.json"), ""),
        "front_page" => (Request::get("/").header(COOKIE, cookie).header(ACCEPT, "text/html"), ""),
        "denied_page" => (of_page("/validate/browser", "/admin").header(ACCEPT, "text/html"), ""),
        "not_found_page" => (Request::get("/nothing").header(ACCEPT, "text/html"), ""),
        _ => bail!("there is no case {case}"),
    };
    Ok(request.body(Body::from(body))?)
}

/// As much as an answer of ours says, without asking anything first.
struct BareAnswer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: bytes::Bytes,
}

impl BareAnswer {
    fn router(&self) -> Router {
        let headers: Arc<[_]> = self.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let (status, body) = (self.status, self.body.clone());
        let answer = any(move || {
            let mut response = Response::new(Body::from(body.clone()));
            *response.status_mut() = status;
            response.headers_mut().reserve(headers.len());
            response.headers_mut().extend(headers.iter().cloned());
            std::future::ready(response)
        });
        let routes = ["/validate", "/validate/browser", "/token", "/openapi.json", "/", "/nothing"];
        #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
        routes.into_iter().fold(Router::new(), |router, path| router.route(path, answer.clone()))
    }
}

/// As long as Cognito's.
fn token() -> String {
    "t".repeat(900)
}

/// Starts a provider that knows one machine, and returns its issuer.
#[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
async fn provider() -> anyhow::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let issuer = format!("http://{}", listener.local_addr()?);
    let endpoint = |path: &str| format!("{issuer}{path}");
    let metadata = json!({
        "issuer": issuer, "authorization_endpoint": endpoint("/authorize"), "token_endpoint": endpoint("/token"),
        "jwks_uri": endpoint("/keys"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    });
    let modulus = BASE64_URL_SAFE_NO_PAD.encode([0xAB; 256]);
    let keys =
        json!({ "keys": [{ "kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig", "n": modulus, "e": "AQAB" }] });
    let granted = json!({ "access_token": token(), "token_type": "Bearer", "expires_in": 3_600, "scope": "cms/read" });
    let answer = |json: serde_json::Value| any(move || std::future::ready(Json(json.clone())));
    let router = Router::new().route("/.well-known/openid-configuration", answer(metadata));
    let router = router.route("/keys", answer(keys)).route("/token", answer(granted));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(issuer)
}

/// What a sign-in of a Cognito user leaves: tokens of the lengths that Cognito's have.
fn session(app: &App) -> (Session, TokenSet) {
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
    let token_set = TokenSet {
        access: "a".repeat(1_050).into(),
        id: "i".repeat(1_250).into(),
        refresh: Some("r".repeat(1_780).into()),
    };
    let tokens = TokenMetadata { expires_at, renewable: true, ids: TokenIds::default(), provider_session: None };
    let sign_in = SignInContext {
        tag: String::new(),
        return_to: app.rp.rules().return_to.choose(None),
        device: Device::default(),
    };
    let session = Session {
        principal,
        tokens,
        sign_in,
        started: now,
        renewed: now,
        ends: now + Duration::from_secs(86_400),
        version: 1,
        refresh_version: 1,
    };
    (session, token_set)
}
