//! The registered clients: those of the configuration, and those that the session store keeps for all processes.
//!
//! 1. Every process reads the store's every few seconds. What it has read stays in force while the store is away, and is
//!    written back where the store has lost it.
//! 2. Until they were read once, nobody can say that a client is unknown, or that none is disabled.

use super::Broker;
use crate::config::Config;
use crate::domain::client_registration::{
    ClientChange, ClientChangeError, ClientList, ClientStatus, RegistrationPlace,
};
use crate::domain::machine::{ClientRegistry, MachineClient};
use crate::flow::RelyingParty;
use crate::store::{self, ClientRegistrations, RegistrationsText};
use arc_swap::{ArcSwap, Guard};
use std::sync::{Arc, Mutex, PoisonError};

/// How often a change is tried again after another process was faster.
const ATTEMPTS: u32 = 10;

/// The clients that count now.
#[derive(Debug)]
pub(in crate::flow) struct KnownClients {
    clients: ClientRegistry,
    /// Whether the store was asked for its own.
    is_complete: bool,
}

impl KnownClients {
    /// The client called `id`.
    ///
    /// # Errors
    /// [`store::Error::Unavailable`]: the store, which may know it or disable it, was not read yet.
    pub(in crate::flow) fn find(&self, id: &str) -> Result<Option<&Arc<MachineClient>>, store::Error> {
        match self.is_complete {
            true => Ok(self.clients.get(id)),
            false => Err(store::Error::Unavailable("the clients that are registered in it were not read yet".into())),
        }
    }
}

/// All that is known of clients.
#[derive(Debug)]
pub(super) struct Registry {
    current: ArcSwap<KnownClients>,
    configured: Mutex<Configured>,
    registrations: ClientRegistrations,
    /// The store's, as last read or written here.
    stored: tokio::sync::Mutex<StoredText>,
}

/// The clients of the configuration, and the rules by which those of the store are judged.
#[derive(Debug, Clone)]
struct Configured {
    config: Arc<Config>,
    clients: Arc<ClientRegistry>,
}

/// A version of the text in the store; the first is 1.
#[derive(Debug, Default)]
struct StoredText {
    version: u64,
    text: String,
    /// Whether the key that seals was compared with the one that sealed it.
    is_compared: bool,
}

impl Registry {
    /// The clients of the configuration, and `registrations` once they are read: at once, if nothing could serve them.
    pub(super) fn new(clients: ClientRegistry, registrations: ClientRegistrations, config: Arc<Config>) -> Self {
        let is_complete = config.machine.upstreams().next().is_none();
        let current = ArcSwap::from_pointee(KnownClients { clients: clients.clone(), is_complete });
        let configured = Mutex::new(Configured { config, clients: clients.into() });
        let stored = tokio::sync::Mutex::default();
        Self { current, configured, registrations, stored }
    }

    pub(super) fn load(&self) -> Guard<Arc<KnownClients>> {
        self.current.load()
    }

    fn configured(&self) -> Configured {
        self.configured.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the clients in `text` count beside the configuration's, and returns what is wrong with them. `is_read`: the
    /// store has told what it keeps, now or earlier.
    fn publish(&self, text: &str, is_read: bool) -> Result<Vec<String>, ClientChangeError> {
        let configured = self.configured();
        let (clients, diagnostics) = configured.config.registry(&configured.clients, text)?;
        let is_complete = is_read || self.load().is_complete;
        self.current.store(Arc::new(KnownClients { clients, is_complete }));
        Ok(diagnostics.iter().map(ToString::to_string).collect())
    }
}

/// Why the clients in the store could not be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientStoreError {
    /// The change, or the text that the store has.
    #[error(transparent)]
    Change(#[from] ClientChangeError),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Other processes.
    #[error("other processes changed the clients at the same time, again and again; nothing was changed")]
    Contended,
}

impl Broker {
    /// Goes by the clients of another configuration: whoever is disabled or gone stops at once.
    pub(in crate::flow) async fn reload(&self, config: Arc<Config>, clients: ClientRegistry) {
        let configured = Configured { config, clients: clients.into() };
        *self.registry.configured.lock().unwrap_or_else(PoisonError::into_inner) = configured;
        let mut stored = self.registry.stored.lock().await;
        stored.is_compared = false;
        // A text that cannot be read is reported where it is read.
        let _ = self.registry.publish(&stored.text, false);
    }

