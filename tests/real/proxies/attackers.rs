//! What attackers send to a site behind a proxy.

use super::app::values;
use super::kinds::Proxy;
use super::people::identity;
use super::{Edge, through_each_proxy};
use serde_json::Value;

through_each_proxy! {
    forged_identity_never_reaches_the_app
    nobody_has_our_headers_dropped_on_the_way
    a_forged_page_is_not_the_one_that_is_judged
    the_way_to_the_service_believes_nobody_either
    cookies_of_8_kb_are_no_way_around
    a_refused_body_is_not_the_next_request
}

/// Every spelling that a server may take for `x-auth-…`.
fn folds_to_identity(seen: &Value) -> Vec<(String, String)> {
    let headers = seen["headers"].as_array().unwrap().iter();
    let pairs = headers.map(|h| (h[0].as_str().unwrap().to_owned(), h[1].as_str().unwrap().to_owned()));
    pairs.filter(|(name, _)| name.replace(|c: char| !c.is_ascii_alphanumeric(), "-").starts_with("x-auth-")).collect()
}

async fn forged_identity_never_reaches_the_app(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    let lines = [
        "X-Auth-Subject: eve",
        "X-Auth-Subject: eve",
        "x-auth-username: eve",
        "X-AUTH-GROUPS: eve",
        "x-AuTh-eMaIl: eve",
        "X_Auth_Subject: eve",
        "X_AUTH_GROUPS: eve",
        "X-Auth_Email: eve",
        "X_Auth-Scopes: eve",
        "X.Auth.Subject: eve",
        "X-Auth.Groups: eve",
        "X!Auth!Username: eve",
        "X~Auth~Groups: eve",
        "X+Auth-Email: eve",
        "X*Auth'Kind: eve",
        "X-Auth-Expires: eve",
        "X-Auth-Kind: eve",
        "X-Auth-Provider: eve",
        "X-Auth-Client-Id: eve",
        "X-Auth-Id-Token: eve",
        "X-Auth-Access-Token: eve",
        cookie.as_str(),
    ];
    let answer = edge.raw("GET /articles HTTP/1.1", &lines, b"").await;
    // One that does not take such names at all is as good.
    if answer.status == 400 {
        return;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    let all = folds_to_identity(&seen);
    assert!(
        all.iter().all(|(name, value)| value != "eve" && name.bytes().all(|b| b == b'-' || b.is_ascii_alphanumeric())),
        "{seen:#}"
    );
    assert!(identity(&seen).iter().all(|(_, values)| values.len() <= 1), "{seen:#}");
    assert_eq!(values(&seen, "x-auth-username"), ["jane"]);
    // On a page for all there is nobody to name.
    let answer = edge.raw("GET /public/page HTTP/1.1", &lines[..21], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    assert!(folds_to_identity(&seen).iter().all(|(_, value)| value.is_empty()), "{seen:#}");
}

async fn nobody_has_our_headers_dropped_on_the_way(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    for connection in [
        "Connection: close, X-Auth-Subject, X-Auth-Groups, x-auth-username",
        "Connection: X-Auth-Subject, X-Auth-Username, Cookie",
        "Connection: X-Forwarded-Uri, X-Forwarded-Host, X-Forwarded-Proto, X-Original-URL",
    ] {
        let answer = edge.raw("GET /articles HTTP/1.1", &[&cookie, connection], b"").await;
        // Whose cookie is dropped is a stranger, which harms nobody but himself; and such a request may be refused.
        if answer.status == 400 || connection.contains("Cookie") && [302, 401].contains(&answer.status) {
            continue;
        }
        assert_eq!(answer.status, 200, "{connection}: {answer:?}");
        let seen = answer.json();
        assert_eq!(values(&seen, "x-auth-username"), ["jane"], "{connection}: {seen:#}");
        assert!(values(&seen, "x-auth-subject").concat().contains('-'), "{connection}: {seen:#}");
        // The app may be a proxy itself.
        let connection_to_app = values(&seen, "connection").concat().to_ascii_lowercase();
        assert!(!connection_to_app.contains("x-auth"), "{connection}: {seen:#}");
        let answer = edge.raw("GET /admin HTTP/1.1", &[&cookie, connection], b"").await;
        assert_eq!(answer.status, 403, "{connection}: {answer:?}");
    }
}

async fn a_forged_page_is_not_the_one_that_is_judged(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let cookie = format!("Cookie: {}", jane.cookies(&edge.wiki("/")));
    let original = format!("X-Original-URL: {}", edge.wiki("/public"));
    let forgeries: [&[&str]; 10] = [
        &["X-Forwarded-Uri: /public"],
        &["X-Forwarded-Uri: /public", "x-forwarded-uri: /public", "X_Forwarded_Uri: /public"],
        &["X-Forwarded-Host: blog.app.localhost", "X-Forwarded-Proto: https", "X-Forwarded-Uri: /public"],
        &["X-Forwarded-Host: blog.app.localhost", "X-Forwarded-Port: 443", "X-Forwarded-Prefix: /public"],
        &[&original],
        &[&original, "X-Original-Method: OPTIONS", "X-Original-URI: /public", "X-Rewrite-Url: /public"],
        &["X-Forwarded-Method: OPTIONS", "Origin: https://app.localhost", "Access-Control-Request-Method: GET"],
        &["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE"],
        &["X-HTTP-Method-Override: OPTIONS", "Forwarded: host=blog.app.localhost;proto=https;for=10.0.0.1"],
        &["X-Forwarded-For: 10.0.0.1, 127.0.0.1", "X-Real-Ip: 127.0.0.1", "X-Envoy-Original-Path: /public"],
    ];
    for forged in forgeries {
        let asks = async |line: &str, more: &[&str]| edge.raw(line, &[forged, more].concat(), b"").await.status;
        assert_eq!(asks("GET /admin HTTP/1.1", &[&cookie]).await, 403, "{forged:?}");
        assert_eq!(asks("GET /articles HTTP/1.1", &["Sec-Fetch-Mode: cors"]).await, 401, "{forged:?}");
        let answer = edge.raw("GET /articles?x=1 HTTP/1.1", &[forged, &[&cookie]].concat(), b"").await;
        assert_eq!((answer.status, &answer.json()["uri"]), (200, &"/articles?x=1".into()), "{forged:?}");
        // Frameworks that take these for the path or the method would do what nobody judged.
        for name in ["x-rewrite-url", "x-original-url", "x-http-method-override", "x-http-method", "x-method-override"]
        {
            assert_eq!(values(&answer.json(), name).concat(), "", "{forged:?} {name}");
        }
    }
    // The request line itself, with a whole URL or another's host in it.
    let asks = async |line: &str, more: &[&str]| edge.raw(line, &[&[cookie.as_str()], more].concat(), b"").await.status;
    for line in [
        format!("GET {} HTTP/1.1", edge.wiki("/admin")),
        "GET /admin?/public HTTP/1.1".to_owned(),
        "GET /admin#/public HTTP/1.1".to_owned(),
        "GET /public/../admin HTTP/1.1".to_owned(),
        "GET /public/%2e%2e/admin HTTP/1.1".to_owned(),
        "GET /%61dmin HTTP/1.1".to_owned(),
        "GET //admin HTTP/1.1".to_owned(),
        "GET /admin/ HTTP/1.1".to_owned(),
    ] {
        assert!(asks(&line, &[]).await >= 300, "{line}");
    }
    let capitals = format!("Host: WIKI.app.localhost:{}", edge.port);
    for host in
        [capitals.as_str(), "Host: blog.app.localhost", "Host: wiki.app.localhost.", "Host: auth-api.app.localhost"]
    {
        // Some answer hosts that they do not know with an empty page.
        let answer = edge.raw("GET /admin HTTP/1.1", &[host, &cookie], b"").await;
        assert!(answer.status >= 300 || answer.body.is_empty(), "{host}: {answer:?}");
    }
    let admin = edge.asked().into_iter().filter(|seen| seen["uri"].as_str().unwrap().contains("dmin"));
    assert_eq!(admin.collect::<Vec<_>>(), Vec::<Value>::new());
}

async fn the_way_to_the_service_believes_nobody_either(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let host = format!("Host: auth-api.app.localhost:{}", edge.port);
    let original = format!("X-Original-URL: {}", edge.wiki("/public"));
    let wiki = format!("X-Forwarded-Host: wiki.app.localhost:{}", edge.port);
    let forgeries: [&[&str]; 3] = [
        &[&original, "X-Original-Method: GET"],
        &["X-Forwarded-Uri: /public", &wiki, "X-Forwarded-Proto: https", "X-Forwarded-Method: GET"],
        &["X-Forwarded-For: 10.0.0.1"],
    ];
    for forged in forgeries {
        for (path, status) in [("/validate", 401), ("/validate/browser", 400), ("/validate/envoy/public", 400)] {
            let answer = edge.raw(&format!("GET {path} HTTP/1.1"), &[forged, &[&host]].concat(), b"").await;
            assert_eq!(answer.status, status, "{path} {forged:?}: {answer:?}");
        }
    }
}

async fn cookies_of_8_kb_are_no_way_around(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    let large: String = (0..8).map(|n| format!("big{n}={}; ", "x".repeat(1_000))).collect();
    let cookie = format!("Cookie: {large}{}", jane.cookies(&edge.wiki("/")));
    let answer = edge.raw("GET /articles HTTP/1.1", &[&cookie], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.json();
    assert_eq!(values(&seen, "x-auth-username"), ["jane"]);
    assert_eq!(values(&seen, "cookie").concat().len() + "Cookie: ".len(), cookie.len());
    let strange = format!("Cookie: {}", large.trim_end_matches("; "));
    assert_eq!(edge.raw("GET /articles HTTP/1.1", &[&strange, "Sec-Fetch-Mode: cors"], b"").await.status, 401);
    // More than anybody takes is refused, not cut.
    let monstrous = format!("Cookie: big={}; {}", "x".repeat(200_000), jane.cookies(&edge.wiki("/")));
    let answer = edge.raw("GET /admin HTTP/1.1", &[&monstrous], b"").await;
    assert!(answer.status >= 400, "{answer:?}");
}

async fn a_refused_body_is_not_the_next_request(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let host = format!("Host: wiki.app.localhost:{}", edge.port);
    let hidden = format!("GET /public/hidden HTTP/1.1\r\n{host}\r\n\r\n");
    let chunked = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    let length = format!("Content-Length: {}", hidden.len());
    for (kind, body) in [(length.as_str(), &hidden), ("Transfer-Encoding: chunked", &chunked)] {
        let refused = format!("POST /articles HTTP/1.1\r\n{host}\r\nSec-Fetch-Mode: cors\r\n{kind}\r\n\r\n{body}");
        let next = format!("GET /public/next HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n");
        let answers = edge.converse(&[refused, next].concat()).await;
        assert!(answers.starts_with("HTTP/1.1 401 "), "{answers}");
    }
    let asked = edge.asked();
    assert!(asked.iter().all(|seen| seen["uri"] == "/public/next"), "{asked:#?}");
}
