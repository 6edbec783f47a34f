//! What was written, by key, and the reading of one key into one typed value.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::keys::{Key, Shape, Unwritten};
use super::problem::{Problem, Wrong};

/// A value before parsing.
pub(super) enum Raw {
    Text(String),
    List(Vec<String>),
    /// Of another type; already reported.
    Mistyped,
}

impl Raw {
    /// A value as the environment and the table of keys write it.
    pub(super) fn of(shape: Shape, text: &str) -> Raw {
        match shape {
            Shape::Text | Shape::Plain => Raw::Text(text.to_owned()),
            Shape::List => Raw::List(split(text)),
        }
    }
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

    /// Reads a text that is not empty.
    pub(super) fn text<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Field<T> {
        self.maybe_empty(key, |text| if text.is_empty() { Err(empty()) } else { parse(text) })
    }

    /// Reads a text for which empty means something.
    pub(super) fn maybe_empty<T>(&mut self, key: &Key, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Field<T> {
        match self.raw(key) {
            Ok(Written { at, raw: Raw::Text(text) }) => self.field(at, parse(&text)),
            Ok(Written { at, .. }) => Field::wrong(at),
            Err(field) => field,
        }
    }

    /// Reads a list; each wrong item is a problem of its own.
    pub(super) fn list<T, C: FromIterator<T>>(
        &mut self,
        key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<C> {
        match self.raw(key) {
            Ok(Written { at, raw: Raw::List(items) }) => self.items(at, items, parse),
            Ok(Written { at, .. }) => Field::wrong(at),
            Err(field) => field,
        }
    }

    /// Parses the items of a list.
    pub(super) fn items<T, C: FromIterator<T>>(
        &mut self,
        at: String,
        items: Vec<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<C> {
        let mut good = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let parsed = if item.trim().is_empty() { Err(empty_item(index)) } else { parse(item) };
            match parsed {
                Ok(value) => good.push(value),
                Err(wrong) => self.problems.push(wrong.at(&at)),
            }
        }
        if good.len() < items.len() {
            return Field::wrong(at);
        }
        Field { at, state: State::Good(good.into_iter().collect()) }
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

    /// What was written, or the default; without either, the field as it then is.
    fn raw<T>(&mut self, key: &Key) -> Result<Written, Field<T>> {
        let at = key.path();
        match (self.written.remove(&at), key.unwritten) {
            (Some(written), _) => Ok(written),
            (None, Unwritten::Default(default)) => Ok(Written { at, raw: Raw::of(key.shape, default) }),
            (None, Unwritten::Absent(_)) => Err(Field { at, state: State::Absent }),
            (None, Unwritten::Required(example)) => {
                let line = format!("{} = {}", key.name, super::reference::toml_value(key.shape, example));
                let wrong = Wrong::new(
                    "This key is required and was not given; the service cannot guess it.",
                    format!("Write, for example, `{line}` in [{}], or set {}.", key.section, key.env()),
                );
                Err(self.field(at, Err(wrong)))
            }
        }
    }

    /// Keeps a result, reporting it if it is wrong.
    pub(super) fn field<T>(&mut self, at: String, result: Result<T, Wrong>) -> Field<T> {
        match result {
            Ok(value) => Field { at, state: State::Good(value) },
            Err(wrong) => {
                self.problems.push(wrong.at(&at));
                Field::wrong(at)
            }
        }
    }

    /// Reports what was written and not read.
    pub(super) fn refuse_left_over(&mut self) {
        let mut names: Vec<_> = self.written.drain().map(|(_, written)| written.at).collect();
        names.sort();
        self.problems.extend(names.into_iter().map(|at| Wrong::new("Nothing reads this key.", "Remove it.").at(at)));
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
