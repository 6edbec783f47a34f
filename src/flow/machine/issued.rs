//! The tokens that the broker fetched: known by their SHA-256, whatever their format, to every process.
//!
//! 1. Before a token is handed out, what it is good for is written to the store under its hash, and kept here.
//! 2. Whoever is shown a token looks there first: what is found is a machine's, until it runs out or is revoked.
//!    Nothing else is trusted that way.
//! 3. A store that has lost its data gets it back from whoever has the token at hand. That cannot undo a revocation,
//!    which is remembered by itself.
//! 4. What a registered client is called, and who answers for it, is what its registration says at that moment. While it
//!    is disabled or not registered, its tokens are refused.
//! 5. The client has to be one that is accepted, as with any bearer: an upstream, or in `provider.accepted_clients`.

use super::{Broker, MachineError};
use crate::domain::machine::{IssuedToken, MachineToken, TokenHolder};
use crate::domain::untrusted::UntrustedText;
use crate::flow::validate::VerifiedBearer;
use crate::flow::{Error, RelyingParty};
use crate::provider::Provider;
use crate::store;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether the store may have lost something; it is in doubt for longer than that.
const POLL_PERIOD: Duration = Duration::from_millis(250);

impl Broker {
    /// The bearer of a token that was fetched here, by the registration of its client as it is now.
    pub(super) fn bearer_of(&self, issued: IssuedToken) -> Arc<VerifiedBearer> {
        let mut principal = issued.principal.clone();
        match &issued.holder {
            TokenHolder::Client(id) => {
                if let Ok(Some(client)) = self.registry.load().find(id) {
                    client.identify(&mut principal);
                }
            }
            TokenHolder::Upstream { on_behalf_of } => principal.machine.on_behalf_of.clone_from(on_behalf_of),
        }
        Arc::new(VerifiedBearer::of_broker(principal, issued))
    }
}

impl RelyingParty {
    /// What a token says that this process knows, by the registration of its client as it is now.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`] while its client is disabled or not registered; [`Error::Store`]: whether it is, is not
    /// known yet.
    pub(in crate::flow) fn as_registered(
        &self,
        bearer: Arc<VerifiedBearer>,
        hash: &[u8; 32],
    ) -> Result<Arc<VerifiedBearer>, Error> {
        let Some((issued, id)) = bearer.issued().and_then(|issued| Some((issued, issued.holder.client()?))) else {
            return Ok(bearer);
        };
        match self.broker.registry.load().find(id)?.filter(|client| !client.disabled) {
            Some(client) if client.is_described_by(&bearer.principal().machine) => Ok(bearer),
            Some(_) => {
                let bearer = self.broker.bearer_of(issued.clone());
                self.bearers.insert(*hash, bearer.clone());
                Ok(bearer)
            }
            None => Err(Error::InvalidCredentials("the client of the token is disabled, or not registered".into())),
        }
    }

    /// Lets every process know a token that is going to be handed out.
    ///
    /// # Errors
    /// [`MachineError::SharedToken`].
    pub(super) async fn note_issued(&self, token: &MachineToken) -> Result<(), MachineError> {
        let hash = token.hash();
        let until = Provider::accepted_until(token.expires_at);
        match self.broker.tokens.note_issued(&hash, &token.issued, until).await {
            Ok(true) => {}
            Ok(false) => {
                let client = UntrustedText::new(&token.issued.principal.client_id);
                tracing::error!(
                    client = client.as_str(),
                    "machine token rejected: the provider issued it to another client of this [[machine.upstream]] too; \
                     set `share = true` there, or give each client an upstream"
                );
                return Err(MachineError::SharedToken);
            }
            Err(error) => tracing::warn!(%error, "issued token write failed: known to this process only"),
        }
        self.remember_issued(hash, token.issued.clone());
        Ok(())
    }

    /// Lets this process know one that another has fetched.
    pub(super) fn remember_issued(&self, hash: [u8; 32], issued: IssuedToken) {
        if self.provider.accepts(&issued.principal.client_id) {
            self.bearers.insert(hash, self.broker.bearer_of(issued));
        }
    }

    /// Writes down again what a store may have lost, for as long as it is polled.
    pub async fn restore_issued(&self) -> Infallible {
        let (mut looks, mut lost) = (tokio::time::interval(POLL_PERIOD), false);
        loop {
            looks.tick().await;
            lost |= self.sessions.is_recovering();
            if lost && !self.sessions.is_recovering() {
                lost = self.put_back_issued().await.is_err();
            }
        }
    }

    async fn put_back_issued(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let at_hand: Vec<_> = self.broker.cache.tokens.iter().map(|(_, entry)| entry).collect();
        for token in at_hand.iter().map(|entry| &entry.token).filter(|token| now < token.expires_at) {
            let until = Provider::accepted_until(token.expires_at);
            self.broker.tokens.note_issued(&token.hash(), &token.issued, until).await?;
        }
        Ok(())
    }

    /// The bearer of the token with this hash, if the broker fetched it for a client that is accepted; revoked or
    /// not.
    ///
    /// # Errors
    /// [`Error::Store`]: that is not known.
    pub(in crate::flow) async fn issued_bearer(&self, hash: &[u8; 32]) -> Result<Option<Arc<VerifiedBearer>>, Error> {
        let (now, machine) = (self.clock.now(), &self.broker.config.machine);
        if machine.upstream.is_empty() && !machine.pass_through || self.broker.cache.is_unknown(hash, now) {
            return Ok(None);
        }
        let issued = self.broker.tokens.load_issued(hash).await?;
        let alive = issued.filter(|issued| now < Provider::accepted_until(issued.principal.expires_at));
        match alive.filter(|issued| self.provider.accepts(&issued.principal.client_id)) {
            Some(issued) => {
                let bearer = self.broker.bearer_of(issued);
                self.bearers.insert(*hash, bearer.clone());
                Ok(Some(bearer))
            }
            None => {
                self.broker.cache.note_unknown(*hash, now);
                Ok(None)
            }
        }
    }
}
