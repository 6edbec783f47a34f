//! Operations of a user with an access token: the attributes, the password, the account.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::passwords;
use crate::dev::pool::sent_codes::CodePurpose;
use crate::dev::pool::sign_up;
use crate::dev::pool::state::PoolState;
use serde_json::{Value, json};

/// The attributes that a code verifies.
const VERIFIABLE: [&str; 2] = ["email", "phone_number"];

pub(super) fn get_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let data = pool.data();
    let user = data.user(&username).ok_or_else(ApiError::user_not_found)?;
    let mut output = json!({ "Username": user.username, "UserAttributes": input::attribute_list(user) });
    input::add_factors(&mut output, user);
    Ok(output)
}

/// A new address or phone number gets a code. It takes the old one's place at once, unverified; or only with the code, as the pool has
/// it set.
pub(super) fn update_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let mut changes = input::attributes(input)?;
    sign_up::check_attributes(&changes)?;
    let now = pool.now();
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    let is_new = |(name, value): &&(String, String)| {
        VERIFIABLE.contains(&name.as_str()) && user.attributes.get(name) != Some(value)
    };
    let addresses: Vec<_> = changes.iter().filter(is_new).cloned().collect();
    if pool.attributes_require_verification {
        changes.retain(|(name, _)| addresses.iter().all(|(address, _)| address != name));
    } else {
        changes.extend(addresses.iter().map(|(name, _)| (format!("{name}_verified"), "false".to_owned())));
    }
    user.attributes.extend(changes);
    let sent: Vec<_> = addresses
        .into_iter()
        .map(|(name, value)| data.sent_codes.send(&username, CodePurpose::Attribute(name), &value, now).delivery())
        .collect();
    Ok(json!({ "CodeDeliveryDetailsList": sent }))
}

pub(super) fn get_attribute_code(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let name = verifiable(input)?;
    let purpose = CodePurpose::Attribute(name.to_owned());
    let now = pool.now();
    let mut data = pool.data();
    let pending = data.sent_codes.pending_value(&username, &purpose).map(str::to_owned);
    let value = pending.or_else(|| data.user(&username)?.attributes.get(name).cloned());
    let text = format!("User does not have the attribute {name}.");
    let value = value.ok_or_else(|| ApiError::invalid_parameter(text))?;
    Ok(json!({ "CodeDeliveryDetails": data.sent_codes.send(&username, purpose, &value, now).delivery() }))
}

pub(super) fn verify_attribute(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let name = verifiable(input)?;
    let code = required(input, "Code")?;
    let now = pool.now();
    let mut data = pool.data();
    let value = data.sent_codes.spend(&username, CodePurpose::Attribute(name.to_owned()), code, now)?;
    // Only an e-mail address is a name to sign in with.
    let is_taken = name == "email" && data.native_user(&value).is_some_and(|owner| owner.username != username);
    if is_taken {
        return Err(ApiError::new("AliasExistsException", "An account with the email already exists."));
    }
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    user.attributes.extend([(name.to_owned(), value), (format!("{name}_verified"), "true".to_owned())]);
    Ok(json!({}))
}

fn verifiable(input: &Value) -> Result<&str, ApiError> {
    let name = required(input, "AttributeName")?;
    match VERIFIABLE.contains(&name) {
        true => Ok(name),
        false => Err(ApiError::invalid_parameter(format!("Cannot verify attribute {name}."))),
    }
}

pub(super) fn delete_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let names = input["UserAttributeNames"].as_array();
    let names = names.ok_or_else(|| ApiError::missing_parameter("userAttributeNames"))?;
    let names: Vec<(String, String)> =
        names.iter().filter_map(Value::as_str).map(|name| (name.to_owned(), "@deleted@".to_owned())).collect();
    sign_up::check_attributes(&names)?;
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    for (name, _) in names {
        user.attributes.remove(&name);
        user.attributes.remove(&format!("{name}_verified"));
    }
    Ok(json!({}))
}

pub(super) fn change_password(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let (previous, proposed) = (required(input, "PreviousPassword")?, required(input, "ProposedPassword")?);
    let mut data = pool.data();
    let user = data.user_mut(&username).filter(|user| user.password.as_deref() == Some(previous));
    let user = user.ok_or_else(ApiError::incorrect_password)?;
    passwords::check_policy(proposed)?;
    passwords::set(user, proposed);
    Ok(json!({}))
}

pub(super) fn delete_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    pool.data().delete_user(&username);
    Ok(Value::Null)
}

pub(super) fn global_sign_out(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    pool.data().sign_out_globally(&username);
    Ok(json!({}))
}
