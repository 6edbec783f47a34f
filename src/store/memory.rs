//! Sessions in this process's memory: for development and tests.

use super::{Error, Record, SessionStore, Update};
use crate::domain::session::SessionKey;
use async_trait::async_trait;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<SessionKey, Record>>);

impl Memory {
    fn records(&self) -> MutexGuard<'_, HashMap<SessionKey, Record>> {
        // No code that holds this lock leaves a record half written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SessionStore for Memory {
    async fn create(&self, key: SessionKey, record: Record) -> Result<bool, Error> {
        match self.records().entry(key) {
            Entry::Occupied(_) => Ok(false),
            Entry::Vacant(place) => {
                place.insert(record);
                Ok(true)
            }
        }
    }

    async fn load(&self, key: SessionKey) -> Result<Option<Record>, Error> {
        Ok(self.records().get(&key).cloned())
    }

    async fn update(&self, key: SessionKey, expected: u64, record: Record) -> Result<Update, Error> {
        Ok(match self.records().get_mut(&key) {
            None => Update::Gone,
            Some(old) if old.version != expected => Update::Stale,
            Some(old) => {
                let seen = old.seen.max(record.seen);
                *old = Record { seen, ..record };
                Update::Done
            }
        })
    }

    async fn touch(&self, seen: Vec<(SessionKey, u64)>) -> Result<(), Error> {
        let mut records = self.records();
        for (key, seen) in seen {
            if let Some(record) = records.get_mut(&key) {
                record.seen = record.seen.max(seen);
            }
        }
        Ok(())
    }

    async fn delete(&self, key: SessionKey) -> Result<Option<Record>, Error> {
        Ok(self.records().remove(&key))
    }

    async fn sweep(&self, now: u64, idle: Option<u64>) -> Result<u64, Error> {
        let mut records = self.records();
        let before = records.len();
        records.retain(|_, record| !record.is_over(now, idle));
        Ok((before - records.len()) as u64)
    }

    async fn ping(&self) -> Result<(), Error> {
        Ok(())
    }
}
