//! What was written, by key, and the reading of one key into one typed value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::keys::{Key, Shape, Unwritten};
use super::problem::{Problem, Wrong};

/// A value before parsing.
pub(super) enum Raw {
    Text(String),
    List(Vec<String>),
}

/// A value and the name it was written under.
pub(super) struct Written {
    pub(super) at: String,
    pub(super) raw: Raw,
}

/// One key after reading.
pub(super) struct Field<T> {
    /// The name it was written under, or the key's path.
    pub(super) at: String,
    state: State<T>,
}

enum State<T> {
    Good(T),
    Absent,
    Wrong,
}

impl<T> Field<T> {
    /// A field that is wrong for a reason already reported.
    pub(super) fn wrong(at: String) -> Self {
        Field { at, state: State::Wrong }
    }

    /// The value, if it was given (or has a default) and is right.
    pub(super) fn good(&self) -> Option<&T> {
        if let State::Good(value) = &self.state { Some(value) } else { None }
    }

    /// `None` if the value was wrong: a rule about its presence cannot be judged then.
    pub(super) fn known(&self) -> Option<Option<&T>> {
        if matches!(self.state, State::Wrong) { None } else { Some(self.good()) }
    }

    /// The value, by value.
    pub(super) fn take(self) -> Option<T> {
        if let State::Good(value) = self.state { Some(value) } else { None }
    }

    /// The same field with another value.
    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        let state = match self.state {
            State::Good(value) => State::Good(f(value)),
            State::Absent => State::Absent,
            State::Wrong => State::Wrong,
        };
        Field { at: self.at, state }
    }
}

/// Hands out what was written, key by key, and collects the problems.
pub(super) struct Reader {
    written: HashMap<String, Written>,
    /// Relative paths start here.
    base: PathBuf,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(written: HashMap<String, Written>, base: PathBuf, problems: Vec<Problem>) -> Self {
        Self { written, base, problems }
    }

    /// Reads a text. Empty ones are a mistake except where `empty_ok`.
    fn text_or_empty<T>(
        &mut self,
        key: &Key,
        empty_ok: bool,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Field<T> {
        debug_assert_eq!(key.shape, Shape::Text);
        let (at, text) = match (self.written.remove(&key.path()), key.unwritten) {
            (Some(Written { at, raw: Raw::Text(text) }), _) => (at, text),
            (Some(Written { at, .. }), _) => {
                return Field { at, state: State::Wrong };
            }
            (None, Unwritten::Default(default)) => (key.path(), default.to_owned()),
            (None, Unwritten::Absent(_)) => {
                return Field { at: key.path(), state: State::Absent };
            }
            (None, Unwritten::Required(_)) => return self.missing(key),
        };
        let result = if text.is_empty() && !empty_ok { Err(empty()) } else { parse(&text) };
        self.field(at, result)
    }

    /// Reads a text that is not empty.
    pub(super) fn text<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Field<T> {
        self.text_or_empty(key, false, parse)
    }

    /// Reads a text for which empty means something.
    pub(super) fn maybe_empty<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Field<T> {
        self.text_or_empty(key, true, parse)
    }

    /// Reads a list; each wrong item is a problem of its own.
    pub(super) fn list<T, C: FromIterator<T>>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<C> {
        debug_assert_eq!(key.shape, Shape::List);
        let (at, items) = match (self.written.remove(&key.path()), key.unwritten) {
            (Some(Written { at, raw: Raw::List(items) }), _) => (at, items),
            (Some(Written { at, .. }), _) => {
                return Field { at, state: State::Wrong };
            }
            (None, Unwritten::Default(default)) => (key.path(), split(default)),
            (None, Unwritten::Absent(_)) => {
                return Field { at: key.path(), state: State::Absent };
            }
            (None, Unwritten::Required(_)) => return self.missing(key),
        };
        self.items(at, items, parse)
    }

    /// Parses the items of a list.
    pub(super) fn items<T, C: FromIterator<T>>(
        &mut self,
        at: String,
        items: Vec<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<C> {
        let mut good = Vec::new();
        let mut all_good = true;
        for (index, item) in items.iter().enumerate() {
            match if item.trim().is_empty() { Err(empty_item(index)) } else { parse(item) } {
                Ok(value) => good.push(value),
                Err(wrong) => {
                    all_good = false;
                    self.problems.push(wrong.at(&at));
                }
            }
        }
        let state = if all_good { State::Good(good.into_iter().collect()) } else { State::Wrong };
        Field { at, state }
    }

    /// A path; relative ones are joined to the configuration's folder.
    pub(super) fn path(&mut self, key: &Key) -> Field<PathBuf> {
        let base = self.base.clone();
        self.text(key, |text| Ok(base.join(text)))
    }

    /// Joins a relative path to the configuration's folder.
    pub(super) fn absolute(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }

    /// What was written for a key and is not read yet.
    pub(super) fn peek(&self, key: &Key) -> Option<&Written> {
        self.written.get(&key.path())
    }

    /// Takes a key out of reading, for one that is wrong for a reason already reported.
    pub(super) fn discard(&mut self, key: &Key) {
        self.written.remove(&key.path());
    }

    fn missing<T>(&mut self, key: &Key) -> Field<T> {
        let (Unwritten::Required(example) | Unwritten::Default(example) | Unwritten::Absent(example)) = key.unwritten;
        let example = super::reference::toml_value(key.shape, example);
        self.problems.push(Problem {
            key: key.path(),
            what: "This key is required and was not given; the service cannot guess it.".to_owned(),
            instead: format!(
                "Write, for example, `{} = {example}` in [{}], or set {}.",
                key.name,
                key.section,
                key.env()
            ),
        });
        Field { at: key.path(), state: State::Wrong }
    }

    /// Keeps a result, reporting it if it is wrong.
    pub(super) fn field<T>(&mut self, at: String, result: Result<T, Wrong>) -> Field<T> {
        match result {
            Ok(value) => Field { at, state: State::Good(value) },
            Err(wrong) => {
                self.problems.push(wrong.at(&at));
                Field { at, state: State::Wrong }
            }
        }
    }

    /// Paths of written keys nobody asked for; empty unless the table names a key that no field reads.
    pub(super) fn left_over(&self) -> Vec<&str> {
        self.written.keys().map(String::as_str).collect()
    }
}

/// A list as the environment writes it.
pub(super) fn split(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(|item| item.trim().to_owned()).collect() }
}

fn empty() -> Wrong {
    Wrong::new(
        "The value is empty, which is neither a value nor the default.",
        "Give it a value, or leave it out altogether for the default.",
    )
}

fn empty_item(index: usize) -> Wrong {
    Wrong::new(format!("Item {} of the list is empty.", index + 1), "Remove it, or the comma too many.")
}
