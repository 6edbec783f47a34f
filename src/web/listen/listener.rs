//! What connections come in by.

#[cfg(unix)]
use super::socket_file::SocketFile;
use crate::config::ListenAddress;
use std::io;
use std::net::TcpListener;
#[cfg(unix)]
use std::os::unix::net::{SocketAddr as UnixSocketAddr, UnixListener};
#[cfg(unix)]
use std::path::Path;

/// A listener that nobody is served at yet.
#[derive(Debug)]
pub enum Listener {
    /// An IP address and a port.
    Tcp(TcpListener),
    /// A Unix socket, and its name.
    #[cfg(unix)]
    Unix(UnixListener, SocketFile),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    /// Listens at the Unix socket `path`, for processes of this one's user and group.
    ///
    /// # Errors
    /// As [`SocketFile::claim`].
    #[cfg(unix)]
    pub async fn at_socket(path: &Path) -> io::Result<Self> {
        let (listener, file) = SocketFile::claim(path, 0o660).await?;
        Ok(Self::Unix(listener, file))
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn address(&self) -> io::Result<ListenAddress> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(ListenAddress::Ip),
            #[cfg(unix)]
            Self::Unix(_, file) => Ok(ListenAddress::Unix(file.path().to_owned())),
        }
    }
}

/// The other end of a connection over a Unix socket, which has no address.
#[derive(Clone, Copy, Debug)]
pub struct UnixPeer;

#[cfg(unix)]
impl axum::extract::connect_info::Connected<UnixSocketAddr> for UnixPeer {
    fn connect_info(_: UnixSocketAddr) -> Self {
        Self
    }
}
