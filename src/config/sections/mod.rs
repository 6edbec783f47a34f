//! One file a section: its keys with their documentation, how each is read, and the rules that concern no other section.

pub(super) mod account;
pub(super) mod aws;
pub(super) mod bearer_issuer;
pub(super) mod client;
pub(super) mod cookies;
pub(super) mod directory;
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

use super::diagnostic::Mistake;

/// The items of a list, each of them right.
fn each<T>(texts: Vec<String>, parse: impl Fn(&str) -> Result<T, Mistake>) -> Result<Vec<T>, Mistake> {
    texts.iter().map(|text| parse(text)).collect()
}
