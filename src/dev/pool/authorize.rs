//! The authorization endpoint, `GET /oauth2/authorize` (RFC 6749 §4.1.1): an authorization code at once for a browser
//! with a hosted UI session, else a redirect to a page that signs in. That page gets the same query and checks it again.

use super::data::{AuthorizationCode, HostedUiSession, SESSION_SECONDS, UserAuthentication};
use super::messages::{self, Params};
use super::pages;
use super::random;
use super::settings::{AppClient, OAuthFlow};
use super::state::PoolState;
use super::users::PoolUser;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// The cookie of the hosted UI's session.
pub(super) const SESSION_COOKIE: &str = "cognito";

/// A good authorization request.
pub(super) struct AuthorizationRequest {
    pub(super) client: AppClient,
    pub(super) params: Params,
    redirect_uri: String,
    scopes: Vec<String>,
    resource: Option<String>,
    code_challenge: Option<String>,
    prompt: Prompt,
    /// Seconds since the sign-in. Only managed login knows it.
    max_age: Option<i64>,
    identity_provider: Option<String>,
}

/// `prompt` (OpenID Connect Core §3.1.2.1). Only managed login knows it; the classic hosted UI does not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    Absent,
    /// `none`: no page at all.
    Silent,
    /// `login`, `select_account`, `consent`: a page even for a browser with a session.
    Page,
}

/// Why a request gets no further.
pub(super) enum AuthorizeError {
    /// To the pool's own error page: nothing that cannot be trusted is redirected to.
    OwnPage { error: &'static str, client_id: String },
    /// A form that is none of this browser's.
    Csrf,
    /// An empty 400, Cognito's answer to a `state` that is JSON.
    Empty,
    /// Back to the app client (RFC 6749 §4.1.2.1).
    Redirect { redirect_uri: String, state: Option<String>, error: &'static str, description: Option<String> },
}

impl IntoResponse for AuthorizeError {
    fn into_response(self) -> Response {
        match self {
            Self::OwnPage { error, client_id } => {
                messages::redirect_with_query("/error", &[("error", error), ("client_id", &client_id)])
            }
            Self::Csrf => {
                pages::error(StatusCode::FORBIDDEN, "Invalid CSRF token", "Open the sign-in page again and retry.")
            }
            Self::Empty => StatusCode::BAD_REQUEST.into_response(),
            Self::Redirect { redirect_uri, state, error, description } => {
                let optional = [("error_description", description.as_deref()), ("state", state.as_deref())];
                let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
                messages::redirect_with_query(&redirect_uri, &optional.chain([("error", error)]).collect::<Vec<_>>())
            }
        }
    }
}

impl FromRequestParts<Arc<PoolState>> for AuthorizationRequest {
    type Rejection = AuthorizeError;

    async fn from_request_parts(parts: &mut Parts, pool: &Arc<PoolState>) -> Result<Self, AuthorizeError> {
        Self::read(pool, Params::parse(parts.uri.query().unwrap_or_default().as_bytes()))
    }
}

impl AuthorizationRequest {
    /// Checks in Cognito's order: first what may not be redirected, then the rest.
    fn read(pool: &PoolState, params: Params) -> Result<Self, AuthorizeError> {
        let client_id = params.get("client_id");
        let page = |error| AuthorizeError::OwnPage { error, client_id: client_id.unwrap_or_default().to_owned() };
        let (Some(known), Some(redirect_uri)) = (client_id, params.get("redirect_uri")) else {
            return Err(page("Required parameters missing"));
        };
        let Some(client) = pool.data().clients.get(known).cloned() else {
            return Err(page("invalid_client"));
        };
        if !client.callback_urls.iter().any(|registered| registered == redirect_uri) {
            return Err(page("redirect_mismatch"));
        }
        if params.get("state").is_some_and(|state| state.starts_with('{')) {
            return Err(AuthorizeError::Empty);
        }
        let error = |error, description: Option<&str>| redirect_error(redirect_uri, &params, error, description);
        if params.has_duplicates() {
            return Err(error("invalid_request", None));
        }
        match params.get("response_type") {
            Some("code") if client.flow == OAuthFlow::Code => {}
            Some("code" | "token") => return Err(error("unauthorized_client", None)),
            Some(_) | None => return Err(error("invalid_request", None)),
        }
        let code_challenge = read_code_challenge(&params).map_err(|text| error("invalid_request", Some(text)))?;
        let scopes = read_scopes(&client, params.get("scope")).ok_or_else(|| error("invalid_scope", None))?;
        let resource = params.get("resource").map(str::to_owned);
        if resource.as_deref().is_some_and(|resource| !is_resource(resource)) {
            return Err(error("invalid_request", Some("resource is malformed")));
        }
        let prompt = read_prompt(params.get("prompt")).ok_or_else(|| error("invalid_request", None))?;
        let max_age = params.get("max_age").map(|text| text.parse().ok().filter(|seconds| *seconds >= 0));
        let max_age = max_age.map(|seconds| seconds.ok_or_else(|| error("invalid_request", None))).transpose()?;
        let provider = params.get("identity_provider").or_else(|| params.get("idp_identifier")).map(str::to_owned);
        if provider.as_ref().is_some_and(|name| !client.identity_providers.contains(name)) {
            return Err(error("invalid_request", Some("Identity provider is not enabled for the app client")));
        }
        let redirect_uri = redirect_uri.to_owned();
        let identity_provider = provider;
        Ok(Self { client, redirect_uri, scopes, resource, code_challenge, prompt, max_age, identity_provider, params })
    }

    /// A page of the hosted UI, with the same query.
    pub(super) fn url(&self, page: &str) -> String {
        format!("{page}?{}", self.params.encode_with("client_id", &self.client.id))
    }

    /// An error for the app client, once the request itself is known to be good.
    pub(super) fn error(&self, error: &'static str, description: Option<&str>) -> AuthorizeError {
        redirect_error(&self.redirect_uri, &self.params, error, description)
    }
}

/// The fields of a form of the hosted UI.
pub(super) fn submitted(headers: &HeaderMap, body: &[u8]) -> Result<Params, AuthorizeError> {
    pages::submitted(headers, body).ok_or(AuthorizeError::Csrf)
}

fn redirect_error(uri: &str, params: &Params, error: &'static str, description: Option<&str>) -> AuthorizeError {
    AuthorizeError::Redirect {
        redirect_uri: uri.to_owned(),
        state: params.get("state").map(str::to_owned),
        error,
        description: description.map(str::to_owned),
    }
}

/// PKCE (RFC 7636): S256 or nothing.
fn read_code_challenge(params: &Params) -> Result<Option<String>, &'static str> {
    match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) => {
            let shaped = challenge.len() == 43
                && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            shaped.then(|| Some(challenge.to_owned())).ok_or("code_challenge is malformed")
        }
        (Some(_), Some(_)) => Err("code_challenge_method must be S256"),
        (Some(_), None) => Err("code_challenge_method is required with code_challenge"),
        (None, Some(_)) => Err("code_challenge is required with code_challenge_method"),
    }
}

