//! How a key is declared: the parser of its value, its default, its rules; and `section!`, which declares a section.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::diagnostic::Mistake;
use super::key::{DefaultValue, KeyShape, RawValue, Report, empty};
use super::values::scalar;

type Parse<'a, T> = Box<dyn FnOnce(RawValue, &mut Report<'_>) -> Option<T> + 'a>;

/// How a key with a value of type `T` is declared: one of the functions below, and what follows from its methods.
pub(super) struct KeySpec<'a, T> {
    pub(super) shape: KeyShape,
    pub(super) default: DefaultValue,
    /// The value without anything written, where that is no default's text.
    pub(super) absent: Option<T>,
    /// Example and documentation of the key with `_file` behind its name.
    pub(super) file: Option<(&'static str, &'static str)>,
    pub(super) reloads: bool,
    /// The value is the path of a file or a folder, whose content counts.
    pub(super) is_path: bool,
    pub(super) parse: Parse<'a, T>,
}

impl<'a, T: 'a> KeySpec<'a, T> {
    pub(super) fn new(shape: KeyShape, parse: impl FnOnce(RawValue, &mut Report<'_>) -> Option<T> + 'a) -> Self {
        let default = DefaultValue::Required("");
        Self { shape, default, absent: None, file: None, reloads: false, is_path: false, parse: Box::new(parse) }
    }

    /// `value` holds without the key.
    pub(super) fn default(self, value: &'static str) -> Self {
        Self { default: DefaultValue::Value(value), ..self }
    }

    /// Nobody can guess it.
    pub(super) fn required(self, example: &'static str) -> Self {
        Self { default: DefaultValue::Required(example), ..self }
    }

    /// It may be left out.
    pub(super) fn optional(self, example: &'static str) -> KeySpec<'a, Option<T>> {
        let KeySpec { shape, file, reloads, is_path, parse, .. } = self;
        let parse: Parse<'a, Option<T>> = Box::new(|raw, report| parse(raw, report).map(Some));
        KeySpec { shape, default: DefaultValue::Absent(example), absent: Some(None), file, reloads, is_path, parse }
    }

    /// It is a secret, which a file may hold instead: of a list, one item a line.
    pub(super) fn or_file(self, example: &'static str, doc: &'static str) -> Self {
        Self { file: Some((example, doc)), ..self }
    }

    /// A reload takes it; without this, a change needs a restart.
    pub(super) fn reloads(self) -> Self {
        Self { reloads: true, ..self }
    }

    /// A rule for the parsed value.
    pub(super) fn rule(self, rule: impl FnOnce(&T) -> Result<(), Mistake> + 'a) -> Self {
        let parse = self.parse;
        let judged = |raw: RawValue, report: &mut Report<'_>| {
            let value = parse(raw, report)?;
            report.judge(rule(&value)).map(|()| value)
        };
        Self { parse: Box::new(judged), ..self }
    }
}

impl<'a> KeySpec<'a, Duration> {
    /// A rule for the shortest and the longest time.
    pub(super) fn within(self, range: RangeInclusive<Duration>, what: &'static str, instead: &'static str) -> Self {
        self.rule(move |time| Mistake::unless(range.contains(time), what, instead))
    }
}

/// A string for which empty means something.
pub(super) fn text_or_empty<'a, T: 'a>(parse: impl Fn(&str) -> Result<T, Mistake> + 'a) -> KeySpec<'a, T> {
    text_in_folder(KeyShape::String, move |text, _| parse(text))
}

/// A string that is not empty.
pub(super) fn text<'a, T: 'a>(parse: impl Fn(&str) -> Result<T, Mistake> + 'a) -> KeySpec<'a, T> {
    not_empty(KeyShape::String, move |text, _| parse(text))
}

/// The same with a path in it, which is relative to the folder that `parse` is given too.
pub(super) fn text_with_base<'a, T: 'a>(parse: impl Fn(&str, &Path) -> Result<T, Mistake> + 'a) -> KeySpec<'a, T> {
    not_empty(KeyShape::String, parse)
}

/// A path.
pub(super) fn path<'a>() -> KeySpec<'a, PathBuf> {
    KeySpec { is_path: true, ..text_with_base(|text, base| Ok(base.join(text))) }
}

/// `90s`, `5m`, `12h`, `30d`.
pub(super) fn duration<'a>() -> KeySpec<'a, Duration> {
    not_empty(KeyShape::Duration, |text, _| scalar::duration(text))
}

/// The same, or `250ms`.
pub(super) fn fine_duration<'a>() -> KeySpec<'a, Duration> {
    not_empty(KeyShape::Duration, |text, _| scalar::fine_duration(text))
}

/// `true` or `false`.
pub(super) fn flag<'a>() -> KeySpec<'a, bool> {
    not_empty(KeyShape::Boolean, |text, _| scalar::flag(text))
}

/// A whole number from one to a million: how often something may happen.
pub(super) fn count<'a>() -> KeySpec<'a, u32> {
    not_empty(KeyShape::Integer(1..=scalar::COUNT_MAX), |text, _| scalar::count(text))
}

/// A whole number up to a million: how many there may be; 0 is no limit.
pub(super) fn limit<'a>() -> KeySpec<'a, Option<usize>> {
    not_empty(KeyShape::Integer(0..=scalar::COUNT_MAX), |text, _| scalar::limit(text))
}

/// A part of a whole.
pub(super) fn share<'a>() -> KeySpec<'a, f64> {
    not_empty(KeyShape::Number(0.0..=1.0), |text, _| scalar::share(text))
}

/// US dollars.
pub(super) fn price<'a>() -> KeySpec<'a, f64> {
    not_empty(KeyShape::Number(0.0..=scalar::PRICE_MAX), |text, _| scalar::price(text))
}

/// One of a few words.
pub(super) fn choice<'a, T: Copy>(
    words: &'static [(&'static str, T)],
    what: &'static str,
    instead: &'static str,
) -> KeySpec<'a, T> {
    let parse = move |text: &str, _: &Path| scalar::one_of(words, text, what, instead);
    not_empty(KeyShape::Choice(words.iter().map(|(word, _)| *word).collect()), parse)
}

