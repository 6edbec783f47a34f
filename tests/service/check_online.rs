//! `auth-api check --online` calls good or bad only what it has proved.

use crate::support::free_port;
use crate::support::process::{configure, run};
use crate::support::redis::Redis;
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, UserPool};
use axum::extract::RawQuery;
use axum::routing::get;
use http::StatusCode;
use std::path::Path;
use tempfile::TempDir;

const UPSTREAM: &str = "[[machine.upstream]]\nname = \"orders\"\nclient_id = \"dev-machine-client\"\n\
                        client_secret = \"dev-machine-secret\"\n";

/// A pool, and a configuration for it that `edit` has changed.
async fn at_pool(edit: impl Fn(String) -> String) -> (UserPool, TempDir) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
    let pool = UserPool::start(settings).await.unwrap();
    configure(folder.path(), &pool, port, free_port());
    write(folder.path(), edit);
    (pool, folder)
}

fn write(folder: &Path, edit: impl Fn(String) -> String) {
    let file = folder.join("auth-api.toml");
    std::fs::write(&file, edit(std::fs::read_to_string(&file).unwrap())).unwrap();
}

/// The same provider as one that is no Cognito.
fn other(text: String) -> String {
    text.replace("[provider]\n", "[provider]\nprofile = \"oidc\"\n") + UPSTREAM
}

/// What it says, and its exit code.
fn online(folder: &Path) -> (i32, String) {
    let output = run(folder, &["check", "--online"]);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.code().unwrap(), said)
}

/// The line with these words.
fn line<'a>(said: &'a str, words: &str) -> &'a str {
    said.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{words} in {said}"))
}

