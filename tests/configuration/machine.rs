//! The blocks of machine clients, in the configuration and in files beside it.

use std::path::Path;
use std::time::{Duration, Instant};

use auth_api::config::{Config, Diagnostic, Sources, load};
use auth_api::domain::machine::SecretHash;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::{load_env, toml};

const UPSTREAM: &str = "name = \"dev\"\nclient_id = \"6o7h\"\nclient_secret = \"hunter2\"\n";

fn hash(secret: &str) -> String {
    SecretHash::of(secret).to_string()
}

/// The keys of a good client, one of them changed; "" leaves it out.
fn client(changed: &[(&str, &str)]) -> String {
    let hashes = format!("[\"{}\"]", hash("a secret"));
    let mut keys = vec![
        ("id", "\"nightly\""),
        ("secret_hashes", &*hashes),
        ("owner", "\"data team\""),
        ("scopes", "[\"cms/read\"]"),
        ("upstream", "\"dev\""),
    ];
    for (key, value) in changed {
        keys.retain(|(name, _)| name != key);
        keys.push((key, value));
    }
    keys.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn load_at(folder: &Path, blocks: &str) -> Result<Config, Vec<Diagnostic>> {
    load(Sources { file: Some((folder.join("auth-api.toml"), format!("{}{blocks}", toml(&[])))), env: vec![] })
}

/// Loads these blocks in a folder of their own.
fn load_blocks(blocks: &str) -> Result<Config, Vec<Diagnostic>> {
    load_at(Path::new("/etc/auth-api"), blocks)
}

/// Exactly one problem, whose place and sentences contain these words.
fn one(result: Result<Config, Vec<Diagnostic>>, at: &str, words: &str) {
    let found = result.map_or_else(|problems| problems, |_| panic!("accepted: {at}: {words}"));
    let [problem] = found.as_slice() else { panic!("{at}: {found:#?}") };
    assert!(problem.key.contains(at), "{at}: {problem}");
    assert!(problem.to_string().contains(words), "{words}: {problem}");
    for sentence in [&problem.what, &problem.instead] {
        assert!(sentence.ends_with('.') && !sentence.starts_with(|c: char| c.is_lowercase()), "{sentence}");
    }
    for secret in ["hunter2", "plain-secret"] {
        assert!(!problem.to_string().contains(secret), "{problem}");
    }
}

#[test]
fn good_blocks_are_read() {
    let two = format!("[\"{}\", \"{}\"]", hash("new"), hash("old"));
    let more = client(&[("id", "\"weekly\""), ("secret_hashes", &two), ("disabled", "true")]);
    let text = format!("[[machine.upstream]]\n{UPSTREAM}[[machine.client]]\n{}[[machine.client]]\n{more}", client(&[]));
    let config = load_blocks(&text).unwrap();
    assert_eq!(config.machine.upstream_ids().collect::<Vec<_>>(), ["6o7h"]);
    let clients = config.machine.read_clients().unwrap();
    let (nightly, weekly) = (&clients["nightly"], &clients["weekly"]);
    assert_eq!((nightly.owner.as_str(), nightly.scopes.to_string().as_str()), ("data team", "cms/read"));
    assert_eq!(nightly.upstream.secret.expose_secret(), "hunter2");
    assert!(nightly.has_secret(&SecretHash::of("a secret")) && !nightly.disabled && weekly.disabled);
    assert!(weekly.has_secret(&SecretHash::of("new")) && weekly.has_secret(&SecretHash::of("old")));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn resources_and_default_scopes_are_none_unless_they_are_listed() {
    let text = |upstream: &str, resources: &str| {
        let client = client(&[("resources", resources)]);
        format!("[[machine.upstream]]\n{UPSTREAM}{upstream}\n[[machine.client]]\n{client}")
    };
    let read = |text: &str| load_blocks(text).unwrap().machine.read_clients().unwrap()["nightly"].clone();
    for none in ["", "[]"] {
        let upstream = if none.is_empty() { String::new() } else { format!("default_scopes = {none}") };
        let nightly = read(&text(&upstream, none));
        assert!(nightly.resources.is_empty() && !nightly.may_name("https://api.example.com"));
        assert!(!nightly.upstream.unrequested.allow(&"email".parse().unwrap()));
    }
    let nightly = read(&text("default_scopes = [\"email\"]", "[\"https://api.example.com\"]"));
    assert!(nightly.may_name("https://api.example.com") && !nightly.may_name("https://api.example.com/"));
    assert!(nightly.upstream.unrequested.allow(&"email".parse().unwrap()));
}

#[test]
fn a_rule_for_a_client_needs_tokens_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("more.toml"), client(&[("id", "\"weekly\"")]).replacen("", "[[client]]\n", 1))
        .unwrap();
    let load = |share: &str, named: &str| {
        let proxies = toml(&[("server.trusted_proxies", "[\"10.0.0.7\"]")]);
        let text = format!(
            "{proxies}[machine]\nclients = \"more.toml\"\n[[machine.upstream]]\n{UPSTREAM}{share}\n[[machine.client]]\n{}\
             [[policy.site]]\nhost = \"auth-api.example.com\"\npath = \"/export\"\nclients = [\"{named}\"]\n",
            client(&[])
        );
        load(Sources { file: Some((folder.path().join("auth-api.toml"), text)), env: vec![] })
    };
    for named in ["nightly", "weekly"] {
        assert!(load("", named).is_ok() && load("share = false", named).is_ok());
        one(load("share = true", named), "policy.site (auth-api.example.com/export)", "share = true");
    }
    assert!(load("share = true", "somebody-else").is_ok(), "whom another upstream may serve one day");
}

