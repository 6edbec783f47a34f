//! Whether the provider takes our secrets. Nothing is spent: a code and a token that nobody was given, a scope that
//! does not exist.

use super::MADE_UP;
use crate::config::Profile;
use crate::domain::finding::Finding;
use crate::domain::machine::{Upstream, new_secret};
use crate::provider::discovery::Endpoints;
use crate::provider::token::client_form;
use crate::provider::{Error, Provider};
use http::header::{ACCEPT, HeaderValue};
use oauth2::AuthType;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

/// Who asks.
#[derive(Clone, Copy)]
struct ProbedClient<'a> {
    id: &'a str,
    secret: Option<&'a SecretString>,
}

/// What was answered (RFC 6749 §5.2), as far as it tells one refusal from another.
#[derive(Debug, PartialEq, Eq)]
struct ProbeAnswer {
    status: u16,
    error: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: String,
}

impl ProbeAnswer {
    fn is_good(&self) -> bool {
        (200..=299).contains(&self.status)
    }

    /// Whether it is about the client and not about what it asked for. RFC 6749 §5.2 has 401 for nothing else;
    /// Keycloak and others say `unauthorized_client` to a wrong secret.
    fn refuses_client(&self) -> bool {
        self.status == 401 || matches!(self.error.as_str(), "invalid_client" | "unauthorized_client")
    }

    fn summary(&self) -> String {
        let error: String = self.error.chars().take(100).collect();
        match error.is_empty() {
            true => self.status.to_string(),
            false => format!("{} `{}`", self.status, error.escape_debug()),
        }
    }
}

/// What comes of asking with a secret and with one that is made up.
enum ProbeVerdict {
    /// Only the made-up one is refused.
    Taken(ProbeAnswer),
    /// It is refused.
    Refused(ProbeAnswer),
    /// Both are answered alike.
    Alike(ProbeAnswer),
}

impl Provider {
    pub(super) async fn probe_secret(&self, endpoints: &Endpoints) -> Finding {
        let verifier = "a".repeat(43);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", MADE_UP),
            ("redirect_uri", &self.redirect_uri),
            ("code_verifier", &verifier),
        ];
        let settings = self.reloadable.load_full();
        let client = ProbedClient { id: &self.client_id, secret: settings.client_secret.as_ref() };
        let Some(_) = client.secret else { return self.probe_without_secret(endpoints, client, &form).await };
        match self.compare(endpoints, client, &form).await {
            Ok(ProbeVerdict::Taken(_)) => Finding::Good("the provider takes the client's secret".into()),
            Ok(ProbeVerdict::Refused(answer)) => {
                Finding::Bad(format!("the provider does not take provider.client_secret ({})", answer.summary()))
            }
            Ok(ProbeVerdict::Alike(answer)) => Finding::NotKnown(format!(
                "whether provider.client_secret is right: the provider says {} to it and to one that is made up",
                answer.summary()
            )),
            Err(error) => Finding::NotKnown(format!("whether provider.client_secret is right: {error}")),
        }
    }

    async fn probe_without_secret(
        &self,
        endpoints: &Endpoints,
        client: ProbedClient<'_>,
        form: &[(&str, &str)],
    ) -> Finding {
        match self.show(&endpoints.token, endpoints, client, form).await {
            Ok(answer) if answer.refuses_client() => Finding::Bad(format!(
                "provider.client_secret is not set, and the provider does not take the client without one ({})",
                answer.summary()
            )),
            Ok(_) if self.profile == Profile::Cognito => {
                Finding::Good("provider.client_secret is not set, and the provider takes the client without one".into())
            }
            Ok(answer) => Finding::NotKnown(format!(
                "whether the client needs a secret: provider.client_secret is not set, and the provider says {} first",
                answer.summary()
            )),
            Err(error) => Finding::NotKnown(format!(
                "whether the client needs a secret: provider.client_secret is not set, and {error}"
            )),
        }
    }

    pub(super) async fn probe_upstream(&self, endpoints: &Endpoints, name: &str, upstream: &Upstream) -> Finding {
        let scope = format!("{MADE_UP}/no-such-scope");
        let form = [("grant_type", "client_credentials"), ("scope", scope.as_str())];
        let client = ProbedClient { id: &upstream.client_id, secret: Some(&upstream.secret) };
        match self.compare(endpoints, client, &form).await {
            Ok(ProbeVerdict::Taken(answer)) if answer.is_good() => Finding::Good(format!(
                "machine.upstream {name}: the provider takes its secret, and leaves out scopes that it does not know"
            )),
            Ok(ProbeVerdict::Taken(answer)) => Finding::Good(format!(
                "machine.upstream {name}: the provider takes its secret, and says {} to scopes that it does not know",
                answer.summary()
            )),
            Ok(ProbeVerdict::Refused(answer)) => Finding::Bad(format!(
                "machine.upstream {name}: the provider does not take its id and secret, or it lacks the grant \
                 client_credentials ({})",
                answer.summary()
            )),
            Ok(ProbeVerdict::Alike(answer)) => Finding::NotKnown(format!(
                "whether the secret of machine.upstream {name} is right: the provider says {} to it and to one that \
                 is made up",
                answer.summary()
            )),
            Err(error) => Finding::NotKnown(format!("whether the secret of machine.upstream {name} is right: {error}")),
        }
    }

    /// Asks with the client's secret and with one that nobody has; where the token endpoint answers both alike, at
    /// the revocation endpoint too (RFC 7009 §2.1), with a token that nobody was given.
    async fn compare(
        &self,
        endpoints: &Endpoints,
        client: ProbedClient<'_>,
        form: &[(&str, &str)],
    ) -> Result<ProbeVerdict, Error> {
        let secret = new_secret();
        let stranger = ProbedClient { secret: Some(&secret), ..client };
        let answer = self.show(&endpoints.token, endpoints, client, form).await?;
        if answer.refuses_client() {
            return Ok(ProbeVerdict::Refused(answer));
        }
        // Whoever issues a token has judged the secret.
        if answer.is_good() || self.show(&endpoints.token, endpoints, stranger, form).await?.refuses_client() {
            return Ok(ProbeVerdict::Taken(answer));
        }
        let Some(revocation) = &endpoints.revocation else { return Ok(ProbeVerdict::Alike(answer)) };
        let form = [("token", MADE_UP)];
        let ours = self.show(revocation, endpoints, client, &form).await?;
        if ours.refuses_client() {
            return Ok(ProbeVerdict::Refused(ours));
        }
        match self.show(revocation, endpoints, stranger, &form).await?.refuses_client() {
            true => Ok(ProbeVerdict::Taken(answer)),
            false => Ok(ProbeVerdict::Alike(answer)),
        }
    }

    /// Posts a form as the client (RFC 6749 §2.3.1).
    async fn show(
        &self,
        url: &Url,
        endpoints: &Endpoints,
        client: ProbedClient<'_>,
        form: &[(&str, &str)],
    ) -> Result<ProbeAnswer, Error> {
        let auth_type = match client.secret {
            Some(_) => self.profile.auth_type(&endpoints.auth_methods)?,
            None => AuthType::RequestBody,
        };
        let mut request = client_form(url, auth_type, client.id, client.secret, form)?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let response = self.http.call("probe", request).await?;
        let error =
            serde_json::from_slice(response.body()).map_or_else(|_| String::new(), |body: ErrorBody| body.error);
        Ok(ProbeAnswer { status: response.status().as_u16(), error })
    }
}
