//! Tells a release build which commit it is of. A development build is of none: it would be built anew at each commit.

use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "cargo talks to a build script by its environment")]
fn main() {
    println!("cargo:rerun-if-changed=src/build.rs");
    println!("cargo:rerun-if-env-changed=AUTH_API_COMMIT");
    let is_release = std::env::var("PROFILE").as_deref() == Ok("release");
    // Where the sources are without their history, as in a container's build, whoever builds says it.
    let said = std::env::var("AUTH_API_COMMIT").ok().filter(|said| !said.is_empty());
    let commit = is_release.then(|| said.or_else(of_git)).flatten();
    println!("cargo:rustc-env=AUTH_API_BUILD={}", commit.as_deref().unwrap_or("development build"));
}

/// The short hash and the date of the commit, which are the same on every machine; not the time of the build.
fn of_git() -> Option<String> {
    for name in ["HEAD", "logs/HEAD", "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["log", "-1", "--format=%h %cs", "--abbrev=12"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
