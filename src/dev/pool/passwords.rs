//! Passwords: the policy, the check at a sign-in, and new ones. The exceptions are the API's; the hosted UI shows their
//! messages.

use super::challenges::Challenge;
use super::messages::ApiError;
use super::sent_codes::{self, CodePurpose};
use super::settings::MfaConfiguration;
use super::state::PoolState;
use super::triggers::InvocationError;
use super::users::{PoolUser, UserStatus};
use serde_json::Value;

/// The default policy of a user pool.
pub(super) fn check_policy(password: &str) -> Result<(), ApiError> {
    const SYMBOLS: &str = "^$*.[]{}()?\"!@#%&/\\,><':;|_~`=+- ";
    let lacks = |kind: fn(char) -> bool| !password.chars().any(kind);
    let failing = match () {
        () if password.chars().count() < 8 => "Password not long enough",
        () if lacks(|c| c.is_ascii_uppercase()) => "Password must have uppercase characters",
        () if lacks(|c| c.is_ascii_lowercase()) => "Password must have lowercase characters",
        () if lacks(|c| c.is_ascii_digit()) => "Password must have numeric characters",
        () if lacks(|c| SYMBOLS.contains(c)) => "Password must have symbol characters",
        () => return Ok(()),
    };
    let text = format!("Password did not conform with policy: {failing}");
    Err(ApiError::new("InvalidPasswordException", text))
}

/// The user of a name and a password, who may be one that the user migration trigger knew.
pub(super) async fn authenticate(
    pool: &PoolState,
    client_id: &str,
    typed: &str,
    password: &str,
) -> Result<PoolUser, ApiError> {
    let user = pool.data().native_user(typed).cloned();
    let user = match user {
        Some(user) if user.password.as_deref() != Some(password) => return Err(ApiError::incorrect_password()),
        Some(user) if !user.enabled => return Err(ApiError::not_authorized("User is disabled.")),
        Some(user) => user,
        None if typed.is_empty() || password.is_empty() => return Err(ApiError::incorrect_password()),
        None => {
            let migrated = migrate(pool, client_id, typed, Some(password)).await?;
            migrated.ok_or_else(ApiError::incorrect_password)?
        }
    };
    if user.status == UserStatus::ResetRequired {
        let text = "Password reset required for the user";
        return Err(ApiError::new("PasswordResetRequiredException", text));
    }
    Ok(user)
}

/// What a user has to do after the password. A sign-in is over where this is `None`.
pub(super) fn next_challenge(pool: &PoolState, user: &PoolUser) -> Option<Challenge> {
    let token = &user.software_token;
    match (user.status, pool.mfa) {
        (UserStatus::Unconfirmed, _) => Some(Challenge::ConfirmSignUp),
        (UserStatus::ForceChangePassword, _) => Some(Challenge::NewPassword),
        (_, MfaConfiguration::On) if token.is_verified() => Some(Challenge::SoftwareToken),
        (_, MfaConfiguration::On) => Some(Challenge::SoftwareTokenSetup),
        (_, MfaConfiguration::Optional) if token.enabled => Some(Challenge::SoftwareToken),
        (_, MfaConfiguration::Optional | MfaConfiguration::Off) => None,
    }
}

/// Adds the user whom the trigger knows by this name, if there is one.
async fn migrate(
    pool: &PoolState,
    client_id: &str,
    typed: &str,
    password: Option<&str>,
) -> Result<Option<PoolUser>, ApiError> {
    let mut user = match pool.triggers.user_migration(client_id, typed, password).await {
        Ok(user) => user,
        Err(InvocationError::Refused) => return Ok(None),
        Err(failure) => return Err(failure.exception(ApiError::incorrect_password())),
    };
    user.created = pool.now();
    let mut data = pool.data();
    data.add_user(user.clone());
    Ok(data.user(&user.username).cloned())
}

/// Sends a code for a new password. The answer is `CodeDeliveryDetails`, and the same kind of one for a user who does
/// not exist or cannot be reached (`PreventUserExistenceErrors`).
///
/// # Errors
/// The user migration trigger is out of order; an invitation is open, so that the temporary password has to be used.
pub(super) async fn forgot(pool: &PoolState, client_id: &str, typed: &str) -> Result<Value, ApiError> {
    let simulated = || sent_codes::delivery_details(if typed.contains('@') { typed } else { "user@example.com" });
    let user = pool.data().native_user(typed).cloned();
    let user = match user {
        Some(user) => user,
        None if pool.data().user(typed).is_some() => return Ok(simulated()),
        None => match migrate(pool, client_id, typed, None).await? {
            Some(user) => user,
            None => return Ok(simulated()),
        },
    };
    if user.status == UserStatus::ForceChangePassword {
        return Err(ApiError::not_authorized("User password cannot be reset in the current state."));
    }
    let reachable = user.verified_email().filter(|_| user.enabled && user.status != UserStatus::Unconfirmed);
    let Some(email) = reachable else { return Ok(simulated()) };
    let now = pool.now();
    Ok(pool.data().sent_codes.send(&user.username, CodePurpose::ForgotPassword, email, now).delivery())
}

/// Sets a new password with the code of the mail.
pub(super) async fn confirm_forgot(
    pool: &PoolState,
    client_id: &str,
    typed: &str,
    code: &str,
    password: &str,
) -> Result<(), ApiError> {
    check_policy(password)?;
    let now = pool.now();
    let user = {
        let mut data = pool.data();
        let username = data.native_user(typed).map(|user| user.username.clone()).ok_or_else(sent_codes::expired)?;
        data.sent_codes.spend(&username, CodePurpose::ForgotPassword, code, now)?;
        set(data.user_mut(&username).ok_or_else(sent_codes::expired)?, password).clone()
    };
    let called = pool.triggers.post_confirmation("PostConfirmation_ConfirmForgotPassword", client_id, &user).await;
    called.map_err(|failure| failure.exception(ApiError::not_authorized("User is not allowed.")))
}

/// Takes the temporary password's place.
pub(super) fn replace_temporary(pool: &PoolState, username: &str, password: &str) -> Result<PoolUser, ApiError> {
    check_policy(password)?;
    pool.data().user_mut(username).map(|user| set(user, password).clone()).ok_or_else(ApiError::user_not_found)
}

/// A new password that the user has chosen.
pub(super) fn set<'a>(user: &'a mut PoolUser, password: &str) -> &'a PoolUser {
    user.password = Some(password.to_owned());
    user.status = UserStatus::Confirmed;
    user
}
