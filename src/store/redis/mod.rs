//! Sessions in Redis or Valkey, for many processes: one server, a master behind sentinels, or a cluster.
//!
//! Records expire by themselves, some time after they are over: whether one is over is judged by our clock.
//! Leases go by the server's clock.

mod connect;
mod follow;
mod map;
mod names;
mod rate_limit;
mod scripts;
mod servers;
mod warnings;

use super::{
    DELETED_FOR, Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, Permits, RateLimit,
    RestoreOutcome, SealedSession, SessionStore, UpdateOutcome, Warning,
};
use crate::config::{RedisUrl, SessionConfig};
use crate::domain::seal::{KeyRing, Purpose, random};
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use connect::{Dialer, is_master};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use names::{Names, decode, encode};
use redis::Value;
use servers::{Call, Servers};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

const OWN: &str = "the session store of";
const OWN_PURPOSE: Purpose<'_> = Purpose { label: "store", context: b"mark", bound: b"redis 2" };
/// How long what is over stays, in seconds: clocks differ.
const KEEP: u64 = 120;
/// The end of the year 9999. Times beyond it would not survive being multiplied.
const LAST: u64 = 253_402_300_799;
/// How long a lease that was given back is remembered, and one that was not at least.
const REMEMBER_LEASE: Duration = Duration::from_secs(600);
/// A member of an index younger than this may belong to a record that is just being written.
const YOUNG: u64 = 60;
/// Calls under way at once for one list.
const AT_ONCE: usize = 256;

#[derive(Debug)]
pub(super) struct Redis {
    servers: Servers,
    names: Names,
    ring: Arc<KeyRing>,
    idle: Option<Duration>,
    max_stale: Duration,
    /// Tells this process from others.
    process: String,
    /// Calls that carried an id so far.
    calls: AtomicU64,
    /// The last value of each canary that was acknowledged.
    canaries: Mutex<HashMap<String, u64>>,
}

impl Redis {
    /// Connects when it is first asked.
    pub(super) fn open(url: &RedisUrl, config: &SessionConfig, ring: &Arc<KeyRing>) -> Self {
        let mut process = [0; 12];
        random(&mut process);
        Self {
            servers: Servers::new(Dialer { url: url.clone(), patience: config.store_timeout }),
            names: Names(url.prefix.clone()),
            ring: ring.clone(),
            idle: config.idle,
            max_stale: config.max_stale,
            process: BASE64_URL_SAFE_NO_PAD.encode(process),
            calls: AtomicU64::default(),
            canaries: Mutex::default(),
        }
    }

    /// The id of a call: a server that has seen it did what was asked.
    fn call_id(&self) -> String {
        format!("{}.{}", self.process, self.calls.fetch_add(1, Ordering::Relaxed))
    }

    /// When Redis may forget a record, in ms since 1970.
    fn expiry(&self, record: &SealedSession) -> u64 {
        let idles = self.idle.map_or(u64::MAX, |idle| record.seen.saturating_add(2 * idle.as_secs()));
        (record.ends.min(idles).min(LAST) + KEEP) * 1_000
    }

    fn idle_ms(&self) -> u128 {
        self.idle.map_or(0, |idle| idle.as_millis())
    }

    /// Before its record, so that no record is missing in a list.
    async fn list(&self, key: SessionKey, record: &SealedSession, deadline: Instant) -> Result<(), Error> {
        let expiry = text((record.ends.min(LAST) + KEEP) * 1_000);
        try_join_all(record.listed.iter().map(async |mark| {
            let index = self.names.index(*mark);
            let call = Call::script(&scripts::LIST, &[&index], &[&key.0, &expiry]).again();
            self.servers.ask::<i64>(&call, deadline).await
        }))
        .await
        .map(drop)
    }

