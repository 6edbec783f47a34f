//! One call: a statement to the server that takes writes, by a deadline, whatever goes wrong on the way.
//!
//! One whose answer was lost is sent again: every statement has to bear to be done twice.

use super::connect::PostgresConnector;
use super::migrations::{self, Migrations};
use super::{InvalidCertificates, PostgresError as Error};
use crate::config::PostgresUrl;
use deadpool_postgres::{Manager, Object, Pool, PoolError};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Notification, Row};
use tokio_util::task::AbortOnDropHandle;

/// Classes of codes about values: data exceptions, and limits of the server.
const REFUSED_CLASSES: [&str; 2] = ["22", "54"];

/// What stands for `$1` and so on.
pub type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// The connections of a process to the tables of one owner.
pub struct PostgresClient {
    connector: PostgresConnector,
    /// How long a call may take.
    pub call_timeout: Duration,
    /// What messages call the servers.
    servers: String,
    /// Where the tables are.
    pub schema: String,
    migrations: &'static Migrations,
    pool: Pool,
    /// Whether the tables are there.
    migrated: Mutex<bool>,
}

impl PostgresClient {
    /// Connects when it is first asked, and makes the tables then. `settings` are the server's, for these connections:
    /// `-c name=value`.
    ///
    /// # Errors
    /// [`InvalidCertificates`].
    pub fn new(
        url: &PostgresUrl,
        call_timeout: Duration,
        migrations: &'static Migrations,
        settings: &str,
    ) -> Result<Self, InvalidCertificates> {
        let connector = PostgresConnector::new(url, call_timeout, settings)?;
        let manager = Manager::from_connect(connector.config.clone(), connector.clone(), Default::default());
        // It fails only if it is given times and no runtime.
        let pool = Pool::builder(manager).max_size(url.connections).build();
        let pool = pool.map_err(|e| InvalidCertificates(e.to_string()))?;
        let (servers, schema) = (url.servers.to_string(), url.schema.clone());
        Ok(Self { connector, call_timeout, servers, schema, migrations, pool, migrated: Mutex::default() })
    }

    /// By when a call that begins now has to be answered.
    fn deadline(&self) -> Instant {
        Instant::now() + self.call_timeout
    }

    /// The rows that a statement answers. All of it, connecting included, takes as long as a call may.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn run(&self, statement: &'static str, parameters: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let deadline = self.deadline();
        let late = || Error::Unavailable(format!("{}: no answer in {:?}", self, self.call_timeout));
        for is_last in [false, true] {
            let connection = timeout_at(deadline, self.connection()).await.map_err(|_| late())??;
            let asking = async {
                let statement = connection.prepare_cached(statement).await?;
                connection.query(&statement, parameters).await
            };
            match timeout_at(deadline, asking).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) if is_last || !is_worth_another(&error) => return Err(self.failed(&error)),
                Ok(Err(error)) => {
                    if error.code() == Some(&SqlState::UNDEFINED_TABLE) {
                        *self.migrated.lock().await = false;
                    }
                    // The others are from before what ended this one.
                    self.pool.retain(|_, _| false);
                    drop(Object::take(connection));
                }
                Err(_) => {
                    drop(Object::take(connection));
                    return Err(late());
                }
            }
        }
        Err(late())
    }

    /// The one row that a statement answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn row(&self, statement: &'static str, parameters: Parameters<'_>) -> Result<Row, Error> {
        self.run(statement, parameters).await?.pop().ok_or_else(|| self.unexpected("no row"))
    }

    async fn connection(&self) -> Result<Object, Error> {
        self.migrate().await?;
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => self.failed(&error),
            other => Error::Unavailable(format!("{self}: {other}")),
        })
    }

    /// Sees to it that the tables are there. It goes on when a caller has no more time, so that one of the next finds it done.
    async fn migrate(&self) -> Result<(), Error> {
        let mut migrated = self.migrated.lock().await;
        if !*migrated {
            let (connector, schema, versions) = (self.connector.clone(), self.schema.clone(), self.migrations);
            match tokio::spawn(async move { versions.apply(&connector, &schema).await }).await {
                Ok(Ok(())) => *migrated = true,
                Ok(Err(migrations::Failure::Server(error))) => return Err(self.failed(&error)),
                Ok(Err(migrations::Failure::Newer(why))) => return Err(Error::NewerTables(why)),
                Err(_) => return Err(Error::Interrupted),
            }
        }
        Ok(())
    }

    /// A connection of the caller's own, on which there are the tables; what the server tells goes to `notifications`.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn listen(
        &self,
        notifications: UnboundedSender<Notification>,
    ) -> Result<(Client, AbortOnDropHandle<()>), Error> {
        self.migrate().await?;
        let opened = self.connector.open(Some(notifications)).await;
        opened.map(|(client, driver)| (client, AbortOnDropHandle::new(driver))).map_err(|error| self.failed(&error))
    }

    /// What went wrong where. Details of the server can have values in them, its messages have none.
    pub fn failed(&self, error: &tokio_postgres::Error) -> Error {
        let why = match error.as_db_error() {
            Some(error) => {
                let code = error.code().code();
                let why = format!("{} ({code})", error.message());
                if REFUSED_CLASSES.iter().any(|class| code.starts_with(class)) {
                    return Error::Refused(format!("{self}: {why}"));
                }
                why
            }
            None => {
                let mut why = error.to_string();
                let mut source = std::error::Error::source(error);
                while let Some(error) = source {
                    why = format!("{why}: {error}");
                    source = error.source();
                }
                why
            }
        };
        Error::Unavailable(format!("{self}: {why}"))
    }

    /// For an answer that cannot be understood.
    pub fn unexpected(&self, what: &str) -> Error {
        Error::Unavailable(format!("{self}: an answer that was not expected: {what}"))
    }
}

impl std::fmt::Display for PostgresClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgreSQL at {}", self.servers)
    }
}

impl std::fmt::Debug for PostgresClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PostgresClient({self})")
    }
}

/// Whether another connection may do better: this one is lost, or its server takes no writes any more, or two
/// transactions were in each other's way.
fn is_worth_another(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => [
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::UNIQUE_VIOLATION,
            SqlState::UNDEFINED_PSTATEMENT,
            SqlState::UNDEFINED_TABLE,
        ]
        .contains(code),
    }
}
