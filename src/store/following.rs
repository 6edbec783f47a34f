//! Listening to a store that others write to, and putting back what it loses.

use super::snapshots::Lost;
use super::{Error, Sessions};
use std::time::{Duration, Instant};

/// Pauses between attempts to hear from the store again.
const DEAF: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];

impl Sessions {
    /// Hears what other processes change, for as long as it is polled, and puts back what the store loses.
    pub async fn follow(&self) {
        tokio::join!(self.hear(), self.put_back());
    }

    async fn hear(&self) {
        let mut failures = 0;
        loop {
            let began = Instant::now();
            // A store with other keys, or that takes no writes, is not one to listen to.
            let error = match self.store.ping().await {
                Ok(()) => self.store.follow(&self.snapshots).await,
                Err(error) => error,
            };
            self.snapshots.deaf();
            failures = if began.elapsed() > DEAF[DEAF.len() - 1] { 1 } else { failures + 1 };
            if failures == 1 {
                tracing::warn!(%error, "no longer told of changes in the session store; asking it for every request");
            }
            tokio::time::sleep(DEAF[failures.min(DEAF.len() - 1)]).await;
        }
    }

    async fn put_back(&self) {
        loop {
            self.snapshots.bell.notified().await;
            while let Some(lost) = self.snapshots.take_lost() {
                if let Err(error) = self.put_back_all(lost).await {
                    tracing::warn!(%error, "what the session store may have lost was not all written again");
                }
            }
            self.snapshots.settle();
        }
    }

    async fn put_back_all(&self, lost: Lost) -> Result<(), Error> {
        self.counted(self.journal.replay(&*self.store).await)?;
        if lost == Lost::Recent {
            return Ok(());
        }
        // What was ended before the store was emptied is not at hand any more, what is ended from here on is
        // remembered in the store.
        let (live, now) = (self.snapshots.all(), self.clock.now());
        tracing::warn!(sessions = live.len(), "the session store was emptied; writing back what is at hand");
        for live in live {
            let record = self.sealing.seal(&live.id, &live.session, now);
            self.counted(self.store.create(live.id.key(), record).await)?;
        }
        Ok(())
    }
}
