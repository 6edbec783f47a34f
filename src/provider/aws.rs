//! Cognito's unsigned operations.

use super::error::Error;
use super::http::HttpClient;
use crate::outbound::aws_json::{self, AwsError};
use serde_json::Value;
use url::Url;

/// Calls `target`, `<service>.<operation>`. A refusal is [`Error::Refused`] with the exception's name as its code.
pub(super) async fn call(
    http: &HttpClient,
    endpoint: &'static str,
    url: &Url,
    target: &str,
    body: &Value,
) -> Result<Value, Error> {
    let request = aws_json::request(url.as_str(), target, body).map_err(|e| Error::Unusable(e.to_string()))?;
    let response = http.call(endpoint, request).await?;
    aws_json::read(target, &response).map_err(|error| match error {
        AwsError::Refused { code, .. } if code == "TooManyRequestsException" => {
            let detail = format!("{target} is throttled ({})", response.status());
            Error::Unavailable { detail, retry_after: None, untouched: true, throttled: true }
        }
        AwsError::Refused { code, message } => Error::Refused { code, description: message },
        AwsError::Unavailable(detail) | AwsError::NotSigned(detail) => Error::Unusable(detail),
    })
}
