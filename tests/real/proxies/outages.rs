//! A service that is away, slow or out of its mind lets nobody in.

use super::app::{Impostor, values};
use super::kinds::Proxy;
use super::people::identity;
use super::{Edge, navigation, script, through_each_proxy};
use crate::support::free_port;
use futures_util::future::join_all;
use reqwest::Method;

through_each_proxy! {
    nobody_gets_in_while_the_service_is_down
    nobody_gets_in_while_the_service_hangs
    nobody_gets_in_by_an_answer_that_is_no_yes
    a_yes_without_a_name_leaves_no_room_for_a_forged_one
    people_see_a_page_while_the_service_is_away
}

/// Every kind of request is refused, with an identity of its own or without.
async fn all_are_refused(edge: &Edge, why: &str) -> Vec<u16> {
    let forged = ["X-Auth-Subject: eve", "X-Auth-Username: eve", "Cookie: __Secure-auth=AAAAAAAAAAAAAAAAAAAAAA"];
    let kinds = [("GET /admin", ""), ("POST /upload", "x=1"), ("HEAD /", ""), ("OPTIONS /", "")];
    // Together, since each may have to wait.
    let statuses = join_all(kinds.map(async |(line, body)| {
        let length = format!("Content-Length: {}", body.len());
        let lines = [&forged[..], &[length.as_str(), "Accept: text/html"]].concat();
        let answer = edge.raw(&format!("{line} HTTP/1.1"), &lines, body.as_bytes()).await;
        assert!(answer.status >= 400, "{why}, {line}: {answer:?}");
        assert!(!answer.head.contains("x-app"), "{why}, {line}: {answer:?}");
        answer.status
    }))
    .await;
    assert!(edge.asked().is_empty(), "{why}: {:#?}", edge.asked());
    statuses
}

async fn nobody_gets_in_while_the_service_is_down(proxy: Proxy) {
    let edge = Edge::before(proxy, free_port()).await;
    // As the guides say.
    let said = match proxy {
        Proxy::Nginx | Proxy::Haproxy | Proxy::Apache | Proxy::Envoy => 503,
        Proxy::Caddy => 502,
        Proxy::Traefik => 500,
    };
    assert_eq!(all_are_refused(&edge, "connection refused").await, [said; 4]);
}

async fn nobody_gets_in_while_the_service_hangs(proxy: Proxy) {
    let silent = Impostor::start("").await;
    let edge = Edge::before(proxy, silent.port).await;
    let said = match proxy {
        Proxy::Nginx | Proxy::Haproxy | Proxy::Apache | Proxy::Envoy => 503,
        Proxy::Caddy => 504,
        Proxy::Traefik => 500,
    };
    assert_eq!(all_are_refused(&edge, "no answer").await, [said; 4]);
}

async fn nobody_gets_in_by_an_answer_that_is_no_yes(proxy: Proxy) {
    for answer in [
        "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 404 Not Found\r\nx-auth-subject: eve\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nx-auth-subject: eve\r\nx-auth-us",
        "200 OK\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        "\r\n\r\n\0\0\0\0 garbage\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
    ] {
        let impostor = Impostor::start(answer).await;
        let edge = Edge::before(proxy, impostor.port).await;
        all_are_refused(&edge, answer).await;
    }
}

async fn a_yes_without_a_name_leaves_no_room_for_a_forged_one(proxy: Proxy) {
    let impostor = Impostor::start("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}").await;
    let edge = Edge::before(proxy, impostor.port).await;
    let forged = ["X-Auth-Subject: eve", "x-auth-groups: eve", "X_Auth_Subject: eve", "X-Auth.Email: eve"];
    let answer = edge.raw("GET /articles HTTP/1.1", &forged, b"").await;
    if answer.status == 200 {
        let seen = answer.json();
        assert!(identity(&seen).iter().flat_map(|(_, values)| values).all(|value| value != "eve"), "{seen:#}");
        assert!(values(&seen, "x_auth_subject").is_empty() && values(&seen, "x-auth.email").is_empty(), "{seen:#}");
    } else {
        assert!(answer.status >= 400 && edge.asked().is_empty(), "{answer:?}");
    }
}

async fn people_see_a_page_while_the_service_is_away(proxy: Proxy) {
    // It serves no files, and cannot tell a question that failed from the app's own 500.
    if proxy == Proxy::Traefik {
        return;
    }
    let edge = Edge::before(proxy, free_port()).await;
    let visitor = edge.visitor();
    for host in ["wiki", "auth-api"] {
        let url = format!("https://{host}.app.localhost:{}/articles?x=1", edge.port);
        for method in [Method::GET, Method::POST] {
            let page = visitor.send(method.clone(), &url, navigation).await;
            let what = format!("{method} {url}: {page:?}");
            assert!((502..=504).contains(&page.status), "{what}");
            assert_eq!(
                page.header("content-type").map(str::to_lowercase).as_deref(),
                Some("text/html; charset=utf-8"),
                "{what}"
            );
            assert_eq!(
                (page.header("retry-after"), page.header("cache-control")),
                (Some("5"), Some("no-store")),
                "{what}"
            );
            assert!(
                page.body.contains("<h1>Not available right now</h1>") && page.body.ends_with("</html>\n"),
                "{what}"
            );
            assert!(page.body.contains("<style>") && !page.body.contains("http"), "nothing from elsewhere: {what}");
        }
    }
    let answer = visitor.send(Method::GET, &edge.wiki("/articles"), script).await;
    assert!((502..=504).contains(&answer.status) && !answer.body.contains('<'), "{answer:?}");
    assert!(edge.asked().is_empty(), "{:#?}", edge.asked());
}
