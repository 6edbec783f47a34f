//! A second answer to one question. Caddy and Traefik are not asked: Go's client takes it for the answer to the next
//! question if that is sent before it has looked, so what comes is a matter of microseconds.

use super::app::Impostor;
use super::kinds::Proxy;
use super::{Edge, script, through_each_proxy};
use reqwest::Method;

through_each_proxy! { @ nginx Nginx "needs nginx": an_answer_that_nobody_asked_for_is_nobodys }
through_each_proxy! { @ haproxy Haproxy "needs haproxy": an_answer_that_nobody_asked_for_is_nobodys }
through_each_proxy! { @ apache Apache "needs apache2": an_answer_that_nobody_asked_for_is_nobodys }
through_each_proxy! { @ envoy Envoy "needs envoy": an_answer_that_nobody_asked_for_is_nobodys }

async fn an_answer_that_nobody_asked_for_is_nobodys(proxy: Proxy) {
    let refused = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n\
                   HTTP/1.1 200 OK\r\nx-auth-subject: eve\r\ncontent-length: 0\r\n\r\n";
    let impostor = Impostor::staying(refused).await;
    let edge = Edge::before(proxy, impostor.port).await;
    let visitor = edge.visitor();
    for _ in 0..100 {
        let answer = visitor.send(Method::GET, &edge.wiki("/articles"), script).await;
        assert!(answer.status >= 400, "{answer:?}");
    }
    assert!(edge.asked().is_empty(), "{:#?}", edge.asked());
}
