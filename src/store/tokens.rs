//! Machine tokens, shared by the processes: sealed, and fetched by one of them at a time.

use super::{After, Error, Fence, Leased, Record, SessionStore, Update};
use crate::domain::clock::Clock;
use crate::domain::machine::MachineToken;
use crate::domain::seal::{KeyRing, Purpose};
use crate::domain::session::SessionKey;
use std::sync::Arc;
use std::time::Duration;

/// How long a place waits for its first token, seconds.
const EMPTY_FOR: u64 = 600;

/// The tokens that processes share.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn SessionStore>,
    ring: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

/// Whose turn it is to fetch a token.
#[derive(Debug)]
pub enum Turn {
    /// Another process has fetched one.
    Fetched(MachineToken),
    /// Ours.
    Ours(Place),
    /// Another process is at it.
    Theirs,
    /// It failed a moment ago: wait for this long.
    Paused(Duration),
}

/// The right to put a token into its place.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    key: SessionKey,
    version: u64,
    fence: Fence,
}

impl Tokens {
    /// Tokens in `store`.
    pub fn new(store: Arc<dyn SessionStore>, ring: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Self {
        Self { store, ring, clock }
    }

    /// Whose turn it is to fetch the token of `name`, a text that holds everything that shapes it, secrets
    /// too. Only a token fetched after `than`, epoch seconds, with more than `margin` seconds left will do.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn turn(&self, name: &[u8], than: u64, margin: u64, ttl: Duration) -> Result<Turn, Error> {
        let key = SessionKey(self.ring.tag("machine token", name));
        let now = self.clock.now();
        let will_do = |token: &MachineToken| token.issued_at > than && token.remaining(now) > margin;
        match self.store.load(key).await? {
            Some(record) => {
                if let Some(token) = self.open(key, &record).filter(will_do) {
                    return Ok(Turn::Fetched(token));
                }
            }
            None => {
                let empty = Record { ends: now + EMPTY_FOR, seen: now, ..Record::default() };
                self.store.create(key, empty).await?;
            }
        }
        let fence = match self.store.lease(key, ttl).await? {
            Leased::Taken { fence, .. } => fence,
            Leased::Held | Leased::Gone => return Ok(Turn::Theirs),
            Leased::Paused(left) => return Ok(Turn::Paused(left)),
        };
        // Whoever had the lease before may have put one there since.
        let Some(record) = self.store.load(key).await? else { return Ok(Turn::Theirs) };
        let place = Place { key, version: record.version, fence };
        Ok(match self.open(key, &record).filter(will_do) {
            Some(token) => {
                self.leave(place, None).await?;
                Turn::Fetched(token)
            }
            None => Turn::Ours(place),
        })
    }

    /// Puts a token into its place. `false` if another process was faster.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn put(&self, place: Place, token: &MachineToken) -> Result<bool, Error> {
        let plain = zeroize::Zeroizing::new(postcard::to_stdvec(token).expect("a token is plain data"));
        let version = place.version + 1;
        let sealed = self.ring.seal(purpose(&place.key, &version.to_le_bytes()), &plain);
        let (ends, seen) = (token.expires_at, self.clock.now());
        let record = Record { version, ends, seen, sealed, ..Record::default() };
        Ok(self.store.update(place.key, place.version, record, Some(place.fence)).await? == Update::Done)
    }

    /// Gives a place back without a token.
    ///
    /// # Errors
    /// [`Error`]; the place is free after a while.
    pub async fn leave(&self, place: Place, pause: Option<Duration>) -> Result<(), Error> {
        self.store.release(place.key, place.fence, pause.map_or(After::Nothing, After::Pause)).await
    }

    fn open(&self, key: SessionKey, record: &Record) -> Option<MachineToken> {
        if record.sealed.is_empty() {
            return None;
        }
        let plain = self.ring.open(purpose(&key, &record.version.to_le_bytes()), &record.sealed).ok()?;
        postcard::from_bytes(&plain).ok()
    }
}

fn purpose<'a>(key: &'a SessionKey, bound: &'a [u8]) -> Purpose<'a> {
    Purpose { label: "machine token", context: &key.0, bound }
}
