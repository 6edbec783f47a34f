//! The audit stream: every event is one line that its schema knows, no line is lost in silence, and where that is
//! required nobody signs in without one.

use crate::support::process::{Service, run, serve, sign_in, spawn, terminate};
use crate::support::{Browser, Site, until};
use auth_api::audit::{
    AuditDestination, AuditEvent, AuditFilePath, AuditLog, RequestContext, SessionEndedBy, list, schema, text,
};
use auth_api::dev::pool::{Fault, IDENTITY_POOL, PoolEndpoint, UserPool};
use auth_api::domain::clock::{Clock, SystemClock, Timestamp};
use auth_api::domain::machine::SecretHash;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "a-secret-of-a-registered-client-0123456789";

/// One of each, with everything that it can hold.
fn one_of_each() -> Vec<AuditEvent> {
    let (some, session) = (Some(text("ä \u{202e}\"x\"")), || "a handle".to_owned());
    vec![
        AuditEvent::ServiceStarted { version: "1" },
        AuditEvent::ServiceStopped {},
        AuditEvent::SignIn { sub: text("s"), username: text("u"), provider: some.clone(), session: session() },
        AuditEvent::SignIn { sub: text("s"), username: text("u"), provider: None, session: session() },
        AuditEvent::SignInFailed { reason: "cancelled", sub: some.clone(), detail: some.clone() },
        AuditEvent::SignOut { sub: text("s"), session: session(), everywhere: true },
        AuditEvent::SessionEnded { sub: text("s"), session: session(), by: SessionEndedBy::BackchannelLogout },
        AuditEvent::AllSessionsEnded { until: Timestamp::from_secs(7) },
        AuditEvent::TokenIssued {
            client: text("c"),
            owner: some.clone(),
            on_behalf_of: some.clone(),
            scopes: list("a b"),
            resource: some.clone(),
            cached: true,
        },
        AuditEvent::TokenRefused { reason: "invalid_client" },
        AuditEvent::TokenRevoked { client: text("c"), owner: some.clone(), scopes: list("a b") },
        AuditEvent::AwsCredentialsIssued { sub: some.clone(), session: Some(session()) },
        AuditEvent::AccountChanged { sub: text("s"), session: session(), attributes: list("name") },
        AuditEvent::FactorChanged { sub: text("s"), session: session(), factor: "passkey", added: true },
        AuditEvent::AccountExported { sub: text("s"), session: session() },
        AuditEvent::AccountDeleted { sub: text("s"), session: session() },
        AuditEvent::DirectoryRead { client: text("c"), owner: some.clone(), about: some.clone(), users: 1 },
        AuditEvent::Denied {
            sub: text("s"),
            issuer: some.clone(),
            client: some.clone(),
            page: some.clone(),
            rule: some.clone(),
            missing: text("m"),
        },
        AuditEvent::OperatorCommand {
            command: "sessions end",
            uid: Some(0),
            about: some.clone(),
            session: some,
            done: true,
        },
        AuditEvent::ConfigurationReloaded { cause: "SIGHUP", changed: list("telemetry.log") },
        AuditEvent::ConfigurationRefused { cause: "SIGHUP" },
        AuditEvent::RecordsSuppressed { suppressed: "denied", count: 3 },
    ]
}

/// The records of a file, each of them valid, and numbered without a gap.
fn records(file: &Path) -> Vec<Value> {
    let schema = jsonschema::validator_for(&schema()).unwrap();
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "half a line: {text}");
    let records: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for record in &records {
        let mistakes: Vec<_> = schema.iter_errors(record).map(|mistake| mistake.to_string()).collect();
        assert!(mistakes.is_empty(), "{record}: {mistakes:?}");
    }
    records
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"].as_str().unwrap()).collect()
}

fn sequence(records: &[Value]) -> Vec<u64> {
    records.iter().map(|record| record["sequence"].as_u64().unwrap()).collect()
}

fn one<'a>(records: &'a [Value], event: &str) -> &'a Value {
    let found: Vec<_> = records.iter().filter(|record| record["event"] == event).collect();
    assert_eq!(found.len(), 1, "{event} in {records:#?}");
    found[0]
}

