//! Trust in forwarded headers, and identity headers: what an attacker tries.

use super::{NAVIGATION, PAGE, TRUSTED, asked, send, signed_in, trusting, with_rules};
use crate::support::{Browser, Site};

const RULES: &str = r#"
[[policy.site]]
host = "wiki.app.localhost"
groups = ["admins"]
[[policy.site]]
host = "wiki.app.localhost"
path = "/public"
public = true
"#;

#[tokio::test]
async fn forwarded_headers_of_somebody_else_are_not_believed() {
    let site = Site::with(&[("SERVER__TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let jane = signed_in(&site, "jane").await;
    for headers in [
        &[("x-forwarded-uri", "/public")][..],
        &[("x-forwarded-uri", "//evil.test#"), ("x-forwarded-host", "evil.test")],
        &[("x-original-url", "https://evil.test/")],
        &[("x-forwarded-uri", "/a"), ("x-forwarded-uri", "/b")],
        &[("x-original-url", "caf\u{e9}")],
        // Who claims to have come through one is still not one.
        &[("x-forwarded-uri", "/"), ("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=10.0.0.1")],
    ] {
        let known = send(&jane, &site, "/validate", headers).await;
        assert_eq!(known.status, 200, "as if they were not there: {headers:?}");
        let stranger = send(&Browser::new(), &site, "/validate", headers).await;
        assert_eq!(stranger.status, 401);
        assert_eq!(stranger.json()["signin_url"], site.auth("/auth/signin"), "{headers:?}");
        let browser = [headers, &NAVIGATION].concat();
        assert_eq!(send(&jane, &site, "/validate/browser", &browser).await.status, 403, "{headers:?}");
    }
}

#[tokio::test]
async fn a_public_page_told_by_somebody_else_opens_nothing_where_there_are_rules() {
    let site = with_rules(RULES, &[("SERVER__TRUSTED_PROXIES", "10.0.0.0/8")]).await;
    let erin = signed_in(&site, "erin").await;
    for browser in [&erin, &Browser::new()] {
        let refused = asked(browser, &site, "/validate", "http://wiki.app.localhost/public", &[]).await;
        assert_eq!((refused.status, refused.problem().as_str()), (403, "proxy-not-trusted"));
    }
    // A sibling's server that tells no page asks who it is, as ever.
    assert_eq!(erin.validate(&site).await.status, 200);
    assert_eq!(Browser::new().validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_page_that_is_told_under_another_name_is_not_taken_for_none_where_there_are_rules() {
    let site = with_rules(RULES, &[]).await;
    let jane = signed_in(&site, "jane").await;
    for header in [("x-original-uri", "/admin"), ("x-original-method", "GET"), ("x-forwarded-method", "GET")] {
        let refused = send(&jane, &site, "/validate", &[header]).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid-forwarded-request"), "{header:?}");
        let plain = trusting(&[]).await;
        assert_eq!(send(&signed_in(&plain, "jane").await, &plain, "/validate", &[header]).await.status, 200);
    }
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn repeated_lines_fragments_user_info_and_odd_hosts_are_refused() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    let (proto, host, uri) =
        (("x-forwarded-proto", "https"), ("x-forwarded-host", "wiki.app.localhost"), ("x-forwarded-uri", "/a"));
    let cases: &[&[(&str, &str)]] = &[
        &[proto, host, uri, uri],
        &[proto, host, host, uri],
        &[proto, proto, host, uri],
        &[proto, host, uri, ("x-forwarded-method", "GET"), ("x-forwarded-method", "POST")],
        &[uri],
        &[host, uri],
        &[proto, uri],
        &[proto, ("x-forwarded-host", ""), uri],
        &[proto, host, ("x-forwarded-uri", "/a#b")],
        &[proto, host, ("x-forwarded-uri", "#")],
        &[proto, host, ("x-forwarded-uri", "a")],
        &[proto, host, ("x-forwarded-uri", "*")],
        &[proto, host, ("x-forwarded-uri", "@evil.test/")],
        &[proto, host, ("x-forwarded-uri", "https://wiki.app.localhost/a")],
        &[proto, host, ("x-forwarded-uri", "/a b")],
        &[proto, host, ("x-forwarded-uri", "/a\tb")],
        &[proto, host, ("x-forwarded-uri", "/a\\b")],
        &[proto, host, ("x-forwarded-uri", "/caf\u{e9}")],
        &[proto, ("x-forwarded-host", "a@wiki.app.localhost"), uri],
        &[proto, ("x-forwarded-host", "a:b@wiki.app.localhost"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost,evil.test"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost/"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost#"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost?"), uri],
        &[proto, ("x-forwarded-host", "WIKI.app.localhost"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost."), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost:443"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost:0443"), uri],
        &[proto, ("x-forwarded-host", "wiki.app.localhost:"), uri],
        &[proto, ("x-forwarded-host", "wiki%2eapp.localhost"), uri],
        &[proto, ("x-forwarded-host", "wiki\u{ff0e}app.localhost"), uri],
        &[proto, ("x-forwarded-host", "evil.test"), uri],
        &[proto, ("x-forwarded-host", "evilapp.localhost"), uri],
        &[proto, ("x-forwarded-host", "app.localhost.evil.test"), uri],
        &[("x-forwarded-proto", "HTTPS"), host, uri],
        &[("x-forwarded-proto", "https,http"), host, uri],
        &[("x-forwarded-proto", "javascript"), host, uri],
        &[("x-forwarded-proto", "file"), host, uri],
        &[("x-forwarded-proto", "https:"), host, uri],
        &[("x-original-url", "https://wiki.app.localhost")],
        &[("x-original-url", "https://wiki.app.localhost?a")],
        &[("x-original-url", "//wiki.app.localhost/a")],
        &[("x-original-url", "/a")],
        &[("x-original-url", "https://evil.test/a")],
        &[("x-original-url", "https://wiki.app.localhost/a"), ("x-original-url", "https://wiki.app.localhost/a")],
        // Two ways of telling that do not agree: one of them is the client's.
        &[proto, host, uri, ("x-original-url", "https://wiki.app.localhost/public")],
        &[proto, host, uri, ("x-original-url", "http://wiki.app.localhost/a")],
        &[proto, host, uri, ("x-original-url", "rubbish")],
    ];
    for headers in cases {
        for route in ["/validate", "/validate/browser"] {
            for browser in [&jane, &Browser::new()] {
                let refused = send(browser, &site, route, headers).await;
                let said = (refused.status, refused.problem());
                assert_eq!(said, (400, "invalid-forwarded-request".to_owned()), "{route} {headers:?}");
            }
        }
    }
    let agreeing = &[proto, host, uri, ("x-original-url", "https://wiki.app.localhost/a")];
    assert_eq!(send(&jane, &site, "/validate", agreeing).await.status, 200);
    // Load balancers add these to everything; they tell no page.
    assert_eq!(send(&jane, &site, "/validate", &[proto, host]).await.status, 200);
    assert_eq!(send(&jane, &site, "/validate", &[("x-original-url", ""), ("x-forwarded-uri", "")]).await.status, 200);
    assert_eq!(send(&jane, &site, "/validate/browser", &[proto, host]).await.status, 400);
}

#[tokio::test]
async fn plain_http_is_no_page_of_a_site_in_production() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::over_https(folder.path(), &[TRUSTED, ("RETURN_TO__DEFAULT", "https://cms.app.localhost/")]).await;
    let browser = Browser::trusting(folder.path());
    let http = asked(&browser, &site, "/validate", "http://wiki.app.localhost/a", &[]).await;
    assert_eq!((http.status, http.problem().as_str()), (400, "invalid-forwarded-request"));
    assert_eq!(asked(&browser, &site, "/validate", "https://wiki.app.localhost/a", &[]).await.status, 401);
}

#[tokio::test]
async fn an_encoded_hash_is_neither_cut_nor_public() {
    let site = with_rules(RULES, &[]).await;
    let jane = signed_in(&site, "jane").await;
    for page in ["/admin%23/public", "/public%23", "/public/%23/../admin", "/public/a%23b"] {
        let page = format!("http://wiki.app.localhost:4000{page}");
        assert_eq!(asked(&Browser::new(), &site, "/validate", &page, &[]).await.status, 401, "{page}");
        assert_eq!(asked(&jane, &site, "/validate", &page, &[]).await.status, 403, "{page}");
    }
}

#[tokio::test]
async fn no_user_agent_and_no_health_checks_path_turns_validate_into_200() {
    let site = with_rules(RULES, &[]).await;
    for (name, value) in [
        ("user-agent", "kube-probe/1.30"),
        ("user-agent", "GoogleHC/1.0"),
        ("user-agent", "ELB-HealthChecker/2.0"),
        ("x-forwarded-prefix", "/public"),
        ("x-rewrite-url", "/public"),
        ("x-original-uri", "/public"),
        ("x-forwarded-path", "/public"),
        ("forwarded", "host=wiki.app.localhost;proto=https"),
    ] {
        let page = "http://wiki.app.localhost:4000/livez";
        assert_eq!(
            asked(&Browser::new(), &site, "/validate", page, &[(name, value)]).await.status,
            401,
            "{name}: {value}"
        );
    }
}

#[tokio::test]
async fn applications_behind_others_read_the_names_they_know() {
    let styles: [(&str, &[(&str, &str)]); 2] = [
        (
            "x-auth-request",
            &[
                ("x-auth-request-preferred-username", "erin"),
                ("x-auth-request-email", "erin@example.com"),
                ("x-auth-request-groups", "editors,admins"),
            ],
        ),
        (
            "remote",
            &[
                ("remote-user", "erin"),
                ("remote-email", "erin@example.com"),
                ("remote-groups", "editors,admins"),
                ("remote-name", "Erin Editor"),
            ],
        ),
    ];
    for (style, expected) in styles {
        let site = with_rules(RULES, &[("GATEWAY__HEADER_STYLE", style)]).await;
        let erin = signed_in(&site, "erin").await;
        let known =
            asked(&erin, &site, "/validate", PAGE, &[("remote-user", "root"), ("x-auth-request-user", "root")]).await;
        for (name, value) in expected {
            assert_eq!(known.header(name), Some(*value), "{style} {name}");
        }
        // Our own stay, for siblings that read them.
        assert_eq!(known.header("x-auth-username"), Some("erin"));
        if style == "x-auth-request" {
            assert_eq!(known.header("x-auth-request-user"), known.header("x-auth-subject"));
        }
        // On a public page a stranger has every one of them, empty.
        let page = "http://wiki.app.localhost:4000/public/x";
        let nobody = asked(&Browser::new(), &site, "/validate", page, &[("remote-user", "root")]).await;
        assert_eq!((nobody.status, nobody.json()["active"].as_bool()), (200, Some(false)));
        for name in expected.iter().map(|(name, _)| *name).chain(["x-auth-subject", "x-auth-kind", "x-auth-expires"]) {
            assert_eq!(nobody.headers.get_all(name).iter().collect::<Vec<_>>(), [""], "{style} {name}");
        }
    }
}

#[tokio::test]
async fn a_group_with_a_comma_is_still_one_group_under_every_name() {
    let site = trusting(&[("GATEWAY__HEADER_STYLE", "remote")]).await;
    site.pool.edit_user("erin", |user| user.groups = vec!["a,b".into(), "Jörg".into()]);
    let erin = signed_in(&site, "erin").await;
    let known = asked(&erin, &site, "/validate", PAGE, &[]).await;
    assert_eq!(known.header("remote-groups"), Some("a%2Cb,J%C3%B6rg"));
    assert_eq!(known.header("x-auth-groups"), Some("a%2Cb,J%C3%B6rg"));
}
