//! The answers of one connection: none is made while the client does not take what there is, and large ones go out
//! slice by slice.

use super::SLICE;
use super::patience::{Connection, Untaken};
use axum::body::{Body, BodyDataStream, HttpBody};
use axum::http::header::{HeaderValue, STRICT_TRANSPORT_SECURITY};
use axum::http::{Request, Response, Version};
use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tower_service::Service;

/// A year: browsers come back over https.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// The service of one connection.
#[derive(Debug, Clone)]
pub(super) struct Answers<S> {
    service: S,
    connection: Arc<Connection>,
    tls: bool,
}

impl<S> Answers<S> {
    /// `tls`: whether TLS ends here.
    pub(super) fn new(service: S, connection: Arc<Connection>, tls: bool) -> Self {
        Self { service, connection, tls }
    }
}

impl<S, B> Service<Request<B>> for Answers<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let http2 = request.version() == Version::HTTP_2;
        let answer = self.service.call(request);
        Answer { answer, connection: self.connection.clone(), http2, tls: self.tls }
    }
}

/// An answer that waits for its client.
#[derive(Debug)]
pub(super) struct Answer<F> {
    answer: F,
    connection: Arc<Connection>,
    http2: bool,
    tls: bool,
}

impl<F, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<Body>, E>> + Unpin,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Else who asks and never reads would have us remember all that he asked for.
        ready!(self.connection.poll_unblocked(cx));
        let mut response = ready!(self.answer.poll_unpin(cx))?;
        if self.tls {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, HSTS);
        }
        let large = response.body().size_hint().lower() > SLICE as u64;
        Poll::Ready(Ok(match self.http2 && !response.body().is_end_stream() {
            true => {
                let untaken = Arc::new(Untaken::new(self.connection.clone()));
                response.map(|body| slices(body, Pace::Taken(untaken)))
            }
            false if large => {
                let pace = Pace::Flushed(self.connection.clone(), None);
                response.map(|body| slices(body, pace))
            }
            false => response,
        }))
    }
}

/// How it is known what the client has taken.
enum Pace {
    /// HTTP/2 lets go of what it has sent.
    Taken(Arc<Untaken>),
    /// HTTP/1 copies what it is given, so it is given no more before it has sent that. How often it had, before the
    /// last slice.
    Flushed(Arc<Connection>, Option<u64>),
}

/// A body in slices.
struct Slices {
    body: BodyDataStream,
    rest: Bytes,
    pace: Pace,
}

fn slices(body: Body, pace: Pace) -> Body {
    Body::from_stream(Slices { body: body.into_data_stream(), rest: Bytes::new(), pace })
}

impl Stream for Slices {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Pace::Flushed(connection, Some(before)) = &this.pace {
            ready!(connection.poll_flushed(cx, *before));
        }
        while this.rest.is_empty() {
            match ready!(this.body.poll_next_unpin(cx)) {
                Some(Ok(data)) => this.rest = data,
                end => return Poll::Ready(end),
            }
        }
        let slice = this.rest.split_to(this.rest.len().min(SLICE));
        Poll::Ready(Some(Ok(match &mut this.pace {
            Pace::Taken(untaken) => Bytes::from_owner(Sent { slice, untaken: untaken.clone() }),
            Pace::Flushed(connection, before) => {
                *before = Some(connection.flushes());
                slice
            }
        })))
    }
}

/// A slice on its way; dropped when it is sent.
struct Sent {
    slice: Bytes,
    untaken: Arc<Untaken>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.slice
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.untaken.came_on();
    }
}
