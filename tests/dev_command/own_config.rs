//! `auth-api dev --config FILE`: what belongs to another place is replaced, and the rest holds.

use super::Dev;
use crate::support::Browser;
use crate::support::process::{command, run};
use auth_api::domain::machine::SecretHash;
use reqwest::Method;

/// As in production: nothing that it names outside of itself can be reached or read here.
fn production() -> String {
    let hash = SecretHash::of("a-secret-of-the-report");
    format!(
        r#"
[server]
public_url = "https://auth.corp.test"
listen = "0.0.0.0:443"
ops_listen = "10.0.0.7:9090"
trusted_proxies = ["10.0.0.0/8"]
tls_cert_file = "/nonexistent/cert.pem"
tls_key_file = "/nonexistent/key.pem"
[provider]
profile = "oidc"
issuer = "https://login.corp.test/realms/people"
client_id = "site"
client_secret_file = "/nonexistent/client-secret"
scopes = ["openid", "email", "profile", "wiki/read"]
token_endpoint = "https://login.corp.test/token"
groups_claim = "realm_access.roles"
[[provider.bearer_issuer]]
issuer = "https://login.partner.test"
profile = "oidc"
accepted_clients = ["robots"]
[cookies]
domain = "corp.test"
keys_file = "/nonexistent/keys"
[session]
store_file = "/nonexistent/store"
max_age = "12h"
[return_to]
default = "https://www.corp.test/"
allow = ["corp.test", "external:partner.test"]
[policy]
email_domains = ["corp.test"]
[[policy.site]]
host = "Wiki.corp.test"
path = "/drafts"
groups = ["writers"]
issuers = ["https://login.corp.test/realms/people", "https://login.partner.test"]
[[policy.site]]
host = "*.corp.test"
path = "/shared"
scopes = ["reports/read"]
machines = true
[[machine.upstream]]
name = "reports"
client_id = "6o7h8i9j0k"
client_secret_file = "/nonexistent/reports"
[[machine.client]]
id = "nightly"
secret_hashes = ["{hash}"]
owner = "data team"
scopes = ["reports/read", "https://orders.corp.test/list"]
upstream = "reports"
"#
    )
}

async fn at_page(dev: &Dev, browser: &Browser, host: &str, page: &str) -> u16 {
    let url = format!("http://127.0.0.1:{}/validate/browser", dev.auth("").rsplit(':').next().unwrap());
    let cookies = browser.cookies(&dev.auth("/"));
    let told = [("x-forwarded-proto", "http"), ("x-forwarded-host", host), ("x-forwarded-uri", page)];
    let answer = browser.send(Method::GET, &url, |request| {
        let request = request.header("cookie", cookies).header("x-forwarded-method", "GET");
        told.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    });
    answer.await.status
}

#[tokio::test]
async fn the_policy_of_production_holds_on_a_laptop() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("production.toml"), production()).unwrap();
    let variables = [("AUTH_API__AWS__IDENTITY_POOL", "eu-west-1:99999999-2222-3333-4444-555555555555")];
    let dev = Dev::start(folder.path(), &["--config", "production.toml"], &variables);
    let replaced = dev.line("replaced:");
    for key in ["server.public_url", "provider.client_secret_file", "cookies.keys_file", "session.store_file"] {
        assert!(replaced.contains(key), "{key}: {replaced}");
    }
    for key in ["aws.identity_pool", "machine.upstream.client_secret", "server.tls_key_file"] {
        assert!(replaced.contains(key), "{key}: {replaced}");
    }
    for key in ["session.max_age", "policy", "provider.scopes", "return_to.allow", "keys,", "aws.endpoint"] {
        assert!(!replaced.contains(key), "{key}: {replaced}");
    }

    // Addresses at the domain of the policy are let in, and groups decide about pages.
    let (erin, status) = dev.sign_in("erin").await;
    assert_eq!(status, 302);
    let (jane, status) = dev.sign_in("jane").await;
    assert_eq!(status, 302);
    let (_, status) = dev.sign_in("gary").await;
    assert_eq!(status, 403, "gary@gmail.com");
    assert_eq!(jane.get(&dev.auth("/validate")).await.json()["email"], "jane@corp.test");
    for (browser, page, status) in [(&erin, "/drafts", 200), (&jane, "/drafts", 403), (&jane, "/", 200)] {
        assert_eq!(at_page(&dev, browser, "wiki.app.localhost", page).await, status, "{page}");
    }
    assert_eq!(erin.post(&dev.auth("/auth/aws-credentials"), &[]).await.status, 200);

    // Machine clients show the secrets of production, and the pool has their app client.
    let form = [("grant_type", "client_credentials"), ("client_id", "nightly")];
    let secret = ("client_secret", "a-secret-of-the-report");
    let token = Browser::new().post(&dev.auth("/token"), &[form[0], form[1], secret]).await.json();
    let bearer = token["access_token"].as_str().unwrap();
    let known = Browser::new().send(Method::GET, &dev.auth("/validate"), |request| request.bearer_auth(bearer)).await;
    assert_eq!(known.json()["scopes"], serde_json::json!(["https://orders.corp.test/list", "reports/read"]));
}

#[tokio::test]
async fn a_text_in_a_variable_is_a_configuration_too() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[policy]\ngroups = [\"staff\"]\n";
    // Not read: nobody has named it.
    std::fs::write(folder.path().join("auth-api.toml"), "nonsense").unwrap();
    let variables = [("AUTH_API_CONFIG", text), ("AUTH_API__RETURN_TO__ALLOW", "app.localhost")];
    let dev = Dev::start(folder.path(), &[], &variables);
    assert_eq!((dev.sign_in("erin").await.1, dev.sign_in("jane").await.1), (302, 403));
    assert!(dev.line("Your configuration").contains("runs here"));
}

#[test]
fn every_mistake_is_told_as_check_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = production();
    text = text.replace("max_age = \"12h\"", "max_age = \"12\"").replace("[policy]", "[policy]\ngroup = []");
    std::fs::write(folder.path().join("a.toml"), &text).unwrap();
    let output = run(folder.path(), &["dev", "--port", "0", "--config", "a.toml"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("2 problems in the configuration"), "{told}");
    assert!(told.contains("session.max_age") && told.contains("policy.group"), "{told}");

    std::fs::write(folder.path().join("a.toml"), "[server\n").unwrap();
    let output = run(folder.path(), &["dev", "--port", "0", "--config", "a.toml"]);
    assert!(String::from_utf8(output.stderr).unwrap().contains("a.toml line 1"));
    let both = command(folder.path()).args(["dev", "--config", "a.toml"]).env("AUTH_API_CONFIG", "").output().unwrap();
    assert!(String::from_utf8(both.stderr).unwrap().contains("give one of them"));
}
