//! Telling the service of people, so that its directory knows them before their first page. A function holds no connection to a
//! database. No failure of it fails a sign-in, and no outage takes longer than a second.

use super::settings::DirectorySettings;
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::signed_event::{SIGNATURE_HEADER, sign};
use crate::outbound::{OutboundClient, Request};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest that a sign-in waits for it.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Whether an event of this kind says that somebody is about to be signed in, or can be from now on.
fn is_about_a_person(source: &str) -> bool {
    match source.strip_prefix("TokenGeneration_") {
        Some(kind) => !["ClientCredentials", "RefreshTokens"].contains(&kind),
        None => source == "PostConfirmation_ConfirmSignUp",
    }
}

/// Sends what an event tells of its user.
pub(super) async fn tell(http: &OutboundClient, settings: &DirectorySettings, source: &str, event: &Value) {
    if !is_about_a_person(source) {
        return;
    }
    let request = match request(settings, source, event) {
        Ok(request) => request,
        Err(error) => return tracing::error!(%error, "directory not told of a user"),
    };
    match tokio::time::timeout(TIMEOUT, http.call(request)).await {
        Ok(Ok(response)) if response.status() == http::StatusCode::NO_CONTENT => {}
        Ok(Ok(response)) => tracing::warn!(status = response.status().as_u16(), "directory not told of a user"),
        Ok(Err(error)) => tracing::warn!(%error, "directory not told of a user"),
        Err(_) => tracing::warn!(error = "no answer within a second", "directory not told of a user"),
    }
}

fn request(settings: &DirectorySettings, source: &str, event: &Value) -> Result<Request, http::Error> {
    let told = json!({
        "triggerSource": source,
        "userName": event.get("userName"),
        "request": { "userAttributes": event.pointer("/request/userAttributes") },
    });
    let body = told.to_string().into_bytes();
    http::Request::post(settings.url.as_str())
        .header(http::header::CONTENT_TYPE, "application/json")
        .header(SIGNATURE_HEADER, sign(settings.key.expose_secret().as_bytes(), SystemClock.now(), &body))
        .body(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_told_once_and_a_refresh_not_at_all() {
        for source in ["TokenGeneration_HostedAuth", "TokenGeneration_Authentication", "PostConfirmation_ConfirmSignUp"]
        {
            assert!(is_about_a_person(source), "{source}");
        }
        for source in [
            "TokenGeneration_RefreshTokens",
            "TokenGeneration_ClientCredentials",
            "PostAuthentication_Authentication",
            "PreSignUp_SignUp",
            "UserMigration_Authentication",
        ] {
            assert!(!is_about_a_person(source), "{source}");
        }
    }
}