/// Any of a few words.
pub(super) fn choices<'a, T, C: FromIterator<T> + 'a>(
    words: &[&'static str],
    parse: impl Fn(&str) -> Result<T, Mistake> + 'a,
) -> KeySpec<'a, C> {
    KeySpec { shape: KeyShape::Choices(words.to_vec()), ..list(parse) }
}

/// A list of strings, none of them empty; each wrong one is a mistake of its own.
pub(super) fn list<'a, T, C: FromIterator<T> + 'a>(parse: impl Fn(&str) -> Result<T, Mistake> + 'a) -> KeySpec<'a, C> {
    KeySpec::new(KeyShape::List, move |raw, report| {
        let RawValue::List(items) = raw else { return None };
        let item = |(index, item): (usize, &String)| match item.trim().is_empty() {
            true => {
                let what = format!("Item {} of the list is empty.", index + 1);
                report.judge(Err(Mistake::new(what, "Remove it, or the comma too many.")))
            }
            false => report.judge(parse(item)),
        };
        // All are read before the first wrong one decides.
        let parsed: Vec<Option<T>> = items.iter().enumerate().map(item).collect();
        parsed.into_iter().collect()
    })
}

fn not_empty<'a, T: 'a>(shape: KeyShape, parse: impl Fn(&str, &Path) -> Result<T, Mistake> + 'a) -> KeySpec<'a, T> {
    text_in_folder(shape, move |text, base| match text.is_empty() {
        true => Err(empty()),
        false => parse(text, base),
    })
}

fn text_in_folder<'a, T: 'a>(
    shape: KeyShape,
    parse: impl Fn(&str, &Path) -> Result<T, Mistake> + 'a,
) -> KeySpec<'a, T> {
    KeySpec::new(shape, move |raw, report| match raw {
        RawValue::Text(text) => report.judge(parse(&text, report.base)),
        _ => None,
    })
}

/// Declares a section: its name, the lines that introduce it in the reference, the names of its two structs, and its
/// keys, each once: documentation, name, type, and how it is read. A key may look at those above it.
macro_rules! section {
    (
        $section:ident: $about:literal;
        $config:ident / $raw:ident
        $( $(#[doc = $doc:literal])+ $key:ident: $type:ty = $spec:expr; )*
    ) => {
        #[doc = concat!("`[", stringify!($section), "]`")]
        #[derive(Clone, Debug)]
        #[allow(rustdoc::bare_urls, reason = "the reference shows the same text")]
        pub struct $config {
            $( $(#[doc = $doc])+ pub $key: $type, )*
        }

        /// The same as it was read, right or wrong.
        pub(in crate::config) struct $raw {
            $( pub(in crate::config) $key: Field<$type>, )*
        }

        impl $raw {
            /// Name and introduction.
            pub(in crate::config) const SECTION: (&'static str, &'static str) = (stringify!($section), $about);

            pub(in crate::config) fn read(reader: &mut ConfigReader) -> Self {
                $( let $key: Field<$type> =
                    reader.read(stringify!($section), stringify!($key), concat!($($doc, "\n"),+), $spec); )*
                Self { $($key),* }
            }

            /// `None` if something is wrong.
            pub(in crate::config) fn take(self) -> Option<$config> {
                Some($config { $( $key: self.$key.take()?, )* })
            }
        }
    };
}
pub(super) use section;
