//! A proxy asks for a site that cannot be changed: whose word counts, what is said to whom.

mod headers;
mod policy;
mod scripts;

use crate::support::{Answer, Browser, Log, Site};
use reqwest::Method;
use std::path::PathBuf;
use tower::ServiceExt;

pub(super) const TRUSTED: (&str, &str) = ("SERVER__TRUSTED_PROXIES", "10.9.9.9,127.0.0.1");

/// A page of the protected site.
pub(super) const PAGE: &str = "http://wiki.app.localhost:4000/a%20page?x=1&y=2%263";

/// Rules for the pages of a wiki.
pub(crate) const RULES: &str = r#"
[[policy.site]]
host = "wiki.app.localhost"
path = "/public"
public = true

[[policy.site]]
host = "wiki.app.localhost"
path = "/admin"
groups = ["admins", "owners"]

[[policy.site]]
host = "wiki.app.localhost"
path = "/mail"
email_domains = ["example.com"]

[[policy.site]]
host = "wiki.app.localhost"
path = "/orders"
scopes = ["https://api.example.com/orders.read", "https://api.example.com/orders.write"]

[[policy.site]]
host = "*.app.localhost"
path = "/staff"
groups = ["editors"]
"#;

/// The service behind a proxy on this machine.
pub(super) async fn trusting(configuration: &[(&str, &str)]) -> Site {
    Site::with(&[&[TRUSTED], configuration].concat()).await
}

/// With rules for pages.
pub(super) async fn with_rules(rules: &str, configuration: &[(&str, &str)]) -> Site {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("auth-api.toml");
    std::fs::write(&file, rules).unwrap();
    Site::with_file(&file, &[&[TRUSTED], configuration].concat()).await
}

/// What a proxy sends for a browser that asks for `page`.
pub(super) async fn asked(browser: &Browser, site: &Site, route: &str, page: &str, headers: &[(&str, &str)]) -> Answer {
    let (scheme, rest) = page.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let told = [("x-forwarded-proto", scheme), ("x-forwarded-host", host), ("x-forwarded-uri", target)];
    send(browser, site, route, &[&told, headers].concat()).await
}

pub(super) async fn send(browser: &Browser, site: &Site, route: &str, headers: &[(&str, &str)]) -> Answer {
    let shape = |request: reqwest::RequestBuilder| {
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    browser.send(Method::GET, &site.auth(route), shape).await
}

pub(super) const NAVIGATION: [(&str, &str); 2] = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

pub(super) async fn signed_in(site: &Site, user: &str) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.sign_in(site, user).await.status, 302);
    browser
}

#[tokio::test]
async fn a_stranger_is_sent_to_the_sign_in_and_comes_back_to_the_very_page() {
    let site = trusting(&[]).await;
    let browser = Browser::new();
    let sent = asked(&browser, &site, "/validate/browser", PAGE, &NAVIGATION).await;
    assert_eq!((sent.status, sent.header("cache-control")), (302, Some("no-store")));
    let location = sent.location();
    assert!(location.starts_with(&site.auth("/auth/signin?return_to=")), "{location}");
    let authorize = browser.get(&location).await.location();
    let callback = browser.log_in(&authorize, "jane").await;
    assert_eq!(browser.get(&callback).await.location(), PAGE);
    let known = asked(&browser, &site, "/validate/browser", PAGE, &NAVIGATION).await;
    assert_eq!((known.status, known.header("x-auth-email")), (200, Some("jane@example.com")));
    assert_eq!(known.json()["username"], "jane");
}

#[tokio::test]
async fn the_whole_address_in_one_header_will_do() {
    let site = trusting(&[]).await;
    let headers = [&NAVIGATION[..], &[("x-original-url", PAGE), ("x-original-method", "GET")]].concat();
    let sent = send(&Browser::new(), &site, "/validate/browser", &headers).await;
    assert_eq!(sent.status, 302);
    assert!(sent.location().contains("y%3D2%25263"), "{}", sent.location());
}

