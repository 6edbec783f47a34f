//! The pretended Google and Facebook: a page of seeded identities, and what can go wrong on the way back.

use std::sync::{Arc, PoisonError};

use axum::extract::{Path, RawQuery, State as Shared};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use super::ask::{AuthorizationError, AuthorizationRequest};
use super::authorize;
use super::csrf;
use super::pages::{self, IdentityChoice, ProviderPage};
use super::params::Params;
use super::state::PoolState;
use super::triggers::{self, TriggerFailure};
use super::users::PoolUser;

/// How federated sign-ins fail, when a test asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FederationFault {
    /// The first attempt ends in "Already found an entry for username …"; the next succeeds.
    AlreadyFoundEntryOnce,
    /// Every attempt ends like that.
    AlreadyFoundEntryAlways,
    /// The user said no at the provider.
    AccessDenied,
    /// The pool could not reach the provider.
    Timeout,
}

pub(super) async fn show(
    Shared(pool): Shared<Arc<PoolState>>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let ask = match read(&pool, &provider, &params) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.answer(&pool),
    };
    let world = pool.world();
    let identities = (world.users.iter().chain(&world.newcomers))
        .filter_map(|user| {
            Some(IdentityChoice {
                id: identity_at(user, &provider)?.to_owned(),
                name: user.attributes.get("name").unwrap_or(&user.username).clone(),
                email: user.attributes.get("email").cloned(),
            })
        })
        .collect();
    drop(world);
    let csrf = csrf::value(&headers);
    let page = ProviderPage {
        csrf: csrf.clone(),
        action: format!("/pretend/{provider}?{}", params.encode_with("client_id", &ask.client.id)),
        provider,
        identities,
    };
    csrf::remember(pages::render(StatusCode::OK, &page), &csrf)
}

pub(super) async fn submit(
    Shared(pool): Shared<Arc<PoolState>>,
    Path(provider): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let params = Params::parse(query.unwrap_or_default().as_bytes());
    let ask = match read(&pool, &provider, &params) {
        Ok(ask) => ask,
        Err(refusal) => return refusal.answer(&pool),
    };
    let form = Params::parse(&body);
    if !csrf::holds(&headers, &form) {
        return pages::error(StatusCode::FORBIDDEN, "Invalid CSRF token", "Open the sign-in page again and retry.");
    }
    let Some(chosen) = form.get("identity") else {
        return denied(&ask).answer(&pool);
    };
    if let Some(refusal) = misfortune(&pool, &ask, &provider, chosen) {
        return refusal.answer(&pool);
    }
    match sign_in(&pool, &ask.client.id, &provider, chosen).await {
        Ok(Some(username)) => authorize::complete(&pool, &ask, &username, &provider),
        Ok(None) => denied(&ask).answer(&pool),
        Err(text) => ask.refuse("invalid_request", Some(text)).answer(&pool),
    }
}

/// The name of the user whose identity it is, who may be a new one. `None`: the provider knows nobody of that id.
async fn sign_in(pool: &PoolState, client_id: &str, provider: &str, chosen: &str) -> Result<Option<String>, String> {
    let enabled = |username: String| match pool.world().user(&username).is_some_and(|user| user.enabled) {
        true => Ok(Some(username)),
        false => Err("User is disabled.".to_owned()),
    };
    let text = |failed| match failed {
        TriggerFailure::Because(text) => text,
        TriggerFailure::Refused => "User is not allowed.".to_owned(),
    };
    let here = |user: &&PoolUser| user.identities.iter().any(|one| one.provider == provider && one.user_id == chosen);
    let known = pool.world().users.iter().find(here).map(|user| (user.username.clone(), user.is_federated()));
    if let Some((username, federated)) = known {
        let username = enabled(username)?;
        if let Some(username) = username.as_ref().filter(|_| federated) {
            triggers::signed_in(pool, client_id, username).await.map_err(text)?;
        }
        return Ok(username);
    }
    let newcomer = pool.world().newcomers.iter().find(here).cloned();
    let Some(newcomer) = newcomer else { return Ok(None) };
    enabled(triggers::sign_up(pool, client_id, newcomer).await.map_err(text)?)
}

/// The same query as the authorize endpoint's, and a provider this client may use.
fn read(pool: &PoolState, provider: &str, params: &Params) -> Result<AuthorizationRequest, AuthorizationError> {
    let ask = AuthorizationRequest::read(pool, params)?;
    if provider == "COGNITO" || !ask.client.identity_providers.iter().any(|name| name == provider) {
        return Err(AuthorizationError::Page {
            error: "invalid_request",
            text: "The app client has no such identity provider.",
        });
    }
    Ok(ask)
}

fn identity_at<'a>(user: &'a PoolUser, provider: &str) -> Option<&'a str> {
    user.identities.iter().find(|identity| identity.provider == provider).map(|identity| identity.user_id.as_str())
}

fn denied(ask: &AuthorizationRequest) -> AuthorizationError {
    ask.refuse("access_denied", Some("Access denied".to_owned()))
}

fn misfortune(
    pool: &PoolState,
    ask: &AuthorizationRequest,
    provider: &str,
    chosen: &str,
) -> Option<AuthorizationError> {
    let mut fault = pool.federation_fault.lock().unwrap_or_else(PoisonError::into_inner);
    match (*fault)? {
        FederationFault::AccessDenied => Some(denied(ask)),
        FederationFault::Timeout => {
            let text = "Timeout occurred in calling IdP token endpoint";
            Some(ask.refuse("invalid_request", Some(text.to_owned())))
        }
        kind @ (FederationFault::AlreadyFoundEntryOnce | FederationFault::AlreadyFoundEntryAlways) => {
            if kind == FederationFault::AlreadyFoundEntryOnce {
                *fault = None;
            }
            let text = format!("Already found an entry for username {provider}_{chosen}");
            Some(ask.refuse("invalid_request", Some(text)))
        }
    }
}
