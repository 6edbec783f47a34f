//! A listener with limits: a client that sends its request drop by drop, or none at all, or that asks and never reads,
//! holds no connection for long and little memory.

mod answers;
mod connection_limit;
mod listener;
mod patience;
#[cfg(unix)]
mod socket_file;
mod stream;

pub use self::connection_limit::ConnectionLimit;
pub use self::listener::{Listener, UnixPeer};
#[cfg(unix)]
pub use self::socket_file::SocketFile;

use self::answers::BoundedService;
use self::patience::ConnectionProgress;
use self::stream::DeadlineStream;
use axum::Router;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsConfig;
use axum_server::{Address, Handle, Server};
use hyper_util::rt::TokioTimer;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// How long a client may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a client may take nothing of what it is answered: over HTTP/1 nothing at all, over HTTP/2 nothing of one
/// answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are given out at once.
const SLICE: usize = 16 << 10;
/// Connections at once, where enough files may be open; further ones are closed. What each may cost of memory is below,
/// and in `guide/security.md`.
const MAX_CONNECTIONS: usize = 4_096;
/// Connections that wait until they are accepted, where the system allows as many: the standard library asks for 128, of
/// which a burst of clients loses the rest, who try again after a second.
#[cfg(unix)]
const BACKLOG: i32 = 4_096;
/// Requests at once on a connection of HTTP/2.
const MAX_CONCURRENT_STREAMS: u32 = 64;
/// Bytes of a request's head over HTTP/1, and of what waits to be written.
const HTTP1_BUFFER: usize = 64 << 10;
/// Bytes of bodies that a client may send over HTTP/2 before somebody reads them: none of ours is larger than one
/// stream's.
const STREAM_WINDOW: u32 = 32 << 10;
const CONNECTION_WINDOW: u32 = 64 << 10;

/// [`listen_within`] the usual limit of connections.
///
/// # Errors
/// Of the operating system.
pub async fn listen(
    listener: Listener,
    router: Router,
    tls: Option<RustlsConfig>,
    idle_timeout: Duration,
    shutdown: impl Future<Output = Duration>,
) -> io::Result<()> {
    listen_within(ConnectionLimit::default(), listener, router, tls, idle_timeout, shutdown).await
}

/// Serves `router` until `shutdown` says how long requests in flight may take from then on. A connection without a
/// request is closed after `idle_timeout`, one beyond `limit` at once. `tls` is for TCP.
///
/// # Errors
/// Of the operating system.
pub async fn listen_within(
    limit: ConnectionLimit,
    listener: Listener,
    router: Router,
    tls: Option<RustlsConfig>,
    idle_timeout: Duration,
    shutdown: impl Future<Output = Duration>,
) -> io::Result<()> {
    match listener {
        Listener::Tcp(listener) => {
            listener.set_nonblocking(true)?;
            #[cfg(unix)]
            rustix::net::listen(&listener, BACKLOG)?;
            let (service, handle) = (router.into_make_service_with_connect_info::<SocketAddr>(), Handle::new());
            let Some(tls) = tls else {
                let server =
                    bounded(axum_server::from_tcp(listener)?, false, limit, idle_timeout).handle(handle.clone());
                return until(shutdown, handle, server.serve(service)).await;
            };
            let server =
                bounded(axum_server::from_tcp_rustls(listener, tls)?, true, limit, idle_timeout).handle(handle.clone());
            until(shutdown, handle, server.serve(service)).await
        }
        #[cfg(unix)]
        Listener::Unix(listener, _file) => {
            listener.set_nonblocking(true)?;
            let (service, handle) = (router.into_make_service_with_connect_info::<UnixPeer>(), Handle::new());
            let server = bounded(axum_server::from_unix(listener)?, false, limit, idle_timeout).handle(handle.clone());
            until(shutdown, handle, server.serve(service)).await
        }
    }
}

/// Serves on, and shuts down when it is time.
async fn until<A: Address>(
    shutdown: impl Future<Output = Duration>,
    handle: Handle<A>,
    serving: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let stopping = async {
        handle.graceful_shutdown(Some(shutdown.await));
        std::future::pending().await
    };
    tokio::select! {
        ended = serving => ended,
        never = stopping => never,
    }
}

