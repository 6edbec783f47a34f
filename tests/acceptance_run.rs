//! An operator asks a pool what Cognito's manual leaves open: by a person's browser, or at a plain form.

mod command;
pub(crate) mod person;

use auth_api::acceptance::{self, AcceptanceOptions, AcceptanceReport, LoopbackUrls, QUESTIONS, Verdict};
use auth_api::config::{Config, Sources, load};
use auth_api::dev::pool::{AppClient, Fault, IDENTITY_POOL, PoolEndpoint, PoolSettings, Rotation, UserPool};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

pub(crate) const USER: &str = "jane";
pub(crate) const PASSWORD: &str = "Passw0rd!";
const RESOURCE: &str = "https://api.example.com";

/// A pool as `auth-api dev` has it, with rotation on or off.
pub(crate) async fn pool(rotation: Rotation) -> UserPool {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pool = UserPool::start(PoolSettings::for_service("http://auth-api.app.localhost:8080")).await.unwrap();
    pool.edit_client("dev-web-client", |client| client.rotation = rotation);
    pool
}

/// What the operator has written for it.
pub(crate) fn configuration(pool: &UserPool) -> String {
    format!(
        r#"
[server]
public_url = "http://auth-api.app.localhost:8080"
[provider]
issuer = "{}"
client_id = "dev-web-client"
client_secret = "dev-web-secret"
scopes = ["openid", "email", "profile", "aws.cognito.signin.user.admin"]
timeout = "30s"
[cookies]
domain = "app.localhost"
keys = ["0123456789 of a key for this test 9876543210"]
[aws]
identity_pool = "{IDENTITY_POOL}"
endpoint = "{}/"
[[machine.upstream]]
name = "dev"
client_id = "dev-machine-client"
client_secret = "dev-machine-secret"
[[machine.client]]
id = "nightly"
secret_hashes = ["{}"]
owner = "x"
scopes = ["https://api.example.com/orders.read"]
resources = ["{RESOURCE}"]
upstream = "dev"
"#,
        pool.issuer(),
        pool.base_url(),
        auth_api::domain::machine::SecretHash::of("a secret"),
    )
}

fn parsed(text: &str) -> Config {
    load(Sources { file: Some((PathBuf::new(), text.to_owned())), env: vec![] }).unwrap()
}

fn options() -> AcceptanceOptions {
    AcceptanceOptions {
        urls: LoopbackUrls::new("http://localhost:8085/callback").unwrap(),
        user: Some((USER.to_owned(), PASSWORD.to_owned().into())),
        patience: Duration::from_secs(20),
        type_once: false,
        // This machine may be slow; who types is known by the pool's clock.
        typing: Duration::from_secs(20),
        grace: Duration::ZERO,
    }
}

async fn report(pool: &UserPool) -> AcceptanceReport {
    // Whatever is waited for passes at once.
    let say = |line: &str| {
        if line.starts_with("Waiting") {
            pool.shift_clock(60);
        }
    };
    acceptance::run(&parsed(&configuration(pool)), &options(), &say).await.unwrap()
}

fn answer<'a>(report: &'a AcceptanceReport, id: &str) -> (Verdict, &'a str) {
    let answer = report.answers.iter().find(|answer| answer.id == id).unwrap_or_else(|| panic!("no {id}"));
    (answer.verdict, &answer.answer)
}

/// The questions whose verdict is this one.
pub(crate) fn with_verdict(report: &AcceptanceReport, verdict: Verdict) -> Vec<&str> {
    report.answers.iter().filter(|answer| answer.verdict == verdict).map(|answer| answer.id.as_str()).collect()
}

const NEVER_ASKED: [&str; 6] = [
    "throttling",
    "trigger.post_authentication",
    "trigger.token_failure",
    "federated.second_sign_in",
    "pool.settings",
    "machine.price",
];

