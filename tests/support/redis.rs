//! Real Redis servers, started for one test and stopped with it.

use super::{free_port, stored_in};
use crate::real::component;
use auth_api::config::{self, HostPort, RedisServers, RedisUrl, StoreUrl};
use auth_api::domain::seal::KeyRing;
use auth_api::store::{self, SessionStore};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

pub(crate) const KEY: &[u8] = b"a key for the tests, thirty-two bytes+";

/// As [`until`](super::until), for what servers do among themselves: asking them without a pause would keep
/// the processors from them.
pub(crate) async fn eventually(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let mut rests = tokio::time::interval(Duration::from_millis(10));
    let waiting = async {
        while !happened().await {
            rests.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// A redis-server; killed when it is dropped.
pub(crate) struct Redis {
    child: Option<Child>,
    program: PathBuf,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
    pub(crate) port: u16,
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Redis {
    /// Starts one.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts one with further arguments.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        Self::with_files(|_| arguments.iter().map(|argument| (*argument).to_owned()).collect()).await
    }

    /// Starts one whose arguments name files, made in its folder.
    pub(crate) async fn with_files(arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let program = component("redis-server");
        // A port can be lost between asking and binding.
        loop {
            let folder = tempfile::tempdir().unwrap();
            let (program, arguments) = (program.clone(), arguments(folder.path()));
            let mut redis = Self { child: None, program, folder, arguments, port: free_port() };
            if redis.up().await {
                return redis;
            }
        }
    }

    /// Starts it (again), on the same port; whether it came up.
    pub(crate) async fn up(&mut self) -> bool {
        let mut command = Command::new(&self.program);
        // Sentinels begin with their file.
        command.args(self.arguments.iter().take_while(|argument| !argument.starts_with('-')));
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(self.folder.path());
        let tls = self.arguments.iter().any(|argument| argument == "--tls-cert-file");
        let (plain, tls) = if tls { (0, self.port) } else { (self.port, 0) };
        command.args(["--port", &plain.to_string()]);
        if tls > 0 {
            command.args(["--tls-port", &tls.to_string()]);
        }
        command.args(self.arguments.iter().skip_while(|argument| !argument.starts_with('-')));
        // Written once it listens. Without it, what answers at the port may be another.
        let pidfile = self.folder.path().join("pid");
        let _ = std::fs::remove_file(&pidfile);
        command.arg("--pidfile").arg(&pidfile);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        self.child = Some(child);
        let mut up = false;
        eventually("redis-server answers or stops", async || {
            let stopped = self.child.as_mut().unwrap().try_wait().unwrap().is_some();
            up = !stopped && pidfile.exists() && tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
            stopped || up
        })
        .await;
        up
    }

    /// Kills it: nothing is said good-bye to.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has on its disk, for [`Redis::replace_data`].
    pub(crate) fn copy_of_data(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(self.folder.path(), copy.path());
        copy
    }

    /// Gives it an earlier copy of its data, while it is not running: what it wrote since is lost.
    pub(crate) fn replace_data(&self, copy: tempfile::TempDir) {
        let _ = std::fs::remove_dir_all(self.folder.path().join("appendonlydir"));
        copy_folder(copy.path(), self.folder.path());
    }

    /// Has it do nothing, with its connections open.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Has it go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        // The shell's own: a bare machine may have no program of that name.
        let kill = format!("kill {signal} {}", self.child.as_ref().unwrap().id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// What was given for an option.
    pub(crate) fn argument(&self, option: &str) -> &str {
        let at = self.arguments.iter().position(|argument| argument == option).unwrap();
        &self.arguments[at + 1]
    }

    pub(crate) fn at(&self) -> HostPort {
        HostPort { host: "127.0.0.1".into(), port: self.port }
    }

    /// Waits until its replica has every write. `WAIT` speaks only of writes of the connection that asks.
    pub(crate) async fn replicated(&self) {
        eventually("the replica has every write", async || {
            let info: String = self.ask("INFO replication").await;
            let number = |text: &str| text.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u64>().ok();
            let after = |name: &str| info.split_once(name).and_then(|(_, rest)| number(rest));
            after("master_repl_offset:").is_some_and(|all| after(",offset=").is_some_and(|has| has >= all))
        })
        .await;
    }

    /// A connection of the test's own.
    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        let client = redis::Client::open(("127.0.0.1", self.port)).unwrap();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
    }

    /// Asks it something, in words between spaces.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &str) -> T {
        self.try_ask(words).await.unwrap()
    }

    pub(crate) async fn try_ask<T: FromRedisValue>(&self, words: &str) -> RedisResult<T> {
        let mut words = words.split(' ');
        let mut command = redis::cmd(words.next().unwrap());
        for word in words {
            command.arg(word);
        }
        command.query_async(&mut self.connection().await).await
    }
}

/// The address of one server.
pub(crate) fn url(servers: RedisServers) -> RedisUrl {
    RedisUrl { servers, tls: false, user: None, password: None, db: 0, prefix: "test".into() }
}

/// The store at an address, with the usual settings.
pub(crate) fn store_at(url: RedisUrl) -> Arc<dyn SessionStore> {
    store_with(stored_in(StoreUrl::Redis(url)), &[KEY])
}

pub(crate) fn store_with(config: config::SessionConfig, keys: &[&'static [u8]]) -> Arc<dyn SessionStore> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    store::open(&config, &Arc::new(KeyRing::new(keys.iter().copied()))).unwrap()
}

impl Redis {
    /// The store in this one server.
    pub(crate) fn store(&self) -> Arc<dyn SessionStore> {
        store_at(url(RedisServers::One(self.at())))
    }
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&to).unwrap();
            copy_folder(&entry.path(), &to);
        } else if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}
