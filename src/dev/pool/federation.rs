//! Federated sign-in: identity providers of the pool, Google and Facebook, each pretended by a page of its identities.

use super::authorize::{self, AuthorizationRequest, AuthorizeError};
use super::faults::FederationFault;
use super::pages::{self, IdentityChoice, ProviderPage};
use super::state::PoolState;
use super::triggers::InvocationError;
use super::users::PoolUser;
use axum::extract::{Path, State};
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

pub(super) async fn provider_page(
    State(pool): State<Arc<PoolState>>,
    Path(provider): Path<String>,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Result<Response, AuthorizeError> {
    check_provider(&request, &provider)?;
    let data = pool.data();
    let choice = |user: &PoolUser| {
        let identity = user.identities.iter().find(|identity| identity.provider == provider)?;
        Some(IdentityChoice {
            id: identity.user_id.clone(),
            name: user.attributes.get("name").unwrap_or(&user.username).clone(),
            email: user.attributes.get("email").cloned(),
        })
    };
    let identities = data.users.iter().chain(&data.newcomers).filter_map(choice).collect();
    let query = request.params.encode_with("client_id", &request.client.id);
    let action = format!("/pretend/{provider}?{query}");
    Ok(pages::form(&headers, |csrf| ProviderPage { csrf, action, provider: provider.clone(), identities }))
}

pub(super) async fn choose(
    State(pool): State<Arc<PoolState>>,
    Path(provider): Path<String>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    check_provider(&request, &provider)?;
    let form = authorize::submitted(&headers, &body)?;
    let denied = || request.error("access_denied", Some("Access denied"));
    let user_id = form.get("identity").ok_or_else(denied)?;
    apply_fault(&pool, &request, &provider, user_id)?;
    let wrong = |text: String| request.error("invalid_request", Some(&text));
    let user = sign_in(&pool, &request.client.id, &provider, user_id).await.map_err(wrong)?.ok_or_else(denied)?;
    authorize::complete_as(&pool, &request, user, &provider).await.map_err(wrong)
}

fn check_provider(request: &AuthorizationRequest, provider: &str) -> Result<(), AuthorizeError> {
    let enabled = request.client.identity_providers.iter().any(|name| name == provider);
    let refused = || AuthorizeError::OwnPage { error: "invalid_request", client_id: request.client.id.clone() };
    (enabled && provider != "COGNITO").then_some(()).ok_or_else(refused)
}

/// The user who has the identity: an old one, or by now a new one, as it was before the last trigger. `None`: there is no
/// such identity.
///
/// # Errors
/// The `error_description`.
async fn sign_in(pool: &PoolState, client_id: &str, provider: &str, user_id: &str) -> Result<Option<PoolUser>, String> {
    let message = |failure: InvocationError| failure.message("User is not allowed.");
    let disabled = || "User is disabled.".to_owned();
    let user = pool.data().user_with_identity(provider, user_id).cloned();
    if let Some(user) = user {
        if !user.enabled {
            return Err(disabled());
        }
        if user.is_federated() {
            pool.triggers.post_authentication(client_id, &user).await.map_err(message)?;
        }
        return Ok(Some(user));
    }
    let newcomer = pool.data().newcomers.iter().find(|user| user.has_identity(provider, user_id)).cloned();
    let Some(newcomer) = newcomer else { return Ok(None) };
    pool.triggers.pre_sign_up("PreSignUp_ExternalProvider", client_id, &newcomer).await.map_err(message)?;
    // The trigger may have linked the identity to a user (AdminLinkProviderForUser).
    let linked = pool.data().sign_up(&newcomer);
    if linked.is_none() {
        pool.triggers
            .post_confirmation("PostConfirmation_ConfirmSignUp", client_id, &newcomer)
            .await
            .map_err(message)?;
    }
    let Some(username) = linked else { return Ok(Some(newcomer)) };
    let user = pool.data().enabled_user(&username).cloned().ok_or_else(disabled)?;
    Ok(Some(user))
}

fn apply_fault(
    pool: &PoolState,
    request: &AuthorizationRequest,
    provider: &str,
    user_id: &str,
) -> Result<(), AuthorizeError> {
    let mut faults = pool.faults();
    let Some(fault) = faults.federation else { return Ok(()) };
    if fault == FederationFault::AlreadyFoundEntryOnce {
        faults.federation = None;
    }
    let (error, text) = match fault {
        FederationFault::AccessDenied => ("access_denied", "Access denied".to_owned()),
        FederationFault::Timeout => ("invalid_request", "Timeout occurred in calling IdP token endpoint".to_owned()),
        FederationFault::AlreadyFoundEntryOnce | FederationFault::AlreadyFoundEntryAlways => {
            ("invalid_request", format!("Already found an entry for username {provider}_{user_id}"))
        }
    };
    Err(request.error(error, Some(&text)))
}
