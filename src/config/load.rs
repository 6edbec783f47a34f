//! From file and environment to [`Config`].

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use toml::Value;

use super::draft::Draft;
use super::files::read_file;
use super::keys::{ALL, ENV_PREFIX, Key, SECTIONS, Shape};
use super::machine;
use super::policy;
use super::problem::{Problem, Wrong};
use super::reader::{Raw, Reader, Written};
use super::suggest::{folded, unknown, unknown_section};
use super::{Config, check};
use crate::domain::page_rules::PageRule;

/// What a configuration is made of, before any of it is understood. `Debug` shows names only.
#[derive(Clone, Default)]
pub struct Sources {
    /// The TOML file: its path (for messages, and because relative paths start at its folder) and its text.
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
    /// The sources of this process: the file of `--config`, which must exist, else `./auth-api.toml` if there is one,
    /// and the environment.
    pub fn from_process(config_flag: Option<&Path>) -> Result<Sources, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut env = Vec::new();
        for (name, value) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if !name.to_ascii_uppercase().starts_with("AUTH_API_") {
                continue;
            }
            match value.into_string() {
                Ok(value) => env.push((name, value)),
                Err(_) => problems.push(
                    Wrong::new("The value is not UTF-8 text.", "Write it in UTF-8; keys and secrets in base64.")
                        .at(name),
                ),
            }
        }
        let path = config_flag.unwrap_or(Path::new("auth-api.toml"));
        // Only "there is none" means none: a dangling link or a folder we may not look into is reported on reading.
        let none = path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound);
        let wanted = config_flag.is_some() || !none;
        let file = match wanted.then(|| read_file(path)) {
            None => None,
            Some(Ok(text)) => Some((path.to_owned(), text.to_string())),
            Some(Err(wrong)) => {
                let instead = "Name an existing, readable TOML file with `--config`; `auth-api config-reference` prints one to start from.";
                problems.push(Wrong { instead: instead.to_owned(), ..wrong }.at(path.display().to_string()));
                None
            }
        };
        if problems.is_empty() { Ok(Sources { file, env }) } else { Err(problems) }
    }
}

/// What stands in blocks beside the keys.
#[derive(Default)]
pub(super) struct Blocks {
    pub(super) machine: machine::Blocks,
    pub(super) sites: Vec<PageRule>,
}

/// Reads and checks a configuration. The error holds every mistake, never none.
pub fn load(sources: Sources) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut written = HashMap::new();
    let mut base = PathBuf::new();
    let mut blocks = Blocks::default();
    let mut readable = true;
    if let Some((path, text)) = &sources.file {
        base = path.parent().map(Path::to_owned).unwrap_or_default();
        match text.trim_start_matches('\u{feff}').parse::<toml::Table>() {
            Ok(table) => from_table(table, &base, &mut written, &mut blocks, &mut problems),
            Err(error) => {
                problems.push(syntax(path, text, &error));
                readable = false;
            }
        }
    }
    from_env(sources.env, &mut written, &mut problems);
    if !readable {
        // What the file would have said is unknown, so every further complaint could be a false one.
        return Err(problems);
    }
    let mut reader = Reader::new(written, base, problems);
    let draft = Draft::read(&mut reader);
    check::check(&draft, &mut reader.problems);
    policy::check(&blocks.sites, &draft, &mut reader.problems);
    // A key that no field reads would be ignored, so it is refused like one that does not exist.
    reader.refuse_left_over();
    match draft.finish(blocks) {
        Some(config) if reader.problems.is_empty() => {
            // Their files are read once here, so that a mistake in them stops the start.
            config.machine.read_clients().map(|_| config)
        }
        _ => Err(reader.problems),
    }
}

/// The parser's own message would quote the line, and lines can hold secrets.
pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Wrong::new(
        format!("This is not TOML: {}; nothing in the file can be read.", error.message().replace('\n', ", ")),
        "Texts stand in double quotes, lists in square brackets; `auth-api config-reference` prints an example.",
    )
    .at(format!("{} line {line}", path.display()))
}

