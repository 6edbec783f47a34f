//! Reading a session from a store that may have lost records, or that may hold records of ended sessions.

use super::tombstones::TombstoneKey;
use super::{Error, Lookup, OpenedSession, RestoreOutcome, SealedSession, Sessions, UpdateOutcome};
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionId;
use crate::domain::store_key::{RevocationKey, SessionKey};
use std::sync::Arc;
use tokio::time::Instant;

impl Sessions {
    /// Reads the session from the store, bypassing the cache but not the tombstones.
    pub(super) async fn read(&self, id: SessionId, key: SessionKey) -> Result<Option<Arc<OpenedSession>>, Error> {
        let started = Instant::now();
        if self.cache.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(None);
        }
        self.read_epoch().await?;
        match self.count_errors(self.store.lookup(key).await)? {
            // A fail-over may have lost the version that was read before.
            Lookup::Found(record) if self.has_newer(&key, record.version) => {
                Box::pin(self.restore_from_cache(id, key, started)).await
            }
            Lookup::Found(record) => {
                self.cache.drop_superseded(&key);
                match record.is_over(self.clock.now(), self.idle) {
                    true => Ok(None),
                    false => Ok(self.open_record(id, key, &record).await?.filter(|opened| self.counts(opened))),
                }
            }
            Lookup::Ended(until) => {
                self.record_tombstone(TombstoneKey::Session(key), until);
                Ok(None)
            }
            Lookup::Absent => Box::pin(self.restore_from_cache(id, key, started)).await,
        }
    }

    /// Reads since when sessions count, unless that is known.
    pub(super) async fn read_epoch(&self) -> Result<(), Error> {
        let epoch = &self.cache.epoch;
        if epoch.is_known(self.cache.is_fresh()) {
            return Ok(());
        }
        let reading = epoch.begin_read();
        let read = self.store.revoked_until(RevocationKey::all_sessions());
        if let Some(until) = self.count_errors(Box::pin(self.with_read_timeout(read)).await)? {
            epoch.raise(until, self.clock.now());
            self.record_tombstone(TombstoneKey::Token(RevocationKey::all_sessions()), until);
        }
        epoch.note_read(reading);
        Ok(())
    }

    /// While every request reads the store, most find what the one before has found: that is opened once.
    async fn open_record(
        &self,
        id: SessionId,
        key: SessionKey,
        record: &SealedSession,
    ) -> Result<Option<Arc<OpenedSession>>, Error> {
        let reads = (!self.cache.is_fresh()).then_some(&self.cache.reads);
        if let Some(opened) = reads.and_then(|reads| reads.get(&key, record)) {
            return Ok(Some(opened));
        }
        let Some(session) = self.sealer.session(&id, record) else { return Ok(None) };
        let opened = self.opened(id, session, record.last_used).await?;
        // Tokens that are missing may be put back.
        let reads = reads.filter(|_| opened.tokens.is_some() || !self.keep_tokens);
        reads.inspect(|reads| reads.insert(key, record.clone(), opened.clone()));
        Ok(Some(opened))
    }

    /// A session with neither a record nor a tombstone was not ended: the store has lost it. A process that still
    /// caches it writes it back.
    async fn restore_from_cache(
        &self,
        id: SessionId,
        key: SessionKey,
        started: Instant,
    ) -> Result<Option<Arc<OpenedSession>>, Error> {
        // The store may have just been emptied without having reported it yet. It may have lost a tombstone as well,
        // which other processes write back first.
        let is_synced = !self.cache.may_lack_sessions() && self.cache.synced_since(started).await;
        if self.cache.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(None);
        }
        if !is_synced || self.cache.may_lack_sessions() {
            return Err(Error::Recovering);
        }
        let Some(record) = self.restorable(key) else { return Ok(None) };
        match self.restore(key, &record).await? {
            RestoreOutcome::Done => {
                self.cache.drop_superseded(&key);
                tracing::warn!("session restored: missing from the store");
                match self.sealer.session(&id, &record) {
                    Some(session) => self.opened(id, session, record.last_used).await.map(Some),
                    None => Ok(None),
                }
            }
            RestoreOutcome::Ended => Ok(None),
            // Another process was faster, with this version or a newer one.
            RestoreOutcome::Newer => match self.count_errors(self.store.lookup(key).await)? {
                Lookup::Found(record) => match self.sealer.session(&id, &record) {
                    Some(session) => self.opened(id, session, record.last_used).await.map(Some),
                    None => Ok(None),
                },
                Lookup::Ended(_) | Lookup::Absent => Ok(None),
            },
        }
    }

    /// What this process can put back of a session that it did not write lately: with its tokens where they are kept in
    /// memory, otherwise without, and then for as long as the access token would have lasted.
    pub(super) fn record_at_hand(&self, opened: &OpenedSession, last_used: Timestamp) -> SealedSession {
        let session = opened.session();
        match &opened.tokens {
            Some(tokens) => SealedSession {
                tokens: self.sealer.seal_tokens(&opened.id, tokens, session.refresh_version),
                ..self.sealer.seal(&opened.id, &session, last_used)
            },
            None => self.sealer.seal(&opened.id, &session.without_tokens(), last_used),
        }
    }

    pub(super) fn cached_or_superseded(&self, key: &SessionKey) -> Option<Arc<OpenedSession>> {
        self.cache.peek(key).or_else(|| self.cache.superseded(key))
    }

    /// What this process can put back of a session that is not over.
    fn restorable(&self, key: SessionKey) -> Option<SealedSession> {
        let now = self.clock.now();
        let opened = self.cached_or_superseded(&key).filter(|opened| !self.is_over(opened, now))?;
        let written = self.journal.newest(key).filter(|written| written.version >= opened.version);
        let record = written.unwrap_or_else(|| self.record_at_hand(&opened, opened.last_used()));
        (!record.is_over(now, self.idle)).then_some(record)
    }

    fn has_newer(&self, key: &SessionKey, version: u64) -> bool {
        let newer = self.cached_or_superseded(key).is_some_and(|opened| opened.version > version);
        newer && self.restorable(*key).is_some_and(|record| record.version > version)
    }

    /// An update that finds an older version, or neither a record nor a tombstone, shows that the store has lost the
    /// expected version; the update is then restored as a whole.
    pub(super) async fn update_after_loss(
        &self,
        key: SessionKey,
        expected: u64,
        record: &SealedSession,
        outcome: UpdateOutcome,
    ) -> Result<UpdateOutcome, Error> {
        if self.cache.is_exclusive() {
            return Ok(outcome);
        }
        let lost = match self.count_errors(self.store.lookup(key).await)? {
            Lookup::Found(there) if there.version < expected => true,
            // It was missing a moment ago: somebody has put it back.
            Lookup::Found(there) if outcome == UpdateOutcome::Gone => match there.version == expected {
                true => return Err(Error::Recovering),
                false => return Ok(UpdateOutcome::Stale),
            },
            Lookup::Found(_) => false,
            Lookup::Absent => true,
            Lookup::Ended(until) => {
                self.record_tombstone(TombstoneKey::Session(key), until);
                false
            }
        };
        match lost {
            false => Ok(outcome),
            true => Ok(match self.restore(key, record).await? {
                RestoreOutcome::Done => UpdateOutcome::Done,
                RestoreOutcome::Newer => UpdateOutcome::Stale,
                RestoreOutcome::Ended => UpdateOutcome::Gone,
            }),
        }
    }
}
