//! A page through nginx, with and without a question to the service: of an app behind it, and a file of its own.
//!
//! `cargo bench --bench proxies` (needs `wrk` and `nginx`; Linux). nginx has one worker and the files of
//! `deploy/nginx`, without TLS. The app is a further server of the same nginx, over kept connections. nginx shares
//! one core with the service, and wrk has another.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod driver;
mod visitor;

use anyhow::{Context, ensure};
use auth_api::dev::environment::{DevEnvironment, DevOptions};
use driver::{CONNECTIONS, SECONDS, Server, can_measure, drive, on_one_core, processor_time, spread};
use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use tempfile::TempDir;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
const SNIPPETS: [&str; 4] = ["protect", "ask", "identity", "outage"];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(),
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v"), ("nginx", "-v")]) => Ok(()),
        _ => measure(),
    }
}

/// Serves until standard input closes, after a line of JSON that says where and what to ask with.
fn serve() -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (world, said) = runtime.block_on(async {
        let text = "[telemetry]\nlog = \"off\"\n[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";
        let file = Some((Path::new("auth-api.toml").to_owned(), text.to_owned()));
        let world = DevEnvironment::start(DevOptions { file, ..DevOptions::default() }).await?;
        let cookie = visitor::cookie(&world, "erin").await?;
        let port = url::Url::parse(&world.auth_url)?.port();
        anyhow::Ok((world, serde_json::json!({ "port": port, "cookie": cookie })))
    })?;
    println!("{said}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.block_on(world.stop())
}

/// One process of nginx.
struct Nginx {
    process: Child,
    port: u16,
    #[expect(dead_code, reason = "kept for its files")]
    folder: TempDir,
}

impl Nginx {
    /// From the files of `deploy/nginx` with these changes.
    fn start(auth_port: &str, changes: &[(&str, &str)]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx");
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (listen, site) = (format!("listen 127.0.0.1:{port};"), format!("http://wiki.app.localhost:{port}"));
        let usual = [
            ("listen 443 ssl http2;", listen.as_str()),
            ("ssl_certificate     /etc/ssl/example.com/cert.pem;", ""),
            ("ssl_certificate_key /etc/ssl/example.com/key.pem;", ""),
            ("https://wiki.example.com", &site),
            ("wiki.example.com", "127.0.0.1"),
            ("127.0.0.1:8080", &format!("127.0.0.1:{auth_port}")),
            ("proxy_pass http://127.0.0.1:3000;", "proxy_pass http://app;"),
        ];
        fs::create_dir_all(folder.path().join("snippets"))?;
        fs::create_dir_all(folder.path().join("pages"))?;
        fs::write(folder.path().join("pages/page.html"), "x".repeat(1_024))?;
        let snippets = SNIPPETS.map(|name| format!("snippets/auth-api-{name}.conf"));
        for file in ["auth-api.conf".to_owned()].iter().chain(&snippets) {
            let mut text = fs::read_to_string(deploy.join(file))?;
            for (from, to) in changes.iter().chain(&usual) {
                text = text.replace(from, to).replace("FOLDER", &at.to_string());
            }
            fs::write(folder.path().join(file), text)?;
        }
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {at}/{kind};\n"))
            .concat();
        let text = format!(
            "daemon off;\nmaster_process off;\npid {at}/pid;\nevents {{ worker_connections 1024; }}\n\
             http {{\naccess_log off;\n{temporary}include auth-api.conf;\n\
             upstream app {{ server unix:{at}/app; keepalive 64; keepalive_requests 100000; }}\n\
             server {{ listen unix:{at}/app; keepalive_requests 100000; root {at}/pages; }}\n}}\n"
        );
        fs::write(folder.path().join("nginx.conf"), text)?;
        let mut command = on_one_core("nginx");
        let command = command.args(["-e", "stderr", "-c", "nginx.conf", "-p"]).arg(folder.path());
        let mut process = command.stdin(Stdio::null()).spawn()?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(process.try_wait()?.is_none(), "nginx ended");
            std::thread::yield_now();
        }
        Ok(Self { process, port, folder })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a way to serve the page has come to, round by round.
struct Mode {
    name: &'static str,
    /// Where the same without protection is among them.
    alone: usize,
    nginx: Nginx,
    per_second: Vec<f64>,
    nginx_micros: Vec<f64>,
    service_micros: Vec<f64>,
}

fn measure() -> anyhow::Result<()> {
    let service = Server::start("ours", &[])?;
    let cookie = format!("Cookie: {}", service.said["cookie"].as_str().context("a cookie")?);
    let auth_port = service.said["port"].to_string();
    let unprotected = ("include snippets/auth-api-protect.conf;", "");
    let nobody = (
        "include snippets/auth-api-identity.conf;",
        "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;",
    );
    let get = ("proxy_method HEAD;", "proxy_method GET;");
    let file = ("proxy_pass http://127.0.0.1:3000;", "root FOLDER/pages;");
    let mut modes = Vec::new();
    for (name, alone, changes) in [
        ("an app", 0, &[unprotected, nobody][..]),
        ("an app, protected", 0, &[]),
        ("the same, asked with GET", 0, &[get]),
        ("a file", 3, &[unprotected, nobody, file]),
        ("a file, protected", 3, &[file]),
    ] {
        let nginx = Nginx::start(&auth_port, changes)?;
        modes.push(Mode { name, alone, nginx, per_second: vec![], nginx_micros: vec![], service_micros: vec![] });
    }
    let refused = format!("http://127.0.0.1:{}/page.html", modes[1].nginx.port);
    drive(&refused, &[], false).context("a page that nobody may see")?;
    println!("wrk -t1 -c{CONNECTIONS} -d{SECONDS}s, {ROUNDS} rounds in turn; nginx and the service on one core\n");
    for _ in 0..ROUNDS {
        for mode in &mut modes {
            let before = (processor_time(&mode.nginx.process)?, service.processor_time()?);
            let url = format!("http://127.0.0.1:{}/page.html", mode.nginx.port);
            let requests = drive(&url, &["-H", &cookie], true)?;
            let micros = |after: f64, before: f64| (after - before) * 1e6 / requests.total;
            mode.per_second.push(requests.per_second);
            mode.nginx_micros.push(micros(processor_time(&mode.nginx.process)?, before.0));
            mode.service_micros.push(micros(service.processor_time()?, before.1));
        }
    }
    println!(
        "{:26}{:>27}   {:>17}   {:>8}   pages per core, of the unprotected",
        "", "pages/s [min .. max]", "µs nginx, service", "together"
    );
    for mode in &modes {
        let (rate, low, high) = spread(&mode.per_second);
        let (nginx, service) = (spread(&mode.nginx_micros).0, spread(&mode.service_micros).0);
        // By processor time: pages a second swing with whatever else the machine does, first where wrk is the limit.
        let together = |mode: &Mode| -> Vec<f64> {
            mode.nginx_micros.iter().zip(&mode.service_micros).map(|(nginx, service)| nginx + service).collect()
        };
        // Round by round, so that what slows the machine down slows down both.
        let (these, alone) = (together(mode), together(&modes[mode.alone]));
        let ratios = alone.iter().zip(&these).map(|(alone, this)| alone / this);
        let (ratio, least, most) = spread(&ratios.collect::<Vec<_>>());
        println!(
            "{:26}{rate:>9.0} [{low:>6.0} .. {high:>6.0}]   {nginx:>8.1} {service:>8.1}   {:>8.1}   {ratio:.2} [{least:.2} .. {most:.2}]",
            mode.name,
            nginx + service
        );
    }
    Ok(())
}
