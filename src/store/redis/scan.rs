//! All sessions, server by server (SCAN).

use super::Redis;
use super::connect::failed;
use super::names::ChangedKey;
use super::node::NodeConnection;
use crate::domain::store_key::SessionKey;
use crate::store::Error;
use futures_util::stream::{self, Stream, StreamExt, TryStreamExt};
use std::sync::Arc;
use tokio::time::timeout_at;

/// How many keys a server looks at for each answer.
const PAGE: usize = 1_000;

impl Redis {
    pub(super) fn scan(&self) -> impl Stream<Item = Result<Vec<SessionKey>, Error>> + Send + '_ {
        let primaries = stream::once(async { self.client.topology.primaries().await });
        let nodes = primaries.map_ok(|nodes| stream::iter(nodes).map(Ok::<_, Error>)).try_flatten();
        nodes
            .map_ok(move |node| stream::try_unfold(Some(0), move |cursor| self.scan_page(node.clone(), cursor)))
            .try_flatten()
    }

    async fn scan_page(
        &self,
        node: Arc<NodeConnection>,
        cursor: Option<u64>,
    ) -> Result<Option<(Vec<SessionKey>, Option<u64>)>, Error> {
        let Some(cursor) = cursor else { return Ok(None) };
        let page = async {
            let open = node.open().await?;
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.names.all_records()).arg("COUNT").arg(PAGE);
            let answer = scan.query_async::<(u64, Vec<Vec<u8>>)>(&mut open.connection.clone()).await;
            answer.map_err(|error| failed(&open.at, &error))
        };
        let late = |_| Error::Unavailable("Redis did not list its sessions in time".into());
        let (next, names) = timeout_at(self.client.deadline(), page).await.map_err(late)??;
        let session = |name: Vec<u8>| match self.names.parse(&name) {
            Some(ChangedKey::Session(key)) => Some(key),
            _ => None,
        };
        Ok(Some((names.into_iter().filter_map(session).collect(), (next != 0).then_some(next))))
    }
}
