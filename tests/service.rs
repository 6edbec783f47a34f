//! The service as its operator meets it: a process with a configuration, a port and a signal.

mod check_online;

use crate::support::process::{Service, command, configure, is_known, run, serve, sign_in, spawn, terminate};
use crate::support::{Browser, Site, free_port, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, UserPool};
use std::net::TcpListener;
use std::process::Child;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_survive_a_restart_and_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, _pool) = serve(folder.path()).await;
    let (port, ops) = (port_of(&service.url), port_of(&service.ops));
    let (jane, second) = (Browser::new(), Browser::new());
    sign_in(&service, &jane).await;
    service.child.kill().unwrap(); // SIGKILL: nothing is said good-bye to
    service.child.wait().unwrap();
    let mut service = spawn(folder.path(), port, ops).expect("it starts again on its own file");
    assert!(is_known(&service, &jane).await, "after kill -9");
    sign_in(&service, &second).await;
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    let service = spawn(folder.path(), port, ops).expect("and again");
    assert!(is_known(&service, &jane).await && is_known(&service, &second).await, "after a restart");
    assert!(folder.path().join("auth-api.redb").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookie_keys_change_without_signing_anybody_out() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _pool) = serve(folder.path()).await;
    let (port, ops) = (port_of(&service.url), port_of(&service.ops));
    let (jane, idle) = (Browser::new(), Browser::new());
    sign_in(&service, &jane).await;
    sign_in(&service, &idle).await;
    let file = folder.path().join("auth-api.toml");
    let first = std::fs::read_to_string(&file).unwrap();
    let old = "\"0123456789 of a key for this test 9876543210\"";
    let new = "\"9876543210 of the next key for this test 01\"";
    let restart = |service: Service, keys: &str| {
        drop(service);
        std::fs::write(&file, first.replace(old, keys)).unwrap();
        spawn(folder.path(), port, ops).expect("it starts with the keys changed")
    };
    let service = restart(service, &format!("{new}, {old}"));
    assert!(is_known(&service, &jane).await && is_known(&service, &idle).await, "the old key still opens");
    let renewed = jane.post(&format!("{}/refresh?force=true", service.url), &[]).await;
    assert_eq!(renewed.status, 200, "a write seals with the new one");
    let service = restart(service, new);
    assert!(is_known(&service, &jane).await, "which is all that is needed then");
    assert!(!is_known(&service, &idle).await, "what was not written since is lost with its key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_a_request_in_flight_finish_and_exits_0() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, pool) = serve(folder.path()).await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(700)));
    let url = format!("{}/refresh?force=true", service.url);
    let (renewed, ()) = tokio::join!(jane.post(&url, &[]), async {
        until("the renewal reaches the pool", async || pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        terminate(&service.child);
    });
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    let log = service.log();
    assert!(service.child.wait().unwrap().success());
    assert!(log.contains("auth-api has stopped"), "{log}");
    for line in log.lines() {
        let json: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(json["level"].is_string() && json["timestamp"].is_string());
    }
    assert!(!log.contains("eyJ") && !log.contains("dev-web-secret"), "{log}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lists_and_ends_a_users_sessions() {
    let folder = tempfile::tempdir().unwrap();
    let (mut service, pool) = serve(folder.path()).await;
    let (port, ops) = (port_of(&service.url), port_of(&service.ops));
    let (jane, phone, erin) = (Browser::new(), Browser::new(), Browser::new());
    sign_in(&service, &jane).await;
    let authorize = phone.get(&format!("{}/auth/signin", service.url)).await.location();
    let callback = phone.log_in(&authorize, "jane").await;
    // Raw bytes, as a client of no good will can send them: a terminal would obey the second.
    let agent = reqwest::header::HeaderValue::from_bytes("Phone \u{202e}\u{9b}31m".as_bytes()).unwrap();
    let landed = phone.send(reqwest::Method::GET, &callback, |r| r.header("user-agent", agent)).await;
    assert_eq!(landed.status, 302);
    let authorize = erin.get(&format!("{}/auth/signin", service.url)).await.location();
    erin.get(&erin.log_in(&authorize, "erin").await).await;
    let sub = phone.get(&format!("{}/validate", service.url)).await.json()["sub"].as_str().unwrap().to_owned();

    let ask = |arguments: &[&str]| {
        let output = run(folder.path(), &[&["sessions"], arguments].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    };
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());

    let (code, table, error) = ask(&["list", "--sub", &sub]);
    assert_eq!(code, 0, "{error}");
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(lines[0].starts_with("HANDLE") && lines[0].ends_with("DEVICE"), "{table}");
    let line = lines.iter().find(|line| line.contains("Phone")).unwrap();
    assert!(line.ends_with(r"Phone \u{202e}31m") && !table.contains('\u{202e}'), "{table}");
    let cells: Vec<&str> = line.split_whitespace().collect();
    assert_eq!((cells[0].len(), cells[3], cells[4]), (16, "127.0.0.1", "COGNITO"), "{table}");
    for time in &cells[1..3] {
        assert!(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "{table}");
    }
    let nobody = ask(&["list", "--sub", "nobody\u{1b}[2J"]);
    assert_eq!((nobody.0, nobody.1.as_str()), (0, "nobody\\u{1b}[2J has no sessions\n"));
    let unknown = ask(&["end", "--sub", &sub, "--handle", "AAAAAAAAAAAAAAAA"]);
    assert_eq!(unknown.0, 0);
    assert!(unknown.1.contains("has no session AAAAAAAAAAAAAAAA"), "{unknown:?}");
    // A handle in sixty-four begins so.
    let hyphen = ask(&["end", "--sub", &sub, "--handle", "-zAAAAAAAAAAAAAA"]);
    assert!(hyphen.0 == 0 && hyphen.1.contains("has no session -zAAAAAAAAAAAAAA"), "{hyphen:?}");
    let others = ask(&["end", "--sub", "somebody-else", "--handle", cells[0]]);
    assert!(others.1.contains("has no session"), "{others:?}");

    assert_eq!(pool.live_refresh_tokens(), 3);
    let one = ask(&["end", "--sub", &sub, "--handle", cells[0]]);
    assert_eq!((one.0, one.1.as_str()), (0, "1 session ended\n"), "{one:?}");
    assert_eq!(pool.live_refresh_tokens(), 2, "revoked at the provider");
    pool.fault(PoolEndpoint::Revoke, Fault::Stall);
    let rest = ask(&["end", "--sub", &sub]);
    assert_eq!((rest.0, rest.1.as_str()), (1, "1 session ended\n"), "{rest:?}");
    assert!(rest.2.contains("could not be revoked"), "{rest:?}");
    let none = ask(&["end", "--sub", &sub]);
    assert_eq!(none.0, 0);
    assert!(none.1.contains("has no sessions"), "{none:?}");

    let service = spawn(folder.path(), port, ops).expect("it starts again on its own file");
    assert!(!is_known(&service, &jane).await && !is_known(&service, &phone).await);
    assert!(is_known(&service, &erin).await, "nobody else's");

    for (store, sentence) in [("memory:", "only the running service"), ("redb:elsewhere.redb", "does not exist")] {
        let mut command = command(folder.path());
        command.env("AUTH_API__SESSION__STORE", store).args(["sessions", "end", "--sub", &sub]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{store}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(sentence), "{store}");
    }
    assert!(!folder.path().join("elsewhere.redb").exists());
    assert_eq!(ask(&["list"]).0, 2);
    assert_eq!(ask(&[]).0, 2);
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_metrics_are_on_the_ops_listener_only() {
    let folder = tempfile::tempdir().unwrap();
    let (service, pool) = serve(folder.path()).await;
    let probe = Browser::new();
    assert_eq!(probe.get(&format!("{}/livez", service.ops)).await.status, 200);
    until("it is ready", async || probe.get(&format!("{}/readyz", service.ops)).await.status == 200).await;
    for (arguments, says) in [(&["healthcheck"][..], "live\n"), (&["healthcheck", "--ready"], "ready\n")] {
        let healthy = run(folder.path(), arguments);
        assert_eq!((healthy.status.code(), healthy.stdout.as_slice()), (Some(0), says.as_bytes()));
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = probe.get(&format!("{}{path}", service.url)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "{path}");
    }
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    let text = probe.get(&format!("{}/metrics", service.ops)).await.body;
    for sample in [
        "auth_api_sign_ins_total{outcome=\"signed_in\"} 1",
        "auth_api_provider_request_seconds_count{endpoint=\"token\",outcome=\"ok\"} 1",
        "auth_api_provider_request_seconds_count{endpoint=\"jwks\",outcome=\"ok\"} 1",
    ] {
        assert!(text.contains(sample), "{sample} in {text}");
    }
    drop((service, pool));
    let unhealthy = run(folder.path(), &["healthcheck"]);
    assert_eq!(unhealthy.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_configuration_in_one_variable_is_like_a_file() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let pool = UserPool::start(PoolSettings::for_service("http://auth-api.app.localhost:1")).await.unwrap();
    configure(folder.path(), &pool, 1, 2);
    let path = folder.path().join("auth-api.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    let check = |text: &str, single: &[(&str, &str)], arguments: &[&str]| {
        let mut command = command(elsewhere.path());
        command.arg("check").args(arguments).env("AUTH_API_CONFIG", text).envs(single.iter().copied());
        let output = command.output().unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    };
    assert_eq!(check(&good, &[], &[]), (0, "the configuration is good\n".to_owned()));
    let both = check(&good, &[], &["--config", path.to_str().unwrap()]);
    assert!(both.0 == 2 && both.1.contains("AUTH_API_CONFIG"), "{both:?}");
    let (code, text) = check(&good, &[("AUTH_API__SERVER__PUBLIC_URL", "nonsense")], &[]);
    assert!(code == 1 && text.contains("AUTH_API__SERVER__PUBLIC_URL"), "a single variable wins: {text}");
    // Where the text breaks is said, and nothing of it.
    for broken in
        ["key = \"hunter2", "hunter2", "[hunter2", "x = hunter2", "x = \"\\hunter2\"", "a = 1\na = \"hunter2\""]
    {
        let (code, text) = check(&format!("# first\n{broken}\n"), &[], &[]);
        assert!(code == 1 && text.contains("AUTH_API_CONFIG line ") && !text.contains("hunter2"), "{broken}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tells_every_mistake_and_serve_refuses_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let bad = "[server]\npublic_url = \"http://auth.example.com\"\n[cookies]\ndomain = \"com\"\nkeys = [\"short\"]\ntypo = 1\n";
    std::fs::write(folder.path().join("auth-api.toml"), bad).unwrap();
    for command in ["check", "serve"] {
        let output = run(folder.path(), &[command]);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{command}: {text}");
        for key in [
            "server.public_url",
            "cookies.domain",
            "cookies.keys",
            "cookies.typo",
            "provider.issuer",
            "provider.client_id",
        ] {
            assert!(text.contains(key), "{command}: {key} in {text}");
        }
    }
    let missing = run(folder.path(), &["serve", "--config", "no-such-file.toml"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8(missing.stderr).unwrap().contains("no-such-file.toml"));

    let port = free_port();
    let pool =
        UserPool::start(PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"))).await.unwrap();
    configure(folder.path(), &pool, port, free_port());
    let good = run(folder.path(), &["check", "--online"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    pool.fault(PoolEndpoint::Jwks, Fault::Html);
    let bad = run(folder.path(), &["check", "--online"]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(String::from_utf8(bad.stderr).unwrap().contains("JWKS"));
    assert!(!folder.path().join("auth-api.redb").exists(), "a check makes no files");
    std::fs::write(folder.path().join("auth-api.redb"), b"not a store").unwrap();
    let damaged = run(folder.path(), &["serve"]);
    assert_eq!(damaged.status.code(), Some(2));
    assert!(String::from_utf8(damaged.stderr).unwrap().contains("auth-api.redb cannot be used as a session store"));
}

/// What `check --online` says, and its exit code.
fn online(folder: &std::path::Path) -> (i32, String) {
    let output = run(folder, &["check", "--online"]);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.code().unwrap(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_at_the_provider_is_found_before_anybody_signs_in() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let url = format!("http://auth-api.app.localhost:{port}");
    let pool = UserPool::start(PoolSettings::for_service(&url)).await.unwrap();
    configure(folder.path(), &pool, port, free_port());
    let file = folder.path().join("auth-api.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let upstream = "[[machine.upstream]]\nname = \"orders\"\nclient_id = \"dev-machine-client\"\n\
                    client_secret = \"dev-machine-secret\"\n";
    let write = |text: &str| std::fs::write(&file, format!("{text}{upstream}")).unwrap();
    write(&text);
    let (code, said) = online(folder.path());
    assert_eq!(code, 0, "{said}");
    for words in [
        "its issuer and keys are as configured",
        "the clocks agree",
        "good: a sign-in can begin: the client and its callback URL are registered",
        "good: the scopes are allowed",
        "a sign-out comes back",
        "the provider takes the client's secret",
        "machine.upstream orders: the provider takes its secret",
        "the session file will be made",
    ] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert_eq!(pool.live_refresh_tokens(), 0);

    let client = |edit: &dyn Fn(&mut auth_api::dev::pool::AppClient)| pool.edit_client("dev-web-client", edit);
    let expect = |words: &str| {
        let (code, said) = online(folder.path());
        assert!(code == 1 && said.contains(words), "{words} in {said}");
    };
    client(&|client| client.callback_urls = vec![format!("{url}/auth/signin/callback/")]);
    expect(&format!("the callback URL {url}/auth/signin/callback is not registered"));
    client(&|client| client.callback_urls = vec![format!("{url}/auth/signin/callback")]);
    client(&|client| client.logout_urls.clear());
    expect(&format!("the sign-out URL {url}/auth/signout/callback is not registered"));
    client(&|client| client.logout_urls = vec![format!("{url}/auth/signout/callback")]);
    client(&|client| client.scopes = vec!["openid".into()]);
    expect("the provider refuses a sign-in with `invalid_scope`");
    client(&|client| client.scopes.extend(["email".to_owned(), "profile".to_owned()]));
    write(&text.replace("dev-web-secret", "another-secret"));
    expect("does not take provider.client_secret");
    write(&text.replace("dev-web-client", "unknown-client"));
    expect("there is no client unknown-client");
    write(&text);
    pool.edit_client("dev-machine-client", |client| client.secret = Some("rotated-long-ago".into()));
    expect("machine.upstream orders: the provider does not take its id and secret");
    pool.edit_client("dev-machine-client", |client| client.secret = Some("dev-machine-secret".into()));
    pool.down(true);
    expect("cannot be reached");
}

#[tokio::test]
async fn documents_are_printed_and_bad_commands_exit_2() {
    let folder = tempfile::tempdir().unwrap();
    let reference = run(folder.path(), &["config-reference"]);
    assert!(String::from_utf8(reference.stdout).unwrap().contains("[provider]"));
    let schema = run(folder.path(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(schema["properties"]["provider"]["type"], "object");
    let openapi = run(folder.path(), &["openapi"]);
    let json: serde_json::Value = serde_json::from_slice(&openapi.stdout).unwrap();
    assert!(json["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(run(folder.path(), &["--help"]).status.code(), Some(0));
    for bad in [&["nonsense"][..], &[], &["serve", "--nonsense"]] {
        assert_eq!(run(folder.path(), bad).status.code(), Some(2), "{bad:?}");
    }
}

#[test]
fn dev_says_which_port_is_taken() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["dev", "--port", &port]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(&port) && text.contains("--port"), "{text}");
}

#[tokio::test]
async fn whatever_is_sent_nothing_answers_500() {
    let site = Site::start().await;
    let browser = Browser::new();
    let long = "a".repeat(20_000);
    for path in [
        "/nonsense",
        "/auth",
        "/auth/",
        "/auth/signin/",
        "/AUTH/signin",
        "/auth/../validate",
        "/auth/%2e%2e/validate",
        "//validate",
        "/validate/",
        "/validate;x",
        "/auth/signin?%",
        "/auth/signin?return_to=%ff%fe",
        "/auth/signin?provider=%0d%0a",
        "/auth/signin?login_hint=%00",
        "/auth/signin/callback?%",
        "/auth/signout/callback?x",
        "/auth/session?x",
        "/auth/sessions?x",
        "/auth/sessions/%ff%00",
        "/auth/backchannel-logout",
        "/openapi.json?x",
        &format!("/auth/signin?return_to={long}"),
        &format!("/auth/signin/callback?code={long}&state={long}"),
    ] {
        for method in [reqwest::Method::GET, reqwest::Method::POST, reqwest::Method::PATCH, reqwest::Method::OPTIONS] {
            let answer = browser.send(method.clone(), &site.auth(path), |r| r.body("x=%ff&return_to=%00")).await;
            assert!(answer.status < 500, "{method} {path}: {}", answer.status);
        }
    }
    let large = browser.send(reqwest::Method::POST, &site.auth("/auth/signout"), |r| r.body("a".repeat(100_000))).await;
    assert_eq!(large.status, 413);
    let wrong = browser.post(&site.auth("/auth/signin"), &[]).await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (405, "method-not-allowed"));
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_answer_of_the_provider_costs_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (service, pool) = serve(folder.path()).await;
    sign_in(&service, &Browser::new()).await;
    let before = resident(&service.child);
    for fault in [Fault::Huge { bytes: 200 << 20 }, Fault::GzipBomb, Fault::Drip] {
        let jane = Browser::new();
        let authorize = jane.get(&format!("{}/auth/signin", service.url)).await.location();
        let callback = jane.log_in(&authorize, "jane").await;
        pool.fault(PoolEndpoint::TokenCode, fault.clone());
        assert!(jane.get(&callback).await.status >= 500, "{fault:?}");
        pool.clear_faults();
        let grown = resident(&service.child).saturating_sub(before);
        assert!(grown < 64 << 20, "{fault:?}: {grown} bytes more");
    }
}

/// A process's resident memory, bytes.
#[cfg(target_os = "linux")]
fn resident(child: &Child) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", child.id())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}
