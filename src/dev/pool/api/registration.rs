//! Operations of people who are not signed in: sign-up, and a forgotten password. `SecretHash` comes from an app client
//! that has a secret.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::passwords;
use crate::dev::pool::sign_up;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::users::UserStatus;
use serde_json::{Value, json};

/// The id of the app client, and the name that was typed.
fn caller<'a>(pool: &PoolState, input: &'a Value) -> Result<(String, &'a str), ApiError> {
    let username = required(input, "Username")?;
    Ok((input::client_of(pool, input, username, &input["SecretHash"])?.id, username))
}

pub(super) async fn sign_up(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (client_id, username) = caller(pool, input)?;
    let password = required(input, "Password")?;
    let attributes = if input["UserAttributes"].is_null() { Vec::new() } else { input::attributes(input)? };
    let (user, sent) = sign_up::sign_up(pool, &client_id, username, password, attributes).await?;
    let mut output = json!({ "UserConfirmed": user.status == UserStatus::Confirmed, "UserSub": user.sub });
    if let Some(sent) = sent {
        output["CodeDeliveryDetails"] = sent.delivery();
    }
    Ok(output)
}

pub(super) async fn confirm_sign_up(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (client_id, username) = caller(pool, input)?;
    let code = required(input, "ConfirmationCode")?;
    let force_alias = input["ForceAliasCreation"] == true;
    sign_up::confirm(pool, &client_id, username, code, force_alias).await?;
    Ok(json!({}))
}

pub(super) fn resend_code(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (_, username) = caller(pool, input)?;
    Ok(json!({ "CodeDeliveryDetails": sign_up::resend(pool, username)? }))
}

pub(super) async fn forgot_password(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (client_id, username) = caller(pool, input)?;
    Ok(json!({ "CodeDeliveryDetails": passwords::forgot(pool, &client_id, username).await? }))
}

pub(super) async fn confirm_forgot_password(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (client_id, username) = caller(pool, input)?;
    let (code, password) = (required(input, "ConfirmationCode")?, required(input, "Password")?);
    passwords::confirm_forgot(pool, &client_id, username, code, password).await?;
    Ok(json!({}))
}
