//! Arrays of tables: `[[policy.site]]`, `[[machine.client]]`.

use std::path::Path;

use toml::{Table, Value};

use super::diagnostic::{Diagnostic, Mistake, line};
use super::files::secret_in;
use super::key::{DefaultValue, KeyShape, RawValue, Report, TableKey};
use super::spec::KeySpec;

/// An array of tables, each read by `read`, which asks for every key whatever it finds. Wrong ones are left out.
pub(super) fn tables<'a, T, C: FromIterator<T> + 'a>(
    mut read: impl FnMut(&mut TableReader<'_>) -> Option<T> + 'a,
) -> KeySpec<'a, C> {
    let shape = KeyShape::Tables(keys(&mut read));
    let spec = KeySpec::new(shape, move |raw, report: &mut Report<'_>| {
        let RawValue::Tables(tables) = raw else { return None };
        Some(read_tables(tables, report, read))
    });
    KeySpec { default: DefaultValue::Absent(""), absent: Some(C::from_iter([])), ..spec }
}

/// What `read` asks an empty table for.
fn keys<T>(mut read: impl FnMut(&mut TableReader<'_>) -> Option<T>) -> Vec<TableKey> {
    let mut diagnostics = vec![];
    let mut table = TableReader::new(Table::new(), String::new(), Path::new(""), &mut diagnostics);
    read(&mut table);
    table.keys
}

/// Reads each table of an array.
pub(super) fn read_tables<T, C: FromIterator<T>>(
    tables: Vec<Table>,
    report: &mut Report<'_>,
    mut read: impl FnMut(&mut TableReader<'_>) -> Option<T>,
) -> C {
    let read = |(index, table)| {
        let at = format!("{} {}", report.at, index + 1);
        let mut table = TableReader::new(table, at, report.base, report.diagnostics);
        let value = read(&mut table);
        table.refuse_rest();
        value
    };
    tables.into_iter().enumerate().filter_map(read).collect()
}

/// A TOML value as an array of tables.
pub(super) fn array_of_tables(name: &str, value: Value) -> Result<Vec<Table>, Mistake> {
    let table = |item| if let Value::Table(table) = item { Some(table) } else { None };
    let tables = if let Value::Array(items) = value { items.into_iter().map(table).collect() } else { None };
    tables.ok_or_else(|| {
        let what = format!("`{name}` is a list of blocks.");
        Mistake::new(what, format!("Write `[[{name}]]` and its keys on lines below it."))
    })
}

/// Text that is not TOML. The parser's own message would quote the line, and lines can hold secrets.
pub(super) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Diagnostic {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Mistake::new(
        format!("This is not TOML: {}; nothing in the file can be read.", error.message().replace('\n', ", ")),
        "Texts stand in double quotes, lists in square brackets; `auth-api config-reference` prints an example.",
    )
    .at(format!("{} line {line}", path.display()))
}

/// The keys of one table, each taken once. What is wrong is reported, and `None`.
pub(super) struct TableReader<'a> {
    table: Table,
    /// Where it stands, for messages.
    at: String,
    base: &'a Path,
    diagnostics: &'a mut Vec<Diagnostic>,
    /// The keys that were asked for.
    keys: Vec<TableKey>,
}

impl<'a> TableReader<'a> {
    fn new(table: Table, at: String, base: &'a Path, diagnostics: &'a mut Vec<Diagnostic>) -> Self {
        Self { table, at, base, diagnostics, keys: vec![] }
    }

    /// Reports a mistake in the whole table.
    pub(super) fn wrong<T>(&mut self, mistake: Mistake) -> Option<T> {
        self.diagnostics.push(mistake.at(self.at.as_str()));
        None
    }

    /// Keeps what is right of the key `name`.
    pub(super) fn judge<T>(&mut self, name: &str, result: Result<T, Mistake>) -> Option<T> {
        result.map_err(|mistake| self.diagnostics.push(mistake.at(format!("{}: {name}", self.at)))).ok()
    }

    /// Shows the key `name` in messages too: it is found faster than a number.
    pub(super) fn called(&mut self, name: &str) {
        if let Some(called) = self.table.get(name).and_then(Value::as_str) {
            self.at = format!("{} ({})", self.at, line(called));
        }
    }

    fn take(&mut self, name: &str, shape: KeyShape, required: bool) -> Option<Value> {
        self.keys.push(TableKey { name: name.to_owned(), shape, required });
        self.table.remove(name)
    }

    /// A text that has to be there.
    pub(super) fn text<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Mistake>) -> Option<T> {
        let value = self.take(name, KeyShape::String, true);
        let given = value.ok_or_else(|| {
            Mistake::new("This key is required and was not given.", format!("Add a line `{name} = \"…\"`."))
        });
        let parsed = given.and_then(|value| as_text(name, &value).and_then(parse));
        self.judge(name, parsed)
    }

    /// A text, or `default` where it is left out.
    pub(super) fn text_or<T>(
        &mut self,
        name: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Mistake>,
    ) -> Option<T> {
        let parsed = match self.take(name, KeyShape::String, false) {
            Some(value) => as_text(name, &value).and_then(parse),
            None => Ok(default),
        };
        self.judge(name, parsed)
    }

    /// A secret text, here or in a file.
    pub(super) fn secret<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, Mistake>) -> Option<T> {
        let file = format!("{name}_file");
        match (self.table.contains_key(name), self.take(&file, KeyShape::String, false)) {
            (true, Some(_)) => {
                self.take(name, KeyShape::String, false);
                let what = format!("Both this and {name} are given, and only one can count.");
                self.judge(&file, Err(Mistake::new(what, "Remove one.")))
            }
            (false, Some(path)) => {
                self.take(name, KeyShape::String, false);
                let content = as_text(&file, &path).and_then(|path| secret_in(&self.base.join(path)));
                let content = self.judge(&file, content)?;
                self.judge(name, parse(&content))
            }
            (_, None) => {
                let parsed = self.text(name, parse);
                // A file may hold it instead.
                self.keys.last_mut()?.required = false;
                parsed
            }
        }
    }

    /// A list of at least one text.
    pub(super) fn list<T>(&mut self, name: &str, parse: impl FnOnce(Vec<String>) -> Result<T, Mistake>) -> Option<T> {
        let value = self.take(name, KeyShape::List, true);
        let parsed = as_texts(name, value.as_ref()).and_then(parse);
        self.judge(name, parsed)
    }

    /// A list of at least one text; no text where it is left out.
    pub(super) fn optional_list<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(Vec<String>) -> Result<T, Mistake>,
    ) -> Option<T> {
        let parsed = match self.take(name, KeyShape::List, false) {
            None => parse(vec![]),
            value => as_texts(name, value.as_ref()).and_then(parse),
        };
        self.judge(name, parsed)
    }

    /// A list that may be empty or left out.
    pub(super) fn list_or_empty<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(Vec<String>) -> Result<T, Mistake>,
    ) -> Option<T> {
        if self.table.get(name).and_then(Value::as_array).is_some_and(Vec::is_empty) {
            self.table.remove(name);
        }
        self.optional_list(name, parse)
    }

    /// A whole number from 1; none where it is left out.
    pub(super) fn count(&mut self, name: &str) -> Option<Option<u32>> {
        let count = match self.take(name, KeyShape::Integer(1..=u32::MAX), false) {
            None => Ok(None),
            Some(value) => {
                value.as_integer().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).map(Some).ok_or_else(|| {
                    Mistake::new("A whole number from 1 is expected here.", "Write it in digits, without quotes.")
                })
            }
        };
        self.judge(name, count)
    }

    /// `false` where it is left out.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let flag = match self.take(name, KeyShape::Boolean, false) {
            None => Ok(false),
            Some(Value::Boolean(flag)) => Ok(flag),
            Some(_) => {
                let instead = "Write `true` or `false`, without quotes.";
                Err(Mistake::new("This is neither true nor false.", instead))
            }
        };
        self.judge(name, flag)
    }

    /// Nothing else has an effect.
    fn refuse_rest(&mut self) {
        let names = self.keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>().join(", ");
        for key in std::mem::take(&mut self.table).keys() {
            let what = "There is no such key, so it would have no effect.";
            let mistake = Mistake::new(what, format!("Remove it; the keys here are {names}."));
            self.judge::<()>(&line(key), Err(mistake));
        }
    }
}

fn as_text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Mistake> {
    value
        .as_str()
        .filter(|text| !text.trim().is_empty())
        .ok_or_else(|| Mistake::new("A text is expected here.", format!("Write `{name} = \"…\"`.")))
}

fn as_texts(name: &str, value: Option<&Value>) -> Result<Vec<String>, Mistake> {
    let text = |item: &Value| item.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let items = value.and_then(Value::as_array).filter(|items| !items.is_empty());
    items.and_then(|items| items.iter().map(text).collect()).ok_or_else(|| {
        Mistake::new(
            "A list of texts is expected here: at least one, and none of them empty.",
            format!("Write `{name} = [\"…\", \"…\"]`."),
        )
    })
}
