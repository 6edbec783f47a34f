//! What people do with a site behind a proxy.

use super::app::values;
use super::kinds::Proxy;
use super::{Edge, navigation, script, through_each_proxy};
use crate::real::chromium::{Chromium, PASSWORD};
use crate::support::param;
use reqwest::Method;
use serde_json::Value;

through_each_proxy! {
    a_stranger_signs_in_reads_the_very_page_and_signs_out
    somebody_signed_in_is_known_to_the_app
    a_script_is_told_401_and_not_led_away
    who_lacks_the_group_is_refused_with_our_page
    a_page_that_wants_a_recent_sign_in_gets_one
    what_the_app_refuses_is_its_own_affair
    an_upload_arrives_whole
    odd_paths_arrive_as_they_were_sent
    who_has_signed_out_is_a_stranger_again
    a_preflight_is_answered
}

const WANTED: &str = "/articles/a%20b?x=1&y=2%263";

async fn a_stranger_signs_in_reads_the_very_page_and_signs_out(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let browser = Chromium::start_trusting_any_certificate().await;
    let wanted = edge.wiki(WANTED);
    browser.go(&wanted).await;
    browser.is_asked_to_sign_in(edge.site()).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&wanted).await;
    let seen: Value = serde_json::from_str(&browser.text("pre").await).unwrap();
    assert_eq!(seen["uri"], WANTED);
    assert_eq!(values(&seen, "x-auth-username"), ["jane"]);

    browser.go(&edge.site().auth("/auth/signout")).await;
    browser.click("button").await;
    browser.arrives_at(&edge.site().auth("/auth/signout/callback")).await;
    browser.go(&wanted).await;
    browser.is_asked_to_sign_in(edge.site()).await;
    browser.driver.clone().quit().await.unwrap();
}

/// The identity that the app was told, in the order of the names.
pub(super) fn identity(seen: &Value) -> Vec<(String, Vec<String>)> {
    let names = ["subject", "username", "email", "groups", "scopes", "client-id", "kind", "provider", "expires"];
    names.map(|name| format!("x-auth-{name}")).map(|name| (name.clone(), values(seen, &name))).into()
}

async fn somebody_signed_in_is_known_to_the_app(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let erin = edge.signed_in("erin").await;
    let pretending = |request| navigation(request).header("x-forwarded-for", "10.0.0.1");
    let said = erin.validate(edge.site()).await;
    let answer = erin.send(Method::GET, &edge.wiki(WANTED), pretending).await;
    assert_eq!((answer.status, answer.header("x-app")), (200, Some("the app's own")), "{answer:?}");
    let seen = answer.json();
    assert_eq!(seen["uri"], WANTED);
    for (name, told) in identity(&seen) {
        assert_eq!(told, [said.header(&name).unwrap()], "{name}");
    }
    assert_eq!(values(&seen, "x-auth-groups"), ["editors,admins"]);
    // Nothing of the way there: the app knows its own host and scheme, and the cookie.
    assert_eq!(values(&seen, "host"), [format!("wiki.app.localhost:{}", edge.port)]);
    assert_eq!(values(&seen, "x-forwarded-proto"), ["https"]);
    assert!(values(&seen, "cookie")[0].contains("__Secure-auth="));
    assert_eq!(edge.asked().len(), 1);
    // The app and the service know who asks from where, whatever that one says of it.
    assert_eq!(values(&seen, "x-forwarded-for"), ["127.0.0.2"]);
    let sessions = erin.get(&edge.site().auth("/auth/sessions")).await.json();
    assert_eq!(sessions["sessions"][0]["address"], "127.0.0.2");
}

