//! The printed reference against what is really read.

use auth_api::config::reference;

use super::{KEY, load_toml};

/// The reference with its example key replaced and the chosen commented lines made real.
fn uncommented(line_counts: impl Fn(&str) -> bool) -> String {
    let key = reference().lines().find(|line| line.starts_with("keys = ")).unwrap().to_owned();
    let real = reference().replace(&key, &format!("keys = [\"{KEY}\"]"));
    let keep = |line: &str| match line.strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') && line_counts(rest) => format!("{rest}\n"),
        _ => format!("{line}\n"),
    };
    real.lines().map(keep).collect()
}

#[test]
fn the_reference_loads_once_its_cookie_key_is_replaced() {
    let found = load_toml(reference()).unwrap_err();
    assert_eq!((found.len(), found[0].key.as_str()), (1, "cookies.keys"));
    assert!(found[0].to_string().contains("openssl rand"), "{}", found[0]);
    load_toml(uncommented(|_| false)).unwrap();
}

#[test]
fn the_reference_shows_the_defaults() {
    let as_printed = load_toml(uncommented(|_| false)).unwrap();
    let defaults = uncommented(|line| !line.ends_with("# example"));
    assert!(defaults.contains("\ntimeout = \"10s\"\n") && defaults.contains("\nops_listen = \"127.0.0.1:9090\"\n"));
    assert_eq!(format!("{as_printed:?}"), format!("{:?}", load_toml(defaults).unwrap()));
}

#[test]
fn the_reference_shows_every_key_and_no_other() {
    let every = uncommented(|line| !line.contains("_file =") && !line.starts_with("clients ="));
    let config = load_toml(every.clone()).unwrap();
    assert_eq!(config.cookies.domain.as_deref(), Some("example.com"));
    assert_eq!(config.return_to.allow.len(), 2);
    assert!(config.provider.endpoints.jwks_uri.is_some());
    let table: toml::Table = uncommented(|_| true).parse().unwrap();
    let count: usize = table.values().map(|section| section.as_table().unwrap().len()).sum();
    let files = ["tls_cert_file", "tls_key_file", "client_secret_file", "keys_file", "store_file", "clients"];
    assert!(files.iter().all(|name| reference().contains(&format!("\n#{name} = "))));
    assert_eq!(count, 65, "a key was added or removed: is the contract of the same opinion?");
    assert!(reference().lines().all(|line| line.chars().count() <= 120));
}

#[test]
fn the_blocks_that_the_reference_shows_are_good_without_their_comment_signs() {
    let text = reference();
    let block = |first: &str| -> String {
        let example = text.lines().skip_while(|line| !line.starts_with(first));
        example.map_while(|line| line.strip_prefix('#')).map(|line| format!("{line}\n")).collect()
    };
    let example = block("# [[machine.upstream]]");
    let hash = auth_api::domain::machine::SecretHash::of("a secret").to_string();
    let example = example.replace("sha256:…", &hash).replace("client_secret_file", "client_secret");
    let config = load_toml(format!("{}{example}", super::toml(&[]))).unwrap();
    assert_eq!(config.machine.read_clients().unwrap()["nightly-report"].scopes.to_string(), "reports/read");
    let example = block("# [[policy.site]]");
    let base = super::toml(&[("server.trusted_proxies", "[\"10.0.0.7\"]")]);
    assert!(!load_toml(format!("{base}{example}")).unwrap().policy.sites.is_empty());
}
