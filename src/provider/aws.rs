//! AWS's JSON protocol, as far as the unsigned operations of Cognito need it.

use super::error::Error;
use super::http::HttpClient;
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
    let request = http::Request::post(url.as_str())
        .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(body.to_string().into_bytes())
        .map_err(|e| Error::Unusable(format!("{url} is no address: {e}")))?;
    let response = http.call(endpoint, request).await?;
    let answer: Option<Value> = serde_json::from_slice(response.body()).ok();
    match (response.status().as_u16(), answer) {
        (200, Some(answer)) => Ok(answer),
        (status, Some(answer)) if answer.get("__type").is_some() => {
            let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
            // Some services put a namespace before the name.
            let code = text("__type").and_then(|code| code.rsplit('#').next().map(str::to_owned)).unwrap_or_default();
            if code == "TooManyRequestsException" {
                let detail = format!("{target} is throttled ({status})");
                return Err(Error::Unavailable { detail, retry_after: None, untouched: true, throttled: true });
            }
            Err(Error::Refused { code, description: text("message").or_else(|| text("Message")) })
        }
        (status, _) => Err(Error::Unusable(format!("{target} answered {status} without what is expected"))),
    }
}
