//! A table of people in a database of one's own: what sign-ins, renewals and changes tell of them, for applications that
//! want to join what they keep to who wrote it. Never a token.

mod backlog;
mod probe;
mod statements;
mod synchronise;

pub use self::synchronise::{SyncCounts, SyncFailure, SyncOptions};
pub use crate::postgres::PostgresError as Error;

use self::backlog::Backlog;
use crate::config::DirectoryConfig;
use crate::domain::backoff::ExponentialBackoff;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::person::{DirectoryEntry, Person, PersonObservation};

use crate::postgres::{InvalidCertificates, Migrations, PostgresClient};
use crate::telemetry::Metrics;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};

static MIGRATIONS: Migrations =
    Migrations { table: "directory_migrations", versions: &[(include_str!("migrations/1.sql"), 1)] };

/// A sign-in does not wait for the server's disk: what a crash of the server takes along, the next sign-in or renewal brings
/// back. And statements are planned once, for a table that grows.
const SETTINGS: &str = "-c synchronous_commit=off -c plan_cache_mode=force_generic_plan -c enable_seqscan=off";

/// How soon what could not be written is tried again.
const RETRY: ExponentialBackoff =
    ExponentialBackoff { first: Duration::from_millis(500), most: Duration::from_secs(30) };

/// The people of one issuer.
#[derive(Debug)]
pub struct Directory {
    client: PostgresClient,
    issuer: String,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    backlog: Backlog,
    /// Whether the last write failed.
    is_failing: AtomicBool,
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    /// There was none.
    New,
    /// Something of it is different.
    Changed,
    /// Nothing is.
    Same,
}

/// A place in the list of changes: after the row that changed at this time, µs since 1970, and has this `sub`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangePosition {
    /// When.
    pub updated_us: u64,
    /// Who; empty before the first of that time.
    pub sub: String,
}

impl Directory {
    /// Connects when it is first asked. None where none is configured.
    ///
    /// # Errors
    /// [`InvalidCertificates`].
    pub fn open(
        config: &DirectoryConfig,
        issuer: &str,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Option<Self>, InvalidCertificates> {
        let Some(url) = &config.url else { return Ok(None) };
        let client = PostgresClient::new(url, config.timeout, &MIGRATIONS, SETTINGS)?;
        let (issuer, backlog, is_failing) = (issuer.to_owned(), Backlog::default(), AtomicBool::new(false));
        Ok(Some(Self { client, issuer, clock, metrics, backlog, is_failing }))
    }

    /// Writes down what was learned of a person, or, where that does not work now, keeps it for [`Self::catch_up`]. Nobody
    /// waits for a database that did not answer the last time.
    pub async fn record(&self, observation: PersonObservation) {
        if self.is_failing.load(Ordering::Relaxed) || !self.is_written(&observation).await {
            self.record_later(observation);
        }
    }

    /// Has it written down soon.
    pub fn record_later(&self, observation: PersonObservation) {
        if let Some(dropped) = self.backlog.add(observation) {
            self.metrics.directory_write("dropped");
            tracing::warn!(sub = %dropped, "directory row dropped: too many wait");
        }
    }

    /// Writes down what waits, as long as this process runs.
    pub async fn catch_up(&self) {
        let mut pause = None;
        loop {
            let observation = self.backlog.next().await;
            if self.is_written(&observation).await {
                self.backlog.done(&observation);
                pause = None;
            } else {
                let next = RETRY.following(pause);
                pause = Some(next);
                tokio::time::sleep(next).await;
            }
        }
    }

    /// Whether nothing is left to do for it.
    async fn is_written(&self, observation: &PersonObservation) -> bool {
        let sub = &observation.person.sub;
        let written = self.write(observation).await;
        let is_unavailable = !matches!(written, Ok(_) | Err(Error::Refused(_)));
        let was_failing = self.is_failing.swap(is_unavailable, Ordering::Relaxed);
        self.metrics.directory_write(match &written {
            Ok(_) => "written",
            Err(Error::Refused(_)) => "dropped",
            Err(_) => "failed",
        });
        match written {
            Ok(_) => {}
            Err(error @ Error::Refused(_)) => tracing::error!(%sub, %error, "directory row dropped"),
            Err(error) if !was_failing => tracing::warn!(%error, "directory write failed: retrying later"),
            Err(_) => {}
        }
        if was_failing && !is_unavailable {
            tracing::info!("directory is written again");
        }
        !is_unavailable
    }

    /// Whether the last write failed, and why nobody waits for the next.
    pub fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// How many people wait to be written down.
    pub fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Writes down what was learned of a person. The log tells who lost a verified address by it.
    ///
    /// # Errors
    /// [`Error`]: whether it was written is not known.
    pub async fn write(&self, observation: &PersonObservation) -> Result<RowChange, Error> {
        let PersonObservation { person, at, seen } = observation;
        let attributes = serde_json::to_string(&person.attributes).unwrap_or_else(|_| "{}".to_owned());
        let parameters: [&(dyn ToSql + Sync); 13] = [
            &self.issuer,
            &person.sub,
            &person.username,
            &person.email,
            &person.email_verified,
            &person.name,
            &person.groups,
            &person.provider,
            &attributes,
            &person.is_complete,
            &person.legacy_id(),
            &system_time(*at),
            seen,
        ];
        let row = self.client.row(statements::RECORD, &parameters).await?;
        for former in self.get::<Vec<String>>(&row, 0)? {
            tracing::warn!(sub = %person.sub, %former, "verified address moved to another person");
        }
        Ok(match self.get(&row, 1)? {
            "new" => RowChange::New,
            "changed" => RowChange::Changed,
            _ => RowChange::Same,
        })
    }

    /// What is known of a person; none if nothing is, or it was erased.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn by_sub(&self, sub: &str) -> Result<Option<DirectoryEntry>, Error> {
        let rows = self.client.run(statements::BY_SUB, &[&self.issuer, &sub]).await?;
        rows.first().map(|row| self.entry(row)).transpose()
    }

