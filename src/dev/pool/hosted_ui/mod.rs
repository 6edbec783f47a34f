//! The classic hosted UI: pages to sign in, to sign up, to get a new password. All of them carry the query of the
//! authorization request, check it again, and lead on to the app client.
//!
//! | page | then |
//! |---|---|
//! | `/login` | the app client, or the page of what the sign-in waits for |
//! | `/signup`, `/confirmUser` | the code of the mail, and on with the sign-in |
//! | `/forgotPassword`, `/confirmForgotPassword` | the code of the mail and a new password, then `/login` |
//! | `/changePassword` | a password in place of the temporary one, and on with the sign-in |
//! | `/mfa` | a code of the authenticator app, which is set up here where the pool wants one |
//!
//! A browser that waits has the cookie `cognito-challenge`, the name of a session of `challenges`.

mod login;
mod mfa;
mod password;
mod sign_up;

use super::authorize::{self, AuthorizationRequest};
use super::challenges::Challenge;
use super::messages;
use super::pages::{self, FormPage, HostedUiLink};
use super::passwords;
use super::state::PoolState;
use super::users::PoolUser;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::HeaderMap;
use std::sync::Arc;

const CHALLENGE_COOKIE: &str = "cognito-challenge";

pub(super) fn routes() -> Router<Arc<PoolState>> {
    Router::new()
        .route("/login", get(login::page).post(login::submit))
        .route("/logout", get(login::logout))
        .route("/signup", get(sign_up::page).post(sign_up::submit))
        .route("/confirmUser", get(sign_up::confirmation_page).post(sign_up::confirm))
        .route("/forgotPassword", get(password::page).post(password::submit))
        .route("/confirmForgotPassword", get(password::confirmation_page).post(password::confirm))
        .route("/changePassword", get(password::change_page).post(password::change))
        .route("/mfa", get(mfa::page).post(mfa::submit))
}

/// The next step of a sign-in, of which the last leads to the app client.
async fn advance(pool: &PoolState, request: &AuthorizationRequest, headers: &HeaderMap, user: &PoolUser) -> Response {
    match passwords::next_challenge(pool, user) {
        None => finish(pool, request, headers, &user.username).await,
        Some(challenge) => wait(pool, request, &user.username, challenge),
    }
}

/// To the app client, unless the trigger before tokens fails.
async fn finish(pool: &PoolState, request: &AuthorizationRequest, headers: &HeaderMap, username: &str) -> Response {
    let signed_in = authorize::complete(pool, request, username, "COGNITO").await;
    signed_in.unwrap_or_else(|message| login::show(request, headers, username, Some(&message), None))
}

/// To the page of a challenge.
fn wait(pool: &PoolState, request: &AuthorizationRequest, username: &str, challenge: Challenge) -> Response {
    let page = match challenge {
        Challenge::ConfirmSignUp => "/confirmUser",
        Challenge::ForgotPassword => "/confirmForgotPassword",
        Challenge::NewPassword => "/changePassword",
        Challenge::SoftwareToken | Challenge::SoftwareTokenSetup | Challenge::SoftwareTokenReady => "/mfa",
    };
    let session = pool.data().challenges.open(&request.client.id, username, challenge, pool.now());
    messages::set_cookie(messages::redirect(&request.url(page)), CHALLENGE_COOKIE, &session, None)
}

/// A sign-in of this browser that waits.
struct WaitingSignIn {
    /// As in [`super::challenges::ChallengeSession`].
    username: String,
    challenge: Challenge,
    session: String,
}

impl WaitingSignIn {
    /// `None` if it waits for something else, or no longer.
    fn find(
        pool: &PoolState,
        request: &AuthorizationRequest,
        headers: &HeaderMap,
        challenges: &[Challenge],
    ) -> Option<Self> {
        let id = messages::cookie(headers, CHALLENGE_COOKIE)?;
        let found = pool.data().challenges.get(id, pool.now())?;
        let expected = found.client_id == request.client.id && challenges.contains(&found.challenge);
        expected.then(|| Self { username: found.username, challenge: found.challenge, session: id.to_owned() })
    }

    /// The user, unless disabled or deleted meanwhile.
    fn user(&self, pool: &PoolState) -> Option<PoolUser> {
        pool.data().enabled_user(&self.username).cloned()
    }

    fn close(&self, pool: &PoolState) {
        pool.data().challenges.close(&self.session);
    }
}

/// A page with a form for the address `page`.
fn form(request: &AuthorizationRequest, headers: &HeaderMap, page: &str, content: FormPage) -> Response {
    pages::form(headers, |csrf| FormPage { csrf, action: request.url(page), ..content })
}

fn link(request: &AuthorizationRequest, label: &'static str, page: &str) -> HostedUiLink {
    HostedUiLink { label, href: request.url(page) }
}
