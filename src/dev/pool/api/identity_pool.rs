//! An identity pool that accepts this user pool and guests, in the enhanced flow: `GetId`, then
//! `GetCredentialsForIdentity`. The AWS credentials open nothing.

use crate::dev::pool::messages::{ApiError, required};
use crate::dev::pool::random;
use crate::dev::pool::state::PoolState;
use crate::dev::pool::tokens::TokenClaims;
use aws_lc_rs::digest;
use serde_json::{Value, json};

/// The id of the identity pool.
pub const IDENTITY_POOL: &str = "eu-west-1:11111111-2222-3333-4444-555555555555";

pub(super) fn operate(pool: &PoolState, operation: &str, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "GetId" => get_id(pool, input),
        "GetCredentialsForIdentity" => get_credentials_for_identity(pool, input),
        _ => Err(ApiError::unknown_operation()),
    }
}

fn get_id(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let id = required(input, "IdentityPoolId")?;
    if id != IDENTITY_POOL {
        return Err(ApiError::new("ResourceNotFoundException", format!("IdentityPool '{id}' not found.")));
    }
    let identity = match subject(pool, input)? {
        Some(sub) => identity_id(&sub),
        None => pool.data().add_guest(),
    };
    Ok(json!({ "IdentityId": identity }))
}

fn get_credentials_for_identity(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let id = required(input, "IdentityId")?;
    let own = match subject(pool, input)? {
        Some(sub) => id == identity_id(&sub),
        None => pool.data().is_guest(id),
    };
    if !own {
        return Err(ApiError::not_authorized(format!("Access to Identity '{id}' is forbidden.")));
    }
    let role = input["CustomRoleArn"].as_str().unwrap_or("the pool's choice");
    let credentials = json!({
        "AccessKeyId": format!("ASIA{}", random::uuid().replace('-', "").to_uppercase()),
        "SecretKey": random::uuid(),
        "SessionToken": format!("{role} {}", random::uuid()),
        "Expiration": pool.now() as f64 + 3_600.0,
    });
    Ok(json!({ "IdentityId": id, "Credentials": credentials }))
}

/// The `sub` of the ID token in `Logins`, under the issuer without its scheme; `None` for a guest.
fn subject(pool: &PoolState, input: &Value) -> Result<Option<String>, ApiError> {
    let logins = &input["Logins"];
    if logins.is_null() {
        return Ok(None);
    }
    let issuer = pool.issuer();
    let provider = issuer.split_once("://").map_or(issuer.as_str(), |(_, rest)| rest);
    let token = logins[provider]
        .as_str()
        .ok_or_else(|| ApiError::not_authorized("Token is not from a supported provider of this identity pool."))?;
    let claims = TokenClaims::from_id_token(pool, token)
        .ok_or_else(|| ApiError::not_authorized("Invalid login token. Not a valid OpenId Connect identity token."))?;
    // `ServerSideTokenCheck` is on.
    if pool.data().is_revoked_origin(&claims.origin_jti) {
        return Err(ApiError::not_authorized("Invalid login token. Token is revoked."));
    }
    Ok(Some(claims.sub))
}

/// The same for the same user, always.
fn identity_id(subject: &str) -> String {
    let hash = digest::digest(&digest::SHA256, subject.as_bytes());
    format!("eu-west-1:{}", random::uuid_text(hash.as_ref()))
}
