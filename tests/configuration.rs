//! An operator configures the service: what is accepted, what is refused, and in which words.

#![expect(clippy::panic, clippy::unwrap_used, reason = "what these tests share sits outside the test functions")]

mod any_input;
mod bearer_issuers;
mod cognito;
mod files;
mod machine;
mod pages;
mod policy;
mod reference;
mod reload;
mod sites;
mod store_url;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use auth_api::config::{Config, Diagnostic, Sources, StoreUrl, load};

const KEY: &str = "4pYx0mTz1vQeR7sJ9aLkWc3NfHbUdGi2";
const KEY_2: &str = "ZqOe5wXyB8nMtCr6VhPaS4jKgLfDu1Ei";

/// The smallest good configuration, changed. `""` removes a key; values are TOML.
fn toml(changes: &[(&str, &str)]) -> String {
    let keys = format!("[\"{KEY}\"]");
    let mut all = BTreeMap::from([
        ("server.public_url", "\"https://auth-api.example.com\""),
        ("provider.issuer", "\"https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI\""),
        ("provider.client_id", "\"6o7h\""),
        ("cookies.domain", "\"example.com\""),
        ("cookies.keys", keys.as_str()),
    ]);
    all.extend(changes.iter().copied());
    all.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("{key} = {value}\n")).collect()
}

fn load_toml(text: String) -> Result<Config, Vec<Diagnostic>> {
    load(Sources { file: Some((PathBuf::from("/etc/auth-api/auth-api.toml"), text)), env: Vec::new() })
}

fn good(changes: &[(&str, &str)]) -> Config {
    load_toml(toml(changes)).unwrap_or_else(|problems| panic!("{changes:?}: {problems:#?}"))
}

fn problems(changes: &[(&str, &str)]) -> Vec<Diagnostic> {
    load_toml(toml(changes)).map_or_else(|problems| problems, |_| panic!("{changes:?} was accepted"))
}

/// Exactly one problem, at `key`, whose sentences contain `words`.
fn one_problem(changes: &[(&str, &str)], key: &str, words: &str) {
    let found = problems(changes);
    let [problem] = found.as_slice() else { panic!("{changes:?}: {found:#?}") };
    assert_eq!(problem.key, key, "{changes:?}");
    let text = problem.to_string();
    assert!(text.contains(words), "{changes:?}: {text}");
    for sentence in [&problem.what, &problem.instead] {
        assert!(sentence.ends_with('.') && sentence.starts_with(|c: char| !c.is_lowercase()), "{sentence}");
    }
}

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const REQUIRED_ENV: [(&str, &str); 4] = [
    ("AUTH_API__SERVER__PUBLIC_URL", "https://auth-api.example.com"),
    ("AUTH_API__PROVIDER__ISSUER", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI"),
    ("AUTH_API__PROVIDER__CLIENT_ID", "6o7h"),
    ("AUTH_API__COOKIES__KEYS", KEY),
];

fn load_env(extra: &[(&str, &str)]) -> Result<Config, Vec<Diagnostic>> {
    let mut all = env(&REQUIRED_ENV);
    all.extend(env(extra));
    load(Sources { file: None, env: all })
}

#[test]
fn required_keys_are_asked_for() {
    let found = load(Sources::default()).unwrap_err();
    let keys: Vec<_> = found.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(keys, ["server.public_url", "provider.issuer", "provider.client_id", "cookies.keys"]);
    assert!(found[3].instead.contains("AUTH_API__COOKIES__KEYS") && found[3].instead.contains("[cookies]"));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let found = load(Sources {
        file: Some((
            PathBuf::from("auth-api.toml"),
            toml(&[
                ("server.public_url", "\"http://auth-api.example.com\""),
                ("server.lisen", "\"127.0.0.1:1\""),
                ("colours.red", "[\"name\"]"),
                ("provider.client_id", ""),
                ("provider.scopes", "[\"a b\", \"\", \"openid\"]"),
                ("cookies.domain", "\"com\""),
                ("cookies.keys", "[\"short\"]"),
                ("session.idle", "\"40d\""),
                ("session.refresh_margin", "5"),
            ]),
        )),
        env: env(&[("AUTH_API__TELEMETRY__LEVEL", "info"), ("AUTH_API__RETURN_TO__ALLOW", "a.b,,*.c")]),
    })
    .unwrap_err();
    let keys: Vec<_> = found.iter().map(|p| p.key.as_str()).collect();
    for (key, times) in [
        ("server.public_url", 1),
        ("server.lisen", 1),
        ("colours", 1),
        ("provider.client_id", 1),
        ("provider.scopes", 2),
        ("cookies.domain", 1),
        ("cookies.keys", 1),
        ("session.idle", 1),
        ("session.refresh_margin", 1),
        ("AUTH_API__TELEMETRY__LEVEL", 1),
        ("AUTH_API__RETURN_TO__ALLOW", 2),
    ] {
        assert_eq!(keys.iter().filter(|k| **k == key).count(), times, "{key} in {keys:?}");
    }
    assert_eq!(keys.len(), 13, "{found:#?}");
}

#[test]
fn unknown_names_are_refused_with_a_suggestion() {
    for (key, at, words) in [
        ("server.public_uri", "server.public_uri", "Write `server.public_url`"),
        ("server.domain", "server.domain", "Write `cookies.domain`"),
        ("cookies.key", "cookies.key", "Write `cookies.keys`"),
        ("listen", "listen", "Write `server.listen`"),
        ("sesion.idle", "sesion", "Write `[session]`"),
        ("polices.groups", "polices", "Write `[policy]`"),
        ("gateway.headers", "gateway.headers", "no such key"),
        ("machine.passthrough", "machine.passthrough", "Write `machine.pass_through`"),
        ("telemetry.zipkin", "telemetry.zipkin", "no such key"),
    ] {
        one_problem(&[(key, "\"x\"")], at, words);
    }
    let section = load_toml(format!("telemetry = \"info\"\n{}", toml(&[]))).unwrap_err();
    assert!(section[0].to_string().contains("is a section"), "{section:?}");
    for (name, words) in [
        ("AUTH_API__COOKIES__KEY", "Write `AUTH_API__COOKIES__KEYS`"),
        ("AUTH_API__COOKIES_DOMAIN", "Write `AUTH_API__COOKIES__DOMAIN`"),
        ("AUTH_API__DOMAIN", "Write `AUTH_API__COOKIES__DOMAIN`"),
        ("AUTH_API__ACCOUNT__READABLE", "no such key"),
        ("AUTH_API__", "no such key"),
        ("AUTH_API_COOKIES_DOMAIN", "Write AUTH_API__COOKIES__DOMAIN"),
        ("auth_api__cookies__domain", "Write AUTH_API__COOKIES__DOMAIN"),
    ] {
        let found = load_env(&[(name, "example.com")]).unwrap_err();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].key, name);
        assert!(found[0].to_string().contains(words), "{}", found[0]);
    }
    load_env(&[("AUTH_API_SERVICE_HOST", "10.0.0.1"), ("AUTH_API_PORT", "tcp://10.0.0.1:80"), ("HOME", "/")]).unwrap();
}

