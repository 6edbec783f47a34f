//! The one HTTP client: no redirects, no proxies, no decompression, bounded time and bounded memory.

pub mod aws_json;
pub mod user_pools;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// No answer is near this size; a larger one is cut off unread.
const MAX_BODY: usize = 1 << 20;

/// A request with its whole body.
pub type Request = http::Request<Vec<u8>>;
/// A response with its whole body.
pub type Response = http::Response<Vec<u8>>;

/// Sends requests. Clones share their connections.
#[derive(Debug, Clone)]
pub struct OutboundClient(reqwest::Client);

/// Why there is no response. The text names no address: parameters may be in it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OutboundError {
    /// The network failed, or the time ran out.
    #[error("{reason}")]
    Network {
        /// The innermost cause.
        reason: String,
        /// The request was certainly not sent: there was no connection.
        untouched: bool,
    },
    /// More than 1 MiB.
    #[error("an answer of more than {MAX_BODY} bytes")]
    TooLarge,
}

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> Self {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let reason = if error.is_timeout() { "no answer in time".into() } else { cause.to_string() };
        Self::Network { reason, untouched: error.is_connect() }
    }
}

impl OutboundClient {
    /// A client whose every request ends within `timeout`, body included; connections are kept for `idle`.
    ///
    /// # Errors
    /// If the TLS set-up of this machine cannot be loaded.
    #[expect(clippy::disallowed_methods, reason = "the one client that the rule points to")]
    pub fn new(user_agent: &str, timeout: Duration, idle: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .pool_idle_timeout(idle)
            .dns_resolver(LoopbackNames)
            .user_agent(format!("{user_agent}/{}", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|e| format!("the HTTP client cannot be set up: {e}"))
    }

    /// Sends a request and waits for the head of the response.
    ///
    /// # Errors
    /// [`OutboundError::Network`].
    pub async fn send(&self, request: Request) -> Result<ResponseHead, OutboundError> {
        Ok(ResponseHead(self.0.execute(request.try_into()?).await?))
    }

    /// Sends a request and reads the response.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn call(&self, request: Request) -> Result<Response, OutboundError> {
        self.send(request).await?.read().await
    }
}

/// A response of which only the head was read.
#[derive(Debug)]
pub struct ResponseHead(reqwest::Response);

impl ResponseHead {
    /// Its status.
    pub fn status(&self) -> http::StatusCode {
        self.0.status()
    }

    /// Its headers.
    pub fn headers(&self) -> &http::HeaderMap {
        self.0.headers()
    }

    /// All of it.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn read(mut self) -> Result<Response, OutboundError> {
        let mut response = Response::default();
        *response.status_mut() = self.0.status();
        *response.headers_mut() = std::mem::take(self.0.headers_mut());
        while let Some(chunk) = self.0.chunk().await? {
            if response.body().len() + chunk.len() > MAX_BODY {
                return Err(OutboundError::TooLarge);
            }
            response.body_mut().extend_from_slice(&chunk);
        }
        Ok(response)
    }
}

/// Answers names under `localhost` with loopback, as RFC 6761 §6.3 asks of resolvers (many do not),
/// and leaves the others to the system.
#[derive(Debug)]
struct LoopbackNames;

impl Resolve for LoopbackNames {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        Box::pin(async move {
            if crate::domain::host::is_loopback(&name) {
                return Ok(Box::new(std::iter::once(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))) as Addrs);
            }
            let found: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}
