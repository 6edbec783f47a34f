//! What an authorize request asks for, judged in Cognito's order: first what may never be redirected, then the rest.

use std::sync::atomic::Ordering;

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::answer;
use super::clients::{AppClient, OAuthFlow};
use super::pages;
use super::params::{Params, with_query};
use super::state::PoolState;

/// Scopes that come with every pool.
const STANDARD_SCOPES: [&str; 5] = ["openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"];

/// A good authorize request. `/login` and the pretended providers read the same query and judge it again.
#[derive(Clone, Debug)]
pub(super) struct AuthorizationRequest {
    pub(super) client: AppClient,
    pub(super) redirect_uri: String,
    pub(super) state: Option<String>,
    pub(super) scopes: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: Option<String>,
    pub(super) prompt: Prompt,
    pub(super) provider: Option<String>,
    pub(super) login_hint: Option<String>,
}

/// What `prompt` wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Nothing special.
    Usual,
    /// `none`: no page at all.
    Silent,
    /// `login`, `select_account`, `consent`: a page even with a live session.
    Page,
}

/// Why a request got no further.
#[derive(Debug)]
pub(super) enum AuthorizationError {
    /// The pool's own error page.
    Page { error: &'static str, text: &'static str },
    /// An empty 400, Cognito's answer to a `state` that is JSON.
    Empty,
    /// Back to the application.
    Back { redirect_uri: String, state: Option<String>, error: &'static str, description: Option<String> },
}

impl AuthorizationError {
    pub(super) fn answer(self, pool: &PoolState) -> Response {
        match self {
            Self::Page { error, text } => pages::error(StatusCode::BAD_REQUEST, error, text),
            Self::Empty => StatusCode::BAD_REQUEST.into_response(),
            Self::Back { redirect_uri, state, error, description } => {
                let mut pairs = Vec::new();
                if let Some(description) = &description {
                    pairs.push(("error_description", description.as_str()));
                }
                let with_state = !pool.switches.errors_without_state.load(Ordering::Relaxed);
                if let Some(state) = state.as_ref().filter(|_| with_state) {
                    pairs.push(("state", state.as_str()));
                }
                pairs.push(("error", error));
                answer::redirect(&with_query(&redirect_uri, &pairs))
            }
        }
    }
}

impl AuthorizationRequest {
    pub(super) fn read(pool: &PoolState, params: &Params) -> Result<Self, AuthorizationError> {
        let page = |error, text| Err(AuthorizationError::Page { error, text });
        let (Some(client_id), Some(redirect_uri)) = (params.get("client_id"), params.get("redirect_uri")) else {
            return page("Required parameters missing", "The request must name a client_id and a redirect_uri.");
        };
        let Some(client) = pool.world().clients.get(client_id).cloned() else {
            return page("invalid_client", "There is no app client of this id in the user pool.");
        };
        if !client.callback_urls.iter().any(|registered| registered == redirect_uri) {
            return page("redirect_mismatch", "The redirect_uri is not among the app client's allowed callback URLs.");
        }
        if params.get("state").is_some_and(|state| state.starts_with('{')) {
            return Err(AuthorizationError::Empty);
        }
        let back = |error, description: Option<&str>| AuthorizationError::Back {
            redirect_uri: redirect_uri.to_owned(),
            state: params.get("state").map(str::to_owned),
            error,
            description: description.map(str::to_owned),
        };
        if params.has_duplicates() {
            return Err(back("invalid_request", None));
        }
        match params.get("response_type") {
            Some("code") if client.flow == OAuthFlow::Code => {}
            Some("code" | "token") => return Err(back("unauthorized_client", None)),
            Some(_) | None => return Err(back("invalid_request", None)),
        }
        let challenge = read_challenge(params).map_err(|text| back("invalid_request", Some(text)))?;
        let scopes = read_scopes(&client, params.get("scope")).ok_or_else(|| back("invalid_scope", None))?;
        let prompt = read_prompt(params.get("prompt")).ok_or_else(|| back("invalid_request", None))?;
        let provider = params.get("identity_provider").or_else(|| params.get("idp_identifier")).map(str::to_owned);
        if provider.as_ref().is_some_and(|name| !client.identity_providers.contains(name)) {
            return Err(back("invalid_request", Some("Identity provider is not enabled for the app client")));
        }
        Ok(Self {
            redirect_uri: redirect_uri.to_owned(),
            state: params.get("state").map(str::to_owned),
            scopes,
            nonce: params.get("nonce").map(str::to_owned),
            challenge,
            prompt,
            provider,
            login_hint: params.get("login_hint").map(str::to_owned),
            client,
        })
    }

    /// An error for the application, once the request itself is known to be good.
    pub(super) fn refuse(&self, error: &'static str, description: Option<String>) -> AuthorizationError {
        AuthorizationError::Back {
            redirect_uri: self.redirect_uri.clone(),
            state: self.state.clone(),
            error,
            description,
        }
    }
}

/// PKCE: S256 or nothing.
fn read_challenge(params: &Params) -> Result<Option<String>, &'static str> {
    match (params.get("code_challenge"), params.get("code_challenge_method")) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) => {
            let shaped = challenge.len() == 43
                && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            if shaped { Ok(Some(challenge.to_owned())) } else { Err("code_challenge is malformed") }
        }
        (Some(_), Some(_)) => Err("code_challenge_method must be S256"),
        (Some(_), None) => Err("code_challenge_method is required with code_challenge"),
        (None, Some(_)) => Err("code_challenge is required with code_challenge_method"),
    }
}

/// The scopes asked for, or all of the client's. `None` if one is not allowed, or needs an absent `openid`.
fn read_scopes(client: &AppClient, asked: Option<&str>) -> Option<Vec<String>> {
    let mut scopes: Vec<String> = Vec::new();
    for scope in asked.unwrap_or_default().split_whitespace() {
        if !client.scopes.iter().any(|allowed| allowed == scope) {
            return None;
        }
        if !scopes.iter().any(|seen| seen == scope) {
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

fn read_prompt(asked: Option<&str>) -> Option<Prompt> {
    let words: Vec<&str> = asked.unwrap_or_default().split_whitespace().collect();
    match words.as_slice() {
        [] => Some(Prompt::Usual),
        ["none"] => Some(Prompt::Silent),
        words if words.iter().all(|word| matches!(*word, "login" | "select_account" | "consent")) => Some(Prompt::Page),
        _ => None,
    }
}

/// Whether a scope is one of those every pool has, as opposed to a resource server's.
pub(super) fn is_standard_scope(scope: &str) -> bool {
    STANDARD_SCOPES.contains(&scope)
}
