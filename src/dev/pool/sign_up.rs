//! Sign-up of native users: the form of the hosted UI and the API do the same.

use super::messages::ApiError;
use super::passwords;
use super::random;
use super::sent_codes::{self, CodePurpose, SentCode};
use super::state::PoolState;
use super::triggers::InvocationError;
use super::users::{PoolUser, UserStatus};
use serde_json::Value;

const PRE_SIGN_UP: &str = "PreSignUp_SignUp";
const POST_CONFIRMATION: &str = "PostConfirmation_ConfirmSignUp";

/// Attributes that people cannot write.
const READ_ONLY: [&str; 3] = ["sub", "identities", "email_verified"];

/// The longest value of an attribute.
const VALUE_LIMIT: usize = 2_048;

/// Attributes as a user may write them.
pub(super) fn check_attributes(attributes: &[(String, String)]) -> Result<(), ApiError> {
    for (name, value) in attributes {
        if READ_ONLY.contains(&name.as_str()) {
            return Err(ApiError::not_authorized("A client attempted to write unauthorized attribute"));
        }
        if value.chars().count() > VALUE_LIMIT {
            return Err(ApiError::invalid_parameter(format!("{name}: value too long")));
        }
        if name == "email" && value.split_once('@').is_none_or(|(local, host)| local.is_empty() || host.is_empty()) {
            return Err(ApiError::invalid_parameter("Invalid email address format."));
        }
    }
    Ok(())
}

/// A new user, unconfirmed unless the trigger confirms, and the code that was sent.
pub(super) async fn sign_up(
    pool: &PoolState,
    client_id: &str,
    username: &str,
    password: &str,
    attributes: Vec<(String, String)>,
) -> Result<(PoolUser, Option<SentCode>), ApiError> {
    if username.is_empty()
        || username.chars().count() > 128
        || username.contains(|c: char| c.is_whitespace() || c.is_control())
    {
        return Err(ApiError::invalid_parameter(
            "Value at 'username' failed to satisfy constraint: [\\p{L}\\p{M}\\p{S}\\p{N}\\p{P}]+",
        ));
    }
    passwords::check_policy(password)?;
    check_attributes(&attributes)?;
    let exists = || ApiError::new("UsernameExistsException", "User already exists");
    if pool.data().user(username).is_some() {
        return Err(exists());
    }
    let mut user = PoolUser::native(username, password, &random::uuid());
    user.status = UserStatus::Unconfirmed;
    user.created = pool.now();
    user.attributes.extend(attributes);
    let response = pool.triggers.pre_sign_up(PRE_SIGN_UP, client_id, &user).await.map_err(refused)?;
    let sent = {
        let now = pool.now();
        let mut data = pool.data();
        let confirmed = apply(&response, &mut user);
        if !data.add_user(user.clone()) {
            return Err(exists());
        }
        let email = user.attributes.get("email").filter(|_| !confirmed);
        email.map(|email| data.sent_codes.send(username, CodePurpose::SignUp, email, now))
    };
    if user.status == UserStatus::Confirmed {
        pool.triggers.post_confirmation(POST_CONFIRMATION, client_id, &user).await.map_err(refused)?;
    }
    Ok((user, sent))
}

/// Whether the trigger says that the address needs no code.
pub(super) fn verify_email(response: &Value, user: &mut PoolUser) {
    if response["autoVerifyEmail"] == true {
        user.attributes.insert("email_verified".to_owned(), "true".to_owned());
    }
}

/// What the trigger decides of a new user; whether it confirms the sign-up.
fn apply(response: &Value, user: &mut PoolUser) -> bool {
    verify_email(response, user);
    let confirmed = response["autoConfirmUser"] == true;
    if confirmed {
        user.status = UserStatus::Confirmed;
    }
    confirmed
}

/// Confirms a sign-up with the code of the mail, which verifies the address too.
pub(super) async fn confirm(
    pool: &PoolState,
    client_id: &str,
    typed: &str,
    code: &str,
    force_alias: bool,
) -> Result<PoolUser, ApiError> {
    let now = pool.now();
    let user = {
        let mut data = pool.data();
        let user = data.native_user(typed).cloned().ok_or_else(sent_codes::expired)?;
        if user.status != UserStatus::Unconfirmed {
            let text = format!("User cannot be confirmed. Current status is {}", user.user_status());
            return Err(ApiError::not_authorized(text));
        }
        let owner = user.attributes.get("email").and_then(|email| data.native_user(email));
        let owner = owner.filter(|owner| owner.username != user.username).map(|owner| owner.username.clone());
        if owner.is_some() && !force_alias {
            return Err(ApiError::new("AliasExistsException", "An account with the email already exists."));
        }
        data.sent_codes.spend(&user.username, CodePurpose::SignUp, code, now)?;
        if let Some(owner) = owner.and_then(|owner| data.user_mut(&owner)) {
            owner.attributes.insert("email_verified".to_owned(), "false".to_owned());
        }
        let user = data.user_mut(&user.username).ok_or_else(sent_codes::expired)?;
        user.status = UserStatus::Confirmed;
        user.attributes.insert("email_verified".to_owned(), "true".to_owned());
        user.clone()
    };
    pool.triggers.post_confirmation(POST_CONFIRMATION, client_id, &user).await.map_err(refused)?;
    Ok(user)
}

/// Sends the code of a sign-up again. The answer is `CodeDeliveryDetails`, for a user who does not exist too.
pub(super) fn resend(pool: &PoolState, typed: &str) -> Result<Value, ApiError> {
    let now = pool.now();
    let mut data = pool.data();
    let Some(user) = data.native_user(typed).cloned() else { return Ok(sent_codes::delivery_details(typed)) };
    if user.status != UserStatus::Unconfirmed {
        return Err(ApiError::invalid_parameter("User is already confirmed."));
    }
    let email = user.attributes.get("email").ok_or_else(|| ApiError::invalid_parameter("User has no email."))?;
    Ok(data.sent_codes.send(&user.username, CodePurpose::SignUp, email, now).delivery())
}

fn refused(failure: InvocationError) -> ApiError {
    failure.exception(ApiError::new("UserLambdaValidationException", "User is not allowed."))
}
