//! What can be found out about a provider before anybody signs in, without spending anything that it bills.

use super::Provider;
use super::error::Error;
use super::token::token_error;
use crate::config::Profile;
use crate::domain::machine::{Scopes, Upstream};
use crate::domain::return_to::ReturnTo;
use crate::domain::transaction::Transaction;
use chrono::DateTime;
use http::header::{DATE, LOCATION};
use oauth2::{AuthorizationCode, PkceCodeVerifier};
use url::Url;

/// Clocks further apart than this make tokens look expired or not yet issued, seconds.
const SKEW_MAX: i64 = 30;

/// A finding: what works, or what does not and what to do.
pub type Finding = Result<String, String>;

impl Provider {
    /// Asks everything; `return_to` is any target, `signed_out` our address for the return from a sign-out.
    pub async fn probe(&self, return_to: ReturnTo, signed_out: &str, upstreams: &[(&str, &Upstream)]) -> Vec<Finding> {
        let known = match self.metadata.renew().await {
            Ok(known) => known,
            Err(error) => return vec![Err(error.to_string())],
        };
        let mut findings = vec![Ok("the provider answers; its issuer and keys are as configured".to_owned())];
        findings.push(self.probe_clock(&known.endpoints.jwks).await);
        findings.push(self.probe_callback(return_to).await);
        if self.profile == Profile::Cognito {
            findings.push(self.probe_sign_out(signed_out).await);
        }
        if self.client_secret.is_some() {
            findings.push(self.probe_secret().await);
        }
        for (name, upstream) in upstreams {
            findings.push(self.probe_upstream(name, upstream).await);
        }
        findings
    }

    async fn probe_clock(&self, url: &Url) -> Finding {
        let request = http::Request::get(url.as_str()).body(Vec::new()).map_err(|error| error.to_string())?;
        let response = self.http.call("probe", request).await.map_err(|error| error.to_string())?;
        let date = response.headers().get(DATE).and_then(|date| DateTime::parse_from_rfc2822(date.to_str().ok()?).ok());
        let Some(date) = date else { return Ok("not checked: the provider does not tell the time".into()) };
        let ahead = i64::try_from(self.clock.now()).unwrap_or_default() - date.timestamp();
        match ahead.abs() <= SKEW_MAX {
            true => Ok("the clocks agree".into()),
            false => Err(format!(
                "this machine's clock is {} s {} the provider's, so tokens are refused: set it, best by NTP",
                ahead.abs(),
                if ahead > 0 { "ahead of" } else { "behind" }
            )),
        }
    }

    /// Begins a sign-in that nobody goes on with: the provider shows its page, or says what it does not take.
    async fn probe_callback(&self, return_to: ReturnTo) -> Finding {
        let transaction = Transaction::begin(return_to, None, false, self.clock.now());
        let url =
            self.authorize_url(&transaction, &super::Hints::default()).await.map_err(|error| error.to_string())?;
        let (status, location) = self.look(&url).await?;
        let told = location.as_deref().unwrap_or_default();
        let error = told.split_once("error=").map(|(_, rest)| rest.split('&').next().unwrap_or_default());
        match (status, error) {
            (_, Some("redirect_mismatch")) => Err(self.unregistered("callback URL", &self.redirect_uri)),
            (_, Some(error)) => Err(format!(
                "the provider refuses a sign-in with `{}`: are provider.client_id and provider.scopes right?",
                error.escape_debug()
            )),
            (200..=399, None) if self.profile == Profile::Oidc || location.is_some() => {
                Ok("a sign-in can begin: the client, its callback URL and its scopes are registered".into())
            }
            // Cognito's own page instead of a way to the sign-in.
            _ => Err(format!(
                "{}, or there is no client {}",
                self.unregistered("callback URL", &self.redirect_uri),
                self.client_id.escape_debug()
            )),
        }
    }

    async fn probe_sign_out(&self, signed_out: &str) -> Finding {
        let Some(url) = self.logout_url(None, signed_out).await else {
            return Err("the provider has no sign-out page: people would be signed straight back in".into());
        };
        match self.look(&url).await? {
            (300..=399, Some(location)) if location.starts_with(signed_out) => {
                Ok("a sign-out comes back: its URL is registered".into())
            }
            _ => Err(self.unregistered("sign-out URL", signed_out)),
        }
    }

    fn unregistered(&self, what: &str, url: &str) -> String {
        format!("the {what} {url} is not registered for the client, character by character")
    }

    /// Spends a code that nobody was given: only who we are is judged before it is looked up.
    async fn probe_secret(&self) -> Finding {
        let known = self.metadata.known().await.map_err(|error| error.to_string())?;
        let client = self.client(&known.endpoints).map_err(|error| error.to_string())?;
        let answer = client
            .exchange_code(AuthorizationCode::new("auth-api-check".into()))
            .set_pkce_verifier(PkceCodeVerifier::new("a".repeat(43)))
            .request_async(&self.http.at("probe"))
            .await
            .map_err(token_error);
        match answer {
            Err(Error::Refused { code, .. }) if code == "invalid_client" => {
                Err("the provider does not take provider.client_secret".into())
            }
            Err(Error::Refused { .. }) => Ok("the provider takes the client's secret".into()),
            Err(error) => Err(error.to_string()),
            Ok(_) => Err("the provider gave tokens for a code that it never issued".into()),
        }
    }

    /// Asks for a scope that does not exist, for which nothing is issued.
    async fn probe_upstream(&self, name: &str, upstream: &Upstream) -> Finding {
        let scopes = Scopes::new(["auth-api-check/no-such-scope"]);
        match self.client_credentials(upstream, &scopes, None).await {
            Err(Error::Refused { code, .. }) if code == "invalid_client" => {
                Err(format!("machine.upstream {name}: the provider does not take its id and secret"))
            }
            Err(Error::Refused { code, .. }) if code == "unauthorized_client" => {
                Err(format!("machine.upstream {name}: the app client lacks the grant client_credentials ({code})"))
            }
            Err(Error::Refused { code, .. }) => Ok(format!(
                "machine.upstream {name}: the provider takes its secret, and says {} to scopes that it does not know",
                code.escape_debug()
            )),
            Ok(_) => Ok(format!(
                "machine.upstream {name}: the provider takes its secret, and leaves out scopes that it does not know"
            )),
            Err(error) => Err(format!("machine.upstream {name}: {error}")),
        }
    }

    /// Where a browser would be sent.
    async fn look(&self, url: &Url) -> Result<(u16, Option<String>), String> {
        let request = http::Request::get(url.as_str()).body(Vec::new()).map_err(|error| error.to_string())?;
        let response = self.http.call("probe", request).await.map_err(|error| error.to_string())?;
        let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).map(str::to_owned);
        Ok((response.status().as_u16(), location))
    }
}
