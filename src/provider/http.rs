//! The one HTTP client: no redirects, no proxies, no decompression, bounded time and bounded memory.

use super::error::Error;
use crate::telemetry::Metrics;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No answer of a provider is near this size; a larger one is cut off unread.
const MAX_BODY: usize = 1 << 20;

/// Sends requests to the provider.
#[derive(Debug, Clone)]
pub struct HttpClient {
    transport: Transport,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Clone)]
enum Transport {
    Network(reqwest::Client),
    /// A provider in the same process, without sockets.
    #[cfg(test)]
    InProcess(Arc<dyn InProcess>),
}

/// A provider that the simulation calls.
#[cfg(test)]
#[async_trait::async_trait]
pub(crate) trait InProcess: Send + Sync + std::fmt::Debug {
    /// Its answer, or why there is none.
    async fn answer(&self, request: HttpRequest) -> Result<HttpResponse, Error>;
}

impl HttpClient {
    /// A client whose every request ends within `timeout`, body included.
    ///
    /// # Errors
    /// If the TLS set-up of this machine cannot be loaded.
    #[expect(clippy::disallowed_methods, reason = "the one client that the rule points to")]
    pub fn new(timeout: Duration, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout.min(Duration::from_secs(5)))
            .dns_resolver(LoopbackNames)
            .user_agent(concat!("auth-api/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| Error::unavailable(format!("the HTTP client cannot be set up: {e}")))?;
        Ok(Self { transport: Transport::Network(client), metrics })
    }

    #[cfg(test)]
    pub(crate) fn in_process(provider: Arc<dyn InProcess>, metrics: Arc<Metrics>) -> Self {
        Self { transport: Transport::InProcess(provider), metrics }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or, for any status but 200, [`Error::Unusable`].
    pub async fn get(&self, endpoint: &'static str, url: &url::Url) -> Result<Vec<u8>, Error> {
        let request = http::Request::get(url.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|e| Error::Unusable(format!("{url} is no address: {e}")))?;
        let response = self.call(endpoint, request).await?;
        match response.status().as_u16() {
            200 => Ok(response.into_body()),
            status => Err(Error::Unusable(format!("{url} answered {status}"))),
        }
    }

    /// Sends a request. Answers 429 and 5xx become [`Error::Unavailable`].
    pub async fn call(&self, endpoint: &'static str, request: HttpRequest) -> Result<HttpResponse, Error> {
        let started = Instant::now();
        let result = self.send(request).await;
        let outcome = match &result {
            Ok(response) if response.status().is_success() => "ok",
            Err(Error::Unavailable { .. }) => "unavailable",
            Ok(_) | Err(_) => "refused",
        };
        self.metrics.provider(endpoint, outcome, started.elapsed());
        result
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        #[cfg_attr(
            not(test),
            expect(clippy::infallible_destructuring_match, reason = "the simulation has another way")
        )]
        let client = match &self.transport {
            Transport::Network(client) => client,
            #[cfg(test)]
            Transport::InProcess(provider) => {
                let host = request.uri().host().unwrap_or_default().to_owned();
                let response = provider.answer(request).await?;
                check_status(&host, response.status(), response.headers())?;
                return Ok(response);
            }
        };
        let request = reqwest::Request::try_from(request).map_err(|e| Error::unavailable(e.to_string()))?;
        // The address may carry parameters; the host says enough.
        let host = request.url().host_str().unwrap_or_default().to_owned();
        let failed = |e: reqwest::Error| Error::Unavailable {
            detail: format!("{host}: {}", reason(&e)),
            retry_after: None,
            untouched: e.is_connect(),
            throttled: false,
        };
        let mut response = client.execute(request).await.map_err(failed)?;
        let status = response.status();
        check_status(&host, status, response.headers())?;
        let mut answer = http::Response::builder().status(status);
        if let Some(headers) = answer.headers_mut() {
            headers.extend(response.headers_mut().drain());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Error::Unusable(format!("{host} answered with more than {MAX_BODY} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        answer.body(body).map_err(|e| Error::unavailable(e.to_string()))
    }

    /// This client as the oauth2 crate wants it, its calls counted under `endpoint`.
    pub fn for_endpoint(&self, endpoint: &'static str) -> Endpoint<'_> {
        Endpoint { http: self, endpoint }
    }
}

/// An [`HttpClient`] bound to the name its calls are counted under.
#[derive(Debug)]
pub struct Endpoint<'a> {
    http: &'a HttpClient,
    endpoint: &'static str,
}

impl<'c> AsyncHttpClient<'c> for Endpoint<'_> {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move { check_token_response(self.http.call(self.endpoint, request).await?) })
    }
}

/// 429 and 5xx are no answers: the request may be repeated later.
fn check_status(host: &str, status: http::StatusCode, headers: &http::HeaderMap) -> Result<(), Error> {
    let throttled = status == http::StatusCode::TOO_MANY_REQUESTS;
    if !throttled && !status.is_server_error() {
        return Ok(());
    }
    let (detail, retry_after) = (format!("{host} answered {status}"), retry_after(headers));
    Err(Error::Unavailable { detail, retry_after, untouched: throttled, throttled })
}

/// Seconds until the provider wants to be asked again (RFC 9110 §10.2.3). A date counts from the provider's own.
fn retry_after(headers: &http::HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name)?.to_str().ok();
    let value: &str = text(http::header::RETRY_AFTER)?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(seconds);
    }
    let date = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
    let left = date(value)?.signed_duration_since(date(text(http::header::DATE)?)?);
    Some(u64::try_from(left.num_seconds()).unwrap_or(0))
}

/// A token endpoint's answer is one JSON document or none: the oauth2 crate reads the first and ignores what comes
/// after it.
fn check_token_response(response: HttpResponse) -> Result<HttpResponse, Error> {
    #[derive(serde::Deserialize)]
    struct ErrorResponse {
        #[serde(rename = "error")]
        _error: String,
    }
    let status = response.status();
    if status.is_success() && serde_json::from_slice::<serde::de::IgnoredAny>(response.body()).is_err() {
        return Err(Error::Unusable("the token endpoint's body is not one JSON document".into()));
    }
    if status.is_client_error() && serde_json::from_slice::<ErrorResponse>(response.body()).is_err() {
        return Err(Error::RefusedWithoutReason { status: status.as_u16() });
    }
    Ok(response)
}

/// What went wrong, without the address.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_come_again_is_seconds_or_a_date() {
        let told = |value: &str, date: Option<&str>| {
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, value.parse().unwrap());
            if let Some(date) = date {
                headers.insert(http::header::DATE, date.parse().unwrap());
            }
            retry_after(&headers)
        };
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(told("30", now), Some(30));
        assert_eq!(told("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(60));
        assert_eq!(told("Sun, 06 Nov 1994 08:48:37 GMT", now), Some(0), "it is over");
        for nonsense in ["soon", "-1", "1.5", "", "Sun, 06 Nov 1994", "99999999999999999999999"] {
            assert_eq!(told(nonsense, now), None, "{nonsense}");
        }
        assert_eq!(told("Sun, 06 Nov 1994 08:50:37 GMT", None), None, "whose clock?");
        assert_eq!(retry_after(&http::HeaderMap::new()), None);
    }
}
