//! Files that the configuration names or is, and the secrets in them.

use auth_api::config::{Sources, StoreUrl, load};
use secrecy::ExposeSecret;

use super::{KEY, KEY_2, env, good, load_env, load_toml, problems, toml};

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("secret", "hunter2hunter2\n");
    write("keys", &format!("{KEY}\r\n{KEY_2}\r\n"));
    write("empty", "\n");
    write("two-lines", "hunter2\nhunter3\n");
    write("gap", &format!("{KEY}\n\n{KEY_2}\n"));
    let from_folder = |changes: &[(&str, &str)], vars: &[(&str, &str)]| {
        load(Sources { file: Some((folder.path().join("auth-api.toml"), toml(changes))), env: env(vars) })
    };
    let files =
        [("cookies.keys", ""), ("cookies.keys_file", "\"keys\""), ("provider.client_secret_file", "\"secret\"")];
    let config = from_folder(&files, &[]).unwrap();
    assert_eq!(config.provider.client_secret.unwrap().expose_secret(), "hunter2hunter2");
    assert_eq!(config.cookies.keys[1].expose(), KEY_2.as_bytes());
    assert_eq!(config.session.store, StoreUrl::Redb(folder.path().join("auth-api.redb")));

    let absolute = folder.path().join("secret");
    let config = from_folder(&[], &[("AUTH_API__PROVIDER__CLIENT_SECRET_FILE", absolute.to_str().unwrap())]).unwrap();
    assert_eq!(config.provider.client_secret.unwrap().expose_secret(), "hunter2hunter2");

    for (name, words) in [
        ("missing", "cannot be read"),
        (".", "cannot be read"),
        ("empty", "is empty"),
        ("two-lines", "line break inside"),
    ] {
        let found = from_folder(&[], &[("AUTH_API__PROVIDER__CLIENT_SECRET_FILE", name)]).unwrap_err();
        assert_eq!((found.len(), found[0].key.as_str()), (1, "AUTH_API__PROVIDER__CLIENT_SECRET_FILE"));
        assert!(found[0].what.contains(words) && !found[0].to_string().contains("hunter"), "{}", found[0]);
    }
    let found = from_folder(&[("cookies.keys", ""), ("cookies.keys_file", "\"gap\"")], &[]).unwrap_err();
    assert!(found[0].what.contains("Item 2"), "{found:?}");
    for (changes, vars, at) in [
        (vec![("cookies.keys_file", "\"keys\"")], vec![], "cookies.keys_file"),
        (vec![], vec![("AUTH_API__COOKIES__KEYS_FILE", "keys")], "AUTH_API__COOKIES__KEYS_FILE"),
    ] {
        let found = from_folder(&changes, &vars).unwrap_err();
        assert_eq!((found.len(), found[0].key.as_str()), (1, at));
        assert!(found[0].what.contains("Both this and cookies.keys"), "{}", found[0]);
    }
}

#[test]
fn tls_takes_two_readable_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("c.pem"), "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(folder.path().join("k.pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
    let tls = |changes: &[(&str, &str)]| {
        load(Sources { file: Some((folder.path().join("auth-api.toml"), toml(changes))), env: Vec::new() })
    };
    let (cert, key) = ("server.tls_cert_file", "server.tls_key_file");
    let config = tls(&[(cert, "\"c.pem\""), (key, "\"k.pem\"")]).unwrap();
    assert_eq!(config.server.tls().unwrap().0, folder.path().join("c.pem"));
    let localhost = [("server.public_url", "\"http://localhost\""), ("cookies.domain", "")];
    for (changes, expected) in [
        (vec![(cert, "\"c.pem\"")], vec![(cert, "without server.tls_key_file")]),
        (vec![(key, "\"k.pem\"")], vec![(key, "without server.tls_cert_file")]),
        (vec![(cert, "\"c.pem\""), (key, "\"nope.pem\"")], vec![(key, "cannot be read")]),
        (
            vec![(cert, "\"k.pem\""), (key, "\"c.pem\"")],
            vec![(cert, "no PEM certificate"), (key, "no PEM private key")],
        ),
        ([localhost.as_slice(), &[(cert, "\"c.pem\""), (key, "\"k.pem\"")]].concat(), vec![(cert, "speaks https")]),
    ] {
        let found = tls(&changes).unwrap_err();
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for (problem, (at, words)) in found.iter().zip(expected) {
            assert!(problem.key == at && problem.what.contains(words), "{problem}");
        }
    }
}

