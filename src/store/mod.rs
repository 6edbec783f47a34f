//! Where sessions are kept: sealed records in memory, in a redb file, in Redis or in PostgreSQL.
//!
//! [`SessionStore`] is what a place must do; [`Sessions`] is what the flows use: it seals and opens
//! records and keeps opened ones at hand. A place sees neither ids nor contents.

mod callbacks;
mod client_registrations;
mod compression;
mod encoding;
mod epoch;
mod in_process_leases;
mod inspection;
mod intervals;
mod journal;
mod listing;
mod machine_tokens;
mod memory;
mod opened_session;
mod ownership;
mod permits;
mod postgres;
mod probe;
mod rate_limit;
mod read_sessions;
mod reading;
mod reauthentication;
mod recovery;
mod redb;
mod redis;
mod revocation;
mod sealing;
mod session_cache;
mod session_tokens;
mod sessions;
mod stored_tokens;
mod timed;
mod token_change;
mod tombstones;
#[cfg(test)]
mod witness;

pub use client_registrations::{ClientRegistrations, RegistrationsText};
pub use machine_tokens::{FetchLease, FetchOutcome, MachineTokenStore};
pub use opened_session::{ListedSession, OpenedSession, RemovedListed, RemovedSession};
pub use permits::{Priority, SharedRateLimiter};
pub use probe::probe;
pub use rate_limit::{Permits, RateLimit};
pub use sessions::{CachePolicy, SessionUpdate, Sessions};
pub use timed::TimedStore;
pub use token_change::TokenChange;

use crate::config::{SessionConfig, StoreUrl};
use crate::domain::clock::Timestamp;
use crate::domain::seal::KeyRing;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use async_trait::async_trait;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A stored session.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SealedSession {
    /// Counts the writes of the sealed part.
    pub version: u64,
    /// The absolute end.
    pub ends: Timestamp,
    /// When the session was last used, as far as was written.
    pub last_used: Timestamp,
    /// The session without its summary, sealed under its id. `version` and `ends` are bound into both seals.
    pub sealed: Vec<u8>,
    /// What can be known of the session without its id, sealed under its key.
    pub summary: Vec<u8>,
    /// What it is listed under: its user, the provider's session.
    pub listed: Vec<IndexKey>,
    /// The session's tokens: most of its bytes, and read by themselves ([`SessionStore::load_tokens`]).
    pub tokens: SealedTokens,
}

/// The tokens of a session in two parts, of which a renewal often changes only one. In a write, `None` leaves a part as
/// it is; what is read without its tokens has neither.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SealedTokens {
    /// The access token and the ID token, sealed under the session's id.
    pub access: Option<Vec<u8>>,
    /// The refresh token if there is one, sealed under the session's key: whoever ends the session from afar revokes it.
    pub refresh: Option<Vec<u8>>,
}

impl SealedTokens {
    /// Whether both parts are there.
    pub fn are_complete(&self) -> bool {
        self.access.is_some() && self.refresh.is_some()
    }

    /// What becomes of `old` when this is written by an update; `None` if a part that was to stay is not there.
    pub fn over(self, old: Self) -> Option<Self> {
        let partial = self.access.is_some() != self.refresh.is_some();
        let written = Self { access: self.access.or(old.access), refresh: self.refresh.or(old.refresh) };
        (!partial || written.are_complete()).then_some(written)
    }
}

impl SealedSession {
    /// Whether this may be restored over what is there, which a store has with `tokens`.
    pub fn is_restored_over(&self, there: &Self, tokens: &SealedTokens) -> bool {
        let completes = self.tokens.are_complete() && !tokens.are_complete();
        self.version > there.version || (self.version == there.version && completes)
    }

    /// Whether the session is over at `now`, by its end or by idling for `idle`.
    pub fn is_over(&self, now: Timestamp, idle: Option<Duration>) -> bool {
        now >= self.ends || idle.is_some_and(|idle| now >= self.last_used + idle)
    }
}

/// How a compare-and-set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Written.
    Done,
    /// Another writer was first; nothing was written.
    Stale,
    /// There is no such session any more; nothing was written.
    Gone,
    /// A part of the tokens that was to stay is not there; nothing was written. Again, with all parts.
    Incomplete,
}

/// What a store has of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// Its record, over or not.
    Found(SealedSession),
    /// Its tombstone: it was ended. Kept until then.
    Ended(Timestamp),
    /// Neither: there never was one, or the store has lost it.
    Absent,
}

