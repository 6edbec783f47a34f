//! Client credentials (RFC 6749 §4.4).

use super::Provider;
use super::error::Error;
use super::token::{self, token_error};
use super::verify::UnverifiedToken;
use crate::domain::clock::Timestamp;
use crate::domain::machine::{MachineToken, Scopes, TokenHolder, Upstream, UpstreamRequest};
use crate::domain::principal::{Principal, PrincipalKind};
use oauth2::basic::{BasicClient, BasicTokenType};
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
        requested: UpstreamRequest,
        holder: TokenHolder,
    ) -> Result<MachineToken, Error> {
        let snapshot = self.metadata.snapshot().await?;
        let client = BasicClient::new(ClientId::new(upstream.client_id.clone()))
            .set_client_secret(ClientSecret::new(upstream.secret.expose_secret().to_owned()))
            .set_token_uri(TokenUrl::from_url(snapshot.endpoints.token.clone()))
            .set_auth_type(self.profile.auth_type(&snapshot.endpoints.auth_methods)?);
        let mut request = client.exchange_client_credentials();
        request = request.add_scopes(requested.scopes.iter().map(|scope| Scope::new(scope.to_owned())));
        if let Some(resource) = &requested.resource {
            request = request.add_extra_param("resource", resource.clone());
        }
        let answer = request.request_async(&self.http.for_endpoint("token_machine")).await.map_err(token_error)?;
        // RFC 6749 §7.1: a client must not use a token whose type it does not understand, nor call it another.
        if *answer.token_type() != BasicTokenType::Bearer {
            return Err(Error::TokenType(answer.token_type().as_ref().chars().take(100).collect()));
        }

        let now = self.clock.now();
        let access = answer.access_token().secret();
        let expires_at = now + token::lifetime(answer.expires_in());
        let response_scopes =
            answer.scopes().map(|response_scopes| Scopes::new(response_scopes.iter().map(|scope| scope.as_str())));
        let (principal, token_ids) = match self.profile.has_jwt_access_tokens() {
            true => {
                let unverified = UnverifiedToken::parse(access)?;
                let snapshot = self.metadata.with_key(unverified.kid()).await?;
                let claims =
                    unverified.access_token(&snapshot.keys, self.expected(), |client| client == upstream.client_id)?;
                // The token itself says what it is good for.
                let mut principal = self.profile.bearer(&claims, &self.rules);
                principal.kind = PrincipalKind::Machine;
                // Of nobody's authentication, whatever the provider puts into it.
                (principal.auth_time, principal.acr, principal.amr) = (None, None, vec![]);
                principal.expires_at = claims.exp.min(expires_at);
                (principal, claims.all_names())
            }
            false => {
                let granted = response_scopes.unwrap_or_else(|| requested.scopes.clone());
                (machine(&upstream.client_id, &granted, now, expires_at), vec![])
            }
        };
        Ok(MachineToken::new(access.clone().into(), now, principal, requested, holder, token_ids))
    }
}

/// The app client itself: there is nobody else in a client-credentials token (RFC 6749 §4.4).
fn machine(client_id: &str, granted: &Scopes, issued_at: Timestamp, expires_at: Timestamp) -> Principal {
    Principal {
        kind: PrincipalKind::Machine,
        sub: client_id.to_owned(),
        username: client_id.to_owned(),
        scopes: granted.iter().map(str::to_owned).collect(),
        client_id: client_id.to_owned(),
        issued_at,
        expires_at,
        ..Principal::default()
    }
}