    /// Reads the clients that the store keeps, lets all count, and returns the mistakes in the store's.
    ///
    /// # Errors
    /// [`ClientStoreError`]: those read before stay in force.
    pub async fn refresh_clients(&self) -> Result<Vec<String>, ClientStoreError> {
        let mut stored = self.registry.stored.lock().await;
        let read = self.read_stored(&mut stored).await;
        let mistakes = self.registry.publish(&stored.text, read.is_ok())?;
        read.map(|()| mistakes)
    }

    async fn read_stored(&self, stored: &mut StoredText) -> Result<(), ClientStoreError> {
        let registrations = &self.registry.registrations;
        let found = registrations.load().await?;
        let Some(RegistrationsText { version, text, is_current }) = found else {
            if stored.version > 0 && registrations.restore(stored.version, &stored.text).await? {
                tracing::warn!(version = stored.version, "client registrations written back: the store had lost them");
            }
            return Ok(());
        };
        if (version, &text) == (stored.version, &stored.text) && (is_current || stored.is_compared) {
            return Ok(());
        }
        // It may have gone back, or have been begun anew by somebody who did not know what we know.
        let configured = self.registry.configured();
        let merged = configured.config.reconcile_clients(&stored.text, &text)?;
        // Before it replaces what can be read.
        configured.config.registry(&configured.clients, &merged)?;
        tracing::info!(version, "client registrations read");
        // Sealed anew once only: processes may disagree about which key is the first.
        if merged != text || !stored.is_compared && !is_current {
            if merged != text {
                tracing::warn!(version, "client registrations written back: the store had lost some");
            }
            let after = version.max(stored.version);
            if registrations.replace(version, after + 1, &merged).await? {
                *stored = StoredText { version: after + 1, text: merged, is_compared: true };
            }
            return Ok(());
        }
        *stored = StoredText { version, text, is_compared: true };
        Ok(())
    }

    async fn change_stored(&self, change: &ClientChange) -> Result<(), ClientStoreError> {
        let mut stored = self.registry.stored.lock().await;
        for _ in 0..ATTEMPTS {
            self.read_stored(&mut stored).await?;
            let configured = self.registry.configured();
            let text = configured.config.change_stored_clients(&stored.text, change, &configured.clients)?;
            if text == stored.text {
                return Ok(());
            }
            if self.registry.registrations.put(stored.version, &text).await? {
                self.registry.publish(&text, true)?;
                *stored = StoredText { version: stored.version + 1, text, is_compared: true };
                return Ok(());
            }
        }
        Err(ClientStoreError::Contended)
    }

    fn list(&self, mistakes: Vec<String>) -> ClientList {
        let (known, configured) = (self.registry.load(), self.registry.configured());
        let status = |client: &Arc<MachineClient>| ClientStatus {
            id: client.id.clone(),
            place: match configured.clients.contains_key(&client.id) {
                true => RegistrationPlace::Configuration,
                false => RegistrationPlace::Store,
            },
            disabled: client.disabled,
            owner: client.owner.clone(),
            on_behalf_of: client.on_behalf_of.clone(),
            scopes: client.scopes.iter().map(str::to_owned).collect(),
            resources: client.resources.clone(),
            upstream: configured.config.machine.upstream_name(&client.upstream).unwrap_or_default().to_owned(),
            fetches_per_hour: client.fetches_per_hour,
            secret_hashes: client.secrets.iter().map(ToString::to_string).collect(),
        };
        let mut clients: Vec<_> = known.clients.values().map(status).collect();
        clients.sort_by(|a, b| a.id.cmp(&b.id));
        ClientList { clients, mistakes }
    }
}

impl RelyingParty {
    /// The registered clients, for an operator.
    ///
    /// # Errors
    /// [`ClientStoreError`].
    pub async fn list_clients(&self) -> Result<ClientList, ClientStoreError> {
        let mistakes = self.broker.refresh_clients().await?;
        Ok(self.broker.list(mistakes))
    }

    /// Changes the clients that the store keeps. This process goes by it at once, others within seconds.
    ///
    /// # Errors
    /// [`ClientStoreError`]; after [`ClientStoreError::Store`] the change may have been made all the same.
    pub async fn change_clients(&self, change: &ClientChange) -> Result<(), ClientStoreError> {
        self.broker.change_stored(change).await?;
        let (command, client) = change.name();
        tracing::info!(command, client, "client registration changed");
        Ok(())
    }
}
