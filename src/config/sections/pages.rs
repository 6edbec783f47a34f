//! `[pages]`: what the pages for people say about who runs them.

use std::collections::BTreeMap;
use std::path::Path;

use url::Url;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::files::{read_bytes, read_file};
use crate::config::key::{RawValue, Report};
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{KeySpec, choices, section, text, text_with_base};
use crate::config::values::colors::{PageColors, page_colors};
use crate::config::values::hosts::host_name;
use crate::config::values::urls::secure_url;
use crate::domain::host::ip;
use crate::words::{self, OwnWords, Words, WordsMistake};

section! {
    pages: "The pages of this service that people see: whose they are, how they look, in which languages.";
    PagesConfig / RawPages

    /// The name of your company or product, at the head of each page and in its title.
    name: Option<String> = text(page_name).optional("Example");

    /// An SVG or PNG file of at most 256 KiB, shown at the head of each page in place of the name, which is then its
    /// text for those who cannot see it.
    logo: Option<PageImage> = text_with_base(logo).rule(|_| has_name(name.valid())).optional("logo.svg");

    /// The icon of the pages in the browser's tab: an SVG, PNG or ICO file of at most 256 KiB.
    favicon: Option<PageImage> = text_with_base(page_image).optional("favicon.svg");

    /// Colours of your own, each `name=light/dark`: `accent` (buttons, links), `card` and `ground` (behind the text, and
    /// around it), `ink` (text). With one colour alone, it is that of both schemes. Colours that people could not tell
    /// apart are a mistake (WCAG 2.2 §§1.4.3 and 1.4.11).
    colors: PageColors = page_colors().default("");

    /// Whom people can ask, shown on error pages with the reference that is in the log: an e-mail address or an https
    /// address.
    support: Option<Support> = text(support).optional("help@example.com");

    /// Your privacy notice, linked at the foot of each page.
    privacy_url: Option<Url> = text(page_url).optional("https://www.example.com/privacy");

    /// Your terms of use, linked there too.
    terms_url: Option<Url> = text(page_url).optional("https://www.example.com/terms");

    /// The languages of the pages: `en`, `de`, `fr`, `es`, `ja`, `ar`. People get the one that the sign-in's `lang` names,
    /// or that they chose on a page, or that their browser prefers; else the first.
    languages: Vec<&'static Words> = choices(&words::LANGUAGES.map(|words| words.language), language).default("en,de,fr,es,ja,ar").rule(languages);

    /// A TOML file with sentences of your own in place of ours: a table for each language, such as `[en]`, with the keys
    /// that `auth-api words` prints. A sentence needs its own words in each of the languages above, or in none.
    words: Option<OwnWords> = own_words(&languages).optional("words.toml");

    /// A style sheet of at most 64 KiB, which comes after ours.
    stylesheet: Option<String> = text_with_base(stylesheet).optional("pages.css");
}

/// A picture of the operator's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageImage {
    /// The media type.
    pub media_type: &'static str,
    /// The file's content.
    pub bytes: bytes::Bytes,
}

/// Bytes of a picture.
const IMAGE_MAX: u64 = 256 << 10;
/// Bytes of a style sheet.
const STYLESHEET_MAX: usize = 64 << 10;
/// Characters of a name.
const NAME_MAX: usize = 60;

fn page_name(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.chars().count() <= NAME_MAX && !text.chars().any(char::is_control),
        format!("{} does not fit at the head of a page.", shown(text)),
        "Write a name of at most 60 characters.",
    )
}

fn page_image(text: &str, base: &Path) -> Result<PageImage, Mistake> {
    let bytes = read_bytes(IMAGE_MAX, &base.join(text))?;
    let is_svg = || {
        let start = String::from_utf8_lossy(bytes.get(..1_024).unwrap_or(&bytes)).to_ascii_lowercase();
        start.contains("<svg") && std::str::from_utf8(&bytes).is_ok()
    };
    let media_type = match bytes.as_slice() {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
        [0, 0, 1, 0, ..] => "image/x-icon",
        _ if is_svg() => "image/svg+xml",
        _ => {
            return Err(Mistake::new(
                format!(
                    "The file {} is neither an SVG nor a PNG picture, and browsers would not show it.",
                    shown(text)
                ),
                "Export the picture as SVG or PNG.",
            ));
        }
    };
    Ok(PageImage { media_type, bytes: bytes.into() })
}

fn logo(text: &str, base: &Path) -> Result<PageImage, Mistake> {
    let image = page_image(text, base)?;
    let what = format!("{} is an icon, which is too small for the head of a page.", shown(text));
    Mistake::unless(image.media_type != "image/x-icon", what, "Export the picture as SVG or PNG.").map(|()| image)
}

fn has_name(name: Option<&Option<String>>) -> Result<(), Mistake> {
    let what = "The pages have a logo and no name, so people who cannot see it would not know whose they are.";
    Mistake::unless(name.is_none_or(Option::is_some), what, "Write pages.name too.")
}

fn page_url(text: &str) -> Result<Url, Mistake> {
    secure_url(text, "anybody on the way could change what people read there.")
}

fn language(text: &str) -> Result<&'static Words, Mistake> {
    words::LANGUAGES.into_iter().find(|words| words.language == text).ok_or_else(|| {
        let all: Vec<_> = words::LANGUAGES.iter().map(|words| words.language).collect();
        let instead = format!("Write some of {}.", all.join(", "));
        Mistake::new(format!("There are no pages in the language {}.", shown(text)), instead)
    })
}

