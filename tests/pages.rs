//! The pages of the service: in which language they are, whose they are, and how they look.

use crate::support::{Answer, Browser, Site};
use auth_api::words::{LANGUAGES, Words, language};
use reqwest::Method;
use std::fs;
use std::path::Path;

async fn in_language(browser: &Browser, url: &str, accept: &str) -> Answer {
    browser.send(Method::GET, url, |request| request.header("accept-language", accept)).await
}

/// Every text of a page that a person reads.
fn texts(html: &str) -> Vec<String> {
    let body = html.split("<body>").nth(1).unwrap();
    let parts = body.split('<').filter_map(|part| part.split_once('>').map(|(_, text)| text.trim().to_owned()));
    parts.filter(|text| text.chars().any(char::is_alphabetic)).collect()
}

#[tokio::test]
async fn a_page_is_in_the_language_that_the_browser_prefers() {
    let site = Site::start().await;
    let browser = Browser::new();
    for words in LANGUAGES {
        let page = in_language(&browser, &site.auth("/"), words.language).await;
        let html = format!("<html lang=\"{}\" dir=\"{}\">", words.language, words.direction.as_str());
        assert!(page.body.contains(&html), "{}", page.body);
        assert!(page.body.contains(&*words.not_signed_in), "{}", page.body);
    }
    let page = in_language(&browser, &site.auth("/"), "pl,tlh").await;
    assert!(page.body.contains("<html lang=\"en\""), "{}", page.body);
}

#[tokio::test]
async fn a_language_that_was_chosen_is_remembered_and_goes_along_to_the_sign_in() {
    let site = Site::start().await;
    let browser = Browser::new();
    let page = in_language(&browser, &site.auth("/auth/signout?return_to=x&lang=fr"), "de").await;
    assert!(page.body.contains("<html lang=\"fr\""), "{}", page.body);
    // The links keep what the page was asked for.
    assert!(page.body.contains("href=\"/auth/signout?return_to=x&#38;lang=ja\""), "{}", page.body);
    let cookie = page.set_cookies("auth-language=").join("");
    assert!(cookie.starts_with("auth-language=fr;") && cookie.contains("HttpOnly"), "{cookie}");
    let next = in_language(&browser, &site.auth("/"), "de").await;
    assert!(next.body.contains("<html lang=\"fr\"") && next.set_cookies("auth-language").is_empty(), "{next:?}");
    let to_provider = browser.get(&site.auth("/auth/signin")).await.location();
    assert!(to_provider.contains("lang=fr"), "{to_provider}");
    // What somebody else planted is no language.
    let stranger = Browser::new();
    stranger.plant(&site.auth("/"), "auth-language=\"><script>");
    assert!(in_language(&stranger, &site.auth("/"), "de").await.body.contains("<html lang=\"de\""));
}

#[tokio::test]
async fn an_error_page_is_in_the_language_of_the_sign_in() {
    let site = Site::start().await;
    let browser = Browser::new();
    let authorize = browser.get(&site.auth("/auth/signin?lang=ja")).await.location();
    let state = crate::support::param(&authorize, "state").unwrap();
    let callback = site.auth(&format!("/auth/signin/callback?error=access_denied&state={state}"));
    let page = in_language(&browser, &callback, "de").await;
    assert!(page.body.contains("<html lang=\"ja\""), "{}", page.body);
    assert!(page.body.contains(&*language("ja").unwrap().cancelled_title), "{}", page.body);
    // Its address can not be asked for again: no other language is offered.
    assert!(!page.body.contains("hreflang"), "{}", page.body);
}

#[tokio::test]
async fn no_page_shows_a_word_of_another_language() {
    let site = Site::with(&[("PAGES__SUPPORT", "help@example.com")]).await;
    let jane = Browser::new();
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
    for words in LANGUAGES.into_iter().filter(|words| words.language != "en") {
        let latin = !matches!(words.language, "ja" | "ar");
        for (browser, path) in [
            (&Browser::new(), "/"),
            (&jane, "/"),
            (&jane, "/auth/signout"),
            (&jane, "/auth/account"),
            (&Browser::new(), "/auth/signout/callback"),
            (&Browser::new(), "/auth/signin/callback?code=x&state=y"),
            (&Browser::new(), "/nothing"),
        ] {
            let accept = format!("{},en;q=0.1", words.language);
            let shape = |r: reqwest::RequestBuilder| {
                r.header("accept-language", accept).header("accept", "text/html").header("sec-fetch-mode", "navigate")
            };
            let page = browser.send(Method::GET, &site.auth(path), shape).await;
            for text in texts(&page.body) {
                let english = Words::KEYS.iter().any(|(key, _)| {
                    let (ours, theirs) = (LANGUAGES[0].text(key).unwrap(), words.text(key).unwrap());
                    ours != theirs && **ours == *text
                });
                assert!(!english, "{} {path}: {text}", words.language);
                // Names of people, browsers, addresses and languages are what they are.
                let is_name = ["Jane", "jane@", "help@", "127.0.0.1", "English", "Deutsch", "Français", "Español"]
                    .iter()
                    .any(|name| text.contains(name));
                let is_reference = text.len() == 16 && text.chars().all(|c| c.is_ascii_hexdigit());
                let letters = text.chars().filter(char::is_ascii_alphabetic).count();
                assert!(
                    latin || is_name || is_reference || letters * 3 < text.len() || text.len() == 1,
                    "{} {path}: {text}",
                    words.language
                );
            }
        }
    }
}