fn from_table(
    table: toml::Table,
    base: &Path,
    written: &mut HashMap<String, Written>,
    blocks: &mut Blocks,
    problems: &mut Vec<Problem>,
) {
    for (section, value) in table {
        let known = SECTIONS.iter().any(|(name, _)| *name == section);
        match value {
            Value::Table(mut entries) if known => {
                if section == machine::SECTION {
                    blocks.machine = machine::Blocks::take(&mut entries, base, problems);
                } else if section == policy::SECTION {
                    blocks.sites = policy::take(&mut entries, problems);
                }
                from_section(&section, entries, written, problems);
            }
            Value::Table(_) => problems.push(unknown_section(&section)),
            _ if known => {
                let what = format!("`{section}` is a section, not a key.");
                let instead = format!("Write a line `[{section}]` and its keys on lines below it.");
                problems.push(Wrong::new(what, instead).at(section));
            }
            _ => problems.push(unknown(&section, Key::path)),
        }
    }
}

fn from_section(
    section: &str,
    entries: toml::Table,
    written: &mut HashMap<String, Written>,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in entries {
        let Some(key) = ALL.iter().find(|key| key.section == section && key.name == name) else {
            problems.push(unknown(&format!("{section}.{name}"), Key::path));
            continue;
        };
        let raw = typed(key, value).unwrap_or_else(|wrong| {
            problems.push(wrong.at(key.path()));
            Raw::Mistyped
        });
        insert(written, key, key.path(), raw);
    }
}

fn from_env(env: Vec<(String, String)>, written: &mut HashMap<String, Written>, problems: &mut Vec<Problem>) {
    for (name, value) in env {
        if let Some(key) = ALL.iter().find(|key| key.env() == name) {
            let raw = match key.shape {
                Shape::List if value.is_empty() => Raw::List(vec![value]),
                shape => Raw::of(shape, &value),
            };
            insert(written, key, name, raw);
        } else if name.starts_with(ENV_PREFIX) {
            problems.push(unknown(&name, Key::env));
        } else if let Some(key) = ALL.iter().find(|key| folded(&key.env()) == folded(&name)) {
            let what = "This is nearly a variable of ours and would be ignored as it is.";
            problems.push(Wrong::new(what, format!("Write {}.", key.env())).at(name));
        }
    }
}

fn insert(written: &mut HashMap<String, Written>, key: &Key, at: String, raw: Raw) {
    written.insert(key.path(), Written { at, raw });
}

/// The raw value, or what type was expected. Never shows the value.
fn typed(key: &Key, value: Value) -> Result<Raw, Wrong> {
    let found = value.type_str();
    match (key.shape, value) {
        (Shape::Text, Value::String(text)) => return Ok(Raw::Text(text)),
        (Shape::Plain, Value::Boolean(value)) => return Ok(Raw::Text(value.to_string())),
        (Shape::Plain, Value::Integer(value)) => return Ok(Raw::Text(value.to_string())),
        (Shape::Plain, Value::Float(value)) => return Ok(Raw::Text(value.to_string())),
        (Shape::List, Value::Array(items)) => {
            let text = |item: Value| {
                if let Value::String(text) = item { Some(text) } else { None }
            };
            if let Some(texts) = items.into_iter().map(text).collect() {
                return Ok(Raw::List(texts));
            }
        }
        _ => {}
    }
    let found = match found {
        "array" if key.shape == Shape::List => "array with other things than strings in it".to_owned(),
        found => found.to_owned(),
    };
    Err(match key.shape {
        Shape::Text => Wrong::new(
            format!("A string is expected here, and this is of type {found}."),
            format!("Write it in double quotes: `{} = \"…\"`.", key.name),
        ),
        Shape::Plain => Wrong::new(
            format!("A number, or true or false, is expected here, and this is of type {found}."),
            format!("Write it without quotes: `{} = …`.", key.name),
        ),
        Shape::List => Wrong::new(
            format!("A list of strings is expected here, and this is of type {found}."),
            format!("Write `{} = [\"…\", \"…\"]`, in brackets even when there is only one.", key.name),
        ),
    })
}