fn log(path: PathBuf, keep_days: Option<usize>, required: bool, clock: Arc<dyn Clock>) -> AuditLog {
    let destination = AuditDestination::File(AuditFilePath { path, keep_days });
    AuditLog::open(destination, required, clock, Arc::default()).unwrap()
}

/// A file in a folder that lives as long as the test.
fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("audit.jsonl");
    (folder, file)
}

#[test]
fn the_schema_knows_every_event_and_nothing_else() {
    let (_folder, file) = place();
    let log = log(file.clone(), None, false, Arc::new(SystemClock));
    let agent = Some(reqwest::header::HeaderValue::from_bytes(b"Firefox \xff").unwrap());
    let request = RequestContext { request_id: "an-id".into(), address: Some("2001:db8::1".parse().unwrap()), agent };
    request.sync_scope(|| one_of_each().iter().for_each(|event| log.record(event)));
    one_of_each().iter().for_each(|event| log.record(event));
    log.flush();
    let records = records(&file);
    assert_eq!(records.len(), 2 * one_of_each().len());
    assert_eq!(sequence(&records), (1..=records.len() as u64).collect::<Vec<_>>());
    let schema_text = schema();
    let named = |branch: &Value| branch["properties"]["event"]["enum"][0].as_str().unwrap().to_owned();
    let known: BTreeSet<_> = schema_text["oneOf"].as_array().unwrap().iter().map(named).collect();
    assert_eq!(known, events(&records).into_iter().map(str::to_owned).collect());
    let schema = jsonschema::validator_for(&schema_text).unwrap();
    for (field, value) in [("token", json!("x")), ("sub", json!(7)), ("time", Value::Null)] {
        let mut record = one(&records[..one_of_each().len()], "sign_out").clone();
        record[field] = value;
        assert!(!schema.is_valid(&record), "{record}");
    }
}

/// A site with everything that is recorded, and its file.
async fn site(file: &Path, further: &[(&str, &str)]) -> Site {
    let text = format!(
        r#"
[[machine.upstream]]
name = "dev"
client_id = "dev-cms-client"
client_secret = "dev-cms-secret"
[[machine.client]]
id = "nightly"
secret_hashes = ["{}"]
owner = "data team"
scopes = ["cms/read"]
upstream = "dev"
"#,
        SecretHash::of(SECRET)
    );
    let file = file.to_str().unwrap();
    let all = [
        ("TELEMETRY__AUDIT", file),
        ("AWS__IDENTITY_POOL", IDENTITY_POOL),
        ("ACCOUNT__WRITABLE", "name"),
        ("PROVIDER__SCOPES", "openid,email,profile,aws.cognito.signin.user.admin"),
    ];
    Site::with_text(&text, &[&all, further].concat()).await
}

async fn token(site: &Site, secret: &str) -> Value {
    let form = [("grant_type", "client_credentials"), ("client_id", "nightly"), ("client_secret", secret)];
    Browser::new().post(&site.auth("/token"), &form).await.json()
}

