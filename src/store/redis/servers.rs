//! Which server to ask, and what to do when it does not answer as hoped.
//!
//! A write whose outcome is unknown is not repeated unless repeating it does no harm. The crate's own cluster
//! connection would repeat it, and so routing is done here: by `CLUSTER SLOTS`, corrected by redirections.

use super::connect::{Dialer, Link, Live, failed};
use super::map::Map;
use super::names::slot;
use crate::config::{HostPort, RedisServers};
use crate::store::Error;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

/// Redirections and refusals of one call.
const ATTEMPTS: usize = 5;
/// How often the map of a cluster is read at most.
const MAP_PAUSE: Duration = Duration::from_millis(100);
/// How often it is read because of slots that moved.
const MOVED_PAUSE: Duration = Duration::from_secs(1);

/// One call.
pub(super) struct Call {
    command: Cmd,
    slot: u16,
    script: Option<&'static Script>,
    again: bool,
}

impl Call {
    /// A command about `key`.
    pub(super) fn command(key: &str, command: Cmd) -> Self {
        Self { command, slot: slot(key), script: None, again: false }
    }

    /// A script, with `keys` that are all in one slot.
    pub(super) fn script(script: &'static Script, keys: &[&str], args: &[&[u8]]) -> Self {
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(keys.len()).arg(keys).arg(args);
        let slot = keys.first().map_or(0, |key| slot(key));
        Self { command, slot, script: Some(script), again: false }
    }

    /// May be done twice.
    pub(super) fn again(self) -> Self {
        Self { again: true, ..self }
    }
}

/// All servers of the store.
#[derive(Debug)]
pub(super) struct Servers {
    pub(super) dialer: Arc<Dialer>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    One(Arc<Link>),
    Cluster(Cluster),
}

#[derive(Debug, Default)]
struct Cluster {
    links: Mutex<HashMap<HostPort, Arc<Link>>>,
    map: Mutex<Option<Arc<Map>>>,
    /// When the map was last asked for; held while asking.
    asked: tokio::sync::Mutex<Option<(Instant, Option<Error>)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Servers {
    pub(super) fn new(dialer: Dialer) -> Self {
        let dialer = Arc::new(dialer);
        let way = match &dialer.url.servers {
            RedisServers::One(at) => Way::One(Arc::new(Link::new(dialer.clone(), Some(at.clone())))),
            RedisServers::Sentinel { .. } => Way::One(Arc::new(Link::new(dialer.clone(), None))),
            RedisServers::Cluster(_) => Way::Cluster(Cluster::default()),
        };
        Self { dialer, way }
    }

    /// By when a call that begins now has to be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.dialer.patience
    }

    /// Makes a call; all of it, connecting included, until then.
    pub(super) async fn ask<T: FromRedisValue>(&self, call: &Call, deadline: Instant) -> Result<T, Error> {
        let (live, value) = self.ask_anything(call, deadline).await?;
        redis::from_redis_value(value).map_err(|e| Error(format!("Redis at {}: {e}", live.at)))
    }

    /// Makes a call and says on which connection it was answered.
    pub(super) async fn ask_anything(&self, call: &Call, deadline: Instant) -> Result<(Live, Value), Error> {
        let late = |_| Error(format!("Redis gave no connection in {:?}", self.dialer.patience));
        let mut attempt = 0;
        loop {
            attempt += 1;
            let link = timeout_at(deadline, self.link(call.slot)).await.map_err(late)??;
            let live = match timeout_at(deadline, link.connection()).await.map_err(late)? {
                Ok(live) => live,
                // A primary that is gone has a successor.
                Err(_) if attempt == 1 && self.renewed(deadline).await => continue,
                Err(why) => return Err(why),
            };
            let error = match send(&live, call, false, deadline).await {
                Some(Ok(value)) => return Ok((live, value)),
                Some(Err(error)) => error,
                None => {
                    link.drop_lost(&live);
                    return Err(Error(format!("Redis at {}: no answer in {:?}", live.at, self.dialer.patience)));
                }
            };
            let again = attempt < ATTEMPTS
                && match trouble(&error) {
                    Trouble::Unknown => load(&live, call.script, deadline).await,
                    Trouble::Moved(at) => {
                        self.moved(call.slot, resolve(at, &live));
                        true
                    }
                    Trouble::Asked(at) => return self.ask_there(&resolve(at, &live), call, deadline).await,
                    Trouble::Refused => {
                        let dropped = link.drop_refusing(&live);
                        let renewed = self.renewed(deadline).await;
                        attempt == 1 && (dropped || renewed)
                    }
                    Trouble::Lost => {
                        link.drop_lost(&live);
                        attempt == 1 && call.again
                    }
                    Trouble::Other => false,
                };
            if !again {
                return Err(failed(&live.at, &error));
            }
        }
    }

