//! What holds for many routes: request ids, security headers, CORS, limits.

use super::Web;
use super::error;
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
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::timeout::TimeoutLayer;
use tracing::{Instrument, Span};

/// No form of ours is larger, bytes.
const BODY_MAX: usize = 16 << 10;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in the log, in problems and on error pages.
#[derive(Debug, Clone)]
pub(super) struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn new() -> Self {
        let mut random = [0; 8];
        crate::domain::seal::random(&mut random);
        Self(format!("{:016x}", u64::from_be_bytes(random)).into())
    }

    /// What is logged within carries the id, at every log level.
    pub(super) fn span(&self) -> Span {
        tracing::error_span!("request", request_id = %self)
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::new))
    }
}

/// Gives the request an id and says it in the response. A client's own id is not taken over: it could
/// be another request's, or a line of the log.
pub(super) async fn request_id(mut request: Request, next: Next) -> Response {
    let id = RequestId::new();
    request.extensions_mut().insert(id.clone());
    let mut response = next.run(request).instrument(id.span()).await;
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// For pages, redirects and answers about a person: kept by nobody, framed by nobody, run by nobody.
pub(super) async fn private(mut response: Response) -> Response {
    const CSP: &str =
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
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
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers([CONTENT_TYPE])
        .max_age(Duration::from_secs(600))
}

/// Bounds on body and time, and no panic beyond this point.
pub(super) fn limited<S: Clone + Send + Sync + 'static>(router: Router<S>, time: Duration) -> Router<S> {
    router
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, time))
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| error::panicked()))
}
