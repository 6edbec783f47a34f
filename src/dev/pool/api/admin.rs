//! Operations of an administrator on users.

use super::input;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::passwords;
use crate::dev::pool::random;
use crate::dev::pool::sent_codes::CodePurpose;
use crate::dev::pool::sign_up;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::users::{FederatedIdentity, PoolUser, UserStatus};
use serde_json::{Value, json};

pub(super) fn get_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let mut data = pool.data();
    let user = input::named_user(pool, &mut data, input)?;
    let mut output = input::listed(user);
    if let Some(attributes) = output.as_object_mut().and_then(|output| output.remove("Attributes")) {
        output["UserAttributes"] = attributes;
    }
    input::add_factors(&mut output, user);
    Ok(output)
}

/// What the pool is, as far as anybody asks here.
pub(super) fn describe_pool(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let users = pool.data().users.len();
    Ok(json!({ "UserPool": { "Id": input["UserPoolId"], "EstimatedNumberOfUsers": users } }))
}

/// A user with a temporary password, which goes to the user's address unless `MessageAction` is `SUPPRESS`.
pub(super) async fn create_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let username = required(input, "Username")?;
    let exists = || ApiError::new("UsernameExistsException", "User account already exists");
    if pool.data().user(username).is_some() {
        return Err(exists());
    }
    let generated = || format!("{}Aa1!", random::text(9));
    let password = input["TemporaryPassword"].as_str().map_or_else(generated, str::to_owned);
    passwords::check_policy(&password)?;
    let mut user = PoolUser::native(username, &password, &random::uuid());
    user.status = UserStatus::ForceChangePassword;
    user.created = pool.now();
    if !input["UserAttributes"].is_null() {
        user.attributes.extend(input::attributes(input)?);
    }
    let called = pool.triggers.pre_sign_up("PreSignUp_AdminCreateUser", "CLIENT_ID_NOT_APPLICABLE", &user).await;
    let refusal = ApiError::new("UserLambdaValidationException", "User is not allowed.");
    sign_up::verify_email(&called.map_err(|failure| failure.exception(refusal))?, &mut user);
    let mut data = pool.data();
    if !data.add_user(user.clone()) {
        return Err(exists());
    }
    if let Some(email) = user.attributes.get("email").filter(|_| input["MessageAction"] != "SUPPRESS") {
        data.sent_codes.deliver(username, CodePurpose::Invitation, email, password);
    }
    Ok(json!({ "User": input::listed(&user) }))
}

pub(super) fn delete_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let mut data = pool.data();
    let username = input::named_user(pool, &mut data, input)?.username.clone();
    data.delete_user(&username);
    Ok(Value::Null)
}

pub(super) fn enable_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::named_user(pool, &mut pool.data(), input)?.enabled = true;
    Ok(json!({}))
}

/// All tokens of the user are dead from now on, even if the user is enabled again.
pub(super) fn disable_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::named_user(pool, &mut pool.data(), input)?.enabled = false;
    global_sign_out(pool, input)
}

pub(super) fn global_sign_out(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let mut data = pool.data();
    let username = input::named_user(pool, &mut data, input)?.username.clone();
    data.sign_out_globally(&username);
    Ok(json!({}))
}

pub(super) fn set_password(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let password = required(input, "Password")?;
    passwords::check_policy(password)?;
    let mut data = pool.data();
    let user = input::named_user(pool, &mut data, input)?;
    if user.is_federated() {
        return Err(ApiError::invalid_parameter("A federated user has no password."));
    }
    passwords::set(user, password);
    if input["Permanent"] != true {
        user.status = UserStatus::ForceChangePassword;
    }
    Ok(json!({}))
}

/// A new address is not verified, unless the administrator says so.
pub(super) fn update_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let changes = input::attributes(input)?;
    let mut data = pool.data();
    let user = input::named_user(pool, &mut data, input)?;
    if changes.iter().any(|(name, value)| name == "email" && user.attributes.get(name) != Some(value)) {
        user.attributes.insert("email_verified".to_owned(), "false".to_owned());
    }
    user.attributes.extend(changes);
    Ok(json!({}))
}

pub(super) fn link_provider_for_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    input::this_pool(pool, input)?;
    let part = |side: &str, name: &str| {
        let value = input[side][name].as_str().map(str::to_owned);
        value.ok_or_else(|| ApiError::invalid_parameter(format!("{side} has no {name}")))
    };
    if part("SourceUser", "ProviderAttributeName")? != "Cognito_Subject" {
        return Err(ApiError::invalid_parameter("Invalid source user: Cognito_Subject is required"));
    }
    let (provider, user_id) = (part("SourceUser", "ProviderName")?, part("SourceUser", "ProviderAttributeValue")?);
    let (at, id) = (part("DestinationUser", "ProviderName")?, part("DestinationUser", "ProviderAttributeValue")?);
    let created_ms = pool.now().saturating_mul(1000);
    let mut data = pool.data();
    // A federated user is named by the id at the provider.
    let target = match at.as_str() {
        "Cognito" => data.user(&id).filter(|user| !user.is_federated()),
        provider => data.user_with_identity(provider, &id),
    };
    let target = target.ok_or_else(ApiError::user_not_found)?.username.clone();
    if let Some(owner) = data.user_with_identity(&provider, &user_id) {
        return Err(ApiError::invalid_parameter(if owner.username == target {
            "SourceUser is already linked to DestinationUser"
        } else {
            "Merging is not currently supported, provide a SourceUser that has not been signed up in order to link"
        }));
    }
    let user = data.user_mut(&target).ok_or_else(ApiError::user_not_found)?;
    user.identities.push(FederatedIdentity { provider, user_id, created_ms });
    Ok(json!({}))
}
