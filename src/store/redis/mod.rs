//! Sessions in Redis or Valkey, for many processes: one server, a master behind sentinels, or a cluster.
//!
//! Records expire by themselves, some time after they are over: whether one is over is judged by our clock.
//! Leases go by the server's clock.

mod client;
mod connect;
mod deployment;
mod follow;
mod names;
mod node;
mod rate_limit;
mod scan;
mod scripts;
mod slot_map;
mod topology;
mod tracking;
mod warnings;

use super::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, MIN_TOMBSTONE_TTL, Permits,
    RateLimit, RestoreOutcome, SealedSession, SealedTokens, SessionStore, UpdateOutcome, Warning,
};
use crate::config::{self, RedisUrl};
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, random};
use crate::domain::store_key::IndexKey;
use crate::domain::store_key::{RevocationKey, SessionKey};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use client::{KeyedCommand, RedisClient};
use connect::Connector;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use names::{Names, decode, decode_tokens, encode, encode_tokens};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// How long what is over stays: clocks differ.
const EXPIRY_SLACK: Duration = Duration::from_secs(120);
/// The end of the year 9999. Times beyond it would not survive being multiplied.
const MAX_TIMESTAMP: Timestamp = Timestamp::from_secs(253_402_300_799);
/// How long a lease that was given back is remembered, and one that was not at least.
const REMEMBER_LEASE: Duration = Duration::from_secs(600);
/// A member of an index younger than this may belong to a record that is just being written.
const MIN_PRUNE_AGE: Duration = Duration::from_secs(60);
/// Calls under way at once for one list.
const MAX_CONCURRENT: usize = 256;

#[derive(Debug)]
pub(super) struct Redis {
    client: RedisClient,
    names: Names,
    ring: Arc<KeyRing>,
    idle: Option<Duration>,
    max_stale: Duration,
    /// Tells this process from others.
    process: String,
    /// Writes that carried a number so far.
    writes: AtomicU64,
    /// The last value of each canary that was acknowledged.
    canaries: Mutex<HashMap<String, u64>>,
}

impl Redis {
    /// Connects when it is first asked.
    pub(super) fn open(url: &RedisUrl, config: &config::SessionConfig, ring: &Arc<KeyRing>) -> Self {
        Self {
            client: RedisClient::new(Connector { url: url.clone(), call_timeout: config.store_timeout }),
            names: Names(url.prefix.clone()),
            ring: ring.clone(),
            idle: config.idle,
            max_stale: config.max_stale,
            process: BASE64_URL_SAFE_NO_PAD.encode(random::<12>()),
            writes: AtomicU64::default(),
            canaries: Mutex::default(),
        }
    }