/// The requested scopes, or all of the client's. `None` if one is not allowed, or needs an absent `openid`.
fn read_scopes(client: &AppClient, scope: Option<&str>) -> Option<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in scope.unwrap_or_default().split_whitespace() {
        if !client.scopes.iter().any(|allowed| allowed == scope) {
            return None;
        }
        if !scopes.iter().any(|earlier| earlier == scope) {
            scopes.push(scope.to_owned());
        }
    }
    if scopes.is_empty() {
        return Some(client.scopes.clone());
    }
    let has = |name: &str| scopes.iter().any(|scope| scope == name);
    let needs_openid = has("email") || has("phone") || has("profile");
    (has("openid") || !needs_openid).then_some(scopes)
}

/// An https URL, one of this machine, or one with a scheme of an application's own (RFC 8707 §2: without a fragment).
fn is_resource(text: &str) -> bool {
    let plain_http = || text.starts_with("http:") && !text.starts_with("http://localhost");
    url::Url::parse(text).is_ok_and(|url| url.fragment().is_none()) && !plain_http()
}

fn read_prompt(prompt: Option<&str>) -> Option<Prompt> {
    let words: Vec<&str> = prompt.unwrap_or_default().split_whitespace().collect();
    match words.as_slice() {
        [] => Some(Prompt::Absent),
        ["none"] => Some(Prompt::Silent),
        words if words.iter().all(|word| matches!(*word, "login" | "select_account" | "consent")) => Some(Prompt::Page),
        _ => None,
    }
}

