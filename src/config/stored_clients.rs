//! The registered clients that the session store keeps: the text of a file of `machine.clients`, changed by commands.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::Config;
use super::check::shared_clients;
use super::diagnostic::{Diagnostic, Mistake, line, shown};
use super::key::Report;
use super::sections::client::client;
use super::table::read_tables;
use crate::domain::client_registration::{ClientChange, ClientChangeError};
use crate::domain::machine::{ClientRegistry, MachineClient};

/// No more than this is kept, bytes: every process reads it every few seconds.
const SIZE_MAX: usize = 1 << 20;
/// Where a mistake in one of them is.
const PLACE: &str = "the session store, client";

/// Clients in the session store, and which clients were disabled by a command.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct StoredClients {
    /// Clients that may do nothing for now, wherever they are registered.
    #[serde(default)]
    disabled: BTreeSet<String>,
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
            ClientChange::AddSecret(id, hash) => changed.set_secrets(id, config, configured, |secrets| {
                Some([Value::from(hash.as_str())].into_iter().chain(secrets.into_iter().take(1)).collect())
            })?,
            ClientChange::ReplaceSecrets(id, hash) => {
                changed.set_secrets(id, config, configured, |_| Some(vec![hash.as_str().into()]))?;
            }
            ClientChange::RetireSecrets(id) => changed.set_secrets(id, config, configured, |mut secrets| {
                (secrets.len() > 1).then(|| {
                    secrets.truncate(1);
                    secrets
                })
            })?,
        }
        if changed.text().len() > SIZE_MAX { Err(ClientChangeError::TooLarge) } else { Ok(changed) }
    }

    /// Replaces the hashes of a client, the newest first, by what `edit` makes of them.
    fn set_secrets(
        &mut self,
        id: &str,
        config: &Config,
        configured: &ClientRegistry,
        edit: impl FnOnce(Vec<Value>) -> Option<Vec<Value>>,
    ) -> Result<(), ClientChangeError> {
        let position = self.place(id, configured)?;
        let block = &mut self.client[position];
        let secrets = block.get("secret_hashes").and_then(Value::as_array).cloned().unwrap_or_default();
        let edited = edit(secrets).ok_or_else(|| ClientChangeError::OnlySecret(id.to_owned()))?;
        block.insert("secret_hashes".to_owned(), Value::Array(edited));
        self.judge(id, config)
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

    /// The clients that count: those of the configuration, and those in the text that the session store has, but those
    /// that have the id of another or a mistake.
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

/// What a block calls its client.
fn id_of(block: &Table) -> Option<&str> {
    block.get("id").and_then(Value::as_str)
}
