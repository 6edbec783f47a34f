//! The parameters and forms of requests, as shapes for the document. Handlers read them one by one, since each has a
//! rule of its own for what is malformed, duplicate or too long.
#![expect(dead_code, reason = "only their schemas are used")]

use utoipa::{IntoParams, ToSchema};

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct ReturnToParameter {
    /// Where the browser goes afterwards: an `https` URL on an allowed site, or a path of this service. Anything else
    /// is replaced by the configured default.
    return_to: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct SignInParameters {
    /// The identity provider to use at once, such as `Google`, `Facebook` or `COGNITO`.
    provider: Option<String>,
    /// The user name to fill in.
    #[param(max_length = 256)]
    login_hint: Option<String>,
    /// The language of the sign-in page.
    #[param(max_length = 256)]
    lang: Option<String>,
    /// `login` to ask for the password again, `select_account` to choose another account, or whatever else the provider
    /// knows. With Cognito, `select_account` first ends the hosted UI's own session.
    #[param(max_length = 256)]
    prompt: Option<String>,
    /// With Cognito: an alias of an identity provider, such as the domain of an e-mail address.
    #[param(max_length = 256)]
    idp_identifier: Option<String>,
    /// The user has to have authenticated at most so many seconds ago (OIDC Core §3.1.2.1).
    max_age: Option<u64>,
    /// Authentication context classes, separated by spaces. One of them is required, where the protocol only prefers them.
    acr_values: Option<String>,
    /// The API that the access token is for (RFC 8707), one of `provider.resources`.
    resource: Option<String>,
    /// `signup` shows the page for new accounts, `password` at Cognito the one for a new password.
    screen: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct CallbackParameters {
    /// The authorization code.
    code: Option<String>,
    /// The state of the sign-in.
    state: Option<String>,
    /// Why the provider did not sign the user in (RFC 6749 §4.1.2.1).
    error: Option<String>,
    /// The provider's own words.
    error_description: Option<String>,
    /// The issuer (RFC 9207).
    iss: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::web) struct FetchMetadata {
    /// Set by browsers.
    #[param(rename = "Sec-Fetch-Site")]
    site: Option<String>,
    /// Set by browsers.
    #[param(rename = "Sec-Fetch-Dest")]
    dest: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct UserListParameters {
    /// A verified e-mail address. Not together with the others.
    email: Option<String>,
    /// Epoch seconds: who changed then or later.
    updated_since: Option<u64>,
    /// Of an earlier answer: who changed after those. `updated_since` does not count then.
    cursor: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::web) struct SignatureHeader {
    /// `t=<epoch seconds>,v1=<base64url>`: HMAC-SHA256 of `auth-api user event`, the time and the body, each on a line.
    #[param(rename = "X-Auth-Signature")]
    signature: Option<String>,
}

/// An event of a user pool, as its triggers get it, as far as it tells of the user.
#[derive(ToSchema)]
pub(in crate::web) struct UserEvent {
    /// `TokenGeneration_HostedAuth`, …
    #[schema(rename = "triggerSource")]
    trigger_source: String,
    /// The name of the user.
    #[schema(rename = "userName")]
    user_name: String,
    /// With the attributes in `userAttributes`.
    #[schema(value_type = Object)]
    request: (),
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::web) struct ConditionalHeader {
    /// The ETag of an earlier answer.
    #[param(rename = "If-None-Match")]
    etag: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::web) struct OriginHeader {
    /// Set by browsers. One that is not allowed is refused.
    #[param(rename = "Origin")]
    origin: Option<String>,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query, style = Form)]
pub(in crate::web) struct RequirementParameters {
    /// The caller must be in one of these groups.
    #[param(explode)]
    group: Option<Vec<String>>,
    /// The caller must have all of these scopes.
    #[param(explode)]
    scope: Option<Vec<String>>,
    /// The caller must have a verified e-mail address at one of these domains.
    #[param(explode)]
    email_domain: Option<Vec<String>>,
    /// The caller must be one of these clients, which are registered here.
    #[param(explode)]
    client: Option<Vec<String>>,
    /// The token must be of one of these issuers: `provider.issuer`, or one of `[[provider.bearer_issuer]]`. Without it, of
    /// `provider.issuer`, unless a rule for the page names others.
    #[param(explode)]
    issuer: Option<Vec<String>>,
    /// Whether a program may pass a page that no rule opens to programs. Naming a scope or a client says so, too.
    #[param(default = false)]
    machines: Option<bool>,
    /// The user has to have authenticated at most so many seconds ago. Otherwise 401 (RFC 9470).
    max_age: Option<u64>,
    /// The user has to have authenticated in one of these classes. Otherwise 401 (RFC 9470).
    #[param(explode)]
    acr: Option<Vec<String>>,
}

/// The page that a proxy asks for.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(in crate::web) struct ForwardedHeaders {
    /// Of a trusted proxy: the scheme that the browser used.
    #[param(rename = "X-Forwarded-Proto")]
    proto: Option<String>,
    /// The host and port that it asked.
    #[param(rename = "X-Forwarded-Host")]
    host: Option<String>,
    /// Path and query, as it sent them.
    #[param(rename = "X-Forwarded-Uri")]
    uri: Option<String>,
    /// The method.
    #[param(rename = "X-Forwarded-Method")]
    method: Option<String>,
    /// Instead of these: the whole address.
    #[param(rename = "X-Original-URL")]
    url: Option<String>,
    /// And the method.
    #[param(rename = "X-Original-Method")]
    original_method: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::web) struct SignOutForm {
    return_to: Option<String>,
    everywhere: Option<bool>,
}

#[derive(ToSchema)]
pub(in crate::web) struct LogoutTokenForm {
    /// Signed with RS256 by the provider's keys.
    logout_token: String,
}

#[derive(ToSchema)]
pub(in crate::web) struct TokenRequestForm {
    /// `client_credentials`.
    #[schema(pattern = "^client_credentials$")]
    grant_type: String,
    /// Separated by spaces. Left out: everything that a registered client may have.
    scope: Option<String>,
    /// What the token is for (RFC 8707). A registered client may name only what its registration lists.
    #[schema(format = "uri")]
    resource: Option<String>,
    /// Without HTTP Basic: the client's id.
    client_id: Option<String>,
    /// Without HTTP Basic: its secret.
    client_secret: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::web) struct TokenForm {
    /// The token.
    token: String,
    /// Not needed.
    token_type_hint: Option<String>,
    /// Without HTTP Basic: the client's id.
    client_id: Option<String>,
    /// Without HTTP Basic: its secret.
    client_secret: Option<String>,
}

#[derive(ToSchema)]
pub(in crate::web) struct IntrospectionForm {
    /// The token.
    token: String,
    /// Not needed.
    token_type_hint: Option<String>,
    /// The token has to be of this issuer, one of `[[provider.bearer_issuer]]`. Without it, of the provider.
    #[schema(format = "uri")]
    issuer: Option<String>,
    /// Without HTTP Basic: the client's id.
    client_id: Option<String>,
    /// Without HTTP Basic: its secret.
    client_secret: Option<String>,
}
