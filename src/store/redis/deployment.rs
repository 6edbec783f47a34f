//! Whose sessions are under the prefix.

use super::Redis;
use super::client::KeyedCommand;
use crate::store::Error;
use crate::store::ownership::Place;
use tokio::time::{Instant, timeout_at};

impl Redis {
    /// Fails unless the server takes writes and what it has is ours.
    pub(super) async fn check_deployment(&self) -> Result<(), Error> {
        let deadline = self.client.deadline();
        let get = KeyedCommand::new("GET", &self.names.owner_key());
        let (open, sealed) = self.client.answer(&get, deadline).await?;
        let late = |_| Error::Unavailable(format!("Redis at {}: no answer in time", open.at));
        timeout_at(deadline, open.require_master()).await.map_err(late)??;
        let mut sealed: Option<Vec<u8>> =
            redis::from_redis_value(sealed).map_err(|e| Error::Unavailable(format!("Redis at {}: {e}", open.at)))?;
        let place = format!("under the prefix `{}`", self.names.0);
        let place = Place { bound: b"redis 2", place: &place, parameter: "prefix" };
        // Each time, for it may be gone after somebody emptied the server.
        if sealed.is_none() {
            self.write_deployment(&place, "NX", deadline).await?;
            sealed = self.client.run_until(&get, deadline).await?;
        }
        // Writes nothing, and is refused as any write is: by a server without memory, or one that cannot save (MISCONF).
        let nothing = KeyedCommand::new("SETRANGE", &self.names.owner_key()).arg(0).arg("");
        self.client.run_until::<u64>(&nothing, deadline).await?;
        if place.is_outdated(&self.ring, &sealed.unwrap_or_default())? {
            self.write_deployment(&place, "XX", deadline).await?;
        }
        Ok(())
    }

    async fn write_deployment(&self, place: &Place<'_>, condition: &str, deadline: Instant) -> Result<(), Error> {
        let set = KeyedCommand::new("SET", &self.names.owner_key()).arg(place.seal(&self.ring)).arg(condition);
        self.client.run_until(&set, deadline).await
    }
}
