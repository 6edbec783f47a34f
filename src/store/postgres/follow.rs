//! `LISTEN`: hears of every change, and knows up to when all were heard.
//!
//! 1. One connection of its own listens. Notifications are in the transactions that make the changes, and the server hands
//!    them out in the order in which these were committed.
//! 2. The process notifies itself, some times in `session.max_stale`. When it hears that, it has heard of everything that was
//!    committed before. A pooler that gives every transaction another connection does not hand them out: then it ends.
//! 3. Once a second a canary is written, and told, to see how soon changes are told. A server that fails over loses its
//!    newest writes first: one that still has the last canary has lost nothing from before it. A canary that is not there
//!    to be replaced shows that the tables were emptied, or restored from a backup, behind our back.
//! 4. Anything unexpected ends it: the caller begins again, with an empty memory.

use super::Postgres;
use super::statements::now;
use crate::domain::store_key::{RevocationKey, SessionKey};
use crate::store::intervals::every;
use crate::store::{Error, InvalidationListener};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream::{Stream, StreamExt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_postgres::{Client, Notification, Statement};
use tokio_util::task::AbortOnDropHandle;

/// How often a canary is written.
const CANARY_PERIOD: Duration = Duration::from_secs(1);
/// How long, in seconds, a canary is kept that nobody replaces.
const KEEP_CANARY: i64 = 86_400;
const PROBE_PERIOD_MIN: Duration = Duration::from_millis(20);
const PROBE_PERIOD_MAX: Duration = Duration::from_secs(1);

/// process → the last canary.
const READ_CANARY: &str = "SELECT value FROM canaries WHERE process = $1";
/// text. The server does not wait until it is on disk.
const PROBE: &str = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(current_schema(), 'p' || $1)";
/// process, value, seconds to keep it, value before or null, text → a row if that was there.
const CANARY: &str = concat!(
    "WITH written AS (
    INSERT INTO canaries AS c (process, value, expires)
    SELECT $1, $2::bigint, $3::bigint + ",
    now!(),
    "
    WHERE $4::bigint IS NULL OR EXISTS (SELECT FROM canaries WHERE process = $1 AND value = $4)
    ON CONFLICT (process) DO UPDATE SET value = EXCLUDED.value, expires = EXCLUDED.expires
    RETURNING value)
SELECT pg_notify(current_schema(), 'p' || $5) FROM written"
);

/// The notifications to ourselves that were sent and not yet heard: who waits for each.
type PendingProbes = Mutex<HashMap<String, oneshot::Sender<Instant>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection that listens.
struct Listening {
    client: Client,
    notifications: mpsc::UnboundedReceiver<Notification>,
    probe: Statement,
    canary: Statement,
    _driver: AbortOnDropHandle<()>,
}

impl Postgres {
    pub(super) async fn stream_invalidations(&self, listener: &dyn InvalidationListener) -> Result<Infallible, Error> {
        let call_timeout = self.client.call_timeout;
        let late = |_| Error::Unavailable(format!("{}: it did not begin to tell of changes in time", self.client));
        let listening = timeout(call_timeout, self.listen()).await.map_err(late)??;
        listener.started(self.has_lost_writes().await?);
        let (pending, Listening { client, mut notifications, probe, canary, _driver }) =
            (PendingProbes::default(), listening);
        let mut probes = std::pin::pin!(self.probes(&client, &probe, &pending));
        let mut canaries = std::pin::pin!(self.canaries(&client, &canary, &pending));
        let over = || Error::Unavailable(format!("{} no longer tells of changes", self.client));
        loop {
            tokio::select! {
                notification = notifications.recv() => dispatch(&notification.ok_or_else(over)?, listener, &pending),
                probe = probes.next() => listener.synced(probe.ok_or_else(over)??),
                lag = canaries.next() => listener.invalidation_lag(lag.ok_or_else(over)??),
            }
        }
    }

