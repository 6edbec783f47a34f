//! Our origin, the cookie domain and the hosts that may be returned to.

use auth_api::config::StoreUrl;

use super::{good, one_problem, problems};

#[test]
fn without_a_cookie_domain_only_our_own_host_is_returned_to() {
    let config = good(&[("cookies.domain", "")]);
    assert_eq!(config.cookies.domain, None);
    assert_eq!(config.return_hosts()[0].host, "auth-api.example.com");
}

#[test]
fn the_public_url_is_an_origin() {
    for (written, origin) in [
        ("https://auth-api.example.com/", "https://auth-api.example.com"),
        ("HTTPS://Auth-Api.Example.com:443", "https://auth-api.example.com"),
        ("https://auth-api.example.com:8443", "https://auth-api.example.com:8443"),
    ] {
        let url = good(&[("server.public_url", &format!("{written:?}"))]).server.public_url;
        assert_eq!((url.as_str(), url.host(), url.is_https()), (origin, "auth-api.example.com", true));
        assert_eq!(url.join("/auth/signin"), format!("{origin}/auth/signin"));
    }
    for (written, words) in [
        ("http://auth-api.example.com", "plain http"),
        ("auth-api.example.com", "not a web address"),
        ("localhost:8080", "does not start with"),
        ("ftp://auth-api.example.com", "does not start with"),
        ("https:/auth-api.example.com", "does not start with"),
        ("https://auth-api.example.com/auth", "a path"),
        ("https://auth-api.example.com?x=1", "a query"),
        ("https://auth-api.example.com/#top", "a fragment"),
        ("https://me:hunter2@auth-api.example.com", "user name or password"),
        ("https://auth-api.example.com@evil.test", "user name or password"),
        ("https://auth-api.example.com.", "ends in a dot"),
        ("https://auth-api.example.com ", "not a web address"),
        ("https://auth-api.example.com\\@evil.test", "not a web address"),
        ("https://authäpi.example.com", "not a web address"),
        ("", "empty"),
    ] {
        one_problem(&[("server.public_url", &format!("{written:?}"))], "server.public_url", words);
    }
}

#[test]
fn plain_http_is_for_loopback() {
    for host in ["localhost:8080", "auth-api.app.localhost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080"] {
        let url = format!("\"http://{host}\"");
        let config = good(&[("server.public_url", &url), ("cookies.domain", "")]);
        assert!(!config.server.public_url.is_https());
    }
    for host in ["10.0.0.1", "localhost.example.com", "notlocalhost", "0.0.0.0", "[::2]"] {
        let url = format!("\"http://{host}\"");
        one_problem(&[("server.public_url", &url), ("cookies.domain", "")], "server.public_url", "plain http");
    }
    let dev = [
        ("server.public_url", "\"http://auth-api.app.localhost:8080\""),
        ("cookies.domain", "\"app.localhost\""),
        ("provider.issuer", "\"http://pool.app.localhost:9000/eu-west-1_Dev\""),
        ("return_to.default", "\"http://cms.app.localhost:8081/\""),
        ("session.store", "\"memory:\""),
    ];
    assert_eq!(good(&dev).session.store, StoreUrl::Memory);
    one_problem(
        &[("provider.issuer", "\"http://localhost:9000/eu-west-1_Dev\"")],
        "provider.issuer",
        "only this machine",
    );
}

