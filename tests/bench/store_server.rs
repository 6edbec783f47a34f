//! A store of its own for a measurement: Redis or PostgreSQL, on a port of the system's choice.

use anyhow::{Context, ensure};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// PostgreSQL's programs refuse to run as root.
const NOBODY: u32 = 65_534;

/// A server; stopped when it is dropped.
pub struct StoreServer {
    child: Child,
    scheme: &'static str,
    path: &'static str,
    pub port: u16,
    _folder: tempfile::TempDir,
}

impl StoreServer {
    /// A Redis that keeps nothing on disk.
    pub fn redis() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--dir"]).arg(folder.path()).arg("--port");
        Self::start(command, "redis", "", folder)
    }

    /// A PostgreSQL with its defaults: what it acknowledges is on disk.
    pub fn postgresql() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (programs, data) = (postgresql().context("postgresql is not installed")?, folder.path().join("data"));
        let as_nobody = |mut command: Command| {
            if rustix::process::geteuid().is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
            command.current_dir("/");
            command
        };
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let mut made = as_nobody(Command::new(programs.join("initdb")));
        made.args(["--auth=trust", "--locale=C", "--encoding=UTF8", "-U", "auth_api", "-D"]).arg(&data);
        ensure!(made.stdout(Stdio::null()).status()?.success(), "initdb");
        let mut command = as_nobody(Command::new(programs.join("postgres")));
        command.arg("-D").arg(&data).arg("-k").arg(folder.path()).stderr(Stdio::null()).arg("-p");
        Self::start(command, "postgres", "/postgres", folder)
    }

    fn start(
        mut command: Command,
        scheme: &'static str,
        path: &'static str,
        folder: tempfile::TempDir,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let child = command.arg(port.to_string()).stdout(Stdio::null()).spawn()?;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Ok(Self { child, scheme, path, port, _folder: folder })
    }

    /// Its address, for who signs in as `user`: empty, or with an `@` at the end.
    pub fn address(&self, user: &str) -> String {
        format!("{}://{user}127.0.0.1:{}{}", self.scheme, self.port, self.path)
    }
}

impl Drop for StoreServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where its programs are: in the PATH, or where Debian puts them.
fn postgresql() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).find(|folder: &PathBuf| is_there(folder))
}

fn is_there(folder: &Path) -> bool {
    folder.join("initdb").is_file()
}
