//! Whose sessions are under the prefix: those of one deployment, sealed with its keys.

use super::Redis;
use super::client::KeyedCommand;
use crate::domain::seal::Purpose;
use crate::store::Error;
use tokio::time::{Instant, timeout_at};

const OWNER_PREFIX: &str = "the session store of";
const OWNER_PURPOSE: Purpose<'_> = Purpose { label: "store", context: b"mark", bound: b"redis 2" };

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
        // Each time, for it may be gone after somebody emptied the server.
        if sealed.is_none() {
            self.write_deployment("NX", deadline).await?;
            sealed = self.client.run_until(&get, deadline).await?;
        }
        // Writes nothing, and is refused as any write is: by a server without memory, or one that cannot save (MISCONF).
        let nothing = KeyedCommand::new("SETRANGE", &self.names.owner_key()).arg(0).arg("");
        self.client.run_until::<u64>(&nothing, deadline).await?;
        let sealed = sealed.unwrap_or_default();
        self.compare_deployment(&sealed)?;
        if !self.ring.unbound().is_current(&sealed) {
            // So that it follows a rotation of the keys.
            self.write_deployment("XX", deadline).await?;
        }
        Ok(())
    }

    fn deployment(&self) -> String {
        format!("{OWNER_PREFIX}: {}", self.ring.deployment())
    }

    async fn write_deployment(&self, condition: &str, deadline: Instant) -> Result<(), Error> {
        let sealed = self.ring.unbound().seal(OWNER_PURPOSE, self.deployment().as_bytes());
        let set = KeyedCommand::new("SET", &self.names.owner_key()).arg(sealed).arg(condition);
        self.client.run_until(&set, deadline).await
    }

    fn compare_deployment(&self, sealed: &[u8]) -> Result<(), Error> {
        let own = self.deployment();
        let Ok(found) = self.ring.unbound().open(OWNER_PURPOSE, sealed) else {
            return Err(Error::OtherDeployment(format!(
                "sessions under the prefix `{}` are sealed by other cookies.keys. Add the old key at the end of the \
                 list, or write another ?prefix= in session.store to begin with an empty store (everybody signs in \
                 again)",
                self.names.0
            )));
        };
        if *found != own.as_bytes() {
            return Err(Error::OtherDeployment(format!(
                "under the prefix `{}` is {}, and this is {own}. Give the old values back, or write another ?prefix= in \
                 session.store to begin with an empty store (everybody signs in again)",
                self.names.0,
                String::from_utf8_lossy(&found)
            )));
        }
        Ok(())
    }
}
