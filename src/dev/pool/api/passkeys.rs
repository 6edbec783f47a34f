//! Operations on a user's passkeys, with an access token.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::state::PoolState;
use serde_json::{Value, json};

pub(super) fn start(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    let options = user.passkeys.begin(&user.sub, &user.username);
    Ok(json!({ "CredentialCreationOptions": options }))
}

pub(super) fn complete(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let now = pool.now();
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    user.passkeys.complete(&input["Credential"], now).map(|()| json!({}))
}

pub(super) fn list(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let data = pool.data();
    let user = data.user(&username).ok_or_else(ApiError::user_not_found)?;
    Ok(json!({ "Credentials": user.passkeys.list() }))
}

pub(super) fn delete(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let id = required(input, "CredentialId")?;
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    user.passkeys.delete(id).map(|()| json!({}))
}
