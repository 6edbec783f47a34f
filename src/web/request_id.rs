//! The request id: in the log, in problems, on error pages and in every response.

use axum::extract::{FromRequestParts, Request};
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use std::convert::Infallible;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use tracing::{Instrument, Span};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Names a request in the log, in problems and on error pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId([u8; 16]);

impl RequestId {
    pub(super) fn new() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // A name, not a secret: no two are the same, of one process or of several.
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(u64::from_le_bytes(crate::domain::seal::random())));
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

    /// Sets the `X-Request-Id` header of a response.
    pub(super) fn set_header(&self, response: &mut Response) {
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
    id.set_header(&mut response);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_differ_and_say_nothing() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| RequestId::new().as_str().to_owned()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }
}
