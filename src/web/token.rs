//! The routes of machines, in the words of RFC 6749 §5: `/token`, `/introspect` (RFC 7662) and `/revoke` (RFC 7009).

use super::device::Peer;
use super::error_body::OAuthErrorResponse;
use super::form::Form;
use super::layers::{self, BODY_MAX};
use super::openapi::{AboutTokenErrors, IntrospectionForm, TokenErrors, TokenForm, TokenRequestForm};
use super::{Web, fallback};
use crate::domain::clock::Timestamp;
use crate::domain::identity::{Inactive, always_true};
use crate::domain::machine::{Scopes, TokenResponse, is_resource};
use crate::domain::principal::{MachineIdentity, PrincipalKind};
use crate::domain::untrusted::UntrustedText;
use crate::flow::{ClientCredentials, Introspection, MachineError, TokenRequest};
use crate::telemetry::metrics::HttpRoute;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use secrecy::SecretString;
use serde::Serialize;
use std::borrow::Cow;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;
use utoipa::ToSchema;

/// The time after which a caller may try again when nobody said otherwise.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(5);

/// What was sent, all of it read.
struct TokenEndpointRequest {
    head: Parts,
    body: Bytes,
    address: Option<IpAddr>,
}

/// Reads a request, has `flow` answer it, and sets the request id. No tower layers here: they would cost as much as
/// the rest of answering with a cached token.
async fn answer(
    web: &Web,
    route: HttpRoute,
    request: Request,
    flow: impl AsyncFnOnce(&TokenEndpointRequest) -> Result<Response, MachineError>,
) -> Response {
    let (observed, id) = (web.observe(route, &request), web.request_id(&request));
    let context = web.request_context(&request, &id);
    let work = async {
        let (head, body) = request.into_parts();
        let address = Peer::of(&head.extensions).address(&head.headers, &web.trusted_proxies);
        let answered = match axum::body::to_bytes(body, BODY_MAX).await {
            Ok(body) => flow(&TokenEndpointRequest { head, body, address }).await,
            Err(_) => Err(MachineError::InvalidRequest("the body is too large, or incomplete")),
        };
        answered.unwrap_or_else(|error| refuse(&error))
    };
    // Pinned where it is made: it is large, and each move would copy it.
    let work =
        pin!(context.scope(work).instrument(observed.span.in_scope(|| id.span())).instrument(observed.span.clone()));
    let answered = layers::bounded(work, web.request_limit).await;
    let mut response = answered.unwrap_or_else(|| refuse(&MachineError::Unavailable(DEFAULT_RETRY_AFTER)));
    id.set_header(&mut response);
    observed.answered(&response);
    response
}

/// A token for a program
///
/// RFC 6749 §4.4. The client authenticates with HTTP Basic, both parts form-encoded first, or in the body; never with
/// both. A parameter without a value counts as left out.
#[utoipa::path(
    post, path = "/token", operation_id = "token", tag = "machine", security(("client" = []), ()),
    request_body(content = inline(TokenRequestForm), content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token for these scopes, new or fetched before.", body = TokenResponse),
        TokenErrors,
    )
)]
pub(super) async fn token(State(web): State<Arc<Web>>, request: Request) -> Response {
    let granted = async |endpoint_request: &TokenEndpointRequest| {
        let mut form = read(endpoint_request)?;
        match form.take("grant_type").as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(MachineError::UnsupportedGrantType),
            None => return Err(MachineError::InvalidRequest("grant_type is missing")),
        }
        let client = credentials(endpoint_request, &mut form)?;
        let scopes: Result<Scopes, _> = form.take("scope").as_deref().unwrap_or_default().parse();
        let scopes = scopes.map_err(|e| MachineError::InvalidScope(e.to_string()))?;
        let resource = form.take("resource").map(Cow::into_owned);
        if !resource.as_deref().is_none_or(is_resource) {
            return Err(MachineError::InvalidTarget("resource must be an absolute URI without a fragment"));
        }
        // A token for it would be a trigger's answer to one caller, and ours go to whoever may have the same.
        if form.take("aws_client_metadata").is_some() {
            return Err(MachineError::InvalidRequest(
                "aws_client_metadata is not passed on; ask Cognito itself for that token",
            ));
        }
        let granted = web.rp.machine_token(client, TokenRequest { scopes, resource }).await?;
        let seconds = granted.expires_in.as_secs().to_string();
        Ok(json_text(StatusCode::OK, [granted.json_head(), &seconds, "}"].concat()))
    };
    answer(&web, HttpRoute::TOKEN, request, granted).await
}

/// RFC 7662 §2.2. Of a token that is not good, only `active` is told.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum IntrospectionResponse<'a> {
    Active(ActiveToken<'a>),
    Inactive(Inactive),
}

