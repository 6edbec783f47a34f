//! What a running service takes of a changed configuration, and what it refuses.

use super::{KEY, KEY_2, toml};
use auth_api::config::{ConfigWatch, Reload, Sources};
use auth_api::domain::machine::SecretHash;
use std::path::{Path, PathBuf};

struct Place {
    _folder: tempfile::TempDir,
    file: PathBuf,
}

impl Place {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { file: folder.path().join("auth-api.toml"), _folder: folder };
        place.write(text);
        place
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.file.parent().unwrap().join(name)
    }

    fn watch(&self) -> ConfigWatch {
        let text = std::fs::read_to_string(&self.file).unwrap();
        ConfigWatch::new(Sources { file: Some((self.file.clone(), text)), env: vec![] }, true).unwrap()
    }
}

fn refused(watch: &ConfigWatch, key: &str, words: &str) {
    let mistakes = watch.reload().unwrap_err();
    let text = format!("{mistakes:?}");
    assert!(mistakes.iter().any(|m| m.key.contains(key) && m.to_string().contains(words)), "{key}: {text}");
    assert!(!text.contains(KEY) && !text.contains(KEY_2), "no secret in {text}");
}

fn taken(watch: &mut ConfigWatch) -> Vec<String> {
    let Reload { changed, need_restart, .. } = &watch.reload().unwrap();
    let said = changed.iter().chain(need_restart).cloned().collect();
    let reload = watch.reload().unwrap();
    watch.apply(reload);
    assert!(watch.is_applied(&watch.look()));
    said
}

#[test]
fn what_reloads_is_taken_and_the_rest_waits_for_a_restart() {
    let place = Place::new(&toml(&[("session.max_age", "\"10d\"")]));
    let mut watch = place.watch();
    assert_eq!(taken(&mut watch), [""; 0], "nothing has changed");
    let groups = ("policy.groups", "[\"staff\"]");
    place.write(&toml(&[groups, ("session.max_age", "\"20d\""), ("telemetry.format", "\"json\"")]));
    assert!(!watch.is_applied(&watch.look()));
    assert_eq!(taken(&mut watch), ["policy.groups", "session.max_age", "telemetry.format"]);
    assert_eq!(watch.config().policy.groups, ["staff"]);
    assert_eq!(watch.config().session.max_age.as_secs(), 10 * 86_400, "as at the start");
    assert_eq!(taken(&mut watch), ["session.max_age", "telemetry.format"], "said again while it is so");
    place.write(&toml(&[
        groups,
        ("session.max_age", "\"10d\""),
        ("cookies.keys", &format!("[\"{KEY_2}\", \"{KEY}\"]")),
    ]));
    assert_eq!(taken(&mut watch), ["cookies.keys"]);
    assert_eq!(watch.config().cookies.keys.len(), 2);
}

#[test]
fn text_that_no_start_would_take_changes_nothing() {
    let good = toml(&[("policy.groups", "[\"staff\"]")]);
    let place = Place::new(&good);
    let watch = place.watch();
    for (text, key, words) in [
        ("", "auth-api.toml", "empty"),
        ("\n \n", "auth-api.toml", "empty"),
        (&good[..good.len() / 2], "", ""),
        (&good.replace("staff", ""), "policy.groups", "empty"),
        (&good.replace("groups", "gruops"), "policy.gruops", "policy.groups"),
        ("[[[", "auth-api.toml line 1", "not TOML"),
    ] {
        place.write(text);
        refused(&watch, key, words);
        assert_eq!(watch.config().policy.groups, ["staff"]);
    }
    std::fs::remove_file(&place.file).unwrap();
    refused(&watch, "auth-api.toml", "cannot be read");
    place.write(&good);
    assert!(watch.reload().unwrap().changed.is_empty());
}