impl Lookup {
    /// The record, if there is one.
    pub fn record(self) -> Option<SealedSession> {
        match self {
            Self::Found(record) => Some(record),
            Self::Ended(_) | Self::Absent => None,
        }
    }
}

/// How writing a session back ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreOutcome {
    /// Written.
    Done,
    /// The same or a newer version is there; nothing was written.
    Newer,
    /// Its tombstone is there; nothing was written.
    Ended,
}

/// Fencing token of a lease: strictly greater than that of every earlier holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FencingToken(pub u64);

/// How asking for a lease ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// It is ours until its time is up.
    Taken {
        /// What shows that it is ours.
        fencing_token: FencingToken,
        /// The last holder did not report an outcome: it crashed, or released with the outcome unknown.
        abandoned: bool,
    },
    /// Another has it.
    Held,
    /// Its last holder asked everybody to wait for this long.
    Paused(Duration),
    /// There is no such session.
    Gone,
}

/// How the holder of a lease gives it back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseRelease {
    /// At once: the next may have it.
    Free,
    /// Nobody gets it for this long.
    CoolDown(Duration),
    /// As [`LeaseRelease::CoolDown`], with an unknown outcome: the next holder sees the lease as abandoned.
    OutcomeUnknown(Duration),
}

/// The store failed; the state of the session is unknown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It does not answer, or not usably: a later call may succeed.
    #[error("the session store failed: {0}")]
    Unavailable(String),
    /// It answers again and may lack sessions and tombstones: a later call succeeds once they are written back.
    #[error("the session store failed: it is just back, and what it has lost is not known yet")]
    Recovering,
    /// Its records belong to another deployment or were sealed with other keys: an operator has to choose.
    #[error("the session store failed: {0}")]
    OtherDeployment(String),
    /// The work panicked before it was done.
    #[error("the session store failed: the work was cut off")]
    Interrupted,
    /// A new session id exists already, which chance does not explain.
    #[error("the session store failed: a new session id is taken; is the random generator broken?")]
    IdTaken,
}

/// What is wrong with a store that answers, a sentence with what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Redis drops keys when its memory is full.
    #[error(
        "Redis at {server} has the maxmemory-policy {policy}: when its memory is full it drops sessions, which signs people \
         out, and tombstones, which lets revoked tokens back in, without a word. Set maxmemory-policy to noeviction (in a \
         managed Redis, in its parameter group), and give it enough memory"
    )]
    Eviction {
        /// Host and port.
        server: String,
        /// `volatile-lru` and the like; foreign text.
        policy: String,
    },
    /// Redis does not say whether it does.
    #[error(
        "Redis at {server} does not say what it does when its memory is full ({why}). Allow the user of session.store the \
         command INFO, or see to it that maxmemory-policy is noeviction: any other signs people out and lets revoked tokens \
         back in"
    )]
    EvictionUnknown {
        /// Host and port.
        server: String,
        /// Redis' word.
        why: String,
    },
}

impl Warning {
    /// A word for each kind, for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Eviction { .. } => "eviction",
            Self::EvictionUnknown { .. } => "eviction_unknown",
        }
    }
}

