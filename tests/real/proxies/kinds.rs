//! The proxies, and how each is started as a process of a test.

use super::Changes;
use crate::real::component;
use std::path::{Path, PathBuf};

/// What people see while the service is away.
const OUTAGE: &str = "auth-api-outage.html";

/// One of those with a folder in `deploy`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Proxy {
    Nginx,
    Caddy,
    Haproxy,
    Apache,
    Traefik,
    Envoy,
}

impl Proxy {
    /// The folder in `deploy`.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Apache => "apache",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    /// Whether it gives the browser the service's own answer to a preflight, so that none has to reach the app.
    pub(super) fn hands_on_preflights(self) -> bool {
        matches!(self, Self::Nginx | Self::Envoy)
    }

    pub(super) fn program(self) -> PathBuf {
        component(if self == Self::Apache { "apache2" } else { self.folder() })
    }

    /// What people copy.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::Nginx => &[
                "auth-api.conf",
                "snippets/auth-api-protect.conf",
                "snippets/auth-api-ask.conf",
                "snippets/auth-api-identity.conf",
                "snippets/auth-api-outage.conf",
                OUTAGE,
            ],
            Self::Caddy => &["auth-api.caddy", OUTAGE],
            Self::Haproxy => &["auth-api.cfg", "auth-api.lua", OUTAGE],
            Self::Apache => &["auth-api.conf", "auth-api.lua", OUTAGE],
            Self::Traefik => &["traefik.yml", "dynamic.yml"],
            Self::Envoy => &["envoy.yaml", OUTAGE],
        }
    }

    /// Where the files say that the service and the app listen.
    pub(super) fn addresses(self) -> [&'static str; 2] {
        match self {
            Self::Envoy => ["port_value: 8080", "port_value: 3000"],
            _ => ["127.0.0.1:8080", "127.0.0.1:3000"],
        }
    }

    /// The example's port and paths, and the test's.
    pub(super) fn replacements(self, folder: &Path, port: u16) -> Vec<(&'static str, String)> {
        let here = |file: &str| folder.join(file).display().to_string();
        let site = format!("https://wiki.example.com:{port}");
        let pems =
            [("/etc/ssl/example.com/cert.pem", here("cert.pem")), ("/etc/ssl/example.com/key.pem", here("key.pem"))];
        let mut all = match self {
            Self::Nginx => {
                vec![
                    ("listen 443 ssl", format!("listen 127.0.0.1:{port} ssl")),
                    ("https://wiki.example.com", site),
                    ("/etc/nginx/auth-api-outage.html", here(OUTAGE)),
                ]
            }
            Self::Caddy => vec![
                ("/etc/caddy\n", format!("{}\n", folder.display())),
                ("\nauth-api.example.com {", format!("\nhttps://auth-api.example.com:{port} {{\n\tbind 127.0.0.1")),
                ("\nwiki.example.com {", format!("\nhttps://wiki.example.com:{port} {{\n\tbind 127.0.0.1")),
                ("import auth-api wiki.example.com", format!("import auth-api wiki.example.com:{port}")),
            ],
            Self::Haproxy => vec![
                ("bind :443 ", format!("bind 127.0.0.1:{port} ")),
                ("https://wiki.example.com", site),
                ("/etc/haproxy/auth-api.lua", here("auth-api.lua")),
                ("/etc/haproxy/auth-api-outage.html", here(OUTAGE)),
                ("/etc/ssl/example.com/both.pem", here("both.pem")),
            ],
            Self::Apache => vec![
                ("*:443>", format!("*:{port}>")),
                ("https://wiki.example.com", site),
                ("/etc/apache2/auth-api.lua", here("auth-api.lua")),
                ("/etc/apache2/auth-api-outage.html", here(OUTAGE)),
            ],
            Self::Traefik => {
                vec![("\":443\"", format!("\"127.0.0.1:{port}\"")), ("/etc/traefik/dynamic.yml", here("dynamic.yml"))]
            }
            Self::Envoy => vec![
                ("address: 0.0.0.0, port_value: 443", format!("address: 127.0.0.1, port_value: {port}")),
                ("value: wiki.example.com\n", format!("value: wiki.example.com:{port}\n")),
                ("/etc/envoy/auth-api-outage.html", here(OUTAGE)),
            ],
        };
        if self != Self::Haproxy {
            all.extend(pems);
        }
        all
    }

    /// With how many at once no question opens a connection.
    pub(super) fn questions_at_once(self) -> usize {
        match self {
            // It keeps two for what nobody uses (Go's `DefaultMaxIdleConnsPerHost`), whatever anybody says.
            Self::Traefik => 2,
            _ => 8,
        }
    }

    /// The same with a time-out that a test can wait for.
    pub(super) fn impatience(self) -> Changes<'static> {
        match self {
            Self::Nginx => &[("proxy_read_timeout 5s", "proxy_read_timeout 1s")],
            Self::Caddy => &[("response_header_timeout 5s", "response_header_timeout 1s")],
            Self::Haproxy => &[("https://wiki.example.com 5000", "https://wiki.example.com 1000")],
            Self::Apache => &[("AUTH_API_PATIENCE=5", "AUTH_API_PATIENCE=1")],
            // It waits for 30 s, whatever anybody says.
            Self::Traefik => &[],
            Self::Envoy => &[("timeout: 5s", "timeout: 1s")],
        }
    }

    /// What a machine's own main file says, as little as can be: where a process of a test may write, and which
    /// modules are there.
    pub(super) fn wrapper(self, folder: &Path, port: u16) -> Option<(&'static str, String)> {
        let at = folder.display();
        match self {
            Self::Nginx => {
                let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
                let paths: String = kinds.iter().map(|kind| format!("{kind}_temp_path {at}/{kind};\n")).collect();
                let text = format!(
                    "daemon off;\nworker_processes 1;\npid {at}/pid;\nuser root;\nevents {{}}\n\
                     http {{\naccess_log off;\n{paths}include auth-api.conf;\n}}\n"
                );
                Some(("nginx.conf", text))
            }
            Self::Caddy => {
                let text = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n";
                Some(("Caddyfile", format!("{text}import {at}/auth-api.caddy\n")))
            }
            Self::Apache => {
                let modules: String = [
                    "mpm_event",
                    "alias",
                    "authz_core",
                    "headers",
                    "http2",
                    "lua",
                    "proxy",
                    "proxy_http",
                    "setenvif",
                    "socache_shmcb",
                    "ssl",
                ]
                .iter()
                .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
                .collect();
                let text = format!(
                    "ServerRoot {at}\nDefaultRuntimeDir {at}\nPidFile {at}/pid\nListen 127.0.0.1:{port}\n\
                     ServerName localhost\nErrorLog /dev/stderr\nStartServers 1\n{modules}User www-data\nGroup www-data\n\
                     Include auth-api.conf\n"
                );
                Some(("apache2.conf", text))
            }
            Self::Haproxy | Self::Traefik | Self::Envoy => None,
        }
    }

    pub(super) fn arguments(self, folder: &Path) -> Vec<String> {
        let here = |file: &str| folder.join(file).display().to_string();
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::Nginx => own(&["-e", "stderr", "-p", &here(""), "-c", &here("nginx.conf")]),
            Self::Caddy => own(&["run", "--adapter", "caddyfile", "--config", &here("Caddyfile")]),
            Self::Haproxy => own(&["-db", "-f", &here("auth-api.cfg")]),
            Self::Apache => own(&["-DFOREGROUND", "-f", &here("apache2.conf")]),
            Self::Traefik => own(&[&format!("--configFile={}", here("traefik.yml"))]),
            Self::Envoy => own(&["-c", &here("envoy.yaml"), "--disable-hot-restart", "--concurrency", "1"]),
        }
    }
}
