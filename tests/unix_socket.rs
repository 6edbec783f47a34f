//! The service at a Unix socket, for a proxy on the same machine.
#![cfg(unix)]

use crate::support::process::{Service, command, configure, run, sign_in, spawn_with, terminate};
use crate::support::{Browser, free_port, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, PoolSettings, UserPool};
use reqwest::Method;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// Where the service listens, and how it is started there.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) pool: UserPool,
    port: u16,
    ops: u16,
}

impl Place {
    /// Behind a proxy that browsers reach at `public_url`, on `port`.
    pub(crate) async fn behind(public_url: &str, port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pool = UserPool::start(PoolSettings::for_service(public_url)).await.unwrap();
        let ops = free_port();
        configure(folder.path(), &pool, port, ops);
        let file = folder.path().join("auth-api.toml");
        let text = fs::read_to_string(&file).unwrap();
        let tcp = (format!("listen = \"127.0.0.1:{port}\"\nops"), format!("http://auth-api.app.localhost:{port}"));
        assert!(text.contains(&tcp.0) && text.contains(&tcp.1), "{text}");
        let socket = folder.path().join("auth-api.sock");
        let text = text.replace(&tcp.0, &format!("listen = \"unix:{}\"\nops", socket.display()));
        fs::write(file, text.replace(&tcp.1, public_url)).unwrap();
        Self { folder, pool, port, ops }
    }

    /// Behind a proxy that says nothing.
    async fn start() -> (Self, Service) {
        let port = free_port();
        let place = Self::behind(&format!("http://auth-api.app.localhost:{port}"), port).await;
        let service = place.serve();
        relay(port, place.socket());
        (place, service)
    }

    pub(crate) fn serve(&self) -> Service {
        spawn_with(self.folder.path(), self.port, self.ops, []).expect("it starts")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("auth-api.sock")
    }

    /// Why it does not start.
    fn refused(&self) -> String {
        let output = run(self.folder.path(), &["serve"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    }
}

/// Hands connections to a port on to a socket, byte by byte.
fn relay(port: u16, socket: PathBuf) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let socket = socket.clone();
            tokio::spawn(async move {
                let mut service = tokio::net::UnixStream::connect(socket).await?;
                tokio::io::copy_bidirectional(&mut client, &mut service).await
            });
        }
    });
}

/// The head and body of an answer.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("{request}\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_at_the_socket_is_trusted_without_an_entry() {
    let (place, mut service) = Place::start().await;
    let jane = Browser::new();
    let authorize = jane.get(&format!("{}/auth/signin", service.url)).await.location();
    let callback = jane.log_in(&authorize, "jane").await;
    let forwarded = |r: reqwest::RequestBuilder| r.header("x-forwarded-for", "198.51.100.1, 203.0.113.9");
    assert_eq!(jane.send(Method::GET, &callback, forwarded).await.status, 302);
    let validated = jane.get(&format!("{}/validate", service.url)).await;
    assert_eq!((validated.status, validated.header("x-auth-username")), (200, Some("jane")), "{validated:?}");
    let sessions = jane.get(&format!("{}/auth/sessions", service.url)).await.json();
    assert!(sessions.to_string().contains("\"address\":\"203.0.113.9\""), "{sessions}");

    let page = |r: reqwest::RequestBuilder| {
        let r = r.header("x-original-url", "http://wiki.app.localhost/a?x=1").header("x-original-method", "GET");
        r.header("accept", "text/html")
    };
    let browser_url = format!("{}/validate/browser", service.url);
    assert_eq!(jane.send(Method::GET, &browser_url, page).await.status, 200);
    let stranger = Browser::new().send(Method::GET, &browser_url, page).await;
    assert!(stranger.status == 302 && stranger.location().contains("/auth/signin?return_to="), "{stranger:?}");

    for arguments in [&["check"][..], &["healthcheck"], &["healthcheck", "--ready"]] {
        let output = run(place.folder.path(), arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    }
    terminate(&service.child);
    let log = service.log();
    assert!(service.child.wait().unwrap().success());
    assert!(log.contains(&format!("\"listen\":\"unix:{}\"", place.socket().display())), "{log}");
    assert!(!log.contains("refuses every request"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_is_for_the_group_and_ends_with_the_service() {
    let (place, mut service) = Place::start().await;
    let socket = place.socket();
    let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(is_socket(&socket) && mode(&socket) == 0o660, "{:o}", mode(&socket));
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(place.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let all = ["auth-api.redb", "auth-api.redb.sock", "auth-api.sock", "auth-api.toml"];
    until("the socket for operators is there too, and nothing else", async || names() == all).await;

    let error = place.refused();
    assert!(error.contains("is in use by another process") && error.contains("auth-api.sock"), "{error}");
    assert!(ask(&socket, "GET /validate HTTP/1.1").starts_with("HTTP/1.1 401"), "and it goes on");

    service.child.kill().unwrap();
    service.child.wait().unwrap();
    assert!(is_socket(&socket), "nobody has removed it");
    let mut service = place.serve();
    assert!(ask(&socket, "GET /validate HTTP/1.1").starts_with("HTTP/1.1 401"), "a stale one is replaced");
    assert_eq!(mode(&socket), 0o660);

    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    assert_eq!(names(), ["auth-api.redb", "auth-api.toml"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_socket_of_ours_is_never_removed() {
    let (place, mut service) = Place::start().await;
    let socket = place.socket();
    // Somebody has put another in its place.
    fs::remove_file(&socket).unwrap();
    let other = UnixListener::bind(&socket).unwrap();
    terminate(&service.child);
    assert!(service.child.wait().unwrap().success());
    assert!(UnixStream::connect(&socket).is_ok(), "it is another's");
    let error = place.refused();
    assert!(error.contains("is in use by another process"), "{error}");
    drop(other);
    fs::remove_file(&socket).unwrap();

    fs::write(&socket, "mine").unwrap();
    assert!(place.refused().contains("no socket"));
    assert_eq!(fs::read_to_string(&socket).unwrap(), "mine");
    fs::remove_file(&socket).unwrap();
    // A link to a stale socket is no socket either.
    let elsewhere = place.folder.path().join("elsewhere");
    drop(UnixListener::bind(&elsewhere).unwrap());
    symlink(&elsewhere, &socket).unwrap();
    assert!(place.refused().contains("no socket"));
    assert!(is_socket(&elsewhere) && fs::symlink_metadata(&socket).unwrap().is_symlink());
    fs::remove_file(&socket).unwrap();
    fs::create_dir(&socket).unwrap();
    assert!(place.refused().contains("no socket"));
    assert!(socket.is_dir());

    let listen = format!("unix:{}/nowhere/auth-api.sock", place.folder.path().display());
    let output = command(place.folder.path()).arg("serve").env("AUTH_API__SERVER__LISTEN", listen).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("nowhere/auth-api.sock"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_in_flight_at_the_socket_finishes() {
    let (place, mut service) = Place::start().await;
    let jane = Browser::new();
    sign_in(&service, &jane).await;
    place.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(700)));
    let url = format!("{}/refresh?force=true", service.url);
    let (renewed, ()) = tokio::join!(jane.post(&url, &[]), async {
        until("the renewal reaches the pool", async || place.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        terminate(&service.child);
    });
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    assert!(service.child.wait().unwrap().success());
    assert!(!place.socket().exists());
}
