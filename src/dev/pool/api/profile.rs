//! Operations of a user with an access token: the attributes, the password, the account.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::passwords;
use crate::dev::pool::sent_codes::CodePurpose;
use crate::dev::pool::sign_up;
use crate::dev::pool::state::PoolState;
use serde_json::{Value, json};

const EMAIL: &str = "email";
const EMAIL_VERIFIED: &str = "email_verified";

pub(super) fn get_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let data = pool.data();
    let user = data.user(&username).ok_or_else(ApiError::user_not_found)?;
    let mut output = json!({ "Username": user.username, "UserAttributes": input::attribute_list(user) });
    input::add_factors(&mut output, user);
    Ok(output)
}

/// A new address gets a code. It takes the old one's place at once, unverified; or only with the code, as the pool has
/// it set.
pub(super) fn update_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let mut changes = input::attributes(input)?;
    sign_up::check_attributes(&changes)?;
    let now = pool.now();
    let mut data = pool.data();
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    let new = |(name, value): &&(String, String)| name == EMAIL && user.attributes.get(EMAIL) != Some(value);
    let email = changes.iter().find(new).map(|(_, value)| value.clone());
    if email.is_some() {
        if pool.attributes_require_verification {
            changes.retain(|(name, _)| name != EMAIL);
        } else {
            changes.push((EMAIL_VERIFIED.to_owned(), "false".to_owned()));
        }
    }
    user.attributes.extend(changes);
    let purpose = CodePurpose::Attribute(EMAIL.to_owned());
    let sent = email.map(|email| data.sent_codes.send(&username, purpose, &email, now).delivery());
    Ok(json!({ "CodeDeliveryDetailsList": sent.into_iter().collect::<Vec<_>>() }))
}

pub(super) fn get_attribute_code(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let purpose = CodePurpose::Attribute(verifiable(input)?.to_owned());
    let now = pool.now();
    let mut data = pool.data();
    let pending = data.sent_codes.pending_value(&username, &purpose).map(str::to_owned);
    let email = pending.or_else(|| data.user(&username)?.attributes.get(EMAIL).cloned());
    let email = email.ok_or_else(|| ApiError::invalid_parameter("User does not have the attribute email."))?;
    Ok(json!({ "CodeDeliveryDetails": data.sent_codes.send(&username, purpose, &email, now).delivery() }))
}

pub(super) fn verify_attribute(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = input::authorized_user(pool, input)?;
    let purpose = CodePurpose::Attribute(verifiable(input)?.to_owned());
    let code = required(input, "Code")?;
    let now = pool.now();
    let mut data = pool.data();
    let email = data.sent_codes.spend(&username, purpose, code, now)?;
    if data.native_user(&email).is_some_and(|owner| owner.username != username) {
        return Err(ApiError::new("AliasExistsException", "An account with the email already exists."));
    }
    let user = data.user_mut(&username).ok_or_else(ApiError::user_not_found)?;
    user.attributes.extend([(EMAIL.to_owned(), email), (EMAIL_VERIFIED.to_owned(), "true".to_owned())]);
    Ok(json!({}))
}

/// Only an e-mail address can be verified here: the pool sends no text messages.
fn verifiable(input: &Value) -> Result<&str, ApiError> {
    let name = required(input, "AttributeName")?;
    if name == EMAIL { Ok(name) } else { Err(ApiError::invalid_parameter(format!("Cannot verify attribute {name}."))) }
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
