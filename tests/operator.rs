//! An operator's commands beside a running service whose sessions are in a redb file.
#![cfg(unix)]

use crate::support::process::{Service, command, is_known, run, serve, sign_in, spawn, terminate};
use crate::support::{Answer, Browser, until};
use auth_api::dev::pool::UserPool;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

const UPSTREAM: &str =
    "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev-cms-secret\"\n";

/// Exit code, standard output and standard error.
fn ask(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = run(folder, arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// What a command prints that succeeds.
fn done(folder: &Path, arguments: &[&str]) -> String {
    let (code, output, error) = ask(folder, arguments);
    assert_eq!(code, 0, "{arguments:?}: {output} {error}");
    // Beside no service, its audit records go there.
    assert!(error.lines().all(|line| line.contains("\"event\":")), "{error}");
    output
}

/// A service with an upstream, and one client in its configuration.
async fn with_upstream(folder: &Path) -> (Service, UserPool) {
    let (service, pool) = serve(folder).await;
    let (port, ops) = (service.port(), port_of(&service.ops));
    drop(service);
    let made = done(
        folder,
        &["client", "new", "--id", "nightly", "--owner", "us", "--scope", "cms/read", "--upstream", "dev"],
    );
    let block = &made[made.find("[[machine.client]]").unwrap()..];
    let mut toml = std::fs::OpenOptions::new().append(true).open(folder.join("auth-api.toml")).unwrap();
    write!(toml, "{UPSTREAM}{block}").unwrap();
    (spawn(folder, port, ops).expect("it starts with its clients"), pool)
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

/// The secret in what was printed.
fn secret(printed: &str) -> &str {
    printed.lines().find_map(|line| line.strip_prefix("client_secret  ")).unwrap()
}

async fn fetch(service: &Service, id: &str, secret: &str) -> Answer {
    let form = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
    Browser::new().post(&format!("{}/token", service.url), &form).await
}

async fn bearer(service: &Service, token: &str) -> u16 {
    let url = format!("{}/validate", service.url);
    Browser::new().send(reqwest::Method::GET, &url, |r| r.bearer_auth(token)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_listed_and_ended_beside_the_service_and_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (service, pool) = serve(folder).await;
    let (port, ops) = (service.port(), port_of(&service.ops));
    let (jane, phone) = (Browser::new(), Browser::new());
    sign_in(&service, &jane).await;
    sign_in(&service, &phone).await;
    let sub = jane.get(&format!("{}/validate", service.url)).await.json()["sub"].as_str().unwrap().to_owned();
    // At once, whether or not it listens already.
    let table = done(folder, &["sessions", "list", "--sub", &sub]);
    assert_eq!(table.lines().count(), 3, "{table}");
    let handle = table.lines().nth(1).unwrap().split_whitespace().next().unwrap();
    let other = done(folder, &["sessions", "end", "--sub", "somebody-else", "--handle", handle]);
    assert!(other.contains("has no session"), "{other}");
    assert_eq!(done(folder, &["sessions", "end", "--sub", &sub, "--handle", handle]), "1 session ended\n");
    assert_eq!(pool.live_refresh_tokens(), 1, "revoked at the provider");
    let alive = [is_known(&service, &jane).await, is_known(&service, &phone).await];
    assert_eq!(alive.into_iter().filter(|alive| *alive).count(), 1, "{alive:?}");

    // By an address: those of all users who have it.
    let listed = done(folder, &["sessions", "list", "--email", "Jane@Example.com"]);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert_eq!(
        done(folder, &["sessions", "list", "--email", "nobody@example.com"]),
        "nobody@example.com has no sessions\n"
    );
    sign_in(&service, &Browser::new()).await;
    assert_eq!(done(folder, &["sessions", "end", "--email", "jane@example.com"]), "2 sessions ended\n");
    assert!(!is_known(&service, &jane).await && !is_known(&service, &phone).await);
    until("an authentication of a later second counts", async || {
        sign_in(&service, &jane).await;
        is_known(&service, &jane).await
    })
    .await;

    // Killed, it leaves its socket behind, which nobody answers at.
    let socket = folder.join("auth-api.redb.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    drop(service);
    assert!(socket.exists());
    assert_eq!(done(folder, &["sessions", "list", "--sub", &sub]).lines().count(), 2);
    let mut service = spawn(folder, port, ops).expect("it starts again on its own file");
    assert_eq!(done(folder, &["sessions", "end", "--sub", &sub]), "1 session ended\n");
    assert!(!is_known(&service, &jane).await && !is_known(&service, &phone).await);
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    assert!(!socket.exists(), "it takes its socket along");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sessions_are_ended_and_a_backup_revives_none() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut service, _pool) = with_upstream(folder).await;
    let (port, ops) = (service.port(), port_of(&service.ops));
    let new =
        ["client", "new", "--id", "weekly", "--owner", "us", "--upstream", "dev", "--scope", "cms/read", "--register"];
    let made = done(folder, &new);
    let (jane, erin) = (Browser::new(), Browser::new());
    sign_in(&service, &jane).await;
    let stop = |service: &mut Service| {
        terminate(&service.child);
        assert!(service.child.wait().unwrap().success());
    };
    stop(&mut service);
    let (file, backup) = (folder.join("auth-api.redb"), folder.join("backup.redb"));
    std::fs::copy(&file, &backup).unwrap();

    service = spawn(folder, port, ops).expect("it starts");
    assert!(is_known(&service, &jane).await);
    let out = jane.post(&format!("{}/auth/signout", service.url), &[]).await;
    assert_eq!(out.status, 303);
    sign_in(&service, &erin).await;
    let printed = done(folder, &["sessions", "end", "--all"]);
    assert!(printed.starts_with("all sessions that were started until 2"), "{printed}");
    assert!(!is_known(&service, &erin).await);
    until("an authentication of a later second counts", async || {
        let browser = Browser::new();
        sign_in(&service, &browser).await;
        is_known(&service, &browser).await
    })
    .await;
    stop(&mut service);

    std::fs::copy(&backup, &file).unwrap();
    done(folder, &["sessions", "end", "--all"]);
    service = spawn(folder, port, ops).expect("it starts with the backup");
    assert!(!is_known(&service, &jane).await, "she signed out after the backup was made");
    until("people sign in again", async || {
        let browser = Browser::new();
        sign_in(&service, &browser).await;
        is_known(&service, &browser).await
    })
    .await;
    assert_eq!(fetch(&service, "weekly", secret(&made)).await.status, 200, "its registration is in the backup");

    for wrong in
        [&["sessions", "end"][..], &["sessions", "end", "--all", "--sub", "x"], &["sessions", "end", "--handle", "x"]]
    {
        assert_eq!(ask(folder, wrong).0, 2, "{wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_registered_changed_and_forgotten_beside_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (mut service, _pool) = with_upstream(folder).await;
    let (port, ops) = (service.port(), port_of(&service.ops));
    let new = [
        "client",
        "new",
        "--id",
        "weekly",
        "--owner",
        "them",
        "--upstream",
        "dev",
        "--scope",
        "cms/read",
        "--register",
    ];
    let made = done(folder, &new);
    let first = secret(&made);
    assert!(!made.contains("sha256:") && !made.contains("[[machine.client]]"), "{made}");
    let answer = fetch(&service, "weekly", first).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let token = answer.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(bearer(&service, &token).await, 200);
    let (code, _, error) = ask(folder, &new);
    assert!(code == 2 && error.contains("weekly is registered already"), "{code} {error}");

    let table = done(folder, &["client", "list"]);
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[1], ["nightly", "enabled", "configuration", "dev", "us", "cms/read"], "{table}");
    assert_eq!(cells[2], ["weekly", "enabled", "store", "dev", "them", "cms/read"], "{table}");
    let json: serde_json::Value = serde_json::from_str(&done(folder, &["client", "list", "--json"])).unwrap();
    assert_eq!((json["clients"][1]["place"].as_str(), json["clients"].as_array().unwrap().len()), (Some("store"), 2));

    done(folder, &["client", "disable", "--id", "weekly"]);
    assert_eq!((fetch(&service, "weekly", first).await.status, bearer(&service, &token).await), (401, 401));
    let shown = done(folder, &["client", "show", "--id", "weekly"]);
    assert!(shown.contains("state            disabled\n") && shown.contains("secrets          sha256:"), "{shown}");
    done(folder, &["client", "enable", "--id", "weekly"]);
    assert_eq!((fetch(&service, "weekly", first).await.status, bearer(&service, &token).await), (200, 200));

    let rotated = done(folder, &["client", "rotate", "--id", "weekly"]);
    let second = secret(&rotated);
    for (secret, status) in [(first, 200), (second, 200)] {
        assert_eq!(fetch(&service, "weekly", secret).await.status, status);
    }
    let (code, _, error) = ask(folder, &["client", "rotate", "--id", "weekly"]);
    assert!(code == 2 && error.contains("has two secrets"), "{code} {error}");
    done(folder, &["client", "rotate", "--id", "weekly", "--retire"]);
    for (secret, status) in [(first, 401), (second, 200)] {
        assert_eq!(fetch(&service, "weekly", secret).await.status, status);
    }
    // What was changed is there after a restart.
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    let third = done(folder, &["client", "rotate", "--id", "weekly", "--replace"]);
    let service = spawn(folder, port, ops).expect("it starts again");
    until("the clients in the store are read", async || fetch(&service, "weekly", second).await.status != 503).await;
    for (secret, status) in [(second, 401), (secret(&third), 200)] {
        assert_eq!(fetch(&service, "weekly", secret).await.status, status);
    }
    done(folder, &["client", "remove", "--id", "weekly"]);
    assert_eq!((fetch(&service, "weekly", secret(&third)).await.status, bearer(&service, &token).await), (401, 401));
    let (code, _, error) = ask(folder, &["client", "show", "--id", "weekly"]);
    assert!(code == 2 && error.contains("no client is registered as weekly"), "{code} {error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_configuration_is_stopped_at_once_and_rotated_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (_service, _pool) = with_upstream(folder).await;
    done(folder, &["client", "disable", "--id", "nightly"]);
    assert!(done(folder, &["client", "show", "--id", "nightly"]).contains("disabled"));
    done(folder, &["client", "enable", "--id", "nightly"]);
    let rotated = done(folder, &["client", "rotate", "--id", "nightly"]);
    let line = rotated.lines().last().unwrap();
    let hashes = toml::from_str::<toml::Table>(line).unwrap()["secret_hashes"].as_array().unwrap().len();
    assert_eq!((secret(&rotated).len(), hashes), (43, 2), "{rotated}");
    for (arguments, words) in [
        (&["remove", "--id", "nightly"][..], "registered in the configuration"),
        (&["rotate", "--id", "nightly", "--retire"], "registered in the configuration"),
        (&["disable", "--id", "nobody\u{1b}[2J"], "no client is registered as nobody"),
        (&["rotate", "--id", "nobody"], "no client is registered as nobody"),
        (
            &["new", "--register", "--id", "x", "--owner", "us", "--scope", "a/b", "--upstream", "y"],
            "no [[machine.upstream]]",
        ),
    ] {
        let (code, output, error) = ask(folder, &[&["client"], arguments].concat());
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?}: {error}");
        assert!(error.contains(words) && !error.contains('\u{1b}'), "{arguments:?}: {error}");
    }
    // Without a store that lasts, the configuration's can be looked at.
    for (arguments, code) in [(["client", "list"].as_slice(), 0), (&["client", "disable", "--id", "nightly"], 2)] {
        let output = command(folder).env("AUTH_API__SESSION__STORE", "memory:").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_command_is_answered_and_harms_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    assert_eq!(ask(folder.path(), &["sessions", "list", "--sub", "nobody"]).0, 0, "it listens");
    for request in ["", "{", "null", "{\"ListSessions\":{}}", "{\"Unknown\":1}", &"x".repeat(200_000)] {
        let mut socket = UnixStream::connect(folder.path().join("auth-api.redb.sock")).unwrap();
        let mut answer = String::new();
        // It need not read all of it.
        if socket.write_all(request.as_bytes()).is_ok() && socket.shutdown(std::net::Shutdown::Write).is_ok() {
            let _ = socket.read_to_string(&mut answer);
            assert!(answer.is_empty() || answer.contains("another version"), "{answer}");
        }
    }
    assert_eq!(ask(folder.path(), &["sessions", "list", "--sub", "nobody"]).0, 0);
    assert_eq!(Browser::new().get(&format!("{}/livez", service.ops)).await.status, 200);
}
