//! What an operator says of the pages.

use super::{good, one_problem, problems};
use std::fs;

#[test]
fn colours_are_two_each_and_people_can_tell_them_apart() {
    let colors = |text: &str| good(&[("pages.colors", text)]).pages.colors.stylesheet();
    assert_eq!(colors("[]"), "");
    let sheet = colors("[\"accent=#0b6e4f/#5fd39b\", \"ink = #000000 / #FFFFFF\"]");
    for said in
        ["--accent: #0b6e4f;", "--accent: #5fd39b;", "--ink: #000000;", "--ink: #ffffff;", "--accent-ink: #ffffff;"]
    {
        assert!(sheet.contains(said), "{said}: {sheet}");
    }
    for wrong in
        ["accent", "accent=blue", "accent=#12345", "link=#123456", "accent=#0b6e4f/", "accent=#0b6e4f;color:red"]
    {
        one_problem(&[("pages.colors", &format!("[{wrong:?}]"))], "pages.colors", "is not a name and its colours");
    }
    // Yellow on white; and a colour that is fine on white, alone, is not on the dark card.
    let found = problems(&[("pages.colors", "[\"accent=#ffdd00/#ffdd00\"]")]);
    assert!(found.iter().all(|problem| problem.what.contains("light scheme, accent stands out")), "{found:#?}");
    assert!(found[0].what.contains("1.35 : 1") && found[0].instead.contains("4.5 : 1"), "{found:#?}");
    let found = problems(&[("pages.colors", "[\"accent=#0b3e9f\"]")]);
    assert!(found.iter().all(|problem| problem.what.contains("dark scheme")), "{found:#?}");
}

#[test]
fn pictures_are_pictures_and_a_logo_has_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).unwrap();
        format!("{:?}", folder.path().join(name))
    };
    let svg = file("a.svg", b"<?xml version=\"1.0\"?><SVG/>");
    let png = file("a.png", b"\x89PNG\r\n\x1a\n rest");
    let ico = file("a.ico", &[0, 0, 1, 0, 1]);
    let name = ("pages.name", "\"Example\"");
    for (picture, media_type) in [(&svg, "image/svg+xml"), (&png, "image/png")] {
        let config = good(&[("pages.logo", picture), ("pages.favicon", picture), name]);
        assert_eq!(config.pages.logo.unwrap().media_type, media_type);
    }
    assert_eq!(good(&[("pages.favicon", &ico)]).pages.favicon.unwrap().media_type, "image/x-icon");
    one_problem(&[("pages.logo", &ico), name], "pages.logo", "too small");
    one_problem(&[("pages.logo", &svg)], "pages.logo", "pages.name");
    one_problem(&[("pages.favicon", &file("a.html", b"<script>"))], "pages.favicon", "neither an SVG nor a PNG");
    one_problem(&[("pages.favicon", &file("big.png", &vec![0; (256 << 10) + 1]))], "pages.favicon", "256 KiB");
    one_problem(&[("pages.name", &format!("{:?}", "x".repeat(61)))], "pages.name", "60 characters");
    one_problem(&[("pages.stylesheet", &file("big.css", &vec![b' '; (64 << 10) + 1]))], "pages.stylesheet", "64 KiB");
    one_problem(&[("pages.privacy_url", "\"http://example.com/\"")], "pages.privacy_url", "plain http");
}

#[test]
fn languages_and_words_that_do_not_fit_are_named() {
    one_problem(&[("pages.languages", "[\"en\", \"tlh\"]")], "pages.languages", "tlh");
    one_problem(&[("pages.languages", "[\"en\", \"en\"]")], "pages.languages", "twice");
    one_problem(&[("pages.languages", "[]")], "pages.languages", "no language");
    let folder = tempfile::tempdir().unwrap();
    let words = |text: &str| {
        fs::write(folder.path().join("words.toml"), text).unwrap();
        format!("{:?}", folder.path().join("words.toml"))
    };
    let (en, both) = (("pages.languages", "[\"en\"]"), ("pages.languages", "[\"en\", \"de\"]"));
    let config = good(&[en, ("pages.words", &words("[en]\nsign_in = \"Log in\""))]);
    assert!(config.pages.words.is_some());
    for (text, languages, expected) in [
        ("[en]\nsignin = \"x\"", en, "Write `sign_in`"),
        ("[en]\nwelcome = \"Hello\"", en, "`{name}`"),
        ("[en]\nsave = \"{name}\"", en, "without placeholders"),
        ("[en]\nsave = \"\"", en, "empty"),
        ("[de]\nsave = \"Sichern\"", en, "in which no page is"),
        ("[en]\nsave = \"Keep\"", both, "none in [de]"),
        ("[en]\nsave = 1", en, "line 2"),
        ("[en", en, "line 1"),
    ] {
        one_problem(&[languages, ("pages.words", &words(text))], "pages.words", expected);
    }
}
