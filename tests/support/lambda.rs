//! A Lambda function under a Runtime API of the test's own.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

/// What the function said: `response`, `error` or `init`, and the body.
pub(crate) type Said = (String, Value);

/// A Lambda function at work; killed when it is dropped.
pub(crate) struct Function {
    pub(crate) child: Child,
    events: mpsc::UnboundedSender<Value>,
    said: mpsc::UnboundedReceiver<Said>,
}

type Runtime = (Arc<Mutex<mpsc::UnboundedReceiver<Value>>>, mpsc::UnboundedSender<Said>);

impl Function {
    /// `program` is a binary of ours.
    pub(crate) async fn start(program: &str, environment: Vec<(String, String)>) -> Self {
        let (events, waiting) = mpsc::unbounded_channel();
        let (tell, said) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
        let router = Router::new()
            .route(NEXT, get(next))
            .route("/2018-06-01/runtime/invocation/{id}/{how}", post(ended))
            .route("/2018-06-01/runtime/init/error", post(failed))
            .with_state((Arc::new(Mutex::new(waiting)), tell));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move { axum::serve(listener, router).await });
        let child = Command::new(program)
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "function")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/20/[$LATEST]1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, events, said }
    }

    pub(crate) async fn ask(&mut self, event: &Value) -> Said {
        self.events.send(event.clone()).unwrap();
        let said = tokio::time::timeout(std::time::Duration::from_secs(60), self.said.recv());
        said.await.expect("the function answers").unwrap()
    }

    /// Everything it has logged.
    pub(crate) fn log(mut self) -> String {
        self.child.kill().unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        log
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn next(State((events, _)): State<Runtime>) -> Response {
    let Some(event) = events.lock().await.recv().await else { return std::future::pending().await };
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        ("lambda-runtime-deadline-ms", "4102444800000"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:function"),
        ("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0"),
        ("content-type", "application/json"),
    ];
    (headers, event.to_string()).into_response()
}

async fn ended(State((_, said)): State<Runtime>, Path((_, how)): Path<(String, String)>, body: Bytes) -> Response {
    said.send((how, serde_json::from_slice(&body).unwrap())).unwrap();
    (http::StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}

async fn failed(State((_, said)): State<Runtime>, body: Bytes) -> Response {
    said.send(("init".into(), serde_json::from_slice(&body).unwrap())).unwrap();
    (http::StatusCode::ACCEPTED, r#"{"status":"OK"}"#).into_response()
}
