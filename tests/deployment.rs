//! What `deploy` tells the service, the service understands.

use crate::real::component;
use crate::support::process::command;
use auth_api::domain::identity::IDENTITY_HEADERS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

const PREFIX: &str = "AUTH_API__";

fn deploy(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(file)
}

/// The variables of ours that a file sets.
fn variables(file: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(deploy(file)).unwrap();
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>();
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split(PREFIX).skip(1).map(name).collect::<Vec<_>>()).collect()
}

/// Each with a value of its kind. A name that is not here, such as a misspelt one, fails.
fn value(name: &str, folder: &Path) -> String {
    let file = |file: &str, text: &str| {
        std::fs::write(folder.join(file), text).unwrap();
        folder.join(file).to_str().unwrap().to_owned()
    };
    let key = "0123456789 of a key for this test 9876543210";
    match name {
        "SERVER__LISTEN" => "0.0.0.0:8080".to_owned(),
        "SERVER__OPS_LISTEN" => "0.0.0.0:9090".to_owned(),
        "SERVER__PUBLIC_URL" => "https://auth-api.example.com".to_owned(),
        "SERVER__TRUSTED_PROXIES" => "10.0.0.0/16".to_owned(),
        "PROVIDER__ISSUER" => "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI".to_owned(),
        "PROVIDER__CLIENT_ID" => "6o7h8i9j0k".to_owned(),
        "PROVIDER__CLIENT_SECRET" => "secret".to_owned(),
        "PROVIDER__CLIENT_SECRET_FILE" => file("client-secret", "secret\n"),
        "PROVIDER__SCOPES" => "openid,email,profile,aws.cognito.signin.user.admin".to_owned(),
        "COOKIES__DOMAIN" => "example.com".to_owned(),
        "COOKIES__KEYS" => format!("{key},another {key}"),
        "COOKIES__KEYS_FILE" => file("cookie-keys", &format!("{key}\n")),
        "SESSION__STORE" => "rediss://:password@primary.sessions.euw1.cache.amazonaws.com:6379/0".to_owned(),
        "SESSION__STORE_FILE" => file("session-store", "redis://:password@redis:6379/0\n"),
        "AWS__IDENTITY_POOL" => "eu-west-1:11111111-2222-3333-4444-555555555555".to_owned(),
        "TELEMETRY__FORMAT" => "json".to_owned(),
        name => panic!("{name} is new: give it a value"),
    }
}

#[test]
fn the_variables_of_each_deployment_are_a_whole_configuration() {
    let needed = ["SERVER__PUBLIC_URL", "PROVIDER__ISSUER", "PROVIDER__CLIENT_ID"].map(str::to_owned);
    for (file, whole) in
        [("aws/service.yaml", true), ("container/compose.yaml", true), ("systemd/auth-api.service", false)]
    {
        let mut names = variables(file);
        if whole {
            assert!(needed.iter().all(|name| names.contains(name)), "{file}: {names:?}");
        } else {
            names.extend(needed.clone());
        }
        let folder = tempfile::tempdir().unwrap();
        let env = names.iter().map(|name| (format!("{PREFIX}{name}"), value(name, folder.path())));
        let output = command(folder.path()).arg("check").envs(env).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {error}");
    }
}

/// Each folder is copied by itself, so each has the page. It must not differ, and shows without anything from elsewhere.
#[test]
fn the_page_for_an_outage_is_the_same_beside_every_proxy() {
    let read = |proxy: &str| std::fs::read_to_string(deploy(&format!("{proxy}/auth-api-outage.html"))).unwrap();
    let page = read("nginx");
    for proxy in ["apache", "caddy", "envoy", "haproxy"] {
        assert_eq!(read(proxy), page, "{proxy}");
    }
    // Envoy reads a `%` as the start of a command, and a proxy that is alone has nothing to link to.
    for word in ["%", "http:", "https:", "<script", "@import", "url("] {
        assert!(!page.contains(word), "{word}");
    }
}

#[test]
fn no_redis_that_is_deployed_drops_sessions_when_its_memory_is_full() {
    let template = std::fs::read_to_string(deploy("aws/service.yaml")).unwrap();
    let group = template.split("  CacheParameters:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    assert!(group.contains("AWS::ElastiCache::ParameterGroup") && group.contains("{maxmemory-policy: noeviction}"));
    let cache = template.split("  Cache:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    assert!(cache.contains("CacheParameterGroupName: !Ref CacheParameters"), "{cache}");
    let container = std::fs::read_to_string(deploy("container/README.md")).unwrap();
    assert!(container.contains("maxmemory-policy noeviction"));
}

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_understands_the_unit_and_finds_it_closed() {
    let analyze = component("systemd-analyze");
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(deploy("systemd/auth-api.service")).unwrap();
    // It wants to see the program.
    let unit = unit.replace("/usr/local/bin/auth-api", env!("CARGO_BIN_EXE_auth-api"));
    let path = folder.path().join("auth-api.service");
    std::fs::write(&path, unit).unwrap();
    let output = Command::new(&analyze).args(["verify", "--man=no"]).arg(&path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("auth-api.service:"), "{said}");
    // Tenths; above 2.0 something was opened.
    let closed = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    let output = Command::new(&analyze).args(closed).arg(&path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// The proxies that copy headers one by one; Envoy and Traefik take all that begin with `x-auth-`.
#[test]
fn every_identity_header_is_copied_by_every_proxy() {
    for file in [
        "nginx/snippets/auth-api-protect.conf",
        "nginx/snippets/auth-api-identity.conf",
        "apache/auth-api.lua",
        "caddy/auth-api.caddy",
        "haproxy/auth-api.lua",
    ] {
        let text = std::fs::read_to_string(deploy(file)).unwrap().to_lowercase().replace('_', "-");
        for header in IDENTITY_HEADERS.map(|header| header.name) {
            assert!(text.contains(header), "deploy/{file} forgets {header}");
        }
    }
}