#[test]
fn nobody_is_let_in_and_nobody_signed_out_by_what_is_left_out() {
    let rule = "[[policy.site]]\nhost = \"wiki.example.com\"\ngroups = [\"staff\"]\n";
    let toml = |more: &[(&str, &str)]| toml(&[more, &[("server.trusted_proxies", "[\"10.0.0.7\"]")]].concat());
    let good = |more: &[(&str, &str)]| toml(more) + rule;
    let place = Place::new(&good(&[("policy.email_domains", "[\"example.com\"]")]));
    let mut watch = place.watch();
    place.write(&good(&[]));
    refused(&watch, "policy", "everybody in");
    place.write(&toml(&[("policy.email_domains", "[\"example.com\"]")]));
    refused(&watch, "policy.site", "every page");
    place.write(&good(&[("policy.groups", "[\"staff\"]"), ("cookies.keys", &format!("[\"{KEY_2}\"]"))]));
    refused(&watch, "cookies.keys", "signed out");
    place.write(&good(&[("policy.groups", "[\"staff\"]"), ("cookies.keys", &format!("[\"{KEY_2}\", \"{KEY}\"]"))]));
    assert_eq!(taken(&mut watch), ["cookies.keys", "policy.email_domains", "policy.groups"]);
    place.write(&good(&[("policy.groups", "[\"staff\"]"), ("cookies.keys", &format!("[\"{KEY_2}\"]"))]));
    assert_eq!(taken(&mut watch), ["cookies.keys"], "which seals nothing any more");
}

#[test]
fn the_files_that_are_named_count_with_what_they_hold() {
    let place = Place::new("");
    let write = |name: &str, text: &str| std::fs::write(place.beside(name), text).unwrap();
    let client = |id: &str| {
        format!(
            "[[client]]\nid = \"{id}\"\nowner = \"ops\"\nscopes = [\"cms/read\"]\nupstream = \"dev\"\n\
             secret_hashes = [\"{}\"]\n",
            SecretHash::of(KEY)
        )
    };
    std::fs::create_dir(place.beside("clients.d")).unwrap();
    write("secret", "one");
    write("keys", KEY);
    write("clients.d/a.toml", &client("a"));
    let upstream = "[[machine.upstream]]\nname = \"dev\"\nclient_id = \"dev-cms-client\"\nclient_secret = \"dev\"\n";
    let files = [
        ("provider.client_secret_file", "\"secret\""),
        ("cookies.keys", ""),
        ("cookies.keys_file", "\"keys\""),
        ("machine.clients", "\"clients.d\""),
    ];
    place.write(&(toml(&files) + upstream));
    let mut watch = place.watch();
    write("secret", "two");
    assert_eq!(taken(&mut watch), ["provider.client_secret"]);
    write("keys", &format!("{KEY}\n{KEY_2}\n"));
    write("clients.d/b.toml", &client("b"));
    assert_eq!(taken(&mut watch), ["cookies.keys", "machine.clients"]);
    let ids = |watch: &ConfigWatch| {
        let mut ids: Vec<_> = watch.reload().unwrap().clients.into_keys().collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&watch), ["a", "b"]);
    write("clients.d/a.toml", "");
    refused(&watch, "a.toml", "empty");
    write("clients.d/a.toml", &client("b"));
    refused(&watch, "machine.client", "registered twice");
    write("clients.d/a.toml", "# nobody\n");
    assert_eq!(taken(&mut watch), ["machine.clients"]);
    assert_eq!(ids(&watch), ["b"]);
    std::fs::remove_file(place.beside("secret")).unwrap();
    refused(&watch, "provider.client_secret_file", "cannot be read");
}

#[test]
fn tls_is_not_switched_while_the_service_listens() {
    let place = Place::new(&toml(&[]));
    let watch = place.watch();
    for (name, text) in [("c.pem", "-----BEGIN CERTIFICATE-----"), ("k.pem", "-----BEGIN PRIVATE KEY-----")] {
        std::fs::write(place.beside(name), text).unwrap();
    }
    place.write(&toml(&[("server.tls_cert_file", "\"c.pem\""), ("server.tls_key_file", "\"k.pem\"")]));
    refused(&watch, "server.tls_cert_file", "switched on or off");
}

/// A text that a variable holds is not a file's, whatever lies where it seems to be from.
#[test]
fn the_text_of_a_variable_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for rereads in [false, true] {
        let path = if rereads { PathBuf::from("AUTH_API_CONFIG") } else { folder.path().join("auth-api.toml") };
        let sources = Sources { file: Some((path, toml(&[]))), env: vec![] };
        let watch = ConfigWatch::new(sources, rereads).unwrap();
        assert!(!folder.path().join("auth-api.toml").exists() && !Path::new("AUTH_API_CONFIG").exists());
        assert!(watch.reload().unwrap().changed.is_empty());
    }
}
