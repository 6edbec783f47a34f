//! The configuration of a running service, read again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Mistake};
use super::files::{files_at, read_up_to};
use super::load::{LoadedConfig, Sources, TEXT_VARIABLE, WrittenConfig};
use super::{Config, RawConfig};
use crate::domain::machine::ClientRegistry;
use crate::domain::seal::sha256;

/// No file that is watched is larger, megabytes: as the files of clients.
const FILE_MAX: u64 = 32;
/// How often files are read that change while they are read.
const ATTEMPTS: u32 = 3;

/// The configuration that a service runs with, and where it is from.
pub struct ConfigWatch {
    sources: Sources,
    /// Whether the text of `sources` is that of a file which is read again.
    rereads: bool,
    /// What was written at the start: for the keys that need a restart it counts until then.
    started: WrittenConfig,
    applied: LoadedConfig,
    files: WatchedFiles,
}

/// What the watched files held at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchedFiles(BTreeMap<PathBuf, FileState>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum FileState {
    Unreadable,
    /// Nothing but white space.
    Empty,
    /// Its SHA-256.
    Content([u8; 32]),
}

impl FileState {
    fn of(path: &Path) -> Self {
        match read_up_to(FILE_MAX, path) {
            Err(_) => Self::Unreadable,
            Ok(text) if text.trim().is_empty() => Self::Empty,
            Ok(text) => Self::Content(sha256(text.as_bytes())),
        }
    }
}

/// A configuration that was read again and that may count from now on.
pub struct Reload {
    /// What reloads as it is written now, and the rest as it was at the start.
    pub config: Arc<Config>,
    /// The registered clients.
    pub clients: ClientRegistry,
    /// The keys, or the files that they name, that differ from what counted before.
    pub changed: Vec<String>,
    /// The keys that differ from the start, and count after a restart only.
    pub need_restart: Vec<String>,
    loaded: LoadedConfig,
    files: WatchedFiles,
}

impl Reload {
    /// Whether it is what the files hold in `files`.
    pub fn is_of(&self, files: &WatchedFiles) -> bool {
        self.files == *files
    }
}

impl std::fmt::Debug for ConfigWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConfigWatch").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").field("changed", &self.changed).finish_non_exhaustive()
    }
}

impl ConfigWatch {
    /// Reads `sources`. The files that they name are watched; with `rereads`, the file that the text is from is too.
    ///
    /// # Errors
    /// Every mistake.
    pub fn new(sources: Sources, rereads: bool) -> Result<Self, Vec<Diagnostic>> {
        let rereads = rereads && sources.file.as_ref().is_some_and(|(path, _)| path != Path::new(TEXT_VARIABLE));
        let started = WrittenConfig::of(sources.clone())?;
        let applied = started.clone().load()?;
        let mut watch = Self { sources, rereads, started, applied, files: WatchedFiles::default() };
        watch.files = watch.look();
        Ok(watch)
    }

    /// What counts.
    pub fn config(&self) -> &Config {
        &self.applied.config
    }

    /// What the files hold now.
    pub fn look(&self) -> WatchedFiles {
        let own = self.sources.file.iter().filter(|_| self.rereads).map(|(path, _)| path.clone());
        let named = self.applied.paths.iter().flat_map(|(_, path)| files_at(path).unwrap_or_default());
        WatchedFiles(own.chain(named).map(|path| (path.clone(), FileState::of(&path))).collect())
    }

    /// Whether the files hold `files` since they were read last.
    pub fn is_applied(&self, files: &WatchedFiles) -> bool {
        self.files == *files
    }

    /// Reads everything again and judges it as at a start, and what it changes while people are signed in.
    ///
    /// # Errors
    /// Every mistake. What counted before goes on to count.
    pub fn reload(&self) -> Result<Reload, Vec<Diagnostic>> {
        let mut files = self.look();
        for _ in 0..ATTEMPTS {
            let reload = self.read(&files);
            let after = self.look();
            if after == files {
                return reload;
            }
            files = after;
        }
        let what = "The files change while they are read.";
        Err(vec![Mistake::new(what, "Try again when they are written.").at("the configuration")])
    }

    /// From now on `reload` is what counts.
    pub fn apply(&mut self, reload: Reload) {
        self.applied = reload.loaded;
        // With the files that it names now.
        let same = self.files.0.keys().eq(reload.files.0.keys());
        self.files = if same { reload.files } else { self.look() };
    }

