//! `/forgotPassword` and `/confirmForgotPassword`: a new password with a code of the mail. `/changePassword`: one in
//! place of the temporary password of an invitation.

use super::login;
use super::{WaitingSignIn, advance, form, link, wait};
use crate::dev::pool::authorize::{self, AuthorizationRequest, AuthorizeError};
use crate::dev::pool::challenges::Challenge;
use crate::dev::pool::messages::Params;
use crate::dev::pool::pages::{FormField, FormPage};
use crate::dev::pool::passwords;
use crate::dev::pool::state::PoolState;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

const MISMATCH: &str = "The two passwords are not the same.";

pub(super) async fn page(request: AuthorizationRequest, headers: HeaderMap) -> Response {
    show(&request, &headers, request.params.get("login_hint"), None)
}

pub(super) async fn submit(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let Some(username) = form.get("username") else { return Ok(show(&request, &headers, None, None)) };
    Ok(match passwords::forgot(&pool, &request.client.id, username).await {
        Ok(_) => wait(&pool, &request, username, Challenge::ForgotPassword),
        Err(error) => show(&request, &headers, Some(username), Some(error.message())),
    })
}

fn show(request: &AuthorizationRequest, headers: &HeaderMap, username: Option<&str>, error: Option<&str>) -> Response {
    let content = FormPage {
        title: "Forgot your password?",
        lead: "Enter your username or e-mail address below, and we will send a code to reset your password.".to_owned(),
        error: error.map(str::to_owned),
        fields: vec![FormField::text("username", "Username", "username").with(username)],
        submit: "Reset my password",
        links: vec![link(request, "Back to sign in", "/login")],
        ..FormPage::default()
    };
    form(request, headers, "/forgotPassword", content)
}

pub(super) async fn confirmation_page(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Response {
    match WaitingSignIn::find(&pool, &request, &headers, &[Challenge::ForgotPassword]) {
        Some(_) => show_confirmation(&request, &headers, None, None),
        None => login::expired(&request, &headers),
    }
}

pub(super) async fn confirm(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let Some(waiting) = WaitingSignIn::find(&pool, &request, &headers, &[Challenge::ForgotPassword]) else {
        return Ok(login::expired(&request, &headers));
    };
    let (client_id, username) = (&request.client.id, waiting.username.as_str());
    if form.get("resend").is_some() {
        return Ok(match passwords::forgot(&pool, client_id, username).await {
            Ok(_) => show_confirmation(&request, &headers, None, Some("A new code has been sent.")),
            Err(error) => show_confirmation(&request, &headers, Some(error.message()), None),
        });
    }
    let Some(password) = chosen_password(&form) else {
        return Ok(show_confirmation(&request, &headers, Some(MISMATCH), None));
    };
    let code = form.get("code").unwrap_or_default();
    Ok(match passwords::confirm_forgot(&pool, client_id, username, code, password).await {
        Ok(()) => {
            waiting.close(&pool);
            login::show(&request, &headers, username, None, Some("Your password has been changed. Sign in with it."))
        }
        Err(error) => show_confirmation(&request, &headers, Some(error.message()), None),
    })
}

fn show_confirmation(
    request: &AuthorizationRequest,
    headers: &HeaderMap,
    error: Option<&str>,
    notice: Option<&'static str>,
) -> Response {
    let content = FormPage {
        title: "Change your password",
        // The same for a user who does not exist.
        lead: "We have sent a password reset code by email, if we know you. Enter it below to reset your password."
            .to_owned(),
        error: error.map(str::to_owned),
        notice,
        fields: [FormField::code()].into_iter().chain(password_fields()).collect(),
        submit: "Change password",
        resend: true,
        links: vec![link(request, "Back to sign in", "/login")],
        ..FormPage::default()
    };
    form(request, headers, "/confirmForgotPassword", content)
}

pub(super) async fn change_page(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Response {
    match WaitingSignIn::find(&pool, &request, &headers, &[Challenge::NewPassword]) {
        Some(_) => show_change(&request, &headers, None),
        None => login::expired(&request, &headers),
    }
}

pub(super) async fn change(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let waiting = WaitingSignIn::find(&pool, &request, &headers, &[Challenge::NewPassword]);
    let Some(waiting) = waiting.filter(|waiting| waiting.user(&pool).is_some()) else {
        return Ok(login::expired(&request, &headers));
    };
    let Some(password) = chosen_password(&form) else {
        return Ok(show_change(&request, &headers, Some(MISMATCH)));
    };
    Ok(match passwords::replace_temporary(&pool, &waiting.username, password) {
        Ok(user) => {
            waiting.close(&pool);
            advance(&pool, &request, &headers, &user).await
        }
        Err(error) => show_change(&request, &headers, Some(error.message())),
    })
}

fn show_change(request: &AuthorizationRequest, headers: &HeaderMap, error: Option<&str>) -> Response {
    let content = FormPage {
        title: "Change password",
        lead: "Please enter your new password below.".to_owned(),
        error: error.map(str::to_owned),
        fields: password_fields().into(),
        submit: "Send",
        ..FormPage::default()
    };
    form(request, headers, "/changePassword", content)
}

fn password_fields() -> [FormField; 2] {
    let again = FormField::new_password("again", "Enter new password again");
    [FormField::new_password("password", "New password"), again]
}

/// The new password, if it was typed twice.
fn chosen_password(form: &Params) -> Option<&str> {
    let password = form.get("password").unwrap_or_default();
    (form.get("again").unwrap_or_default() == password).then_some(password)
}
