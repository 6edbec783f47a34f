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

/// A stream with a deadline until its first bytes tell HTTP/1 from HTTP/2, one while nothing that is written is taken,
/// and one for each answer of HTTP/2.
#[derive(Debug)]
pub(super) struct DeadlineStream<S> {
    stream: S,
    /// The deadline, and how much of HTTP/2's preface has come.
    undecided: Option<(Pin<Box<Sleep>>, usize)>,
    patience: WriteDeadlines,
    /// Its place among all connections.
    _place: OwnedSemaphorePermit,
}

impl<S> DeadlineStream<S> {
    pub(super) fn new(stream: S, connection: Arc<ConnectionProgress>, place: OwnedSemaphorePermit) -> Self {
        Self {
            stream,
            undecided: Some((after(HEAD_TIMEOUT), 0)),
            patience: WriteDeadlines::new(connection),
            _place: place,
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
        let Some((deadline, seen)) = &mut this.undecided else {
            if read.is_pending() {
                ready!(this.patience.poll_stalled(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            return read;
        };
        if read.is_pending() {
            ready!(deadline.as_mut().poll(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let new = &buf.filled()[before..];
        *seen += new.len();
        let undecided = *seen < PREFACE.len() && PREFACE[*seen - new.len()..].starts_with(new);
        if !undecided {
            this.undecided = None;
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
