//! The service with components that nobody here wrote: a browser, OpenID Providers, OAuth clients.
//!
//! Where one is not installed its tests pass with a word about it, unless `AUTH_API_TEST_ALL=1` asks for all.

mod aws;
mod browser;
mod chromium;
mod dex;
mod django;
mod guides;
mod keycloak;
mod machine_clients;
mod oidc_provider;
mod proxies;
mod steps;

use std::env;
use std::path::PathBuf;

/// Where a program is, or `None` to skip the test that needs it.
pub(crate) fn component(program: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.or_else(|| skipped(&format!("{program} not installed")))
}

/// Says why a test is skipped, or fails it where nothing may be.
#[expect(clippy::print_stdout, reason = "a test that did nothing says so")]
fn skipped<T>(why: &str) -> Option<T> {
    assert!(variable("AUTH_API_TEST_ALL").is_none_or(|all| all != "1"), "AUTH_API_TEST_ALL=1, but {why}");
    println!("skipped: {why}");
    None
}

#[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
