//! Sessions in PostgreSQL, for many processes.
//!
//! Records are removed some time after they are over: whether one is over is judged by our clock. Leases go by the server's
//! clock.

mod deployment;
mod follow;
mod rate_limit;
mod statements;

use super::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, MIN_TOMBSTONE_TTL, OpenError,
    Permits, RateLimit, RestoreOutcome, SealedSession, SealedTokens, SessionStore, UpdateOutcome,
};
use crate::config::{PostgresUrl, SessionConfig};
use crate::domain::clock::Timestamp;
use crate::domain::seal::{KeyRing, random};
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use crate::postgres::{InvalidCertificates, Migrations, Parameters, PostgresClient, PostgresError};
use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// How long what is over stays: clocks differ.
const EXPIRY_SLACK: Duration = Duration::from_secs(120);
/// The end of the year 9999. Times beyond it would not survive being multiplied.
const MAX_TIMESTAMP: Timestamp = Timestamp::from_secs(253_402_300_799);
/// How many keys are listed, and how many rows removed, by one statement.
const PAGE: i64 = 1_000;

static MIGRATIONS: Migrations = Migrations { table: "migrations", versions: &[(include_str!("migrations/1.sql"), 1)] };

impl From<PostgresError> for Error {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Unavailable(why) | PostgresError::Refused(why) => Self::Unavailable(why),
            PostgresError::NewerTables(why) => Self::OtherDeployment(why),
            PostgresError::Interrupted => Self::Interrupted,
        }
    }
}

impl From<InvalidCertificates> for OpenError {
    fn from(InvalidCertificates(why): InvalidCertificates) -> Self {
        Self::Certificates { why }
    }
}

#[derive(Debug)]
pub(super) struct Postgres {
    client: PostgresClient,
    ring: Arc<KeyRing>,
    idle: Option<Duration>,
    max_stale: Duration,
    /// Tells this process from others.
    process: String,
    /// Writes that carried a number so far.
    writes: AtomicU64,
    /// The last canary that was acknowledged.
    canary: Mutex<Option<i64>>,
}

impl Postgres {
    /// Connects when it is first asked.
    pub(super) fn open(url: &PostgresUrl, config: &SessionConfig, ring: &Arc<KeyRing>) -> Result<Self, OpenError> {
        Ok(Self {
            client: PostgresClient::new(url, config.store_timeout, &MIGRATIONS, "")?,
            ring: ring.clone(),
            idle: config.idle,
            max_stale: config.max_stale,
            process: BASE64_URL_SAFE_NO_PAD.encode(random::<12>()),
            writes: AtomicU64::default(),
            canary: Mutex::default(),
        })
    }

