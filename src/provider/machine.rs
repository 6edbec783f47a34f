//! Client credentials (RFC 6749 §4.4).

use super::Provider;
use super::error::Error;
use super::profile;
use super::token::{self, token_error};
use super::verify::Unverified;
use crate::domain::machine::{MachineToken, Scopes, Upstream};
use oauth2::{ClientId, ClientSecret, Scope, TokenResponse, TokenUrl};
use secrecy::ExposeSecret;

impl Provider {
    /// Fetches a token for `upstream`. What was granted is for the caller to compare with what it asked for.
    ///
    /// # Errors
    /// Any [`Error`].
    pub async fn client_credentials(
        &self,
        upstream: &Upstream,
        scopes: &Scopes,
        resource: Option<&str>,
    ) -> Result<MachineToken, Error> {
        let known = self.metadata.known().await?;
        let client = oauth2::basic::BasicClient::new(ClientId::new(upstream.client_id.clone()))
            .set_client_secret(ClientSecret::new(upstream.secret.expose_secret().to_owned()))
            .set_token_uri(TokenUrl::from_url(known.endpoints.token.clone()))
            .set_auth_type(self.profile.auth_type(&known.endpoints.auth_methods));
        let mut request = client.exchange_client_credentials();
        request = request.add_scopes(scopes.iter().map(|scope| Scope::new(scope.to_owned())));
        if let Some(resource) = resource {
            request = request.add_extra_param("resource", resource.to_owned());
        }
        let answer = request.request_async(&self.http.at("token_machine")).await.map_err(token_error)?;

        let now = self.clock.now();
        let access = answer.access_token().secret();
        let expires_at = now.saturating_add(token::lifetime(answer.expires_in()));
        let told = answer.scopes().map(|told| Scopes::new(told.iter().map(|scope| scope.as_str())));
        if !self.profile.has_jwt_access_tokens() {
            let granted = told.unwrap_or_else(|| scopes.clone());
            return Ok(MachineToken::new(access.clone().into(), granted, now, expires_at, vec![]));
        }
        let unverified = Unverified::parse(access)?;
        let known = self.metadata.with_key(unverified.kid()).await?;
        let claims = unverified.access_token(&known.keys, self.expected(), |client| client == upstream.client_id)?;
        // The token itself says what it is good for.
        let granted = Scopes::new(profile::scopes(claims.scope.as_deref()));
        let (ends, names) = (claims.exp.min(expires_at), claims.all_names());
        Ok(MachineToken::new(access.clone().into(), granted, now, ends, names))
    }
}