    fn read(&self, files: &WatchedFiles) -> Result<Reload, Vec<Diagnostic>> {
        self.refuse_emptied(files)?;
        let mut sources = self.sources.clone();
        if let (true, Some((path, text))) = (self.rereads, &mut sources.file) {
            *text =
                read_up_to(FILE_MAX, path).map_err(|mistake| vec![mistake.at(path.display().to_string())])?.to_string();
        }
        let written = WrittenConfig::of(sources)?;
        let mut loaded = written.clone().load()?;
        let keys = RawConfig::keys();
        let differs =
            |loaded: &LoadedConfig, key: &str, before: &LoadedConfig| loaded.values.get(key) != before.values.get(key);
        let fixed = keys.iter().filter(|key| !key.reloads).map(|key| key.path());
        let need_restart: Vec<_> = fixed.filter(|key| differs(&loaded, key, &self.applied)).collect();
        if !need_restart.is_empty() {
            loaded = self.with_fixed_keys(written).load()?;
        }
        self.refuse_dangerous(&loaded.config)?;
        let reloading = keys.iter().filter(|key| key.reloads).map(|key| key.path());
        let changed =
            reloading.filter(|key| differs(&loaded, key, &self.applied) || self.is_changed(key, &loaded, files));
        let changed = changed.collect();
        let (config, clients) = (Arc::new(loaded.config.clone()), loaded.clients.clone());
        Ok(Reload { config, clients, changed, need_restart, loaded, files: files.clone() })
    }

    /// What is written now, and as it was at the start for the keys that need a restart.
    fn with_fixed_keys(&self, mut written: WrittenConfig) -> WrittenConfig {
        for key in RawConfig::keys().iter().filter(|key| !key.reloads).map(|key| key.path()) {
            match self.started.values.get(&key) {
                Some(value) => drop(written.values.insert(key, value.clone())),
                None => drop(written.values.remove(&key)),
            }
        }
        written
    }

    /// Whether a file that `key` names holds something else than before.
    fn is_changed(&self, key: &str, loaded: &LoadedConfig, files: &WatchedFiles) -> bool {
        let of_key = |(name, path): &(String, PathBuf)| (name == key).then(|| path.clone());
        let below = |files: &WatchedFiles, path: &Path| -> Vec<_> {
            let below = files.0.iter().filter(|(file, _)| file.starts_with(path));
            below.map(|(file, state)| (file.clone(), state.clone())).collect()
        };
        loaded.paths.iter().filter_map(of_key).any(|path| below(files, &path) != below(&self.files, &path))
    }

    /// A file that holds nothing any more is most likely being written, or the disk is full.
    fn refuse_emptied(&self, files: &WatchedFiles) -> Result<(), Vec<Diagnostic>> {
        let emptied = files.0.iter().filter(|(path, state)| {
            **state == FileState::Empty && !matches!(self.files.0.get(*path), Some(FileState::Empty))
        });
        let mistakes: Vec<_> = emptied
            .map(|(path, _)| {
                let what = "The file is empty, and held something before.";
                let instead = "Write the whole file; to keep nothing in it, leave a comment.";
                Mistake::new(what, instead).at(path.display().to_string())
            })
            .collect();
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }

    /// What would let strangers in, or sign everybody out.
    fn refuse_dangerous(&self, new: &Config) -> Result<(), Vec<Diagnostic>> {
        let (old, mut mistakes) = (&self.applied.config, vec![]);
        let restart = "Restart the service if you mean it.";
        let admits_all = |config: &Config| config.policy.groups.is_empty() && config.policy.email_domains.is_empty();
        if admits_all(new) && !admits_all(old) {
            let what = "Nothing says any more who may sign in, which would let everybody in.";
            mistakes.push(Mistake::new(what, restart).at("policy"));
        }
        if new.policy.site.is_empty() && !old.policy.site.is_empty() {
            let what =
                "There are no rules for pages any more, which would open every page to everybody who is signed in.";
            mistakes.push(Mistake::new(what, restart).at("policy.site"));
        }
        if new.server.tls().is_some() != old.server.tls().is_some() {
            let what = "TLS cannot be switched on or off while the service listens.";
            mistakes.push(Mistake::new(what, restart).at("server.tls_cert_file"));
        }
        let seals = old.cookies.keys.first().map(|key| key.expose());
        if !new.cookies.keys.iter().any(|key| Some(key.expose()) == seals) {
            let what = "The key that seals is not in the list any more, so everybody would be signed out.";
            let instead = "Put the new key first and keep this one behind it for session.max_age.";
            mistakes.push(Mistake::new(what, instead).at("cookies.keys"));
        }
        if mistakes.is_empty() { Ok(()) } else { Err(mistakes) }
    }
}
