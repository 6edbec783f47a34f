//! A legacy login: the system that had the users before Cognito, with one user left in it.
//!
//! `larry@example.com`, password `0ldPassw0rd`, known there as number 4711.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What callers have to show as `x-api-key`.
pub const KEY: &str = "dev-legacy-key";
const NAME: &str = "larry@example.com";
const PASSWORD: &str = "0ldPassw0rd";

/// The running legacy login; it stops when it is dropped.
#[derive(Debug)]
pub struct LegacyLogin {
    addr: SocketAddr,
    requests: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl LegacyLogin {
    /// Starts it on a free port of this machine.
    ///
    /// # Errors
    /// What the system says about listening.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let requests = Arc::new(AtomicU64::new(0));
        #[expect(clippy::disallowed_methods, reason = "the system that users come from has no document")]
        let service =
            Router::new().route("/login", post(login)).route("/user", post(user)).with_state(requests.clone());
        let server = tokio::spawn(async move {
            // Never returns an error: accepting goes on until the task is aborted.
            let _ = axum::serve(listener, service).await;
        });
        Ok(Self { addr, requests, server })
    }

    /// An address of it.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many requests it had.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Stops it now.
    pub fn shutdown(&self) {
        self.server.abort();
    }
}

impl Drop for LegacyLogin {
    fn drop(&mut self) {
        self.shutdown();
    }
}

async fn login(State(requests): State<Arc<AtomicU64>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    let correct = body["username"] == NAME && body["password"] == PASSWORD;
    answer(&requests, &headers, correct, StatusCode::UNAUTHORIZED)
}

async fn user(State(requests): State<Arc<AtomicU64>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    answer(&requests, &headers, body["username"] == NAME, StatusCode::NOT_FOUND)
}

fn answer(requests: &AtomicU64, headers: &HeaderMap, found: bool, otherwise: StatusCode) -> Response {
    requests.fetch_add(1, Ordering::Relaxed);
    if headers.get("x-api-key").is_none_or(|key| key != KEY) {
        return (StatusCode::BAD_REQUEST, "no API key").into_response();
    }
    if !found {
        return otherwise.into_response();
    }
    Json(json!({ "id": 4711, "fullName": "Larry Legacy", "mail": NAME, "mailConfirmed": true })).into_response()
}
