//! What else than plain requests goes through a proxy.

use super::app::values;
use super::kinds::Proxy;
use super::{CLIENT, Edge, navigation, script, through_each_proxy};
use crate::support::Browser;
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, Version};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

through_each_proxy! {
    a_websocket_opens_for_somebody_signed_in_and_for_nobody_else
    http_2_and_head_are_judged_alike
}

/// Opens a WebSocket through the proxy, or says with which status it was refused.
async fn websocket(edge: &Edge, cookie: &str) -> Result<WebSocketStream<reqwest::Upgraded>, u16> {
    let client = Browser::elsewhere(edge.folder(), CLIENT, false);
    let shape = |request: reqwest::RequestBuilder| {
        let request = request.header("connection", "keep-alive, Upgrade").header("upgrade", "websocket");
        let request =
            request.header("sec-websocket-version", "13").header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        request.header("x-auth-username", "eve").header("cookie", cookie)
    };
    let response = client.response(Method::GET, &edge.wiki("/socket"), shape).await;
    if response.status() != 101 {
        return Err(response.status().as_u16());
    }
    Ok(WebSocketStream::from_raw_socket(response.upgrade().await.unwrap(), Role::Client, None).await)
}

async fn a_websocket_opens_for_somebody_signed_in_and_for_nobody_else(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let jane = edge.signed_in("jane").await;
    assert_eq!(websocket(&edge, "").await.err(), Some(401));
    let mut socket = websocket(&edge, &jane.cookies(&edge.wiki("/"))).await.unwrap();
    for text in ["hello", &"x".repeat(100_000)] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
    }
    let asked = edge.asked();
    assert_eq!(values(&asked[0], "x-auth-username"), ["jane"]);
    assert_eq!(asked.len(), 1);
}

async fn http_2_and_head_are_judged_alike(proxy: Proxy) {
    let edge = Edge::start(proxy).await;
    let (jane, stranger) = (edge.signed_in("jane").await, edge.visitor());
    for method in [Method::GET, Method::HEAD] {
        let response = jane.response(method.clone(), &edge.wiki("/articles?x=1"), navigation).await;
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 200));
        let response = jane.response(method.clone(), &edge.wiki("/admin"), navigation).await;
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 403));
        let response = stranger.response(method.clone(), &edge.wiki("/articles"), script).await;
        assert_eq!((response.version(), response.status().as_u16()), (Version::HTTP_2, 401));
    }
    assert_eq!(stranger.navigate(&edge.wiki("/articles")).await.status, 302);
    let asked = edge.asked();
    let methods: Vec<_> = asked.iter().map(|seen| seen["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["GET", "HEAD"]);
}
