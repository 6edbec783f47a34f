//! Reverse proxies in front of a site that cannot be changed, started from exactly the files in `deploy`.

mod app;
mod attackers;
mod connections;
mod kinds;
mod mistakes;
mod moving;
mod outages;
mod people;
mod protocols;
mod raw;
mod unix_socket;
mod unsolicited;

use crate::support::{Browser, Site, certificate, free_port, until};
use app::{App, Relay};
use kinds::Proxy;
use raw::Raw;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// What the service is told beside the usual: pages for all, and pages for few.
const POLICY: &str = r#"
[[policy.site]]
host = "wiki.app.localhost"
path = "/public"
public = true
[[policy.site]]
host = "wiki.app.localhost"
path = "/admin"
groups = ["admins"]
[[policy.site]]
host = "wiki.app.localhost"
path = "/payroll"
max_age = "5m"
"#;

/// A test for each proxy that calls the function of that name with it.
macro_rules! through_each_proxy {
    ($($test:ident)*) => {
        through_each_proxy! { @ nginx Nginx "needs nginx": $($test)* }
        through_each_proxy! { @ caddy Caddy "needs caddy": $($test)* }
        through_each_proxy! { @ haproxy Haproxy "needs haproxy": $($test)* }
        through_each_proxy! { @ apache Apache "needs apache2": $($test)* }
        through_each_proxy! { @ traefik Traefik "needs traefik": $($test)* }
        through_each_proxy! { @ envoy Envoy "needs envoy": $($test)* }
    };
    (@ $name:ident $proxy:ident $needs:literal: $($test:ident)*) => {
        mod $name {
            $(#[tokio::test]
            #[ignore = $needs]
            async fn $test() {
                super::$test(super::super::kinds::Proxy::$proxy).await;
            })*
        }
    };
}
use through_each_proxy;

/// A proxy at work before the app, and before the service or something that is not quite it.
struct Edge {
    port: u16,
    app: App,
    /// The service, if it is the real one.
    site: Option<Site>,
    /// Between the proxy and the service.
    connections: Option<Relay>,
    running: Running,
}

/// What to replace in the proxy's files beyond names, ports and certificates.
type Changes<'a> = &'a [(&'a str, &'a str)];

impl Edge {
    /// Before the service.
    async fn start(proxy: Proxy) -> Self {
        Self::with(proxy, &[]).await
    }

    async fn with(proxy: Proxy, changes: Changes<'_>) -> Self {
        Self::configured(proxy, changes, &[]).await
    }

    /// The same with further configuration of the service.
    async fn configured(proxy: Proxy, changes: Changes<'_>, more: &[(&str, &str)]) -> Self {
        let program = proxy.program();
        let app = App::start().await;
        for _ in 0..5 {
            let port = free_port();
            let public_url = format!("https://auth-api.app.localhost:{port}");
            let (proxies, home) = ("SERVER__TRUSTED_PROXIES", "RETURN_TO__DEFAULT");
            let preflights = if proxy.hands_on_preflights() { "false" } else { "true" };
            let told = [(proxies, "127.0.0.1/32"), (home, &public_url), ("GATEWAY__PREFLIGHTS", preflights)];
            let site = Site::behind(&public_url, POLICY, &[&told, more].concat()).await;
            let connections = Relay::start(site.auth_port).await;
            if let Some(running) = Running::start(proxy, &program, port, connections.port, app.port, changes).await {
                return Self { port, app, site: Some(site), connections: Some(connections), running };
            }
        }
        panic!("{proxy:?} finds no port")
    }

    /// Before whatever listens on this port, without much patience.
    async fn before(proxy: Proxy, auth_port: u16) -> Self {
        let program = proxy.program();
        let app = App::start().await;
        for _ in 0..5 {
            let port = free_port();
            let running = Running::start(proxy, &program, port, auth_port, app.port, proxy.impatience());
            if let Some(running) = running.await {
                return Self { port, app, site: None, connections: None, running };
            }
        }
        panic!("{proxy:?} finds no port")
    }

    fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }

    /// An address of the protected site.
    fn wiki(&self, path: &str) -> String {
        format!("https://wiki.app.localhost:{}{path}", self.port)
    }

    /// Where the certificate is.
    fn folder(&self) -> &Path {
        self.running.folder.path()
    }

    /// Somebody who trusts the proxy's certificate.
    fn visitor(&self) -> Browser {
        Browser::elsewhere(self.folder(), CLIENT, true)
    }

    /// Somebody who is signed in.
    async fn signed_in(&self, user: &str) -> Browser {
        let browser = self.visitor();
        let landed = browser.sign_in(self.site(), user).await;
        assert_eq!(landed.status, 302, "{landed:?}");
        browser
    }

    /// A request for a page of the site, with headers as they are to be on the wire.
    async fn raw(&self, line: &str, headers: &[&str], body: &[u8]) -> Raw {
        let host = format!("wiki.app.localhost:{}", self.port);
        Raw::ask(self.folder(), self.port, &host, line, headers, body).await
    }

    /// Several requests on one connection.
    async fn converse(&self, text: &str) -> String {
        Raw::converse(self.folder(), self.port, text).await
    }

    /// How many connections the service was sent since the start.
    fn connections(&self) -> usize {
        self.connections.as_ref().unwrap().accepted()
    }

    /// What the app was asked, in order.
    fn asked(&self) -> Vec<Value> {
        self.app.asked()
    }
}

/// As a browser asks for a page that a person wants to see.
fn navigation(request: RequestBuilder) -> RequestBuilder {
    let request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
}

/// As a page's script asks.
fn script(request: RequestBuilder) -> RequestBuilder {
    let request = request.header("accept", "application/json").header("sec-fetch-mode", "cors");
    request.header("sec-fetch-dest", "empty").header("sec-fetch-site", "same-site")
}

impl Browser {
    async fn navigate(&self, url: &str) -> crate::support::Answer {
        self.send(Method::GET, url, navigation).await
    }
}

/// The proxy's process and its files; killed with its children when it is dropped.
struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    /// `None` if it ended because its port was taken meanwhile.
    async fn start(proxy: Proxy, program: &Path, port: u16, auth: u16, app: u16, changes: Changes<'_>) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        // Some serve as a user of their own.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (cert, key) = certificate(folder.path());
        let both = folder.path().join("both.pem");
        fs::write(both, [fs::read(cert).unwrap(), fs::read(key).unwrap()].concat()).unwrap();
        fill(proxy, folder.path(), port, auth, app, changes);
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(proxy.arguments(folder.path()))
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .env("XDG_DATA_HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let mut running = Self { child, folder };
        let mut ended = false;
        until("the proxy answers", async || {
            ended = running.child.try_wait().unwrap().is_some();
            ended || Raw::connects(running.folder.path(), port).await
        })
        .await;
        if !ended {
            return Some(running);
        }
        let log = running.log();
        let taken = ["in use", "cannot bind"].iter().any(|words| log.contains(words));
        assert!(taken, "{proxy:?} ended:\n{log}");
        None
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Running {
    #[expect(clippy::print_stderr, reason = "what the proxy said helps where a test fails")]
    fn drop(&mut self) {
        // The whole group: workers may outlive their master.
        let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL -{}", self.child.id())).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the proxy's log:\n{}", self.log());
        }
    }
}

/// Writes the files of `deploy` into the folder, with the test's names in place of the example's. Every text that is
/// to be replaced must be there, or what runs is not what the files say.
fn fill(proxy: Proxy, folder: &Path, port: u16, auth: u16, app: u16, changes: Changes<'_>) {
    let deploy = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy").join(proxy.folder());
    let read = |file: &&str| fs::read_to_string(deploy.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    let mut texts: Vec<String> = proxy.files().iter().map(read).collect();
    let mut replace = |from: &str, to: &str| {
        assert!(texts.iter().any(|text| text.contains(from)), "{proxy:?}: no \"{from}\" in its files");
        for text in &mut texts {
            *text = text.replace(from, to);
        }
    };
    for (from, to) in changes {
        replace(from, to);
    }
    for (from, to) in proxy.replacements(folder, port) {
        replace(from, &to);
    }
    let [auth_at, app_at] = proxy.addresses();
    replace(auth_at, &auth_at.replace("8080", &auth.to_string()));
    replace(app_at, &app_at.replace("3000", &app.to_string()));
    replace("auth-api.example.com", "auth-api.app.localhost");
    replace("wiki.example.com", "wiki.app.localhost");
    for (file, text) in proxy.files().iter().zip(texts) {
        let file = folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    if let Some((file, text)) = proxy.wrapper(folder, port) {
        fs::write(folder.join(file), text).unwrap();
    }
}

/// Where everybody but the real browser is: not where the proxies are, whose word the service believes.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How long somebody waits at most for an answer without the service.
const PATIENCE: Duration = Duration::from_secs(60);
