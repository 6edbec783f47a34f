//! Reverse proxies as processes, from the files of `deploy` without TLS, each with a page of a kilobyte.

use super::driver::{on_one_core, processor_times_of_group};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Replacements in files of `deploy`.
pub type Changes<'a> = &'a [(&'a str, &'a str)];

/// A proxy with its files.
pub struct Front {
    process: Child,
    pub port: u16,
    #[expect(dead_code, reason = "kept for its files")]
    folder: TempDir,
}

impl Drop for Front {
    fn drop(&mut self) {
        // The whole group: workers may outlive their master.
        let _ = Command::new("sh").arg("-c").arg(format!("kill -KILL -{}", self.process.id())).status();
        let _ = self.process.wait();
    }
}

/// What a proxy is started with.
struct Files {
    folder: TempDir,
    port: u16,
}

/// A port that nobody uses.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

impl Files {
    fn new(port: u16) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // Some serve as a user of their own.
        let shared = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(folder.path(), shared)?;
        fs::create_dir_all(folder.path().join("pages"))?;
        fs::write(folder.path().join("pages/page.html"), "x".repeat(1_024))?;
        Ok(Self { folder, port })
    }

    fn at(&self) -> String {
        self.folder.path().display().to_string()
    }

    /// Copies a file of `deploy`; what is to be changed has to be there.
    fn copy(&self, from: &str, to: &str, changes: Changes<'_>) -> anyhow::Result<()> {
        let mut text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(from))?;
        for (old, new) in changes {
            ensure!(text.contains(old), "{from}: no {old:?}");
            text = text.replace(old, new);
        }
        self.write(to, &text)
    }

    fn write(&self, file: &str, text: &str) -> anyhow::Result<()> {
        let file = self.folder.path().join(file);
        fs::create_dir_all(file.parent().context("a folder")?)?;
        Ok(fs::write(file, text.replace("@FOLDER@", &self.at()).replace("@PORT@", &self.port.to_string()))?)
    }

    fn start(self, program: &str, arguments: &[&str]) -> anyhow::Result<Front> {
        let mut command = on_one_core(program);
        let log = fs::File::create(self.folder.path().join("log"))?;
        command.args(arguments).current_dir(self.folder.path()).process_group(0);
        let mut process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if process.try_wait()?.is_some() {
                bail!("{program} ended: {}", fs::read_to_string(self.folder.path().join("log"))?);
            }
            std::thread::yield_now();
        }
        Ok(Front { process, port: self.port, folder: self.folder })
    }
}

impl Front {
    /// User and system seconds spent so far.
    pub fn processor_time(&self) -> anyhow::Result<f64> {
        processor_times_of_group(self.process.id())
    }

