//! What operations read and write alike: the app client, the user of an access token, lists of attributes, a user.

use crate::dev::pool::data::PoolData;
use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::settings::AppClient;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::tokens::TokenClaims;
use crate::dev::pool::users::PoolUser;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The user of an access token with the scope of these operations.
pub(super) fn authorized_user(pool: &PoolState, input: &Value) -> Result<String, ApiError> {
    let claims = TokenClaims::from_access_token(pool, required(input, "AccessToken")?);
    let claims = claims.ok_or_else(|| ApiError::not_authorized("Invalid Access Token"))?;
    if !claims.scopes().iter().any(|scope| scope == "aws.cognito.signin.user.admin") {
        return Err(ApiError::not_authorized("Access Token does not have required scopes"));
    }
    let data = pool.data();
    if data.is_revoked_origin(&claims.origin_jti) {
        return Err(ApiError::not_authorized("Access Token has been revoked"));
    }
    // A new user of an old name is somebody else.
    let user =
        data.user(&claims.username).filter(|user| user.sub == claims.sub).ok_or_else(ApiError::user_not_found)?;
    if !user.enabled {
        return Err(ApiError::not_authorized("User is disabled."));
    }
    Ok(user.username.clone())
}

/// The app client that the input names.
pub(super) fn client(pool: &PoolState, input: &Value) -> Result<AppClient, ApiError> {
    let id = required(input, "ClientId")?;
    let client = pool.data().clients.get(id).cloned();
    let text = format!("User pool client {id} does not exist.");
    client.ok_or_else(|| ApiError::new("ResourceNotFoundException", text))
}

/// The same with the proof of a client that has a secret: base64 of HMAC-SHA256 over user name and client id.
pub(super) fn client_of(
    pool: &PoolState,
    input: &Value,
    username: &str,
    secret_hash: &Value,
) -> Result<AppClient, ApiError> {
    let client = client(pool, input)?;
    let id = &client.id;
    let Some(secret) = &client.secret else { return Ok(client) };
    let Some(presented) = secret_hash.as_str() else {
        let text = format!("Client {id} is configured with secret but SECRET_HASH was not received");
        return Err(ApiError::not_authorized(text));
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = STANDARD.decode(presented).unwrap_or_default();
    let proved = hmac::verify(&key, format!("{username}{id}").as_bytes(), &tag);
    proved.map_err(|_| ApiError::not_authorized(format!("Unable to verify secret hash for client {id}")))?;
    Ok(client)
}

/// The user whom an administrator names.
pub(super) fn named_user<'a>(
    pool: &PoolState,
    data: &'a mut PoolData,
    input: &Value,
) -> Result<&'a mut PoolUser, ApiError> {
    this_pool(pool, input)?;
    data.user_mut(required(input, "Username")?).ok_or_else(ApiError::user_not_found)
}

pub(super) fn this_pool(pool: &PoolState, input: &Value) -> Result<(), ApiError> {
    let id = required(input, "UserPoolId")?;
    if id == pool.pool_id() {
        return Ok(());
    }
    Err(ApiError::new("ResourceNotFoundException", format!("User pool {id} does not exist.")))
}

/// `UserAttributes` of an input.
pub(super) fn attributes(input: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let list = input["UserAttributes"].as_array().ok_or_else(|| ApiError::missing_parameter("userAttributes"))?;
    let pair =
        |one: &Value| Ok((required(one, "Name")?.to_owned(), one["Value"].as_str().unwrap_or_default().to_owned()));
    list.iter().map(pair).collect()
}

/// All attributes of a user, `AttributeListType` of the API.
pub(super) fn attribute_list(user: &PoolUser) -> Vec<Value> {
    user.all_attributes().map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
}

/// The user as lists have it.
pub(super) fn listed(user: &PoolUser) -> Value {
    json!({
        "Username": user.username,
        "Attributes": attribute_list(user),
        "UserCreateDate": user.created,
        "UserLastModifiedDate": user.created,
        "Enabled": user.enabled,
        "UserStatus": user.user_status(),
    })
}

/// Adds the second factor of a user, which is absent where there is none.
pub(super) fn add_factors(output: &mut Value, user: &PoolUser) {
    const FACTOR: &str = "SOFTWARE_TOKEN_MFA";
    if user.software_token.enabled {
        output["UserMFASettingList"] = json!([FACTOR]);
    }
    if user.software_token.preferred {
        output["PreferredMfaSetting"] = FACTOR.into();
    }
}
