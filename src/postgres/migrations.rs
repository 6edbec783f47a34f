//! The tables, in versions. A process brings them up to the version that it knows; several that start at once do it one after
//! the other. One that finds a later version goes on with it if that version says so: it only adds what is not looked at.

use super::connect::PostgresConnector;
use tokio_postgres::Client;

/// The versions of the tables of one owner, from the first: what makes each of the one before, and the oldest version whose
/// processes can work with it.
#[derive(Debug)]
pub struct Migrations {
    /// The table in which the versions are noted.
    pub table: &'static str,
    /// SQL text, and the oldest version.
    pub versions: &'static [(&'static str, i32)],
}

pub(super) enum Failure {
    /// The server refuses, or does not answer.
    Server(tokio_postgres::Error),
    /// The tables are of a later release; a sentence with what to do.
    Newer(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(error)
    }
}

impl Migrations {
    /// Brings the tables in `schema` up to date.
    pub(super) async fn apply(&self, connector: &PostgresConnector, schema: &str) -> Result<(), Failure> {
        let (mut client, _driver) = connector.open(None).await?;
        if self.version(&client, schema).await? == Some(self.versions.len()) {
            return Ok(());
        }
        let transaction = client.transaction().await?;
        // A table can be large.
        transaction.batch_execute("SET LOCAL statement_timeout = 0").await?;
        let lock = "SELECT pg_advisory_xact_lock(hashtextextended('auth-api ' || $1, 0))";
        transaction.query(lock, &[&schema]).await?;
        let done = self.version(transaction.client(), schema).await?;
        if done.is_none() {
            let is_there = transaction.query("SELECT FROM pg_namespace WHERE nspname = $1", &[&schema]).await?;
            if is_there.is_empty() {
                transaction.batch_execute(&format!("CREATE SCHEMA \"{schema}\"")).await?;
            }
            let versions = format!(
                "CREATE TABLE {} (version int PRIMARY KEY, oldest_reader int NOT NULL, applied timestamptz NOT NULL \
                 DEFAULT now())",
                self.table
            );
            transaction.batch_execute(&versions).await?;
        }
        let note = format!("INSERT INTO {} (version, oldest_reader) VALUES ($1, $2)", self.table);
        for (nth, (statements, oldest_reader)) in self.versions.iter().enumerate().skip(done.unwrap_or(0)) {
            transaction.batch_execute(statements).await?;
            let version = i32::try_from(nth + 1).unwrap_or(i32::MAX);
            transaction.execute(&note, &[&version, oldest_reader]).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// The version of the tables, ours at most; none if there are no tables.
    async fn version(&self, client: &Client, schema: &str) -> Result<Option<usize>, Failure> {
        let ours = i32::try_from(self.versions.len()).unwrap_or(i32::MAX);
        let tables = "SELECT FROM pg_tables WHERE schemaname = $1 AND tablename = $2";
        if client.query(tables, &[&schema, &self.table]).await?.is_empty() {
            return Ok(None);
        }
        let versions = format!("SELECT max(version), max(oldest_reader) FROM {}", self.table);
        let row = client.query_one(&versions, &[]).await?;
        let (version, oldest_reader): (Option<i32>, Option<i32>) = (row.try_get(0)?, row.try_get(1)?);
        if oldest_reader > Some(ours) {
            return Err(Failure::Newer(format!(
                "the tables in the schema `{schema}` are of a later release, which this one cannot work with. Run that \
                 release, or write another ?schema= in the address to begin with empty tables"
            )));
        }
        Ok(Some(usize::try_from(version.unwrap_or(0).min(ours)).unwrap_or(0)))
    }
}
