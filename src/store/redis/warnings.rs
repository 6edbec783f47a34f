//! Whether the servers drop what they were given.

use super::Redis;
use super::connect::failed;
use crate::store::{Error, Warning};
use futures_util::future::try_join_all;
use tokio::time::timeout_at;

/// The one policy under which nothing is dropped before its time.
const SAFE: &str = "noeviction";

impl Redis {
    /// Asks every server that takes writes.
    pub(super) async fn eviction_warnings(&self) -> Result<Vec<Warning>, Error> {
        let inquiry = async {
            let primaries = self.client.topology.primaries().await?;
            try_join_all(primaries.iter().map(async |node| {
                let open = node.open().await?;
                // CONFIG GET, which would say it too, is forbidden in most managed ones.
                let info: Result<String, _> =
                    redis::cmd("INFO").arg("memory").query_async(&mut open.connection.clone()).await;
                let server = open.at.to_string();
                match info {
                    Ok(info) => Ok(eviction_warning(server, &info)),
                    Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                        Err(failed(&open.at, &error))
                    }
                    Err(error) => Ok(Some(Warning::EvictionUnknown { server, why: error.to_string() })),
                }
            }))
            .await
        };
        let late = |_| Error::Unavailable("Redis did not say in time what it does when its memory is full".into());
        let warnings = timeout_at(self.client.deadline(), inquiry).await.map_err(late)??;
        Ok(warnings.into_iter().flatten().collect())
    }
}

fn eviction_warning(server: String, info: &str) -> Option<Warning> {
    let policy = info.lines().find_map(|line| line.strip_prefix("maxmemory_policy:")).map(str::trim);
    match policy {
        Some(SAFE) => None,
        Some(policy) => {
            let policy = policy.chars().take(100).collect::<String>().escape_debug().to_string();
            Some(Warning::Eviction { server, policy })
        }
        None => Some(Warning::EvictionUnknown { server, why: "INFO memory has no maxmemory_policy".into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_noeviction_keeps_what_it_was_given() {
        let said =
            |line: &str| eviction_warning("r:6379".into(), &format!("# Memory\r\nmaxmemory:0\r\n{line}\r\nx:1\r\n"));
        assert_eq!(said("maxmemory_policy:noeviction"), None);
        for policy in ["volatile-lru", "allkeys-lfu", "", "noeviction2"] {
            let Some(Warning::Eviction { policy: shown, .. }) = said(&format!("maxmemory_policy:{policy}")) else {
                panic!("{policy}")
            };
            assert_eq!(shown, policy);
        }
        assert!(matches!(said("used_memory:1"), Some(Warning::EvictionUnknown { .. })));
    }
}
