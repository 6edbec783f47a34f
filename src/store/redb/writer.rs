//! The one thread that writes.

use super::{DatabaseFile, LISTS, RENEWING, REVOCATIONS, SESSIONS, SealedParts, TOKENS};
use crate::domain::clock::Timestamp;
use crate::domain::encoding;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use crate::store::in_process_leases::InProcessLeases;
use crate::store::{
    Error, FencingToken, LeaseOutcome, LeaseRelease, RestoreOutcome, SealedSession, SealedTokens, UpdateOutcome,
};
use redb::{ReadableTable, WriteTransaction};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// As many requests as one transaction takes.
pub(super) const BATCH: usize = 512;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer can be asked for.
pub(super) enum Write {
    Create(SessionKey, SealedSession, Reply<bool>),
    UpdateOutcome(SessionKey, u64, SealedSession, Option<FencingToken>, Reply<UpdateOutcome>),
    Touch(Vec<(SessionKey, Timestamp)>, Reply<()>),
    Restore(SessionKey, SealedSession, Reply<RestoreOutcome>),
    Delete(SessionKey, Timestamp, Reply<Option<SealedSession>>),
    Lease(SessionKey, Duration, Reply<LeaseOutcome>),
    Release(SessionKey, FencingToken, LeaseRelease, Reply<()>),
    Revoke(RevocationKey, Timestamp, Reply<bool>),
    Sweep(Vec<SessionKey>, Timestamp, Option<Duration>, Reply<u64>),
    Forget(Timestamp, Reply<()>),
}

/// Writes until the last handle is gone; returns how many transactions that took.
pub(super) fn write_all(file: &DatabaseFile, requests: &mpsc::Receiver<Write>) -> u64 {
    let mut transactions = 0;
    while let Ok(first) = requests.recv() {
        let mut batch = vec![first];
        batch.extend(requests.try_iter().take(BATCH - 1));
        write_batch(file, batch);
        transactions += 1;
    }
    transactions
}

/// Sends the reply once the commit has succeeded or failed.
type CommitReply = Box<dyn FnOnce(Result<(), Error>)>;

/// Answers only what was committed.
fn write_batch(file: &DatabaseFile, batch: Vec<Write>) {
    let mut answers = Vec::with_capacity(batch.len());
    let result = (|| -> Result<(), redb::Error> {
        let transaction = file.current_or_reopened()?.begin_write()?;
        {
            let mut tables = Tables::open(&transaction)?;
            for write in batch {
                answers.push(apply(&mut tables, &file.leases, write)?);
            }
        }
        Ok(transaction.commit()?)
    })();
    if let Err(error) = &result {
        tracing::error!(%error, "session file write failed: reopening at the next write");
        file.set(None);
    }
    let result = result.map_err(|e| Error::Unavailable(e.to_string()));
    for answer in answers {
        answer(result.clone());
    }
}

fn apply(tables: &mut Tables<'_>, leases: &InProcessLeases, write: Write) -> Result<CommitReply, redb::Error> {
    Ok(match write {
        Write::Create(key, record, reply) => {
            let free = tables.get(key)?.is_none() && leases.tombstone(key).is_none();
            if free {
                tables.put(key, &record)?;
            }
            answer(reply, free)
        }
        Write::UpdateOutcome(key, expected, record, fencing_token, reply) => {
            answer(reply, tables.update(leases, key, expected, record, fencing_token)?)
        }
        Write::Touch(last_used, reply) => {
            for (key, last_used) in last_used {
                if let Some(old) = tables.get(key)?.filter(|old| old.last_used < last_used) {
                    tables.put_without_tokens(key, &SealedSession { last_used, ..old })?;
                }
            }
            answer(reply, ())
        }
        Write::Restore(key, record, reply) => answer(reply, tables.restore(leases, key, &record)?),
        Write::Delete(key, until, reply) => {
            leases.note_deleted(key, until);
            answer(reply, tables.remove(key)?)
        }
        Write::Lease(key, ttl, reply) => answer(reply, tables.lease(leases, key, ttl)?),
        Write::Release(key, fencing_token, after, reply) => {
            if leases.admits(key, Some(fencing_token)) && !matches!(after, LeaseRelease::OutcomeUnknown(_)) {
                tables.at_work.remove(&key.0)?;
            }
            leases.release(key, fencing_token, after);
            answer(reply, ())
        }
        Write::Revoke(revocation_key, until, reply) => {
            let there = tables.revocations.get(&revocation_key.0)?.map(|until| until.value());
            tables.revocations.insert(&revocation_key.0, until.as_secs().max(there.unwrap_or(0)))?;
            answer(reply, there.is_none())
        }
        Write::Sweep(keys, now, idle, reply) => {
            let mut swept = 0;
            for key in keys {
                if tables.get(key)?.is_none_or(|record| record.is_over(now, idle)) {
                    swept += u64::from(tables.remove(key)?.is_some());
                }
            }
            answer(reply, swept)
        }
        Write::Forget(now, reply) => {
            tables.revocations.retain(|_, until| now.as_secs() <= until)?;
            answer(reply, ())
        }
    })
}

