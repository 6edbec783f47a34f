//! The triggers' HTTP client: no redirects, no proxies, bounded time and bounded memory.

use std::time::Duration;

/// No answer is near this size.
const MAX_BODY: usize = 1 << 20;

#[derive(Debug, Clone)]
pub(super) struct HttpSender(reqwest::Client);

impl HttpSender {
    #[expect(clippy::disallowed_methods, reason = "the one client of the triggers, which run without the service")]
    pub(super) fn new(timeout: Duration) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .timeout(timeout)
            // A function sleeps between events, and what is between it and others forgets connections meanwhile.
            .pool_idle_timeout(Duration::from_secs(10))
            .user_agent(concat!("auth-api-triggers/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(|e| format!("the HTTP client cannot be set up: {e}"))
    }

    /// The status and the body. An error says why there is none, without the address or anything that was sent.
    pub(super) async fn send(&self, request: http::Request<Vec<u8>>) -> Result<(u16, Vec<u8>), String> {
        let request = reqwest::Request::try_from(request).map_err(reason)?;
        let mut response = self.0.execute(request).await.map_err(reason)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(reason)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(format!("an answer of more than {MAX_BODY} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status().as_u16(), body))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn reason(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
