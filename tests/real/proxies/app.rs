//! A site that cannot be changed: it tells what it was asked. And stand-ins for a service that is not well.

use axum::Router;
use axum::body::to_bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

type Asked = Arc<Mutex<Vec<Value>>>;

/// The site's server; stopped when it is dropped.
pub(super) struct App {
    pub(super) port: u16,
    asked: Asked,
    serving: JoinHandle<()>,
}

impl Drop for App {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl App {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Asked::default();
        let routes = Router::new().fallback(tell).with_state(asked.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { port, asked, serving }
    }

    /// Everything since the start.
    pub(super) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

/// Answers any request with what it was; `/says/404` with that status, a WebSocket with its own words.
async fn tell(State(asked): State<Asked>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let sent = parts.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes())));
    let headers: Vec<_> = sent.collect();
    let mut seen = json!({ "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers });
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        asked.lock().unwrap().push(seen);
        return upgrade.on_upgrade(echo);
    }
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    seen["length"] = body.len().into();
    seen["sum"] = body.iter().map(|byte| u64::from(*byte)).sum::<u64>().into();
    asked.lock().unwrap().push(seen.clone());
    let status = parts.uri.path().strip_prefix("/says/").and_then(|status| status.parse().ok());
    let status = StatusCode::from_u16(status.unwrap_or(200)).unwrap();
    (status, [("x-app", "the app's own")], Json(seen)).into_response()
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if !matches!(message, Message::Text(_)) || socket.send(message).await.is_err() {
            return;
        }
    }
}

/// All values of a header in what the app was asked.
pub(super) fn values(seen: &Value, name: &str) -> Vec<String> {
    let all = seen["headers"].as_array().unwrap().iter();
    all.filter(|header| header[0] == name).map(|header| header[1].as_str().unwrap().to_owned()).collect()
}

/// Something on the service's port that is not the service.
pub(super) struct Impostor {
    pub(super) port: u16,
    serving: JoinHandle<()>,
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Impostor {
    /// Says the same to everybody, byte by byte as given, and hangs up; with nothing to say it listens for ever.
    pub(super) async fn start(answer: &'static str) -> Self {
        Self::serve(answer, true).await
    }

    /// Says the same to each question, and does not hang up.
    pub(super) async fn staying(answer: &'static str) -> Self {
        Self::serve(answer, false).await
    }

    async fn serve(answer: &'static str, hangs_up: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let mut head = [0; 65536];
                    while stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                        if answer.is_empty() {
                            std::future::pending::<()>().await;
                        }
                        if stream.write_all(answer.as_bytes()).await.is_err() || hangs_up {
                            break;
                        }
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Self { port, serving }
    }
}

/// Counts the connections that come in for the service, and hands them on.
pub(super) struct Relay {
    pub(super) port: u16,
    accepted: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Relay {
    pub(super) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::<AtomicUsize>::default();
        let count = accepted.clone();
        let serving = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    if let Ok(mut service) = TcpStream::connect(("127.0.0.1", to)).await {
                        let _ = copy_bidirectional(&mut stream, &mut service).await;
                    }
                });
            }
        });
        Self { port, accepted, serving }
    }

    /// How many since the start.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}
