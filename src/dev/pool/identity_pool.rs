//! An identity pool that knows this user pool and guests: AWS credentials that open nothing.

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use super::api::{ApiError, text};
use super::random;
use super::state::PoolState;
use super::tokens;

/// The id of the identity pool.
pub const IDENTITY_POOL: &str = "eu-west-1:11111111-2222-3333-4444-555555555555";

pub(super) fn operate(pool: &PoolState, operation: &str, input: &Value) -> Result<Value, ApiError> {
    match operation {
        "GetId" => get_id(pool, input),
        "GetCredentialsForIdentity" => get_credentials(pool, input),
        _ => Err(ApiError::new("UnknownOperationException", "")),
    }
}

fn get_id(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let id = text(input, "IdentityPoolId")?;
    if id != IDENTITY_POOL {
        return Err(ApiError::new("ResourceNotFoundException", format!("IdentityPool '{id}' not found.")));
    }
    Ok(json!({ "IdentityId": identity(&subject(pool, input)?) }))
}

fn get_credentials(pool: &PoolState, input: &Value) -> Result<Value, ApiError> {
    let id = text(input, "IdentityId")?;
    if id != identity(&subject(pool, input)?) {
        return Err(ApiError::new("NotAuthorizedException", format!("Access to Identity '{id}' is forbidden.")));
    }
    let role = input.get("CustomRoleArn").and_then(Value::as_str).unwrap_or("the pool's choice");
    let credentials = json!({
        "AccessKeyId": format!("ASIA{}", random::uuid().replace('-', "").to_uppercase()),
        "SecretKey": random::uuid(),
        "SessionToken": format!("{role} {}", random::uuid()),
        "Expiration": pool.now() as f64 + 3_600.0,
    });
    Ok(json!({ "IdentityId": id, "Credentials": credentials }))
}

/// Whom the logins speak for; empty for a guest.
fn subject(pool: &PoolState, input: &Value) -> Result<String, ApiError> {
    let refuse = |message: &str| Err(ApiError::new("NotAuthorizedException", message));
    let logins: Map<String, Value> = match input.get("Logins") {
        None | Some(Value::Null) => return Ok(String::new()),
        Some(logins) => logins.as_object().cloned().unwrap_or_default(),
    };
    let issuer = pool.issuer();
    let name = issuer.split_once("://").map_or(issuer.as_str(), |(_, rest)| rest);
    let Some(token) = logins.get(name).and_then(Value::as_str) else {
        return refuse("Token is not from a supported provider of this identity pool.");
    };
    let Some(claims) = tokens::read_id_token(pool, token) else {
        return refuse("Invalid login token. Not a valid OpenId Connect identity token.");
    };
    let claim = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    // `ServerSideTokenCheck` is on.
    if pool.world().is_revoked_origin(&claim("origin_jti")) {
        return refuse("Invalid login token. Token is revoked.");
    }
    Ok(claim("sub"))
}

/// The same for the same user, always.
fn identity(subject: &str) -> String {
    let hash = digest::digest(&digest::SHA256, subject.as_bytes());
    let hex: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("eu-west-1:{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}
