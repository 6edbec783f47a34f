//! `/mfa`: a code of the authenticator app, or the set-up of one.

use super::login;
use super::{WaitingSignIn, finish, form};
use crate::dev::pool::authorize::{self, AuthorizationRequest, AuthorizeError};
use crate::dev::pool::challenges::Challenge;
use crate::dev::pool::messages::ApiError;
use crate::dev::pool::pages::{AuthenticatorSecret, FormField, FormPage};
use crate::dev::pool::state::PoolState;
use crate::dev::pool::totp;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

const CHALLENGES: [Challenge; 2] = [Challenge::SoftwareToken, Challenge::SoftwareTokenSetup];

pub(super) async fn page(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Response {
    match WaitingSignIn::find(&pool, &request, &headers, &CHALLENGES) {
        Some(waiting) => show(&pool, &request, &headers, &waiting, None),
        None => login::expired(&request, &headers),
    }
}

pub(super) async fn submit(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let waiting = WaitingSignIn::find(&pool, &request, &headers, &CHALLENGES);
    let Some(waiting) = waiting.filter(|waiting| waiting.user(&pool).is_some()) else {
        return Ok(login::expired(&request, &headers));
    };
    Ok(match take_code(&pool, &waiting, form.get("code").unwrap_or_default()) {
        Ok(()) => {
            waiting.close(&pool);
            finish(&pool, &request, &headers, &waiting.username).await
        }
        Err(error) => show(&pool, &request, &headers, &waiting, Some(error.message())),
    })
}

fn take_code(pool: &PoolState, waiting: &WaitingSignIn, code: &str) -> Result<(), ApiError> {
    let now = pool.now();
    let mut data = pool.data();
    let token = &mut data.user_mut(&waiting.username).ok_or_else(ApiError::user_not_found)?.software_token;
    if waiting.challenge == Challenge::SoftwareToken {
        return token.check(code, now);
    }
    token.verify(code, now)?;
    token.prefer();
    Ok(())
}

fn show(
    pool: &PoolState,
    request: &AuthorizationRequest,
    headers: &HeaderMap,
    waiting: &WaitingSignIn,
    error: Option<&str>,
) -> Response {
    let setup = waiting.challenge == Challenge::SoftwareTokenSetup;
    let secret = setup.then(|| pool.data().user_mut(&waiting.username).map(|user| user.software_token.associated()));
    let authenticator = secret.flatten().map(|secret| {
        let uri = totp::otpauth_uri(pool.pool_id(), &waiting.username, &secret);
        AuthenticatorSecret { secret, uri }
    });
    let (title, lead) = if setup {
        ("Set up authenticator app MFA", "Add this secret key to your authenticator app, and enter the code it shows.")
    } else {
        ("Sign in with your authenticator app", "Enter the code that the app shows.")
    };
    let content = FormPage {
        title,
        lead: lead.to_owned(),
        error: error.map(str::to_owned),
        authenticator,
        fields: vec![FormField::code()],
        submit: "Sign in",
        ..FormPage::default()
    };
    form(request, headers, "/mfa", content)
}
