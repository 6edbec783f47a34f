//! What was written, by key, and the reading of one key into one typed value.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
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
    /// The value, if it was given (or has a default) and is right.
    pub(super) fn good(&self) -> Option<&T> {
        if let State::Good(value) = &self.state {
            Some(value)
        } else {
            None
        }
    }

    /// `None` if the value was wrong: a rule about its presence cannot be judged then.
    pub(super) fn known(&self) -> Option<Option<&T>> {
        if matches!(self.state, State::Wrong) {
            None
        } else {
            Some(self.good())
        }
    }

    /// The value, by value.
    pub(super) fn take(self) -> Option<T> {
        if let State::Good(value) = self.state {
            Some(value)
        } else {
            None
        }
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
    pub(super) fn new(
        written: HashMap<String, Written>,
        base: PathBuf,
        problems: Vec<Problem>,
    ) -> Self {
        Self {
            written,
            base,
            problems,
        }
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
            (
                Some(Written {
                    at,
                    raw: Raw::Text(text),
                }),
                _,
            ) => (at, text),
            (Some(Written { at, .. }), _) => {
                return Field {
                    at,
                    state: State::Wrong,
                };
            }
            (None, Unwritten::Default(default)) => (key.path(), default.to_owned()),
            (None, Unwritten::Absent(_)) => {
                return Field {
                    at: key.path(),
                    state: State::Absent,
                };
            }
            (None, Unwritten::Required(_)) => return self.missing(key),
        };
        let result = if text.is_empty() && !empty_ok {
            Err(empty())
        } else {
            parse(&text)
        };
        self.field(at, result)
    }

    /// Reads a text that is not empty.
    pub(super) fn text<T>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Field<T> {
        self.text_or_empty(key, false, parse)
    }

    /// Reads a text for which empty means something.
    pub(super) fn maybe_empty<T>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, Wrong>,
    ) -> Field<T> {
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
            (
                Some(Written {
                    at,
                    raw: Raw::List(items),
                }),
                _,
            ) => (at, items),
            (Some(Written { at, .. }), _) => {
                return Field {
                    at,
                    state: State::Wrong,
                };
            }
            (None, Unwritten::Default(default)) => (key.path(), split(default)),
            (None, Unwritten::Absent(_)) => {
                return Field {
                    at: key.path(),
                    state: State::Absent,
                };
            }
            (None, Unwritten::Required(_)) => return self.missing(key),
        };
        self.items(at, items, parse)
    }

    fn items<T, C: FromIterator<T>>(
        &mut self,
        at: String,
        items: Vec<String>,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<C> {
        let mut good = Vec::new();
        let mut all_good = true;
        for (index, item) in items.iter().enumerate() {
            match if item.trim().is_empty() {
                Err(empty_item(index))
            } else {
                parse(item)
            } {
                Ok(value) => good.push(value),
                Err(wrong) => {
                    all_good = false;
                    self.problems.push(wrong.at(&at));
                }
            }
        }
        let state = if all_good {
            State::Good(good.into_iter().collect())
        } else {
            State::Wrong
        };
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

    /// A secret text, from `key` or from the file that `file_key` names.
    pub(super) fn secret<T>(
        &mut self,
        key: &Key,
        file_key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<T> {
        match self.secret_file(key, file_key) {
            None => self.text(key, parse),
            Some(Err(at)) => Field {
                at,
                state: State::Wrong,
            },
            Some(Ok((at, content))) => {
                let result = parse(&content);
                self.field(at, result)
            }
        }
    }

    /// A list of secrets, from `key` or, one a line, from the file that `file_key` names.
    pub(super) fn secrets<T>(
        &mut self,
        key: &Key,
        file_key: &Key,
        parse: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Field<Vec<T>> {
        match self.secret_file(key, file_key) {
            None => self.list(key, parse),
            Some(Err(at)) => Field {
                at,
                state: State::Wrong,
            },
            Some(Ok((at, content))) => {
                let lines = content.lines().map(str::to_owned).collect();
                self.items(at, lines, parse)
            }
        }
    }

    /// `None` when no file is named; `Err` when it is and something is wrong, which is then reported.
    fn secret_file(
        &mut self,
        key: &Key,
        file_key: &Key,
    ) -> Option<Result<(String, String), String>> {
        let file = self.path(file_key);
        let at = file.at.clone();
        if let Some(other) = self.written.get(&key.path())
            && file.known() != Some(None)
        {
            let (what, instead) = (
                format!(
                    "Both this and {} are given, and only one of them can count.",
                    other.at
                ),
                "Remove one of the two; the file keeps the secret out of process listings and version control.",
            );
            self.problems.push(Wrong::new(what, instead).at(&at));
            self.written.remove(&key.path());
            return Some(Err(at));
        }
        let path = match file.known() {
            Some(Some(path)) => path,
            Some(None) => return None,
            None => return Some(Err(at)),
        };
        match read_file(path) {
            Ok(content) => {
                let content = content
                    .strip_suffix('\n')
                    .map(|c| c.strip_suffix('\r').unwrap_or(c))
                    .unwrap_or(&content);
                if content.trim().is_empty() {
                    self.problems.push(wrong_file(path, "is empty").at(&at));
                    return Some(Err(at));
                }
                Some(Ok((at, content.to_owned())))
            }
            Err(wrong) => {
                self.problems.push(wrong.at(&at));
                Some(Err(at))
            }
        }
    }

    fn missing<T>(&mut self, key: &Key) -> Field<T> {
        let (Unwritten::Required(example)
        | Unwritten::Default(example)
        | Unwritten::Absent(example)) = key.unwritten;
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
        Field {
            at: key.path(),
            state: State::Wrong,
        }
    }

    fn field<T>(&mut self, at: String, result: Result<T, Wrong>) -> Field<T> {
        match result {
            Ok(value) => Field {
                at,
                state: State::Good(value),
            },
            Err(wrong) => {
                self.problems.push(wrong.at(&at));
                Field {
                    at,
                    state: State::Wrong,
                }
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
    if text.is_empty() {
        Vec::new()
    } else {
        text.split(',').map(|item| item.trim().to_owned()).collect()
    }
}

/// Reads a small text file.
pub(super) fn read_file(path: &Path) -> Result<String, Wrong> {
    const MOST: u64 = 1 << 20;
    let mut content = String::new();
    match File::open(path).and_then(|file| file.take(MOST + 1).read_to_string(&mut content)) {
        Ok(_) if content.len() as u64 > MOST => Err(wrong_file(path, "is larger than a megabyte")),
        Ok(_) => Ok(content),
        Err(error) => Err(wrong_file(path, &format!("cannot be read ({error})"))),
    }
}

fn wrong_file(path: &Path, what: &str) -> Wrong {
    Wrong::new(
        format!(
            "The file {} {what}, and going on without it would be less safe than stopping.",
            path.display()
        ),
        "Put the file there, readable for the user that runs the service, or remove the key.",
    )
}

fn empty() -> Wrong {
    Wrong::new(
        "The value is empty, which is neither a value nor the default.",
        "Give it a value, or leave it out altogether for the default.",
    )
}

fn empty_item(index: usize) -> Wrong {
    Wrong::new(
        format!("Item {} of the list is empty.", index + 1),
        "Remove it, or the comma too many.",
    )
}
