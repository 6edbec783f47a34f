//! Which servers there are, and which of them a key belongs to.
//!
//! The crate's cluster client is not used, though every command may be repeated by now. Version 1.8.1 reads the slots
//! anew after an error of a server or a broken connection, but not after a response that did not come: with a
//! primary whose host is lost and whose replica has taken over after two seconds, its keys could not be read for a
//! minute and more, where [`Cluster`] reads them after three. A client made anew would connect to all nodes first, and
//! keep the calls for healthy nodes waiting while one is silent. Besides, it sends `ASKING` apart from the command, and
//! does not say which primaries there are, which tracking has to know.

use super::connect::{Connector, OpenConnection};
use super::node::NodeConnection;
use super::slot_map::SlotMap;
use crate::config::{HostPort, RedisServers};
use crate::store::Error;
use arc_swap::ArcSwapOption;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How often the slots of a cluster are read at most.
pub(super) const READ_PAUSE: Duration = Duration::from_millis(100);
/// How often they are read because one of them moved.
pub(super) const MOVED_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) enum Topology {
    /// One server, or whichever one the sentinels name.
    Primary(Arc<NodeConnection>),
    Cluster(Cluster),
}

#[derive(Debug)]
pub(super) struct Cluster {
    connector: Arc<Connector>,
    /// The addresses in the configuration.
    seeds: Vec<HostPort>,
    nodes: Mutex<HashMap<HostPort, Arc<NodeConnection>>>,
    slots: ArcSwapOption<SlotMap>,
    /// When the slots were last read, and what came of it; held while reading.
    last_read: tokio::sync::Mutex<Option<(Instant, Result<(), Error>)>>,
}

impl Topology {
    pub(super) fn new(connector: &Arc<Connector>) -> Self {
        let primary = |at| Self::Primary(Arc::new(NodeConnection::new(connector.clone(), at)));
        match &connector.url.servers {
            RedisServers::One(at) => primary(Some(at.clone())),
            RedisServers::Sentinel { .. } => primary(None),
            RedisServers::Cluster(seeds) => Self::Cluster(Cluster {
                connector: connector.clone(),
                seeds: seeds.clone(),
                nodes: Mutex::default(),
                slots: ArcSwapOption::empty(),
                last_read: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// The connection to the server that has a slot, or to where a redirection of one of these leads.
    pub(super) async fn open(&self, slot: u16, redirect: Option<&HostPort>) -> Result<Arc<OpenConnection>, Error> {
        let node = match (self, redirect) {
            (Self::Primary(node), _) => node.clone(),
            (Self::Cluster(cluster), Some(at)) => cluster.node(at),
            (Self::Cluster(cluster), None) => match cluster.slots().await?.primary(slot) {
                Some(at) => cluster.node(at),
                None => return Err(Error::Unavailable("no node of the Redis cluster serves the slot".into())),
            },
        };
        node.open().await
    }

    /// Every server that takes writes, by what is so now.
    pub(super) async fn primaries(&self) -> Result<Vec<Arc<NodeConnection>>, Error> {
        Ok(match self {
            Self::Primary(node) => vec![node.clone()],
            Self::Cluster(cluster) => {
                cluster.slots_now().await?.primaries().iter().map(|at| cluster.node(at)).collect()
            }
        })
    }

    /// Reads the slots again unless that was done within `pause`. Others go by the old ones meanwhile. `false` if that
    /// brought nothing, as without a cluster.
    pub(super) async fn refresh(&self, pause: Duration) -> bool {
        match self {
            Self::Primary(_) => false,
            Self::Cluster(cluster) => cluster.refresh(pause).await,
        }
    }

    /// The next calls find out anew where to go.
    pub(super) fn forget(&self) {
        match self {
            Self::Primary(node) => node.forget(),
            Self::Cluster(cluster) => cluster.slots.store(None),
        }
    }
}

impl Cluster {
    fn lock(&self) -> MutexGuard<'_, HashMap<HostPort, Arc<NodeConnection>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self, at: &HostPort) -> Arc<NodeConnection> {
        let fresh = || Arc::new(NodeConnection::new(self.connector.clone(), Some(at.clone())));
        self.lock().entry(at.clone()).or_insert_with(fresh).clone()
    }

    async fn slots(&self) -> Result<Arc<SlotMap>, Error> {
        if let Some(slots) = self.slots.load_full() {
            return Ok(slots);
        }
        let mut last_read = self.last_read.lock().await;
        if let Some(slots) = self.slots.load_full() {
            return Ok(slots);
        }
        match last_read.as_ref() {
            Some((when, Err(error))) if when.elapsed() < READ_PAUSE => Err(error.clone()),
            _ => self.read(&mut last_read).await,
        }
    }

    pub(super) async fn slots_now(&self) -> Result<Arc<SlotMap>, Error> {
        self.refresh(READ_PAUSE).await;
        self.slots().await
    }

    async fn refresh(&self, pause: Duration) -> bool {
        let mut last_read = self.last_read.lock().await;
        let due = last_read.as_ref().is_none_or(|(when, _)| when.elapsed() >= pause);
        due && self.read(&mut last_read).await.is_ok()
    }

    async fn read(&self, last_read: &mut Option<(Instant, Result<(), Error>)>) -> Result<Arc<SlotMap>, Error> {
        let read = self.read_any().await.map(Arc::new);
        *last_read = Some((Instant::now(), read.as_ref().map(drop).map_err(Clone::clone)));
        let slots = read?;
        let primaries = slots.primaries();
        self.lock().retain(|at, _| primaries.contains(at));
        self.slots.store(Some(slots.clone()));
        Ok(slots)
    }

    /// The slots as the first node has them that answers.
    async fn read_any(&self) -> Result<SlotMap, Error> {
        let mut nodes: Vec<HostPort> = self.lock().keys().chain(&self.seeds).cloned().collect();
        nodes.sort();
        nodes.dedup();
        // One that hangs must not use up the time of the whole call.
        let each = self.connector.call_timeout.mul_f32(0.4);
        let mut answers: FuturesUnordered<_> = nodes
            .into_iter()
            .map(|at| async move {
                let node = self.node(&at);
                let read = async { SlotMap::read(node.open().await?.as_ref()).await };
                let late = |_| Error::Unavailable(format!("Redis at {at}: no answer in {each:?}"));
                timeout(each, read).await.map_err(late).flatten()
            })
            .collect();
        let mut error = Error::Unavailable("the Redis cluster has no nodes".into());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(slots) if !slots.primaries().is_empty() => return Ok(slots),
                Ok(_) => error = Error::Unavailable("the nodes of the Redis cluster serve no slots yet".into()),
                Err(e) => error = e,
            }
        }
        Err(error)
    }
}
