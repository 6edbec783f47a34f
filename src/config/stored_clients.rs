//! The registered clients that the session store keeps: the text of a file of `machine.clients`, changed by commands.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Config;
use super::check::shared_clients;
use super::diagnostic::{Diagnostic, Mistake, line, shown};
use super::key::Report;
use super::sections::client::client;
use super::table::read_tables;
use crate::domain::client_registration::{ClientChange, ClientChangeError};
use crate::domain::machine::{ClientRegistry, MachineClient, Scopes, UnrequestedScopes, Upstream};
use crate::domain::seal::random;

/// No more than this is kept, bytes: every process reads it every few seconds.
const SIZE_MAX: usize = 1 << 20;
/// How many changes a text remembers.
const CHANGES: usize = 64;
/// Where a mistake in one of them is.
const PLACE: &str = "the session store, client";

/// Clients in the session store, and which clients were disabled by a command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct StoredClients {
    /// Clients that may do nothing for now, wherever they are registered.
    #[serde(default)]
    disabled: BTreeSet<String>,
    /// Random names of the last changes, the newest last: of two texts they tell which one followed the other.
    #[serde(default)]
    changes: Vec<String>,
    /// `[[client]]` blocks.
    #[serde(default)]
    client: Vec<Table>,
}

impl StoredClients {
    fn parse(text: &str) -> Result<Self, ClientChangeError> {
        toml::from_str(text).map_err(|_| ClientChangeError::Unreadable)
    }

    fn text(&self) -> String {
        toml::to_string(self).expect("tables are TOML")
    }

    /// The same after `change`. `configured` are the clients of the configuration.
    ///
    /// # Errors
    /// [`ClientChangeError`].
    fn changed(
        &self,
        change: &ClientChange,
        config: &Config,
        configured: &ClientRegistry,
    ) -> Result<Self, ClientChangeError> {
        let mut changed = self.clone();
        match change {
            ClientChange::Register(id, block) => {
                if configured.contains_key(id) || self.position(id).is_some() {
                    return Err(ClientChangeError::Registered(line(id)));
                }
                let mut block: Table = toml::from_str(block).map_err(|_| ClientChangeError::Unreadable)?;
                block.insert("id".to_owned(), id.as_str().into());
                changed.disabled.remove(id);
                changed.client.push(block);
                changed.judge(id, config)?;
            }
            ClientChange::Remove(id) => {
                let position = self.place(id, configured)?;
                changed.client.remove(position);
                changed.disabled.remove(id);
            }
            ClientChange::Disable(id) => {
                if self.position(id).is_none() && !configured.contains_key(id) {
                    return Err(ClientChangeError::Unknown(line(id)));
                }
                changed.disabled.insert(id.clone());
            }
            ClientChange::Enable(id) => match configured.get(id) {
                Some(client) if client.disabled => {
                    return Err(ClientChangeError::DisabledInConfiguration(id.clone()));
                }
                None if self.position(id).is_none() => return Err(ClientChangeError::Unknown(line(id))),
                _ => {
                    changed.disabled.remove(id);
                }
            },
            ClientChange::AddSecret(id, hash) => changed.set_secrets(id, config, configured, |mut secrets| {
                if secrets.len() > 1 {
                    return Err(ClientChangeError::TwoSecrets(line(id)));
                }
                secrets.insert(0, hash.as_str().into());
                Ok(secrets)
            })?,
            ClientChange::ReplaceSecrets(id, hash) => {
                changed.set_secrets(id, config, configured, |_| Ok(vec![hash.as_str().into()]))?;
            }
            ClientChange::RetireSecrets(id) => changed.set_secrets(id, config, configured, |mut secrets| {
                if secrets.len() < 2 {
                    return Err(ClientChangeError::OnlySecret(line(id)));
                }
                secrets.truncate(1);
                Ok(secrets)
            })?,
        }
        if changed == *self {
            return Ok(changed);
        }
        changed.note_change();
        if changed.text().len() > SIZE_MAX { Err(ClientChangeError::TooLarge) } else { Ok(changed) }
    }

    /// Replaces the hashes of a client, the newest first, by what `edit` makes of them.
    fn set_secrets(
        &mut self,
        id: &str,
        config: &Config,
        configured: &ClientRegistry,
        edit: impl FnOnce(Vec<Value>) -> Result<Vec<Value>, ClientChangeError>,
    ) -> Result<(), ClientChangeError> {
        let position = self.place(id, configured)?;
        let block = &mut self.client[position];
        let secrets = block.get("secret_hashes").and_then(Value::as_array).cloned().unwrap_or_default();
        block.insert("secret_hashes".to_owned(), Value::Array(edit(secrets)?));
        self.judge(id, config)
    }

    fn note_change(&mut self) {
        self.changes.push(format!("{:016x}", u64::from_le_bytes(random())));
        self.changes.drain(..self.changes.len().saturating_sub(CHANGES));
    }

    fn followed(&self, other: &Self) -> bool {
        other.changes.last().is_none_or(|last| self.changes.contains(last))
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.client.iter().position(|block| id_of(block) == Some(id))
    }

    fn place(&self, id: &str, configured: &ClientRegistry) -> Result<usize, ClientChangeError> {
        if configured.contains_key(id) {
            return Err(ClientChangeError::InConfiguration(id.to_owned()));
        }
        self.position(id).ok_or_else(|| ClientChangeError::Unknown(line(id)))
    }