#[test]
fn every_sentence_is_said_somewhere() {
    let mut web = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(path) {
                web += &text;
            }
        }
    }
    let unused: Vec<_> = Words::KEYS.iter().filter(|(key, _)| !web.contains(&format!("words.{key}"))).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

#[tokio::test]
async fn only_the_languages_that_are_offered_are() {
    let site = Site::with(&[("PAGES__LANGUAGES", "de,fr")]).await;
    let browser = Browser::new();
    for (accept, expected) in [("en", "de"), ("ja,fr;q=0.2", "fr"), ("*", "de")] {
        let page = in_language(&browser, &site.auth("/"), accept).await;
        assert!(page.body.contains(&format!("<html lang=\"{expected}\"")), "{accept}: {}", page.body);
        assert!(!page.body.contains("English"));
    }
    let alone = Site::with(&[("PAGES__LANGUAGES", "es")]).await;
    assert!(!Browser::new().get(&alone.auth("/")).await.body.contains("hreflang"));
}

#[tokio::test]
async fn pages_are_the_operators_with_name_logo_colours_words_and_links() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let logo = write("logo.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 9 9\"/>");
    let words = write("words.toml", "[en]\nsign_in = \"Log in <now>\"\n");
    let sheet = write("pages.css", "main { border-radius: 0 }\n");
    let site = Site::with(&[
        ("PAGES__NAME", "Ex & Co"),
        ("PAGES__LOGO", &logo),
        ("PAGES__FAVICON", &logo),
        ("PAGES__COLORS", "accent=#0b6e4f/#5fd39b"),
        ("PAGES__PRIVACY_URL", "https://www.example.com/privacy"),
        ("PAGES__TERMS_URL", "https://www.example.com/terms"),
        ("PAGES__SUPPORT", "help@example.com"),
        ("PAGES__LANGUAGES", "en"),
        ("PAGES__WORDS", &words),
        ("PAGES__STYLESHEET", &sheet),
    ])
    .await;
    let browser = Browser::new();
    let page = browser.get(&site.auth("/")).await.body;
    for expected in [
        "Log in &#60;now&#62; – Ex &#38; Co</title>",
        "alt=\"Ex &#38; Co\"",
        "<link rel=\"icon\" href=\"/favicon.ico\">",
        "https://www.example.com/privacy",
        "https://www.example.com/terms",
        "mailto:help@example.com",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
    for path in ["/auth/assets/logo", "/favicon.ico"] {
        let image = browser.get(&site.auth(path)).await;
        assert_eq!((image.status, image.header("content-type")), (200, Some("image/svg+xml")));
        // Opened by itself it runs nothing.
        assert!(image.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
    let sheet = browser.get(&site.auth("/auth/assets/style.css")).await.body;
    let (accent, own) = (sheet.find("--accent: #0b6e4f").unwrap(), sheet.find("border-radius: 0 }").unwrap());
    assert!(sheet.find("--accent: #2457d6").unwrap() < accent && accent < own);
    // Without any, there is none.
    let plain = Site::start().await;
    assert_eq!(browser.get(&plain.auth("/auth/assets/logo")).await.problem(), "not-found");
}

#[tokio::test]
async fn the_script_for_siblings_speaks_the_visitors_language() {
    let site = Site::start().await;
    let browser = Browser::new();
    let script = in_language(&browser, &site.auth("/auth/assets/session.js"), "ar").await;
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(script.header("vary"), Some("accept-language, cookie"));
    assert_eq!(script.header("cross-origin-resource-policy"), Some("same-site"));
    assert!(script.body.contains(&*language("ar").unwrap().notice_ended) && script.body.contains("\"rtl\""));
    let german = in_language(&browser, &site.auth("/auth/assets/session.js?lang=de"), "ar").await;
    assert!(german.body.contains(&*language("de").unwrap().notice_ended), "{}", german.body);
}
