//! AWS's JSON protocol 1.1, as far as Cognito's operations need it.

use super::{Request, Response};
use serde_json::{Value, json};

/// An operation that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// The API's own word.
    #[error("{code}: {}", .message.as_deref().unwrap_or_default())]
    Refused {
        /// The name of the exception, from `__type`.
        code: String,
        /// Its text.
        message: Option<String>,
    },
    /// Nobody was asked: there are no credentials to sign with.
    #[error("there are no usable AWS credentials: {0}")]
    NotSigned(String),
    /// No answer, or none that can be read.
    #[error("{0}")]
    Unavailable(String),
}

impl AwsError {
    /// Whether the same may work in a moment.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused { code, .. } => {
                ["TooManyRequestsException", "LimitExceededException", "InternalErrorException"]
                    .contains(&code.as_str())
            }
            Self::Unavailable(_) => true,
            Self::NotSigned(_) => false,
        }
    }

    /// Whether there is no such user.
    pub fn is_user_not_found(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "UserNotFoundException")
    }

    /// Whether a value is not one that the API takes.
    pub fn is_invalid_parameter(&self) -> bool {
        matches!(self, Self::Refused { code, .. } if code == "InvalidParameterException")
    }
}

/// The call of `target`, `<service>.<operation>`.
///
/// # Errors
/// [`AwsError::Unavailable`] if `url` is no address.
pub fn request(url: &str, target: &str, body: &Value) -> Result<Request, AwsError> {
    http::Request::post(url)
        .header(http::header::CONTENT_TYPE, "application/x-amz-json-1.1")
        .header("x-amz-target", target)
        .body(body.to_string().into_bytes())
        .map_err(|e| AwsError::Unavailable(format!("{url} is no address: {e}")))
}

/// What the answer to `target` means. A success may have an empty body.
///
/// # Errors
/// [`AwsError`].
pub fn read(target: &str, response: &Response) -> Result<Value, AwsError> {
    let status = response.status().as_u16();
    let unreadable = || AwsError::Unavailable(format!("{target} answered {status} without what is expected"));
    if status == 200 && response.body().is_empty() {
        return Ok(json!({}));
    }
    let body: Option<Value> = serde_json::from_slice(response.body()).ok();
    let body = body.filter(Value::is_object).ok_or_else(unreadable)?;
    if status == 200 {
        return Ok(body);
    }
    let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let mut code = text("__type").ok_or_else(unreadable)?;
    // Some services put a namespace before the name.
    code.drain(..code.rfind('#').map_or(0, |hash| hash + 1));
    Err(AwsError::Refused { code, message: text("message").or_else(|| text("Message")) })
}