pub(super) async fn authorize(
    State(pool): State<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Result<Response, AuthorizeError> {
    let provider = request.identity_provider.as_deref();
    let ignores_prompt = pool.faults().ignores_prompt;
    let prompt = if ignores_prompt { Prompt::Absent } else { request.prompt };
    let is_recent = |auth_time: i64| {
        ignores_prompt || request.max_age.is_none_or(|max_age| pool.now().saturating_sub(auth_time) <= max_age)
    };
    if prompt != Prompt::Page
        && let Some((user, auth_time)) = hosted_ui_session(&pool, &headers, provider)
        && is_recent(auth_time)
    {
        let redirect = redirect_with_code(&pool, &request, user, auth_time).await;
        return redirect.map_err(|text| request.error("invalid_request", Some(&text)));
    }
    if prompt == Prompt::Silent {
        return Err(request.error("login_required", None));
    }
    let query = query.unwrap_or_default();
    Ok(match provider {
        None | Some("COGNITO") => messages::redirect(&format!("/login?{query}")),
        Some(provider) => messages::redirect(&format!("/pretend/{provider}?{query}")),
    })
}

/// The user of the browser's session and the time of the sign-in, if the user may still sign in and came from the
/// requested provider.
fn hosted_ui_session(pool: &PoolState, headers: &HeaderMap, provider: Option<&str>) -> Option<(PoolUser, i64)> {
    let data = pool.data();
    let session = data.session(messages::cookie(headers, SESSION_COOKIE)?, pool.now())?;
    let user = data.enabled_user(&session.username)?;
    provider.is_none_or(|name| name == session.provider).then(|| (user.clone(), session.auth_time))
}

/// The end of every successful sign-in of a user as the pool has it now; see [`complete_as`].
pub(super) async fn complete(
    pool: &PoolState,
    request: &AuthorizationRequest,
    username: &str,
    provider: &str,
) -> Result<Response, String> {
    let user = pool.data().user(username).cloned();
    complete_as(pool, request, user.ok_or("User does not exist.")?, provider).await
}

/// A hosted UI session, and the authorization code for the app client, with tokens of `user` as it was read.
///
/// # Errors
/// What the pre-token trigger failed with: there is no session then.
pub(super) async fn complete_as(
    pool: &PoolState,
    request: &AuthorizationRequest,
    user: PoolUser,
    provider: &str,
) -> Result<Response, String> {
    let now = pool.now();
    let (username, provider) = (user.username.clone(), provider.to_owned());
    let response = redirect_with_code(pool, request, user, now).await?;
    let cookie = pool.data().open_session(HostedUiSession { username, provider, auth_time: now }, now);
    Ok(messages::set_cookie(response, SESSION_COOKIE, &cookie, Some(SESSION_SECONDS)))
}

async fn redirect_with_code(
    pool: &PoolState,
    request: &AuthorizationRequest,
    user: PoolUser,
    auth_time: i64,
) -> Result<Response, String> {
    let client_id = &request.client.id;
    // Cognito gives federated users a nonce of its own making where the request has none, and a long one.
    let federated = !user.identities.is_empty();
    let nonce = request.params.get("nonce").map(str::to_owned).or_else(|| federated.then(|| random::text(108)));
    let source = if federated { "TokenGeneration_HostedAuth" } else { "TokenGeneration_Authentication" };
    let overrides = pool.triggers.token_generation(source, client_id, &user, &request.scopes).await;
    let authentication = UserAuthentication::new(client_id, &user.username, request.scopes.clone(), auth_time);
    let code = AuthorizationCode {
        authentication: UserAuthentication {
            audience: request.resource.clone(),
            overrides: overrides.map_err(|failure| failure.message("User is not allowed."))?,
            ..authentication
        },
        user,
        redirect_uri: request.redirect_uri.clone(),
        nonce,
        code_challenge: request.code_challenge.clone(),
    };
    let code = pool.data().issue_code(code, pool.now());
    let state = request.params.get("state").map(|state| ("state", state));
    let pairs: Vec<_> = [("code", code.as_str())].into_iter().chain(state).collect();
    Ok(messages::redirect_with_query(&request.redirect_uri, &pairs))
}
