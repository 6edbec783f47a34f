//! Which node of a cluster has what.

use super::connect::{Live, failed};
use crate::config::HostPort;
use crate::store::Error;
use redis::Value;

/// Which primary has which slots: first, last, where; in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Map(pub(super) Vec<(u16, u16, HostPort)>);

impl Map {
    pub(super) fn find(&self, slot: u16) -> Option<&HostPort> {
        let after = self.0.partition_point(|(first, ..)| *first <= slot);
        let (_, last, at) = self.0.get(after.checked_sub(1)?)?;
        (slot <= *last).then_some(at)
    }

    /// Every primary with slots, once.
    pub(super) fn primaries(&self) -> Vec<HostPort> {
        let mut all: Vec<_> = self.0.iter().map(|(_, _, at)| at.clone()).collect();
        all.sort();
        all.dedup();
        all
    }

    /// What one node says about who has which slots.
    pub(super) async fn read(live: &Live) -> Result<Self, Error> {
        type Node = Vec<Value>;
        let slots: Vec<Vec<Value>> = redis::cmd("CLUSTER")
            .arg("SLOTS")
            .query_async(&mut live.connection.clone())
            .await
            .map_err(|e| failed(&live.at, &e))?;
        let mut ranges = Vec::with_capacity(slots.len());
        for range in slots {
            let read = || -> Option<(u16, u16, HostPort)> {
                let [first, last, primary, ..] = range.as_slice() else { return None };
                let primary: Node = redis::from_redis_value(primary.clone()).ok()?;
                let host: Option<String> = redis::from_redis_value(primary.first()?.clone()).ok()?;
                let port = redis::from_redis_value(primary.get(1)?.clone()).ok()?;
                // A node that was not told its own address says nothing: the one at which it was asked is meant.
                let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| live.at.host.clone());
                let number = |value: &Value| redis::from_redis_value::<u16>(value.clone()).ok();
                Some((number(first)?, number(last)?, HostPort { host, port }))
            };
            ranges.push(read().ok_or_else(|| Error(format!("Redis at {}: unknown form of CLUSTER SLOTS", live.at)))?);
        }
        ranges.sort();
        Ok(Map(ranges))
    }

    /// The map with one slot elsewhere.
    pub(super) fn with_slot_at(&self, slot: u16, to: &HostPort) -> Self {
        let mut ranges = Vec::with_capacity(self.0.len() + 2);
        for (first, last, at) in &self.0 {
            if !(*first..=*last).contains(&slot) {
                ranges.push((*first, *last, at.clone()));
                continue;
            }
            if *first < slot {
                ranges.push((*first, slot - 1, at.clone()));
            }
            if slot < *last {
                ranges.push((slot + 1, *last, at.clone()));
            }
        }
        ranges.push((slot, slot, to.clone()));
        ranges.sort();
        Map(ranges)
    }
}

/// The primaries that have no slots yet, as one node sees them.
pub(super) async fn empty_primaries(live: &Live, tls: bool) -> Result<Vec<HostPort>, Error> {
    let nodes: String = redis::cmd("CLUSTER")
        .arg("NODES")
        .query_async(&mut live.connection.clone())
        .await
        .map_err(|e| failed(&live.at, &e))?;
    Ok(nodes.lines().filter_map(|line| empty_primary(line, tls)).collect())
}

/// `ID HOST:PORT@BUS[,NAME] FLAGS PRIMARY SENT RECEIVED EPOCH STATE [SLOTS…]`
fn empty_primary(line: &str, tls: bool) -> Option<HostPort> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [_, at, flags, _, _, _, _, _] = fields.as_slice() else { return None };
    let mut flags = flags.split(',');
    if !flags.clone().any(|flag| flag == "master") || flags.any(|flag| ["fail", "noaddr", "handshake"].contains(&flag))
    {
        return None;
    }
    let (address, bus) = at.split_once('@').unwrap_or((at, ""));
    let (host, port) = address.rsplit_once(':')?;
    // Certificates are for names.
    let name = bus.split(',').nth(1).filter(|name| tls && !name.is_empty() && !name.contains('='));
    let host = name.unwrap_or(host);
    (!host.is_empty()).then_some(HostPort { host: host.to_owned(), port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_moved_is_found_at_its_new_place() {
        let at = |port| HostPort { host: "h".into(), port };
        let map = Map(vec![(0, 99, at(1)), (100, 199, at(2))]);
        assert_eq!(map.find(99), Some(&at(1)));
        assert_eq!(map.find(200), None);
        for slot in [0, 50, 99, 150] {
            let moved = map.with_slot_at(slot, &at(3));
            let there = at(3);
            assert!((0..200).all(|s| moved.find(s) == if s == slot { Some(&there) } else { map.find(s) }), "{slot}");
        }
        assert_eq!(Map::default().with_slot_at(7, &at(3)).find(7), Some(&at(3)));
        assert_eq!(map.primaries(), [at(1), at(2)]);
    }

    #[test]
    fn primaries_without_slots_are_found() {
        let of = |line, tls| empty_primary(line, tls).map(|at| at.to_string());
        let empty = "07c3 10.0.0.1:7003@17003,redis.test master - 0 1426238316232 2 connected";
        assert_eq!(of(empty, false).as_deref(), Some("10.0.0.1:7003"));
        assert_eq!(of(empty, true).as_deref(), Some("redis.test:7003"));
        assert_eq!(
            of("07c3 10.0.0.1:7003@17003 myself,master - 0 0 2 connected", true).as_deref(),
            Some("10.0.0.1:7003")
        );
        for other in [
            "07c3 10.0.0.1:7003@17003 master - 0 0 2 connected 0-5",
            "07c3 10.0.0.1:7003@17003 slave e7d1 0 0 2 connected",
            "07c3 10.0.0.1:7003@17003 master,fail - 0 0 2 disconnected",
            "07c3 :0@0 master,noaddr - 0 0 2 disconnected",
            "",
        ] {
            assert_eq!(of(other, false), None, "{other}");
        }
    }
}