    async fn lookup_until(&self, key: SessionKey, deadline: Instant) -> Result<Lookup, Error> {
        let names = self.names.session(key);
        let mut command = redis::cmd("MGET");
        command.arg(&names.record).arg(&names.used);
        let found = self.servers.ask(&Call::command(&names.record, command).again(), deadline).await?;
        if let Some(record) = record(found) {
            return Ok(Lookup::Found(record));
        }
        // By itself: in a slot that moves, a server refuses several keys of which one is missing.
        let mut command = redis::cmd("GET");
        command.arg(&names.tombstone);
        let call = Call::command(&names.tombstone, command).again();
        let tombstone: Option<Vec<u8>> = self.servers.ask(&call, deadline).await?;
        Ok(tombstone.map_or(Lookup::Absent, |until| Lookup::Ended(number(&until).unwrap_or(LAST))))
    }

    async fn touch_one(&self, key: SessionKey, seen: u64, deadline: Instant) -> Result<(), Error> {
        let names = self.names.session(key);
        // However many processes saw a use, it is written once.
        let step = super::touch_step(self.idle.map(|idle| idle.as_secs()));
        let args = [text(seen), text(self.idle_ms()), text(KEEP), text(step)];
        let args = [&*args[0], &*args[1], &*args[2], &*args[3]];
        let call = Call::script(&scripts::TOUCH, &[&names.record, &names.used], &args).again();
        self.servers.ask::<i64>(&call, deadline).await.map(drop)
    }

    /// Whether what is there was sealed by our keys; sealed anew, so that it follows a rotation of the keys.
    async fn is_ours(&self, found: Option<Vec<u8>>, deadline: Instant) -> Result<(), Error> {
        let name = self.names.own();
        let (ring, own) = (self.ring.unbound(), format!("{OWN}: {}", self.ring.deployment()));
        let set = |condition: &str| {
            let mut command = redis::cmd("SET");
            command.arg(&name).arg(ring.seal(OWN_PURPOSE, own.as_bytes())).arg(condition);
            Call::command(&name, command).again()
        };
        let mut found = found;
        if found.is_none() {
            let _: Value = self.servers.ask(&set("NX"), deadline).await?;
            let mut command = redis::cmd("GET");
            command.arg(&name);
            found = self.servers.ask(&Call::command(&name, command).again(), deadline).await?;
        }
        let sealed = found.unwrap_or_default();
        let Ok(found) = ring.open(OWN_PURPOSE, &sealed) else {
            return Err(Error(format!(
                "sessions under the prefix `{}` are sealed by other cookies.keys. Add the old key at the end of the \
                 list, or write another ?prefix= in session.store to begin with an empty store (everybody signs in \
                 again)",
                self.names.0
            )));
        };
        if *found != own.as_bytes() {
            return Err(Error(format!(
                "under the prefix `{}` is {}, and this is {own}. Give the old values back, or write another ?prefix= in \
                 session.store to begin with an empty store (everybody signs in again)",
                self.names.0,
                String::from_utf8_lossy(&found)
            )));
        }
        if !ring.is_current(&sealed) {
            let _: Value = self.servers.ask(&set("XX"), deadline).await?;
        }
        Ok(())
    }
}

/// A number as an argument.
fn text(number: impl std::fmt::Display) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// The number that `text` begins with.
fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.split(|b| *b == b' ').next()?).ok()?.parse().ok()
}

fn record((bytes, used): (Option<Vec<u8>>, Option<u64>)) -> Option<SealedSession> {
    decode(&bytes?, used)
}

