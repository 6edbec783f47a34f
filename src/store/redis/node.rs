//! The connection to one server: opened when it is first needed, and again when it was lost.

use super::connect::{Connector, OpenConnection};
use crate::config::{HostPort, RedisServers};
use crate::store::Error;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Between attempts to connect, first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// The one connection to a server that all calls share.
#[derive(Debug)]
pub(super) struct NodeConnection {
    connector: Arc<Connector>,
    /// Where; without one, wherever [`Connector::master`] says.
    at: Option<HostPort>,
    current: ArcSwapOption<OpenConnection>,
    /// Held while connecting, so that one does it for all.
    connecting: tokio::sync::Mutex<Option<ConnectBackoff>>,
}

#[derive(Debug)]
struct ConnectBackoff {
    until: Instant,
    next: Duration,
    why: Error,
}

impl NodeConnection {
    pub(super) fn new(connector: Arc<Connector>, at: Option<HostPort>) -> Self {
        Self { connector, at, current: ArcSwapOption::empty(), connecting: tokio::sync::Mutex::default() }
    }

    fn synced(&self) -> Option<Arc<OpenConnection>> {
        self.current.load_full().filter(|open| !open.is_lost())
    }

    /// The connection; a new one if there is none. Fails at once for a moment after an attempt that failed.
    pub(super) async fn open(&self) -> Result<Arc<OpenConnection>, Error> {
        if let Some(open) = self.synced() {
            return Ok(open);
        }
        let mut backoff = self.connecting.lock().await;
        if let Some(open) = self.synced() {
            return Ok(open);
        }
        if let Some(backoff) = backoff.as_ref().filter(|backoff| Instant::now() < backoff.until) {
            return Err(backoff.why.clone());
        }
        // Less than the caller has, so that those behind learn what came of it.
        let limit = self.connector.call_timeout.mul_f32(0.8);
        match timeout(limit, self.connect()).await.unwrap_or_else(|_| Err(self.late(limit))) {
            Ok(open) => {
                tracing::info!(server = %open.at, "Redis connection opened");
                *backoff = None;
                self.current.store(Some(open.clone()));
                Ok(open)
            }
            Err(why) => {
                let length = backoff.as_ref().map_or(BACKOFF.0, |last| last.next);
                if backoff.is_none() {
                    tracing::warn!(error = %why, "Redis connection failed");
                }
                let until = Instant::now() + length;
                *backoff = Some(ConnectBackoff { until, next: (length * 2).min(BACKOFF.1), why: why.clone() });
                Err(why)
            }
        }
    }

    fn late(&self, limit: Duration) -> Error {
        let at = self.at.as_ref().map_or_else(|| self.connector.url.to_string(), HostPort::to_string);
        Error::Unavailable(format!("Redis at {at}: no connection in {limit:?}"))
    }

    async fn connect(&self) -> Result<Arc<OpenConnection>, Error> {
        let at = match &self.at {
            Some(at) => at.clone(),
            None => self.connector.master().await?,
        };
        let open = self.connector.connect(&at, |_| {}).await?;
        if matches!(self.connector.url.servers, RedisServers::Sentinel { .. }) {
            // Sentinels name the old master until they have agreed on a new one.
            open.require_master().await?;
        }
        Ok(Arc::new(open))
    }

    /// Lets go of whatever there is.
    pub(super) fn forget(&self) {
        self.current.store(None);
    }
}
