//! Types of values, each parsed once from text.

pub(super) mod colors;
pub(super) mod hosts;
pub(super) mod issuer;
pub(super) mod listen;
pub(super) mod oauth;
pub(super) mod postgres_url;
pub(super) mod redis_url;
pub(super) mod scalar;
pub(super) mod server_address;
pub(super) mod store_url;
pub(super) mod tokens;
pub(super) mod urls;