#[test]
fn secrets_are_never_shown() {
    let secret = "s3cr3tS3CR3Ts3cr3tS3CR3Ts3cr3tS3CR3T";
    let keys = format!("[\"{secret}\"]");
    let config = good(&[("provider.client_secret", &format!("{secret:?}")), ("cookies.keys", &keys)]);
    assert!(!format!("{config:?} {config:#?}").contains("s3cr3t"));
    let twice = format!("[\"{secret}\", \"{secret}\"]");
    let redis = good(&[("session.store", &format!("\"redis://{secret}:{secret}@cache\""))]);
    assert!(!format!("{redis:?} {redis:#?}").contains("s3cr3t"));
    let url = format!("\"redis://:{secret}@cache:x\"");
    let user = format!("\"https://{secret}:{secret}@auth-api.example.com\"");
    for changes in [
        [("cookies.keys", twice.as_str())],
        [("cookies.keys", "[\"s3cr3t\"]")],
        [("cookies.keys", "\"s3cr3t\"")],
        [("cookies.keys", "[\"s3cr3t\", 1]")],
        [("cookies.key", keys.as_str())],
        [("provider.client_secret", "\" s3cr3t\"")],
        [("provider.client_secret", "\"s3cr3t\\ns3cr3t\"")],
        [("provider.client_secret", "[\"s3cr3t\"]")],
        [("provider.secret", "\"s3cr3t\"")],
        [("session.store", url.as_str())],
        [("server.public_url", user.as_str())],
        [("provider.issuer", user.as_str())],
        [("provider.token_endpoint", user.as_str())],
        [("return_to.default", user.as_str())],
        [("return_to.allow", &*format!("[{user}]"))],
        [("cookies.domain", user.as_str())],
        // Not TOML any more: the parser would quote the line.
        [("provider.client_secret", "\"s3cr3t")],
        [("provider.client_secret", "s3cr3t")],
        [("provider.client_secret", "\"s3cr3t\" \"s3cr3t\"")],
    ] {
        let found = problems(&changes);
        assert!(!format!("{found:?}").contains("s3cr3t"), "{found:#?}");
    }
    let sources = Sources { file: Some(("a.toml".into(), keys)), env: env(&[("AUTH_API__COOKIES__KEYS", secret)]) };
    assert!(!format!("{sources:?}").contains("s3cr3t"));
    let found = load_env(&[("AUTH_API__COOKIES__KEYZ", secret), ("AUTH_API_COOKIES_KEYS", secret)]).unwrap_err();
    assert_eq!(found.len(), 2);
    assert!(!format!("{found:?}").contains("s3cr3t"));
}

#[test]
fn what_is_not_toml_is_named_by_file_and_line() {
    let found = load(Sources {
        file: Some(("conf/auth-api.toml".into(), "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = nope\n".into())),
        env: env(&[("AUTH_API__NOPE", "1")]),
    })
    .unwrap_err();
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].key, "conf/auth-api.toml line 3");
    let bom = load_toml(format!("\u{feff}{}", toml(&[])));
    assert!(bom.is_ok());
}

#[test]
fn a_configuration_file_that_is_named_has_to_exist() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("auth-api.toml");
    let found = Sources::from_process(Some(&path)).unwrap_err();
    assert!(found[0].what.contains("cannot be read") && found[0].instead.contains("--config"), "{}", found[0]);
    std::fs::write(&path, toml(&[])).unwrap();
    let sources = Sources::from_process(Some(&path)).unwrap();
    assert_eq!(sources.file, Some((path, toml(&[]))));
}