    /// Whose verified address this is, however its letters are written.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn by_email(&self, email: &str) -> Result<Option<DirectoryEntry>, Error> {
        let rows = self.client.run(statements::BY_EMAIL, &[&self.issuer, &email]).await?;
        rows.first().map(|row| self.entry(row)).transpose()
    }

    /// The next people after `position` that changed, oldest first and `limit` at most: those that were erased, too. Changes
    /// of the last three seconds come later.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn changed_after(
        &self,
        position: &ChangePosition,
        limit: u16,
    ) -> Result<Vec<(ChangePosition, DirectoryEntry)>, Error> {
        let after = UNIX_EPOCH.checked_add(Duration::from_micros(position.updated_us)).unwrap_or(UNIX_EPOCH);
        let limit = i64::from(limit);
        let rows = self.client.run(statements::CHANGED, &[&self.issuer, &after, &position.sub, &limit]).await?;
        let positioned = rows.iter().map(|row| {
            let updated = self.get::<SystemTime>(row, 9)?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let updated_us = u64::try_from(updated.as_micros()).unwrap_or(u64::MAX);
            Ok((ChangePosition { updated_us, sub: self.get(row, 0)? }, self.entry(row)?))
        });
        positioned.collect()
    }

    /// Forgets a person. `false` if nothing was known.
    ///
    /// # Errors
    /// [`Error`]: whether it was forgotten is not known.
    pub async fn erase(&self, sub: &str) -> Result<bool, Error> {
        self.backlog.forget(sub);
        let now = system_time(self.clock.now());
        Ok(!self.client.run(statements::ERASE, &[&self.issuer, &sub, &now]).await?.is_empty())
    }

    fn entry(&self, row: &Row) -> Result<DirectoryEntry, Error> {
        let attributes: String = self.get(row, 7)?;
        let attributes =
            serde_json::from_str(&attributes).map_err(|error| self.client.unexpected(&error.to_string()))?;
        let person = Person {
            sub: self.get(row, 0)?,
            username: self.get(row, 1)?,
            email: self.get(row, 2)?,
            email_verified: self.get(row, 3)?,
            name: self.get(row, 4)?,
            groups: self.get(row, 5)?,
            provider: self.get(row, 6)?,
            attributes,
            is_complete: true,
        };
        let [last_seen, deleted] = [10, 11].map(|column| self.get::<Option<SystemTime>>(row, column));
        Ok(DirectoryEntry {
            person,
            created: timestamp(self.get(row, 8)?),
            updated: timestamp(self.get(row, 9)?),
            last_seen: last_seen?.map(timestamp),
            deleted: deleted?.map(timestamp),
        })
    }

    fn get<'a, T: FromSql<'a>>(&self, row: &'a Row, column: usize) -> Result<T, Error> {
        row.try_get(column).map_err(|error| self.client.unexpected(&error.to_string()))
    }
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(at.as_secs())
}

fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from_secs(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