    /// The idempotency id of a write: a server that finds it again has already applied the write.
    fn write_id(&self) -> String {
        format!("{}.{}", self.process, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    fn expiry(&self, record: &SealedSession) -> i64 {
        expiry(self.idle.map_or(record.ends, |idle| record.ends.min(record.last_used + 2 * idle)))
    }

    /// The idle timeout; 0 for none.
    fn idle(&self) -> i64 {
        self.idle.map_or(0, seconds)
    }

    async fn run(&self, statement: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        Ok(self.client.run(statement, parameters).await?)
    }

    async fn row(&self, statement: &'static str, parameters: Parameters<'_>) -> Result<Row, Error> {
        Ok(self.client.row(statement, parameters).await?)
    }

    fn failed(&self, error: &tokio_postgres::Error) -> Error {
        self.client.failed(error).into()
    }

    fn unexpected(&self, what: &str) -> Error {
        self.client.unexpected(what).into()
    }

    fn get<'a, T: FromSql<'a>>(&self, row: &'a Row, column: usize) -> Result<T, Error> {
        row.try_get(column).map_err(|e| self.unexpected(&e.to_string()))
    }

    /// The columns key, version, ends, last used, sealed, summary, listed, tombstone.
    fn found(&self, row: &Row) -> Result<(SessionKey, Lookup), Error> {
        let key = SessionKey(self.key(row, 0)?);
        let Some(version) = self.get::<Option<i64>>(row, 1)? else {
            return Ok((key, Lookup::Ended(timestamp(self.get(row, 7)?))));
        };
        let listed: Vec<Vec<u8>> = self.get(row, 6)?;
        let record = SealedSession {
            version: version.cast_unsigned(),
            ends: timestamp(self.get(row, 2)?),
            last_used: timestamp(self.get(row, 3)?),
            sealed: self.get(row, 4)?,
            summary: self.get(row, 5)?,
            listed: listed.into_iter().filter_map(|key| key.try_into().ok().map(IndexKey)).collect(),
            tokens: SealedTokens::default(),
        };
        Ok((key, Lookup::Found(record)))
    }

    fn key(&self, row: &Row, column: usize) -> Result<[u8; 32], Error> {
        self.get::<Vec<u8>>(row, column)?.try_into().map_err(|_| self.unexpected("a key that is none"))
    }

    /// Runs [`statements::CREATE`] or [`statements::RESTORE`].
    async fn write(
        &self,
        statement: &'static str,
        key: SessionKey,
        record: SealedSession,
        write_id: &str,
    ) -> Result<Row, Error> {
        let parameters: Parameters<'_> = &[
            &&key.0[..],
            &record.version.cast_signed(),
            &column(record.ends),
            &column(record.last_used),
            &record.sealed,
            &record.summary,
            &listed(&record),
            &record.tokens.access,
            &record.tokens.refresh,
            &write_id,
            &self.expiry(&record),
        ];
        self.row(statement, parameters).await
    }

    /// Whether what is there is of this write.
    async fn wrote(&self, key: SessionKey, write_id: &str) -> Result<bool, Error> {
        self.get(&self.row(statements::WROTE, &[&&key.0[..], &write_id]).await?, 0)
    }

    /// [`SessionStore::keys`] after a key.
    async fn page(&self, after: Option<SessionKey>) -> Result<Vec<SessionKey>, Error> {
        let after = after.map(|key| key.0.to_vec());
        let rows = self.run(statements::KEYS, &[&after, &PAGE]).await?;
        rows.iter().map(|row| self.key(row, 0).map(SessionKey)).collect()
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn column(time: Timestamp) -> i64 {
    time.min(MAX_TIMESTAMP).as_secs().cast_signed()
}

fn timestamp(column: i64) -> Timestamp {
    Timestamp::from_secs(column.max(0).cast_unsigned())
}

/// When what is over at `end` may be removed.
fn expiry(end: Timestamp) -> i64 {
    column(end) + seconds(EXPIRY_SLACK)
}

fn listed(record: &SealedSession) -> Vec<&[u8]> {
    record.listed.iter().map(|key| &key.0[..]).collect()
}

#[async_trait]
impl SessionStore for Postgres {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        let write_id = self.write_id();
        let row = self.write(statements::CREATE, key, record, &write_id).await?;
        Ok(self.get(&row, 0)? || self.wrote(key, &write_id).await?)
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        let rows = self.run(statements::LOOKUP, &[&&key.0[..]]).await?;
        rows.first().map_or(Ok(Lookup::Absent), |row| Ok(self.found(row)?.1))
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        let rows = self.run(statements::LOAD_TOKENS, &[&&key.0[..]]).await?;
        let Some(row) = rows.first() else { return Ok(SealedTokens::default()) };
        Ok(SealedTokens { access: self.get(row, 0)?, refresh: self.get(row, 1)? })
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        let write_id = self.write_id();
        let parameters: Parameters<'_> = &[
            &&key.0[..],
            &record.version.cast_signed(),
            &column(record.ends),
            &column(record.last_used),
            &record.sealed,
            &record.summary,
            &listed(&record),
            &record.tokens.access,
            &record.tokens.refresh,
            &write_id,
            &self.idle(),
            &seconds(EXPIRY_SLACK),
            &expected.cast_signed(),
            &fencing_token.map(|token| token.0.cast_signed()),
        ];
        let row = self.row(statements::UPDATE, parameters).await?;
        Ok(match self.get::<&str>(&row, 0)? {
            "done" => UpdateOutcome::Done,
            "incomplete" => UpdateOutcome::Incomplete,
            "gone" => UpdateOutcome::Gone,
            _ if self.wrote(key, &write_id).await? => UpdateOutcome::Done,
            _ => UpdateOutcome::Stale,
        })
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        let (keys, uses): (Vec<&[u8]>, Vec<i64>) =
            last_used.iter().map(|(key, last_used)| (&key.0[..], column(*last_used))).unzip();
        // However many processes saw a use, it is written once.
        let step = seconds(super::touch_step(self.idle));
        let parameters: Parameters<'_> = &[&keys, &uses, &self.idle(), &seconds(EXPIRY_SLACK), &step];
        self.run(statements::TOUCH, parameters).await.map(drop)
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        let row = self.write(statements::RESTORE, key, record, &self.write_id()).await?;
        Ok(match self.get::<&str>(&row, 0)? {
            "done" => RestoreOutcome::Done,
            "ended" => RestoreOutcome::Ended,
            _ => RestoreOutcome::Newer,
        })
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        let parameters: Parameters<'_> = &[&&key.0[..], &column(until), &expiry(until), &seconds(MIN_TOMBSTONE_TTL)];
        let rows = self.run(statements::DELETE, parameters).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let tokens = SealedTokens { access: self.get(row, 8)?, refresh: self.get(row, 9)? };
        Ok(self.found(row)?.1.record().map(|record| SealedSession { tokens, ..record }))
    }

    async fn list(&self, index_key: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        let rows = self.run(statements::LIST, &[&&index_key.0[..]]).await?;
        let found = rows.iter().map(|row| self.found(row)).collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().filter_map(|(key, found)| Some((key, found.record()?))).collect())
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        stream::try_unfold(Some(None), async |after| {
            let Some(after) = after else { return Ok(None) };
            let keys = self.page(after).await?;
            let next = keys.last().copied().map(Some);
            Ok((!keys.is_empty()).then_some((keys, next)))
        })
        .boxed()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        let row = self.row(statements::LEASE, &[&&key.0[..], &millis(ttl), &self.write_id()]).await?;
        let number = self.get::<i64>(&row, 1)?.cast_unsigned();
        Ok(match self.get::<&str>(&row, 0)? {
            "taken" => LeaseOutcome::Taken { fencing_token: FencingToken(number), abandoned: self.get(&row, 2)? },
            "paused" => LeaseOutcome::Paused(Duration::from_millis(number)),
            "held" => LeaseOutcome::Held,
            _ => LeaseOutcome::Gone,
        })
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        let parameters: Parameters<'_> = &[&&key.0[..], &fencing_token.0.cast_signed(), &millis(ttl)];
        Ok(!self.run(statements::EXTEND, parameters).await?.is_empty())
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        let (pause, doubt) = match after {
            LeaseRelease::Free => (None, false),
            LeaseRelease::CoolDown(pause) => (Some(millis(pause)), false),
            LeaseRelease::OutcomeUnknown(pause) => (Some(millis(pause)), true),
        };
        let parameters: Parameters<'_> = &[&&key.0[..], &fencing_token.0.cast_signed(), &pause, &doubt];
        self.run(statements::RELEASE, parameters).await.map(drop)
    }

    async fn revoke(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        let parameters: Parameters<'_> = &[&&revocation_key.0[..], &column(until), &expiry(until), &self.write_id()];
        self.get(&self.row(statements::REVOKE, parameters).await?, 0)
    }

    async fn revoked_until(&self, revocation_key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        let rows = self.run(statements::REVOKED_UNTIL, &[&&revocation_key.0[..]]).await?;
        rows.first().map(|row| Ok(timestamp(self.get(row, 0)?))).transpose()
    }

    async fn sweep(&self, _now: Timestamp, _idle: Option<Duration>) -> Result<u64, Error> {
        let mut records = 0;
        for statement in statements::SWEEPS {
            loop {
                let row = self.row(statement, &[&PAGE]).await?;
                records += self.get::<i64>(&row, 1)?.cast_unsigned();
                if self.get::<i64>(&row, 0)? < PAGE {
                    break;
                }
            }
        }
        Ok(records)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.check_deployment().await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.acquire_permits(limit, wanted, ahead).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.rest(limit, pause).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        match self.stream_invalidations(listener).await {
            Err(why) => why,
            Ok(never) => match never {},
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
