//! What a store says of a session, judged: a store may have lost what it had, and may have what was ended.

use super::session_cache::recovering;
use super::tombstones::TombstoneKey;
use super::{Error, Lookup, OpenedSession, RestoreOutcome, SealedSession, Sessions, UpdateOutcome};
use crate::domain::session::SessionId;
use crate::domain::store_key::SessionKey;
use std::sync::Arc;
use tokio::time::Instant;

impl Sessions {
    /// What the store has, past anything remembered but endings.
    pub(super) async fn read(&self, id: SessionId, key: SessionKey) -> Result<Option<Arc<OpenedSession>>, Error> {
        let asked = Instant::now();
        if self.cache.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(None);
        }
        match self.count_errors(self.store.lookup(key).await)? {
            // A fail-over may have lost the version that was read before.
            Lookup::Found(record) if self.has_newer(&key, record.version) => self.read_back(id, key, asked).await,
            Lookup::Found(record) => {
                self.cache.drop_superseded(&key);
                let opened = (!record.is_over(self.clock.now(), self.idle)).then(|| self.sealer.session(&id, &record));
                Ok(opened.flatten().map(|session| OpenedSession::new(id, session, record.seen)))
            }
            Lookup::Ended(until) => {
                self.record_tombstone(TombstoneKey::Session(key), until);
                Ok(None)
            }
            Lookup::Absent => self.read_back(id, key, asked).await,
        }
    }

    /// A session without a record and without a tombstone was not ended: the store has lost it. Who still has it
    /// writes it back.
    async fn read_back(
        &self,
        id: SessionId,
        key: SessionKey,
        asked: Instant,
    ) -> Result<Option<Arc<OpenedSession>>, Error> {
        // Emptied a moment ago, it may be about to say so. And it may have lost a tombstone, too: those who know of it
        // write that back first.
        let heard = !self.cache.may_lack_sessions() && self.cache.synced_since(asked).await;
        if self.cache.tombstones.contains(TombstoneKey::Session(key)) {
            return Ok(None);
        }
        if !heard || self.cache.may_lack_sessions() {
            return Err(recovering());
        }
        let Some(live) = self.cached_or_superseded(&key).filter(|live| !self.is_over(live)) else { return Ok(None) };
        let record = self.sealer.seal(&id, &live.session, live.seen());
        match self.restore(key, &record).await? {
            RestoreOutcome::Done => {
                self.cache.drop_superseded(&key);
                tracing::warn!("session store lost a session; it was written back");
                Ok(Some(live))
            }
            RestoreOutcome::Ended => Ok(None),
            // Another process was faster, with this version or a newer one.
            RestoreOutcome::Newer => match self.count_errors(self.store.lookup(key).await)? {
                Lookup::Found(record) => {
                    Ok(self.sealer.session(&id, &record).map(|session| OpenedSession::new(id, session, record.seen)))
                }
                Lookup::Ended(_) | Lookup::Absent => Ok(None),
            },
        }
    }

    pub(super) fn cached_or_superseded(&self, key: &SessionKey) -> Option<Arc<OpenedSession>> {
        self.cache.peek(key).or_else(|| self.cache.superseded(key))
    }

    fn has_newer(&self, key: &SessionKey, version: u64) -> bool {
        self.cached_or_superseded(key).is_some_and(|live| live.session.version > version && !self.is_over(&live))
    }

    /// A write that found an older version, or nothing and no tombstone, found a store that has lost the version it
    /// builds on: it is what there is to restore.
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
                true => return Err(recovering()),
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
