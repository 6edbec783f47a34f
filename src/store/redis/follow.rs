//! Hearing of every change, and knowing up to when every one was heard.
//!
//! 1. One connection to each server that takes writes, with `CLIENT TRACKING … BCAST`: the server pushes the
//!    names of keys that change.
//! 2. A push is put into our queue by the connection's own task before it hands out any later reply. So when
//!    a question is answered and the queue is empty, everything before the question was heard.
//! 3. Two questions, one after the other: a server sends what changed at the end of a round of its work, and
//!    may have answered the first one in the middle of a round.
//! 4. Once a second a canary is written to see that changes are told, and how soon. A server loses its newest
//!    writes first: one that still has the last canary has lost nothing from before it.
//! 5. Anything unexpected ends it: the caller begins again, with an empty memory.

use super::Redis;
use super::connect::{Live, failed, is_master};
use super::map::{Map, empty_primaries};
use super::names::{About, slot};
use super::servers::Call;
use crate::config::{HostPort, RedisServers};
use crate::store::{Error, InvalidationListener};
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, Stream, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::{PushInfo, PushKind, Value};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How often the servers themselves are looked at, and a canary is written.
const LOOK: Duration = Duration::from_secs(1);
/// How long a canary is kept that nobody replaces.
const KEEP_CANARY: Duration = Duration::from_secs(86_400);
const BEAT_MIN: Duration = Duration::from_millis(20);

/// A connection that hears of changes.
struct Ear {
    connection: MultiplexedConnection,
    at: HostPort,
    /// The cluster's epoch when it began, if there is a cluster.
    epoch: Option<u64>,
}

