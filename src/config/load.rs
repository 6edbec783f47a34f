//! From file and environment to [`Config`].

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Value;

use super::check::check;
use super::diagnostic::{Diagnostic, Mistake};
use super::files::read_file;
use super::key::{ConfigKey, ENV_PREFIX, RawValue};
use super::reader::{ConfigReader, Written};
use super::suggest::{folded, unknown, unknown_section};
use super::table::{array_of_tables, syntax};
use super::{Config, RawConfig};
use crate::domain::machine::ClientRegistry;

/// The variable that holds a whole configuration, where no file can be given: in the task definition of a container.
pub const TEXT_VARIABLE: &str = "AUTH_API_CONFIG";

/// What a configuration is made of, before any of it is understood. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML text, and where it is from: a path (relative paths start at its folder), or `AUTH_API_CONFIG`.
    pub file: Option<(PathBuf, String)>,
    /// Environment variables; those that do not start with `AUTH_API_` are not looked at. They win over the file.
    pub env: Vec<(String, String)>,
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let env: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Sources").field("file", &self.file.as_ref().map(|(path, _)| path)).field("env", &env).finish()
    }
}

impl Sources {
    /// Whether the environment holds a whole configuration.
    #[expect(clippy::disallowed_methods, reason = "asks whether it is set, and reads nothing")]
    pub fn has_text_variable() -> bool {
        std::env::var_os(TEXT_VARIABLE).is_some()
    }

    /// The sources of this process: the file of `--config`, which must exist, else the text of `AUTH_API_CONFIG`, else
    /// `./auth-api.toml` if there is one; and the single variables.
    pub fn from_process(config_flag: Option<&Path>) -> Result<Sources, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let mut env = Vec::new();
        let mut text = None;
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if !name.to_ascii_uppercase().starts_with("AUTH_API_") {
                continue;
            }
            match value.into_string() {
                Ok(value) if name == TEXT_VARIABLE => text = Some((PathBuf::from(TEXT_VARIABLE), value)),
                Ok(value) => env.push((name, value)),
                Err(_) => diagnostics.push(
                    Mistake::new("The value is not UTF-8 text.", "Write it in UTF-8; keys and secrets in base64.")
                        .at(name),
                ),
            }
        }
        let path = config_flag.unwrap_or(Path::new("auth-api.toml"));
        // Only "there is none" means none: a dangling link or a folder we may not look into is reported on reading.
        let none = path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let wanted = config_flag.is_some() || text.is_none() && !none;
        let file = match wanted.then(|| read_file(path)) {
            None => text,
            Some(Ok(text)) => Some((path.to_owned(), text.to_string())),
            Some(Err(mistake)) => {
                let instead = "Name an existing, readable TOML file with `--config`; `auth-api config-reference` prints one to start from.";
                diagnostics.push(Mistake { instead: instead.to_owned(), ..mistake }.at(path.display().to_string()));
                None
            }
        };
        if diagnostics.is_empty() { Ok(Sources { file, env }) } else { Err(diagnostics) }
    }
}

/// Reads and checks a configuration. The error holds every mistake, never none.
pub fn load(sources: Sources) -> Result<Config, Vec<Diagnostic>> {
    WrittenConfig::of(sources)?.load().map(|loaded| loaded.config)
}

/// What was written, before it is judged.
#[derive(Clone)]
pub(super) struct WrittenConfig {
    /// By the paths of keys.
    pub(super) values: HashMap<String, Written>,
    /// Relative paths start here.
    base: PathBuf,
    diagnostics: Vec<Diagnostic>,
}

/// A configuration, and what it was made of.
pub(super) struct LoadedConfig {
    pub(super) config: Config,
    /// The registered clients.
    pub(super) clients: ClientRegistry,
    /// What was written for each key, what stands in a secret's file included.
    pub(super) values: HashMap<String, RawValue>,
    /// Files and folders whose content a reload takes, by the keys that name them.
    pub(super) paths: Vec<(String, PathBuf)>,
}

impl WrittenConfig {
    /// # Errors
    /// Where the text is not TOML: what it would have said is unknown, so every further complaint could be a false one.
    pub(super) fn of(sources: Sources) -> Result<Self, Vec<Diagnostic>> {
        let mut input = Input { keys: RawConfig::keys(), written: HashMap::new(), diagnostics: Vec::new() };
        let mut base = PathBuf::new();
        let mut readable = true;
        if let Some((path, text)) = &sources.file {
            base = path.parent().map(Path::to_owned).unwrap_or_default();
            match text.trim_start_matches('\u{feff}').parse::<toml::Table>() {
                Ok(table) => input.add_file(table),
                Err(error) => {
                    input.diagnostics.push(syntax(path, text, &error));
                    readable = false;
                }
            }
        }
        input.add_env(sources.env);
        if !readable {
            return Err(input.diagnostics);
        }
        let Input { written: values, diagnostics, .. } = input;
        Ok(Self { values, base, diagnostics })
    }

