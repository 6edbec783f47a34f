//! Registered clients as their operator sees and changes them.

use serde::{Deserialize, Serialize};

/// What an operator changes in the clients that the session store keeps.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ClientChange {
    /// A new client, by its id and the keys of its `[[client]]` block.
    Register(String, String),
    /// The client is forgotten; its id may be registered again.
    Remove(String),
    /// It may do nothing, and its tokens are refused.
    Disable(String),
    /// It may do again what its registration says.
    Enable(String),
    /// A new secret by its hash, beside the one that it has.
    AddSecret(String, String),
    /// A new secret by its hash, in place of all that it has.
    ReplaceSecrets(String, String),
    /// All secrets but the newest stop.
    RetireSecrets(String),
}

impl ClientChange {
    /// What is done to which client, in words for a log.
    pub fn name(&self) -> (&'static str, &str) {
        match self {
            Self::Register(id, _) => ("client new --register", id),
            Self::Remove(id) => ("client remove", id),
            Self::Disable(id) => ("client disable", id),
            Self::Enable(id) => ("client enable", id),
            Self::AddSecret(id, _) => ("client rotate", id),
            Self::ReplaceSecrets(id, _) => ("client rotate --replace", id),
            Self::RetireSecrets(id) => ("client rotate --retire", id),
        }
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientChangeError {
    /// The id is taken.
    #[error("{0} is registered already; `auth-api client show --id {0}` says as what")]
    Registered(String),
    /// Nobody has the id.
    #[error("no client is registered as {0}; `auth-api client list` names them all")]
    Unknown(String),
    /// It is in a file.
    #[error("{0} is registered in the configuration: change its block there")]
    InConfiguration(String),
    /// A file disables it.
    #[error("{0} is disabled in the configuration: remove `disabled = true` from its block there")]
    DisabledInConfiguration(String),
    /// It has no other.
    #[error("{0} has one secret only, which it needs; `--replace` changes it at once")]
    OnlySecret(String),
    /// One of them is in use, and nobody here knows which.
    #[error("{0} has two secrets: stop the older one with `--retire` first, or both with `--replace`")]
    TwoSecrets(String),
    /// Every process reads all of it.
    #[error("the clients in the session store take more than 1 MiB; register further ones in files of machine.clients")]
    TooLarge,
    /// The store's clients are of another version, or damaged.
    #[error("the clients in the session store cannot be read: they were written by another version of auth-api")]
    Unreadable,
    /// What a configuration with this client in it would be refused for.
    #[error("{0}")]
    Invalid(String),
}

/// Where a client is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationPlace {
    /// In the configuration, or a file of `machine.clients`.
    Configuration,
    /// In the session store.
    Store,
}

/// A registered client as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// Its id.
    pub id: String,
    /// Where it is registered.
    pub place: RegistrationPlace,
    /// Whether it may do nothing for now.
    pub disabled: bool,
    /// Who answers for it.
    pub owner: String,
    /// The user on whose behalf it acts.
    pub on_behalf_of: Option<String>,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// What it may name as `resource`.
    pub resources: Vec<String>,
    /// The upstream that serves it.
    pub upstream: String,
    /// Its own budget.
    pub fetches_per_hour: Option<u32>,
    /// The hashes of its secrets.
    pub secret_hashes: Vec<String>,
}

/// The registered clients, and what is wrong with others.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientList {
    /// Those that count, by their ids.
    pub clients: Vec<ClientStatus>,
    /// A sentence for each mistake in the store's, which are left out for it.
    pub mistakes: Vec<String>,
}
