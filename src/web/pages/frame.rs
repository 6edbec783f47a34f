//! What is around each page: whose it is, its languages, its links.

use crate::config::{PageImage, PagesConfig, Support};
use crate::web::Web;
use crate::web::language::{LANG, Languages, PageRequest};
use crate::words::Words;
use bytes::Bytes;

/// What the operator says of the pages.
#[derive(Debug)]
pub(in crate::web) struct Brand {
    pub(in crate::web) name: Option<String>,
    pub(in crate::web) logo: Option<PageImage>,
    pub(in crate::web) favicon: Option<PageImage>,
    /// Whom people can ask.
    pub(in crate::web) support: Option<Support>,
    pub(in crate::web) privacy_url: Option<String>,
    pub(in crate::web) terms_url: Option<String>,
    /// Where [`support`](Self::support) is.
    pub(in crate::web) help_url: Option<String>,
    /// Our style sheet, and the operator's.
    pub(in crate::web) stylesheet: Bytes,
}

impl Brand {
    pub(in crate::web) fn new(config: &PagesConfig) -> Self {
        let own = config.stylesheet.as_deref().unwrap_or_default();
        Self {
            name: config.name.clone(),
            logo: config.logo.clone(),
            favicon: config.favicon.clone(),
            support: config.support.clone(),
            privacy_url: config.privacy_url.as_ref().map(ToString::to_string),
            terms_url: config.terms_url.as_ref().map(ToString::to_string),
            help_url: config.support.as_ref().map(|support| match support {
                Support::Mail(address) => format!("mailto:{address}"),
                Support::Page(url) => url.to_string(),
            }),
            stylesheet: [include_str!("style.css"), &config.colors.stylesheet(), own].concat().into(),
        }
    }
}

/// What is around a page.
pub(in crate::web) struct PageFrame<'a> {
    /// Ours, where the page is shown under another one; else empty.
    pub(in crate::web) origin: &'a str,
    pub(in crate::web) brand: &'a Brand,
    /// The languages to choose from, where the same page can be asked for again.
    pub(in crate::web) languages: Vec<LanguageLink<'a>>,
}

/// The same page in another language.
pub(in crate::web) struct LanguageLink<'a> {
    pub(in crate::web) tag: &'static str,
    pub(in crate::web) name: &'a str,
    pub(in crate::web) href: String,
    pub(in crate::web) current: bool,
}

impl<'a> PageFrame<'a> {
    /// Around a page that can be asked for again.
    pub(in crate::web) fn new(web: &'a Web, page: &PageRequest) -> Self {
        let languages = match &page.again {
            Some(again) => links(&web.languages, again, web.languages.words(page.language)),
            None => Vec::new(),
        };
        Self { origin: "", brand: &web.brand, languages }
    }

    /// Around a page that can not.
    pub(in crate::web) fn once(web: &'a Web, origin: &'a str) -> Self {
        Self { origin, brand: &web.brand, languages: Vec::new() }
    }

    pub(in crate::web) fn has_links(&self) -> bool {
        let Brand { privacy_url, terms_url, help_url, .. } = self.brand;
        privacy_url.is_some() || terms_url.is_some() || help_url.is_some()
    }
}

fn links<'a>(languages: &'a Languages, again: &str, current: &Words) -> Vec<LanguageLink<'a>> {
    let between = if again.ends_with('?') { "" } else { "&" };
    let link = |words: &'a Words| LanguageLink {
        tag: words.language,
        name: words.name,
        href: format!("{again}{between}{LANG}={}", words.language),
        current: words.language == current.language,
    };
    let links: Vec<_> = languages.all().map(link).collect();
    // One language is no choice.
    if links.len() > 1 { links } else { Vec::new() }
}