    /// A slot on its way: this one call goes to where it is going.
    async fn ask_there(&self, at: &HostPort, call: &Call, deadline: Instant) -> Result<(Live, Value), Error> {
        let late = |_| Error(format!("Redis at {at}: no answer in {:?}", self.dialer.patience));
        let link = self.link_to(at);
        let live = timeout_at(deadline, link.connection()).await.map_err(late)??;
        let mut answer = send(&live, call, true, deadline).await;
        if let Some(Err(error)) = &answer
            && let Trouble::Unknown = trouble(error)
            && load(&live, call.script, deadline).await
        {
            answer = send(&live, call, true, deadline).await;
        }
        match answer {
            Some(Ok(value)) => Ok((live, value)),
            Some(Err(error)) => Err(failed(at, &error)),
            None => {
                link.drop_lost(&live);
                Err(Error(format!("Redis at {at}: no answer in {:?}", self.dialer.patience)))
            }
        }
    }

    /// The link to the server of a slot.
    async fn link(&self, slot: u16) -> Result<Arc<Link>, Error> {
        match &self.way {
            Way::One(link) => Ok(link.clone()),
            Way::Cluster(_) => match self.map().await?.find(slot) {
                Some(at) => Ok(self.link_to(at)),
                None => Err(Error("no node of the Redis cluster serves the slot".into())),
            },
        }
    }

    /// The one link, where there is no cluster.
    pub(super) fn the_link(&self) -> Result<Arc<Link>, Error> {
        match &self.way {
            Way::One(link) => Ok(link.clone()),
            Way::Cluster(_) => Err(Error("no node of the Redis cluster serves any slot".into())),
        }
    }

    /// The link to one node of a cluster; without a cluster, the one link.
    pub(super) fn link_to(&self, at: &HostPort) -> Arc<Link> {
        match &self.way {
            Way::One(link) => link.clone(),
            Way::Cluster(cluster) => {
                let mut links = lock(&cluster.links);
                let fresh = || Arc::new(Link::new(self.dialer.clone(), Some(at.clone())));
                links.entry(at.clone()).or_insert_with(fresh).clone()
            }
        }
    }

    /// Lets go of every connection, so that the next calls find out anew where to go.
    pub(super) fn forget(&self) {
        match &self.way {
            Way::One(link) => link.forget(),
            Way::Cluster(cluster) => {
                *lock(&cluster.map) = None;
            }
        }
    }

    /// The map as it is now, if there is a cluster.
    pub(super) async fn map_now(&self) -> Result<Option<Arc<Map>>, Error> {
        if let Way::One(_) = &self.way {
            return Ok(None);
        }
        self.renewed(self.deadline()).await;
        self.map().await.map(Some)
    }

    /// Reads the map again, unless that was done a moment ago. Others go by the old one meanwhile.
    async fn renewed(&self, deadline: Instant) -> bool {
        let Way::Cluster(cluster) = &self.way else { return false };
        let renew = async {
            let mut asked = cluster.asked.lock().await;
            let recently = asked.as_ref().is_some_and(|(when, _)| when.elapsed() < MAP_PAUSE);
            !recently && self.read_map(cluster, &mut asked).await.is_ok()
        };
        timeout_at(deadline, renew).await.unwrap_or(false)
    }

    /// Notes one slot's new place. Where one moved others may have: the map is read again, but not for each.
    fn moved(&self, slot: u16, to: HostPort) {
        if let Way::Cluster(cluster) = &self.way {
            let due = cluster
                .asked
                .try_lock()
                .is_ok_and(|asked| asked.as_ref().is_none_or(|(when, _)| when.elapsed() > MOVED_PAUSE));
            let mut map = lock(&cluster.map);
            let old = map.take().filter(|_| !due);
            *map = old.map(|old| Arc::new(old.with_slot_at(slot, &to)));
        }
    }

