//! A question opens no connection: the proxy keeps those that it has.

use super::app::Impostor;
use super::kinds::Proxy;
use super::{CLIENT, Edge, script, through_each_proxy};
use crate::support::{Browser, certificate};
use futures_util::future::join_all;
use reqwest::Method;

through_each_proxy! {
    a_question_opens_no_connection
    a_connection_that_has_ended_is_replaced
}

const QUESTIONS: usize = 1_000;
/// By then every worker has the connections that it will ever need.
const ROUNDS: usize = 6;

async fn a_question_opens_no_connection(proxy: Proxy) {
    opens_none(&Edge::start(proxy).await, proxy.questions_at_once()).await;
}

#[tokio::test]
#[ignore = "needs traefik"]
async fn all_questions_of_traefik_share_a_connection_of_http_2() {
    let folder = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(folder.path());
    let tls = [("SERVER__TLS_CERT_FILE", cert.to_str().unwrap()), ("SERVER__TLS_KEY_FILE", key.to_str().unwrap())];
    let changes = [
        (
            "address: http://127.0.0.1:8080/validate/browser",
            "address: https://127.0.0.1:8080/validate/browser\n        tls: { insecureSkipVerify: true }",
        ),
        ("- url: http://127.0.0.1:8080", "- url: https://127.0.0.1:8080\n        serversTransport: any-certificate"),
        ("  services:", "  serversTransports:\n    any-certificate: { insecureSkipVerify: true }\n  services:"),
    ];
    opens_none(&Edge::configured(Proxy::Traefik, &changes, &tls).await, 8).await;
}

async fn opens_none(edge: &Edge, clients: usize) {
    let jane = edge.signed_in("jane").await;
    let cookie = jane.cookies(&edge.wiki("/"));
    // HTTP/1.1 and HTTP/2 in turn: some proxies have workers of their own for each.
    let visitors: Vec<_> = (0..clients).map(|nth| Browser::elsewhere(edge.folder(), CLIENT, nth % 2 == 0)).collect();
    for (what, method, path, cookie, status) in [
        ("allowed", Method::GET, "/articles", cookie.as_str(), 200),
        ("an upload", Method::POST, "/upload", &cookie, 200),
        ("forbidden", Method::GET, "/admin", &cookie, 403),
        ("nobody's", Method::GET, "/articles", "", 401),
    ] {
        let mut opened = Vec::new();
        while opened.last() != Some(&0) {
            assert!(opened.len() < ROUNDS, "{what}: {opened:?} connections for {QUESTIONS} questions each");
            let before = edge.connections();
            join_all(visitors.iter().map(async |visitor| {
                for _ in 0..QUESTIONS / clients {
                    let shape = |request| script(request).header("cookie", cookie).body("x=1");
                    let answer = visitor.send(method.clone(), &edge.wiki(path), shape).await;
                    assert_eq!(answer.status, status, "{what}: {answer:?}");
                }
            }))
            .await;
            opened.push(edge.connections() - before);
        }
    }
}

async fn a_connection_that_has_ended_is_replaced(proxy: Proxy) {
    // It hangs up after each answer and does not say so.
    let impostor = Impostor::start("HTTP/1.1 200 OK\r\nx-auth-subject: jane\r\ncontent-length: 0\r\n\r\n").await;
    let edge = Edge::before(proxy, impostor.port).await;
    let visitor = edge.visitor();
    for _ in 0..100 {
        let answer = visitor.send(Method::GET, &edge.wiki("/articles"), script).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}