fn bounded<A: Address, B>(
    server: Server<A, B>,
    tls: bool,
    limit: ConnectionLimit,
    idle_timeout: Duration,
) -> Server<A, BoundedAcceptor<B>> {
    let mut server = server.map(|acceptor| BoundedAcceptor { acceptor, limit, tls });
    let builder = server.http_builder();
    // One buffer for a small answer costs less than a vectored write. hyper counts the time between two requests as
    // time of the second one's head; `DeadlineStream` bounds a head from its first byte on.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(idle_timeout).writev(false).max_buf_size(HTTP1_BUFFER);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30))
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    server
}

/// Bounds how many connections there are, the time until it is known which HTTP a client speaks (hyper waits for that
/// without a limit, and only then for a head with one), and the time that a client may leave an answer untaken.
#[derive(Debug, Clone)]
struct BoundedAcceptor<A> {
    acceptor: A,
    limit: ConnectionLimit,
    tls: bool,
}

impl<A, I, S> Accept<I, S> for BoundedAcceptor<A>
where
    A: Accept<I, S>,
    A::Future: Send + 'static,
{
    type Stream = DeadlineStream<A::Stream>;
    type Service = BoundedService<A::Service>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: I, service: S) -> Self::Future {
        let permit = self.limit.try_acquire();
        let (accepted, tls) = (self.acceptor.accept(stream, service), self.tls);
        Box::pin(async move {
            let permit = permit.ok_or(io::ErrorKind::ConnectionRefused)?;
            let (stream, service) = accepted.await?;
            let connection = Arc::<ConnectionProgress>::default();
            Ok((DeadlineStream::new(stream, connection.clone(), permit), BoundedService::new(service, connection, tls)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    const IDLE: Duration = Duration::from_secs(75);

    async fn start() -> SocketAddr {
        serve(Router::new().fallback(async || "here")).await
    }

    async fn serve(router: Router) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(listen(listener.into_std().unwrap().into(), router, None, IDLE, std::future::pending()));
        addr
    }

    /// Answers with a megabyte, and counts.
    async fn large() -> (SocketAddr, Arc<AtomicUsize>) {
        let (asked, body) = (Arc::new(AtomicUsize::new(0)), bytes::Bytes::from(vec![b'x'; 1 << 20]));
        let count = asked.clone();
        let answer = move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::ready(body.clone())
        };
        (serve(Router::new().fallback(answer)).await, asked)
    }

    /// Asks twice over HTTP/2 (RFC 9113, RFC 7541) and takes so many bytes of each answer.
    fn two_streams(window: u8) -> Vec<u8> {
        let mut said = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0".to_vec();
        said.push(window);
        for stream in [1, 3] {
            said.extend([0, 0, 3, 1, 5, 0, 0, 0, stream, 0x82, 0x86, 0x84]);
        }
        said
    }

    // Time is paused: it leaps to the next deadline when nothing else is left to do.
    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_is_closed() {
        let addr = start().await;
        for first in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\nhost: x"] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(first).await.unwrap();
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(HEAD_TIMEOUT * 3, client.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "{:?} holds the connection", String::from_utf8_lossy(first));
        }
    }

    async fn read_answer(client: &mut TcpStream) {
        let mut answer = vec![];
        while !answer.ends_with(b"here") {
            assert!(client.read_buf(&mut answer).await.unwrap() > 0, "{}", String::from_utf8_lossy(&answer));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
        let mut client = TcpStream::connect(start().await).await.unwrap();
        for _ in 0..3 {
            client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").await.unwrap();
            read_answer(&mut client).await;
            tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        }
        let closed = tokio::time::timeout(Duration::from_secs(2), client.read_u8()).await;
        assert!(closed.is_ok_and(|read| read.is_err()), "it is closed after the time");
    }

    #[tokio::test(start_paused = true)]
    async fn the_head_of_a_later_request_has_as_little_time_as_the_first() {
        let mut client = TcpStream::connect(start().await).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        read_answer(&mut client).await;
        tokio::time::sleep(IDLE / 2).await;
        let began = tokio::time::Instant::now();
        // Drop by drop, and each drop within the time.
        while client.write_all(b"G").await.is_ok() && began.elapsed() < IDLE {
            tokio::time::sleep(HEAD_TIMEOUT / 4).await;
        }
        let took = began.elapsed();
        assert!(took >= HEAD_TIMEOUT && took < HEAD_TIMEOUT * 2, "{took:?}");
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_unix_socket_has_the_same_limits() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("s");
        let listener = Listener::at_socket(&socket).await.unwrap();
        let body = bytes::Bytes::from(vec![b'x'; 1 << 20]);
        let router = Router::new().fallback(move || std::future::ready(body.clone()));
        tokio::spawn(listen(listener, router, None, IDLE, std::future::pending()));
        let many = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100);
        for (first, time) in [
            (&b""[..], HEAD_TIMEOUT),
            (b"GET / HTTP/1.1\r\nhost: x", HEAD_TIMEOUT),
            (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", STALL_TIMEOUT),
            (&many, STALL_TIMEOUT),
        ] {
            let mut client = tokio::net::UnixStream::connect(&socket).await.unwrap();
            client.write_all(first).await.unwrap();
            tokio::time::sleep(time + Duration::from_secs(1)).await;
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(1), client.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "{:?} holds the connection", String::from_utf8_lossy(first));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (addr, asked) = large().await;
        let many = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".repeat(1_000);
        for said in [many, two_streams(0), two_streams(1)] {
            let mut client = TcpStream::connect(addr).await.unwrap();
            client.write_all(&said).await.unwrap();
            // So long that the service has lost its patience, and does not yet wait for the answer to a PING; only then
            // is anything read.
            tokio::time::sleep(STALL_TIMEOUT + Duration::from_secs(10)).await;
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(Duration::from_secs(1), client.read_to_end(&mut rest)).await;
            assert!(closed.is_ok(), "{:?} holds the connection", String::from_utf8_lossy(&said[..20]));
        }
        let asked = asked.load(Ordering::SeqCst);
        assert!(asked < 40, "answers are made as they are taken, and {asked} were made");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_burst_of_connections_waits_to_be_accepted() {
        let addr = start().await;
        TcpStream::connect(addr).await.unwrap().write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        tokio::task::yield_now().await;
        // On the only thread, so that none is accepted meanwhile: one for which there is no room would wait for ever.
        let burst: Vec<_> = (0..300).map(|_| std::net::TcpStream::connect(addr).unwrap()).collect();
        assert_eq!(burst.len(), 300);
    }

    #[tokio::test]
    async fn a_large_answer_is_whole() {
        let (addr, _) = large().await;
        let mut client = TcpStream::connect(addr).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8(answer).unwrap();
        assert!(text.contains("content-length: 1048576\r\n"), "{}", &text[..200]);
        assert!(text.ends_with(&"x".repeat(1 << 20)) && text.len() < (1 << 20) + 300);
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_not_given_up() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let permit = ConnectionLimit::new(1).try_acquire().unwrap();
        let mut ours = DeadlineStream::new(ours, Arc::default(), permit);
        let reading = async {
            for _ in 0..50 {
                tokio::time::sleep(STALL_TIMEOUT - Duration::from_secs(1)).await;
                theirs.read_u8().await.unwrap();
            }
            tokio::time::Instant::now()
        };
        let writing = async {
            let error = ours.write_all(&[b'x'; 100]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            tokio::time::Instant::now()
        };
        let (stopped, given_up) = tokio::join!(reading, writing);
        assert!(given_up - stopped >= STALL_TIMEOUT - Duration::from_secs(1), "{:?}", given_up - stopped);
    }

    #[tokio::test]
    async fn connections_beyond_the_most_are_closed_and_make_room_when_they_end() {
        let acceptor = BoundedAcceptor {
            acceptor: axum_server::accept::DefaultAcceptor::new(),
            limit: ConnectionLimit::new(2),
            tls: false,
        };
        let mut open = Vec::new();
        for fits in [true, true, false] {
            let accepted = acceptor.accept(tokio::io::duplex(1).0, ()).await;
            assert_eq!(accepted.is_ok(), fits);
            open.extend(accepted.ok());
        }
        open.pop();
        assert!(acceptor.accept(tokio::io::duplex(1).0, ()).await.is_ok());
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
