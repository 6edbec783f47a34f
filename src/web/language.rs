//! In which language a page is: that of the sign-in (`lang`), the one that somebody chose on a page, the one that the
//! browser prefers (RFC 9110 §12.5.4), or else the first that is offered.

use super::Web;
use super::request_id::RequestId;
use crate::config::PagesConfig;
use crate::words::{self, Words};
use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT_LANGUAGE, HeaderMap};
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// Languages of a browser that are looked at: no browser sends as many.
const PREFERENCES_MAX: usize = 20;

/// The languages that are offered, with the operator's own words.
#[derive(Debug)]
pub(super) struct Languages(Vec<Words>);

/// One of the languages that are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Language(usize);

impl Languages {
    pub(super) fn new(config: &PagesConfig) -> Self {
        let own = config.words.clone().unwrap_or_default();
        Self(config.languages.iter().map(|ours| own.over(ours)).collect())
    }

    pub(super) fn words(&self, language: Language) -> &Words {
        // There is at least one, and each index is of one of them.
        self.0.get(language.0).unwrap_or(words::LANGUAGES[0])
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Words> {
        self.0.iter()
    }

    /// The language of a tag (BCP 47), or the one that it is a variant of.
    pub(super) fn of_tag(&self, tag: &str) -> Option<Language> {
        let wanted = words::language(tag)?.language;
        self.0.iter().position(|words| words.language == wanted).map(Language)
    }

    /// The best of those that the browser prefers.
    fn of_preferences(&self, headers: &HeaderMap) -> Option<Language> {
        let lists = headers.get_all(ACCEPT_LANGUAGE).iter().filter_map(|list| list.to_str().ok());
        let ranges = lists.flat_map(|list| list.split(',')).take(PREFERENCES_MAX);
        let mut best = None;
        for (tag, weight) in ranges.filter_map(preference) {
            let language = if tag == "*" { Some(Language(0)) } else { self.of_tag(tag) };
            // Of two with the same weight, the first.
            if let Some(language) = language.filter(|_| best.is_none_or(|(_, most)| weight > most)) {
                best = Some((language, weight));
            }
        }
        best.map(|(language, _)| language)
    }
}

/// A language range and its weight in thousandths; none for one that is refused (`q=0`).
fn preference(range: &str) -> Option<(&str, u32)> {
    let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
    let weight = match parameters.trim().strip_prefix("q=") {
        Some(weight) => weight.trim().parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight))?,
        None => 1.0,
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies within 0 and 1000")]
    let thousandths = (weight * 1_000.0) as u32;
    (thousandths > 0).then_some((tag.trim(), thousandths))
}

/// What a page has to know of the request that asks for it.
#[derive(Debug, Clone)]
pub(super) struct PageRequest {
    pub(super) id: RequestId,
    pub(super) language: Language,
    /// It was chosen on a page, with this request or an earlier one.
    is_chosen: bool,
    /// It was chosen with this request.
    is_new: bool,
    /// The address, if it may be asked for again in another language.
    pub(super) again: Option<String>,
}

impl PageRequest {
    pub(super) fn new(web: &Web, id: RequestId, headers: &HeaderMap, asked: Option<&str>) -> Self {
        let asked = asked.and_then(|tag| web.languages.of_tag(tag));
        let chosen = asked.or_else(|| web.languages.of_tag(web.jar.language(headers)?));
        let language = chosen.or_else(|| web.languages.of_preferences(headers)).unwrap_or(Language(0));
        Self { id, language, is_chosen: chosen.is_some(), is_new: asked.is_some(), again: None }
    }

    /// The same for an answer that cannot be asked for again.
    pub(super) fn once(self) -> Self {
        Self { again: None, ..self }
    }

    /// The tag of the language that somebody chose on a page.
    pub(super) fn chosen_tag(&self, web: &Web) -> Option<&'static str> {
        self.is_chosen.then(|| web.languages.words(self.language).language)
    }

    /// The tag of the language that somebody chooses with this request.
    pub(super) fn newly_chosen_tag(&self, web: &Web) -> Option<&'static str> {
        self.chosen_tag(web).filter(|_| self.is_new)
    }
}

impl FromRequestParts<Arc<Web>> for PageRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Infallible> {
        let id = RequestId::from_request_parts(parts, web).await?;
        let query = parts.uri.query().unwrap_or_default();
        let asked = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == LANG);
        let page = Self::new(web, id, &parts.headers, asked.as_ref().map(|(_, tag)| tag.as_ref()));
        Ok(Self { again: Some(format!("{}?{}", parts.uri.path(), without_language(query))), ..page })
    }
}

/// The parameter that names a language.
pub(super) const LANG: &str = "lang";

fn without_language(query: &str) -> String {
    let others = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != LANG);
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn preferred(list: &'static str) -> Option<&'static str> {
        let languages = Languages(["en", "de", "ja"].map(|tag| words::language(tag).unwrap().clone()).to_vec());
        let headers = HeaderMap::from_iter([(ACCEPT_LANGUAGE, HeaderValue::from_static(list))]);
        languages.of_preferences(&headers).map(|language| languages.words(language).language)
    }

    #[test]
    fn the_best_language_that_is_offered_is_taken() {
        for (list, expected) in [
            ("de", Some("de")),
            ("de-AT,en;q=0.8", Some("de")),
            ("fr,ja;q=0.5,de;q=0.7", Some("de")),
            ("en;q=0.5, ja ; q=0.9", Some("ja")),
            ("DE_ch", Some("de")),
            ("fr", None),
            ("de;q=0", None),
            ("de;q=0,en;q=0.1", Some("en")),
            ("*", Some("en")),
            ("fr,*;q=0.1", Some("en")),
            ("de;q=nonsense,ja", Some("ja")),
            ("de;q=NaN,ja;q=0.1", Some("ja")),
            (",,;;=,", None),
        ] {
            assert_eq!(preferred(list), expected, "{list}");
        }
    }
}
