//! What can be found out about a provider before anybody signs in, without spending anything that it bills.
//!
//! Providers differ in what they judge before a person has signed in. So a question is asked twice where the answer
//! alone proves nothing: as configured, and with something made up in its place. Only if the two are answered
//! differently is anything known.

mod addresses;
mod credentials;

use super::Provider;
use crate::config::Profile;
use crate::domain::finding::Finding;
use crate::domain::machine::Upstream;
use crate::domain::return_to::ReturnTo;
use chrono::DateTime;
use http::header::DATE;
use url::Url;

/// Clocks further apart than this make tokens look expired or not yet issued, seconds.
const SKEW_MAX: i64 = 30;
/// What nobody has registered.
const MADE_UP: &str = "auth-api-check";

impl Provider {
    /// Asks everything; `return_to` is any target, `signed_out` our address for the return from a sign-out.
    pub async fn probe(&self, return_to: ReturnTo, signed_out: &str, upstreams: &[(&str, &Upstream)]) -> Vec<Finding> {
        let known = match self.metadata.renew().await {
            Ok(known) => known,
            Err(error) => return vec![Finding::Bad(error.to_string())],
        };
        let mut findings =
            vec![Finding::Good("the provider answers; its issuer and keys are as configured".to_owned())];
        findings.push(self.probe_clock(&known.endpoints.jwks).await);
        findings.extend(self.probe_sign_in(return_to).await);
        findings.push(match self.profile {
            Profile::Cognito => self.probe_cognito_sign_out(signed_out).await,
            Profile::Oidc => self.probe_sign_out(signed_out).await,
        });
        findings.push(self.probe_secret(&known.endpoints).await);
        for (name, upstream) in upstreams {
            findings.push(self.probe_upstream(&known.endpoints, name, upstream).await);
        }
        findings
    }

    async fn probe_clock(&self, url: &Url) -> Finding {
        let result = match http::Request::get(url.as_str()).body(Vec::new()) {
            Ok(request) => self.http.call("probe", request).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let response = match result {
            Ok(response) => response,
            Err(why) => return Finding::NotKnown(format!("whether the clocks agree: {why}")),
        };
        let date = response.headers().get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        let Some(date) = date else {
            return Finding::NotKnown("whether the clocks agree: the provider does not tell the time".into());
        };
        let ahead = i64::try_from(self.clock.now().as_secs()).unwrap_or_default() - date.timestamp();
        match ahead.abs() <= SKEW_MAX {
            true => Finding::Good("the clocks agree".into()),
            false => Finding::Bad(format!(
                "this machine's clock is {} s {} the provider's, so tokens are refused: set it, best by NTP",
                ahead.abs(),
                if ahead > 0 { "ahead of" } else { "behind" }
            )),
        }
    }
}
