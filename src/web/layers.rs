//! What holds for many routes: request ids, security headers, CORS, limits.

use super::Web;
use super::error;
use crate::domain::requirement::Requirement;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::{Instrument, Span};

/// No form of ours is larger, bytes.
pub(super) const BODY_MAX: usize = 16 << 10;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in the log, in problems and on error pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId([u8; 16]);

impl RequestId {
    pub(super) fn new() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // A name, not a secret: no two are the same, of one process or of several.
        static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| {
            let mut random = [0; 8];
            crate::domain::seal::random(&mut random);
            AtomicU64::new(u64::from_le_bytes(random))
        });
        let next = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Self(std::array::from_fn(|i| HEX[(next >> (60 - 4 * i) & 15) as usize]))
    }

    /// What is logged within carries the id, at every log level.
    pub(super) fn span(&self) -> Span {
        tracing::error_span!("request", request_id = %self)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Says it in a response.
    pub(super) fn tell(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_bytes(&self.0) {
            response.headers_mut().insert(X_REQUEST_ID, value);
        }
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or_else(Self::new))
    }
}

/// Gives the request an id and says it in the response. A client's own id is not taken over: it could
/// be another request's, or a line of the log.
pub(super) async fn request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::new();
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(id.span()).await;
    id.tell(&mut response);
    response
}

/// For pages, redirects and answers about a person: kept by nobody, framed by nobody, run by nobody.
pub(super) async fn private(mut response: Response) -> Response {
    const CSP: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(CSP));
    response
}

/// Scripts of siblings may read the answer, with the browser's credentials (Fetch standard, CORS).
pub(super) fn cors(web: &Arc<Web>) -> CorsLayer {
    let web = web.clone();
    let allowed = move |origin: &HeaderValue, _: &Parts| {
        origin.to_str().is_ok_and(|origin| web.rp.return_to.allows_origin(origin))
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers([CONTENT_TYPE])
        .max_age(Duration::from_secs(600))
}

/// A bound on time, and no panic beyond this point: the same without layers, for the hot path. What is done
/// at once needs no timer. `None` if the time was not enough.
pub(super) async fn bounded(work: impl Future<Output = Response>, time: Duration) -> Option<Response> {
    let done = in_time(AssertUnwindSafe(work).catch_unwind(), time).await?;
    Some(done.unwrap_or_else(|_| error::panicked()))
}

/// A bound on time for the hot path. What is done at once needs no timer. `None` if the time was not enough.
pub(super) async fn in_time<T>(work: impl Future<Output = T>, time: Duration) -> Option<T> {
    let mut work = pin!(work);
    match std::future::poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Some(done),
        Poll::Pending => tokio::time::timeout(time, work).await.ok(),
    }
}

/// Refuses requirements (`group=` and the like) at an address that judges none: whoever sends them means them.
pub(super) async fn no_requirements(id: RequestId, request: Request, next: Next) -> Response {
    match Requirement::none_in(request.uri().query().unwrap_or_default()) {
        Ok(()) => next.run(request).await,
        Err(malformed) => error::problem(&malformed.into(), &id, None),
    }
}

/// Bounds on body and time, and no panic beyond this point.
pub(super) fn limited<S: Clone + Send + Sync + 'static>(router: Router<S>, time: Duration) -> Router<S> {
    router
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, time))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| error::panicked()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;

    const TIME: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn work_is_bounded_and_a_panic_is_an_answer() {
        let done = bounded(async { "done".into_response() }, TIME).await;
        assert_eq!(done.unwrap().status(), StatusCode::OK);
        let slow = async |time| {
            tokio::time::sleep(time).await;
            "slow".into_response()
        };
        assert_eq!(bounded(slow(TIME / 2), TIME).await.unwrap().status(), StatusCode::OK);
        assert!(bounded(slow(TIME * 2), TIME).await.is_none());
        let broken = bounded(async { panic!("on purpose") }, TIME).await.unwrap();
        assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[test]
    fn request_ids_differ_and_say_nothing() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| RequestId::new().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
