//! The service with components that nobody here wrote: a browser, OpenID Providers, OAuth clients.
//!
//! Each test names what it needs as the reason why it is ignored; `.ci/run tools` installs all of it.

mod aws;
mod browser;
mod chromium;
mod container;
mod dex;
mod django;
mod guides;
mod keycloak;
mod kubernetes;
mod machine_clients;
mod oidc_provider;
mod pages;
mod proxies;
mod steps;

use std::env;
use std::path::{Path, PathBuf};

/// Where a program is. A test that needs it fails where it is not installed.
pub(crate) fn component(program: &str) -> PathBuf {
    // A user's PATH may lack where Debian puts servers; what Python's packages brought along comes last.
    let path = variable("PATH").unwrap_or_default();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let postgresql = versions.map(|version| version.path().join("bin"));
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]).chain(postgresql);
    let folders = folders.chain([below("python/.venv/bin")]);
    let found = folders.map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| missing(program))
}

/// A file or folder that comes with a component, below `tests/real`.
pub(crate) fn installed(component: &str, path: &str) -> PathBuf {
    Some(below(path)).filter(|path| path.exists()).unwrap_or_else(|| missing(component))
}

fn missing(component: &str) -> ! {
    panic!("this test needs {component}, which is not installed: .ci/run tools")
}

fn below(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(path)
}

#[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
