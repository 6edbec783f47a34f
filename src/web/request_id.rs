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

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id of a proxy that is kept, bytes.
const ID_MAX: usize = 64;

/// Names a request in the log, in problems and on error pages.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestId {
    bytes: [u8; ID_MAX],
    length: usize,
}

impl RequestId {
    pub(super) fn new() -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        // A name, not a secret: no two are the same, of one process or of several.
        static NEXT: LazyLock<AtomicU64> =
            LazyLock::new(|| AtomicU64::new(u64::from_le_bytes(crate::domain::seal::random())));
        let next = NEXT.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        let mut bytes = [0; ID_MAX];
        bytes[..16].iter_mut().zip(0..).for_each(|(byte, i)| *byte = HEX[(next >> (60 - 4 * i) & 15) as usize]);
        Self { bytes, length: 16 }
    }

    /// One that a proxy has sent: up to 64 letters, digits and `-_.:+/=`. `None` for anything else.
    pub(super) fn sent(id: &[u8]) -> Option<Self> {
        let is_plain = id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b));
        let mut bytes = [0; ID_MAX];
        bytes.get_mut(..id.len()).filter(|_| is_plain && !id.is_empty())?.copy_from_slice(id);
        Some(Self { bytes, length: id.len() })
    }

    /// What is logged within carries the id, at every log level.
    pub(super) fn span(&self) -> Span {
        tracing::error_span!("request", request_id = %self)
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }

    /// Sets the `X-Request-Id` header of a response.
    pub(super) fn set_header(&self, response: &mut Response) {
        if let Ok(value) = HeaderValue::from_str(self.as_str()) {
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

/// Names the request, and says so in the response.
pub(super) async fn named(id: RequestId, mut request: Request, next: Next) -> Response {
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

    #[test]
    fn an_id_of_a_proxy_is_short_and_plain() {
        for id in ["a", "4b32a0c5-2e1c-9f5f-8f1e-d2a1c3f0aa11", "Root=1-67891233:abc+/=", &"x".repeat(64)] {
            assert_eq!(RequestId::sent(id.as_bytes()).unwrap().as_str(), id);
        }
        for id in ["", "a b", "a\"b", "a\nb", "<b>", "ä", &"x".repeat(65)] {
            assert!(RequestId::sent(id.as_bytes()).is_none(), "{id}");
        }
    }
}
