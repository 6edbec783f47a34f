//! auth-api

pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
pub mod domain;
