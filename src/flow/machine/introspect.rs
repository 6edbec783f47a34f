//! `POST /introspect` (RFC 7662) and `POST /revoke` (RFC 7009): for tokens of our issuer, by local
//! verification and by what was ended here. The provider has neither for machine tokens.

use super::MachineError;
use super::authenticate::{Credentials, Machine};
use crate::domain::principal::{Kind, Principal};
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
    /// Tells an authenticated client what a token is good for.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn introspect(&self, shown: Credentials, token: &str) -> Result<Introspection, MachineError> {
        self.authenticated(shown)?;
        match self.bearer(token).await {
            Ok(known) => Ok(Introspection::Active(Box::new(known.principal().clone()))),
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
    pub async fn revoke_machine_token(&self, shown: Credentials, token: &str) -> Result<(), MachineError> {
        let machine = self.authenticated(shown)?;
        // Its own token, whether or not our validate accepts those of its app client.
        let known = match self.verify(token, Some(&machine.upstream().client_id)).await {
            Ok(known) => known,
            Err(Error::Provider(error)) => return Err(error.into()),
            Err(_) => return Ok(()),
        };
        let principal = known.principal();
        let scopes = crate::domain::machine::Scopes::new(principal.scopes.iter().cloned());
        let allowed = match &machine {
            Machine::Registered(client) => client.scopes.cover(&scopes),
            Machine::PassThrough { .. } => true,
        };
        if principal.kind != Kind::Machine || principal.client_id != machine.upstream().client_id || !allowed {
            return Err(MachineError::UnauthorizedClient("the token was not issued to this client"));
        }
        self.sessions.refuse_token(known.names(), principal.expires_at).await?;
        tracing::info!(target: "auth_api::audit", client = %machine.id(), owner = machine.owner(), %scopes, "revoked a machine token");
        Ok(())
    }

    /// A client whose secret is known to be right without asking the provider.
    fn authenticated(&self, shown: Credentials) -> Result<Machine, MachineError> {
        let address = shown.address;
        match self.broker.authenticate(shown, self.clock.now())? {
            Machine::PassThrough { known: false, .. } => {
                self.broker.charge(address)?;
                Err(MachineError::InvalidClient)
            }
            machine => Ok(machine),
        }
    }
}