#[tokio::test]
async fn every_question_has_an_answer_of_the_dev_pool() {
    let pool = pool(Rotation::Off).await;
    let found = report(&pool).await;
    assert_eq!(found.answers.len(), QUESTIONS.len());
    let not_asked = [&["client.basic", "refresh.reuse"][..], &NEVER_ASKED].concat();
    assert_eq!(with_verdict(&found, Verdict::NotAsked), not_asked, "{found}");
    assert_eq!(with_verdict(&found, Verdict::Breaks), Vec::<&str>::new(), "{found}");
    assert_eq!(with_verdict(&found, Verdict::Differs), ["machine.resource"], "{found}");
    for (id, text) in [
        ("login.page", "/login answers 200: a form for name and password, as the classic pages have it"),
        ("authorize.redirect_uri", "302 to /error with redirect_mismatch"),
        ("authorize.scope", "invalid_scope at the callback, with state"),
        ("authorize.request", "invalid_request at the callback, with state"),
        ("authorize.state", "yes, with 3 errors"),
        ("prompt.none.signed_out", "login_required at the callback, with state"),
        ("sign_in.claims", "nonce, at_hash, auth_time, jti, origin_jti, event_id"),
        ("sign_in.keys", "yes"),
        ("sign_in.audience", "none"),
        ("sign_in.refresh_token", "yes, of 5 parts"),
        ("sign_in.auth_time", "it stays"),
        ("prompt.login", "the page comes"),
        ("logout.form", "yes, and the sign-in keeps all three"),
        ("logout.session", "it comes back, and the session has ended"),
        ("code.client_secret", "400 invalid_client; the code is not spent"),
        ("code.reuse", "400 invalid_grant; the tokens of its first use go on"),
        ("code.pkce", "400 invalid_request; the code is spent"),
        ("code.redirect_uri", "400 unauthorized_client (invalid_redirect); the code is spent"),
        ("refresh.nonce", "no"),
        ("refresh.at_hash", "yes"),
        ("refresh.origin_jti", "yes, the same one"),
        ("refresh.rotation", "no: rotation is off, and the old one stays"),
        ("userinfo.email_verified", "a text"),
        ("get_user", "yes"),
        ("identity_pool.login", "yes"),
        ("revoke.refresh_token", "200 with an empty body"),
        ("revoke.again", "200 with an empty body"),
        ("revoke.refresh", "400 invalid_grant"),
        ("revoke.userinfo", "401 invalid_token"),
        ("machine.token", "yes (machine.upstream dev): 3 scopes where none was asked for"),
        ("machine.scope.unknown", "400 invalid_scope"),
        ("machine.scope.mixed", "a token without it"),
        ("machine.scope.openid", "400 invalid_scope"),
    ] {
        assert_eq!(answer(&found, id).1, text, "{id}");
    }
}

#[tokio::test]
async fn with_rotation_the_used_token_is_tried_again() {
    let strict = pool(Rotation::On { grace_seconds: 0 }).await;
    let found = report(&strict).await;
    assert_eq!(answer(&found, "refresh.rotation").1, "yes: rotation is on");
    let dead = "400 invalid_grant; the newest one goes on";
    assert_eq!(answer(&found, "refresh.reuse"), (Verdict::AsExpected, dead));
    assert_eq!(with_verdict(&found, Verdict::Differs), ["machine.resource"], "{found}");

    let lenient = pool(Rotation::On { grace_seconds: 30 }).await;
    let text = format!("tokens within the grace period; after 0 s {dead}");
    assert_eq!(answer(&report(&lenient).await, "refresh.reuse"), (Verdict::AsExpected, text.as_str()));
}

/// Secrets made by hand may hold characters that HTTP Basic encodes, and public clients have none.
#[tokio::test]
async fn a_secret_of_any_kind_is_shown_as_the_pool_takes_it() {
    for (secret, line, basic, wrong) in [
        (
            Some("dev+web+secret"),
            "client_secret = \"dev+web+secret\"",
            (AsExpected, "it takes both spellings"),
            (AsExpected, "400 invalid_client; the code is not spent"),
        ),
        (
            None,
            "",
            (NotAsked, "the app client is configured without a secret"),
            (NotAsked, "the app client is configured without a secret"),
        ),
    ] {
        let pool = pool(Rotation::Off).await;
        edit_web(&pool, |client| client.secret = secret.map(str::to_owned));
        let text = configuration(&pool).replace("client_secret = \"dev-web-secret\"", line);
        let found = acceptance::run(&parsed(&text), &options(), &|_| {}).await.unwrap();
        assert_eq!((answer(&found, "client.basic"), answer(&found, "code.client_secret")), (basic, wrong), "{found}");
        assert!(answer(&found, "code.reuse").1.starts_with("400 invalid_grant") && !found.breaks(), "{found}");
    }
}