#[test]
fn a_variable_that_is_none_of_ours_disturbs_no_other() {
    let mut all = env(&[("AUTH_API_CHECK_PASSWORD", "x"), ("AUTH_API_HOME", "/")]);
    all.extend(env(&REQUIRED_ENV));
    load(Sources { file: None, env: all }).unwrap();
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = toml(&[("server.listen", "5"), ("provider.timeout", "\"5s\""), ("provider.scopes", "[\"openid\"]")]);
    let found = load(Sources {
        file: Some((PathBuf::from("a.toml"), text.replace("server.listen = 5\n", ""))),
        env: env(&[
            ("AUTH_API__PROVIDER__TIMEOUT", "7s"),
            ("AUTH_API__PROVIDER__SCOPES", "openid, email"),
            ("AUTH_API__COOKIES__KEYS", &format!("{KEY_2},{KEY}")),
            ("AUTH_API__SERVER__OPS_LISTEN", ""),
        ]),
    })
    .unwrap();
    assert_eq!(found.provider.timeout, Duration::from_secs(7));
    assert_eq!(found.provider.scopes, ["openid", "email"]);
    assert_eq!(found.cookies.keys.iter().map(|k| k.expose()).collect::<Vec<_>>(), [KEY_2.as_bytes(), KEY.as_bytes()]);
    assert_eq!(found.server.ops_listen, None);

    let alone = load_env(&[]).unwrap();
    assert_eq!(alone.session.store, StoreUrl::Redb("auth-api.redb".into()));

    for name in
        ["AUTH_API__COOKIES__DOMAIN", "AUTH_API__PROVIDER__ACCEPTED_CLIENTS", "AUTH_API__PROVIDER__CLIENT_SECRET_FILE"]
    {
        let found = load_env(&[(name, "")]).unwrap_err();
        assert_eq!((found.len(), found[0].key.as_str()), (1, name));
        assert!(found[0].what.contains("empty"), "{}", found[0]);
    }
}

#[test]
fn problems_print_on_one_line_or_three() {
    let problem = Diagnostic { key: "a.b".into(), what: "Wrong.".into(), instead: "Write c.".into() };
    assert_eq!(problem.to_string(), "a.b: Wrong. Write c.");
    assert_eq!(format!("{problem:#}"), "a.b\n    Wrong.\n    Write c.");
}
