//! `/signup` and `/confirmUser`: a new native user, whom the code of the mail confirms.

use super::login;
use super::{WaitingSignIn, advance, form, link};
use crate::dev::pool::authorize::{self, AuthorizationRequest, AuthorizeError};
use crate::dev::pool::challenges::Challenge;
use crate::dev::pool::messages::Params;
use crate::dev::pool::pages::{FormField, FormPage};
use crate::dev::pool::sent_codes;
use crate::dev::pool::sign_up;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::users::PoolUser;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

const CONFIRMS: [Challenge; 1] = [Challenge::ConfirmSignUp];

pub(super) async fn page(request: AuthorizationRequest, headers: HeaderMap) -> Response {
    show(&request, &headers, &Params::default(), None)
}

pub(super) async fn submit(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let email = form.get("email").unwrap_or_default();
    let username = form.get("username").unwrap_or(email);
    let attributes = [("email", Some(email)), ("name", form.get("name"))];
    let attributes = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    let password = form.get("password").unwrap_or_default();
    let signed_up = sign_up::sign_up(&pool, &request.client.id, username, password, attributes.collect()).await;
    Ok(match signed_up {
        Ok((user, _)) => advance(&pool, &request, &headers, &user).await,
        Err(error) => show(&request, &headers, &form, Some(error.message())),
    })
}

fn show(request: &AuthorizationRequest, headers: &HeaderMap, typed: &Params, error: Option<&str>) -> Response {
    let username = FormField {
        hint: Some("Leave it empty to sign in with the e-mail address."),
        optional: true,
        ..FormField::text("username", "Username", "username").with(typed.get("username"))
    };
    let email = FormField { kind: "email", ..FormField::text("email", "E-mail", "email").with(typed.get("email")) };
    let password = FormField {
        hint: Some("At least 8 characters, with an upper case and a lower case letter, a digit and a symbol."),
        ..FormField::new_password("password", "Password")
    };
    let content = FormPage {
        title: "Sign up",
        lead: "Create a new account.".to_owned(),
        error: error.map(str::to_owned),
        fields: vec![username, email, FormField::text("name", "Name", "name").with(typed.get("name")), password],
        submit: "Sign up",
        links: vec![link(request, "Already have an account? Sign in", "/login")],
        ..FormPage::default()
    };
    form(request, headers, "/signup", content)
}

pub(super) async fn confirmation_page(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
) -> Response {
    let user = WaitingSignIn::find(&pool, &request, &headers, &CONFIRMS).and_then(|waiting| waiting.user(&pool));
    let Some(user) = user else { return login::expired(&request, &headers) };
    show_confirmation(&request, &headers, &user, None, None)
}

pub(super) async fn confirm(
    State(pool): State<Arc<PoolState>>,
    request: AuthorizationRequest,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AuthorizeError> {
    let form = authorize::submitted(&headers, &body)?;
    let waiting = WaitingSignIn::find(&pool, &request, &headers, &CONFIRMS);
    let Some((waiting, user)) = waiting.and_then(|waiting| waiting.user(&pool).map(|user| (waiting, user))) else {
        return Ok(login::expired(&request, &headers));
    };
    let show = |error: Option<&str>, notice| show_confirmation(&request, &headers, &user, error, notice);
    if form.get("resend").is_some() {
        return Ok(match sign_up::resend(&pool, &user.username) {
            Ok(_) => show(None, Some("A new code has been sent.")),
            Err(error) => show(Some(error.message()), None),
        });
    }
    let code = form.get("code").unwrap_or_default();
    Ok(match sign_up::confirm(&pool, &request.client.id, &user.username, code, false).await {
        Ok(user) => {
            waiting.close(&pool);
            advance(&pool, &request, &headers, &user).await
        }
        Err(error) => show(Some(error.message()), None),
    })
}

fn show_confirmation(
    request: &AuthorizationRequest,
    headers: &HeaderMap,
    user: &PoolUser,
    error: Option<&str>,
    notice: Option<&'static str>,
) -> Response {
    let email = sent_codes::masked(user.attributes.get("email").map_or("", String::as_str));
    let content = FormPage {
        title: "Confirm your account",
        lead: format!("We have sent a code by email to {email}. Enter it below to confirm your account."),
        error: error.map(str::to_owned),
        notice,
        fields: vec![FormField::code()],
        submit: "Confirm account",
        resend: true,
        links: vec![link(request, "Sign in as somebody else", "/login")],
        ..FormPage::default()
    };
    form(request, headers, "/confirmUser", content)
}
