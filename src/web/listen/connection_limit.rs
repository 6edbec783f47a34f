//! How many connections a listener holds at once.

use super::MAX_CONNECTIONS;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections a listener holds at once; further ones are closed as soon as they are accepted. Clones share
/// the connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimit(Arc<Semaphore>);

impl Default for ConnectionLimit {
    fn default() -> Self {
        Self::new(MAX_CONNECTIONS)
    }
}

impl ConnectionLimit {
    /// At most `max` connections.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Semaphore::new(max)))
    }

    /// Lowers a limit that no connection counts against yet to `max`.
    pub fn lower_to(&self, max: usize) {
        self.0.forget_permits(self.0.available_permits().saturating_sub(max));
    }

    /// Whether another connection would be closed.
    pub fn is_reached(&self) -> bool {
        self.0.available_permits() == 0
    }

    /// A place for a connection, if there is one.
    pub(super) fn try_acquire(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }
}
