//! The connections on which servers push the names of keys that change.

use super::Redis;
use super::connect::OpenConnection;
use super::slot_map::{SlotMap, empty_primaries};
use super::topology::Topology;
use crate::config::HostPort;
use crate::store::Error;
use futures_util::future::{join_all, try_join_all};
use redis::PushInfo;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

/// A connection with `CLIENT TRACKING`. It is not opened again: what changed meanwhile would be missed.
pub(super) struct TrackingConnection {
    pub(super) open: OpenConnection,
    /// The cluster's epoch when it began, if there is a cluster.
    epoch: Option<u64>,
}

/// One connection for each primary, in the order of [`SlotMap::primaries`], then those without slots.
pub(super) struct Tracking {
    pub(super) connections: Vec<TrackingConnection>,
    /// Which of them has which slots, if there is a cluster.
    pub(super) slots: Option<Arc<SlotMap>>,
}

impl Redis {
    pub(super) async fn track(&self, pushes: UnboundedSender<PushInfo>) -> Result<Tracking, Error> {
        let Topology::Cluster(cluster) = &self.client.topology else {
            let master = self.client.connector.master().await?;
            return Ok(Tracking { connections: vec![self.track_one(master, pushes, false).await?], slots: None });
        };
        let slots = cluster.slots_now().await?;
        let track = |at| self.track_one(at, pushes.clone(), true);
        let mut connections = try_join_all(slots.primaries().into_iter().map(track)).await?;
        // A slot can move to a primary that has none yet. One that cannot be reached gets none either.
        let empty = match connections.first() {
            Some(first) => empty_primaries(&first.open, self.client.connector.url.tls).await?,
            None => vec![],
        };
        let empty = empty.into_iter().map(|at| timeout(self.client.connector.call_timeout / 4, track(at)));
        connections.extend(join_all(empty).await.into_iter().flatten().flatten());
        let tracking = Tracking { connections, slots: Some(slots) };
        tracking.check_slots().await?;
        Ok(tracking)
    }

    async fn track_one(
        &self,
        at: HostPort,
        pushes: UnboundedSender<PushInfo>,
        cluster: bool,
    ) -> Result<TrackingConnection, Error> {
        let open = self.client.connector.connect(&at, move |push| drop(pushes.send(push))).await?;
        let mut tracking = redis::cmd("CLIENT");
        tracking.arg("TRACKING").arg("ON").arg("BCAST");
        for prefix in self.names.tracked_prefixes(&self.process) {
            tracking.arg("PREFIX").arg(prefix);
        }
        open.query::<()>(&tracking).await?;
        let epoch = if cluster { Some(epoch(&open).await?) } else { None };
        let connection = TrackingConnection { open, epoch };
        connection.probe().await?;
        Ok(connection)
    }
}

impl TrackingConnection {
    /// Asks two questions, one after the other: a server pushes what changed at the end of a round of its work, and may
    /// have answered the first one in the middle of a round. Fails when the server no longer takes the writes.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        match self.epoch {
            Some(began) if epoch(&self.open).await? != began => {
                return Err(Error::Unavailable("the Redis cluster is changing".into()));
            }
            Some(_) => {}
            None => self.open.require_master().await?,
        }
        self.open.query(&redis::cmd("PING")).await
    }
}

impl Tracking {
    pub(super) async fn probe(&self) -> Result<(), Error> {
        try_join_all(self.connections.iter().map(TrackingConnection::probe)).await.map(drop)
    }

    /// Fails unless all nodes have the slots as they were when tracking began.
    pub(super) async fn check_slots(&self) -> Result<(), Error> {
        let Some(slots) = &self.slots else { return Ok(()) };
        let read = try_join_all(self.connections.iter().map(|connection| SlotMap::read(&connection.open))).await?;
        if read.iter().all(|other| *other == **slots) {
            return Ok(());
        }
        Err(Error::Unavailable("the nodes of the Redis cluster do not agree on who has what".into()))
    }
}

/// The epoch of a cluster that is in order.
async fn epoch(open: &OpenConnection) -> Result<u64, Error> {
    let info: String = open.query(redis::cmd("CLUSTER").arg("INFO")).await?;
    let value = |name| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let epoch = value("cluster_current_epoch").and_then(|epoch| epoch.parse().ok());
    match (value("cluster_state"), epoch) {
        (Some("ok"), Some(epoch)) => Ok(epoch),
        _ => Err(Error::Unavailable(format!("Redis at {}: the cluster is not in order", open.at))),
    }
}
