//! What a user may do with an access token alone: no signature, `AccessToken` in the body.

use serde_json::{Value, json};

use super::api::{ApiError, text};
use super::state::PoolState;
use super::tokens;
use super::users::PoolUser;

const SCOPE: &str = "aws.cognito.signin.user.admin";

/// Attributes that a user cannot write.
const FIXED: [&str; 3] = ["sub", "identities", "email_verified"];

pub(super) fn get_user(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized(pool, input)?;
    let world = pool.world();
    let user = world.user(&username).ok_or_else(ApiError::no_user)?;
    Ok(json!({ "Username": user.username, "UserAttributes": attributes(user) }))
}

pub(super) fn update_user_attributes(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized(pool, input)?;
    let listed =
        input.get("UserAttributes").and_then(Value::as_array).ok_or_else(|| ApiError::missing("userAttributes"))?;
    let mut change = Vec::new();
    for item in listed {
        let (name, value) = (text(item, "Name")?, item.get("Value").and_then(Value::as_str).unwrap_or_default());
        if FIXED.contains(&name) {
            return Err(ApiError::new("NotAuthorizedException", "A client attempted to write unauthorized attribute"));
        }
        if value.chars().count() > 2_048 {
            return Err(ApiError::new("InvalidParameterException", format!("{name}: value too long")));
        }
        change.push((name.to_owned(), value.to_owned()));
    }
    let mut world = pool.world();
    let user = world.user_mut(&username).ok_or_else(ApiError::no_user)?;
    user.attributes.extend(change);
    Ok(json!({ "CodeDeliveryDetailsList": [] }))
}

pub(super) fn global_sign_out(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let username = authorized(pool, input)?;
    pool.world().sign_out_everywhere(&username);
    Ok(json!({}))
}

/// The user of a token that the pool still takes.
fn authorized(pool: &PoolState, input: &Value) -> Result<String, ApiError> {
    let refuse = |message: &str| ApiError::new("NotAuthorizedException", message);
    let claims = tokens::read_access_token(pool, text(input, "AccessToken")?);
    let claims = claims.ok_or_else(|| refuse("Invalid Access Token"))?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if !claim("scope").split_whitespace().any(|scope| scope == SCOPE) {
        return Err(refuse("Access Token does not have required scopes"));
    }
    let world = pool.world();
    if world.is_revoked_origin(claim("origin_jti")) {
        return Err(refuse("Access Token has been revoked"));
    }
    let user = world.user(claim("username")).ok_or_else(ApiError::no_user)?;
    if !user.enabled {
        return Err(refuse("User is disabled."));
    }
    Ok(user.username.clone())
}

fn attributes(user: &PoolUser) -> Vec<Value> {
    let identities = user.identities_attribute().map(|identities| ("identities", identities));
    let all = user.attributes.iter().map(|(name, value)| (name.as_str(), value.clone()));
    let all = [("sub", user.sub.clone())].into_iter().chain(all).chain(identities);
    all.map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
}