#[test]
fn mistakes_in_a_client_are_told_with_its_name() {
    let plain = "[\"plain-secret\"]";
    let doubled = format!("[\"{0}\", \"{0}\"]", hash("a"));
    let three = format!("[\"{}\", \"{}\", \"{}\"]", hash("a"), hash("b"), hash("c"));
    let mixed = format!("[\"{}\", 5]", hash("a"));
    for (key, value, words) in [
        ("colour", "\"red\"", "no such key"),
        ("secret", "\"plain-secret\"", "no such key"),
        ("secret_hashes", "", "at least one"),
        ("secret_hashes", "[]", "at least one"),
        ("secret_hashes", "\"plain-secret\"", "list of texts"),
        ("secret_hashes", &*mixed, "list of texts"),
        ("secret_hashes", plain, "auth-api client new"),
        ("secret_hashes", "[\"sha256:plain-secret\"]", "not the hash"),
        ("secret_hashes", &*doubled, "twice"),
        ("secret_hashes", &*three, "more than two"),
        ("owner", "", "required"),
        ("owner", "\" \"", "text is expected"),
        ("owner", "[\"data team\"]", "text is expected"),
        ("scopes", "", "at least one"),
        ("scopes", "\"cms/read\"", "list of texts"),
        ("scopes", "[\"cms/read cms/write\"]", "white space"),
        ("scopes", "[\"\"]", "none of them empty"),
        ("scopes", "[\"a\\\\b\"]", "cannot have"),
        ("resources", "\"https://api.example.com\"", "list of texts"),
        ("resources", "[\"\"]", "none of them empty"),
        ("resources", "[\"/orders\"]", "cannot name a resource"),
        ("resources", "[\"https://api.example.com/#a\"]", "without a fragment"),
        ("upstream", "", "required"),
        ("upstream", "\"prod\"", "Write one of: dev."),
        ("on_behalf_of", "\"\"", "text is expected"),
        ("on_behalf_of", "\"jane doe\"", "sub"),
        ("on_behalf_of", "\"jänne\"", "sub"),
        ("fetches_per_hour", "0", "whole number from 1"),
        ("fetches_per_hour", "\"5\"", "without quotes"),
        ("disabled", "\"true\"", "without quotes"),
        ("disabled", "1", "neither true nor false"),
    ] {
        let text = format!("[[machine.upstream]]\n{UPSTREAM}[[machine.client]]\n{}", client(&[(key, value)]));
        one(load_blocks(&text), &format!("(nightly): {key}"), words);
    }
    for (id, words) in [
        ("", "required"),
        ("5", "text is expected"),
        ("\"night ly\"", "letters, digits"),
        ("\"a:b\"", "letters, digits"),
        ("\"é\"", "letters, digits"),
    ] {
        let text = format!("[[machine.upstream]]\n{UPSTREAM}[[machine.client]]\n{}", client(&[("id", id)]));
        one(load_blocks(&text), "machine.client 1", words);
    }
    one(load_blocks(&format!("[[machine.client]]\n{}", client(&[]))), "upstream", "Add the block.");
    let twice = format!("[[machine.upstream]]\n{UPSTREAM}[[machine.client]]\n{0}[[machine.client]]\n{0}", client(&[]));
    one(load_blocks(&twice), "machine.client", "`nightly` is registered twice");
    one(load_blocks("[machine.client]\nid = \"nightly\"\n"), "machine", "[[client]]");
    one(load_blocks("[machine]\nclient = [\"nightly\"]\n"), "machine", "list of blocks");
}

