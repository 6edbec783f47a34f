//! The binary, under a Lambda Runtime API of the test's own.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

/// What the function said: `response`, `error` or `init`, and the body.
type Said = (String, Value);

struct Function {
    child: Child,
    events: mpsc::UnboundedSender<Value>,
    said: mpsc::UnboundedReceiver<Said>,
}

type Runtime = (Arc<Mutex<mpsc::UnboundedReceiver<Value>>>, mpsc::UnboundedSender<Said>);

impl Function {
    async fn start(environment: Vec<(String, String)>) -> Self {
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
        let child = Command::new(env!("CARGO_BIN_EXE_cognito-triggers"))
            .env_clear()
            .envs(environment)
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "cognito-triggers")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/cognito-triggers")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "2026/11/20/[$LATEST]1")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { child, events, said }
    }

    async fn ask(&mut self, event: &Value) -> Said {
        self.events.send(event.clone()).unwrap();
        let said = tokio::time::timeout(std::time::Duration::from_secs(60), self.said.recv());
        said.await.expect("the function answers").unwrap()
    }

    /// Everything it has logged.
    fn log(mut self) -> String {
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
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:eu-west-1:123456789012:function:cognito-triggers"),
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

#[tokio::test]
async fn one_function_answers_all_triggers_under_the_real_runtime() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let mut function = Function::start(environment(&old, &api, &[("DEFAULT_GROUPS", "readers")])).await;

    let request = json!({ "password": "0ldPassw0rd", "validationData": null, "userAttributes": null });
    let migration = event("UserMigration_Authentication", "larry", request, json!({ "userAttributes": null }));
    let (how, answer) = function.ask(&migration).await;
    assert_eq!((how.as_str(), asked(&answer)), ("response", asked(&migration)));
    assert_eq!(answer["response"]["userAttributes"]["custom:legacy_id"], "4711");

    let told = json!({ "sub": "c4f8", "cognito:user_status": "EXTERNAL_PROVIDER" });
    let signed_in =
        event("PostAuthentication_Authentication", "Google_1", json!({ "userAttributes": told }), json!({}));
    assert_eq!(function.ask(&signed_in).await, ("response".to_owned(), signed_in));
    assert_eq!(api.operations(), ["AdminAddUserToGroup"]);

    let other = of_tomorrow(&event("CustomMessage_SignUp", "x", json!({}), json!({ "smsMessage": null })));
    assert_eq!(function.ask(&other).await, ("response".to_owned(), other));

    let mut odd = migration.clone();
    odd["request"]["password"] = Value::Null;
    let (how, error) = function.ask(&odd).await;
    assert_eq!((how.as_str(), &error["errorType"]), ("error", &json!("Event")));

    let log = function.log();
    assert!(log.contains("migrated") && !log.contains("0ldPassw0rd"), "{log}");
}

#[tokio::test]
async fn a_refusal_is_an_error_with_a_name_and_a_text() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let mut function = Function::start(environment(&old, &api, &[])).await;
    let migration = event("UserMigration_Authentication", "larry", json!({ "password": "Wr0ngPassw0rd" }), json!({}));
    for _ in 0..2 {
        let (how, error) = function.ask(&migration).await;
        assert_eq!((how.as_str(), &error["errorType"]), ("error", &json!("WrongPassword")));
        assert_eq!(error["errorMessage"], "Incorrect username or password");
    }
    let log = function.log();
    assert!(!log.contains("Wr0ngPassw0rd") && log.contains("WrongPassword"), "{log}");
}

#[tokio::test]
async fn a_wrong_environment_stops_the_start_with_every_mistake() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let wrong = [("TRIGGER_TIMEOUT", "9s"), ("LEGACY_LOGIN_URL", "http://legacy.example.com/")];
    let mut function = Function::start(environment(&old, &api, &wrong)).await;
    let mut log = String::new();
    function.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!function.child.wait().unwrap().success());
    assert!(log.contains("TRIGGER_TIMEOUT is 9s") && log.contains("LEGACY_LOGIN_URL is no address"), "{log}");
}
