//! Scripts and programs get answers that they can read; only people are redirected.

use super::{NAVIGATION, PAGE, asked, send, signed_in, trusting};
use crate::support::Browser;
use reqwest::Method;

#[tokio::test]
async fn only_who_waits_for_a_page_is_redirected() {
    let site = trusting(&[]).await;
    const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&NAVIGATION, 302),
        (&[("sec-fetch-mode", "navigate")], 302),
        (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("accept", "*/*")], 302),
        (&[HTML], 302),
        (&[("accept", "application/json;q=0.9, TEXT/HTML;q=0.1")], 302),
        // A frame cannot show the sign-in.
        (&[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe"), HTML], 401),
        (&[("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), HTML], 401),
        (&[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), HTML], 401),
        (&[("sec-fetch-mode", "websocket"), HTML], 401),
        (&[HTML, ("x-requested-with", "XMLHttpRequest")], 401),
        (&[("accept", "*/*")], 401),
        (&[("accept", "application/json")], 401),
        (&[("accept", "text/htmlx")], 401),
        (&[], 401),
    ];
    for (headers, expected) in cases {
        let answer = asked(&Browser::new(), &site, "/validate/browser", PAGE, headers).await;
        assert_eq!(answer.status, *expected, "{headers:?}");
        if *expected == 401 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.json()["signin_url"].as_str().unwrap().contains("wiki.app.localhost"));
        }
    }
}

#[tokio::test]
async fn a_dead_cookie_is_a_way_to_the_sign_in_too() {
    let site = trusting(&[]).await;
    let browser = Browser::new();
    browser.plant(&site.auth_url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost; Path=/");
    assert_eq!(asked(&browser, &site, "/validate/browser", PAGE, &NAVIGATION).await.status, 302);
    let answer = asked(&browser, &site, "/validate/browser", PAGE, &[]).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "credentials-not-valid"));
}

#[tokio::test]
async fn a_script_of_a_sibling_can_read_the_refusal_and_a_strangers_cannot() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    for route in ["/validate", "/validate/browser", "/validate?group=admins", "/validate/browser?group=admins"] {
        for (origin, readable) in [
            ("http://cms.app.localhost:3000", true),
            ("http://app.localhost", true),
            ("http://evil.test", false),
            ("http://evilapp.localhost", false),
            ("null", false),
        ] {
            let headers = [("origin", origin), ("sec-fetch-mode", "cors")];
            let browser = if route.contains('?') { &jane } else { &Browser::new() };
            let answer = asked(browser, &site, route, PAGE, &headers).await;
            assert!(matches!(answer.status, 401 | 403));
            let expected = readable.then_some(origin);
            assert_eq!(answer.header("access-control-allow-origin"), expected, "{route} {origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), readable.then_some("true"));
            assert_eq!(answer.header("vary"), readable.then_some("origin"));
        }
    }
}

#[tokio::test]
async fn a_preflight_about_a_page_is_judged_like_any_request_unless_they_pass() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    let told = [&PREFLIGHT[..], &[("x-forwarded-method", "OPTIONS")]].concat();
    for route in ["/validate", "/validate/browser"] {
        let stranger = asked(&Browser::new(), &site, route, PAGE, &told).await;
        assert_eq!((stranger.status, stranger.problem().as_str()), (401, "not-signed-in"), "{route}");
        assert_eq!(asked(&jane, &site, route, PAGE, &told).await.status, 200, "{route}");
        assert_eq!(asked(&jane, &site, &format!("{route}?group=admins"), PAGE, &told).await.status, 403, "{route}");
    }
}