    /// The idempotency id of a write: a server that finds it again has already applied the write.
    fn write_id(&self) -> String {
        format!("{}.{}", self.process, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    fn expiry(&self, record: &SealedSession) -> u64 {
        expiry(self.idle.map_or(record.ends, |idle| record.ends.min(record.last_used + 2 * idle)))
    }

    fn idle_ms(&self) -> u128 {
        self.idle.map_or(0, |idle| idle.as_millis())
    }

    /// Before its record, so that no record is missing in a list.
    async fn list(&self, key: SessionKey, record: &SealedSession, deadline: Instant) -> Result<(), Error> {
        let expiry = expiry(record.ends);
        try_join_all(record.listed.iter().map(async |index_key| {
            let list = KeyedCommand::script(&scripts::LIST, &[&self.names.index(*index_key)]).arg(&key.0).arg(expiry);
            self.client.run_until::<()>(&list, deadline).await
        }))
        .await
        .map(drop)
    }

    async fn lookup_until(&self, key: SessionKey, deadline: Instant) -> Result<Lookup, Error> {
        let [record_name, used] = self.names.record(key);
        let get = KeyedCommand::new("MGET", &record_name).arg(&used);
        if let Some(record) = record(self.client.run_until(&get, deadline).await?) {
            return Ok(Lookup::Found(record));
        }
        // By itself: in a slot that moves, a server refuses several keys of which one is missing.
        let get = KeyedCommand::new("GET", &self.names.session(key).tombstone);
        let tombstone: Option<Vec<u8>> = self.client.run_until(&get, deadline).await?;
        Ok(tombstone.map_or(Lookup::Absent, |until| Lookup::Ended(timestamp(&until).unwrap_or(MAX_TIMESTAMP))))
    }

    async fn touch_one(&self, key: SessionKey, last_used: Timestamp, deadline: Instant) -> Result<(), Error> {
        let names = self.names.session(key);
        // However many processes saw a use, it is written once.
        let step = super::touch_step(self.idle).as_secs();
        let touch = KeyedCommand::script(&scripts::TOUCH, &[&names.record, &names.used, &names.tokens]);
        let touch = touch.arg(last_used).arg(self.idle_ms()).arg(EXPIRY_SLACK.as_secs()).arg(step);
        self.client.run_until(&touch, deadline).await
    }
}

/// When Redis may forget what is over at `end`, in ms since 1970.
fn expiry(end: Timestamp) -> u64 {
    (end.min(MAX_TIMESTAMP) + EXPIRY_SLACK).as_secs() * 1_000
}

/// The time that `text` begins with.
fn timestamp(text: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(text.split(|b| *b == b' ').next()?).ok()?.parse().ok().map(Timestamp::from_secs)
}

fn record((bytes, used): (Option<Vec<u8>>, Option<u64>)) -> Option<SealedSession> {
    decode(&bytes?, used)
}

#[async_trait]
impl SessionStore for Redis {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        let deadline = self.client.deadline();
        self.list(key, &record, deadline).await?;
        let (names, write) = (self.names.session(key), self.write_id());
        let keys = [&*names.record, &names.used, &names.tombstone, &names.tokens];
        let create = KeyedCommand::script(&scripts::CREATE, &keys).arg(encode(&record, &write));
        let create = create.arg(record.last_used).arg(self.expiry(&record)).arg(write);
        self.client.run_until(&create.arg(encode_tokens(&record.tokens)), deadline).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.lookup_until(key, self.client.deadline()).await
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        let names = self.names.session(key);
        Ok(decode_tokens(self.client.run(&KeyedCommand::new("GET", &names.tokens)).await?))
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        let deadline = self.client.deadline();
        self.list(key, &record, deadline).await?;
        let names = self.names.session(key);
        let keys = [&*names.record, &names.used, &names.tombstone, &names.tokens];
        let restore = KeyedCommand::script(&scripts::RESTORE, &keys).arg(encode(&record, &self.write_id()));
        let restore = restore.arg(record.version).arg(record.last_used).arg(self.expiry(&record));
        Ok(match self.client.run_until(&restore.arg(encode_tokens(&record.tokens)), deadline).await? {
            1 => RestoreOutcome::Done,
            0 => RestoreOutcome::Newer,
            _ => RestoreOutcome::Ended,
        })
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        let deadline = self.client.deadline();
        // Again, though it was there: what an index lost comes back.
        self.list(key, &record, deadline).await?;
        let (names, write) = (self.names.session(key), self.write_id());
        let keys = [&*names.record, &names.used, &names.lease, &names.tokens];
        let update = KeyedCommand::script(&scripts::UPDATE, &keys);
        let update =
            update.arg(expected).arg(encode(&record, &write)).arg(record.last_used).arg(record.ends.min(MAX_TIMESTAMP));
        let update = update
            .arg(self.idle_ms())
            .arg(EXPIRY_SLACK.as_secs())
            .arg(fencing_token.map(|fencing_token| fencing_token.0.to_string()).unwrap_or_default());
        let SealedTokens { access, refresh } = record.tokens;
        // An empty argument leaves a part as it is: a sealed one is never empty.
        let update = update.arg(REMEMBER_LEASE.as_millis()).arg(write).arg(access.unwrap_or_default());
        Ok(match self.client.run_until(&update.arg(refresh.unwrap_or_default()), deadline).await? {
            1 => UpdateOutcome::Done,
            0 => UpdateOutcome::Stale,
            -2 => UpdateOutcome::Incomplete,
            _ => UpdateOutcome::Gone,
        })
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        let deadline = self.client.deadline();
        let touched = stream::iter(last_used).map(|(key, last_used)| self.touch_one(key, last_used, deadline));
        touched.buffer_unordered(MAX_CONCURRENT).try_collect().await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        let deadline = self.client.deadline();
        let (names, until) = (self.names.session(key), until.min(MAX_TIMESTAMP));
        let keys = [&*names.record, &names.used, &names.lease, &names.tombstone, &names.tokens];
        let delete = KeyedCommand::script(&scripts::DELETE, &keys).arg(until).arg(expiry(until));
        let delete = delete.arg(MIN_TOMBSTONE_TTL.as_millis());
        let (old, used, tokens) = self.client.run_until(&delete, deadline).await?;
        let tokens = decode_tokens(tokens);
        let old = record((old, used)).map(|old| SealedSession { tokens, ..old });
        // One that stays is found to have no record, and removed then.
        join_all(old.iter().flat_map(|old| &old.listed).map(async |index_key| {
            let remove = KeyedCommand::new("ZREM", &self.names.index(*index_key)).arg(&key.0);
            drop(self.client.run_until::<()>(&remove, deadline).await);
        }))
        .await;
        Ok(old)
    }

    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        let deadline = self.client.deadline();
        let index = self.names.index(index_key);
        let range = KeyedCommand::new("ZRANGE", &index).arg(0).arg(-1);
        let members: Vec<Vec<u8>> = self.client.run_until(&range, deadline).await?;
        let keys = members.into_iter().filter_map(|member| member.try_into().ok().map(SessionKey));
        let loaded: Vec<_> = stream::iter(keys)
            .map(async |key| Ok::<_, Error>((key, self.lookup_until(key, deadline).await?.record())))
            .buffer_unordered(MAX_CONCURRENT)
            .try_collect()
            .await?;
        let without: Vec<_> = loaded.iter().filter(|(_, record)| record.is_none()).map(|(key, _)| &key.0).collect();
        if !without.is_empty() {
            let prune = KeyedCommand::script(&scripts::PRUNE, &[&index]).arg(MIN_PRUNE_AGE.as_secs()).arg(without);
            drop(self.client.run_until::<()>(&prune, deadline).await);
        }
        Ok(loaded.into_iter().filter_map(|(key, record)| Some((key, record?))).collect())
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        self.scan().boxed()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        let names = self.names.session(key);
        let lease = KeyedCommand::script(&scripts::LEASE, &[&names.record, &names.lease]);
        let lease = lease.arg(ttl.as_millis()).arg(REMEMBER_LEASE.as_millis()).arg(self.write_id());
        let (outcome, number, abandoned): (String, u64, bool) = self.client.run(&lease).await?;
        Ok(match outcome.as_str() {
            "taken" => LeaseOutcome::Taken { fencing_token: FencingToken(number), abandoned },
            "paused" => LeaseOutcome::Paused(Duration::from_millis(number)),
            "held" => LeaseOutcome::Held,
            _ => LeaseOutcome::Gone,
        })
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        let extend = KeyedCommand::script(&scripts::EXTEND, &[&self.names.session(key).lease]);
        self.client.run(&extend.arg(fencing_token.0).arg(ttl.as_millis())).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        let (pause, doubt) = match after {
            LeaseRelease::Free => (String::new(), 0),
            LeaseRelease::CoolDown(pause) => (pause.as_millis().to_string(), 0),
            LeaseRelease::OutcomeUnknown(pause) => (pause.as_millis().to_string(), 1),
        };
        let release = KeyedCommand::script(&scripts::RELEASE, &[&self.names.session(key).lease]);
        let release = release.arg(fencing_token.0).arg(pause).arg(doubt).arg(REMEMBER_LEASE.as_millis());
        self.client.run(&release).await
    }

    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        let until = until.min(MAX_TIMESTAMP);
        let revocation_key = KeyedCommand::script(&scripts::REVOKE, &[&self.names.revocation(revocation_key)]);
        self.client.run(&revocation_key.arg(until).arg(expiry(until)).arg(self.write_id())).await
    }

    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        let found: Option<Vec<u8>> =
            self.client.run(&KeyedCommand::new("GET", &self.names.revocation(revocation_key))).await?;
        // Whatever else stands there, it is marked.
        Ok(found.map(|found| timestamp(&found).unwrap_or(MAX_TIMESTAMP)))
    }

    async fn sweep(&self, _now: Timestamp, _idle: Option<Duration>) -> Result<u64, Error> {
        // Redis forgets by itself.
        Ok(0)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.check_deployment().await
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        self.eviction_warnings().await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.acquire_permits(limit, wanted, ahead).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.rest(limit, pause).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        match self.stream_invalidations(listener).await {
            Err(why) => why,
            Ok(never) => match never {},
        }
    }
}
