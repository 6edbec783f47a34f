//! auth-api

#[cfg(feature = "dev")]
pub mod dev;
pub mod config;
