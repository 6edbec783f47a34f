//! What users can do, one file per capability.

#![cfg_attr(
    feature = "dev",
    expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")
)]

mod configuration;
#[cfg(feature = "dev")]
mod dev_cms;
#[cfg(feature = "dev")]
mod dev_pool;
#[cfg(feature = "dev")]
mod hostile_provider;
mod house_rules;
#[cfg(feature = "dev")]
mod https;
#[cfg(feature = "dev")]
mod openapi;
#[cfg(feature = "dev")]
mod real;
#[cfg(feature = "dev")]
mod refresh;
#[cfg(feature = "dev")]
mod service;
#[cfg(feature = "dev")]
mod sessions;
#[cfg(feature = "dev")]
mod sign_in;
#[cfg(feature = "dev")]
mod sign_out;
#[cfg(feature = "dev")]
mod store_outage;
#[cfg(feature = "dev")]
mod support;
#[cfg(feature = "dev")]
mod validate;