/// What a token is good for.
#[derive(Serialize, ToSchema)]
struct ActiveToken<'a> {
    #[schema(schema_with = always_true)]
    active: bool,
    /// What our broker fetched is a machine's, whatever its format.
    kind: PrincipalKind,
    /// Its scopes, separated by spaces.
    scope: String,
    /// The app client that it was issued to, or the registered client.
    client_id: &'a str,
    /// The user, or the client of a machine's token.
    username: &'a str,
    /// `Bearer`.
    token_type: &'static str,
    /// When it runs out, epoch seconds.
    #[schema(value_type = u64)]
    exp: Timestamp,
    /// When it was issued, epoch seconds.
    #[schema(value_type = u64)]
    iat: Timestamp,
    /// Whom it speaks for.
    sub: &'a str,
    /// The provider, or the further issuer that the request names.
    iss: &'a str,
    /// The user's groups, if any.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(flatten)]
    machine: Option<&'a MachineIdentity>,
}

/// What a token is good for
///
/// RFC 7662, for clients that may fetch tokens; a client of the caller's own has to have fetched one before. A token
/// that was fetched here is known by its SHA-256, opaque or not. A token of a further issuer is active for who names it.
#[utoipa::path(
    post, path = "/introspect", operation_id = "introspect", tag = "machine", security(("client" = []), ()),
    request_body(content = inline(IntrospectionForm), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What is known of it.", body = IntrospectionResponse), AboutTokenErrors)
)]
pub(super) async fn introspect(State(web): State<Arc<Web>>, request: Request) -> Response {
    let known = async |endpoint_request: &TokenEndpointRequest| {
        let mut form = read(endpoint_request)?;
        let (client, token) = about_token(endpoint_request, &mut form)?;
        let principal = match web.rp.introspect(client, &token, form.take("issuer").as_deref()).await? {
            Introspection::Inactive => {
                let inactive = IntrospectionResponse::Inactive(Inactive { active: false });
                return Ok(json(StatusCode::OK, &inactive));
            }
            Introspection::Active(principal) => principal,
        };
        let active = ActiveToken {
            active: true,
            kind: principal.kind,
            scope: principal.scopes.join(" "),
            client_id: &principal.client_id,
            username: &principal.username,
            token_type: "Bearer",
            exp: principal.expires_at,
            iat: principal.issued_at,
            sub: &principal.sub,
            iss: principal.issuer.further().unwrap_or(web.rp.provider.issuer()),
            groups: &principal.groups,
            machine: principal.machine(),
        };
        Ok(json(StatusCode::OK, &IntrospectionResponse::Active(active)))
    };
    answer(&web, HttpRoute::INTROSPECT, request, known).await
}

/// Give a token back
///
/// RFC 7009, for a token that was issued to the client. It is refused here from now on and handed to nobody again; who
/// verifies it without asking accepts it until it runs out.
#[utoipa::path(
    post, path = "/revoke", operation_id = "revokeToken", tag = "machine", security(("client" = []), ()),
    request_body(content = inline(TokenForm), content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "It is not good any more, or never was."), AboutTokenErrors)
)]
pub(super) async fn revoke(State(web): State<Arc<Web>>, request: Request) -> Response {
    let revoked = async |endpoint_request: &TokenEndpointRequest| {
        let (client, token) = about_token(endpoint_request, &mut read(endpoint_request)?)?;
        web.rp.revoke_machine_token(client, &token).await?;
        Ok((StatusCode::OK, no_store()).into_response())
    };
    answer(&web, HttpRoute::REVOKE, request, revoked).await
}

/// Any method but POST: the token endpoint knows one (RFC 6749 §3.2).
pub(super) async fn post_only(State(web): State<Arc<Web>>, request: Request) -> Response {
    let (head, _) = request.into_parts();
    let (observed, id) = (web.observe(HttpRoute::of(head.uri.path()), &head), web.request_id(&head));
    let page = fallback::not_allowed_page(&web, &head.headers, &id).await;
    let mut response = page.unwrap_or_else(|| {
        let description = format!("this address takes POST, not {}", head.method);
        oauth_error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", &description)
    });
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    id.set_header(&mut response);
    observed.answered(&response);
    response
}

fn read(endpoint_request: &TokenEndpointRequest) -> Result<Form<'_>, MachineError> {
    let form = Form::read(&endpoint_request.head.headers, &endpoint_request.body);
    form.map(Form::without_empty).map_err(MachineError::InvalidRequest)
}

/// Who asks, and about which token (RFC 7662 §2.1, RFC 7009 §2.1).
fn about_token<'a>(
    endpoint_request: &TokenEndpointRequest,
    form: &mut Form<'a>,
) -> Result<(ClientCredentials, Cow<'a, str>), MachineError> {
    let client = credentials(endpoint_request, form)?;
    let token = form.take("token").ok_or(MachineError::InvalidRequest("token is missing"))?;
    Ok((client, token))
}