#[tokio::test]
async fn validate_never_redirects_but_says_where_to_sign_in() {
    let site = trusting(&[]).await;
    let answer = asked(&Browser::new(), &site, "/validate", PAGE, &NAVIGATION).await;
    assert_eq!((answer.status, answer.header("location")), (401, None));
    let url = answer.json()["signin_url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&site.auth("/auth/signin?return_to=http%3A%2F%2Fwiki.app.localhost")), "{url}");
    let id = answer.header("x-request-id").unwrap();
    assert_eq!(answer.json()["instance"], id);
}

#[tokio::test]
async fn a_page_with_a_long_query_is_judged_and_a_sign_in_leads_to_the_front_of_its_site() {
    let site = trusting(&[]).await;
    let page = format!("http://wiki.app.localhost:4000/search?q={}", "a".repeat(6_000));
    let sent = asked(&Browser::new(), &site, "/validate/browser", &page, &NAVIGATION).await;
    assert_eq!(sent.location(), site.auth("/auth/signin?return_to=http%3A%2F%2Fwiki.app.localhost%3A4000%2F"));
    let jane = signed_in(&site, "jane").await;
    assert_eq!(asked(&jane, &site, "/validate/browser", &page, &NAVIGATION).await.status, 200);
}

#[tokio::test]
async fn envoy_puts_the_page_behind_the_route_and_its_query_is_no_requirement() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    for target in ["/a%20page?x=1&group=admins", "/", "/x/../y", "//x", "/?", "/a?b?c"] {
        let (route, page) = (format!("/validate/envoy{target}"), format!("http://wiki.app.localhost:4000{target}"));
        assert_eq!(asked_as_written(&jane, &site, &route, &page, &[]).await, 200, "{route}");
        assert_eq!(asked_as_written(&Browser::new(), &site, &route, &page, &NAVIGATION).await, 302, "{route}");
    }
    assert_eq!(asked(&jane, &site, "/validate/browser?group=admins", PAGE, &[]).await.status, 403);
}

/// As [`asked`], at a route that nobody tidies up on the way.
async fn asked_as_written(browser: &Browser, site: &Site, route: &str, page: &str, headers: &[(&str, &str)]) -> u16 {
    let (scheme, rest) = page.split_once("://").unwrap();
    let (host, target) = rest.split_at(rest.find('/').unwrap());
    let cookie = browser.cookies(&site.auth_url);
    let told = [("x-forwarded-proto", scheme), ("x-forwarded-host", host), ("x-forwarded-uri", target)];
    let mut request = http::Request::get(route).header("cookie", cookie);
    for (name, value) in told.iter().chain(headers) {
        request = request.header(*name, *value);
    }
    let mut request = request.body(axum::body::Body::empty()).unwrap();
    let peer: std::net::SocketAddr = "127.0.0.1:1".parse().unwrap();
    request.extensions_mut().insert(axum::extract::ConnectInfo(peer));
    site.router.clone().oneshot(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_requirement_is_refused_where_nobody_reads_it_and_never_dropped() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    for route in [
        // One slash too many, or a path behind the route.
        "/validate/browser/?group=admins",
        "/validate/browser/?",
        "/validate/browser/caddy?group=admins",
        "/validate/?group=admins",
        "/validate/x?group=admins",
        // Envoy's way to ask, and not what it asks.
        "/validate/envoy?group=admins",
        "/validate/envoy",
        "/validate/envoy?group=admins/a%20page?x=1&y=2%263",
        "/validate/envoy/?group=admins",
        "/validate/envoy/a%20page?x=1&y=2%263&group=admins",
        "/validate/envoy/a%20page",
        "/validate/envoyx/a%20page?x=1&y=2%263",
    ] {
        let answer = asked(&jane, &site, route, PAGE, &[]).await;
        assert!(matches!(answer.status, 400 | 404), "{route}: {answer:?}");
        assert_eq!(answer.header("x-auth-subject"), None, "{route}");
    }
    for route in ["/auth/session", "/auth/sessions", "/auth/profile"] {
        for query in ["group=editors", "scope=openid", "email_domain=example.com", "x=1&machines=true"] {
            let answer = jane.get(&site.auth(&format!("{route}?{query}"))).await;
            assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-requirement"), "{route} {query}");
        }
        assert!(matches!(jane.get(&site.auth(&format!("{route}?v=2"))).await.status, 200 | 403 | 404), "{route}");
    }
    let renewed = jane.post(&site.auth("/refresh?force=true&group=editors"), &[]).await;
    assert_eq!((renewed.status, renewed.problem().as_str()), (400, "invalid-requirement"));
    let deleted = jane.send(Method::DELETE, &site.auth("/auth/sessions/AAAAAAAAAAAAAAAA?group=editors"), |r| r).await;
    assert_eq!((deleted.status, deleted.problem().as_str()), (400, "invalid-requirement"));
}

#[tokio::test]
async fn without_trusted_proxies_the_route_refuses_to_work_and_the_start_says_so() {
    let log = Log::capture();
    let site = Site::start().await;
    let said = || log.text().contains("/validate/browser refuses every request: server.trusted_proxies is empty");
    crate::support::until("said", async || said()).await;
    let jane = signed_in(&site, "jane").await;
    for browser in [&jane, &Browser::new()] {
        let refused = asked(browser, &site, "/validate/browser", PAGE, &[]).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "proxy-not-trusted"));
        assert!(refused.json()["detail"].as_str().unwrap().contains("server.trusted_proxies is empty"));
        let page = asked(browser, &site, "/validate/browser", PAGE, &NAVIGATION).await;
        assert_eq!((page.status, page.header("location")), (403, None));
    }
}

