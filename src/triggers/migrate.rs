//! Users who come over from the legacy system when they first sign in, or when they have forgotten their password.

use super::refusal::TriggerFailure;
use super::settings::TriggerSettings;
use crate::domain::user::is_true;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What was typed as the user name.
///
/// # Errors
/// [`TriggerFailure::Event`].
pub fn username(event: &Value) -> Result<&str, TriggerFailure> {
    let name = event.get("userName").and_then(Value::as_str).filter(|name| !name.is_empty());
    name.ok_or(TriggerFailure::Event("it has no user name"))
}

/// The user name and the password.
///
/// # Errors
/// [`TriggerFailure::Event`].
pub fn credentials(event: &Value) -> Result<(&str, &str), TriggerFailure> {
    let password = event.pointer("/request/password").and_then(Value::as_str).filter(|password| !password.is_empty());
    Ok((username(event)?, password.ok_or(TriggerFailure::Event("it has no password"))?))
}

/// The legacy system's fields as attributes of the pool. An address counts as verified only if the legacy system is
/// said to verify them, or says so of this one.
///
/// # Errors
/// [`TriggerFailure::Unavailable`] if none of the fields is there: that is no user.
pub fn attributes(
    fields: &Map<String, Value>,
    settings: &TriggerSettings,
) -> Result<BTreeMap<String, String>, TriggerFailure> {
    let mut attributes = BTreeMap::new();
    for (attribute, field) in &settings.attributes {
        let value = match fields.get(field) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(value @ (Value::Number(_) | Value::Bool(_))) => value.to_string(),
            _ => continue,
        };
        attributes.insert(attribute.clone(), value);
    }
    for address in ["email", "phone_number"] {
        let flag = format!("{address}_verified");
        let said = attributes.remove(&flag).is_some_and(|said| is_true(&Value::String(said)));
        if attributes.contains_key(address) {
            let verified = said || settings.verifies.iter().any(|one| one == address);
            attributes.insert(flag, verified.to_string());
        }
    }
    if attributes.is_empty() {
        return Err(TriggerFailure::Unavailable(
            "the legacy system: an answer with none of the fields of ATTRIBUTE_MAP".into(),
        ));
    }
    Ok(attributes)
}

/// Whether a code can be sent to the user.
///
/// # Errors
/// [`TriggerFailure::Unreachable`].
pub fn can_be_reached(attributes: &BTreeMap<String, String>) -> Result<(), TriggerFailure> {
    let verified = |name: &str| attributes.get(name).is_some_and(|value| value == "true");
    let reached = verified("email_verified") || verified("phone_number_verified");
    reached.then_some(()).ok_or(TriggerFailure::Unreachable)
}

/// The event with the user in its response: confirmed, and without a message of welcome.
///
/// # Errors
/// [`TriggerFailure::Event`].
pub fn accept(event: &Value, attributes: BTreeMap<String, String>) -> Result<Value, TriggerFailure> {
    let mut event = event.clone();
    let whole = event.as_object_mut().ok_or(TriggerFailure::Event("it is no object"))?;
    let response = whole.entry("response").or_insert(Value::Null);
    if !response.is_object() {
        *response = json!({});
    }
    response["userAttributes"] = json!(attributes);
    response["finalUserStatus"] = "CONFIRMED".into();
    response["messageAction"] = "SUPPRESS".into();
    Ok(event)
}