    async fn listen(&self) -> Result<Listening, Error> {
        self.client.migrate().await?;
        let failed = |error| self.client.failed(&error);
        let (sender, notifications) = mpsc::unbounded_channel();
        let (client, driver) = self.client.connector.open(Some(sender)).await.map_err(failed)?;
        let driver = AbortOnDropHandle::new(driver);
        client.batch_execute(&format!("LISTEN \"{}\"", self.client.schema)).await.map_err(failed)?;
        let probe = client.prepare(PROBE).await.map_err(failed)?;
        let canary = client.prepare(CANARY).await.map_err(failed)?;
        Ok(Listening { client, notifications, probe, canary, _driver: driver })
    }

    /// Whether the server lacks the last canary that it acknowledged.
    async fn has_lost_writes(&self) -> Result<bool, Error> {
        let Some(acknowledged) = *lock(&self.canary) else { return Ok(false) };
        let found = self.client.run(READ_CANARY, &[&self.process]).await?;
        let value: Option<i64> = found.first().map(|row| self.get(row, 0)).transpose()?;
        Ok(value.is_none_or(|value| value < acknowledged))
    }

    /// Times before which everything was heard.
    fn probes<'a>(
        &'a self,
        client: &'a Client,
        probe: &'a Statement,
        pending: &'a PendingProbes,
    ) -> impl Stream<Item = Result<Instant, Error>> + 'a {
        every((self.max_stale / 4).clamp(PROBE_PERIOD_MIN, PROBE_PERIOD_MAX), move || async move {
            let sent = Instant::now();
            self.tell_ourselves(pending, async |text| client.query(probe, &[&text]).await.map(|_| true)).await?;
            Ok(sent)
        })
    }

    /// How long it takes until a change is told.
    fn canaries<'a>(
        &'a self,
        client: &'a Client,
        canary: &'a Statement,
        pending: &'a PendingProbes,
    ) -> impl Stream<Item = Result<Duration, Error>> + 'a {
        lock(&self.canary).take();
        every(CANARY_PERIOD, move || async move {
            let value = self.writes.fetch_add(1, Ordering::Relaxed).cast_signed();
            let written = Instant::now();
            let before = *lock(&self.canary);
            let heard = self.tell_ourselves(pending, async |text| {
                let rows = client.query(canary, &[&self.process, &value, &KEEP_CANARY, &before, &text]).await?;
                let is_written = !rows.is_empty();
                if is_written {
                    *lock(&self.canary) = Some(value);
                }
                Ok(is_written)
            });
            Ok(heard.await?.saturating_duration_since(written))
        })
    }

    /// Sends a notification to ourselves, if `send` says so, and waits until it is heard.
    async fn tell_ourselves(
        &self,
        pending: &PendingProbes,
        send: impl AsyncFnOnce(&str) -> Result<bool, tokio_postgres::Error>,
    ) -> Result<Instant, Error> {
        let text = self.write_id();
        let (sender, heard) = oneshot::channel();
        lock(pending).insert(text.clone(), sender);
        let told = async {
            if !send(&text).await.map_err(|error| self.client.failed(&error))? {
                return Err(Error::Unavailable(format!("{}: its last canary is gone", self.client)));
            }
            heard.await.map_err(|_| self.client.unexpected("a notification was lost"))
        };
        timeout(self.client.call_timeout, told).await.unwrap_or_else(|_| {
            let call_timeout = self.client.call_timeout;
            Err(Error::Unavailable(format!("{}: a change was not told in {call_timeout:?}", self.client)))
        })
    }
}

fn dispatch(notification: &Notification, listener: &dyn InvalidationListener, pending: &PendingProbes) {
    let (kind, text) = notification.payload().split_at_checked(1).unwrap_or_default();
    let key = || BASE64_STANDARD.decode(text).ok()?.try_into().ok();
    match kind {
        "s" => key().into_iter().for_each(|key| listener.session_changed(SessionKey(key))),
        "e" => key().into_iter().for_each(|key| listener.session_ended(SessionKey(key))),
        "t" => key().into_iter().for_each(|key| listener.token_revoked(RevocationKey(key))),
        "p" => {
            if let Some(waits) = lock(pending).remove(text) {
                // Whoever waited may have given up.
                let _ = waits.send(Instant::now());
            }
        }
        _ => {}
    }
}
