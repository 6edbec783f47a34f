//! PostgreSQL: connections to the server that takes writes, calls with a deadline, and tables in versions. What is in the
//! tables is the business of whose they are.

mod client;
mod connect;
mod migrations;

pub use client::{Parameters, PostgresClient};
pub use migrations::Migrations;

/// A call that failed; whether something was done is unknown.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PostgresError {
    /// The server does not answer, or not usably: a later call may succeed. Where, and why.
    #[error("{0}")]
    Unavailable(String),
    /// The server does not take a value, and never will. Why.
    #[error("{0}")]
    Refused(String),
    /// The tables are of a later release; a sentence with what to do.
    #[error("{0}")]
    NewerTables(String),
    /// The work panicked before it was done.
    #[error("the work was cut off")]
    Interrupted,
}

/// The certificates to be trusted cannot be read: which file, and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct InvalidCertificates(pub String);
