//! A legacy system and a user pools API on loopback, which keep what they were asked.

use aws_lc_rs::{digest, hmac};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

pub(super) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(super) const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(super) const SESSION_TOKEN: &str = "a/session+token=";

type Kept = Arc<Mutex<Vec<(String, Value)>>>;

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    addr
}

/// The system that users come from.
pub(super) struct Old {
    addr: SocketAddr,
    asked: Kept,
}

#[derive(Clone)]
struct OldState {
    asked: Kept,
    answer: Option<(u16, String)>,
}

impl Old {
    /// Always this answer; `None`: never any.
    pub(super) async fn answering(answer: Option<(u16, &str)>) -> Self {
        let asked = Kept::default();
        let answer = answer.map(|(status, body)| (status, body.to_owned()));
        let state = OldState { asked: asked.clone(), answer };
        Self { addr: serve(Router::new().fallback(old).with_state(state)).await, asked }
    }

    pub(super) async fn knowing_larry() -> Self {
        let larry = r#"{"id":4711,"fullName":"Larry Legacy","mail":"larry@example.com","tel":null,"roles":["x"]}"#;
        Self::answering(Some((200, larry))).await
    }

    pub(super) async fn knowing_nobody() -> Self {
        Self::answering(Some((404, "<html>nobody</html>"))).await
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Paths and bodies.
    pub(super) fn asked(&self) -> Vec<(String, Value)> {
        self.asked.lock().unwrap().clone()
    }
}

async fn old(State(state): State<OldState>, uri: OriginalUri, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(
        (&headers["content-type"], &headers["x-api-key"]),
        (&"application/json".parse().unwrap(), &"k3y".parse().unwrap())
    );
    state.asked.lock().unwrap().push((uri.path().to_owned(), serde_json::from_slice(&body).unwrap()));
    match state.answer {
        Some((status, body)) => {
            (StatusCode::from_u16(status).unwrap(), [("location", "/elsewhere")], body).into_response()
        }
        None => std::future::pending().await,
    }
}

type Script = Arc<dyn Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync>;

/// The user pools API. Whoever calls it unsigned, or signed wrongly, gets an error.
pub(super) struct Api {
    addr: SocketAddr,
    calls: Kept,
}

impl Api {
    /// Answers as `script` says; `None`: never.
    pub(super) async fn scripted(
        script: impl Fn(&str, &Value) -> Option<(u16, Value)> + Send + Sync + 'static,
    ) -> Self {
        let calls = Kept::default();
        let state: (Kept, Script) = (calls.clone(), Arc::new(script));
        Self { addr: serve(Router::new().fallback(api).with_state(state)).await, calls }
    }

    /// No users; every change succeeds.
    pub(super) async fn empty() -> Self {
        Self::with_users(vec![]).await
    }

    /// ListUsers finds these, whatever the filter.
    pub(super) async fn with_users(users: Vec<Value>) -> Self {
        Self::scripted(move |operation, _| {
            Some((200, if operation == "ListUsers" { json!({ "Users": users }) } else { json!({}) }))
        })
        .await
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    /// Operations and their input, the signed and well-formed ones.
    pub(super) fn calls(&self) -> Vec<(String, Value)> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn operations(&self) -> Vec<String> {
        self.calls().into_iter().map(|(operation, _)| operation).collect()
    }
}

async fn api(
    State((calls, script)): State<(Kept, Script)>,
    method: Method,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers["x-amz-target"].to_str().unwrap();
    let operation = target.strip_prefix("AWSCognitoIdentityProviderService.").unwrap();
    assert_eq!((method.as_str(), uri.path()), ("POST", "/"));
    assert_eq!(headers["content-type"], "application/x-amz-json-1.1");
    if !is_signed(&headers, &body) {
        let body = json!({ "__type": "InvalidSignatureException", "message": "no" });
        return (StatusCode::BAD_REQUEST, body.to_string()).into_response();
    }
    let input: Value = serde_json::from_slice(&body).unwrap();
    calls.lock().unwrap().push((operation.to_owned(), input.clone()));
    match script(operation, &input) {
        Some((status, body)) => (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response(),
        None => std::future::pending().await,
    }
}

/// Signature Version 4, done again from its description.
fn is_signed(headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().trim()).unwrap_or_default();
    let Some(parts) = text("authorization").strip_prefix("AWS4-HMAC-SHA256 ") else { return false };
    let part = |name: &str| parts.split(',').find_map(|part| part.trim().strip_prefix(name)).unwrap_or_default();
    let (credential, signed) = (part("Credential="), part("SignedHeaders="));
    let Some(scope) = credential.strip_prefix(&format!("{ACCESS_KEY}/")) else { return false };
    let needed = ["host", "x-amz-date", "x-amz-target", "x-amz-security-token"];
    let names: Vec<&str> = signed.split(';').collect();
    let day = text("x-amz-date").split('T').next().unwrap();
    if scope != format!("{day}/eu-west-1/cognito-idp/aws4_request")
        || !needed.iter().all(|name| names.contains(name))
        || text("x-amz-security-token") != SESSION_TOKEN
    {
        return false;
    }
    let named: String = names.iter().map(|name| format!("{name}:{}\n", text(name))).collect();
    let request = format!("POST\n/\n\n{named}\n{signed}\n{}", hash(body));
    let to_sign = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", text("x-amz-date"), hash(request.as_bytes()));
    let mut key = format!("AWS4{SECRET_KEY}").into_bytes();
    for step in scope.split('/').chain([to_sign.as_str()]) {
        key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), step.as_bytes()).as_ref().to_vec();
    }
    part("Signature=") == hex(&key)
}

fn hash(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}