    /// Whether the client `id`, which was changed, could be in `config`.
    fn judge(&self, id: &str, config: &Config) -> Result<(), ClientChangeError> {
        let block = self.client.iter().filter(|block| id_of(block) == Some(id));
        match config.read_stored(block) {
            (_, diagnostics) if diagnostics.is_empty() => Ok(()),
            (_, diagnostics) => {
                let sentences: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
                Err(ClientChangeError::Invalid(sentences.join(" ")))
            }
        }
    }
}

impl Config {
    /// The clients in the session store after `change`, as text. `configured` are the clients of the configuration.
    ///
    /// # Errors
    /// [`ClientChangeError`].
    pub fn change_stored_clients(
        &self,
        text: &str,
        change: &ClientChange,
        configured: &ClientRegistry,
    ) -> Result<String, ClientChangeError> {
        Ok(StoredClients::parse(text)?.changed(change, self, configured)?.text())
    }

    /// The text that counts of the one that this process knows and the one that it has found: that which followed the
    /// other. If neither did, the store has lost changes: then what is in one alone is kept, disabled, and whoever is
    /// disabled in either is disabled. One that was begun anew adds to what was there.
    ///
    /// # Errors
    /// [`ClientChangeError::Unreadable`].
    pub fn reconcile_clients(&self, known_text: &str, found_text: &str) -> Result<String, ClientChangeError> {
        let (known, found) = (StoredClients::parse(known_text)?, StoredClients::parse(found_text)?);
        if found.followed(&known) {
            return Ok(found_text.to_owned());
        }
        if known.followed(&found) {
            return Ok(known_text.to_owned());
        }
        let have_ancestor = known.changes.iter().any(|change| found.changes.contains(change));
        let (mut merged, other) = if have_ancestor { (found, known) } else { (known, found) };
        for block in other.client {
            let id = id_of(&block).unwrap_or_default().to_owned();
            if merged.position(&id).is_none() {
                merged.disabled.insert(id);
                merged.client.push(block);
            }
        }
        merged.disabled.extend(other.disabled);
        // It follows both.
        merged.changes.retain(|change| !other.changes.contains(change));
        merged.changes.extend(other.changes);
        merged.note_change();
        Ok(merged.text())
    }

    /// The clients that count: those of the configuration, and those in the text that the session store has. One that has
    /// a mistake is disabled, and one with the id of another is left out.
    ///
    /// # Errors
    /// [`ClientChangeError::Unreadable`].
    pub fn registry(
        &self,
        configured: &ClientRegistry,
        text: &str,
    ) -> Result<(ClientRegistry, Vec<Diagnostic>), ClientChangeError> {
        let stored = StoredClients::parse(text)?;
        let (clients, mut diagnostics) = self.read_stored(stored.client.iter());
        let mut registry = configured.clone();
        // An id that cannot be served here is registered all the same: its secret is nothing for the provider.
        for id in stored.client.iter().filter_map(id_of) {
            registry.entry(id.to_owned()).or_insert_with(|| Arc::new(unusable(id)));
        }
        for client in clients {
            if configured.contains_key(&client.id) {
                let what = format!("{} is registered in the configuration too, which counts.", shown(&client.id));
                let mistake = Mistake::new(what, "Remove it there, or rename it.");
                diagnostics.push(mistake.at(format!("{PLACE} ({})", line(&client.id))));
            } else {
                registry.insert(client.id.clone(), Arc::new(client));
            }
        }
        for id in &stored.disabled {
            if let Some(client) = registry.get_mut(id) {
                Arc::make_mut(client).disabled = true;
            }
        }
        Ok((registry, diagnostics))
    }

    fn read_stored<'a>(&self, blocks: impl Iterator<Item = &'a Table>) -> (Vec<MachineClient>, Vec<Diagnostic>) {
        let mut diagnostics = Vec::new();
        let mut report = Report { at: PLACE, base: Path::new(""), diagnostics: &mut diagnostics };
        let blocks = blocks.cloned().collect();
        let mut clients: Vec<MachineClient> =
            read_tables(blocks, &mut report, |table| client(table, self.machine.upstream_table()));
        clients.retain(|client| {
            let alone = ClientRegistry::from([(client.id.clone(), Arc::new(client.clone()))]);
            let shared = shared_clients(&self.policy, &alone);
            let fits = shared.is_empty();
            diagnostics.extend(shared);
            fits
        });
        (clients, diagnostics)
    }
}

/// A client that nobody can be.
fn unusable(id: &str) -> MachineClient {
    let unrequested = UnrequestedScopes::Only(Scopes::default());
    let nobody = Upstream { client_id: String::new(), secret: SecretString::default(), unrequested, share: false };
    MachineClient {
        id: id.to_owned(),
        secrets: vec![],
        owner: String::new(),
        on_behalf_of: None,
        scopes: Scopes::default(),
        resources: vec![],
        upstream: Arc::new(nobody),
        fetches_per_hour: None,
        disabled: true,
    }
}

/// What a block calls its client.
fn id_of(block: &Table) -> Option<&str> {
    block.get("id").and_then(Value::as_str)
}
