//! `session.store`: where sessions are kept.
//!
//! No message here shows the value: addresses of stores hold passwords.

use std::path::{Path, PathBuf};

use super::postgres_url::{self, PostgresUrl};
use super::redis_url::{RedisScheme, RedisUrl};
use crate::config::diagnostic::Mistake;

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// In this process; gone when it stops.
    Memory,
    /// In a redb file.
    Redb(PathBuf),
    /// In Redis or Valkey, for many processes.
    Redis(RedisUrl),
    /// In PostgreSQL, for many processes.
    Postgres(PostgresUrl),
}

impl StoreUrl {
    /// What traces call the database (`db.system.name` of OpenTelemetry's semantic conventions, as far as those list it).
    pub fn system(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redb(_) => "redb",
            Self::Redis(_) => "redis",
            Self::Postgres(_) => "postgresql",
        }
    }
}

const INSTEAD: &str = "Write `redb:PATH`, a file that survives restarts, `memory:`, which forgets every session on \
                       restart, or `redis://HOST` or `postgres://USER@HOST/DATABASE`, which many processes can share.";
/// One of the forms in [`INSTEAD`]. Paths of files are relative to `base`.
pub(in crate::config) fn store_url(text: &str, base: &Path) -> Result<StoreUrl, Mistake> {
    if text == "memory:" {
        return Ok(StoreUrl::Memory);
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        let what = "The value has white space around it or a line break inside.";
        return Err(Mistake::new(what, "Write the address of the store alone; a file may end in one newline."));
    }
    if let Some(kind) = text.split_once(':').and_then(|(scheme, _)| RedisScheme::of(scheme)) {
        return kind.parse(text).map(StoreUrl::Redis);
    }
    let scheme = text.split_once(':').map_or_else(String::new, |(scheme, _)| scheme.to_ascii_lowercase());
    if scheme == "postgres" || scheme == "postgresql" {
        return postgres_url::parse(text, base).map(StoreUrl::Postgres);
    }
    match text.strip_prefix("redb:") {
        Some("") => Err(Mistake::new("`redb:` names no file, so sessions could not be kept.", INSTEAD)),
        Some(path) if path.starts_with("//") => Err(Mistake::new(
            "After `redb:` comes a plain path, and this one starts with `//` as in a web address.",
            "Write `redb:sessions.redb` for a file beside the configuration or `redb:/var/lib/auth-api/sessions.redb`.",
        )),
        Some(path) => Ok(StoreUrl::Redb(base.join(path))),
        None => Err(Mistake::new("This is not a session store.", INSTEAD)),
    }
}
