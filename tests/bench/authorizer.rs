//! The Lambda authorizer: how long a cold start and a warm decision take, under a Runtime API on loopback and beside the
//! development pool.
//!
//! `cargo bench --bench authorizer`, with `-- PROGRAM` for another build than its own. Cold: from the start of the process to its first answer, keys read over HTTP. Warm:
//! from the event to the answer, the Runtime API's own HTTP included, and the decision alone in process.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark stops where it fails")]
#![expect(clippy::print_stdout, reason = "it prints figures")]

#[expect(dead_code, reason = "a benchmark reads no log")]
#[path = "../support/lambda.rs"]
mod lambda;

use auth_api::authorizer::{Authorizer, AuthorizerSettings};
use auth_api::dev::pool::{PoolSettings, UserPool};
use auth_api::domain::clock::SystemClock;
use lambda::Function;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

const STARTS: usize = 30;
const EVENTS: usize = 2_000;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pool = UserPool::start(PoolSettings::for_service("http://localhost:1")).await.unwrap();
    let named = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let program = named.unwrap_or(env!("CARGO_BIN_EXE_api-gateway-authorizer").to_owned());
    let environment = || {
        let own = [("ISSUER", pool.issuer()), ("CLIENT_ID", "dev-web-client".to_owned())];
        own.map(|(name, value)| (format!("AUTH_API__PROVIDER__{name}"), value)).to_vec()
    };
    let token = pool.mint_access_token("dev-web-client", "erin", &["openid", "email"]);
    let arn = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/prod/GET/orders/7";
    let event = json!({ "type": "TOKEN", "authorizationToken": format!("Bearer {token}"), "methodArn": arn });
    let check = |answer: &Value| {
        assert_eq!(answer["policyDocument"]["Statement"][0]["Effect"], "Allow", "{answer}");
    };

    let (mut cold, mut warm, mut decision) = (vec![], vec![], vec![]);
    for _ in 0..STARTS {
        let started = Instant::now();
        let mut function = Function::start(&program, environment()).await;
        let (_, answer) = function.ask(&event).await;
        cold.push(started.elapsed());
        check(&answer);
    }
    let mut function = Function::start(&program, environment()).await;
    for _ in 0..EVENTS {
        let asked = Instant::now();
        let (_, answer) = function.ask(&event).await;
        warm.push(asked.elapsed());
        check(&answer);
    }
    let settings = AuthorizerSettings::read(environment()).unwrap();
    let authorizer = Authorizer::new(settings, Arc::new(SystemClock)).unwrap();
    authorizer.prepare().await;
    for _ in 0..EVENTS {
        let asked = Instant::now();
        let answer = authorizer.answer(&event).await.unwrap_or_else(|failure| panic!("{failure}"));
        decision.push(asked.elapsed());
        check(&answer);
    }
    for (what, mut times) in
        [("cold start", cold), ("warm, under the Runtime API", warm), ("warm, in process", decision)]
    {
        times.sort();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        let [median, p99, most] = [at(50), at(99), at(100)].map(|time: Duration| time.as_secs_f64() * 1_000.0);
        println!("{what}: median {median:.3} ms, 99 % {p99:.3} ms, most {most:.3} ms");
    }
}