#[tokio::test]
async fn a_preflight_whose_answer_reaches_the_browser_is_answered() {
    let site = trusting(&[]).await;
    let in_parts =
        [("x-forwarded-proto", "http"), ("x-forwarded-host", "wiki.app.localhost"), ("x-forwarded-uri", "/a?b=c")];
    let in_one = [("x-original-url", "http://wiki.app.localhost/a?b=c")];
    let preflight = async |route: &str, page: &[(&'static str, &'static str)], method: Option<&'static str>| {
        let told =
            method.map(|method| (if page.len() > 1 { "x-forwarded-method" } else { "x-original-method" }, method));
        let headers: Vec<_> = PREFLIGHT.into_iter().chain(page.iter().copied()).chain(told).collect();
        let shape = |r: reqwest::RequestBuilder| headers.iter().fold(r, |r, (name, value)| r.header(*name, *value));
        Browser::new().send(Method::OPTIONS, &site.auth(route), shape).await.status
    };
    // nginx, and Envoy.
    for (route, page) in [("/validate/browser", &in_one[..]), ("/validate/envoy/a?b=c", &in_parts)] {
        assert_eq!(preflight(route, page, None).await, 204, "{route}");
        assert_eq!(preflight(route, page, Some("OPTIONS")).await, 204, "{route}");
        assert_eq!(preflight(route, page, Some("GET")).await, 401, "{route}: it is none");
    }
    // Here a proxy decides by the status alone, and 204 would be a yes: also where Traefik keeps the browser's method.
    let both = [&in_parts[..], &in_one].concat();
    for (route, page) in [
        ("/validate", &in_one[..]),
        ("/validate", &in_parts),
        ("/validate/browser", &in_parts),
        ("/validate/browser", &both),
    ] {
        assert_eq!(preflight(route, page, None).await, 401, "{route} {page:?}");
        assert_eq!(preflight(route, page, Some("OPTIONS")).await, 401, "{route} {page:?}");
    }
}

const PREFLIGHT: [(&str, &str); 3] = [
    ("origin", "http://cms.app.localhost:3000"),
    ("access-control-request-method", "PUT"),
    ("access-control-request-headers", "x-thing"),
];

#[tokio::test]
async fn a_preflight_that_may_pass_is_answered_and_knows_nobody() {
    let site = trusting(&[("GATEWAY__PREFLIGHTS", "true")]).await;
    let jane = signed_in(&site, "jane").await;
    let preflight = PREFLIGHT;
    let told = [&preflight[..], &[("x-forwarded-method", "OPTIONS")]].concat();
    for route in ["/validate", "/validate/browser"] {
        for browser in [&jane, &Browser::new()] {
            let answer = asked(browser, &site, route, PAGE, &told).await;
            assert_eq!(answer.status, 204, "{route}");
            assert_eq!(answer.header("access-control-allow-origin"), Some("http://cms.app.localhost:3000"));
            assert_eq!(answer.header("access-control-allow-methods"), Some("PUT"));
            assert_eq!(answer.header("access-control-allow-headers"), Some("x-thing"));
            assert_eq!(answer.header("x-auth-subject"), Some(""), "a site that hears of it is told of nobody");
        }
    }
    let direct = Browser::new()
        .send(Method::OPTIONS, &site.auth("/validate"), |r| preflight.iter().fold(r, |r, (n, v)| r.header(*n, *v)))
        .await;
    assert_eq!(direct.status, 204);
    // What is none is judged like everything else.
    for without in ["origin", "access-control-request-method", "x-forwarded-method"] {
        let rest: Vec<_> = told.iter().copied().filter(|(name, _)| *name != without).collect();
        assert_eq!(asked(&Browser::new(), &site, "/validate/browser", PAGE, &rest).await.status, 401, "{without}");
    }
    let foreign = [("origin", "http://evil.test"), told[1], told[2], told[3]];
    assert_eq!(asked(&Browser::new(), &site, "/validate/browser", PAGE, &foreign).await.status, 401);
    let get = [("x-forwarded-method", "GET")];
    let shape = |r: reqwest::RequestBuilder| {
        let told =
            [("x-forwarded-proto", "http"), ("x-forwarded-host", "wiki.app.localhost"), ("x-forwarded-uri", "/")];
        preflight.iter().chain(&told).chain(&get).fold(r, |r, (name, value)| r.header(*name, *value))
    };
    let lie = Browser::new().send(Method::OPTIONS, &site.auth("/validate/browser"), shape).await;
    assert_eq!(lie.status, 401, "the proxy says that it is a GET");
}

#[tokio::test]
async fn while_the_pool_is_away_who_is_signed_in_stays_in_and_who_is_not_gets_a_page() {
    let site = trusting(&[]).await;
    let jane = signed_in(&site, "jane").await;
    site.pool.down(true);
    assert_eq!(asked(&jane, &site, "/validate/browser", PAGE, &NAVIGATION).await.status, 200);
    let bearer = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let authorization = format!("Bearer {bearer}");
    let known = send(&Browser::new(), &site, "/validate", &[("authorization", &authorization)]).await;
    assert_eq!(known.status, 200, "its keys are known");
}