    /// nginx with one worker; the app is a further server of the same process, over kept connections.
    pub fn nginx(auth: &str, changes: Changes<'_>) -> anyhow::Result<Self> {
        let files = Files::new(free_port()?)?;
        let usual = [
            ("listen 443 ssl http2;", "listen 127.0.0.1:@PORT@;"),
            ("ssl_certificate     /etc/ssl/example.com/cert.pem;", ""),
            ("ssl_certificate_key /etc/ssl/example.com/key.pem;", ""),
            ("https://wiki.example.com", "http://wiki.app.localhost:@PORT@"),
            ("wiki.example.com", "127.0.0.1"),
            ("    server 127.0.0.1:8080;", &format!("    server {auth};")),
            ("proxy_pass http://127.0.0.1:3000;", "proxy_pass http://app;"),
        ];
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx");
        let snippets = ["protect", "ask", "identity", "outage"].map(|name| format!("snippets/auth-api-{name}.conf"));
        for file in ["auth-api.conf".to_owned()].iter().chain(&snippets) {
            let text = fs::read_to_string(deploy.join(file))?;
            let text = changes.iter().chain(&usual).fold(text, |text, (old, new)| text.replace(old, new));
            files.write(file, &text)?;
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path @FOLDER@/{kind};\n"))
            .concat();
        files.write(
            "nginx.conf",
            &format!(
                "daemon off;\nmaster_process off;\npid @FOLDER@/pid;\nevents {{ worker_connections 1024; }}\n\
                 http {{\naccess_log off;\n{temporary}include auth-api.conf;\n\
                 upstream app {{ server unix:@FOLDER@/app; keepalive 64; keepalive_requests 100000; }}\n\
                 server {{ listen unix:@FOLDER@/app; keepalive_requests 100000; root @FOLDER@/pages; }}\n}}\n"
            ),
        )?;
        let folder = files.at();
        files.start("nginx", &["-e", "stderr", "-c", "nginx.conf", "-p", &folder])
    }

    /// Apache with this virtual host, which serves a file.
    fn apache(files: Files, modules: &str, host: &str) -> anyhow::Result<Self> {
        let always = "mpm_event authz_core";
        let load = |name: &str| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
        let modules: String = always.split(' ').chain(modules.split_whitespace()).map(load).collect();
        files.write(
            "apache2.conf",
            &format!(
                "ServerRoot @FOLDER@\nDefaultRuntimeDir @FOLDER@\nPidFile @FOLDER@/pid\nListen 127.0.0.1:@PORT@\n\
                 ServerName localhost\nErrorLog /dev/stderr\nStartServers 1\nServerLimit 1\n\
                 ThreadLimit 128\nThreadsPerChild 128\nMaxRequestWorkers 128\nMaxSpareThreads 128\nMaxKeepAliveRequests 0\n{modules}\
                 User www-data\nGroup www-data\n{host}"
            ),
        )?;
        let main = files.at() + "/apache2.conf";
        files.start("apache2", &["-DFOREGROUND", "-f", &main])
    }

    /// Apache alone.
    pub fn apache_alone() -> anyhow::Result<Self> {
        Self::apache(Files::new(free_port()?)?, "", &host("Require all granted", ""))
    }

    /// Apache with the files of `deploy/apache`.
    pub fn apache_ours(auth: &str) -> anyhow::Result<Self> {
        let files = Files::new(free_port()?)?;
        let pages = "DocumentRoot @FOLDER@/pages\n<Directory @FOLDER@/pages>\nRequire all granted\n</Directory>";
        let changes = [
            ("*:443>", "127.0.0.1:@PORT@>"),
            ("    Protocols h2 http/1.1\n    SSLEngine on\n", ""),
            ("    SSLCertificateFile /etc/ssl/example.com/cert.pem\n", ""),
            ("    SSLCertificateKeyFile /etc/ssl/example.com/key.pem\n", ""),
            ("https://wiki.example.com", "http://wiki.app.localhost:@PORT@"),
            ("wiki.example.com", "127.0.0.1"),
            ("/etc/apache2/auth-api.lua", "@FOLDER@/auth-api.lua"),
            ("127.0.0.1:8080", auth),
            ("ProxyPass / http://127.0.0.1:3000/ nocanon upgrade=websocket", pages),
        ];
        files.copy("apache/auth-api.conf", "auth-api.conf", &changes)?;
        files.copy("apache/auth-api.lua", "auth-api.lua", &[])?;
        Self::apache(files, "alias headers lua proxy proxy_http setenvif", "Include @FOLDER@/auth-api.conf\n")
    }

    /// Apache with `mod_auth_openidc`, whose sessions are in its shared memory.
    pub fn apache_openidc(port: u16, issuer: &str, [client, secret]: [&str; 2]) -> anyhow::Result<Self> {
        let settings = format!(
            "OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\nOIDCClientID {client}\n\
             OIDCClientSecret {secret}\nOIDCRedirectURI http://127.0.0.1:@PORT@/callback\nOIDCScope \"openid email\"\n\
             OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef\nOIDCSessionType server-cache\nOIDCCacheType shm\n\
             OIDCSessionInactivityTimeout 7200\n<Location /callback>\nAuthType openid-connect\nRequire valid-user\n</Location>\n"
        );
        let guard = "AuthType openid-connect\nRequire valid-user";
        Self::apache(Files::new(port)?, "authn_core authz_user auth_openidc", &host(guard, &settings))
    }

    /// Envoy with the file of `deploy/envoy`, or without its questions. The page is its own.
    pub fn envoy(program: &str, auth: Option<&str>) -> anyhow::Result<Self> {
        let files = Files::new(free_port()?)?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/envoy/envoy.yaml");
        let mut text = fs::read_to_string(deploy)?;
        cut(&mut text, "        - transport_socket:\n", "          filters:\n")?;
        let mut changes = vec![
            (
                "          filters:\n            - name: envoy.filters.network",
                "        - filters:\n            - name: envoy.filters.network",
            ),
            ("address: 0.0.0.0, port_value: 443", "address: 127.0.0.1, port_value: @PORT@"),
            ("domains: [wiki.example.com, \"wiki.example.com:*\"]", "domains: [\"*\"]"),
            ("value: wiki.example.com", "value: wiki.app.localhost:@PORT@"),
            ("value: https }", "value: http }"),
            ("/etc/envoy/auth-api-outage.html", "@FOLDER@/outage.html"),
            (
                "route: { cluster: wiki, timeout: 0s }",
                "direct_response: { status: 200, body: { filename: @FOLDER@/pages/page.html } }",
            ),
        ];
        let address = "socket_address: { address: 127.0.0.1, port_value: 8080 }";
        let at = match auth {
            Some(auth) => match auth.strip_prefix("unix:") {
                Some(path) => format!("pipe: {{ path: {path} }}"),
                None => address.replace("8080", auth.rsplit(':').next().unwrap_or_default()),
            },
            None => {
                cut(
                    &mut text,
                    "                  # 1. What a client",
                    "                  - name: envoy.filters.http.router",
                )?;
                for _ in 0..2 {
                    cut(
                        &mut text,
                        "                      typed_per_filter_config:\n",
                        "                      routes:\n",
                    )?;
                }
                changes.retain(|(old, _)| text.contains(old));
                address.to_owned()
            }
        };
        changes.push((address, &at));
        for (old, new) in changes {
            ensure!(text.contains(old), "envoy.yaml: no {old:?}");
            text = text.replace(old, new);
        }
        files.write("outage.html", "away")?;
        files.write("envoy.yaml", &text)?;
        files.start(program, &["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1", "-l", "error"])
    }
}

/// A virtual host of Apache with a page of its own.
fn host(guard: &str, settings: &str) -> String {
    format!(
        "<VirtualHost 127.0.0.1:@PORT@>\nServerName 127.0.0.1\nDocumentRoot @FOLDER@/pages\n{settings}\
         <Directory @FOLDER@/pages>\n{guard}\n</Directory>\n</VirtualHost>\n"
    )
}

/// Takes out what is between two texts, the first included.
fn cut(text: &mut String, from: &str, to: &str) -> anyhow::Result<()> {
    let start = text.find(from).with_context(|| format!("no {from:?}"))?;
    let end = start + text[start..].find(to).with_context(|| format!("no {to:?}"))?;
    text.replace_range(start..end, "");
    Ok(())
}