    /// # Errors
    /// Every mistake.
    pub(super) fn load(self) -> Result<LoadedConfig, Vec<Diagnostic>> {
        let Self { values: written, base, diagnostics } = self;
        let mut reader = ConfigReader { written, base, diagnostics, ..ConfigReader::default() };
        let raw = RawConfig::read(&mut reader);
        check(&raw, &mut reader);
        match raw.take() {
            Some(config) if reader.diagnostics.is_empty() => {
                // A mistake in their files stops the start.
                let clients = config.clients()?;
                Ok(LoadedConfig { config, clients, values: reader.values, paths: reader.paths })
            }
            _ => Err(reader.diagnostics),
        }
    }
}

/// What was written, by the paths of keys.
struct Input {
    keys: Vec<ConfigKey>,
    written: HashMap<String, Written>,
    diagnostics: Vec<Diagnostic>,
}

impl Input {
    fn add_file(&mut self, table: toml::Table) {
        for (section, value) in table {
            let known = RawConfig::SECTIONS.iter().any(|(name, _)| *name == section);
            match value {
                Value::Table(entries) if known => self.add_section(&section, entries),
                Value::Table(_) => self.diagnostics.push(unknown_section(&section, RawConfig::SECTIONS)),
                _ if known => {
                    let what = format!("`{section}` is a section, not a key.");
                    let instead = format!("Write a line `[{section}]` and its keys on lines below it.");
                    self.diagnostics.push(Mistake::new(what, instead).at(section));
                }
                _ => self.diagnostics.push(unknown(&section, &self.keys, ConfigKey::path)),
            }
        }
    }

    fn add_section(&mut self, section: &str, entries: toml::Table) {
        for (name, value) in entries {
            let Some(key) = self.keys.iter().find(|key| key.section == section && key.name == name) else {
                self.diagnostics.push(unknown(&format!("{section}.{name}"), &self.keys, ConfigKey::path));
                continue;
            };
            let raw = typed(key, value).unwrap_or_else(|mistake| {
                self.diagnostics.push(mistake.at(key.path()));
                RawValue::Mistyped
            });
            self.written.insert(key.path(), Written { at: key.path(), raw });
        }
    }

    fn add_env(&mut self, env: Vec<(String, String)>) {
        let keys = self.keys.iter().filter(|key| !key.shape.is_tables());
        for (name, value) in env {
            if let Some(key) = keys.clone().find(|key| key.env() == name) {
                let raw = match value.is_empty() && key.shape.is_list() {
                    true => RawValue::List(vec![value]),
                    false => key.shape.raw(&value),
                };
                self.written.insert(key.path(), Written { at: name, raw });
            } else if name.starts_with(ENV_PREFIX) {
                self.diagnostics.push(unknown(&name, &self.keys, ConfigKey::env));
            } else if let Some(key) = keys.clone().find(|key| folded(&key.env()) == folded(&name)) {
                let what = "This is nearly a variable of ours and would be ignored as it is.";
                self.diagnostics.push(Mistake::new(what, format!("Write {}.", key.env())).at(name));
            }
        }
    }
}

/// The raw value, or what type was expected. Never shows the value.
fn typed(key: &ConfigKey, value: Value) -> Result<RawValue, Mistake> {
    let ConfigKey { shape, name, .. } = key;
    let found = value.type_str();
    let text = |item| if let Value::String(text) = item { Some(text) } else { None };
    match value {
        value if shape.is_tables() => return array_of_tables(name, value).map(RawValue::Tables),
        Value::Array(items) if shape.is_list() => {
            if let Some(texts) = items.into_iter().map(text).collect() {
                return Ok(RawValue::List(texts));
            }
        }
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) if shape.is_bare() => {
            return Ok(RawValue::Text(value.to_string().into()));
        }
        Value::String(text) if !shape.is_bare() && !shape.is_list() => return Ok(RawValue::Text(text.into())),
        _ => {}
    }
    let (expected, instead) = match shape {
        _ if shape.is_list() => {
            ("A list of strings", format!("Write `{name} = [\"…\", \"…\"]`, in brackets even when there is only one."))
        }
        _ if shape.is_bare() => ("A number, or true or false,", format!("Write it without quotes: `{name} = …`.")),
        _ => ("A string", format!("Write it in double quotes: `{name} = \"…\"`.")),
    };
    let found = match found {
        "array" if shape.is_list() => "array with other things than strings in it",
        found => found,
    };
    Err(Mistake::new(format!("{expected} is expected here, and this is of type {found}."), instead))
}
