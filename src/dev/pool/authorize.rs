//! `GET /oauth2/authorize`: a code at once for a live hosted-UI session, else the way to a page that signs in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{RawQuery, State as Shared};
use axum::response::Response;
use http::HeaderMap;

use super::answer;
use super::ask::{AuthorizationRequest, Prompt};
use super::grants::{Code, HostedUiSession, SESSION_SECONDS, UserAuthentication};
use super::params::{Params, with_query};
use super::random;
use super::state::PoolState;

/// The name of the hosted UI's session cookie.
pub(super) const SESSION_COOKIE: &str = "cognito";

pub(super) async fn authorize(
    Shared(pool): Shared<Arc<PoolState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let ask = match AuthorizationRequest::read(&pool, &Params::parse(query.as_bytes())) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.answer(&pool),
    };
    let prompt = if pool.switches.ignores_prompt.load(Ordering::Relaxed) { Prompt::Usual } else { ask.prompt };
    if prompt != Prompt::Page
        && let Some(session) = live_session(&pool, &headers, ask.provider.as_deref())
    {
        return redirect_with_code(&pool, &ask, &session.username, session.auth_time);
    }
    if prompt == Prompt::Silent {
        return ask.refuse("login_required", None).answer(&pool);
    }
    match ask.provider.as_deref() {
        None | Some("COGNITO") => answer::redirect(&format!("/login?{query}")),
        Some(provider) => answer::redirect(&format!("/pretend/{provider}?{query}")),
    }
}

/// The hosted session, if it is live, its user may still sign in, and it came from the provider asked for.
fn live_session(pool: &PoolState, headers: &HeaderMap, provider: Option<&str>) -> Option<HostedUiSession> {
    let world = pool.world();
    let session = world.session(answer::cookie(headers, SESSION_COOKIE)?, pool.now())?;
    let enabled = world.user(&session.username).is_some_and(|user| user.enabled);
    let wanted = provider.is_none_or(|name| name == session.provider);
    (enabled && wanted).then(|| session.clone())
}

/// The end of every successful sign-in page: session cookie, code, back to the application.
pub(super) fn complete(pool: &PoolState, ask: &AuthorizationRequest, username: &str, provider: &str) -> Response {
    let now = pool.now();
    let cookie = pool.world().open_session(username, provider, now);
    let answer = redirect_with_code(pool, ask, username, now);
    answer::set_cookie(answer, SESSION_COOKIE, &cookie, Some(SESSION_SECONDS))
}

fn redirect_with_code(pool: &PoolState, ask: &AuthorizationRequest, username: &str, auth_time: i64) -> Response {
    let now = pool.now();
    let mut world = pool.world();
    // Asked without a nonce, Cognito gives federated users one of its own making, and a long one.
    let federated = world.user(username).is_some_and(|user| !user.identities.is_empty());
    let nonce = ask.nonce.clone().or_else(|| federated.then(|| random::text(108)));
    let code = Code {
        sign_in: UserAuthentication::new(&ask.client.id, username, ask.scopes.clone(), auth_time),
        redirect_uri: ask.redirect_uri.clone(),
        nonce,
        challenge: ask.challenge.clone(),
        expires_at: Code::lifetime_from(now),
    };
    let code = world.issue_code(code, now);
    drop(world);
    let mut pairs = vec![("code", code.as_str())];
    if let Some(state) = &ask.state {
        pairs.push(("state", state));
    }
    answer::redirect(&with_query(&ask.redirect_uri, &pairs))
}