/// Canaries that were written and not yet heard of, and who waits for them.
type Waiting = Mutex<HashMap<String, oneshot::Sender<Instant>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Redis {
    pub(super) async fn follow_until(&self, listener: &dyn InvalidationListener) -> Result<Infallible, Error> {
        let patience = self.servers.dialer.patience;
        let (tell, mut told) = mpsc::unbounded_channel();
        let begin = timeout(patience, self.begin(tell)).await;
        let late = |_| Error(format!("Redis did not begin to tell of changes in {patience:?}"));
        let (ears, map) = begin.map_err(late)??;
        listener.started(self.has_lost_writes().await?);
        let waiting = Waiting::default();
        let mut beats = std::pin::pin!(self.beats(&ears));
        let mut looks = std::pin::pin!(self.looks(&ears, map.as_deref()));
        let mut canaries = std::pin::pin!(self.canaries(map.as_deref(), &waiting));
        let over = || Error("Redis no longer tells of changes".into());
        loop {
            tokio::select! {
                push = told.recv() => self.hear(push.ok_or_else(over)?, listener, &waiting)?,
                beat = beats.next() => {
                    let asked = beat.ok_or_else(over)??;
                    while let Ok(push) = told.try_recv() {
                        self.hear(push, listener, &waiting)?;
                    }
                    listener.synced(asked);
                }
                look = looks.next() => look.ok_or_else(over)??,
                canary = canaries.next() => if let Some(took) = canary.ok_or_else(over)?? {
                    listener.invalidation_lag(took);
                },
            }
        }
    }

    async fn begin(&self, tell: mpsc::UnboundedSender<PushInfo>) -> Result<(Vec<Ear>, Option<Arc<Map>>), Error> {
        let map = self.servers.map_now().await?;
        let Some(map) = map else {
            let at = self.servers.dialer.master().await?;
            return Ok((vec![self.listen(at, tell, false).await?], None));
        };
        let ears = map.primaries().into_iter().map(|at| self.listen(at, tell.clone(), true));
        let mut ears = try_join_all(ears).await?;
        // A slot can move to a primary that has none yet. One that cannot be reached gets none either.
        let empty = match ears.first() {
            Some(ear) => empty_primaries(&ear.live(), self.servers.dialer.url.tls).await?,
            None => vec![],
        };
        let empty =
            empty.into_iter().map(|at| timeout(self.servers.dialer.patience / 4, self.listen(at, tell.clone(), true)));
        ears.extend(join_all(empty).await.into_iter().flatten().flatten());
        agree(&ears, &map).await?;
        Ok((ears, Some(map)))
    }

    async fn listen(&self, at: HostPort, tell: mpsc::UnboundedSender<PushInfo>, cluster: bool) -> Result<Ear, Error> {
        let pushed = move |push| drop(tell.send(push));
        let mut connection = self.servers.dialer.dial(&at, pushed).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in self.names.told() {
            tracking.arg("PREFIX").arg(prefix);
        }
        tracking.exec_async(&mut connection).await.map_err(|e| failed(&at, &e))?;
        let mut ear = Ear { connection, at, epoch: None };
        if cluster {
            ear.epoch = Some(ear.epoch_now().await?);
        }
        ear.ask().await?;
        Ok(ear)
    }

    /// Whether a server lacks the last canary that it acknowledged.
    async fn has_lost_writes(&self) -> Result<bool, Error> {
        let acknowledged: Vec<_> = lock(&self.canaries).iter().map(|(name, value)| (name.clone(), *value)).collect();
        let lost = try_join_all(acknowledged.into_iter().map(async |(name, value)| {
            let mut command = redis::cmd("GET");
            command.arg(&name);
            let call = Call::command(&name, command).again();
            let found: Option<u64> = self.servers.ask(&call, self.servers.deadline()).await?;
            Ok::<_, Error>(found.is_none_or(|found| found < value))
        }));
        Ok(lost.await?.contains(&true))
    }

    /// Passes on what was pushed.
    fn hear(&self, push: PushInfo, listener: &dyn InvalidationListener, waiting: &Waiting) -> Result<(), Error> {
        match push.kind {
            PushKind::Disconnection => return Err(Error("the connection that tells of changes was lost".into())),
            PushKind::Invalidate => {}
            _ => return Ok(()),
        }
        let Some(Value::Array(keys)) = push.data.first() else {
            listener.store_emptied();
            return Ok(());
        };
        for key in keys {
            let Value::BulkString(key) = key else { continue };
            match self.names.about(key) {
                About::Session(key) => listener.session_changed(key),
                About::Tombstone(key) => listener.session_ended(key),
                About::Mark(mark) => listener.token_revoked(mark),
                About::Canary(name) => {
                    if let Some(waits) = lock(waiting).remove(&name) {
                        // Whoever waited may have given up.
                        let _ = waits.send(Instant::now());
                    }
                }
                About::Nothing => {}
            }
        }
        Ok(())
    }

    /// Times before which everything was put into the queue.
    fn beats<'a>(&'a self, ears: &'a [Ear]) -> impl Stream<Item = Result<Instant, Error>> + 'a {
        let patience = self.servers.dialer.patience;
        every((self.max_stale / 4).clamp(BEAT_MIN, LOOK), move || async move {
            let asked = Instant::now();
            match timeout(patience, try_join_all(ears.iter().map(Ear::ask))).await {
                Ok(answered) => answered.map(|_| asked),
                Err(_) => Err(Error(format!("Redis did not answer in {patience:?}"))),
            }
        })
    }

    /// Fails when other servers take the writes by now.
    fn looks<'a>(&'a self, ears: &'a [Ear], map: Option<&'a Map>) -> impl Stream<Item = Result<(), Error>> + 'a {
        let patience = self.servers.dialer.patience;
        every(LOOK, move || async move {
            let look = async {
                if let Some(map) = map {
                    return agree(ears, map).await;
                }
                if let RedisServers::Sentinel { .. } = &self.servers.dialer.url.servers {
                    // Sentinels that cannot be asked say nothing about the master.
                    let master = self.servers.dialer.master().await.ok();
                    if let Some(master) = master.filter(|master| ears.iter().all(|ear| ear.at != *master)) {
                        return Err(Error(format!("the master is at {master} now")));
                    }
                }
                Ok(())
            };
            let looked = timeout(patience, look).await.unwrap_or(Ok(()));
            looked.inspect_err(|_| self.servers.forget())
        })
    }

    /// How long it takes until a change is told; nothing where none could be written.
    fn canaries<'a>(
        &'a self,
        map: Option<&'a Map>,
        waiting: &'a Waiting,
    ) -> impl Stream<Item = Result<Option<Duration>, Error>> + 'a {
        let names = self.canary_names(map);
        lock(&self.canaries).clear();
        every(LOOK, move || {
            let all = names.clone().into_iter().map(|name| self.canary(name, waiting));
            async move { Ok(try_join_all(all).await?.into_iter().flatten().max()) }
        })
    }

    /// One for each primary.
    fn canary_names(&self, map: Option<&Map>) -> Vec<String> {
        let name = |n: u32| self.names.canary(&format!("{}-{n}", self.process));
        let Some(map) = map else { return vec![name(0)] };
        let of = |at: &HostPort| (0..100_000).map(name).find(|name| map.find(slot(name)) == Some(at));
        map.primaries().iter().filter_map(of).collect()
    }

    async fn canary(&self, name: String, waiting: &Waiting) -> Result<Option<Duration>, Error> {
        let patience = self.servers.dialer.patience;
        let (tell, told) = oneshot::channel();
        lock(waiting).insert(name.clone(), tell);
        let value = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut command = redis::cmd("SET");
        command.arg(&name).arg(value).arg("EX").arg(KEEP_CANARY.as_secs());
        let written = Instant::now();
        if self.servers.ask::<Value>(&Call::command(&name, command), self.servers.deadline()).await.is_err() {
            lock(waiting).remove(&name);
            return Ok(None);
        }
        lock(&self.canaries).insert(name, value);
        match timeout(patience, told).await {
            Ok(Ok(told)) => Ok(Some(told.saturating_duration_since(written))),
            _ => Err(Error(format!("a change was not told in {patience:?}"))),
        }
    }
}

