//! Each authorization code is exchanged once in the fleet, by the process that claims it; duplicates of the callback
//! read the outcome.

use super::{Error, SealedSession, Sessions};
use crate::domain::callback_key::CallbackKey;
use tokio::time::Instant;
use zeroize::Zeroizing;

impl Sessions {
    /// Claims the code of a callback, once and for all. `false` if it is claimed already.
    ///
    /// # Errors
    /// [`Error`]: nobody may spend the code now.
    pub async fn claim_code(&self, key: &CallbackKey) -> Result<bool, Error> {
        // Who claimed it may be about to write that back.
        if self.is_recovering() {
            return Err(Error::Recovering);
        }
        let started = Instant::now();
        let claimed = self.mark_used(key.claim(), key.until()).await?;
        // A store that had just lost an earlier claim would have granted this one.
        if claimed && !self.cache.synced_since(started).await {
            return Err(Error::Recovering);
        }
        Ok(claimed)
    }

    /// Publishes the outcome of an exchange to duplicate callbacks at other processes, if there can be any.
    ///
    /// # Errors
    /// [`Error`]: the outcome was not published.
    pub async fn publish_exchange(&self, key: &CallbackKey, outcome: &[u8]) -> Result<(), Error> {
        if self.cache.is_exclusive() {
            return Ok(());
        }
        let (ends, last_used, sealed) = (key.until(), self.clock.now(), key.seal(outcome));
        let record = SealedSession { version: 1, ends, last_used, sealed, ..SealedSession::default() };
        self.count_errors(self.store.create(key.outcome(), record).await).map(drop)
    }

    /// Whether no other process can publish an outcome.
    pub fn is_single_process(&self) -> bool {
        self.cache.is_exclusive()
    }

    /// What came of a callback whose code is claimed; `None` while nothing is known.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn exchange_outcome(&self, key: &CallbackKey) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let record = self.count_errors(self.store.load(key.outcome()).await)?;
        Ok(record.and_then(|record| key.open(&record.sealed)))
    }
}
