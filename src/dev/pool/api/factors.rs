//! Operations on a user's factors, with an access token or with the `Session` of a sign-in that waits for the set-up.

use super::input;
use crate::dev::pool::challenges::{Challenge, ChallengeSession};
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::settings::MfaConfiguration;
use crate::dev::pool::state::PoolState;
use serde_json::{Value, json};

/// The name of the user, and the sign-in if there is one.
type TokenOwner = (String, Option<ChallengeSession>);

fn owner(pool: &PoolState, input: &Value) -> Result<TokenOwner, ApiError> {
    if pool.mfa == MfaConfiguration::Off {
        let text = "Software Token MFA has not been enabled by the userPool";
        return Err(ApiError::new("SoftwareTokenMFANotFoundException", text));
    }
    let Some(id) = input["Session"].as_str() else { return Ok((input::authorized_user(pool, input)?, None)) };
    let session = pool.data().challenges.get(id, pool.now());
    let session = session.filter(|session| session.challenge == Challenge::SoftwareTokenSetup);
    let session = session.ok_or_else(|| ApiError::not_authorized("Invalid session for the user."))?;
    Ok((session.username.clone(), Some(session)))
}

/// Adds the `Session` with which the sign-in goes on, in place of the one in the input.
fn reopen(pool: &PoolState, input: &Value, session: Option<&ChallengeSession>, next: Challenge, output: &mut Value) {
    if let (Some(id), Some(session)) = (input["Session"].as_str(), session) {
        let mut data = pool.data();
        data.challenges.close(id);
        output["Session"] = data.challenges.open(&session.client_id, &session.username, next, pool.now()).into();
    }
}

pub(super) fn associate(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let (username, session) = owner(pool, input)?;
    let secret = pool.data().user_mut(&username).map(|user| user.software_token.associate());
    let mut output = json!({ "SecretCode": secret.ok_or_else(ApiError::user_not_found)? });
    reopen(pool, input, session.as_ref(), Challenge::SoftwareTokenSetup, &mut output);
    Ok(output)
}

pub(super) fn verify(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let code = required(input, "UserCode")?;
    let (username, session) = owner(pool, input)?;
    let now = pool.now();
    {
        let mut data = pool.data();
        let token = &mut data.user_mut(&username).ok_or_else(ApiError::user_not_found)?.software_token;
        token.verify(code, now)?;
        // At a sign-in the pool wants it; elsewhere SetUserMFAPreference decides.
        if session.is_some() {
            token.prefer();
        }
    }
    let mut output = json!({ "Status": "SUCCESS" });
    reopen(pool, input, session.as_ref(), Challenge::SoftwareTokenReady, &mut output);
    Ok(output)
}

pub(super) fn set_preference(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let settings = &input["SoftwareTokenMfaSettings"];
    let mut data = pool.data();
    let token = &mut data.user_mut(&username).ok_or_else(ApiError::user_not_found)?.software_token;
    let enabled = settings["Enabled"].as_bool().unwrap_or(token.enabled);
    if enabled && !token.is_verified() {
        return Err(ApiError::invalid_parameter("User has not verified software token mfa"));
    }
    token.enabled = enabled;
    token.preferred = enabled && settings["PreferredMfa"].as_bool().unwrap_or(token.preferred);
    Ok(json!({}))
}

pub(super) fn list_factors(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let data = pool.data();
    let user = data.user(&username).ok_or_else(ApiError::user_not_found)?;
    let mut output = json!({ "Username": username });
    if user.password.is_some() {
        output["ConfiguredUserAuthFactors"] = json!(["PASSWORD"]);
    }
    input::add_factors(&mut output, user);
    Ok(output)
}

/// The pool does not remember devices.
pub(super) fn list_devices(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::authorized_user(pool, input)?;
    Ok(json!({ "Devices": [] }))
}
