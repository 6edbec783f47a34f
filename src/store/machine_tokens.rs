//! Machine tokens, shared by the processes: sealed, and fetched by one of them at a time; and beside them, under the
//! hash of each token, what it is good for when somebody shows it.

use super::{Error, FencingToken, LeaseOutcome, LeaseRelease, SealedSession, SessionStore, UpdateOutcome};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::encoding::{decode, encode};
use crate::domain::machine::{IssuedToken, MachineToken};
use crate::domain::seal::{KeyRing, Purpose, sha256_of};
use crate::domain::store_key::SessionKey;
use std::sync::Arc;
use std::time::Duration;

/// How long a place waits for its first token.
const PLACEHOLDER_TTL: Duration = Duration::from_secs(600);
/// The layout of what is sealed here: what another build has written is not found.
const LAYOUT: &str = "machine token 3";
/// The same of what a token is good for.
const ISSUED_LAYOUT: &str = "issued token 2";

/// The tokens that processes share.
#[derive(Debug)]
pub struct MachineTokenStore {
    store: Arc<dyn SessionStore>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

/// Whose turn it is to fetch a token.
#[derive(Debug)]
pub enum FetchOutcome {
    /// Another process has fetched one.
    Fetched(Box<MachineToken>),
    /// Ours.
    Leased(FetchLease),
    /// Another process is at it.
    Held,
    /// It failed a moment ago: wait for this long.
    Paused(Duration),
}

/// The right to put a token into its place.
#[derive(Debug, Clone, Copy)]
pub struct FetchLease {
    key: SessionKey,
    version: u64,
    fencing_token: FencingToken,
}

impl MachineTokenStore {
    /// Tokens in `store`.
    pub fn new(store: Arc<dyn SessionStore>, ring: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { store, ring, clock }
    }

    /// Whose turn it is to fetch the token for an encoded `TokenRequestKey`. Only a token that was fetched after
    /// `issued_after` and has more than `margin` left is usable.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lease_fetch(
        &self,
        request_key: &[u8],
        issued_after: Timestamp,
        margin: Duration,
        ttl: Duration,
    ) -> Result<FetchOutcome, Error> {
        let key = SessionKey(self.ring.tag(LAYOUT, request_key));
        let now = self.clock.now();
        let is_usable = |token: &MachineToken| token.issued_at > issued_after && token.remaining(now) > margin;
        match self.store.load(key).await? {
            Some(record) => {
                if let Some(token) = self.open(key, &record).filter(is_usable) {
                    return Ok(FetchOutcome::Fetched(Box::new(token)));
                }
            }
            None => {
                let empty = SealedSession { ends: now + PLACEHOLDER_TTL, last_used: now, ..SealedSession::default() };
                self.store.create(key, empty).await?;
            }
        }
        let fencing_token = match self.store.lease(key, ttl).await? {
            LeaseOutcome::Taken { fencing_token, .. } => fencing_token,
            LeaseOutcome::Held | LeaseOutcome::Gone => return Ok(FetchOutcome::Held),
            LeaseOutcome::Paused(left) => return Ok(FetchOutcome::Paused(left)),
        };
        // The previous holder may have stored a token since the first load.
        let Some(record) = self.store.load(key).await? else { return Ok(FetchOutcome::Held) };
        let fetch_lease = FetchLease { key, version: record.version, fencing_token };
        Ok(match self.open(key, &record).filter(is_usable) {
            Some(token) => {
                self.release(fetch_lease, None).await?;
                FetchOutcome::Fetched(Box::new(token))
            }
            None => FetchOutcome::Leased(fetch_lease),
        })
    }

    /// Puts a token into its place. `false` if another process was faster.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn put(&self, fetch_lease: FetchLease, token: &MachineToken) -> Result<bool, Error> {
        let plain = encode(token);
        let version = fetch_lease.version + 1;
        let sealed = self.ring.seal(purpose(&fetch_lease.key, &version.to_le_bytes()), &plain);
        let (ends, last_used) = (token.expires_at, self.clock.now());
        let record = SealedSession { version, ends, last_used, sealed, ..SealedSession::default() };
        Ok(self.store.update(fetch_lease.key, fetch_lease.version, record, Some(fetch_lease.fencing_token)).await?
            == UpdateOutcome::Done)
    }

    /// Gives a place back without a token.
    ///
    /// # Errors
    /// [`Error`]; the place is free after a while.
    pub async fn release(&self, fetch_lease: FetchLease, pause: Option<Duration>) -> Result<(), Error> {
        self.store
            .release(
                fetch_lease.key,
                fetch_lease.fencing_token,
                pause.map_or(LeaseRelease::Free, LeaseRelease::CoolDown),
            )
            .await
    }

    /// Keeps what the token with this hash is good for until `until`. `false` if it is another holder's already.
    ///
    /// # Errors
    /// [`Error`]: other processes do not know it.
    pub async fn note_issued(&self, hash: &[u8; 32], issued: &IssuedToken, until: Timestamp) -> Result<bool, Error> {
        let key = issued_key(hash);
        let plain = encode(issued);
        let sealed = self.ring.seal(issued_purpose(&key, &until.as_secs().to_le_bytes()), &plain);
        // It does not idle: it is used where nobody notes that.
        let record = SealedSession { version: 1, ends: until, last_used: until, sealed, ..SealedSession::default() };
        let is_new = self.store.create(key, record).await?;
        Ok(is_new || self.load_issued(hash).await?.is_none_or(|noted| noted.holder == issued.holder))
    }

    /// What the token with this hash is good for, if one of the processes has fetched it.
    ///
    /// # Errors
    /// [`Error`]: whether the token was issued here is not known.
    pub async fn load_issued(&self, hash: &[u8; 32]) -> Result<Option<IssuedToken>, Error> {
        let key = issued_key(hash);
        let Some(record) = self.store.load(key).await? else { return Ok(None) };
        let plain = self.ring.open(issued_purpose(&key, &record.ends.as_secs().to_le_bytes()), &record.sealed).ok();
        Ok(plain.and_then(|plain| decode(&plain)))
    }

    fn open(&self, key: SessionKey, record: &SealedSession) -> Option<MachineToken> {
        if record.sealed.is_empty() {
            return None;
        }
        let plain = self.ring.open(purpose(&key, &record.version.to_le_bytes()), &record.sealed).ok()?;
        decode(&plain)
    }
}

fn purpose<'a>(key: &'a SessionKey, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: LAYOUT, context: &key.0, bound }
}

/// Without a key of the ring: the change of keys must not hide a token that lives on.
fn issued_key(hash: &[u8; 32]) -> SessionKey {
    SessionKey(sha256_of(|each| {
        each(ISSUED_LAYOUT.as_bytes());
        each(b"\0");
        each(hash);
    }))
}

fn issued_purpose<'a>(key: &'a SessionKey, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: ISSUED_LAYOUT, context: &key.0, bound }
}