    /// The map of the cluster, read from any node that answers.
    pub(super) async fn map(&self) -> Result<Arc<Map>, Error> {
        let Way::Cluster(cluster) = &self.way else {
            return Err(Error("this is no cluster".into()));
        };
        if let Some(map) = lock(&cluster.map).clone() {
            return Ok(map);
        }
        let mut asked = cluster.asked.lock().await;
        if let Some(map) = lock(&cluster.map).clone() {
            return Ok(map);
        }
        match asked.as_ref() {
            Some((when, Some(error))) if when.elapsed() < MAP_PAUSE => Err(error.clone()),
            _ => self.read_map(cluster, &mut asked).await,
        }
    }

    async fn read_map(
        &self,
        cluster: &Cluster,
        asked: &mut Option<(Instant, Option<Error>)>,
    ) -> Result<Arc<Map>, Error> {
        let read = self.ask_for_map(cluster).await;
        *asked = Some((Instant::now(), read.as_ref().err().cloned()));
        let map = Arc::new(read?);
        lock(&cluster.links).retain(|at, _| map.0.iter().any(|(_, _, other)| other == at));
        *lock(&cluster.map) = Some(map.clone());
        Ok(map)
    }

    async fn ask_for_map(&self, cluster: &Cluster) -> Result<Map, Error> {
        let mut nodes: Vec<HostPort> = lock(&cluster.links).keys().cloned().collect();
        if let RedisServers::Cluster(named) = &self.dialer.url.servers {
            nodes.extend(named.iter().cloned());
        }
        nodes.sort();
        nodes.dedup();
        // One that hangs must not use up the time of the whole call.
        let each = self.dialer.patience.mul_f32(0.4);
        let mut asked: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|at| async move {
                let link = self.link_to(&at);
                let read = async { Map::read(&link.connection().await?).await };
                let late = |_| Error(format!("Redis at {at}: no answer in {each:?}"));
                timeout(each, read).await.map_err(late).flatten()
            })
            .collect();
        let mut error = Error("the Redis cluster has no nodes".into());
        while let Some(read) = asked.next().await {
            match read {
                Ok(map) if !map.0.is_empty() => return Ok(map),
                Ok(_) => error = Error("the nodes of the Redis cluster serve no slots yet".into()),
                Err(e) => error = e,
            }
        }
        Err(error)
    }
}

/// `None` when the time is up.
async fn send(live: &Live, call: &Call, asking: bool, deadline: Instant) -> Option<Result<Value, RedisError>> {
    let mut connection = live.connection.clone();
    let sent = async {
        if !asking {
            return call.command.query_async::<Value>(&mut connection).await;
        }
        let mut both = redis::pipe();
        both.cmd("ASKING").ignore().add_command(call.command.clone());
        both.query_async::<(Value,)>(&mut connection).await.map(|(value,)| value)
    };
    timeout_at(deadline, sent).await.ok()
}

/// Gives the server a script it does not have, as after a restart.
async fn load(live: &Live, script: Option<&'static Script>, deadline: Instant) -> bool {
    let Some(script) = script else { return false };
    let mut connection = live.connection.clone();
    matches!(timeout_at(deadline, script.load_async(&mut connection)).await, Ok(Ok(_)))
}

enum Trouble {
    /// The server does not know the script.
    Unknown,
    Moved(String),
    Asked(String),
    /// Nothing was done, and another server or another moment may do better.
    Refused,
    /// The connection failed; whether anything was done is unknown.
    Lost,
    Other,
}

fn trouble(error: &RedisError) -> Trouble {
    let redirected = || error.redirect_node().map(|(at, _)| at.to_owned());
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoScript) => Trouble::Unknown,
        ErrorKind::Server(ServerErrorKind::Moved) => redirected().map_or(Trouble::Other, Trouble::Moved),
        ErrorKind::Server(ServerErrorKind::Ask) => redirected().map_or(Trouble::Other, Trouble::Asked),
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => Trouble::Refused,
        // Before version 7 the error of a script wraps the one of its command.
        ErrorKind::Server(_) | ErrorKind::Extension if error.to_string().contains("READONLY") => Trouble::Refused,
        _ if error.is_unrecoverable_error() || error.is_io_error() => Trouble::Lost,
        _ => Trouble::Other,
    }
}

/// The address of a redirection; a host that is not named is the one that redirects.
fn resolve(at: String, live: &Live) -> HostPort {
    let (host, port) = at.rsplit_once(':').unwrap_or((&at, ""));
    let host = if host.is_empty() { live.at.host.as_str() } else { host };
    HostPort { host: host.to_owned(), port: port.parse().unwrap_or(live.at.port) }
}
