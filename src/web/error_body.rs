//! The JSON of refusals, as it is written and as the document describes it.

use serde::Serialize;
use utoipa::ToSchema;

/// What went wrong (RFC 9457).
#[derive(Serialize, ToSchema)]
pub(super) struct ProblemDetails<'a> {
    /// The kind of problem. Branch on this.
    #[schema(format = "uri", pattern = "^urn:auth-api:problem:[a-z-]+$")]
    pub(super) r#type: String,
    /// The kind of problem, for people.
    pub(super) title: &'a str,
    /// The status of the response.
    #[schema(minimum = 400, maximum = 599)]
    pub(super) status: u16,
    /// What is wrong with this request.
    pub(super) detail: &'a str,
    /// The id of this request, as it is in the log.
    pub(super) instance: &'a str,
    /// Where to sign in, for a caller that has a browser.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uri", nullable = false)]
    pub(super) signin_url: Option<String>,
}

/// What went wrong (RFC 6749 §5.2).
#[derive(Serialize, ToSchema)]
pub(super) struct OAuthErrorResponse<'a> {
    /// The kind of error. Branch on this.
    pub(super) error: &'a str,
    /// What is wrong with this request, in ASCII.
    pub(super) error_description: &'a str,
}