#[test]
fn mistakes_in_an_upstream_are_told_and_its_secret_is_not() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hunter2\n").unwrap();
    std::fs::write(folder.path().join("lines"), "hunter2\nhunter2\n").unwrap();
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let named = "name = \"dev\"\nclient_id = \"6o7h\"\n";
    let block = |keys: &str| load_at(folder.path(), &format!("[[machine.upstream]]\n{keys}"));
    let from_file = block(&format!("{named}client_secret_file = \"secret\"\n[[machine.client]]\n{}", client(&[])));
    let clients = from_file.unwrap().machine.read_clients().unwrap();
    assert_eq!(clients["nightly"].upstream.secret.expose_secret(), "hunter2");
    for (keys, at, words) in [
        ("client_id = \"6o7h\"\nclient_secret = \"hunter2\"\n", "1: name", "required"),
        (&*format!("{UPSTREAM}default_scopes = \"email\"\n"), "1: default_scopes", "list of texts"),
        (&*format!("{UPSTREAM}default_scopes = [\"email profile\"]\n"), "1: default_scopes", "white space"),
        ("name = \"dev\"\nclient_secret = \"hunter2\"\n", "1: client_id", "required"),
        (named, "1: client_secret", "required"),
        (&*format!("{UPSTREAM}colour = 1\n"), "1: colour", "no such key"),
        (&*format!("{UPSTREAM}client_secret_file = \"secret\"\n"), "1: client_secret_file", "only one can count"),
        (&*format!("{named}client_secret_file = \"no-such-file\"\n"), "1: client_secret_file", "no-such-file"),
        (&*format!("{named}client_secret_file = \"lines\"\n"), "1: client_secret", "line break"),
        (&*format!("{named}client_secret_file = \"empty\"\n"), "1: client_secret", "empty"),
        (&*format!("{named}client_secret = 5\n"), "1: client_secret", "text is expected"),
        (&*format!("{named}client_secret = \"hunter2 \"\n"), "1: client_secret", "white space"),
        ("name = \"dev\"\nclient_id = \"a b\"\nclient_secret = \"hunter2\"\n", "1: client_id", "client id"),
        (&*format!("{UPSTREAM}[[machine.upstream]]\n{UPSTREAM}"), "machine.upstream 2", "configured twice"),
    ] {
        one(block(keys), at, words);
    }
}

/// A configuration with one upstream whose clients are in `clients.d`, and files in there.
fn with_files(files: &[(&str, &str)]) -> (Result<Config, Vec<Diagnostic>>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("clients.d")).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join("clients.d").join(name), text).unwrap();
    }
    let text = format!("[machine]\nclients = \"clients.d\"\n[[machine.upstream]]\n{UPSTREAM}");
    (load_at(folder.path(), &text), folder)
}

