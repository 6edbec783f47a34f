//! auth-api

pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
pub mod flow;
pub mod provider;
pub mod store;
pub mod telemetry;
