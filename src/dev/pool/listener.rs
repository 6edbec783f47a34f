//! The pool's listener, for what happens below HTTP: outages, and connections that are reset without an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// Accepts connections, and drops them at once while the pool is down.
#[derive(Debug)]
pub(super) struct PoolListener {
    listener: TcpListener,
    down: Arc<AtomicBool>,
}

impl PoolListener {
    pub(super) fn new(listener: TcpListener, down: Arc<AtomicBool>) -> Self {
        Self { listener, down }
    }
}

impl Listener for PoolListener {
    type Io = PoolConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PoolConnection, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(_) if self.down.load(Ordering::Relaxed) => {}
                Ok((stream, peer)) => {
                    let connection =
                        PoolConnection { stream, down: Arc::clone(&self.down), reset: ConnectionReset::default() };
                    return (connection, peer);
                }
                // Out of file descriptors, most likely: give the others time to close.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Ends the connection that a request came on, without an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionReset(Arc<AtomicBool>);

impl ConnectionReset {
    pub(super) fn now(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, PoolListener>> for ConnectionReset {
    fn connect_info(stream: IncomingStream<'_, PoolListener>) -> Self {
        stream.io().reset.clone()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct PoolConnection {
    stream: TcpStream,
    down: Arc<AtomicBool>,
    reset: ConnectionReset,
}

impl PoolConnection {
    fn check(&self) -> io::Result<()> {
        if self.down.load(Ordering::Relaxed) || self.reset.0.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        Ok(())
    }
}

impl AsyncRead for PoolConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        // An idle kept-alive connection sleeps in here through the moment the pool goes down.
        match outcome {
            Poll::Ready(Ok(())) => Poll::Ready(self.check()),
            other => other,
        }
    }
}

impl AsyncWrite for PoolConnection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