#[test]
fn a_folder_of_files_is_read_as_one_list() {
    let (nightly, weekly) =
        (format!("[[client]]\n{}", client(&[])), format!("[[client]]\n{}", client(&[("id", "\"weekly\"")])));
    let (config, _folder) = with_files(&[("a.toml", &nightly), ("b.toml", &weekly), ("c.toml~", "not TOML")]);
    assert_eq!(config.unwrap().machine.read_clients().unwrap().len(), 2);
    assert_eq!(with_files(&[]).0.unwrap().machine.read_clients().unwrap().len(), 0);
    for (text, at, words) in [
        (&*nightly, "machine.client", "`nightly` is registered twice"),
        ("[[client]]\nid = plain-secret", "b.toml line 2", "not TOML"),
        (&*format!("[[machine.client]]\n{}", client(&[])), "b.toml", "[[client]]"),
        ("colour = 1", "b.toml.colour", "no such key"),
        ("client = 1", "b.toml", "list of blocks"),
        (
            &*format!("[[client]]\n{}", client(&[("id", "\"w\""), ("owner", "")])),
            "b.toml client 1 (w): owner",
            "required",
        ),
    ] {
        one(with_files(&[("a.toml", &nightly), ("b.toml", text)]).0, at, words);
    }
    let many = [("a.toml", "colour = 1"), ("b.toml", "[[client]]")];
    assert_eq!(with_files(&many).0.unwrap_err().len(), 6, "every mistake of every file at once");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem() {
    let folder = tempfile::tempdir().unwrap();
    let clients = |path: &str| load_at(folder.path(), &format!("[machine]\nclients = \"{path}\"\n"));
    one(clients("no-such-file.toml"), "no-such-file.toml", "not");
    std::fs::write(folder.path().join("latin1.toml"), b"owner = \"\xe9\"").unwrap();
    one(clients("latin1.toml"), "latin1.toml", "UTF-8");
    std::fs::create_dir_all(folder.path().join("clients.d/a.toml")).unwrap();
    one(clients("clients.d"), "a.toml", "");
}

#[test]
fn thousands_of_clients_are_read_in_a_moment() {
    let block = |i: usize| format!("[[client]]\n{}", client(&[("id", &format!("\"client-{i}\""))]));
    let text: String = (0..8_000).map(block).collect();
    let began = Instant::now();
    let (config, _folder) = with_files(&[("all.toml", &text)]);
    assert_eq!(config.unwrap().machine.read_clients().unwrap().len(), 8_000);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn switches_and_numbers_stand_without_quotes() {
    for (line, at, words) in [
        ("pass_through = \"false\"", "machine.pass_through", "without quotes"),
        ("pass_through = 1", "machine.pass_through", "true"),
        ("requests_per_second = \"5\"", "machine.requests_per_second", "without quotes"),
        ("failures_per_minute = -1", "machine.failures_per_minute", ""),
        ("failures_per_minute = 0", "machine.failures_per_minute", ""),
        ("fetches_per_hour = 0", "machine.fetches_per_hour", ""),
        ("fetches_per_hour = \"5\"", "machine.fetches_per_hour", "without quotes"),
        ("requests_per_second = 1.5", "machine.requests_per_second", ""),
        ("price_per_1000 = -1", "machine.price_per_1000", ""),
        ("price_per_1000 = nan", "machine.price_per_1000", ""),
        ("cache_margin = \"5m\"", "machine.cache_margin", ""),
        ("recheck = 60", "machine.recheck", "double quotes"),
        ("passthrough = true", "machine.passthrough", "Write `machine.pass_through`"),
    ] {
        one(load_blocks(&format!("[machine]\n{line}\n")), at, words);
    }
    assert!(!load_blocks("").unwrap().machine.pass_through);
    assert!(load_blocks("[machine]\npass_through = true\n").unwrap().machine.pass_through);
    let set = |value: &str| load_env(&[("AUTH_API__MACHINE__PASS_THROUGH", value)]);
    assert!(set("true").unwrap().machine.pass_through);
    assert!(!set("false").unwrap().machine.pass_through);
    for wrong in ["yes", "1", "TRUE", "\"true\"", ""] {
        one(set(wrong), "AUTH_API__MACHINE__PASS_THROUGH", "");
    }
}
