//! Blocks: the lists of tables that a section can have beside its keys.

use toml::{Table, Value};

use super::problem::{Problem, Wrong, line};

/// The `[[name]]` blocks in a table of nothing else.
pub(super) fn blocks_of(mut table: Table, name: &str, at: &str, problems: &mut Vec<Problem>) -> Vec<Table> {
    let found = table.remove(name);
    for other in table.keys() {
        let what = "There is no such key, so it would have no effect.";
        problems.push(Wrong::new(what, format!("Write [[{name}]] blocks only.")).at(format!("{at}.{}", line(other))));
    }
    let tables = match found {
        None => return vec![],
        Some(Value::Array(items)) => {
            items.into_iter().map(|item| if let Value::Table(t) = item { Some(t) } else { None }).collect()
        }
        Some(_) => None,
    };
    tables.unwrap_or_else(|| {
        let what = format!("`{name}` is a list of blocks.");
        problems.push(Wrong::new(what, format!("Write `[[{name}]]` and its keys on lines below it.")).at(at));
        vec![]
    })
}

/// The keys of one block, each taken once.
pub(super) struct Block<'a> {
    pub(super) table: Table,
    /// Where it stands, for messages.
    pub(super) at: &'a str,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Block<'_> {
    pub(super) fn wrong<T>(&mut self, key: &str, wrong: Wrong) -> Option<T> {
        self.problems.push(wrong.at(format!("{}: {key}", self.at)));
        None
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.table.remove(key) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text),
            Some(_) => self.wrong(key, Wrong::new("A text is expected here.", format!("Write `{key} = \"…\"`."))),
            None => self.wrong(
                key,
                Wrong::new("This key is required and was not given.", format!("Add a line `{key} = \"…\"`.")),
            ),
        }
    }

    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let texts = match self.table.remove(key) {
            Some(Value::Array(items)) if !items.is_empty() => {
                let text = |item: &str| (!item.trim().is_empty()).then(|| item.to_owned());
                items.iter().map(|item| item.as_str().and_then(text)).collect()
            }
            _ => None,
        };
        if texts.is_none() {
            let wrong = Wrong::new(
                "A list of texts is expected here: at least one, and none of them empty.",
                format!("Write `{key} = [\"…\", \"…\"]`."),
            );
            return self.wrong(key, wrong);
        }
        texts
    }

    /// A list that may be left out, or empty.
    pub(super) fn optional_list(&mut self, key: &str) -> Option<Vec<String>> {
        match self.table.get(key) {
            None => Some(vec![]),
            Some(Value::Array(items)) if items.is_empty() => {
                self.table.remove(key);
                Some(vec![])
            }
            Some(_) => self.list(key),
        }
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        match self.table.remove(key) {
            None => Some(false),
            Some(Value::Boolean(flag)) => Some(flag),
            Some(_) => self
                .wrong(key, Wrong::new("This is neither true nor false.", "Write `true` or `false`, without quotes.")),
        }
    }

    pub(super) fn judged<T>(&mut self, key: &str, result: Result<T, Wrong>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(wrong) => self.wrong(key, wrong),
        }
    }

    /// Whatever was not taken is not known.
    pub(super) fn close(mut self, known: &[&str]) {
        for key in std::mem::take(&mut self.table).keys() {
            let wrong = Wrong::new(
                "There is no such key, so it would have no effect.",
                format!("Remove it; the keys here are {}.", known.join(", ")),
            );
            self.wrong::<()>(&line(key), wrong);
        }
    }
}
