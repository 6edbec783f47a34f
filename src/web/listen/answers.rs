//! The answers of one connection: none is made while the client does not take what there is, and large ones go out
//! slice by slice.

use super::SLICE;
use super::patience::{ConnectionProgress, UnreadResponse};
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
pub(super) struct BoundedService<S> {
    service: S,
    connection: Arc<ConnectionProgress>,
    tls: bool,
}

impl<S> BoundedService<S> {
    /// `tls`: whether TLS ends here.
    pub(super) fn new(service: S, connection: Arc<ConnectionProgress>, tls: bool) -> Self {
        Self { service, connection, tls }
    }
}

impl<S, B> Service<Request<B>> for BoundedService<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    S::Future: Unpin,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = BoundedResponse<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let http2 = request.version() == Version::HTTP_2;
        self.connection.request_began();
        let answer = self.service.call(request);
        BoundedResponse { answer, connection: self.connection.clone(), http2, tls: self.tls }
    }
}

/// An answer that waits for its client.
#[derive(Debug)]
pub(super) struct BoundedResponse<F> {
    answer: F,
    connection: Arc<ConnectionProgress>,
    http2: bool,
    tls: bool,
}

impl<F> Drop for BoundedResponse<F> {
    fn drop(&mut self) {
        self.connection.request_ended();
    }
}

impl<F, E> Future for BoundedResponse<F>
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
                let unread = Arc::new(UnreadResponse::new(self.connection.clone()));
                response.map(|body| slices(body, FlowControl::Taken(unread)))
            }
            false if large => {
                let pace = FlowControl::Flushed(self.connection.clone(), None);
                response.map(|body| slices(body, pace))
            }
            false => response,
        }))
    }
}

/// How it is known what the client has taken.
enum FlowControl {
    /// HTTP/2 lets go of what it has sent.
    Taken(Arc<UnreadResponse>),
    /// HTTP/1 copies what it is given, so it is given no more before it has sent that. How often it had, before the
    /// last slice.
    Flushed(Arc<ConnectionProgress>, Option<u64>),
}

/// A body in slices.
struct SlicedBody {
    body: BodyDataStream,
    rest: Bytes,
    pace: FlowControl,
}

fn slices(body: Body, pace: FlowControl) -> Body {
    Body::from_stream(SlicedBody { body: body.into_data_stream(), rest: Bytes::new(), pace })
}

impl Stream for SlicedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let FlowControl::Flushed(connection, Some(before)) = &this.pace {
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
            FlowControl::Taken(unread) => Bytes::from_owner(InFlightSlice { slice, unread: unread.clone() }),
            FlowControl::Flushed(connection, before) => {
                *before = Some(connection.flushes());
                slice
            }
        })))
    }
}

/// A slice on its way; dropped when it is sent.
struct InFlightSlice {
    slice: Bytes,
    unread: Arc<UnreadResponse>,
}

impl AsRef<[u8]> for InFlightSlice {
    fn as_ref(&self) -> &[u8] {
        &self.slice
    }
}

impl Drop for InFlightSlice {
    fn drop(&mut self) {
        self.unread.note_progress();
    }
}
