//! A listener with limits: a client that sends its request drop by drop, or none at all, holds no
//! connection for long.

use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsConfig;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take to send a request's head.
const HEAD: Duration = Duration::from_secs(15);
/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves `router` until `handle` says otherwise.
///
/// # Errors
/// Of the operating system.
pub async fn listen(
    listener: TcpListener,
    router: Router,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    match tls {
        Some(tls) => bounded(axum_server::from_tcp_rustls(listener, tls)?).handle(handle).serve(service).await,
        None => bounded(axum_server::from_tcp(listener)?).handle(handle).serve(service).await,
    }
}

fn bounded<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, InTime<A>> {
    let mut server = server.map(InTime);
    let builder = server.http_builder();
    // One buffer for a small answer costs less than a vectored write.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD).writev(false);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Duration::from_secs(30)).max_concurrent_streams(250);
    server
}

/// Bounds the time until it is known which HTTP a client speaks: hyper waits for that without a limit,
/// and only then for a head with one.
#[derive(Debug, Clone)]
struct InTime<A>(A);

impl<A, I, S> Accept<I, S> for InTime<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = Sniffed<A::Stream>;
    type Service = A::Service;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            let deadline = Some((Box::pin(tokio::time::sleep(HEAD)), 0));
            Ok((Sniffed { stream, deadline }, service))
        })
    }
}

/// A stream with a deadline until its first bytes tell HTTP/1 from HTTP/2.
#[derive(Debug)]
struct Sniffed<S> {
    stream: S,
    /// The deadline, and how much of HTTP/2's preface has come.
    deadline: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Sniffed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let Some((deadline, seen)) = &mut this.deadline else { return read };
        if read.is_pending() {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let new = &buf.filled()[before..];
        *seen += new.len();
        let undecided = *seen < PREFACE.len() && PREFACE[*seen - new.len()..].starts_with(new);
        if !undecided {
            this.deadline = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sniffed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        tokio::spawn(listen(listener.into_std().unwrap(), router, None, Handle::new()));
        addr
    }

    // Time is paused: it leaps to the next deadline when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed() {
        let addr = start().await;
        for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nhost: x"] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(first).await.unwrap();
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(HEAD * 3, client.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "{:?} holds the connection", String::from_utf8_lossy(first));
        }
    }

    #[tokio::test]
    async fn a_request_that_comes_in_pieces_is_answered() {
        let addr = start().await;
        let mut client = TcpStream::connect(addr).await.unwrap();
        for piece in ["G", "ET / HT", "TP/1.1\r\nhost: x\r\nconnection: close\r\n", "\r\n"] {
            client.write_all(piece.as_bytes()).await.unwrap();
            client.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"), "{answer}");
    }
}
