//! The rules for pages.

use super::{load_toml, toml};
use auth_api::config::{Config, Diagnostic};

fn load_blocks(blocks: &str, changes: &[(&str, &str)]) -> Result<Config, Vec<Diagnostic>> {
    let changes =
        [&[("server.trusted_proxies", "[\"10.0.0.7\"]"), ("cookies.domain", "\"example.com\"")], changes].concat();
    load_toml(format!("{}{blocks}", toml(&changes)))
}

/// One block with these keys.
fn load_site(keys: &str) -> Result<Config, Vec<Diagnostic>> {
    load_blocks(&format!("[[policy.site]]\n{keys}\n"), &[])
}

fn one(result: Result<Config, Vec<Diagnostic>>, at: &str, words: &str) {
    let found = result.map_or_else(|problems| problems, |_| panic!("accepted: {at}: {words}"));
    let [problem] = found.as_slice() else { panic!("{at}: {found:#?}") };
    assert!(problem.key.contains(at), "{at}: {problem}");
    assert!(problem.to_string().contains(words), "{words}: {problem}");
}

#[test]
fn good_rules_are_read() {
    for keys in [
        "host = \"wiki.example.com\"",
        "host = \"*.example.com\"\npath = \"/\"\ngroups = [\"a\"]",
        "host = \"Wiki.Example.com\"\npath = \"/caf%C3%A9/\"\npublic = true",
        "host = \"example.com\"\nscopes = [\"a/b\"]\nemail_domains = [\"Example.com\"]\npublic = false",
        "host = \"example.com\"\nmachines = true",
        "host = \"example.com\"\nclients = [\"nightly\"]\nscopes = [\"a/b\"]",
        // The service's own host.
        "host = \"auth-api.example.com\"",
    ] {
        let config = load_site(keys).unwrap_or_else(|problems| panic!("{keys}: {problems:#?}"));
        assert!(!config.policy.site.is_empty());
    }
}

#[test]
fn a_rule_that_would_not_hold_is_refused() {
    let host = "host = \"wiki.example.com\"\n";
    for (keys, at, words) in [
        ("path = \"/\"", "host", "required"),
        ("host = \"\"", "host", "text"),
        ("host = \"https://wiki.example.com\"", "host", "only the host counts"),
        ("host = \"wiki.*.com\"", "host", ""),
        ("host = \"wiki.example.com:443\"", "host", ""),
        ("host = \"wiki.example.org\"", "(wiki.example.org)", "not a host of return_to.allow"),
        ("host = \"*.com\"", "(*.com)", "not a host of return_to.allow"),
    ] {
        one(load_site(keys), at, words);
    }
    for path in
        ["", "admin", "/a/../b", "//a", "/a//b", "/a;b", "/%61", "/a b", "/a?b", "/a#b", "/*", "/%2e", "/a\\\\b"]
    {
        let found = load_site(&format!("{host}path = \"{path}\"")).unwrap_err();
        assert!(found.len() == 1 && found[0].key.contains("path"), "{path}: {found:#?}");
    }
    for (keys, at, words) in [
        ("machines = \"yes\"", "machines", "neither true nor false"),
        ("machines = true\npublic = true", "public", "ask for something"),
        ("clients = []", "clients", "at least one"),
        ("clients = [\"night ly\"]", "clients", "letters, digits"),
        ("clients = [\"nightly\"]\npublic = true", "public", "ask for something"),
        ("clients = [\"nightly\"]\ngroups = [\"admins\"]", "clients", "no client could ever meet"),
        ("clients = [\"nightly\"]\nemail_domains = [\"example.com\"]", "clients", "no client could ever meet"),
        ("groups = []", "groups", "at least one"),
        ("groups = [\"\"]", "groups", "none of them empty"),
        ("groups = [\" \"]", "groups", "none of them empty"),
        ("groups = [\"a b\"]", "groups", "name of a group"),
        ("groups = \"admins\"", "groups", "list"),
        ("scopes = [\"a b\"]", "scopes", ""),
        ("email_domains = [\"@example.com\"]", "email_domains", ""),
        ("public = \"yes\"", "public", "neither true nor false"),
        ("public = true\ngroups = [\"admins\"]", "public", "open to everybody"),
        ("group = [\"admins\"]", "group", "no such key"),
        ("methods = [\"GET\"]", "methods", "no such key"),
    ] {
        one(load_site(&format!("{host}{keys}")), at, words);
    }
}

#[test]
fn two_rules_for_the_same_pages_are_refused() {
    let twice = |first: &str, second: &str| {
        format!(
            "[[policy.site]]\nhost = \"a.example.com\"\npath = \"{first}\"\n[[policy.site]]\nhost = \"A.example.com\"\npath = \"{second}\"\npublic = true\n"
        )
    };
    one(load_blocks(&twice("/a", "/a"), &[]), "policy.site 2", "two rules");
    one(load_blocks(&twice("/a", "/A/"), &[]), "policy.site 2", "two rules");
    assert!(load_blocks(&twice("/a", "/a/b"), &[]).is_ok());
}

#[test]
fn rules_without_anybody_whose_word_counts_are_refused() {
    let rule = "[[policy.site]]\nhost = \"wiki.example.com\"\n";
    one(load_blocks(rule, &[("server.trusted_proxies", "[]")]), "policy.site", "names nobody");
    one(load_blocks(rule, &[("return_to.allow", "[\"cms.example.com\"]")]), "policy.site", "return_to.allow");
    one(load_toml(format!("{}[policy]\nsite = 1\n", toml(&[]))), "policy", "list of blocks");
}

#[test]
fn who_may_sign_in_is_written_without_empty_names() {
    for (key, value) in [
        ("policy.groups", "[\"\"]"),
        ("policy.groups", "[\"a b\"]"),
        ("policy.email_domains", "[\"jane@example.com\"]"),
        ("policy.email_domains", "[\"*\"]"),
        ("gateway.header_style", "\"X-Auth\""),
    ] {
        one(load_toml(toml(&[(key, value)])), key, "");
    }
}
