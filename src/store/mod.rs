//! Where sessions are kept: sealed records in memory or in a redb file.
//!
//! [`SessionStore`] is what a place must do; [`Sessions`] is what the flows use: it seals and opens
//! records and keeps opened ones at hand. A place sees neither ids nor contents.

mod memory;
mod redb;
mod sessions;

pub use sessions::{Live, Sessions, Updated};

use crate::config::StoreUrl;
use crate::domain::seal::KeyRing;
use crate::domain::session::SessionKey;
use async_trait::async_trait;
use std::sync::Arc;

/// A stored session. Times are epoch seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Counts the writes of the sealed part.
    pub version: u64,
    /// The absolute end.
    pub ends: u64,
    /// When the session was last used, as far as was written.
    pub seen: u64,
    /// The session, sealed under its id. `version` and `ends` are bound into the seal.
    pub sealed: Vec<u8>,
}

impl Record {
    /// Whether the session is over at `now`, by its end or by idling for `idle` seconds.
    pub fn is_over(&self, now: u64, idle: Option<u64>) -> bool {
        now >= self.ends || idle.is_some_and(|idle| now >= self.seen.saturating_add(idle))
    }
}

/// How a compare-and-set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Written.
    Done,
    /// Another writer was first; nothing was written.
    Stale,
    /// There is no such session any more; nothing was written.
    Gone,
}

/// The store cannot be asked. Nothing is known about the session then.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the session store failed: {0}")]
pub struct Error(pub String);

/// The store cannot be opened at start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a store of ours or it is damaged.
    #[error(
        "{path} cannot be used as a session store: {why}. Restore it from a backup, or move it away to begin with an empty store (everybody signs in again)"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// None of `cookies.keys` opens it.
    #[error(
        "{path} was written under other cookies.keys. Add the old key at the end of the list, or move the file away to begin with an empty store (everybody signs in again)"
    )]
    WrongKey {
        /// The file.
        path: String,
    },
    /// Another process has it.
    #[error("{path} is in use by another process; a redb file serves one process")]
    InUse {
        /// The file.
        path: String,
    },
    /// The operating system refuses.
    #[error("{path} cannot be opened: {why}")]
    Io {
        /// The file.
        path: String,
        /// The system's word.
        why: String,
    },
}

/// A place for sealed session records. All of it is safe to call from many tasks at once.
#[async_trait]
pub trait SessionStore: Send + Sync + std::fmt::Debug {
    /// Writes a new record. `false`, and nothing written, if the key is taken.
    async fn create(&self, key: SessionKey, record: Record) -> Result<bool, Error>;
    /// Reads a record, over or not.
    async fn load(&self, key: SessionKey) -> Result<Option<Record>, Error>;
    /// Replaces the record if its version is still `expected`. Never creates one.
    async fn update(&self, key: SessionKey, expected: u64, record: Record) -> Result<Update, Error>;
    /// Moves `seen` of the records that exist, forwards only.
    async fn touch(&self, seen: Vec<(SessionKey, u64)>) -> Result<(), Error>;
    /// Removes a record and returns it.
    async fn delete(&self, key: SessionKey) -> Result<Option<Record>, Error>;
    /// Removes the records that are over and counts them.
    async fn sweep(&self, now: u64, idle: Option<u64>) -> Result<u64, Error>;
    /// Whether the store answers.
    async fn ping(&self) -> Result<(), Error>;
}

/// Opens the store that `url` names.
///
/// # Errors
/// A sentence for the operator; never a silent empty store.
pub fn open(url: &StoreUrl, ring: &KeyRing) -> Result<Arc<dyn SessionStore>, OpenError> {
    Ok(match url {
        StoreUrl::Memory => Arc::new(memory::Memory::default()),
        StoreUrl::Redb(path) => Arc::new(redb::Redb::open(path, ring)?),
    })
}
