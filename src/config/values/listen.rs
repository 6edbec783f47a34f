//! Where a listener listens: an IP address and a port, or a Unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::diagnostic::{Mistake, shown};

/// What an address of a Unix socket begins with.
const UNIX: &str = "unix:";
/// The longest path of a socket, bytes. The system takes 107 (macOS 103), and the socket is made in a folder beside its name.
const SOCKET_PATH_MAX: usize = 90;

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether it is a Unix socket: only those connect who may open its file.
    pub fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// An IP address and a port, or `unix:` and a path.
pub(in crate::config) fn listen_address(text: &str) -> Result<ListenAddress, Mistake> {
    let Some(path) = text.strip_prefix(UNIX) else { return socket_addr(text).map(ListenAddress::Ip) };
    let instead =
        "Write an absolute path in a folder that this service may write to, `unix:/run/auth-api/auth-api.sock`.";
    let refused =
        |why: &str| Err(Mistake::new(format!("{} is no Unix socket to listen on: {why}", shown(text)), instead));
    let is_file = |path: &Path| path.file_name().is_some() && !path.as_os_str().as_encoded_bytes().ends_with(b"/");
    match Path::new(path) {
        _ if !cfg!(unix) => refused("this system has none."),
        path if path.is_relative() => refused("what it is relative to would depend on who starts the service."),
        path if !is_file(path) => refused("it names a folder."),
        _ if path.len() > SOCKET_PATH_MAX => {
            refused(&format!("its path has {} bytes, and {SOCKET_PATH_MAX} is the most.", path.len()))
        }
        path => Ok(ListenAddress::Unix(path.to_owned())),
    }
}

/// An IP address and a port.
pub(in crate::config) fn socket_addr(text: &str) -> Result<SocketAddr, Mistake> {
    text.parse().map_err(|_| {
        let port = text.rsplit(':').next().filter(|p| p.parse::<u16>().is_ok()).unwrap_or("8080");
        Mistake::new(
            format!("{} is not an address to listen on: that takes an IP address and a port.", shown(text)),
            format!("Write `127.0.0.1:{port}` for this machine only or `0.0.0.0:{port}` for every interface."),
        )
    })
}