fn languages(languages: &Vec<&'static Words>) -> Result<(), Mistake> {
    let twice = languages
        .iter()
        .enumerate()
        .any(|(at, words)| languages.iter().take(at).any(|before| before.language == words.language));
    Mistake::unless(!twice, "A language is named twice.", "Name each language once.")?;
    Mistake::unless(!languages.is_empty(), "There is no language for the pages.", "Name one, such as `en`.")
}

/// A file with words for the pages; each word that does not fit is a mistake of its own.
fn own_words<'a>(languages: &'a Field<Vec<&'static Words>>) -> KeySpec<'a, OwnWords> {
    KeySpec::new(crate::config::key::KeyShape::String, move |raw, report: &mut Report<'_>| {
        let RawValue::Text(file) = raw else { return None };
        let all = words::LANGUAGES.to_vec();
        let offered = languages.valid().unwrap_or(&all);
        let read = read_words(&report.base.join(file.as_str()));
        let words = report.judge(read)?;
        let mistakes = match OwnWords::new(words, offered) {
            Ok(words) => return Some(words),
            Err(mistakes) => mistakes,
        };
        for mistake in mistakes {
            report.judge::<()>(Err(described(mistake)));
        }
        None
    })
}

fn read_words(path: &Path) -> Result<BTreeMap<String, BTreeMap<String, String>>, Mistake> {
    let text = read_file(path)?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].lines().count().max(1));
        Mistake::new(
            format!("{}, line {line}: {}.", path.display(), error.message()),
            "Write tables of texts, such as `[en]` and below it `sign_in = \"Log in\"`.",
        )
    })
}

fn described(mistake: WordsMistake) -> Mistake {
    match mistake {
        WordsMistake::Language(language) => Mistake::new(
            format!("There are words in the language {}, in which no page is.", shown(&language)),
            "Add it to pages.languages, or remove the table.",
        ),
        WordsMistake::Key(language, key) => {
            let near = crate::config::suggest::nearest(&key, Words::KEYS.iter().map(|(key, _)| (*key).to_owned()));
            let instead = match near {
                Some(near) => format!("Write `{near}`, or remove it."),
                None => "Remove it; `auth-api words` prints every key.".to_owned(),
            };
            Mistake::new(format!("In [{language}], there is no sentence called {}.", shown(&key)), instead)
        }
        WordsMistake::Placeholders(language, key, ours) => {
            let ours: Vec<_> = ours.iter().map(|name| format!("`{{{name}}}`")).collect();
            let instead = match ours.as_slice() {
                [] => "Write the sentence without placeholders.".to_owned(),
                _ => format!("Write {} in it, each once.", ours.join(" and ")),
            };
            let what = format!("In [{language}], the sentence `{key}` has other placeholders than ours has.");
            Mistake::new(what, instead)
        }
        WordsMistake::Length(language, key) => Mistake::new(
            format!("In [{language}], the sentence `{key}` is empty or longer than 1,000 characters."),
            "Write a sentence, or remove the key.",
        ),
        WordsMistake::Missing(language, key) => Mistake::new(
            format!("The sentence `{key}` has words of your own in some languages, and none in [{language}]."),
            format!("Write it in [{language}] too, or take the language out of pages.languages."),
        ),
    }
}

fn stylesheet(text: &str, base: &Path) -> Result<String, Mistake> {
    let sheet = read_file(&base.join(text))?;
    Mistake::text_if(
        &sheet,
        sheet.len() <= STYLESHEET_MAX,
        format!("The style sheet {} is larger than 64 KiB.", shown(text)),
        "Write only what differs from our own.",
    )
}

/// Whom people can ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// An e-mail address that a `mailto:` link can hold as it is.
    Mail(String),
    /// A page.
    Page(Url),
}

impl Support {
    /// What people call it: the address, or the host of the page.
    pub fn name(&self) -> &str {
        match self {
            Self::Mail(address) => address,
            Self::Page(url) => url.host_str().unwrap_or_default(),
        }
    }
}

/// Longer addresses are refused (RFC 5321 §4.5.3.1.3).
const MAIL_MAX: usize = 254;

fn support(text: &str) -> Result<Support, Mistake> {
    let instead = "Write an address such as `help@example.com`, or a page such as `https://help.example.com/`.";
    if text.starts_with("mailto:") {
        return Err(Mistake::new("The link is made from the address alone.", "Write the address without `mailto:`."));
    }
    if text.contains("://") {
        let page = secure_url(text, "anybody on the way could answer in your place.")?;
        return Ok(Support::Page(page));
    }
    let refused = |what: &str| Err(Mistake::new(format!("{} {what}", shown(text)), instead));
    let Some((local, host)) = text.rsplit_once('@') else {
        return refused("is neither an e-mail address nor a web address.");
    };
    // Those of RFC 5322's that mean nothing in a URL.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    let dots = local.starts_with('.') || local.ends_with('.') || local.contains("..");
    if local.is_empty() || dots || !local.bytes().all(plain) || text.len() > MAIL_MAX {
        return refused("is not an e-mail address that fits into a link.");
    }
    let host = host_name(host)?;
    if !host.contains('.') || ip(&host).is_some() {
        return refused("has no mail host that the world can reach.");
    }
    Ok(Support::Mail(format!("{local}@{host}")))
}
