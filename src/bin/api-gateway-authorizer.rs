//! The Lambda function that API Gateway and AppSync ask who may call an API.

use auth_api::authorizer::{Authorizer, AuthorizerSettings};
use auth_api::domain::clock::SystemClock;
use auth_api::telemetry;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    // The other one logs the bodies of events, at levels that nobody has asked for; so this filter is not to be set.
    telemetry::start_direct("info,lambda_runtime=warn,lambda_runtime_api_client=warn", true)?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    // Names and values that are no text are nobody's of ours.
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = AuthorizerSettings::read(variables).map_err(|mistakes| {
        for sentence in &mistakes {
            tracing::error!("{sentence}");
        }
        mistakes.join(" ")
    })?;
    let authorizer = Arc::new(Authorizer::new(settings, Arc::new(SystemClock))?);
    authorizer.prepare().await;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let authorizer = authorizer.clone();
        async move {
            let answer = authorizer.answer(&event.payload).await;
            answer.map_err(|failure| Diagnostic {
                error_type: failure.kind().to_owned(),
                error_message: failure.to_string(),
            })
        }
    }))
    .await
}
