//! The command: what it prints, saves and shows, and its exit codes.

use super::{PASSWORD, USER, configuration, edit_web, pool};
use crate::support::process::{command, run};
use auth_api::dev::pool::{Rotation, UserPool};
use serde_json::Value;
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// A folder with a configuration for a pool.
async fn operator() -> (UserPool, TempDir) {
    let (pool, folder) = (pool(Rotation::On { grace_seconds: 0 }).await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("auth-api.toml"), configuration(&pool)).unwrap();
    (pool, folder)
}

async fn sign_in(folder: &Path, password: &str, more: &[&str]) -> Output {
    let mut command = command(folder);
    command.args(["check", "--sign-in", "--user", USER]).args(more).env("AUTH_API_CHECK_PASSWORD", password);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn a_report_is_printed_saved_and_shown() {
    let (_pool, folder) = operator().await;
    let file = folder.path().join("report.json");
    let first = sign_in(folder.path(), PASSWORD, &["--save", "report.json"]).await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    let printed = text(&first.stdout);
    assert!(printed.contains("as expected      refresh.nonce: Does a renewed ID token hold the nonce?"), "{printed}");

    let saved = std::fs::read_to_string(&file).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let shown = run(folder.path(), &["check", "--show", "report.json"]);
    assert_eq!((shown.status.code(), text(&shown.stdout)), (Some(0), printed));
    let json = run(folder.path(), &["check", "--show", "report.json", "--json"]);
    assert_eq!(text(&json.stdout), saved);
    let report: Value = serde_json::from_str(&saved).unwrap();
    assert_eq!((&report["version"], &report["client_id"]), (&1.into(), &"dev-web-client".into()));
    let keys: Vec<_> = report["answers"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["id", "question", "answer", "relies_on", "verdict"]);

    let again = sign_in(folder.path(), PASSWORD, &["--save", "report.json"]).await;
    assert_eq!(again.status.code(), Some(2), "a file that is there stays: {again:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), saved);
    for secret in [PASSWORD, "dev-web-secret", "dev-machine-secret", "eyJ", "jane@"] {
        assert!(!saved.contains(secret) && !text(&first.stderr).contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_exit_code_says_whether_auth_api_works_with_the_pool() {
    let (pool, folder) = operator().await;
    edit_web(&pool, |client| client.revocation = false);
    let broken = sign_in(folder.path(), PASSWORD, &["--json"]).await;
    assert_eq!(broken.status.code(), Some(1), "{broken:?}");
    let report: Value = serde_json::from_slice(&broken.stdout).unwrap();
    let answers = report["answers"].as_array().unwrap();
    let revoked = answers.iter().find(|answer| answer["id"] == "revoke.refresh_token").unwrap();
    assert_eq!(revoked["verdict"], "breaks");
    assert!(revoked["remedy"].as_str().unwrap().contains("EnableTokenRevocation"));

    let wrong = sign_in(folder.path(), "another", &[]).await;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(text(&wrong.stdout).contains("the name or the password is wrong"), "{wrong:?}");

    edit_web(&pool, |client| client.callback_urls.clear());
    let unregistered = sign_in(folder.path(), PASSWORD, &["--save", "report.json"]).await;
    assert_eq!(unregistered.status.code(), Some(2));
    assert!(text(&unregistered.stderr).contains("callback URL  http://localhost:8085/callback"), "{unregistered:?}");
    assert!(!folder.path().join("report.json").exists(), "it would be in the way of the next run");
}

#[tokio::test]
async fn a_password_can_come_from_standard_input() {
    let (_pool, folder) = operator().await;
    let mut asking = command(folder.path());
    asking.args(["check", "--sign-in", "--user", USER]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let output = tokio::task::spawn_blocking(move || {
        let mut child = asking.stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
        child.wait_with_output().unwrap()
    });
    assert_eq!(output.await.unwrap().status.code(), Some(0));
    let none = run(folder.path(), &["check", "--sign-in", "--user", USER]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("other.json"), "{}").unwrap();
    std::fs::write(folder.path().join("newer.json"), NEWER).unwrap();
    std::fs::write(folder.path().join("hostile.json"), NEWER.replace("9", "\\u001b[2J")).unwrap();
    for (arguments, words) in [
        (&["--sign-in", "--online"][..], "cannot be used with"),
        (&["--user", "jane"], "--sign-in"),
        (&["--save", "x"], "--sign-in"),
        (&["--json"], "--json is for --sign-in and --show"),
        (&["--show", "missing.json"], "missing.json"),
        (&["--show", "other.json"], "no report of a run"),
        (&["--show", "newer.json"], "a report of version 2"),
        (&["--show", "hostile.json"], "control characters"),
    ] {
        let output = run(folder.path(), &[&["check"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {output:?}");
    }
}

const NEWER: &str =
    r#"{"version":2,"auth_api":"9","asked_at":"x","issuer":"x","client_id":"x","answers":[],"further":true}"#;

/// The page shows parts of a real report: each block as it is printed.
#[tokio::test]
async fn the_guide_shows_what_is_printed() {
    let (_pool, folder) = operator().await;
    let printed = text(&sign_in(folder.path(), PASSWORD, &[]).await.stdout);
    let page = std::fs::read_to_string("src/guide/acceptance.md").unwrap();
    let shown = page.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    let printed: Vec<_> = printed.trim().split("\n\n").collect();
    let blocks: Vec<_> = shown.trim().split("\n\n").filter(|block| *block != "…").collect();
    assert!(blocks.len() > 5);
    for block in blocks {
        assert!(printed.contains(&block), "the guide shows\n{block}\nwhich is not in\n{}", printed.join("\n\n"));
    }
}
