//! Further issuers of bearer tokens, and the rules that name them.

use super::{load_toml, toml};
use auth_api::config::{BearerIssuerConfig, Config, Diagnostic, Profile};
use auth_api::domain::principal::PrincipalKind;

const PROVIDER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI";
const FURTHER: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MaChInEs1";
const PROXY: (&str, &str) = ("server.trusted_proxies", "[\"10.0.0.7\"]");

fn block(issuer: &str, more: &str) -> String {
    format!("[[provider.bearer_issuer]]\nissuer = \"{issuer}\"\n{more}\n")
}

fn load_blocks(blocks: &str) -> Result<Config, Vec<Diagnostic>> {
    load_toml(format!("{}{blocks}", toml(&[PROXY])))
}

fn good(more: &str) -> BearerIssuerConfig {
    let config = load_blocks(&block(FURTHER, more)).unwrap_or_else(|problems| panic!("{more}: {problems:#?}"));
    config.provider.bearer_issuer.into_iter().next().unwrap()
}

fn one(blocks: &str, at: &str, words: &str) {
    let found = load_blocks(blocks).map_or_else(|problems| problems, |_| panic!("accepted: {blocks}"));
    let [problem] = found.as_slice() else { panic!("{blocks}: {found:#?}") };
    assert!(problem.key.contains(at), "{blocks}: {problem}");
    assert!(problem.to_string().contains(words), "{words}: {problem}");
}

#[test]
fn what_is_not_listed_an_issuer_cannot_say() {
    let least = good("accepted_clients = [\"a\"]");
    assert_eq!((least.profile, least.kinds), (Profile::Cognito, vec![PrincipalKind::Machine]));
    assert!(least.groups.is_empty() && least.scopes.is_empty() && least.accepted_audiences.is_empty());
    let more = good("accepted_clients = [\"a\"]\nprofile = \"oidc\"\nkinds = [\"user\", \"machine\"]\ngroups = []");
    assert_eq!((more.profile, more.kinds), (Profile::Oidc, vec![PrincipalKind::User, PrincipalKind::Machine]));
}

#[test]
fn an_issuer_that_would_not_hold_is_refused() {
    let clients = "accepted_clients = [\"a\"]\n";
    for (more, at, words) in [
        ("", "accepted_clients", "at least one"),
        ("accepted_clients = []", "accepted_clients", "at least one"),
        ("accepted_clients = [\"a b\"]", "accepted_clients", "client id"),
        ("accepted_clients = [\"a\"]\nclient_ids = [\"b\"]", "client_ids", "no such key"),
        ("accepted_clients = [\"a\"]\nkinds = []", "kinds", "at least one"),
        ("accepted_clients = [\"a\"]\nkinds = [\"people\"]", "kinds", "`machine` for programs"),
        ("accepted_clients = [\"a\"]\nprofile = \"keycloak\"", "profile", "not a provider profile"),
        ("accepted_clients = [\"a\"]\naccepted_audiences = [\"*\"]", "accepted_audiences", "no wildcard"),
        ("accepted_clients = [\"a\"]\nscopes = [\"a b\"]", "scopes", "several scopes"),
        ("accepted_clients = [\"a\"]\ngroups = [\"a b\"]", "groups", "name of a group"),
        ("accepted_clients = [\"a\"]\njwks_uri = \"http://keys.example.com/\"", "jwks_uri", "http"),
        ("accepted_clients = [\"a\"]\ntrust_email_from = [\"Google\"]", "trust_email_from", "no such key"),
    ] {
        one(&block(FURTHER, more), at, words);
    }
    for (issuer, words) in [
        ("http://login.example.com", "plain http"),
        ("login.example.com", ""),
        ("https://login.example.com", "not an issuer of Cognito"),
        ("https://cognito-idp.eu-west-1.amazonaws.com/eu-central-1_MaChInEs1", "in region"),
        (PROVIDER, "count already"),
        ("http://127.0.0.1:9/eu-west-1_Dev", "only this machine"),
    ] {
        one(&block(issuer, clients), "bearer_issuer", words);
    }
    let twice = [block(FURTHER, clients), block(FURTHER, "accepted_clients = [\"b\"]\n")].concat();
    one(&twice, "provider.bearer_issuer 2", "configured twice");
}

#[test]
fn a_rule_names_issuers_whose_tokens_count_and_that_can_meet_it() {
    let rule = |more: &str| {
        let issuers = block(FURTHER, "accepted_clients = [\"a\"]");
        format!("{issuers}[[policy.site]]\nhost = \"wiki.example.com\"\n{more}\n")
    };
    let both = format!("issuers = [\"{FURTHER}\", \"{PROVIDER}\"]\n");
    let further = format!("issuers = [\"{FURTHER}\"]\n");
    for more in
        [&both, &further, &format!("{both}email_domains = [\"example.com\"]"), &format!("{further}groups = [\"a\"]")]
    {
        load_blocks(&rule(more)).unwrap_or_else(|problems| panic!("{more}: {problems:#?}"));
    }
    for (more, at, words) in [
        ("issuers = [\"https://nobody.example\"]".to_owned(), "wiki.example.com/", "nobody accepts"),
        (format!("issuers = [\"{FURTHER}/\"]"), "wiki.example.com/", "nobody accepts"),
        ("issuers = []".to_owned(), "issuers", "at least one"),
        ("issuers = [\"partner\"]".to_owned(), "issuers", ""),
        (format!("{further}public = true"), "public", "ask for something"),
        (format!("{further}clients = [\"nightly\"]"), "wiki.example.com/", "nobody could meet it"),
        (format!("{further}email_domains = [\"example.com\"]"), "wiki.example.com/", "nobody could meet it"),
        (format!("{further}max_age = \"5m\""), "wiki.example.com/", "nobody could meet it"),
    ] {
        one(&rule(&more), at, words);
    }
}
