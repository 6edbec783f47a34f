//! Hearing what other processes change, and putting back what the store loses.

use super::journal::Lately;
use super::snapshots::Lost;
use super::{DELETED_FOR, Error};
use super::{Live, Sessions};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Pauses between attempts to hear from the store again.
const DEAF: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_millis(300), Duration::from_secs(1)];
/// Between attempts to put something back.
const AGAIN: Duration = Duration::from_millis(500);
/// How long that is tried. The end of a session is remembered for longer, so that nothing that was ended comes
/// back by it, even if this process stands still between its look at the clock and the write.
const TRIES_FOR: Duration = Duration::from_secs(600);
const _: () = assert!(5 * TRIES_FOR.as_secs() < DELETED_FOR.as_secs());

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
                // As it is now: nothing grows old while the store takes no writes.
                let (since, lately) = (Instant::now(), self.journal.lately());
                let mut live = if lost == Lost::Everything { self.snapshots.all() } else { vec![] };
                if lost == Lost::Everything {
                    tracing::warn!(
                        sessions = live.len(),
                        "the session store was emptied; writing back what is at hand"
                    );
                }
                let mut told = false;
                while since.elapsed() < TRIES_FOR {
                    let Err(error) = self.put_back_all(&lately, &mut live, since).await else { break };
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "what the session store may have lost is not all written again yet");
                    }
                    self.snapshots.still_away();
                    tokio::time::sleep(AGAIN).await;
                }
            }
            self.snapshots.settle();
        }
    }

    /// What was ended before the store was emptied is not in `live`; what is ended from there on is remembered
    /// in the store.
    async fn put_back_all(&self, lately: &Lately, live: &mut Vec<Arc<Live>>, since: Instant) -> Result<(), Error> {
        self.counted(lately.replay(&*self.store).await)?;
        let now = self.clock.now();
        while let Some(next) = live.last().filter(|_| since.elapsed() < TRIES_FOR) {
            let key = next.id.key();
            let record = self.sealing.seal(&next.id, &next.session, now);
            if !self.counted(self.store.create(key, record).await)? {
                // Another was first, or it was ended by one who did not know what its tokens are called.
                self.snapshots.forget(key);
                if self.counted(self.store.load(key).await)?.is_none() {
                    self.refuse(&next.session.tokens.names).await?;
                }
            }
            live.pop();
        }
        Ok(())
    }
}
