//! What a check found out before anybody depends on it.

use std::fmt;

/// One thing that was looked at, in a sentence. Only what was proved is called good or bad.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It works.
    Good(String),
    /// It does not, and what to do.
    Bad(String),
    /// Nobody can tell yet, and why.
    NotKnown(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good(what) => write!(f, "good: {what}"),
            Self::Bad(what) => write!(f, "bad: {what}"),
            Self::NotKnown(what) => write!(f, "not known: {what}"),
        }
    }
}