fn json(status: u16, body: &str) -> Fault {
    Fault::Status { status, content_type: "application/json", body: body.to_owned() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_judges_later_proves_nothing_today() {
    let (pool, folder) = at_pool(other).await;
    let page = Fault::Status { status: 200, content_type: "text/html", body: "<h1>Sign in</h1>".into() };
    let away = Fault::Redirect { status: 302, location: "/accounts/login/?next=/authorize%3Ferror%3D1".into() };
    for sign_in in [page.clone(), away] {
        pool.fault(PoolEndpoint::Authorize, sign_in);
        pool.fault(PoolEndpoint::Logout, page.clone());
        pool.fault(PoolEndpoint::TokenCode, json(400, r#"{"error":"invalid_grant"}"#));
        pool.fault(PoolEndpoint::TokenClientCredentials, json(400, r#"{"error":"invalid_scope"}"#));
        pool.fault(PoolEndpoint::Revoke, json(200, ""));
        let (code, said) = online(folder.path());
        assert_eq!(code, 0, "nothing is proved to be wrong: {said}");
        for words in [
            "/auth/signin/callback are registered",
            "the scopes are allowed",
            "/auth/signout/callback is registered",
            "provider.client_secret is right",
            "machine.upstream orders is right",
        ] {
            assert!(line(&said, words).starts_with("not known: whether"), "{said}");
        }
        for words in ["takes the client's secret", "takes its secret", "good: a sign-in", "good: a sign-out"] {
            assert!(!said.contains(words), "{words} in {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_found_however_the_provider_says_so() {
    let (pool, folder) = at_pool(other).await;
    for (what, status, body) in [
        ("Cognito's way", 400, r#"{"error":"invalid_client"}"#),
        ("Keycloak's", 401, r#"{"error":"unauthorized_client","error_description":"Invalid client credentials"}"#),
        ("glewlwyd's", 403, r#"{"error":"unauthorized_client"}"#),
        ("a bare 401", 401, ""),
    ] {
        for (endpoint, words) in [
            (PoolEndpoint::TokenCode, "does not take provider.client_secret"),
            (
                PoolEndpoint::TokenClientCredentials,
                "machine.upstream orders: the provider does not take its id and secret",
            ),
        ] {
            pool.clear_faults();
            pool.fault(endpoint, json(status, body));
            let (code, said) = online(folder.path());
            assert_eq!(code, 1, "{what}: {said}");
            assert!(line(&said, words).starts_with("bad: "), "{what}: {said}");
        }
    }
    // Where the code is judged before the secret, the revocation endpoint tells.
    pool.clear_faults();
    pool.fault(PoolEndpoint::TokenCode, json(400, r#"{"error":"invalid_grant"}"#));
    let (_, said) = online(folder.path());
    assert!(line(&said, "the provider takes the client's secret").starts_with("good: "), "{said}");
    write(folder.path(), |text| text.replace("dev-web-secret", "another-secret"));
    let (code, said) = online(folder.path());
    assert!(code == 1 && said.contains("bad: the provider does not take provider.client_secret"), "{said}");
    pool.fault(PoolEndpoint::TokenCode, Fault::Disconnect);
    let (_, said) = online(folder.path());
    assert!(line(&said, "provider.client_secret").starts_with("not known: "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_is_not_set_is_said() {
    let none = |text: String| text.replace("client_secret = \"dev-web-secret\"\n", "");
    let (pool, folder) = at_pool(none).await;
    let (code, said) = online(folder.path());
    assert!(code == 1 && line(&said, "provider.client_secret is not set").starts_with("bad: "), "{said}");
    pool.edit_client("dev-web-client", |client| client.secret = None);
    let (code, said) = online(folder.path());
    assert!(code == 0 && line(&said, "provider.client_secret is not set").starts_with("good: "), "{said}");
    write(folder.path(), other);
    let (_, said) = online(folder.path());
    assert!(line(&said, "provider.client_secret is not set").starts_with("not known: "), "{said}");
}

/// An RP-initiated logout that knows one address to return to.
async fn logout_page(registered: Option<String>) -> String {
    let page = move |RawQuery(query): RawQuery| {
        let query = query.unwrap_or_default();
        let mut asked = url::form_urlencoded::parse(query.as_bytes());
        let status = match asked.find(|(name, _)| name == "post_logout_redirect_uri") {
            Some((_, uri)) if Some(&*uri) != registered.as_deref() => StatusCode::BAD_REQUEST,
            _ => StatusCode::OK,
        };
        std::future::ready(status)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/logout", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
    let app = axum::Router::new().route("/logout", get(page));
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_address_after_a_sign_out_is_asked_about() {
    let (_pool, folder) = at_pool(other).await;
    let text = std::fs::read_to_string(folder.path().join("auth-api.toml")).unwrap();
    let url = text.lines().find_map(|line| line.strip_prefix("public_url = \"")).unwrap().trim_end_matches('"');
    let ours = format!("{url}/auth/signout/callback");
    for (registered, code, verdict) in [
        (Some(ours.clone()), 0, "good: a sign-out comes back".to_owned()),
        (None, 1, format!("bad: the sign-out URL {ours} is not registered")),
        (Some(format!("{ours}/")), 1, format!("bad: the sign-out URL {ours} is not registered")),
    ] {
        let page = logout_page(registered).await;
        let with =
            text.replace("profile = \"oidc\"\n", &format!("profile = \"oidc\"\nend_session_endpoint = \"{page}\"\n"));
        write(folder.path(), |_| with.clone());
        let (found, said) = online(folder.path());
        assert!(found == code && said.contains(&verdict), "{verdict} in {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_file_that_cannot_be_is_found() {
    let (_pool, folder) = at_pool(|text| text).await;
    let path = folder.path();
    std::fs::create_dir(path.join("folder")).unwrap();
    std::fs::write(path.join("file"), b"not a store").unwrap();
    std::fs::write(path.join("empty"), b"").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(path.join("nowhere/at-all"), path.join("link")).unwrap();
    let plain = std::fs::read_to_string(path.join("auth-api.toml")).unwrap();
    for (place, words) in [
        ("missing/folder/auth-api.redb", "no file can be made in"),
        ("file/auth-api.redb", "cannot be"),
        ("folder", "it is a folder"),
        ("file", "cannot be used as a session store"),
        ("empty", "it is empty"),
        #[cfg(unix)]
        ("link", "a link that leads nowhere"),
        #[cfg(target_os = "linux")]
        ("/proc/auth-api.redb", "no file can be made in /proc"),
        #[cfg(target_os = "linux")]
        ("/dev/null", "no regular file"),
    ] {
        write(path, |_| format!("{plain}[session]\nstore = \"redb:{place}\"\n"));
        let (code, said) = online(path);
        assert!(code == 1 && line(&said, words).starts_with("bad: "), "{place}: {words} in {said}");
    }
    let before = std::fs::read_dir(path).unwrap().count();
    write(path, |_| format!("{plain}[session]\nstore = \"redb:folder/auth-api.redb\"\n"));
    let (code, said) = online(path);
    assert!(code == 0 && said.contains("good: the session file will be made"), "{said}");
    assert_eq!(std::fs::read_dir(path).unwrap().count(), before);
    assert_eq!(std::fs::read_dir(path.join("folder")).unwrap().count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs redis-server"]
async fn a_redis_that_evicts_is_named() {
    let redis = Redis::with(&["--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"]).await;
    let store = format!("[session]\nstore = \"redis://{}\"\nstore_timeout = \"5s\"\n", redis.at());
    let (_pool, folder) = at_pool(|text| text + store.as_str()).await;
    let (code, said) = online(folder.path());
    assert!(code == 1 && line(&said, "volatile-lru").starts_with("bad: "), "{said}");
    assert!(said.contains("good: the session store answers") && said.contains("noeviction"), "{said}");
    redis.ask::<()>("CONFIG SET maxmemory-policy noeviction").await;
    let (code, said) = online(folder.path());
    assert!(code == 0 && !said.contains("maxmemory"), "{said}");
    redis.ask::<()>("ACL SETUSER narrow on >secret-word ~* &* +@all -@dangerous +role").await;
    write(folder.path(), |text| text.replace("redis://", "redis://narrow:secret-word@"));
    let (code, said) = online(folder.path());
    assert!(code == 0 && line(&said, "noeviction").starts_with("not known: "), "{said}");
}
