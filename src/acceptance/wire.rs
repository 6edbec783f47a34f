//! Requests whose statuses and bodies are the answer: what the rest of auth-api hides from its callers.

use crate::config::ProviderConfig;
use crate::outbound::{OutboundClient, Response};
use crate::provider::Endpoints;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::sync::Arc;
use url::{Url, form_urlencoded};

/// The pool's endpoints, and who asks.
#[derive(Debug)]
pub(super) struct Wire {
    http: OutboundClient,
    pub(super) endpoints: Arc<Endpoints>,
    pub(super) client: WireClient,
}

/// An app client.
#[derive(Debug, Clone)]
pub(super) struct WireClient {
    pub(super) id: String,
    pub(super) secret: Option<SecretString>,
}

/// A response as it came.
#[derive(Debug)]
pub(super) struct WireAnswer(pub(super) Response);

impl Wire {
    pub(super) fn new(http: OutboundClient, endpoints: Arc<Endpoints>, config: &ProviderConfig) -> Self {
        let client = WireClient { id: config.client_id.clone(), secret: config.client_secret.clone() };
        Self { http, endpoints, client }
    }

    /// Reads an address as a browser without cookies.
    ///
    /// # Errors
    /// Why there is no response; the same in the other functions.
    pub(super) async fn get(&self, url: &Url) -> Result<WireAnswer, String> {
        self.send(http::Request::get(url.as_str()), Vec::new()).await
    }

    /// Asks userinfo with an access token.
    pub(super) async fn userinfo(&self, access: &SecretString) -> Option<Result<WireAnswer, String>> {
        let url = self.endpoints.userinfo.as_ref()?;
        let bearer = format!("Bearer {}", access.expose_secret());
        let request = http::Request::get(url.as_str()).header(AUTHORIZATION, bearer).header(ACCEPT, "application/json");
        Some(self.send(request, Vec::new()).await)
    }

    /// Posts a form to the token endpoint as `client`, its secret in the body.
    pub(super) async fn token(&self, client: &WireClient, form: &[(&str, &str)]) -> Result<WireAnswer, String> {
        self.form(&self.endpoints.token, client, form).await
    }

    /// Posts a form to the revocation endpoint, if there is one.
    pub(super) async fn revoke(&self, token: &str) -> Option<Result<WireAnswer, String>> {
        let url = self.endpoints.revocation.as_ref()?;
        Some(self.form(url, &self.client, &[("token", token)]).await)
    }

    /// Posts a form to the token endpoint with this pair in HTTP Basic.
    pub(super) async fn token_with_basic(&self, pair: &str, form: &[(&str, &str)]) -> Result<WireAnswer, String> {
        let pair = format!("Basic {}", BASE64_STANDARD.encode(pair));
        let request = http::Request::post(self.endpoints.token.as_str()).header(AUTHORIZATION, pair);
        self.send(request.header(CONTENT_TYPE, "application/x-www-form-urlencoded"), encode(form)).await
    }

    async fn form(&self, url: &Url, client: &WireClient, form: &[(&str, &str)]) -> Result<WireAnswer, String> {
        let mut form = form.to_vec();
        form.push(("client_id", &client.id));
        form.extend(client.secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
        let request = http::Request::post(url.as_str()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request, encode(&form)).await
    }

    async fn send(&self, request: http::request::Builder, body: Vec<u8>) -> Result<WireAnswer, String> {
        let request = request.body(body).map_err(|error| error.to_string())?;
        let answer = self.http.call(request).await.map(WireAnswer).map_err(|error| error.to_string())?;
        // No answers: the same question may be answered later.
        let passing = answer.status() == 429 || answer.0.status().is_server_error();
        if passing { Err(format!("the pool answers {}", answer.summary())) } else { Ok(answer) }
    }
}

fn encode(form: &[(&str, &str)]) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish().into_bytes()
}

impl WireAnswer {
    pub(super) fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    pub(super) fn is_good(&self) -> bool {
        self.0.status().is_success()
    }

    pub(super) fn header(&self, name: impl http::header::AsHeaderName) -> Option<&str> {
        self.0.headers().get(name)?.to_str().ok()
    }

    /// Where it redirects to.
    pub(super) fn location(&self, from: &Url) -> Option<Url> {
        from.join(self.header(LOCATION).filter(|_| self.0.status().is_redirection())?).ok()
    }

    /// The members of a body that is a JSON object.
    pub(super) fn json(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(self.0.body()).ok()
    }

    /// A text among the members.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.json()?.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// The error code of RFC 6749 §5.2.
    pub(super) fn error(&self) -> Option<String> {
        self.text("error").and_then(|code| word(&code))
    }

    /// Status and error code, or what the body is.
    pub(super) fn summary(&self) -> String {
        let status = self.status();
        let body = self.0.body();
        match (self.error(), self.text("error_description").and_then(|text| word(&text))) {
            (Some(code), Some(detail)) => format!("{status} {code} ({detail})"),
            (Some(code), None) => format!("{status} {code}"),
            _ if body.is_empty() => format!("{status} with an empty body"),
            _ if self.json().is_some() => format!("{status} with JSON"),
            _ => format!("{status} without JSON"),
        }
    }
}

/// An error code, or nothing: a text may hold anything, a user's name too.
pub(super) fn word(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (!text.is_empty() && text.len() <= 60 && text.chars().all(plain)).then(|| text.to_owned())
}

/// The claims of a JWT, unverified.
pub(super) fn claims(token: &str) -> Map<String, Value> {
    let payload = token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
    payload.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
}

/// The `kid` of a JWT.
pub(super) fn kid(token: &str) -> Option<String> {
    let header = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    serde_json::from_slice::<Map<String, Value>>(&header).ok()?.get("kid")?.as_str().map(str::to_owned)
}
