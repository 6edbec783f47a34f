//! A real cluster of three servers.

use super::following::in_time;
use super::{ENDS, key, record};
use crate::sessions::keeps_the_contract;
use crate::support::free_port;
use crate::support::listener::{Heard, caught_up, follow};
use crate::support::redis::{Redis, eventually, store_at, url};
use auth_api::config::RedisServers;
use auth_api::domain::store_key::RevocationKey;
use auth_api::store::SessionStore;
use std::sync::Arc;

async fn node() -> Redis {
    let bus = free_port().to_string();
    // However long a busy machine takes to hold an election, the replica stays fit for it.
    let patient = ["--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"];
    Redis::with(&[["--cluster-enabled", "yes", "--cluster-port", &bus].as_slice(), &patient].concat()).await
}

async fn cluster() -> [Redis; 3] {
    let nodes = [node().await, node().await, node().await];
    for (node, slots) in nodes.iter().zip(["0 5460", "5461 10922", "10923 16383"]) {
        node.ask::<()>(&format!("CLUSTER ADDSLOTSRANGE {slots}")).await;
    }
    for (node, epoch) in nodes.iter().zip(1..) {
        node.ask::<()>(&format!("CLUSTER SET-CONFIG-EPOCH {epoch}")).await;
    }
    meet(&nodes[1], &nodes[0]).await;
    meet(&nodes[2], &nodes[0]).await;
    in_order(&nodes, 3).await;
    nodes
}

async fn meet(node: &Redis, other: &Redis) {
    let bus = bus(other);
    node.ask::<()>(&format!("CLUSTER MEET 127.0.0.1 {} {bus}", other.port)).await;
}

fn bus(node: &Redis) -> String {
    node.argument("--cluster-port").to_owned()
}

async fn in_order(nodes: &[Redis], known: usize) {
    for node in nodes {
        eventually("the cluster is in order", async || {
            let info: String = node.ask("CLUSTER INFO").await;
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{known}"))
        })
        .await;
    }
}

fn store(nodes: &[Redis]) -> Arc<dyn SessionStore> {
    store_at(url(RedisServers::Cluster(nodes.iter().map(Redis::at).collect())))
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_cluster_keeps_the_contract() {
    let nodes = cluster().await;
    keeps_the_contract(store(&nodes)).await;
    // One node is enough to find the others.
    keeps_the_contract(store(&nodes[2..])).await;
    for node in &nodes {
        let keys: Vec<String> = node.ask("KEYS test:s:*").await;
        assert!(keys.len() > 20, "every node has a share: {}", keys.len());
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn changes_on_every_node_are_told() {
    let nodes = cluster().await;
    let (heard, task) = follow(store(&nodes)).await;
    let theirs = store(&nodes);
    let keys: Vec<_> = (0..60).map(|_| key()).collect();
    for key in &keys {
        assert!(theirs.create(*key, record(1)).await.unwrap());
    }
    let marks: Vec<_> = (0..20).map(|n| RevocationKey::token(&n.to_string())).collect();
    for mark in &marks {
        assert!(theirs.revoke(*mark, ENDS).await.unwrap());
    }
    caught_up(&heard).await;
    {
        let said = heard.said();
        assert!(
            keys.iter().all(|key| said.changed.contains(key)) && marks.iter().all(|mark| said.marked.contains(mark))
        );
    }
    eventually("the lag is measured", async || heard.said().lag.is_some()).await;
    nodes[1].ask::<()>("FLUSHALL").await;
    caught_up(&heard).await;
    assert_eq!(heard.said().emptied, 1);
    nodes[2].ask::<u64>("CLIENT KILL TYPE normal SKIPME yes").await;
    in_time(task).await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_slot_that_moves_is_followed() {
    let nodes = cluster().await;
    let (ours, theirs) = (store(&nodes), store(&nodes));
    ours.ping().await.unwrap();
    theirs.ping().await.unwrap();
    let (_, task) = follow(ours.clone()).await;
    // Sessions that are on the first node, which then gives all of their slots away.
    let keys: Vec<_> = (0..30).map(|_| key()).collect();
    for key in &keys {
        assert!(ours.create(*key, record(1)).await.unwrap());
    }
    let names: Vec<String> = nodes[0].ask("KEYS test:s:*").await;
    let name = names.first().unwrap();
    let slot: u16 = nodes[0].ask(&format!("CLUSTER KEYSLOT {name}")).await;
    let ids = [nodes[0].ask::<String>("CLUSTER MYID").await, nodes[1].ask::<String>("CLUSTER MYID").await];
    nodes[1].ask::<()>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids[0])).await;
    nodes[0].ask::<()>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids[1])).await;
    let moving: Vec<String> = nodes[0].ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
    let keys_there = moving.join(" ");
    let port = nodes[1].port;
    nodes[0].ask::<()>(&format!("MIGRATE 127.0.0.1 {port} @ 0 5000 KEYS {keys_there}").replace('@', "")).await;
    for key in &keys {
        assert_eq!(theirs.load(*key).await.unwrap(), Some(record(1)), "while the slot moves");
    }
    for node in [&nodes[1], &nodes[0], &nodes[2]] {
        node.ask::<()>(&format!("CLUSTER SETSLOT {slot} NODE {}", ids[1])).await;
    }
    for key in &keys {
        assert_eq!(theirs.load(*key).await.unwrap(), Some(record(1)), "once it has moved");
    }
    in_time(task).await;
    eventually("following goes on", async || {
        let heard = Heard::default();
        let following = ours.follow(&heard);
        tokio::time::timeout(std::time::Duration::from_millis(300), following).await.is_err() && heard.said().begun == 1
    })
    .await;
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_node_that_dies_is_replaced() {
    is_replaced(Redis::kill).await;
}

/// As when its host is lost: nobody closes a connection.
#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_node_that_falls_silent_is_replaced() {
    is_replaced(|node| node.pause()).await;
}

async fn is_replaced(lose: impl FnOnce(&mut Redis)) {
    let mut nodes = cluster().await;
    let replica = node().await;
    meet(&replica, &nodes[0]).await;
    in_order(&nodes, 4).await;
    in_order(std::slice::from_ref(&replica), 4).await;
    let id: String = nodes[0].ask("CLUSTER MYID").await;
    replica.ask::<()>(&format!("CLUSTER REPLICATE {id}")).await;
    eventually("the replica is in step", async || {
        replica.ask::<String>("INFO replication").await.contains("master_link_status:up")
    })
    .await;
    let store = store(&nodes);
    let keys: Vec<_> = (0..30).map(|_| key()).collect();
    for key in &keys {
        assert!(store.create(*key, record(1)).await.unwrap());
    }
    let (_, task) = follow(store.clone()).await;
    nodes[0].replicated().await;
    lose(&mut nodes[0]);
    in_time(task).await;
    eventually("every session can be read again", async || {
        let all = futures_util::future::join_all(keys.iter().map(|key| store.load(*key))).await;
        all.into_iter().all(|loaded| loaded.is_ok_and(|record| record.is_some()))
    })
    .await;
}