#[tokio::test]
async fn a_change_that_the_pool_has_made_is_recorded_also_where_it_then_fails() {
    let (_folder, file) = place();
    let site = site(&file, &[]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    // The change is answered; the question after it is not.
    site.pool.fault_once(PoolEndpoint::Api, Fault::Delay(Duration::ZERO));
    site.pool.fault(PoolEndpoint::Api, Fault::Html);
    let change = |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(r#"{"name":"Jane R"}"#);
    let answer = jane.send(Method::PATCH, &site.auth("/auth/profile"), change).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    site.pool.clear_faults();
    let profile = jane.get(&site.auth("/auth/profile")).await.json();
    assert_eq!(profile["attributes"]["name"], "Jane R", "the pool has it");
    site.rp.audit.flush();
    assert_eq!(events(&records(&file)), ["service_started", "sign_in", "account_changed"]);
}

#[tokio::test]
async fn what_people_and_programs_do_is_recorded_in_order_and_without_a_secret() {
    let (_folder, file) = place();
    let site = site(&file, &[]).await;
    let (jane, phone) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    phone.sign_in(&site, "jane").await;
    let handle = phone.get(&site.auth("/auth/sessions")).await.json()["sessions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|session| session["current"] == true)
        .unwrap()["handle"]
        .as_str()
        .unwrap()
        .to_owned();
    let change = |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(r#"{"name":"Jane R"}"#);
    assert_eq!(jane.send(Method::PATCH, &site.auth("/auth/profile"), change).await.status, 200);
    assert_eq!(jane.post(&site.auth("/auth/aws-credentials"), &[]).await.status, 200);
    let denied = jane.get(&site.auth("/validate?group=nobody")).await;
    assert_eq!(denied.status, 403);
    let ended = jane.send(Method::DELETE, &site.auth(&format!("/auth/sessions/{handle}")), |r| r).await;
    assert_eq!(ended.status, 204);
    assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    let cookie = site.auth("/auth/signin/callback?error=access_denied&error_description=an%20eyJ%20text");
    assert_eq!(jane.get(&cookie).await.status, 403);
    let issued = token(&site, SECRET).await;
    token(&site, SECRET).await;
    token(&site, "a-wrong-secret-of-the-client-0123456789").await;
    let access = issued["access_token"].as_str().unwrap();
    let form = [("client_id", "nightly"), ("client_secret", SECRET), ("token", access)];
    assert_eq!(Browser::new().post(&site.auth("/revoke"), &form).await.status, 200);
    site.rp.audit.flush();

    let records = records(&file);
    assert_eq!(
        events(&records),
        [
            "service_started",
            "sign_in",
            "sign_in",
            "account_changed",
            "aws_credentials_issued",
            "denied",
            "session_ended",
            "sign_out",
            "sign_in_failed",
            "token_issued",
            "token_issued",
            "token_refused",
            "token_revoked"
        ]
    );
    assert_eq!(sequence(&records), (1..=13).collect::<Vec<_>>());
    let (first, second) = (&records[1], &records[2]);
    assert_eq!((first["username"].as_str(), first["address"].as_str()), (Some("jane"), Some("127.0.0.1")));
    assert_eq!((&second["session"], &first["sub"]), (&json!(handle), &second["sub"]));
    assert_ne!(first["request_id"], second["request_id"]);
    assert_eq!((&one(&records, "session_ended")["by"], &records[6]["session"]), (&json!("user"), &json!(handle)));
    let refusal = one(&records, "denied");
    assert_eq!(refusal["request_id"].as_str(), denied.header("x-request-id"));
    assert!(refusal["missing"].as_str().unwrap().contains("nobody"), "{refusal}");
    assert_eq!(one(&records, "sign_out")["session"], first["session"]);
    assert_eq!(one(&records, "account_changed")["attributes"], "name");
    assert_eq!((&records[9]["cached"], &records[10]["cached"]), (&json!(false), &json!(true)));
    assert_eq!((&records[9]["client"], &records[9]["owner"]), (&json!("nightly"), &json!("data team")));
    assert_eq!(one(&records, "token_refused")["reason"], "invalid_client");
    let text = std::fs::read_to_string(&file).unwrap();
    for secret in ["eyJ", SECRET, "a-wrong-secret", "dev-cms-secret", "Jane R", "code="] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test]
async fn what_strangers_cause_is_bounded_and_summed_up() {
    let (_folder, file) = place();
    let site = site(&file, &[]).await;
    let stranger = Browser::new();
    let hundreds = 400;
    for _ in 0..hundreds {
        stranger.get(&site.auth("/auth/signin/callback?error=access_denied")).await;
    }
    stranger.sign_in(&site, "jane").await;
    site.pass(60);
    site.rp.audit.summarize();
    site.rp.audit.flush();
    let records = records(&file);
    let failed = events(&records).iter().filter(|event| **event == "sign_in_failed").count() as u64;
    let summed_up: u64 = records.iter().filter_map(|record| record["count"].as_u64()).sum();
    assert_eq!(failed + summed_up, hundreds, "each is counted once");
    assert!(failed < hundreds, "{failed}");
    one(&records, "sign_in");
}

/// Where nothing can be written; after it, everything can.
#[cfg(target_os = "linux")]
fn fill_disk(file: &Path) {
    let _ = std::fs::remove_file(file);
    std::os::unix::fs::symlink("/dev/full", file).unwrap();
}

#[cfg(target_os = "linux")]
async fn degraded(site: &Site) -> Value {
    Browser::new().get(&format!("{}/readyz", site.ops_url)).await.json()["degraded"]["audit"].clone()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn while_the_disk_is_full_records_wait_and_readiness_says_so() {
    let (_folder, file) = place();
    let site = site(&file, &[]).await;
    site.rp.audit.flush();
    let started = records(&file);
    fill_disk(&file);
    site.rp.audit.reopen();
    let jane = Browser::new();
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
    assert_eq!(jane.validate(&site).await.status, 200);
    until("it is noticed", async || degraded(&site).await.is_string()).await;
    assert_eq!(site.metric("auth_api_degraded{component=\"audit\"}").await, 1);
    std::fs::remove_file(&file).unwrap();
    site.rp.audit.reopen();
    until("it is over", async || degraded(&site).await.is_null()).await;
    let later = records(&file);
    assert_eq!(sequence(&[started, later.clone()].concat()), [1, 2]);
    one(&later, "sign_in");
    assert_eq!(site.metric("auth_api_audit_records_dropped_total").await, 0);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn where_records_are_required_nobody_signs_in_without_one() {
    let (_folder, file) = place();
    let site = site(&file, &[("TELEMETRY__AUDIT_REQUIRED", "true")]).await;
    let (known, jane, gary) = (Browser::new(), Browser::new(), Browser::new());
    assert_eq!(known.sign_in(&site, "jane").await.status, 302);
    let (early, late) = (jane.to_callback(&site, "", "jane").await, gary.to_callback(&site, "", "gary").await);
    fill_disk(&file);
    site.rp.audit.reopen();
    // The first to notice: its code is spent, and its session ends before anybody has the cookie.
    let first = jane.get(&early).await;
    assert_eq!((first.status, first.header("retry-after")), (503, Some("5")));
    assert!(first.set_cookies("auth=").is_empty(), "{first:?}");
    assert!(degraded(&site).await.is_string());
    until("its refresh token is revoked", async || site.pool.live_refresh_tokens() == 1).await;
    // From then on nobody is sent away to type a password, and no code is spent.
    let begun = Browser::new().get(&site.auth("/auth/signin")).await;
    assert_eq!(begun.status, 503);
    assert!(begun.body.contains("Nobody can sign in right now"), "{}", begun.body);
    assert_eq!(gary.get(&late).await.status, 503);
    assert_eq!(known.validate(&site).await.status, 200, "who is signed in stays so");
    std::fs::remove_file(&file).unwrap();
    site.rp.audit.reopen();
    until("it is over", async || degraded(&site).await.is_null()).await;
    assert_eq!(gary.get(&late).await.status, 302, "the code was not spent");
    let records = records(&file);
    assert_eq!(
        records.iter().filter(|record| record["by"] == "audit_failure").count(),
        1,
        "the attempt and its end are there: {records:#?}"
    );
    assert_eq!(records.last().unwrap()["provider"], "Google");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_file_that_was_replaced_is_found_though_no_record_has_room() {
    let (_folder, file) = place();
    fill_disk(&file);
    let log = log(file.clone(), None, false, Arc::new(SystemClock));
    (0..20_000).for_each(|_| log.record(&AuditEvent::ServiceStopped {}));
    std::fs::remove_file(&file).unwrap();
    log.reopen();
    until("records are written", async || log.failure().is_none() && file.exists()).await;
    assert!(records(&file).len() >= 4_096);
}

#[test]
fn an_old_day_gets_its_date_and_is_removed_in_time() {
    let (folder, file) = place();
    let clock = Arc::new(auth_api::domain::clock::ShiftedClock::default());
    let log = log(file.clone(), Some(2), false, clock.clone());
    let day = || AuditEvent::ServiceStopped {};
    log.record(&day());
    log.flush();
    std::fs::write(folder.path().join("audit.jsonl.2020-01-01"), "").unwrap();
    std::fs::write(folder.path().join("audit.jsonl.backup"), "").unwrap();
    let names = || {
        let found = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        found.map(|name| name.to_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(names().len(), 3);
    clock.shift(86_400);
    log.record(&day());
    log.flush();
    let after_a_day = names();
    let today = after_a_day.iter().find(|name| name.contains(".jsonl.20")).unwrap().clone();
    assert_eq!((after_a_day.len(), &*today != "audit.jsonl.2020-01-01"), (3, true), "{after_a_day:?}");
    assert_eq!(sequence(&records(&folder.path().join(&today))), [1]);
    assert_eq!(sequence(&records(&file)), [2]);
    clock.shift(3 * 86_400);
    log.record(&day());
    log.flush();
    assert_eq!(names(), ["audit.jsonl", "audit.jsonl.backup"].map(str::to_owned).into());
}

/// The service as a process, with its file.
async fn process(folder: &Path, telemetry: &str) -> (Service, UserPool) {
    let (service, pool) = serve(folder).await;
    let (port, ops) = (service.port(), service.ops.rsplit(':').next().unwrap().parse().unwrap());
    drop(service);
    let toml = folder.join("auth-api.toml");
    std::fs::write(&toml, std::fs::read_to_string(&toml).unwrap() + telemetry).unwrap();
    (spawn(folder, port, ops).expect("it starts again"), pool)
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_are_recorded_and_a_renamed_file_is_left_at_sighup() {
    let (folder, file) = place();
    let (service, _pool) = process(folder.path(), "audit = \"audit.jsonl\"\n").await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    let sub = jane.get(&format!("{}/validate", service.url)).await.json()["sub"].as_str().unwrap().to_owned();
    let old = folder.path().join("audit.jsonl.1");
    std::fs::rename(&file, &old).unwrap();
    std::process::Command::new("sh").args(["-c", &format!("kill -HUP {}", service.child.id())]).status().unwrap();
    until("the new file is there", async || file.exists()).await;
    let ended = run(folder.path(), &["sessions", "end", "--sub", &sub]);
    assert!(ended.status.success(), "{ended:?}");
    terminate(&service.child);
    let mut service = service;
    service.child.wait().unwrap();
    // Beside no service, a command writes itself.
    assert!(run(folder.path(), &["client", "list"]).status.success());
    let (before, after) = (records(&old), records(&file));
    assert_eq!(events(&before), ["service_started", "sign_in"]);
    assert_eq!(
        events(&after),
        ["configuration_reloaded", "session_ended", "operator_command", "service_stopped", "operator_command"]
    );
    let command = &after[2];
    assert_eq!(
        (&command["command"], &command["about"], &command["done"]),
        (&json!("sessions end"), &json!(sub), &json!(true))
    );
    assert!(command["uid"].is_u64(), "{command}");
    assert_eq!(after[1]["by"], "operator");
    assert_eq!(after[4]["command"], "client list");
    assert_ne!(after[4]["instance"], command["instance"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_log_a_record_is_a_line_of_the_same_schema_at_every_level() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, _pool) = process(folder.path(), "log = \"error,auth_api::cli=info\"\n").await;
    sign_in(&service, &Browser::new()).await;
    terminate(&service.child);
    let log = service.log();
    let found: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let found: Vec<_> = found.into_iter().filter(|line| line["event"].is_string()).collect();
    let file = folder.path().join("found");
    std::fs::write(&file, found.iter().map(|record| format!("{record}\n")).collect::<String>()).unwrap();
    assert_eq!(events(&records(&file)), ["service_started", "sign_in", "service_stopped"]);
}

#[test]
fn the_schema_is_printed_and_an_unusable_file_is_said_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let printed = run(folder.path(), &["audit-schema"]);
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), schema());
    std::fs::write(
        folder.path().join("auth-api.toml"),
        r#"
[server]
public_url = "http://auth-api.app.localhost"
listen = "127.0.0.1:0"
ops_listen = ""
[provider]
issuer = "http://127.0.0.1:9/pool"
client_id = "web"
[cookies]
domain = "app.localhost"
keys = ["0123456789 of a key for this test 9876543210"]
[telemetry]
audit = "no/such/folder/audit.jsonl"
"#,
    )
    .unwrap();
    let refused = run(folder.path(), &["serve"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("telemetry.audit: ") && said.contains("cannot be written"), "{said}");
}
