//! Every sentence that people read on our pages. A language is one file with a [`Words`]: one that is missing does not
//! compile.

mod arabic;
mod calendar;
mod english;
mod french;
mod german;
mod japanese;
mod own_words;
mod sentences;
mod spanish;

pub use calendar::{CivilDate, Plural, PluralCategory};
pub use english::ENGLISH;
pub use own_words::{OwnWords, WordsMistake};
pub use sentences::Words;

use std::borrow::Cow;

/// The languages of the pages. The first is for people of whose languages there is none.
pub static LANGUAGES: [&Words; 6] =
    [&ENGLISH, &german::GERMAN, &french::FRENCH, &spanish::SPANISH, &japanese::JAPANESE, &arabic::ARABIC];

/// The language with the tag `tag` (BCP 47), or the one that it is a variant of.
pub fn language(tag: &str) -> Option<&'static Words> {
    let primary = tag.split(['-', '_']).next().unwrap_or_default();
    LANGUAGES.into_iter().find(|words| words.language.eq_ignore_ascii_case(primary))
}

/// Which way a language is written: the `dir` of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `ltr`
    LeftToRight,
    /// `rtl`
    RightToLeft,
}

impl Direction {
    /// The attribute's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeftToRight => "ltr",
            Self::RightToLeft => "rtl",
        }
    }
}

/// A sentence. `{name}` in it is a placeholder.
pub type Text = Cow<'static, str>;

/// Puts `value` in the place of `{placeholder}`.
pub fn fill(text: &str, placeholder: &str, value: &str) -> String {
    text.replace(&format!("{{{placeholder}}}"), value)
}

/// A part of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As it is.
    Text(&'a str),
    /// The name of a placeholder, for a value with markup of its own.
    Placeholder(&'a str),
}

impl<'a> Piece<'a> {
    /// The parts of a sentence, in their order.
    pub fn of(text: &'a str) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, (name, after))) = rest.split_once('{').and_then(|(b, r)| Some((b, r.split_once('}')?)))
        {
            pieces.extend([Self::Text(before), Self::Placeholder(name)]);
            rest = after;
        }
        pieces.push(Self::Text(rest));
        pieces
    }
}

macro_rules! declare_words {
    ($( $(#[doc = $doc:literal])+ $key:ident, )+) => {
        /// The sentences of a language.
        #[derive(Debug, Clone)]
        pub struct Words {
            /// The language's tag (BCP 47), for the `lang` of the pages.
            pub language: &'static str,
            /// The language's name in itself.
            pub name: &'static str,
            /// Which way it is written.
            pub direction: Direction,
            /// The form that a count takes.
            pub plural: fn(u64) -> PluralCategory,
            /// A day, with the month in words.
            pub date: fn(CivilDate) -> String,
            /// `{count} minutes ago`
            pub minutes_ago: Plural,
            /// `{count} hours ago`
            pub hours_ago: Plural,
            /// `{count} days ago`
            pub days_ago: Plural,
            $( $(#[doc = $doc])+ pub $key: Text, )+
        }

        impl Words {
            /// The keys of the sentences, each with what it is for.
            pub const KEYS: &[(&str, &str)] = &[$( (stringify!($key), concat!($($doc),+)), )+];

            /// The sentence of a key.
            pub fn text(&self, key: &str) -> Option<&Text> {
                match key {
                    $( stringify!($key) => Some(&self.$key), )+
                    _ => None,
                }
            }

            pub(super) fn text_mut(&mut self, key: &str) -> Option<&mut Text> {
                match key {
                    $( stringify!($key) => Some(&mut self.$key), )+
                    _ => None,
                }
            }
        }
    };
}
use declare_words;

/// The words of a language: plain strings for the sentences.
macro_rules! words {
    (
        $language:literal, $name:literal, $direction:ident, $plural:ident, $date:ident,
        $minutes:expr, $hours:expr, $days:expr;
        $( $key:ident: $text:expr, )+
    ) => {
        $crate::words::Words {
            language: $language,
            name: $name,
            direction: $crate::words::Direction::$direction,
            plural: $crate::words::calendar::$plural,
            date: $date,
            minutes_ago: $minutes,
            hours_ago: $hours,
            days_ago: $days,
            $( $key: ::std::borrow::Cow::Borrowed($text), )+
        }
    };
}
use words;