/// HTTP Basic or the body, never both (RFC 6749 §2.3). In Basic, both parts are form-encoded first (§2.3.1).
fn credentials(
    endpoint_request: &TokenEndpointRequest,
    form: &mut Form<'_>,
) -> Result<ClientCredentials, MachineError> {
    let mut lines = endpoint_request.head.headers.get_all(AUTHORIZATION).iter();
    let (id, secret) = match (lines.next(), lines.next()) {
        (None, _) => {
            let mut owned = |name| form.take(name).map(Cow::into_owned);
            (owned("client_id"), owned("client_secret"))
        }
        (Some(_), Some(_)) => return Err(MachineError::InvalidRequest("there are two Authorization lines")),
        (Some(line), None) => {
            let (id, secret) = basic(line).ok_or(MachineError::InvalidClient)?;
            if form.take("client_secret").is_some() {
                return Err(MachineError::InvalidRequest("the client must authenticate in one way, not in two"));
            }
            if form.take("client_id").is_some_and(|other| other != id) {
                return Err(MachineError::InvalidRequest("client_id is not the client that authenticates"));
            }
            (Some(id), Some(secret))
        }
    };
    match (id, secret) {
        (Some(id), Some(secret)) => {
            Ok(ClientCredentials { id, secret: SecretString::from(secret), address: endpoint_request.address })
        }
        _ => Err(MachineError::InvalidClient),
    }
}

fn basic(line: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = line.to_str().ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut id = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let secret = id.split_off(id.find(':')? + 1);
    id.pop();
    Some((form_decode(id)?, form_decode(secret)?)).filter(|(id, _)| !id.is_empty())
}

fn form_decode(text: String) -> Option<String> {
    if !text.bytes().any(|b| matches!(b, b'+' | b'%')) {
        return Some(text);
    }
    let text = text.replace('+', " ");
    percent_encoding::percent_decode_str(&text).decode_utf8().ok().map(Cow::into_owned)
}

fn no_store() -> [(axum::http::HeaderName, HeaderValue); 2] {
    [(CACHE_CONTROL, HeaderValue::from_static("no-store")), (PRAGMA, HeaderValue::from_static("no-cache"))]
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    json_text(status, serde_json::to_string(body).unwrap_or_default())
}

fn json_text(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in no_store() {
        headers.insert(name, value);
    }
    response
}

/// One table from error to answer (RFC 6749 §5.2).
pub(super) fn status_and_code(error: &MachineError) -> (StatusCode, &'static str) {
    match error {
        MachineError::InvalidRequest(_) => (StatusCode::BAD_REQUEST, "invalid_request"),
        MachineError::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "unsupported_grant_type"),
        MachineError::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client"),
        MachineError::UnauthorizedClient(_) => (StatusCode::BAD_REQUEST, "unauthorized_client"),
        MachineError::InvalidScope(_) => (StatusCode::BAD_REQUEST, "invalid_scope"),
        MachineError::InvalidTarget(_) => (StatusCode::BAD_REQUEST, "invalid_target"),
        MachineError::TooMany(_) | MachineError::OverBudget(_) => {
            (StatusCode::TOO_MANY_REQUESTS, "temporarily_unavailable")
        }
        // Not for now: somebody has to mend it.
        MachineError::TokenType | MachineError::SharedToken => (StatusCode::BAD_GATEWAY, "server_error"),
        MachineError::Unavailable(_) | MachineError::Upstream | MachineError::Store(_) | MachineError::Provider(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable")
        }
    }
}

/// The time after which the same may work.
pub(super) fn retry_after(error: &MachineError) -> Option<Duration> {
    match error {
        MachineError::TooMany(time) | MachineError::OverBudget(time) | MachineError::Unavailable(time) => Some(*time),
        MachineError::Upstream | MachineError::Store(_) | MachineError::Provider(_) => Some(DEFAULT_RETRY_AFTER),
        _ => None,
    }
}

fn refuse(error: &MachineError) -> Response {
    let (status, code) = status_and_code(error);
    let description = match error {
        MachineError::Store(error) => {
            tracing::error!(%error, "machine request failed");
            "the session store cannot be reached; try again later".to_owned()
        }
        MachineError::Provider(error) => {
            tracing::error!(reason = UntrustedText::up_to(400, error).as_str(), "machine request failed");
            "the provider cannot be reached; try again later".to_owned()
        }
        error => error.to_string(),
    };
    let mut response = oauth_error(status, code, &description);
    if let Some(time) = retry_after(error) {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(time.as_secs()));
    }
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 §15.5.2 demands a challenge with every 401.
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"auth-api\""));
    }
    response
}

fn oauth_error(status: StatusCode, code: &str, description: &str) -> Response {
    // Only characters that RFC 6749 §5.2 allows.
    let description: String =
        description.chars().map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' }).collect();
    json(status, &OAuthErrorResponse { error: code, error_description: &description })
}
