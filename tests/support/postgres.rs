//! Real PostgreSQL servers, started for one test and stopped with it.

use super::redis::{KEY, eventually, store_with};
use super::{free_port, stored_in};
use crate::real::component;
use auth_api::config::{HostPort, PostgresServers, PostgresTls, PostgresUrl, SessionConfig, StoreUrl};
use auth_api::store::SessionStore;
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::{FromSqlOwned, ToSql};
use tokio_postgres::{Client, NoTls};

const USER: &str = "auth_api";

/// A server with an empty database; stopped when it is dropped.
pub(crate) struct Postgres {
    child: Option<Child>,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    largest_file: Option<u64>,
    pub(crate) port: u16,
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Postgres {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts one with further settings, `name=value`.
    pub(crate) async fn with(settings: &[&str]) -> Self {
        Self::new(settings, None).await
    }

    /// Starts one that speaks TLS.
    pub(crate) async fn with_certificate(certificate: &str, key: &str) -> Self {
        let mut postgres = Self::start().await;
        for (name, text) in [("server.crt", certificate), ("server.key", key)] {
            let path = postgres.data().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            own_user(&path);
        }
        postgres.kill();
        postgres.arguments.extend(["-c".to_owned(), "ssl=on".to_owned()]);
        assert!(postgres.up().await);
        postgres
    }

    /// Starts one whose files cannot have more bytes.
    pub(crate) async fn with_largest_file(bytes: u64) -> Self {
        Self::new(&[], Some(bytes)).await
    }

    async fn new(settings: &[&str], largest_file: Option<u64>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        own_user(folder.path());
        let data = folder.path().join("data").display().to_string();
        run("initdb", &["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8", "-U", USER, "-D", &data]);
        Self::of(folder, settings, largest_file).await
    }

    /// Starts a server whose data is there.
    async fn of(folder: tempfile::TempDir, settings: &[&str], largest_file: Option<u64>) -> Self {
        let settings = ["fsync=off", "shared_buffers=16MB", "listen_addresses=127.0.0.1"].iter().chain(settings);
        let arguments = settings.flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]).collect();
        let mut postgres = Self { child: None, folder, arguments, largest_file, port: 0 };
        // A port can be lost between asking and binding.
        while {
            postgres.port = free_port();
            !postgres.up().await
        } {}
        postgres
    }

    /// Starts it (again), on the same port; whether it came up.
    pub(crate) async fn up(&mut self) -> bool {
        let mut command = match self.largest_file {
            // In blocks of 512 bytes; what a signal would end is refused instead.
            Some(bytes) => {
                let mut command = program("sh");
                let limit = format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", bytes / 512);
                command.args(["-c", &limit]).arg(component("postgres"));
                command
            }
            None => program("postgres"),
        };
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]).args(&self.arguments);
        command.arg("-c").arg(format!("unix_socket_directories={}", self.folder.path().display()));
        let log = std::fs::File::create(self.folder.path().join("log")).unwrap();
        self.child = Some(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let mut up = false;
        eventually("postgres answers or stops", async || {
            let stopped = self.child.as_mut().unwrap().try_wait().unwrap().is_some();
            up = !stopped && self.try_connect().await.is_ok();
            stopped || up
        })
        .await;
        up
    }

    /// Stops it at once: transactions under way are lost, and nobody is waited for.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::QUIT);
            let _ = child.wait();
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The folder of its socket.
    pub(crate) fn socket_folder(&self) -> &Path {
        self.folder.path()
    }

    /// A server that follows this one.
    pub(crate) async fn standby(&self, settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        own_user(folder.path());
        let (data, port) = (folder.path().join("data").display().to_string(), self.port.to_string());
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", USER];
        run("pg_basebackup", &[&from[..], &["-D", &data, "-R", "-c", "fast", "--no-sync"]].concat());
        Self::of(folder, settings, None).await
    }

    /// A copy of its data, for [`Postgres::restore`].
    pub(crate) fn backup(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        own_user(folder.path());
        let (data, port) = (folder.path().join("data").display().to_string(), self.port.to_string());
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", USER];
        run("pg_basebackup", &[&from[..], &["-D", &data, "-c", "fast", "--no-sync"]].concat());
        folder
    }

    /// Gives it an earlier copy of its data, while it is not running: what it wrote since is lost.
    pub(crate) fn restore(&self, backup: &tempfile::TempDir) {
        std::fs::remove_dir_all(self.data()).unwrap();
        std::fs::rename(backup.path().join("data"), self.data()).unwrap();
    }

    pub(crate) fn at(&self) -> HostPort {
        HostPort { host: "127.0.0.1".into(), port: self.port }
    }

    pub(crate) async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user={USER} dbname=postgres", self.port);
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// A connection of the test's own, which sees the service's tables.
    pub(crate) async fn connection(&self) -> Client {
        let client = self.try_connect().await.unwrap();
        client.batch_execute("SET search_path = auth_api").await.unwrap();
        client
    }

    /// Does something.
    pub(crate) async fn execute(&self, statements: &str) {
        self.connection().await.batch_execute(statements).await.unwrap();
    }

    /// Asks it for one value.
    pub(crate) async fn ask<T: FromSqlOwned>(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> T {
        self.connection().await.query_one(statement, parameters).await.unwrap().get(0)
    }

    /// Changes a setting of the running server.
    pub(crate) async fn set(&self, name: &str, value: &str) {
        self.execute(&format!("ALTER SYSTEM SET {name} = {value}")).await;
        self.execute("SELECT pg_reload_conf()").await;
        let shown = async || self.ask::<String>(&format!("SHOW {name}"), &[]).await;
        eventually("the setting is taken up", async || shown().await == value).await;
    }

    /// From here on it asks everybody for a password.
    pub(crate) async fn require_passwords(&self) {
        std::fs::write(self.data().join("pg_hba.conf"), "host all all all scram-sha-256\n").unwrap();
        self.execute("SELECT pg_reload_conf()").await;
        eventually("a password is asked for", async || self.try_connect().await.is_err()).await;
    }

    /// Its address for a configuration.
    pub(crate) fn address(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// The store in this one server.
    pub(crate) fn store(&self) -> Arc<dyn SessionStore> {
        store_at(url(PostgresServers::Network(vec![self.at()], PostgresTls::Off)))
    }
}

impl Postgres {
    /// The same, with as much time for a call as a test may need.
    pub(crate) fn patient_store(&self) -> Arc<dyn SessionStore> {
        let address = url(PostgresServers::Network(vec![self.at()], PostgresTls::Off));
        let config = SessionConfig { store_timeout: Duration::from_secs(10), ..stored_in(StoreUrl::Postgres(address)) };
        store_with(config, &[KEY])
    }
}

/// The address of servers.
pub(crate) fn url(servers: PostgresServers) -> PostgresUrl {
    PostgresUrl {
        servers,
        user: USER.into(),
        password: None,
        database: "postgres".into(),
        schema: "auth_api".into(),
        connections: 4,
    }
}

/// The store at an address, with the usual settings.
pub(crate) fn store_at(url: PostgresUrl) -> Arc<dyn SessionStore> {
    store_with(stored_in(StoreUrl::Postgres(url)), &[KEY])
}

/// Nobody: PostgreSQL's programs refuse to run as root.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or folder to whom the programs run as.
fn own_user(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// One of PostgreSQL's programs.
fn program(name: &str) -> Command {
    let mut command = Command::new(component(name));
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command.current_dir("/");
    command
}

fn run(name: &str, arguments: &[&str]) {
    let done = program(name).args(arguments).output().unwrap();
    assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
}