#[tokio::test]
async fn a_loop_between_a_site_and_the_sign_in_is_explained_on_a_page() {
    let site = trusting(&[]).await;
    let browser = signed_in(&site, "jane").await;
    // A proxy that drops the cookie: to it everybody is a stranger.
    let mut rounds = 0;
    let page = loop {
        let sent = asked(&Browser::new(), &site, "/validate/browser", PAGE, &NAVIGATION).await;
        let answer = browser.get(&sent.location()).await;
        if answer.status != 302 {
            break answer;
        }
        assert_eq!(answer.location(), PAGE);
        rounds += 1;
        assert!(rounds < 20, "it goes on for ever");
    };
    assert_eq!(page.status, 429);
    assert!(page.body.contains("You are going round in circles"));
}

#[tokio::test]
async fn a_denial_has_a_reference_that_the_log_knows_with_page_rule_and_user() {
    let log = Log::capture();
    let rules = "[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/admin\"\ngroups = [\"admins\"]\n";
    let site = with_rules(rules, &[]).await;
    let jane = signed_in(&site, "jane").await;
    let page = "http://wiki.app.localhost:4000/admin/users?token=hidden";
    let denied = asked(&jane, &site, "/validate", page, &[]).await;
    assert_eq!((denied.status, denied.problem().as_str()), (403, "insufficient-scope"));
    let reference = denied.header("x-request-id").unwrap();
    let log = log.text();
    let line = log.lines().find(|line| line.contains(reference)).unwrap_or_else(|| panic!("{reference} in {log}"));
    for part in ["denied", "wiki.app.localhost/admin", "/admin/users", "admins", "sub="] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("hidden"), "{line}");
    // For a person it is a page that works under the site's own address.
    let shown = asked(&jane, &site, "/validate/browser", page, &NAVIGATION).await;
    assert_eq!(shown.status, 403);
    let (reference, style) = (shown.header("x-request-id").unwrap(), site.auth("/auth/assets/style.css"));
    assert!(shown.body.contains(reference) && shown.body.contains(&style), "{}", shown.body);
    assert!(shown.body.contains(&site.auth("/auth/signin?return_to=http%3A%2F%2Fwiki")), "{}", shown.body);
    assert!(shown.header("content-security-policy").unwrap().contains(&format!("style-src {}", site.auth_url)));
    assert_eq!(shown.header("x-frame-options"), Some("DENY"));
}
