//! A connection's stream that breaks off where the client keeps it waiting.

use super::HEAD_TIMEOUT;
use super::patience::{ConnectionProgress, WriteDeadlines, after};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

/// What an HTTP/2 connection begins with (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Which HTTP the client speaks, by its first bytes.
#[derive(Debug)]
enum Protocol {
    /// So many bytes of HTTP/2's preface have come.
    Undecided(usize),
    Http1,
    Http2,
}

/// A stream with a deadline for the head of each request of HTTP/1 and for the first bytes of HTTP/2, one while nothing
/// that is written is taken, and one for each answer of HTTP/2.
#[derive(Debug)]
pub(super) struct DeadlineStream<S> {
    stream: S,
    protocol: Protocol,
    /// How many heads had arrived when the first bytes of another did.
    begun: Option<u64>,
    /// The deadline of that head; most arrive at once and need none.
    deadline: Option<Pin<Box<Sleep>>>,
    patience: WriteDeadlines,
    /// Its place among all connections.
    _place: OwnedSemaphorePermit,
}

impl<S> DeadlineStream<S> {
    pub(super) fn new(stream: S, connection: Arc<ConnectionProgress>, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            protocol: Protocol::Undecided(0),
            begun: Some(0),
            deadline: Some(after(HEAD_TIMEOUT)),
            patience: WriteDeadlines::new(connection),
            _place: place,
        }
    }

    /// Judges what has arrived, or that nothing has; ready if a head takes too long.
    fn received(&mut self, new: &[u8], cx: &mut Context<'_>) -> Poll<()> {
        if let Protocol::Undecided(seen) = self.protocol {
            let preface = &PREFACE[seen..];
            self.protocol = match (new.len() < preface.len(), preface.starts_with(new), new.starts_with(preface)) {
                (true, true, _) => Protocol::Undecided(seen + new.len()),
                (_, _, true) => Protocol::Http2,
                _ => Protocol::Http1,
            };
        }
        let (heads, between) = self.patience.connection.heads();
        if matches!(self.protocol, Protocol::Http2) || self.begun.is_some_and(|before| before != heads) {
            (self.begun, self.deadline) = (None, None);
        }
        match (new.is_empty(), self.begun) {
            (true, None) => Poll::Pending,
            (true, Some(_)) => self.deadline.get_or_insert_with(|| after(HEAD_TIMEOUT)).as_mut().poll(cx),
            (false, None) => {
                self.begun = (between && matches!(self.protocol, Protocol::Http1)).then_some(heads);
                Poll::Pending
            }
            // Drop by drop.
            (false, Some(_)) => self.deadline.as_mut().map_or(Poll::Pending, |deadline| deadline.as_mut().poll(cx)),
        }
    }

    /// Judges how a write or flush ended; `taken` if it ended well.
    fn wrote<T>(&mut self, result: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        match self.patience.wrote(result.is_ready(), cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => result,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for DeadlineStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        if this.received(&buf.filled()[before..], cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if read.is_pending() {
            ready!(this.patience.poll_stalled(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for DeadlineStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            self.patience.flushed();
        }
        self.wrote(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wrote(shut, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
