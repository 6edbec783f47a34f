//! The system that users come from: two addresses that take and give JSON.
//!
//! | asked | body | answer |
//! |---|---|---|
//! | log in | `{"username", "password"}` | 200 and an object: the user. 401, 403, 404: no |
//! | look up | `{"username"}` | the same |
//!
//! Everything else is an outage: another status, a redirect, what is no JSON object, silence.

use super::refusal::TriggerFailure;
use super::settings::TriggerSettings;
use crate::outbound::OutboundClient;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use url::Url;

/// Asks the legacy system.
#[derive(Debug)]
pub struct LegacyDirectory {
    http: OutboundClient,
    login: Option<Url>,
    lookup: Option<Url>,
    key: Option<(String, SecretString)>,
}

impl LegacyDirectory {
    pub(super) fn new(http: OutboundClient, settings: &TriggerSettings) -> Self {
        let key = settings.legacy_key.clone().map(|key| (settings.legacy_key_header.clone(), key));
        Self { http, login: settings.login_url.clone(), lookup: settings.lookup_url.clone(), key }
    }

    /// The user's fields, `None` for a wrong password and an unknown user.
    ///
    /// # Errors
    /// [`TriggerFailure::Unavailable`] and [`TriggerFailure::NotConfigured`].
    pub async fn log_in(&self, username: &str, password: &str) -> Result<Option<Map<String, Value>>, TriggerFailure> {
        let url = self.login.as_ref().ok_or(TriggerFailure::NotConfigured("LEGACY_LOGIN_URL"))?;
        self.ask(url, &json!({ "username": username, "password": password })).await
    }

    /// The user's fields, `None` for an unknown user.
    ///
    /// # Errors
    /// The same.
    pub async fn look_up(&self, username: &str) -> Result<Option<Map<String, Value>>, TriggerFailure> {
        let url = self.lookup.as_ref().ok_or(TriggerFailure::NotConfigured("LEGACY_LOOKUP_URL"))?;
        self.ask(url, &json!({ "username": username })).await
    }

    async fn ask(&self, url: &Url, question: &Value) -> Result<Option<Map<String, Value>>, TriggerFailure> {
        let mut request = http::Request::post(url.as_str())
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json");
        if let Some((name, key)) = &self.key {
            request = request.header(name, key.expose_secret());
        }
        let outage = |why: String| TriggerFailure::Unavailable(format!("the legacy system: {why}"));
        let request = request.body(question.to_string().into_bytes()).map_err(|e| outage(e.to_string()))?;
        let response = self.http.call(request).await.map_err(|e| outage(e.to_string()))?;
        parse_response(response.status().as_u16(), response.body()).map_err(outage)
    }
}

/// What an answer means; an error says what is odd about it.
fn parse_response(status: u16, body: &[u8]) -> Result<Option<Map<String, Value>>, String> {
    match status {
        200 => serde_json::from_slice(body).map(Some).map_err(|_| "an answer that is no JSON object".to_owned()),
        401 | 403 | 404 => Ok(None),
        other => Err(format!("status {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_no_is_a_no() {
        assert_eq!(parse_response(200, br#"{"id":1}"#).unwrap().unwrap()["id"], 1);
        for no in [401, 403, 404] {
            assert_eq!(parse_response(no, b"<html>").unwrap(), None);
        }
        for (status, body) in [(200, "<html>"), (200, "[]"), (200, ""), (204, ""), (302, ""), (400, "{}"), (500, "{}")]
        {
            assert!(parse_response(status, body.as_bytes()).is_err(), "{status} {body}");
        }
    }
}
