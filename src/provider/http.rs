//! Requests to the provider: counted, and sorted by what a failure means.

use super::error::Error;
use crate::outbound::{OutboundClient, OutboundError};
use crate::telemetry::{Metrics, traces};
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

/// How long connections are kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);

/// Sends requests to the provider.
#[derive(Debug, Clone)]
pub struct HttpClient {
    transport: Transport,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Clone)]
enum Transport {
    Network(OutboundClient),
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
    pub fn new(timeout: Duration, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let client = OutboundClient::new("auth-api", timeout, IDLE).map_err(Error::unavailable)?;
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
    pub async fn call(&self, endpoint: &'static str, mut request: HttpRequest) -> Result<HttpResponse, Error> {
        let started = Instant::now();
        let span = traces::outgoing(endpoint, &mut request);
        let result = self.send(request).instrument(span.clone()).await;
        let outcome = match &result {
            Ok(response) if response.status().is_success() => "ok",
            Err(Error::Unavailable { .. }) => "unavailable",
            Ok(_) | Err(_) => "refused",
        };
        self.metrics.provider(endpoint, outcome, started.elapsed());
        match &result {
            Ok(response) => traces::received(&span, response.status()),
            Err(_) => traces::failed(&span, outcome),
        }
        result
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        // The address may carry parameters; the host says enough.
        let host = request.uri().host().unwrap_or_default().to_owned();
        let failed = |error| match error {
            OutboundError::Network { reason, untouched } => Error::Unavailable {
                detail: format!("{host}: {reason}"),
                retry_after: None,
                untouched,
                throttled: false,
            },
            OutboundError::TooLarge => Error::Unusable(format!("{host}: {error}")),
        };
        match &self.transport {
            Transport::Network(client) => {
                let response = client.send(request).await.map_err(failed)?;
                check_status(&host, response.status(), response.headers())?;
                response.read().await.map_err(failed)
            }
            #[cfg(test)]
            Transport::InProcess(provider) => {
                let response = provider.answer(request).await?;
                check_status(&host, response.status(), response.headers())?;
                Ok(response)
            }
        }
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

/// The time until the provider wants to be asked again (RFC 9110 §10.2.3). A date counts from the provider's own.
fn retry_after(headers: &http::HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name)?.to_str().ok();
    let value: &str = text(http::header::RETRY_AFTER)?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text| chrono::DateTime::parse_from_rfc2822(text).ok();
    let left = date(value)?.signed_duration_since(date(text(http::header::DATE)?)?);
    Some(Duration::from_secs(u64::try_from(left.num_seconds()).unwrap_or(0)))
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
            retry_after(&headers).map(|time| time.as_secs())
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
