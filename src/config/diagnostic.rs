//! A mistake in the configuration, in words for the person who made it.

use std::fmt;

/// One mistake, and where it was made. Never holds a secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it was written: `cookies.domain`, `AUTH_API__COOKIES__DOMAIN`, or a file and line.
    pub key: String,
    /// What is wrong and what would break: one or two sentences.
    pub what: String,
    /// What to write instead: a sentence.
    pub instead: String,
}

/// `{}` is one line; `{:#}` is the key on its own line with both sentences indented below it.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { key, what, instead } = self;
        if f.alternate() { write!(f, "{key}\n    {what}\n    {instead}") } else { write!(f, "{key}: {what} {instead}") }
    }
}

impl std::error::Error for Diagnostic {}

/// Every mistake in something, as the command line shows them.
#[derive(Debug)]
pub struct Problems {
    /// In what.
    pub within: &'static str,
    /// The mistakes.
    pub found: Vec<Diagnostic>,
}

impl Problems {
    /// Those of the configuration.
    pub fn in_configuration(found: Vec<Diagnostic>) -> Self {
        Self { within: "the configuration", found }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.found.len();
        writeln!(f, "{count} problem{} in {}:", if count == 1 { "" } else { "s" }, self.within)?;
        self.found.iter().try_for_each(|problem| writeln!(f, "\n{problem:#}"))
    }
}

/// The two sentences of a [`Diagnostic`], from a function that does not know which key it reads.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) what: String,
    pub(super) instead: String,
}

impl Mistake {
    pub(super) fn new(what: impl Into<String>, instead: impl Into<String>) -> Self {
        Self { what: what.into(), instead: instead.into() }
    }

    pub(super) fn at(self, key: impl Into<String>) -> Diagnostic {
        Diagnostic { key: key.into(), what: self.what, instead: self.instead }
    }

    /// The mistake, unless `fine`.
    pub(super) fn unless(fine: bool, what: impl Into<String>, instead: impl Into<String>) -> Result<(), Self> {
        if fine { Ok(()) } else { Err(Self::new(what, instead)) }
    }

    /// `text` as it is, if it is `fine`.
    pub(super) fn text_if(
        text: &str,
        fine: bool,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Result<String, Self> {
        Self::unless(fine, what, instead).map(|()| text.to_owned())
    }
}

/// A value as a message may show it: short, on one line, without control characters, and without anything before
/// an `@`, where addresses carry passwords.
pub(super) fn shown(value: &str) -> String {
    let (hidden, rest) = match value.rsplit_once('@') {
        Some((_, after)) => ("…@", after),
        None => ("", value),
    };
    format!("`{hidden}{}`", line(rest))
}

/// Text on one line: short, without control characters.
pub(super) fn line(text: &str) -> String {
    let mut short: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        short.push('…');
    }
    short
}
