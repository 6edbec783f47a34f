//! The service as a process of its own.

use super::{Browser, free_port};
use auth_api::dev::pool::{PoolSettings, UserPool};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// The service of this build.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_auth-api");

/// A running `auth-api serve`; killed when it is dropped.
pub(crate) struct Service {
    pub(crate) child: Child,
    pub(crate) url: String,
    pub(crate) ops: String,
    log: Option<JoinHandle<String>>,
}

impl Service {
    /// One whose log is somebody else's to read.
    pub(crate) fn of(child: Child, port: u16, ops: u16) -> Self {
        let (url, ops) = (format!("http://auth-api.app.localhost:{port}"), format!("http://127.0.0.1:{ops}"));
        Self { child, url, ops, log: None }
    }

    /// What it has written, once it has ended.
    pub(crate) fn log(&mut self) -> String {
        self.log.take().unwrap().join().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.rsplit(':').next().unwrap().parse().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn command(folder: &Path) -> Command {
    command_of(Path::new(PROGRAM), folder)
}

fn command_of(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder).args(arguments).output().unwrap()
}

/// A configuration file for a pool. Sessions are in the default place, a redb file beside it.
pub(crate) fn configure(folder: &Path, pool: &UserPool, port: u16, ops: u16) {
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:{port}"
ops_listen = "127.0.0.1:{ops}"
public_url = "http://auth-api.app.localhost:{port}"
[provider]
issuer = "{}"
client_id = "dev-web-client"
client_secret = "dev-web-secret"
timeout = "2s"
[cookies]
domain = "app.localhost"
keys = ["0123456789 of a key for this test 9876543210"]
[telemetry]
format = "json"
"#,
        pool.issuer()
    );
    std::fs::write(folder.join("auth-api.toml"), text).unwrap();
}

/// Starts it and waits until it says that it is up. A port can be lost between asking and binding: once more.
pub(crate) async fn serve(folder: &Path) -> (Service, UserPool) {
    loop {
        let (port, ops) = (free_port(), free_port());
        let settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{port}"));
        let pool = UserPool::start(settings).await.unwrap();
        configure(folder, &pool, port, ops);
        if let Some(service) = spawn(folder, port, ops) {
            return (service, pool);
        }
    }
}

pub(crate) fn spawn(folder: &Path, port: u16, ops: u16) -> Option<Service> {
    spawn_with(folder, port, ops, [])
}

/// With further environment variables. `None` if it could not have its ports.
pub(crate) fn spawn_with(
    folder: &Path,
    port: u16,
    ops: u16,
    env: impl IntoIterator<Item = (String, String)>,
) -> Option<Service> {
    spawn_program(Path::new(PROGRAM), folder, port, ops, env)
}

/// The same with `program`, another build of the service.
pub(crate) fn spawn_program(
    program: &Path,
    folder: &Path,
    port: u16,
    ops: u16,
    env: impl IntoIterator<Item = (String, String)>,
) -> Option<Service> {
    let mut child = command_of(program, folder).arg("serve").envs(env).stderr(Stdio::piped()).spawn().unwrap();
    let mut errors = BufReader::new(child.stderr.take().unwrap());
    let (tell, told) = mpsc::channel();
    // Read on and on: a process whose log nobody reads stands still.
    let log = std::thread::spawn(move || {
        let mut log = String::new();
        loop {
            let read = log.len();
            if errors.read_line(&mut log).unwrap_or(0) == 0 {
                return log;
            }
            if log[read..].contains("auth-api is up") {
                let _ = tell.send(());
            }
        }
    });
    let mut service = Service::of(child, port, ops);
    service.log = Some(log);
    told.recv().is_ok().then_some(service)
}

pub(crate) async fn sign_in(service: &Service, browser: &Browser) {
    let authorize = browser.get(&format!("{}/auth/signin", service.url)).await.location();
    let callback = browser.log_in(&authorize, "jane").await;
    assert_eq!(browser.get(&callback).await.status, 302);
}

pub(crate) async fn is_known(service: &Service, browser: &Browser) -> bool {
    browser.get(&format!("{}/validate", service.url)).await.status == 200
}

/// Asks a process to stop, as its operator does.
pub(crate) fn terminate(child: &Child) {
    // The shell's own: a bare machine may have no program of that name.
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
}