async fn a_script_is_told_401_and_not_led_away(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let sibling = format!("https://cms.app.localhost:{}", edge.port);
    let asking = |request| script(request).header("origin", &sibling);
    let answer = edge.visitor().send(Method::GET, &edge.wiki(WANTED), asking).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    let signin_url = answer.json()["signin_url"].as_str().unwrap().to_owned();
    assert!(signin_url.starts_with(&edge.site().auth("/auth/signin")), "{signin_url}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("access-control-allow-origin"), Some(sibling.as_str()), "{answer:?}");
    assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
    // The reference leads to the log.
    assert_eq!(
        answer.header("x-request-id"),
        answer.json()["instance"].as_str().map(|id| id.rsplit(':').next().unwrap())
    );
    // Libraries older than Fetch Metadata say it so.
    let lines = ["Accept: text/html, */*", "X-Requested-With: XMLHttpRequest"];
    assert_eq!(edge.raw("GET /articles HTTP/1.1", &lines, b"").await.status, 401);
    assert_eq!(edge.raw("GET /articles HTTP/1.1", &lines[..1], b"").await.status, 302);
    // A page that a person wants to see: to the sign-in, with the page.
    let answer = edge.visitor().navigate(&edge.wiki(WANTED)).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    assert_eq!(param(&answer.location(), "return_to"), Some(edge.wiki(WANTED)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(edge.asked().is_empty());
}

async fn who_lacks_the_group_is_refused_with_our_page(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let (jane, erin) = (edge.signed_in("jane").await, edge.signed_in("erin").await);
    let answer = jane.navigate(&edge.wiki("/admin?x=1")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{answer:?}");
    assert!(answer.body.contains("another account"), "{answer:?}");
    assert!(answer.header("content-security-policy").is_some(), "{answer:?}");
    let answer = jane.send(Method::GET, &edge.wiki("/admin"), script).await;
    assert_eq!((answer.status, answer.header("content-type")), (403, Some("application/problem+json")));
    let answer = jane.send(Method::POST, &edge.wiki("/admin"), |r| script(r).body("x".repeat(100_000))).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    assert!(edge.asked().is_empty());
    assert_eq!(erin.navigate(&edge.wiki("/admin?x=1")).await.status, 200);
}

async fn a_page_that_wants_a_recent_sign_in_gets_one(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    edge.site().pass(301);
    let page = edge.wiki("/payroll?x=1");
    let answer = jane.send(Method::GET, &page, script).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "insufficient-user-authentication"));
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{answer:?}");
    let answer = jane.navigate(&page).await;
    assert_eq!(answer.status, 302, "{answer:?}");
    let signin = answer.location();
    assert_eq!((param(&signin, "max_age"), param(&signin, "return_to")), (Some("300".into()), Some(page.clone())));
    assert!(edge.asked().is_empty());
    let authorize = jane.get(&signin).await.location();
    let callback = jane.log_in(&authorize, "jane").await;
    assert_eq!(jane.get(&callback).await.location(), page);
    assert_eq!(jane.navigate(&page).await.status, 200);
}

async fn what_the_app_refuses_is_its_own_affair(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    for status in [401, 403, 404, 500, 503] {
        let answer = jane.navigate(&edge.wiki(&format!("/says/{status}"))).await;
        assert_eq!((answer.status, answer.header("x-app")), (status, Some("the app's own")), "{answer:?}");
        assert_eq!(values(&answer.json(), "x-auth-username"), ["jane"]);
    }
}

async fn an_upload_arrives_whole(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    let answer = jane.send(Method::POST, &edge.wiki("/upload?x=1"), |r| script(r).body(body.clone())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    assert_eq!((&seen["method"], &seen["length"], &seen["sum"]), (&"POST".into(), &1_000_000.into(), &sum.into()));
    // In pieces of unknown number, and only when it is told to go on.
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    let pieces: Vec<u8> = body.chunks(100_000).flat_map(|p| [b"186a0\r\n", p, b"\r\n"].concat()).collect();
    let pieces = [pieces.as_slice(), b"0\r\n\r\n"].concat();
    let lines = [cookie.as_str(), "Transfer-Encoding: chunked", "Expect: 100-continue"];
    let answer = edge.raw("POST /upload HTTP/1.1", &lines, &pieces).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((&answer.json()["length"], &answer.json()["sum"]), (&1_000_000.into(), &sum.into()));
    // Without a session it goes nowhere.
    let answer = edge.raw("POST /upload HTTP/1.1", &lines[1..], &pieces).await;
    assert!([401, 302].contains(&answer.status), "{answer:?}");
    assert_eq!(edge.asked().len(), 2);
}

async fn odd_paths_arrive_as_they_were_sent(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    let odd = ["/a%2Fb?c=%2F&d", "/a;b=c/%E4%BD%A0", "/a%5Cb", "/100%25?x=%zz"];
    // Traefik tidies these up, before it asks.
    let untidy = ["/a//b", "/a/../b/./c", "/%7Eme/.well-known/x?", "/%e4%BD%A0"];
    for uri in odd.iter().chain(untidy.iter().filter(|_| proxy != Proxy::Traefik)) {
        let answer = edge.raw(&format!("GET {uri} HTTP/1.1"), &[&cookie], b"").await;
        assert_eq!((answer.status, &answer.json()["uri"]), (200, &(*uri).into()), "{answer:?}");
    }
}

async fn who_has_signed_out_is_a_stranger_again(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    assert_eq!(jane.navigate(&edge.wiki("/")).await.status, 200);
    let answer = jane.post(&edge.site().auth("/auth/signout"), &[("return_to", &edge.wiki("/"))]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(jane.navigate(&edge.wiki("/")).await.status, 302);
    // The old cookie is worth nothing.
    assert_eq!(edge.raw("GET / HTTP/1.1", &[&cookie, "Sec-Fetch-Mode: cors"], b"").await.status, 401);
    assert_eq!(edge.asked().len(), 1);
}

async fn a_preflight_is_answered(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    // A browser sends it without cookies, and goes on only if it is answered well (Fetch standard, CORS).
    let lines = [&format!("Origin: https://cms.app.localhost:{}", edge.port), "Access-Control-Request-Method: PUT"];
    let answer = edge.raw("OPTIONS /articles/7 HTTP/1.1", &[lines[0], lines[1], "X-Auth-Subject: eve"], b"").await;
    assert!([200, 204].contains(&answer.status), "{answer:?}");
    let answers = if proxy.hands_on_preflights() { "access-control-allow-origin" } else { "x-app" };
    assert!(answer.head.contains(answers), "{answer:?}");
    assert_eq!(edge.asked().is_empty(), proxy.hands_on_preflights());
    for seen in edge.asked() {
        assert!(identity(&seen).iter().flat_map(|(_, values)| values).all(String::is_empty), "{seen:#}");
    }
    let stranger = [lines[1], "Origin: https://evil.example"];
    let answer = edge.raw("OPTIONS /articles/7 HTTP/1.1", &stranger, b"").await;
    assert!(answer.status >= 300 || !answer.head.contains("access-control-allow-origin: https://evil"), "{answer:?}");
}
