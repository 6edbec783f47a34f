//! What users can do, one file per capability.

mod configuration;
#[cfg(feature = "dev")]
mod dev_cms;
#[cfg(feature = "dev")]
mod dev_pool;
