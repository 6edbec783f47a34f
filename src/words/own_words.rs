//! Words that an operator puts in the place of ours.

use super::{Text, Words};
use std::collections::{BTreeMap, BTreeSet};

/// Characters of a sentence.
const TEXT_MAX: usize = 1_000;

/// Sentences of one's own, by language and key. Each is known to fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnWords(BTreeMap<String, BTreeMap<String, String>>);

/// Why words of one's own do not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WordsMistake {
    /// The pages are not offered in this language.
    Language(String),
    /// There is no such sentence.
    Key(String, String),
    /// The sentence of the language and key has other placeholders than ours, which are these.
    Placeholders(String, String, Vec<String>),
    /// The sentence is empty, or longer than 1,000 characters.
    Length(String, String),
    /// The key has words of one's own in other languages that are offered, but not in this one.
    Missing(String, String),
}

impl OwnWords {
    /// Own words for pages that are offered in `offered`.
    ///
    /// # Errors
    /// Every mistake.
    pub fn new(
        words: BTreeMap<String, BTreeMap<String, String>>,
        offered: &[&Words],
    ) -> Result<Self, Vec<WordsMistake>> {
        let mut mistakes = Vec::new();
        let mut keys = BTreeSet::new();
        for (language, texts) in &words {
            let Some(ours) = offered.iter().find(|words| words.language == language) else {
                mistakes.push(WordsMistake::Language(language.clone()));
                continue;
            };
            for (key, text) in texts {
                let place = || (language.clone(), key.clone());
                let Some(our) = ours.text(key) else {
                    mistakes.push(WordsMistake::Key(language.clone(), key.clone()));
                    continue;
                };
                keys.insert(key);
                let length = text.chars().count();
                if text.trim().is_empty() || length > TEXT_MAX {
                    let (language, key) = place();
                    mistakes.push(WordsMistake::Length(language, key));
                } else if placeholders(text) != placeholders(our) {
                    let (language, key) = place();
                    let ours = placeholders(our).into_iter().map(str::to_owned).collect();
                    mistakes.push(WordsMistake::Placeholders(language, key, ours));
                }
            }
        }
        for language in offered.iter().map(|words| words.language) {
            let texts = words.get(language);
            let missing = keys.iter().filter(|key| texts.is_none_or(|texts| !texts.contains_key(**key)));
            mistakes.extend(missing.map(|key| WordsMistake::Missing(language.to_owned(), (*key).clone())));
        }
        if mistakes.is_empty() { Ok(Self(words)) } else { Err(mistakes) }
    }

    /// The words of a language, with these in the place of ours.
    pub fn over(&self, ours: &Words) -> Words {
        let mut words = ours.clone();
        for (key, own) in self.0.get(ours.language).into_iter().flatten() {
            if let Some(text) = words.text_mut(key) {
                *text = Text::from(own.clone());
            }
        }
        words
    }
}

/// The names of the placeholders in a sentence, sorted.
pub(super) fn placeholders(text: &str) -> Vec<&str> {
    let mut names: Vec<_> = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(n, _)| n).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{LANGUAGES, language};

    fn table(words: &[(&str, &str, &str)]) -> BTreeMap<String, BTreeMap<String, String>> {
        let mut table: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for (language, key, text) in words {
            table.entry((*language).to_owned()).or_default().insert((*key).to_owned(), (*text).to_owned());
        }
        table
    }

    #[test]
    fn every_language_says_the_same() {
        let english = LANGUAGES[0];
        for words in LANGUAGES {
            for (key, doc) in Words::KEYS {
                let (text, original) = (words.text(key).unwrap(), english.text(key).unwrap());
                assert!(!text.trim().is_empty(), "{} {key}", words.language);
                assert_eq!(placeholders(text), placeholders(original), "{} {key}", words.language);
                for name in placeholders(text) {
                    assert!(doc.contains(&format!("`{{{name}}}`")), "{key} has {name}, its documentation has not");
                }
                let copied = words.language != "en" && text == original && text.contains(' ');
                assert!(!copied, "{} {key} is in English", words.language);
            }
        }
    }

    #[test]
    fn own_words_take_the_place_of_ours() {
        let (en, de) = (language("en").unwrap(), language("de-AT").unwrap());
        let own = table(&[("en", "sign_in", "Log in"), ("de", "sign_in", "Los")]);
        let own = OwnWords::new(own, &[en, de]).unwrap();
        assert_eq!((own.over(en).sign_in, own.over(de).sign_in), ("Log in".into(), "Los".into()));
        assert_eq!(own.over(en).sign_out, en.sign_out);
    }

    #[test]
    fn words_that_do_not_fit_are_all_named() {
        let (en, de) = (language("en").unwrap(), language("de").unwrap());
        let own = [
            ("en", "sign_inn", "x"),
            ("en", "welcome", "Hello"),
            ("en", "save", " "),
            ("de", "save", "Speichern"),
            ("pl", "save", "Zapisz"),
            ("en", "cancel", "Back"),
        ];
        let mistakes = OwnWords::new(table(&own), &[en, de]).unwrap_err();
        let place = |language: &str, key: &str| (language.to_owned(), key.to_owned());
        let ((a, b), (c, d), (e, f)) = (place("en", "sign_inn"), place("en", "welcome"), place("en", "save"));
        for expected in [
            WordsMistake::Key(a, b),
            WordsMistake::Placeholders(c, d, vec!["name".into()]),
            WordsMistake::Length(e, f),
            WordsMistake::Language("pl".into()),
            WordsMistake::Missing("de".into(), "cancel".into()),
            WordsMistake::Missing("de".into(), "welcome".into()),
        ] {
            assert!(mistakes.contains(&expected), "{expected:?} of {mistakes:?}");
        }
        assert_eq!(mistakes.len(), 6, "{mistakes:?}");
    }
}