#[test]
fn the_cookie_domain_is_a_parent_of_our_host_and_ours() {
    for domain in ["example.com", ".example.com", "Example.COM", "auth-api.example.com"] {
        let written = good(&[("cookies.domain", &format!("{domain:?}"))]).cookies.domain.unwrap();
        assert!("auth-api.example.com".ends_with(&written) && !written.starts_with('.'));
    }
    for (host, domain, words) in [
        ("auth-api.example.com", "example.org", "Write a parent of that host, for example `example.com`"),
        ("auth-api.example.com", "api.example.com", "does not contain"),
        ("evilexample.com", "example.com", "does not contain"),
        ("auth-api.example.com", "com", "public suffix"),
        ("shop.co.uk", "co.uk", "public suffix"),
        ("me.github.io", "github.io", "public suffix"),
        ("x.s3.amazonaws.com", "s3.amazonaws.com", "public suffix"),
        ("x.execute-api.eu-west-1.amazonaws.com", "amazonaws.com", "Write `x.execute-api.eu-west-1.amazonaws.com`"),
        ("auth.corp", "corp", "public suffix"),
        ("auth-api.localhost", "localhost", "app.localhost"),
        ("10.0.0.1", "10.0.0.1", "IP address"),
        ("auth-api.example.com", "https://example.com/", "Write `example.com` alone"),
        ("auth-api.example.com", "*.example.com", "Write `example.com`"),
        ("auth-api.example.com", "example.com:443", "has a port"),
        ("auth-api.example.com", "example.com/cms", "more than a host"),
        ("auth-api.example.com", "bücher.example", "`xn--bcher-kva.example`"),
        ("auth-api.example.com", "example..com", "not a host name"),
        ("auth-api.example.com", "example.com.", "not a host name"),
        ("auth-api.example.com", "exa mple.com", "not a host name"),
        ("auth-api.example.com", "", "empty"),
    ] {
        let changes =
            [("server.public_url", &*format!("\"https://{host}\"")), ("cookies.domain", &*format!("{domain:?}"))];
        one_problem(&changes, "cookies.domain", words);
    }
}

#[test]
fn return_hosts_are_inside_the_cookie_domain_or_marked() {
    let config = good(&[("return_to.allow", "[\"cms.example.com\", \"external:Partner.test\", \".example.com\"]")]);
    let allowed = config.return_hosts();
    let hosts: Vec<_> = allowed.iter().map(|a| (a.host.as_str(), a.external)).collect();
    assert_eq!(hosts, [("cms.example.com", false), ("partner.test", true), ("example.com", false)]);
    let partner = &allowed[1];
    assert!(partner.covers("partner.test") && partner.covers("a.partner.test") && !partner.covers("evilpartner.test"));
    for (written, words) in [
        ("partner.test", "write `external:partner.test`"),
        ("evilexample.com", "outside"),
        ("com", "public suffix"),
        ("external:co.uk", "public suffix"),
        ("external:github.io", "public suffix"),
        ("*.example.com", "wildcard"),
        ("*", "wildcard"),
        ("https://cms.example.com", "Write `cms.example.com` alone"),
        ("cms.example.com:8443", "port"),
        ("cms.example.com/path", "more than a host"),
        ("me@cms.example.com", "a user in it"),
        ("external:", "not a host name"),
        ("", "Item 1"),
        ("0x7f.1", "not a host name"),
    ] {
        one_problem(&[("return_to.allow", &format!("[{written:?}]"))], "return_to.allow", words);
    }
    let no_domain = ("cookies.domain", "");
    good(&[no_domain, ("return_to.allow", "[\"auth-api.example.com\"]")]);
    one_problem(&[no_domain, ("return_to.allow", "[\"example.com\"]")], "return_to.allow", "Without cookies.domain");
    let found = problems(&[("return_to.allow", "[\"a.test\", \"cms.example.com\", \"*\", \"b.test\"]")]);
    assert_eq!(found.len(), 1, "the item that cannot be read hides the rules between items: {found:?}");
}

#[test]
fn the_default_target_is_itself_allowed() {
    for target in ["https://cms.example.com/", "https://example.com:8443/a?b=c#d", "https://auth-api.example.com/@me"] {
        good(&[("return_to.default", &format!("{target:?}"))]);
    }
    good(&[("return_to.default", "\"https://auth-api.example.com/\""), ("return_to.allow", "[]")]);
    for (target, words) in [
        ("https://cms.example.org/", "not a host of return_to.allow"),
        ("https://evilexample.com/", "not a host of return_to.allow"),
        ("http://cms.example.com/", "plain http"),
        ("http://localhost/", "plain http"),
        ("/welcome", "not a web address"),
        ("javascript:alert(1)", "does not start with"),
        ("https://a@cms.example.com/", "user name"),
        ("https://cms.example.com\\@evil.test/", "not a web address"),
    ] {
        one_problem(&[("return_to.default", &format!("{target:?}"))], "return_to.default", words);
    }
}
