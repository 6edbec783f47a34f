//! What a configuration key is: how it is written, and what holds without it.

use std::ops::RangeInclusive;
use std::path::Path;

use zeroize::Zeroizing;

use super::diagnostic::{Diagnostic, Mistake};

/// How a value is written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyShape {
    /// A TOML string.
    String,
    /// A string: a whole number and a unit.
    Duration,
    /// One of these strings.
    Choice(Vec<&'static str>),
    Boolean,
    Integer(RangeInclusive<u32>),
    Number(RangeInclusive<f64>),
    /// A TOML array of strings; in the environment, items separated by commas.
    List,
    /// Such an array of these strings.
    Choices(Vec<&'static str>),
    /// A TOML array of tables with these keys; not in the environment.
    Tables(Vec<TableKey>),
}

/// A key of a table within an array of tables.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TableKey {
    pub(super) name: String,
    pub(super) shape: KeyShape,
    pub(super) required: bool,
}

impl KeyShape {
    /// Whether TOML has its values without quotes or brackets.
    pub(super) fn is_bare(&self) -> bool {
        matches!(self, Self::Boolean | Self::Integer(_) | Self::Number(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self, Self::List | Self::Choices(_))
    }

    pub(super) fn is_tables(&self) -> bool {
        matches!(self, Self::Tables(_))
    }

    /// A value as the environment and the defaults write it.
    pub(super) fn raw(&self, text: &str) -> RawValue {
        match self.is_list() {
            false => RawValue::Text(text.to_owned().into()),
            true if text.is_empty() => RawValue::List(Vec::new()),
            true => RawValue::List(text.split(',').map(|item| item.trim().to_owned()).collect()),
        }
    }

    /// The same text as TOML writes it.
    pub(super) fn toml(&self, text: &str) -> String {
        match self.raw(text) {
            RawValue::Text(text) if self.is_bare() => text.to_string(),
            RawValue::List(items) => toml::Value::from(items).to_string(),
            _ => toml::Value::from(text).to_string(),
        }
    }
}

/// What holds when a key is not written. Lists are given as in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DefaultValue {
    /// A mistake; the text is an example.
    Required(&'static str),
    /// This value.
    Value(&'static str),
    /// Nothing; the text is an example.
    Absent(&'static str),
}

/// One key, as the reference and the schema show it.
#[derive(Clone, Debug)]
pub(super) struct ConfigKey {
    pub(super) section: &'static str,
    pub(super) name: String,
    pub(super) shape: KeyShape,
    pub(super) default: DefaultValue,
    /// What it is, its unit, what breaks if it is wrong: lines.
    pub(super) doc: String,
    /// Whether a reload takes it.
    pub(super) reloads: bool,
}

/// What every variable of ours starts with.
pub(super) const ENV_PREFIX: &str = "AUTH_API__";

impl ConfigKey {
    /// `cookies.domain`
    pub(super) fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// `AUTH_API__COOKIES__DOMAIN`
    pub(super) fn env(&self) -> String {
        format!("{ENV_PREFIX}{}__{}", self.section, self.name).to_ascii_uppercase()
    }
}

/// A value before parsing.
#[derive(Clone, PartialEq)]
pub(super) enum RawValue {
    Text(Zeroizing<String>),
    List(Vec<String>),
    Tables(Vec<toml::Table>),
    /// Of another type; already reported.
    Mistyped,
}

/// Where a value was written, and what was found wrong so far.
pub(super) struct Report<'a> {
    pub(super) at: &'a str,
    /// Relative paths start here.
    pub(super) base: &'a Path,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl Report<'_> {
    pub(super) fn judge<T>(&mut self, result: Result<T, Mistake>) -> Option<T> {
        result.map_err(|mistake| self.diagnostics.push(mistake.at(self.at))).ok()
    }
}

pub(super) fn empty() -> Mistake {
    Mistake::new(
        "The value is empty, which is neither a value nor the default.",
        "Give it a value, or leave it out altogether for the default.",
    )
}