impl Ear {
    fn live(&self) -> Live {
        Live::of(self.connection.clone(), self.at.clone())
    }

    /// Asks twice; see 3.
    async fn ask(&self) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        match self.epoch {
            Some(began) if self.epoch_now().await? != began => {
                return Err(Error("the Redis cluster is changing".into()));
            }
            Some(_) => {}
            None => is_master(&mut connection, &self.at).await?,
        }
        redis::cmd("PING").exec_async(&mut connection).await.map_err(|e| failed(&self.at, &e))
    }

    /// The epoch of a cluster that is in order.
    async fn epoch_now(&self) -> Result<u64, Error> {
        let mut connection = self.connection.clone();
        let mut command = redis::cmd("CLUSTER");
        command.arg("INFO");
        let info: String = command.query_async(&mut connection).await.map_err(|e| failed(&self.at, &e))?;
        let value = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let epoch = value("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
        match (value("cluster_state"), epoch) {
            (Some("ok"), Some(epoch)) => Ok(epoch),
            _ => Err(Error(format!("Redis at {}: the cluster is not in order", self.at))),
        }
    }
}

/// Fails unless all nodes see the cluster as `map` has it.
async fn agree(ears: &[Ear], map: &Map) -> Result<(), Error> {
    let seen = try_join_all(ears.iter().map(async |ear| Map::read(&ear.live()).await)).await?;
    if seen.iter().all(|other| other == map) {
        return Ok(());
    }
    Err(Error("the nodes of the Redis cluster do not agree on who has what".into()))
}

/// Does something at once and then in intervals, one after the other.
fn every<T, F: Future<Output = Result<T, Error>>>(
    period: Duration,
    act: impl FnMut() -> F,
) -> impl Stream<Item = Result<T, Error>> {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    stream::unfold((ticks, act), |(mut ticks, mut act)| async move {
        ticks.tick().await;
        let done = act().await;
        Some((done, (ticks, act)))
    })
}
