//! Configurations that people have spoiled.

use super::Edge;
use super::kinds::Proxy;
use crate::real::chromium::PASSWORD;

#[tokio::test]
#[ignore = "needs nginx"]
async fn a_proxy_that_loses_the_cookie_is_named_on_a_page_and_not_a_loop() {
    // Somebody who wrote this has forgotten what the service lives on.
    let changes = [(
        "proxy_set_header Content-Length \"\";",
        "proxy_set_header Content-Length \"\";proxy_set_header Cookie \"\";",
    )];
    let edge = Edge::with(Proxy::Nginx, &changes).await;
    let jane = edge.visitor();
    let mut next = edge.wiki("/articles?x=1");
    let page = async {
        loop {
            let answer = jane.navigate(&next).await;
            if answer.status == 302 || answer.status == 303 {
                next = answer.location();
            } else if answer.body.contains("name=\"_csrf\"") {
                let csrf = answer.between("name=\"_csrf\" value=\"", "\"");
                let form = [("_csrf", csrf.as_str()), ("username", "jane"), ("password", PASSWORD)];
                next = jane.post(&next, &form).await.location();
            } else {
                break answer;
            }
        }
    };
    let page = tokio::time::timeout(super::PATIENCE, page).await.unwrap();
    assert!(page.header("content-type").unwrap().starts_with("text/html"), "{page:?}");
    assert_eq!(page.status, 429, "{page:?}");
    assert!(page.body.contains("cookie"), "{page:?}");
    assert!(edge.asked().is_empty());
}

/// A script that does not come to its end lets nobody in, not even those whom it would.
async fn a_spoiled_script(proxy: Proxy, from: &str, to: &str) {
    let edge = Edge::with(proxy, &[(from, to)]).await;
    let erin = edge.signed_in("erin").await;
    for path in ["/", "/public", "/admin"] {
        let answer = erin.navigate(&edge.wiki(path)).await;
        assert!(answer.status >= 500, "{answer:?}");
    }
    assert!(edge.asked().is_empty(), "{:#?}", edge.asked());
}

#[tokio::test]
#[ignore = "needs haproxy"]
async fn a_script_of_haproxy_that_fails_lets_nobody_in() {
    a_spoiled_script(Proxy::Haproxy, "pcall(ask, ", "nothing(ask, ").await;
}

#[tokio::test]
#[ignore = "needs haproxy"]
async fn a_question_of_haproxy_that_fails_lets_nobody_in() {
    a_spoiled_script(Proxy::Haproxy, "core.httpclient()", "core.nothing()").await;
}

#[tokio::test]
#[ignore = "needs apache2"]
async fn a_script_of_apache_that_fails_lets_nobody_in() {
    a_spoiled_script(Proxy::Apache, "local answer = exchange(", "local answer = nothing(").await;
}

#[tokio::test]
#[ignore = "needs apache2"]
async fn a_script_of_apache_that_cannot_be_read_lets_nobody_in() {
    a_spoiled_script(Proxy::Apache, "function check(r)", "function check(r").await;
}