#[async_trait]
impl SessionStore for Redis {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        let deadline = self.servers.deadline();
        self.list(key, &record, deadline).await?;
        let (names, write) = (self.names.session(key), self.call_id());
        let (seen, expiry) = (text(record.seen), text(self.expiry(&record)));
        let keys = [&*names.record, &names.used, &names.tombstone];
        let args = [&encode(&record, &write), &seen, &expiry, write.as_bytes()];
        self.servers.ask(&Call::script(&scripts::CREATE, &keys, &args).again(), deadline).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.lookup_until(key, self.servers.deadline()).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        let deadline = self.servers.deadline();
        self.list(key, &record, deadline).await?;
        let (names, write) = (self.names.session(key), self.call_id());
        let [version, seen, expiry] = [record.version, record.seen, self.expiry(&record)].map(text);
        let keys = [&*names.record, &names.used, &names.tombstone];
        let call = Call::script(&scripts::RESTORE, &keys, &[&encode(&record, &write), &version, &seen, &expiry]);
        Ok(match self.servers.ask(&call.again(), deadline).await? {
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
        let deadline = self.servers.deadline();
        // Again, though it was there: what an index lost comes back.
        self.list(key, &record, deadline).await?;
        let names = self.names.session(key);
        let fencing_token = fencing_token.map(|fencing_token| text(fencing_token.0)).unwrap_or_default();
        let numbers = [expected, record.seen, record.ends.min(LAST), KEEP].map(text);
        let [expected, seen, ends, keep] = &numbers;
        let (idle, remember, write) = (text(self.idle_ms()), text(REMEMBER_LEASE.as_millis()), self.call_id());
        let keys = [&*names.record, &names.used, &names.lease];
        let record = encode(&record, &write);
        let args = [expected, &*record, seen, ends, &idle, keep, &fencing_token, &remember, write.as_bytes()];
        let call = Call::script(&scripts::UPDATE, &keys, &args).again();
        Ok(match self.servers.ask(&call, deadline).await? {
            1 => UpdateOutcome::Done,
            0 => UpdateOutcome::Stale,
            _ => UpdateOutcome::Gone,
        })
    }

    async fn touch(&self, seen: Vec<(SessionKey, u64)>) -> Result<(), Error> {
        let deadline = self.servers.deadline();
        let touched = stream::iter(seen).map(|(key, seen)| self.touch_one(key, seen, deadline));
        touched.buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn delete(&self, key: SessionKey, until: u64) -> Result<Option<SealedSession>, Error> {
        let deadline = self.servers.deadline();
        let names = self.names.session(key);
        let keys = [&*names.record, &names.used, &names.lease, &names.tombstone];
        let until = until.min(LAST);
        let (until, expiry, least) = (text(until), text((until + KEEP) * 1_000), text(DELETED_FOR.as_millis()));
        let call = Call::script(&scripts::DELETE, &keys, &[&until, &expiry, &least]).again();
        let old = record(self.servers.ask(&call, deadline).await?);
        // One that stays is found to have no record, and removed then.
        join_all(old.iter().flat_map(|old| &old.listed).map(async |mark| {
            let index = self.names.index(*mark);
            let mut command = redis::cmd("ZREM");
            command.arg(&index).arg(&key.0);
            drop(self.servers.ask::<i64>(&Call::command(&index, command).again(), deadline).await);
        }))
        .await;
        Ok(old)
    }

    async fn list(&self, mark: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        let deadline = self.servers.deadline();
        let index = self.names.index(mark);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&index).arg(0).arg(-1);
        let members: Vec<Vec<u8>> = self.servers.ask(&Call::command(&index, command).again(), deadline).await?;
        let keys = members.into_iter().filter_map(|member| member.try_into().ok().map(SessionKey));
        let loaded: Vec<_> = stream::iter(keys)
            .map(async |key| Ok::<_, Error>((key, self.lookup_until(key, deadline).await?.record())))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let without: Vec<_> = loaded.iter().filter(|(_, record)| record.is_none()).map(|(key, _)| key.0).collect();
        if !without.is_empty() {
            let young = text(YOUNG);
            let args: Vec<&[u8]> = std::iter::once(&*young).chain(without.iter().map(<[u8; 32]>::as_slice)).collect();
            let call = Call::script(&scripts::PRUNE, &[&index], &args).again();
            drop(self.servers.ask::<i64>(&call, deadline).await);
        }
        Ok(loaded.into_iter().filter_map(|(key, record)| Some((key, record?))).collect())
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        let names = self.names.session(key);
        let (ttl, remember, holder) = (text(ttl.as_millis()), text(REMEMBER_LEASE.as_millis()), self.call_id());
        let keys = [&*names.record, &names.lease];
        let call = Call::script(&scripts::LEASE, &keys, &[&ttl, &remember, holder.as_bytes()]).again();
        let (came, number, abandoned): (String, u64, bool) = self.servers.ask(&call, self.servers.deadline()).await?;
        Ok(match came.as_str() {
            "taken" => LeaseOutcome::Taken { fencing_token: FencingToken(number), abandoned },
            "paused" => LeaseOutcome::Paused(Duration::from_millis(number)),
            "held" => LeaseOutcome::Held,
            _ => LeaseOutcome::Gone,
        })
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        let names = self.names.session(key);
        let args = [text(fencing_token.0), text(ttl.as_millis())];
        let call = Call::script(&scripts::EXTEND, &[&names.lease], &[&args[0], &args[1]]).again();
        self.servers.ask(&call, self.servers.deadline()).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        let names = self.names.session(key);
        let (pause, doubt): (_, &[u8]) = match after {
            LeaseRelease::Free => (vec![], b"0"),
            LeaseRelease::CoolDown(pause) => (text(pause.as_millis()), b"0"),
            LeaseRelease::OutcomeUnknown(pause) => (text(pause.as_millis()), b"1"),
        };
        let (fencing_token, remember) = (text(fencing_token.0), text(REMEMBER_LEASE.as_millis()));
        let call =
            Call::script(&scripts::RELEASE, &[&names.lease], &[&fencing_token, &pause, doubt, &remember]).again();
        self.servers.ask::<i64>(&call, self.servers.deadline()).await.map(drop)
    }

    async fn revoke(&self, mark: RevocationKey, until: u64) -> Result<bool, Error> {
        let (until, write) = (until.min(LAST), self.call_id());
        let (until, expiry) = (text(until), text((until + KEEP) * 1_000));
        let call = Call::script(&scripts::MARK, &[&self.names.revocation(mark)], &[&until, &expiry, write.as_bytes()]);
        self.servers.ask(&call.again(), self.servers.deadline()).await
    }

    async fn revoked_until(&self, mark: RevocationKey) -> Result<Option<u64>, Error> {
        let name = self.names.revocation(mark);
        let mut command = redis::cmd("GET");
        command.arg(&name);
        let call = Call::command(&name, command).again();
        let found: Option<Vec<u8>> = self.servers.ask(&call, self.servers.deadline()).await?;
        // Whatever else stands there, it is marked.
        Ok(found.map(|found| number(&found).unwrap_or(LAST)))
    }

    async fn sweep(&self, _now: u64, _idle: Option<u64>) -> Result<u64, Error> {
        // Redis forgets by itself.
        Ok(0)
    }

    async fn ping(&self) -> Result<(), Error> {
        let deadline = self.servers.deadline();
        let name = self.names.own();
        let mut command = redis::cmd("GET");
        command.arg(&name);
        let call = Call::command(&name, command).again();
        let (mut live, found) = self.servers.ask_anything(&call, deadline).await?;
        let late = |_| Error(format!("Redis at {}: no answer in time", live.at));
        timeout_at(deadline, is_master(&mut live.connection, &live.at)).await.map_err(late)??;
        let found = redis::from_redis_value(found).map_err(|e| Error(format!("Redis at {}: {e}", live.at)))?;
        // Each time, for it may be gone after somebody emptied the server.
        self.is_ours(found, deadline).await
    }

    async fn warnings(&self) -> Result<Vec<Warning>, Error> {
        self.warnings_of_all().await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.acquire_permits(limit, wanted, ahead).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.rest(limit, pause).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        match self.follow_until(listener).await {
            Err(why) => why,
            Ok(never) => match never {},
        }
    }
}