/// How much is remembered, and how much may be.
#[derive(Debug, Clone, Copy)]
pub struct CacheUsage {
    /// Sessions, and ids that are known to be of none.
    pub entries: u64,
    /// What they take of memory, about.
    pub bytes: u64,
    /// What they may take.
    pub limit: u64,
}

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
    /// It belongs to another provider, client or origin.
    #[error(
        "{path} is {found}, and this is {ours}. Give the old values back, or move the file away to begin with an empty store (everybody signs in again)"
    )]
    OtherDeployment {
        /// The file.
        path: String,
        /// Whose it is.
        found: String,
        /// Who we are.
        ours: String,
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
    /// The certificates that `sslrootcert` names cannot be read.
    #[error("sslrootcert of session.store: {why}. Name a file with certificates in PEM")]
    Certificates {
        /// What is wrong.
        why: String,
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

/// How long a tombstone is kept at least: nobody may write back a session that was ended.
pub const MIN_TOMBSTONE_TTL: Duration = Duration::from_secs(3_600);

/// A place for sealed session records. All of it is safe to call from many tasks at once, and every call
/// answers within the configured time.
#[async_trait]
pub trait SessionStore: Send + Sync + std::fmt::Debug {
    /// Writes a new record. `false`, and nothing written, if the key is taken or has a tombstone.
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error>;
    /// Reads a record without its tokens, over or not, or its tombstone.
    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error>;
    /// Reads a record, over or not.
    async fn load(&self, key: SessionKey) -> Result<Option<SealedSession>, Error> {
        Ok(self.lookup(key).await?.record())
    }
    /// Reads the tokens of a session, as far as they are there.
    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error>;
    /// Replaces the record if its version is still `expected`. Never creates one. With a `fencing_token`, also only
    /// if no later holder has the lease; the lease is given back then.
    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error>;
    /// Moves `last_used` of the records that exist, forwards only.
    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error>;
    /// Writes a record that the store has lost, unless the same or a newer version or a tombstone is there. Of the same
    /// version, one with its tokens replaces one without; one without removes the tokens of an older version.
    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error>;
    /// Removes a record and returns it with its tokens. Leaves a tombstone, there or not, until `until`, and for
    /// [`MIN_TOMBSTONE_TTL`] at least. A store of one process, which nobody can write back to, may keep it for that long only.
    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error>;
    /// The records listed under `mark`, without their tokens, over or not.
    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error>;
    /// The keys of all sessions, in pages. Those that are there all the time are among them, some perhaps twice.
    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>>;
    /// Takes the lease of a session for `ttl`, if nobody has it.
    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error>;
    /// Keeps a lease for another `ttl`. `false` if it is another's by now.
    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error>;
    /// Gives a lease back. Nothing happens if it is another's.
    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error>;
    /// Stores a revocation until `until`, or somewhat longer. `false` if it was already stored.
    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error>;
    /// Until when a mark is remembered; `None` if it is not there.
    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error>;
    /// Whether a mark is remembered.
    async fn is_revoked(&self, revocation_key: RevocationKey) -> Result<bool, Error> {
        Ok(self.revoked_until(revocation_key).await?.is_some())
    }
    /// Removes the records that are over and counts them; forgets marks that are.
    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error>;
    /// How many sessions it has, those included that are over and not yet removed; `None` if it would have to go through
    /// them to know.
    async fn count(&self) -> Result<Option<u64>, Error> {
        Ok(None)
    }
    /// Whether the store answers and is ours.
    async fn ping(&self) -> Result<(), Error>;
    /// Settings of the store that can lose sessions later, although it answers now.
    async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        Ok(vec![])
    }
    /// Takes up to `wanted` permits that come free within `ahead`, at most a second. All processes share them.
    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error>;
    /// Grants no permit of this limit for `pause`, at most an hour. A longer pause already in force stays.
    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error>;
    /// Reports changes by other processes to `listener`; returns when the connection is lost.
    async fn follow(&self, listener: &dyn InvalidationListener) -> Error;
}

/// Hears what changes in a store.
pub trait InvalidationListener: Send + Sync {
    /// From now on every change is reported; values read earlier may be stale. `lost`: the store has, or may have,
    /// lost acknowledged writes.
    fn started(&self, lost: bool);
    /// A record was written or removed.
    fn session_changed(&self, key: SessionKey);
    /// A tombstone was written, or it expired or was evicted: the session has ended.
    fn session_ended(&self, key: SessionKey);
    /// A mark was written, or it expired or was evicted.
    fn token_revoked(&self, revocation_key: RevocationKey);
    /// Everything was removed at once.
    fn store_emptied(&self);
    /// Every change made before `at` has been reported.
    fn synced(&self, at: Instant);
    /// No other process makes changes.
    fn exclusive(&self);
    /// The time from a change to its report.
    fn invalidation_lag(&self, took: Duration);
}

/// The minimum interval between two writes of a session's last use, for an idle timeout of `idle`.
fn touch_step(idle: Option<Duration>) -> Duration {
    const MAX_STEP: Duration = Duration::from_secs(60);
    idle.map_or(MAX_STEP, |idle| (idle / 10).clamp(Duration::from_secs(1), MAX_STEP))
}

/// [`SessionStore::follow`] for a store with a single writing process: cached values never become stale.
async fn exclusive(listener: &dyn InvalidationListener) -> Error {
    listener.started(false);
    listener.exclusive();
    std::future::pending().await
}

/// Opens the store that `config` names.
///
/// # Errors
/// A sentence for the operator; never a silent empty store.
pub fn open(config: &SessionConfig, ring: &Arc<KeyRing>) -> Result<Arc<dyn SessionStore>, OpenError> {
    Ok(match &config.store {
        StoreUrl::Memory => Arc::new(memory::MemoryStore::default()),
        StoreUrl::Redb(path) => Arc::new(redb::Redb::open(path, ring)?),
        StoreUrl::Redis(url) => Arc::new(redis::Redis::open(url, config, ring)),
        StoreUrl::Postgres(url) => Arc::new(postgres::Postgres::open(url, config, ring)?),
    })
}
