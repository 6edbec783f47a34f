//! Which node of a cluster has which slots.

use super::connect::OpenConnection;
use crate::config::HostPort;
use crate::store::Error;
use redis::Value;

/// The slot of a key: CRC-16 (XMODEM) of what is in its brackets.
pub(super) fn slot(name: &str) -> u16 {
    let tag = name.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    let hashed = tag.filter(|tag| !tag.is_empty()).unwrap_or(name);
    let crc = hashed.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
            },
        )
    });
    crc % 16_384
}

/// Which primary has which slots: first, last, where; in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SlotMap(Vec<(u16, u16, HostPort)>);

impl SlotMap {
    pub(super) fn primary(&self, slot: u16) -> Option<&HostPort> {
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

    /// The map as one node has it.
    pub(super) async fn read(node: &OpenConnection) -> Result<Self, Error> {
        let ranges: Vec<Vec<Value>> = node.query(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let unknown = || Error::Unavailable(format!("Redis at {}: unknown form of CLUSTER SLOTS", node.at));
        let ranges = ranges.iter().map(|range| read_range(range, node).ok_or_else(unknown));
        let mut ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        ranges.sort();
        Ok(Self(ranges))
    }
}

/// `[FIRST, LAST, [HOST, PORT, …], REPLICA…]`
fn read_range(range: &[Value], node: &OpenConnection) -> Option<(u16, u16, HostPort)> {
    let [first, last, Value::Array(primary), ..] = range else { return None };
    let number = |value: &Value| redis::from_redis_value_ref(value).ok();
    let host: Option<String> = redis::from_redis_value_ref(primary.first()?).ok()?;
    // A node that was not told its own address says nothing: the one that answers is meant.
    let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| node.at.host.clone());
    Some((number(first)?, number(last)?, HostPort { host, port: number(primary.get(1)?)? }))
}

/// The primaries that have no slots yet, as one node sees them.
pub(super) async fn empty_primaries(node: &OpenConnection, tls: bool) -> Result<Vec<HostPort>, Error> {
    let nodes: String = node.query(redis::cmd("CLUSTER").arg("NODES")).await?;
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
    fn slots_are_those_of_the_cluster_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"));
        assert_ne!(slot("foo{{bar}}zap"), slot("bar"), "the key is {{bar");
    }

    #[test]
    fn a_slot_is_found_at_its_primary() {
        let at = |port| HostPort { host: "h".into(), port };
        let map = SlotMap(vec![(0, 49, at(1)), (50, 50, at(3)), (51, 99, at(1)), (150, 199, at(2))]);
        for (slot, port) in [(0, 1), (49, 1), (50, 3), (51, 1), (99, 1), (150, 2), (199, 2)] {
            assert_eq!(map.primary(slot), Some(&at(port)), "{slot}");
        }
        assert!([100, 149, 200].iter().all(|slot| map.primary(*slot).is_none()));
        assert_eq!(map.primaries(), [at(1), at(2), at(3)]);
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
