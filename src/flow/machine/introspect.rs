//! `POST /introspect` (RFC 7662) and `POST /revoke` (RFC 7009): for tokens that the broker fetched, by their hash, and
//! for others by local verification; and by what was ended here. Cognito has neither for machine tokens.

use super::MachineError;
use super::authenticate::{AuthenticatedClient, ClientCredentials};
use crate::audit::{self, AuditEvent};
use crate::domain::machine::{Scopes, UpstreamRequest, token_hash};
use crate::domain::principal::{Principal, PrincipalKind, TokenIssuer};
use crate::flow::validate::VerifiedBearer;
use crate::flow::{Error, RelyingParty};

/// What is known of a token.
#[derive(Debug)]
pub enum Introspection {
    /// It is good.
    Active(Box<Principal>),
    /// It is not, for whatever reason.
    Inactive,
}

impl RelyingParty {
    /// Tells an authenticated client what a token is good for. One of a further issuer is good for who names that in
    /// `iss`.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn introspect(
        &self,
        client_credentials: ClientCredentials,
        token: &str,
        iss: Option<&str>,
    ) -> Result<Introspection, MachineError> {
        self.authenticated(client_credentials)?;
        let issuer = iss.map(|iss| TokenIssuer::named(iss, self.provider.issuer())).unwrap_or_default();
        match self.bearer(token).await {
            Ok(bearer) if bearer.principal().issuer != issuer => Ok(Introspection::Inactive),
            Ok(bearer) => Ok(Introspection::Active(Box::new(bearer.principal().clone()))),
            Err(Error::Store(error)) => Err(error.into()),
            Err(Error::Provider(error)) => Err(error.into()),
            Err(_) => Ok(Introspection::Inactive),
        }
    }

    /// Revokes a machine token that was issued to the caller's app client: from here on it is refused here,
    /// and nobody is handed it again. Other services that verify it themselves accept it until it runs out.
    ///
    /// # Errors
    /// [`MachineError`]; an unknown or dead token is none (RFC 7009 §2.2).
    pub async fn revoke_machine_token(
        &self,
        client_credentials: ClientCredentials,
        token: &str,
    ) -> Result<(), MachineError> {
        let machine = self.authenticated(client_credentials)?;
        let own = &machine.upstream().client_id;
        let hash = token_hash(token);
        // As far as this process knows it: else the store does, where it is found though its client is not accepted.
        let issued = match self.bearers.get(&hash).filter(|bearer| bearer.issued().is_some()) {
            Some(bearer) => Some(bearer),
            None => self.broker.tokens.load_issued(&hash).await?.map(|issued| self.broker.bearer_of(issued)),
        };
        // Its own token, whether or not our validate accepts those of its app client.
        let verified = match self.verify(token, Some(own)).await {
            Ok(verified) => Some(verified),
            Err(Error::Provider(error)) if issued.is_none() => return Err(error.into()),
            Err(_) => None,
        };
        let Some(bearer) = issued.as_ref().or(verified.as_ref()) else { return Ok(()) };
        let principal = bearer.principal();
        if principal.kind != PrincipalKind::Machine || !is_holder(&machine, bearer) {
            return Err(MachineError::UnauthorizedClient("the token was not issued to this client"));
        }
        // By everything that anybody may know it by.
        let names: Vec<_> =
            issued.iter().chain(&verified).flat_map(|bearer| bearer.revocation_keys().iter().copied()).collect();
        let until = verified.iter().map(|bearer| bearer.principal().expires_at).chain([principal.expires_at]).max();
        self.sessions.revoke_token(&names, until.unwrap_or_default()).await?;
        self.audit.record(&AuditEvent::TokenRevoked {
            client: audit::text(machine.id()),
            owner: machine.owner().map(audit::text),
            scopes: audit::list(principal.scopes.join(" ")),
        });
        Ok(())
    }

    /// A client whose secret is known to be right without asking the provider.
    fn authenticated(&self, client_credentials: ClientCredentials) -> Result<AuthenticatedClient, MachineError> {
        let address = client_credentials.address;
        match self.broker.authenticate(client_credentials, self.clock.now())? {
            AuthenticatedClient::PassThrough { secret_confirmed: false, .. } => {
                self.broker.charge(address)?;
                Err(MachineError::InvalidClient)
            }
            machine => Ok(machine),
        }
    }
}

/// Whether a machine could have been handed this token: a registered client's is its own, one of the upstream is of all
/// whom that serves.
fn is_holder(machine: &AuthenticatedClient, token: &VerifiedBearer) -> bool {
    match (token.issued().and_then(|issued| issued.holder.client()), machine) {
        (Some(holder), AuthenticatedClient::Registered(client)) => return client.id == holder,
        (Some(_), AuthenticatedClient::PassThrough { .. }) => return false,
        (None, _) if token.principal().client_id != machine.upstream().client_id => return false,
        (None, _) => {}
    }
    let AuthenticatedClient::Registered(client) = machine else { return true };
    let granted = || Scopes::new(token.principal().scopes.iter().cloned());
    match token.issued().map(|issued| &issued.requested) {
        Some(UpstreamRequest { scopes, resource }) => {
            let scopes = if scopes.is_empty() { granted() } else { scopes.clone() };
            client.scopes.cover(&scopes) && resource.as_deref().is_none_or(|resource| client.may_name(resource))
        }
        None => client.scopes.cover(&granted()),
    }
}