fn answer<T: 'static>(reply: Reply<T>, value: T) -> CommitReply {
    // Whoever asked may have gone away.
    Box::new(move |committed| drop(reply.send(committed.map(|()| value))))
}

struct Tables<'t> {
    sessions: redb::Table<'t, &'static [u8; 32], &'static [u8]>,
    tokens: redb::Table<'t, &'static [u8; 32], SealedParts>,
    lists: redb::MultimapTable<'t, &'static [u8; 32], &'static [u8; 32]>,
    revocations: redb::Table<'t, &'static [u8; 32], u64>,
    at_work: redb::Table<'t, &'static [u8; 32], ()>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            sessions: transaction.open_table(SESSIONS)?,
            tokens: transaction.open_table(TOKENS)?,
            lists: transaction.open_multimap_table(LISTS)?,
            revocations: transaction.open_table(REVOCATIONS)?,
            at_work: transaction.open_table(RENEWING)?,
        })
    }

    fn get(&self, key: SessionKey) -> Result<Option<SealedSession>, redb::Error> {
        Ok(self.sessions.get(&key.0)?.and_then(|value| decode(value.value())))
    }

    fn get_tokens(&self, key: SessionKey) -> Result<SealedTokens, redb::Error> {
        Ok(self.tokens.get(&key.0)?.map(|parts| sealed_tokens(parts.value())).unwrap_or_default())
    }

    /// Writes a record, and its tokens as they are in it.
    fn put(&mut self, key: SessionKey, record: &SealedSession) -> Result<(), redb::Error> {
        let SealedTokens { access, refresh } = &record.tokens;
        match record.tokens == SealedTokens::default() {
            true => drop(self.tokens.remove(&key.0)?),
            false => drop(self.tokens.insert(&key.0, (access.as_deref(), refresh.as_deref()))?),
        }
        self.put_without_tokens(key, record)
    }

    fn put_without_tokens(&mut self, key: SessionKey, record: &SealedSession) -> Result<(), redb::Error> {
        for index_key in &record.listed {
            self.lists.insert(&index_key.0, &key.0)?;
        }
        self.sessions.insert(&key.0, encode(record).as_slice())?;
        Ok(())
    }

    fn update(
        &mut self,
        leases: &InProcessLeases,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, redb::Error> {
        let Some(old) = self.get(key)? else { return Ok(UpdateOutcome::Gone) };
        if old.version != expected || !leases.admits(key, fencing_token) {
            return Ok(UpdateOutcome::Stale);
        }
        let last_used = old.last_used.max(record.last_used);
        let Some(tokens) = record.tokens.over(self.get_tokens(key)?) else { return Ok(UpdateOutcome::Incomplete) };
        self.put(key, &SealedSession { last_used, tokens, ..record })?;
        if let Some(fencing_token) = fencing_token {
            self.at_work.remove(&key.0)?;
            leases.release(key, fencing_token, LeaseRelease::Free);
        }
        Ok(UpdateOutcome::Done)
    }

    fn restore(
        &mut self,
        leases: &InProcessLeases,
        key: SessionKey,
        record: &SealedSession,
    ) -> Result<RestoreOutcome, redb::Error> {
        Ok(match self.get(key)? {
            _ if leases.tombstone(key).is_some() => RestoreOutcome::Ended,
            Some(there) if !record.is_restored_over(&there, &self.get_tokens(key)?) => RestoreOutcome::Newer,
            _ => {
                self.put(key, record)?;
                RestoreOutcome::Done
            }
        })
    }

    fn lease(&mut self, leases: &InProcessLeases, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, redb::Error> {
        if self.get(key)?.is_none() {
            return Ok(LeaseOutcome::Gone);
        }
        Ok(match leases.lease(key, ttl) {
            LeaseOutcome::Taken { fencing_token, abandoned } => {
                let left = self.at_work.insert(&key.0, ())?.is_some();
                LeaseOutcome::Taken { fencing_token, abandoned: abandoned || left }
            }
            other => other,
        })
    }

    /// Removes a record, readable or not.
    fn remove(&mut self, key: SessionKey) -> Result<Option<SealedSession>, redb::Error> {
        let old = self.sessions.remove(&key.0)?.map(|value| decode(value.value()).unwrap_or_default());
        let tokens = self.tokens.remove(&key.0)?.map(|parts| sealed_tokens(parts.value())).unwrap_or_default();
        let old = old.map(|old| SealedSession { tokens, ..old });
        for index_key in old.iter().flat_map(|record| &record.listed) {
            self.lists.remove(&index_key.0, &key.0)?;
        }
        self.at_work.remove(&key.0)?;
        Ok(old)
    }
}

/// The numbers come first, so that a sweep reads no more.
fn encode(record: &SealedSession) -> Vec<u8> {
    let SealedSession { version, ends, last_used, sealed, summary, listed, tokens: _ } = record;
    let listed: Vec<[u8; 32]> = listed.iter().map(|index_key| index_key.0).collect();
    encoding::encode(&(version, ends, last_used, listed, summary, sealed)).to_vec()
}

pub(super) fn decode(bytes: &[u8]) -> Option<SealedSession> {
    type Parts = (u64, Timestamp, Timestamp, Vec<[u8; 32]>, Vec<u8>, Vec<u8>);
    let (version, ends, last_used, listed, summary, sealed): Parts = encoding::decode(bytes)?;
    Some(SealedSession {
        version,
        ends,
        last_used,
        sealed,
        summary,
        listed: listed.into_iter().map(IndexKey).collect(),
        tokens: SealedTokens::default(),
    })
}

pub(super) fn sealed_tokens((access, refresh): (Option<&[u8]>, Option<&[u8]>)) -> SealedTokens {
    SealedTokens { access: access.map(<[u8]>::to_vec), refresh: refresh.map(<[u8]>::to_vec) }
}

pub(super) fn is_over(bytes: &[u8], now: Timestamp, idle: Option<Duration>) -> bool {
    let head = postcard::take_from_bytes::<(u64, Timestamp, Timestamp)>(bytes);
    head.map_or(true, |((version, ends, last_used), _)| {
        SealedSession { version, ends, last_used, ..SealedSession::default() }.is_over(now, idle)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;
    use crate::domain::encoding::releases::written;

    #[test]
    fn records_of_every_release_are_read() {
        let (sealed, summary) = (b"sealed".to_vec(), b"summary".to_vec());
        let (tokens, listed) = (SealedTokens::default(), vec![IndexKey([7; 32])]);
        let now = SealedSession { version: 11, ends: at(300), last_used: at(200), sealed, summary, listed, tokens };
        for bytes in written("redb_record", &encode(&now)) {
            assert_eq!(decode(&bytes), Some(now.clone()));
            assert!(!is_over(&bytes, at(299), None) && is_over(&bytes, at(300), None));
        }
    }
}
