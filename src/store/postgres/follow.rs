//! `LISTEN`: hears of every change, and knows up to when all were heard.
//!
//! 1. One connection of its own listens. Notifications are in the transactions that make the changes, and the server hands
//!    them out in the order in which these were committed.
//! 2. A server signals a notification before it acknowledges its transaction, and hands out what was signalled before it
//!    answers the next question. So when a probe is answered and the queue is empty, everything that was acknowledged before
//!    the probe was heard.
//! 3. Once a second a canary is written, and told to ourselves, to see that changes are told, and how soon: a pooler that
//!    gives every transaction another connection does not tell them. A server that fails over loses its newest writes first:
//!    one that still has the last canary has lost nothing from before it. A canary that is not there to be replaced shows that
//!    the tables were emptied, or restored from a backup, behind our back.
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
SELECT pg_notify(current_schema(), 'c' || $5) FROM written"
);

/// The canaries that were written and not yet heard of: who waits for each.
type PendingNotifications = Mutex<HashMap<String, oneshot::Sender<Instant>>>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection that listens.
struct Listening {
    client: Client,
    notifications: mpsc::UnboundedReceiver<Notification>,
    canary: Statement,
    _driver: AbortOnDropHandle<()>,
}

impl Postgres {
    pub(super) async fn stream_invalidations(&self, listener: &dyn InvalidationListener) -> Result<Infallible, Error> {
        let call_timeout = self.client.call_timeout;
        let late = |_| Error::Unavailable(format!("{}: it did not begin to tell of changes in time", self.client));
        let listening = timeout(call_timeout, self.listen()).await.map_err(late)??;
        listener.started(self.has_lost_writes().await?);
        let (pending, Listening { client, mut notifications, canary, _driver }) =
            (PendingNotifications::default(), listening);
        let mut probes = std::pin::pin!(self.probes(&client));
        let mut canaries = std::pin::pin!(self.canaries(&client, &canary, &pending));
        let over = || Error::Unavailable(format!("{} no longer tells of changes", self.client));
        loop {
            tokio::select! {
                notification = notifications.recv() => dispatch(&notification.ok_or_else(over)?, listener, &pending),
                probe = probes.next() => {
                    let sent = probe.ok_or_else(over)??;
                    while let Ok(notification) = notifications.try_recv() {
                        dispatch(&notification, listener, &pending);
                    }
                    listener.synced(sent);
                }
                lag = canaries.next() => listener.invalidation_lag(lag.ok_or_else(over)??),
            }
        }
    }

    async fn listen(&self) -> Result<Listening, Error> {
        let failed = |error| self.failed(&error);
        let (sender, notifications) = mpsc::unbounded_channel();
        let (client, driver) = self.client.listen(sender).await?;
        client.batch_execute(&format!("LISTEN \"{}\"", self.client.schema)).await.map_err(failed)?;
        let canary = client.prepare(CANARY).await.map_err(failed)?;
        Ok(Listening { client, notifications, canary, _driver: driver })
    }

    /// Whether the server lacks the last canary that it acknowledged.
    async fn has_lost_writes(&self) -> Result<bool, Error> {
        let Some(acknowledged) = *lock(&self.canary) else { return Ok(false) };
        let found = self.run(READ_CANARY, &[&self.process]).await?;
        let value: Option<i64> = found.first().map(|row| self.get(row, 0)).transpose()?;
        Ok(value.is_none_or(|value| value < acknowledged))
    }

    /// Times before which everything was put into the queue.
    fn probes<'a>(&'a self, client: &'a Client) -> impl Stream<Item = Result<Instant, Error>> + 'a {
        let call_timeout = self.client.call_timeout;
        every((self.max_stale / 4).clamp(PROBE_PERIOD_MIN, PROBE_PERIOD_MAX), move || async move {
            let sent = Instant::now();
            match timeout(call_timeout, client.batch_execute("")).await {
                Ok(answered) => answered.map(|()| sent).map_err(|error| self.failed(&error)),
                Err(_) => Err(Error::Unavailable(format!("{}: no answer in {call_timeout:?}", self.client))),
            }
        })
    }

    /// How long it takes until a change is told.
    fn canaries<'a>(
        &'a self,
        client: &'a Client,
        canary: &'a Statement,
        pending: &'a PendingNotifications,
    ) -> impl Stream<Item = Result<Duration, Error>> + 'a {
        lock(&self.canary).take();
        every(CANARY_PERIOD, move || async move {
            let value = self.writes.fetch_add(1, Ordering::Relaxed).cast_signed();
            let (text, before, written) = (self.write_id(), *lock(&self.canary), Instant::now());
            let (sender, heard) = oneshot::channel();
            lock(pending).insert(text.clone(), sender);
            let told = async {
                let rows = client.query(canary, &[&self.process, &value, &KEEP_CANARY, &before, &text]).await;
                if rows.map_err(|error| self.failed(&error))?.is_empty() {
                    return Err(Error::Unavailable(format!("{}: its last canary is gone", self.client)));
                }
                *lock(&self.canary) = Some(value);
                heard.await.map_err(|_| self.unexpected("a notification was lost"))
            };
            let call_timeout = self.client.call_timeout;
            let late = |_| Error::Unavailable(format!("{}: a change was not told in {call_timeout:?}", self.client));
            let heard = timeout(call_timeout, told).await.map_err(late)??;
            Ok(heard.saturating_duration_since(written))
        })
    }
}

fn dispatch(notification: &Notification, listener: &dyn InvalidationListener, pending: &PendingNotifications) {
    let (kind, text) = notification.payload().split_at_checked(1).unwrap_or_default();
    let key = || BASE64_STANDARD.decode(text).ok()?.try_into().ok();
    match kind {
        "s" => key().into_iter().for_each(|key| listener.session_changed(SessionKey(key))),
        "e" => key().into_iter().for_each(|key| listener.session_ended(SessionKey(key))),
        "t" => key().into_iter().for_each(|key| listener.token_revoked(RevocationKey(key))),
        "c" => {
            if let Some(waits) = lock(pending).remove(text) {
                // Whoever waited may have given up.
                let _ = waits.send(Instant::now());
            }
        }
        _ => {}
    }
}
