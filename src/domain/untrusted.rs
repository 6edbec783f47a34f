//! Text that somebody else wrote, on its way to the log, a terminal or an error's text.

use serde::Serialize;
use std::fmt::{self, Display, Formatter, Write};
use utoipa::ToSchema;

/// What is shown of it, characters.
const SHOWN: usize = 100;

/// Text of a stranger: cut, and without what moves a cursor, turns the direction of writing or begins a line.
///
/// Logged through [`as_str`](Self::as_str) it is one value in both formats of the log, whatever is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UntrustedText(String);

impl UntrustedText {
    /// The first hundred characters of `text`.
    pub fn new(text: impl Display) -> Self {
        Self::up_to(SHOWN, text)
    }

    /// The first `max` characters of `text`, for a sentence of ours with foreign words in it.
    pub fn up_to(max: usize, text: impl Display) -> Self {
        let mut cut = LimitedWriter { shown: String::new(), left: max };
        if write!(cut, "{text}").is_err() {
            cut.shown.push('…');
        }
        Self(cut.shown)
    }

    /// What is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for UntrustedText {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Takes so much and fails then, so that no more is written.
struct LimitedWriter {
    shown: String,
    left: usize,
}

impl Write for LimitedWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(fmt::Error)?;
            match c {
                // Quotes and backslashes too: whoever writes a line puts quotes around the whole and escapes these.
                ' '..='~' => self.shown.push(c),
                c => self.shown.extend(c.escape_debug()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_and_moves_nothing() {
        for (text, shown) in [
            ("", ""),
            ("nightly-1", "nightly-1"),
            ("a \"b\" c=d \\", "a \"b\" c=d \\"),
            ("a\nb\r\u{1b}[31m\u{9b}\0", "a\\nb\\r\\u{1b}[31m\\u{9b}\\0"),
            ("\u{202e}moc\u{2028}", "\\u{202e}moc\\u{2028}"),
            ("Müller 李", "Müller 李"),
        ] {
            assert_eq!(UntrustedText::new(text).as_str(), shown);
        }
        assert_eq!(UntrustedText::new("ä".repeat(100)).to_string(), "ä".repeat(100));
        assert_eq!(UntrustedText::new("ä".repeat(60_000)).to_string(), "ä".repeat(100) + "…");
        assert_eq!(UntrustedText::up_to(3, format_args!("{}{}", "ab", "cd")).as_str(), "abc…");
    }
}
