//! Hands out what was written, key by key, and collects the mistakes.

use std::collections::HashMap;
use std::path::PathBuf;

use super::diagnostic::{Diagnostic, Mistake};
use super::files::secret_in;
use super::key::{ConfigKey, DefaultValue, KeyShape, RawValue, Report, empty};
use super::spec::KeySpec;

/// A value and the name it was written under.
#[derive(Clone)]
pub(super) struct Written {
    pub(super) at: String,
    pub(super) raw: RawValue,
}

/// One key after reading.
#[derive(Debug)]
pub(super) struct Field<T> {
    /// The name it was written under, or the key's path.
    pub(super) at: String,
    /// `None` if it is wrong, which is reported: then no rule that needs it can be judged.
    value: Option<T>,
}

impl<T> Field<T> {
    /// The value, if it is right.
    pub(super) fn valid(&self) -> Option<&T> {
        self.value.as_ref()
    }

    /// The value by value, if it is right.
    pub(super) fn take(self) -> Option<T> {
        self.value
    }
}

/// What was written and is not read yet. With nothing written, reading lists the keys.
#[derive(Default)]
pub(super) struct ConfigReader {
    pub(super) written: HashMap<String, Written>,
    /// Relative paths start here.
    pub(super) base: PathBuf,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Every key that was asked for, in order.
    pub(super) keys: Vec<ConfigKey>,
    /// What was written for each key, what stands in a secret's file included.
    pub(super) values: HashMap<String, RawValue>,
    /// Files and folders whose content a reload takes, by the keys that name them.
    pub(super) paths: Vec<(String, PathBuf)>,
}

impl ConfigReader {
    /// Reads the key `name` of `section`.
    pub(super) fn read<T>(&mut self, section: &'static str, name: &str, doc: &str, spec: KeySpec<'_, T>) -> Field<T> {
        let KeySpec { shape, default, absent, file, reloads, is_path, parse } = spec;
        let doc = doc.lines().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n");
        let key = ConfigKey { section, name: name.to_owned(), shape, default, doc, reloads };
        self.keys.push(key.clone());
        let from_file = file.map(|(example, doc)| {
            let default = DefaultValue::Absent(example);
            let name = format!("{name}_file");
            let file = ConfigKey { name, shape: KeyShape::String, default, doc: doc.to_owned(), ..key.clone() };
            self.keys.push(file.clone());
            self.secret(&key, &file)
        });
        let written = from_file.flatten().or_else(|| self.written.remove(&key.path()));
        let written = match (written, default) {
            (Some(written), _) => written,
            (None, DefaultValue::Value(text)) => Written { at: key.path(), raw: key.shape.raw(text) },
            (None, DefaultValue::Absent(_)) => return Field { at: key.path(), value: absent },
            (None, DefaultValue::Required(example)) => {
                self.diagnostics.push(missing(&key, example).at(key.path()));
                return Field { at: key.path(), value: None };
            }
        };
        if let RawValue::Text(text) = &written.raw
            && is_path
            && reloads
        {
            self.paths.push((key.path(), self.base.join(&**text)));
        }
        self.values.insert(key.path(), written.raw.clone());
        let mut report = Report { at: &written.at, base: &self.base, diagnostics: &mut self.diagnostics };
        let value = parse(written.raw, &mut report);
        Field { at: written.at, value }
    }

    /// Judges a rule between keys: a mistake in it is reported at `at`.
    pub(super) fn report(&mut self, at: &str, broken: Result<(), Mistake>) {
        self.diagnostics.extend(broken.err().map(|mistake| mistake.at(at)));
    }

    /// What stands in the file that `file` names; `None` if it is not written.
    fn secret(&mut self, key: &ConfigKey, file: &ConfigKey) -> Option<Written> {
        let Written { at, raw } = self.written.remove(&file.path())?;
        let content = match (self.written.remove(&key.path()), raw) {
            (Some(other), _) => Err(Mistake::new(
                format!("Both this and {} are given, and only one of them can count.", other.at),
                "Remove one of the two; the file keeps the secret out of process listings and version control.",
            )),
            (None, RawValue::Text(name)) if name.is_empty() => Err(empty()),
            (None, RawValue::Text(name)) => {
                let path = self.base.join(&*name);
                let content = secret_in(&path);
                if file.reloads {
                    self.paths.push((key.path(), path));
                }
                content
            }
            (None, _) => return Some(Written { at, raw: RawValue::Mistyped }),
        };
        let raw = match content {
            Ok(content) if key.shape.is_list() => RawValue::List(content.lines().map(str::to_owned).collect()),
            Ok(content) => RawValue::Text(content),
            Err(mistake) => {
                self.diagnostics.push(mistake.at(&at));
                RawValue::Mistyped
            }
        };
        Some(Written { at, raw })
    }
}

fn missing(key: &ConfigKey, example: &str) -> Mistake {
    let line = format!("{} = {}", key.name, key.shape.toml(example));
    Mistake::new(
        "This key is required and was not given; the service cannot guess it.",
        format!("Write, for example, `{line}` in [{}], or set {}.", key.section, key.env()),
    )
}
