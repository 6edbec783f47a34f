//! One file a section: its keys with their documentation, how each is read, and the rules that concern no other section.

pub(super) mod account;
pub(super) mod aws;
pub(super) mod client;
pub(super) mod cookies;
pub(super) mod gateway;
pub(super) mod machine;
pub(super) mod pages;
pub(super) mod policy;
pub(super) mod provider;
pub(super) mod return_to;
pub(super) mod server;
pub(super) mod session;
pub(super) mod telemetry;
pub(super) mod validate;
