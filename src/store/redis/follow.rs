//! Client-side tracking: receives every change, and knows up to when all were received.
//!
//! 1. One connection to each server that takes writes, with `CLIENT TRACKING … BCAST`: the server pushes the
//!    names of keys that change. After a reconnect tracking would be off without a word, so there is none.
//! 2. A push is put into our queue by the connection's own task before it hands out any later reply. So when
//!    a probe is answered and the queue is empty, everything before the probe was heard.
//! 3. Once a second a canary is written on each of these connections to see that changes are pushed, and how soon. A
//!    server loses its newest writes first: one that still has the last canary has lost nothing from before it. A
//!    canary is the one write that is never repeated: on a server that lost data, it would hide the loss.
//! 4. Anything unexpected ends it: the caller begins again, with an empty memory.

use super::Redis;
use super::client::KeyedCommand;
use super::names::ChangedKey;
use super::slot_map::slot;
use super::tracking::{Tracking, TrackingConnection};
use crate::config::RedisServers;
use crate::store::intervals::every;
use crate::store::{Error, InvalidationListener};
use futures_util::future::try_join_all;
use futures_util::stream::{Stream, StreamExt};
use redis::{PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

/// How often the servers themselves are looked at, and a canary is written.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// How long a canary is kept that nobody replaces.
const KEEP_CANARY: Duration = Duration::from_secs(86_400);
const PROBE_PERIOD_MIN: Duration = Duration::from_millis(20);

/// The canaries that were written and not yet heard of: who waits for each.
type PendingCanaries = Mutex<HashMap<String, oneshot::Sender<Instant>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Redis {
    pub(super) async fn stream_invalidations(&self, listener: &dyn InvalidationListener) -> Result<Infallible, Error> {
        let call_timeout = self.client.connector.call_timeout;
        let (sender, mut pushes) = mpsc::unbounded_channel();
        let late = |_| Error::Unavailable(format!("Redis did not begin to tell of changes in {call_timeout:?}"));
        let tracking = timeout(call_timeout, self.track(sender)).await.map_err(late)??;
        listener.started(self.has_lost_writes().await?);
        let pending = PendingCanaries::default();
        let mut probes = std::pin::pin!(self.probes(&tracking));
        let mut checks = std::pin::pin!(self.checks(&tracking));
        let mut canaries = std::pin::pin!(self.canaries(&tracking, &pending));
        let over = || Error::Unavailable("Redis no longer tells of changes".into());
        loop {
            tokio::select! {
                push = pushes.recv() => self.dispatch(push.ok_or_else(over)?, listener, &pending)?,
                probe = probes.next() => {
                    let sent = probe.ok_or_else(over)??;
                    while let Ok(push) = pushes.try_recv() {
                        self.dispatch(push, listener, &pending)?;
                    }
                    listener.synced(sent);
                }
                check = checks.next() => check.ok_or_else(over)??,
                canary = canaries.next() => if let Some(lag) = canary.ok_or_else(over)?? {
                    listener.invalidation_lag(lag);
                },
            }
        }
    }

    /// Whether a server lacks the last canary that it acknowledged.
    async fn has_lost_writes(&self) -> Result<bool, Error> {
        let acknowledged: Vec<_> = lock(&self.canaries).iter().map(|(name, value)| (name.clone(), *value)).collect();
        let lost = try_join_all(acknowledged.into_iter().map(async |(name, value)| {
            let found: Option<u64> = self.client.run(&KeyedCommand::new("GET", &name)).await?;
            Ok::<_, Error>(found.is_none_or(|found| found < value))
        }));
        Ok(lost.await?.contains(&true))
    }

    fn dispatch(
        &self,
        push: PushInfo,
        listener: &dyn InvalidationListener,
        pending: &PendingCanaries,
    ) -> Result<(), Error> {
        match push.kind {
            PushKind::Disconnection => {
                return Err(Error::Unavailable("the connection that tells of changes was lost".into()));
            }
            PushKind::Invalidate => {}
            _ => return Ok(()),
        }
        let Some(Value::Array(keys)) = push.data.first() else {
            listener.store_emptied();
            return Ok(());
        };
        for key in keys {
            let Value::BulkString(key) = key else { continue };
            match self.names.parse(key) {
                Some(ChangedKey::Session(key)) => listener.session_changed(key),
                Some(ChangedKey::Tombstone(key)) => listener.session_ended(key),
                Some(ChangedKey::Token(revocation_key)) => listener.token_revoked(revocation_key),
                Some(ChangedKey::Canary(name)) => {
                    if let Some(waits) = lock(pending).remove(&name) {
                        // Whoever waited may have given up.
                        let _ = waits.send(Instant::now());
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Times before which everything was put into the queue.
    fn probes<'a>(&self, tracking: &'a Tracking) -> impl Stream<Item = Result<Instant, Error>> + use<'a> {
        let call_timeout = self.client.connector.call_timeout;
        every((self.max_stale / 4).clamp(PROBE_PERIOD_MIN, CHECK_PERIOD), move || async move {
            let sent = Instant::now();
            match timeout(call_timeout, tracking.probe()).await {
                Ok(answered) => answered.map(|()| sent),
                Err(_) => Err(Error::Unavailable(format!("Redis did not answer in {call_timeout:?}"))),
            }
        })
    }

    /// Fails when other servers take the writes by now.
    fn checks<'a>(&'a self, tracking: &'a Tracking) -> impl Stream<Item = Result<(), Error>> + 'a {
        every(CHECK_PERIOD, move || async move {
            let check = async {
                tracking.check_slots().await?;
                if let RedisServers::Sentinel { .. } = &self.client.connector.url.servers {
                    // Sentinels that cannot be asked say nothing about the master.
                    let master = self.client.connector.master().await.ok();
                    let elsewhere = |master: &_| tracking.connections.iter().all(|tracked| tracked.open.at != *master);
                    if let Some(master) = master.filter(elsewhere) {
                        return Err(Error::Unavailable(format!("the master is at {master} now")));
                    }
                }
                Ok(())
            };
            let checked = timeout(self.client.connector.call_timeout, check).await.unwrap_or(Ok(()));
            checked.inspect_err(|_| self.client.topology.forget())
        })
    }

    /// How long it takes until a change is pushed; nothing where none could be written.
    fn canaries<'a>(
        &'a self,
        tracking: &'a Tracking,
        pending: &'a PendingCanaries,
    ) -> impl Stream<Item = Result<Option<Duration>, Error>> + 'a {
        let canaries = self.canary_names(tracking);
        lock(&self.canaries).clear();
        every(CHECK_PERIOD, move || {
            let all = canaries.clone().into_iter().map(|(name, tracked)| self.canary(name, tracked, pending));
            async move { Ok(try_join_all(all).await?.into_iter().flatten().max()) }
        })
    }

    /// One for each primary with slots: a key that is there.
    fn canary_names<'a>(&self, tracking: &'a Tracking) -> Vec<(String, &'a TrackingConnection)> {
        let name = |n: u32| self.names.canary(&format!("{}-{n}", self.process));
        let Some(slots) = &tracking.slots else {
            return tracking.connections.iter().map(|tracked| (name(0), tracked)).collect();
        };
        let primaries = slots.primaries().into_iter().zip(&tracking.connections);
        let of = |at| (0..100_000).map(name).find(|name| slots.primary(slot(name)) == Some(&at));
        primaries.filter_map(|(at, tracked)| Some((of(at)?, tracked))).collect()
    }

    async fn canary(
        &self,
        name: String,
        tracked: &TrackingConnection,
        pending: &PendingCanaries,
    ) -> Result<Option<Duration>, Error> {
        let call_timeout = self.client.connector.call_timeout;
        let (sender, pushed) = oneshot::channel();
        lock(pending).insert(name.clone(), sender);
        let value = self.writes.fetch_add(1, Ordering::Relaxed);
        let mut set = redis::cmd("SET");
        set.arg(&name).arg(value).arg("EX").arg(KEEP_CANARY.as_secs());
        let written = Instant::now();
        if !matches!(timeout(call_timeout, tracked.open.query::<()>(&set)).await, Ok(Ok(()))) {
            lock(pending).remove(&name);
            return Ok(None);
        }
        lock(&self.canaries).insert(name, value);
        match timeout(call_timeout, pushed).await {
            Ok(Ok(pushed)) => Ok(Some(pushed.saturating_duration_since(written))),
            _ => Err(Error::Unavailable(format!("a change was not told in {call_timeout:?}"))),
        }
    }
}