/// What is done to a pool, the question that has another answer then, and that.
struct Deviation(&'static str, fn(&UserPool), Verdict, &'static str);

/// Breaks the `n`th request to an endpoint.
fn nth(pool: &UserPool, endpoint: PoolEndpoint, n: usize, fault: Fault) {
    (1..n).for_each(|_| pool.fault_once(endpoint, Fault::Delay(Duration::ZERO)));
    pool.fault_once(endpoint, fault);
}

fn status(status: u16, body: &str) -> Fault {
    Fault::Status { status, content_type: "application/json", body: body.to_owned() }
}

fn redirect(location: &str) -> Fault {
    Fault::Redirect { status: 302, location: location.to_owned() }
}

fn claim(pool: &UserPool, edit: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
    pool.tamper_id_token(move |jwt| edit(&mut jwt.claims));
}

/// The same in renewals only: their ID tokens have no nonce.
fn renewed_claim(pool: &UserPool, edit: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) {
    claim(pool, move |claims| {
        if !claims.contains_key("nonce") {
            edit(claims)
        }
    });
}

fn edit_web(pool: &UserPool, edit: impl FnOnce(&mut AppClient)) {
    pool.edit_client("dev-web-client", edit);
}

/// Each deviation of a pool changes its verdict.
async fn deviate(rotation: Rotation, deviations: impl IntoIterator<Item = Deviation>) {
    let mut wrong = vec![];
    let usual = report(&pool(rotation).await).await;
    for Deviation(id, change, verdict, text) in deviations {
        let pool = pool(rotation).await;
        change(&pool);
        let found = report(&pool).await;
        let now = answer(&found, id);
        if now.0 != verdict || !now.1.contains(text) || now == answer(&usual, id) {
            wrong.push(format!("{id}: {now:?}, usually {:?}", answer(&usual, id)));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

use PoolEndpoint::{Api, Authorize, Logout, Revoke, TokenClientCredentials, TokenCode, TokenRefresh, UserInfo};
use Verdict::{AsExpected, Breaks, Differs, NotAsked};

#[tokio::test]
async fn deviations_before_a_sign_in_are_seen() {
    let deviations = [
        Deviation("authorize.state", |p| p.errors_without_state(true), Differs, "not with invalid_scope"),
        Deviation("authorize.scope", |p| p.errors_without_state(true), AsExpected, "without state"),
        Deviation(
            "authorize.redirect_uri",
            |p| edit_web(p, |c| c.callback_urls.push("http://localhost:8085/callback/auth-api-check".into())),
            Breaks,
            "the sign-in page",
        ),
        Deviation(
            "authorize.scope",
            |p| edit_web(p, |c| c.scopes.push("auth-api-check".into())),
            Differs,
            "the sign-in page",
        ),
        Deviation(
            "login.page",
            |p| nth(p, Authorize, 1, status(200, "<h1>Login pages unavailable</h1>")),
            Breaks,
            "says that it is unavailable",
        ),
        Deviation("login.page", |p| nth(p, Authorize, 1, redirect("/nowhere")), Breaks, "/nowhere answers 404"),
        Deviation("prompt.none.signed_out", |p| p.ignores_prompt(true), Differs, "the sign-in page"),
        Deviation("prompt.login", |p| p.ignores_prompt(true), Differs, "no page"),
        Deviation(
            "prompt.none.signed_in",
            |p| nth(p, Authorize, 8, redirect("http://localhost:8085/callback?error=login_required")),
            Differs,
            "the state",
        ),
        Deviation("logout.form", |p| p.fault(Logout, status(400, "")), Differs, "no sign-in page"),
        Deviation(
            "logout.session",
            |p| p.fault(Logout, redirect("http://localhost:8085/signed-out")),
            Breaks,
            "lives on",
        ),
        Deviation("logout.session", |p| edit_web(p, |c| c.logout_urls.clear()), NotAsked, "is not registered"),
    ];
    deviate(Rotation::Off, deviations).await;
}

#[tokio::test]
async fn deviations_of_codes_and_first_tokens_are_seen() {
    deviate(
        Rotation::Off,
        [
            Deviation("sign_in.tokens", |p| claim(p, |c| drop(c.remove("nonce"))), Breaks, "the nonce is wrong"),
            Deviation("sign_in.claims", |p| claim(p, |c| drop(c.remove("origin_jti"))), Differs, "; not origin_jti"),
            Deviation(
                "sign_in.groups",
                |p| claim(p, |c| drop(c.insert("cognito:groups".into(), json!("a,b")))),
                Differs,
                "no list of texts (ID token)",
            ),
            Deviation(
                "sign_in.audience",
                |p| p.tamper_access_token(|jwt| drop(jwt.claims.insert("aud".into(), json!(RESOURCE)))),
                Differs,
                "bearers with it are refused",
            ),
            Deviation("sign_in.size", |p| p.pad_tokens(9_000), Differs, "ID token 1"),
            Deviation(
                "sign_in.refresh_token",
                |p| p.fault(TokenCode, Fault::edit_json(|a| drop(a.remove("refresh_token")))),
                Differs,
                "no",
            ),
            Deviation(
                "sign_in.auth_time",
                |p| {
                    let times = AtomicI64::new(1_000_000_000);
                    claim(p, move |c| {
                        drop(c.insert("auth_time".into(), times.fetch_add(1, Ordering::Relaxed).into()));
                    });
                },
                Differs,
                "the latest sign-in",
            ),
            Deviation("code.client_secret", |p| nth(p, TokenCode, 3, status(200, "{}")), Breaks, "200: tokens"),
            Deviation("code.reuse", |p| nth(p, TokenCode, 5, status(200, "{}")), Breaks, "200 with JSON"),
            Deviation("code.reuse", |p| p.code_reuse_revokes(true), AsExpected, "are revoked"),
            Deviation("code.pkce", |p| nth(p, TokenCode, 6, status(200, "{}")), Breaks, "200: tokens"),
            Deviation("code.redirect_uri", |p| nth(p, TokenCode, 8, status(200, "{}")), Breaks, "200: tokens"),
        ],
    )
    .await;
}

#[tokio::test]
async fn deviations_of_renewals_and_revocations_are_seen() {
    deviate(
        Rotation::On { grace_seconds: 0 },
        [
            Deviation(
                "refresh.tokens",
                |p| p.fault(TokenRefresh, status(400, r#"{"error":"invalid_grant","error_description":"of jane"}"#)),
                Breaks,
                "400 invalid_grant",
            ),
            Deviation("refresh.tokens", |p| p.fault(TokenRefresh, Fault::Disconnect), NotAsked, ""),
            Deviation(
                "refresh.tokens",
                |p| renewed_claim(p, |c| drop(c.insert("nonce".into(), json!("another")))),
                Breaks,
                "the nonce is wrong",
            ),
            Deviation(
                "refresh.nonce",
                |p| renewed_claim(p, |c| drop(c.insert("nonce".into(), json!("another")))),
                Breaks,
                "another one",
            ),
            Deviation("refresh.at_hash", |p| renewed_claim(p, |c| drop(c.remove("at_hash"))), AsExpected, "no"),
            Deviation("refresh.origin_jti", |p| renewed_claim(p, |c| drop(c.remove("origin_jti"))), Differs, "no"),
            Deviation(
                "refresh.auth_time",
                |p| renewed_claim(p, |c| drop(c.insert("auth_time".into(), json!(1)))),
                Differs,
                "another one",
            ),
            Deviation("refresh.rotation", |p| edit_web(p, |c| c.rotation = Rotation::Off), AsExpected, "no"),
            Deviation(
                "refresh.reuse",
                |p| nth(p, TokenRefresh, 4, status(400, r#"{"error":"invalid_request"}"#)),
                Differs,
                "400 invalid_request",
            ),
            Deviation(
                "refresh.reuse",
                |p| nth(p, TokenRefresh, 5, status(400, r#"{"error":"invalid_grant"}"#)),
                Differs,
                "the newest one is dead, too",
            ),
            Deviation("revoke.userinfo", |p| nth(p, UserInfo, 2, status(503, "")), NotAsked, "the pool answers 503"),
            Deviation("revoke.refresh_token", |p| edit_web(p, |c| c.revocation = false), Breaks, "400 invalid_request"),
            Deviation("revoke.refresh", |p| p.fault(Revoke, status(200, "")), Breaks, "200 with JSON"),
            Deviation("revoke.again", |p| nth(p, Revoke, 2, status(400, "")), Differs, "400 with an empty body"),
            Deviation("revoke.userinfo", |p| nth(p, UserInfo, 2, status(200, "{}")), Differs, "it still answers"),
        ],
    )
    .await;
}

#[tokio::test]
async fn deviations_of_apis_and_of_machines_tokens_are_seen() {
    const REFUSED: &str = r#"{"__type":"NotAuthorizedException","message":"of jane"}"#;
    deviate(
        Rotation::Off,
        [
            Deviation(
                "userinfo.email_verified",
                |p| p.fault(UserInfo, Fault::edit_json(|a| drop(a.insert("email_verified".into(), json!(true))))),
                AsExpected,
                "a boolean",
            ),
            Deviation("userinfo.email_verified", |p| p.fault(UserInfo, Fault::Html), Differs, "200 without JSON"),
            Deviation("get_user", |p| p.fault(Api, status(400, REFUSED)), Differs, "with NotAuthorizedException"),
            Deviation("identity_pool.login", |p| p.fault(Api, status(400, REFUSED)), Breaks, "NotAuthorizedException"),
            Deviation(
                "machine.token",
                |p| p.edit_client("dev-machine-client", |client| client.scopes.clear()),
                Breaks,
                "refused with invalid_grant",
            ),
            Deviation(
                "machine.scope.unknown",
                |p| nth(p, TokenClientCredentials, 2, status(200, "{}")),
                Differs,
                "a token",
            ),
            Deviation(
                "machine.scope.openid",
                |p| nth(p, TokenClientCredentials, 3, status(200, "{}")),
                Differs,
                "a token",
            ),
            Deviation(
                "machine.scope.mixed",
                |p| nth(p, TokenClientCredentials, 4, status(400, r#"{"error":"invalid_grant"}"#)),
                AsExpected,
                "400 invalid_grant",
            ),
            Deviation(
                "machine.resource",
                |p| p.tamper_access_token(|jwt| drop(jwt.claims.insert("aud".into(), json!(RESOURCE)))),
                AsExpected,
                "yes",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_pool_that_takes_no_callback_here_is_told_what_to_register() {
    let pool = pool(Rotation::Off).await;
    edit_web(&pool, |client| client.callback_urls.clear());
    let why = acceptance::run(&parsed(&configuration(&pool)), &options(), &|_| {}).await.unwrap_err();
    for part in
        ["redirect_mismatch", "http://localhost:8085/callback", "/signed-out", "LoopbackOrigin=http://localhost:8085"]
    {
        assert!(why.contains(part), "{part}: {why}");
    }
    let other = configuration(&pool).replace("dev-web-client", "another-client");
    let why = acceptance::run(&parsed(&other), &options(), &|_| {}).await.unwrap_err();
    assert!(why.contains("invalid_client"), "{why}");
    let foreign =
        configuration(&pool).replace("[provider]", "[provider]\nprofile = \"oidc\"").replace("identity_pool =", "#");
    let foreign = foreign.replace("endpoint =", "#");
    let why = acceptance::run(&parsed(&foreign), &options(), &|_| {}).await.unwrap_err();
    assert!(why.contains("about Cognito user pools"), "{why}");
}

#[test]
fn only_an_address_of_this_machine_can_be_come_back_to() {
    let urls = LoopbackUrls::new("http://127.0.0.1:9000/a/b").unwrap();
    assert_eq!(urls.signed_out.as_str(), "http://127.0.0.1:9000/signed-out");
    assert!(LoopbackUrls::new("http://[::1]:9000/callback").is_ok());
    for bad in [
        "https://localhost:8085/callback",
        "http://localhost/callback",
        "http://example.com:8085/callback",
        "http://localhost:8085/signed-out",
        "http://localhost:8085/callback?a=b",
        "http://localhost:8085/callback#a",
        "callback",
    ] {
        assert!(LoopbackUrls::new(bad).unwrap_err().contains("http://localhost:8085/callback"), "{bad}");
    }
}

#[test]
fn every_question_has_a_name_of_its_own() {
    let names: BTreeSet<_> = QUESTIONS.iter().map(|question| question.id).collect();
    assert_eq!(names.len(), QUESTIONS.len());
    for question in QUESTIONS {
        assert!(question.text.ends_with('?') && !question.relies_on.is_empty(), "{}", question.id);
        assert!(question.remedy.is_empty() != question.by_hand.is_empty(), "{}", question.id);
    }
}
