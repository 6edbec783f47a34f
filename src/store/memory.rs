//! Sessions in this process's memory: for development and tests.

use super::in_process_leases::InProcessLeases;
use super::rate_limit::{Permits, RateLimit, RateLimiters};
use super::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, RestoreOutcome, SealedSession,
    SealedTokens, SessionStore, UpdateOutcome, exclusive,
};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use async_trait::async_trait;
use futures_util::future::ready;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    table: Mutex<MemoryTable>,
    local: InProcessLeases,
    limiters: RateLimiters,
}

#[derive(Debug, Default)]
struct MemoryTable {
    records: HashMap<SessionKey, SealedSession>,
    lists: BTreeSet<(IndexKey, SessionKey)>,
    revocations: HashMap<RevocationKey, Timestamp>,
}

impl MemoryTable {
    fn put(&mut self, key: SessionKey, record: SealedSession) {
        self.remove(key);
        self.lists.extend(record.listed.iter().map(|index_key| (*index_key, key)));
        self.records.insert(key, record);
    }

    fn remove(&mut self, key: SessionKey) -> Option<SealedSession> {
        let record = self.records.remove(&key)?;
        for index_key in &record.listed {
            self.lists.remove(&(*index_key, key));
        }
        Some(record)
    }
}

impl MemoryStore {
    fn table(&self) -> MutexGuard<'_, MemoryTable> {
        // No code that holds this lock leaves a record half written.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_tokens(record: &SealedSession) -> SealedSession {
    let SealedSession { version, ends, last_used, ref sealed, ref summary, ref listed, tokens: _ } = *record;
    let (sealed, summary, listed) = (sealed.clone(), summary.clone(), listed.clone());
    SealedSession { version, ends, last_used, sealed, summary, listed, tokens: SealedTokens::default() }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        let mut table = self.table();
        let free = !table.records.contains_key(&key) && self.local.tombstone(key).is_none();
        if free {
            table.put(key, record);
        }
        Ok(free)
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        let found = self.table().records.get(&key).map(without_tokens).map(Lookup::Found);
        Ok(found.or_else(|| self.local.tombstone(key).map(Lookup::Ended)).unwrap_or(Lookup::Absent))
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        Ok(self.table().records.get(&key).map(|record| record.tokens.clone()).unwrap_or_default())
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        let mut table = self.table();
        let Some(old) = table.records.get(&key) else { return Ok(UpdateOutcome::Gone) };
        if old.version != expected || !self.local.admits(key, fencing_token) {
            return Ok(UpdateOutcome::Stale);
        }
        let last_used = old.last_used.max(record.last_used);
        let Some(tokens) = record.tokens.over(old.tokens.clone()) else { return Ok(UpdateOutcome::Incomplete) };
        table.put(key, SealedSession { last_used, tokens, ..record });
        if let Some(fencing_token) = fencing_token {
            self.local.release(key, fencing_token, LeaseRelease::Free);
        }
        Ok(UpdateOutcome::Done)
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        let mut table = self.table();
        for (key, last_used) in last_used {
            if let Some(record) = table.records.get_mut(&key) {
                record.last_used = record.last_used.max(last_used);
            }
        }
        Ok(())
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        let mut table = self.table();
        if self.local.tombstone(key).is_some() {
            return Ok(RestoreOutcome::Ended);
        }
        if table.records.get(&key).is_some_and(|there| !record.is_restored_over(there, &there.tokens)) {
            return Ok(RestoreOutcome::Newer);
        }
        table.put(key, record);
        Ok(RestoreOutcome::Done)
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        let mut table = self.table();
        self.local.note_deleted(key, until);
        Ok(table.remove(key))
    }

    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        let table = self.table();
        let matching = table.lists.range((index_key, SessionKey([0; 32]))..=(index_key, SessionKey([0xff; 32])));
        Ok(matching.filter_map(|(_, key)| Some((*key, without_tokens(table.records.get(key)?)))).collect())
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        let keys = self.table().records.keys().copied().collect();
        stream::once(ready(Ok(keys))).boxed()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        let table = self.table();
        Ok(if table.records.contains_key(&key) { self.local.lease(key, ttl) } else { LeaseOutcome::Gone })
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        Ok(self.local.extend(key, fencing_token, ttl))
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.local.release(key, fencing_token, after);
        Ok(())
    }

    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        match self.table().revocations.entry(revocation_key) {
            Entry::Occupied(mut there) => {
                there.insert(until.max(*there.get()));
                Ok(false)
            }
            Entry::Vacant(place) => {
                place.insert(until);
                Ok(true)
            }
        }
    }

    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        Ok(self.table().revocations.get(&revocation_key).copied())
    }

    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error> {
        let mut table = self.table();
        let over: Vec<_> =
            table.records.iter().filter(|(_, record)| record.is_over(now, idle)).map(|(key, _)| *key).collect();
        for key in &over {
            table.remove(*key);
        }
        table.revocations.retain(|_, until| now <= *until);
        self.local.sweep();
        Ok(over.len() as u64)
    }

    async fn count(&self) -> Result<Option<u64>, Error> {
        // Other records have no tokens. A store for development is small enough to be gone through.
        let table = self.table();
        let sessions = table.records.values().filter(|record| record.tokens != SealedTokens::default());
        Ok(Some(sessions.count() as u64))
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        Ok(self.limiters.acquire(limit, wanted, ahead))
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.limiters.back_off(limit, pause);
        Ok(())
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        exclusive(listener).await
    }
}
