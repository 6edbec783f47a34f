//! The Lambda function behind all triggers of a user pool; which one is meant, the event says.

use auth_api::telemetry;
use auth_api::triggers::{TriggerSettings, Triggers};
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
    let settings = TriggerSettings::read(variables).map_err(|wrong| {
        for sentence in &wrong {
            tracing::error!("{sentence}");
        }
        wrong.join(" ")
    })?;
    let triggers = Arc::new(Triggers::new(settings)?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let triggers = triggers.clone();
        async move {
            let answer = triggers.answer(event.payload).await;
            answer.map_err(|refusal| Diagnostic {
                error_type: refusal.kind().to_owned(),
                error_message: refusal.to_string(),
            })
        }
    }))
    .await
}
