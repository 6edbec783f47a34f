//! The claims of Cognito's tokens, and the check of a token that comes back.
//!
//! An access token has `client_id`, `scope` and `username`, and no `aud` unless a `resource` was named. An ID token has `aud`, `cognito:username` and
//! the user's attributes, the `…_verified` ones as booleans. Both have the `origin_jti` by which they can be revoked.

use super::data::UserAuthentication;
use super::jwt::{SigningKey, UnsignedJwt};
use super::random;
use super::settings::AppClient;
use super::state::PoolState;
use super::token_trigger::TokenOverrides;
use super::users::PoolUser;
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

/// The longest value of a custom attribute.
const CUSTOM_VALUE_LIMIT: usize = 2_048;

/// The access token of a user.
pub(super) fn access_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    authentication: &UserAuthentication,
) -> String {
    let now = pool.now();
    let mut claims = json!({
        "sub": user.sub,
        "iss": pool.issuer(),
        "version": 2,
        "client_id": client.id,
        "origin_jti": authentication.origin_jti,
        "event_id": authentication.event_id,
        "token_use": "access",
        "scope": authentication.scopes.join(" "),
        "auth_time": authentication.auth_time,
        "exp": now.saturating_add(client.access_token_seconds),
        "iat": now,
        "jti": random::uuid(),
        "username": user.token_username(),
    });
    if let Some(audience) = &authentication.audience {
        claims["aud"] = audience.as_str().into();
    }
    add_groups(&mut claims, user, pool);
    authentication.overrides.access_token.apply(&mut claims);
    sign_access_token(pool, claims)
}

/// The access token of the client credentials grant. `sub` is the client; there is no user in it and no audience.
pub(super) fn machine_token(
    pool: &PoolState,
    client: &AppClient,
    scopes: &[String],
    overrides: &TokenOverrides,
) -> String {
    let now = pool.now();
    let mut claims = json!({
        "sub": client.id,
        "token_use": "access",
        "scope": scopes.join(" "),
        "auth_time": now,
        "iss": pool.issuer(),
        "exp": now.saturating_add(client.access_token_seconds),
        "iat": now,
        "version": 2,
        "jti": random::uuid(),
        "client_id": client.id,
    });
    overrides.access_token.apply(&mut claims);
    sign_access_token(pool, claims)
}

/// The ID token that goes with `access_token`.
pub(super) fn id_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    authentication: &UserAuthentication,
    nonce: Option<&str>,
    access_token: &str,
) -> String {
    let now = pool.now();
    let mut claims = json!({
        "at_hash": half_hash(access_token),
        "sub": user.sub,
        "iss": pool.issuer(),
        "cognito:username": user.token_username(),
        "aud": client.id,
        "event_id": authentication.event_id,
        "origin_jti": authentication.origin_jti,
        "jti": random::uuid(),
        "token_use": "id",
        "auth_time": authentication.auth_time,
        "iat": now,
        "exp": now.saturating_add(client.id_token_seconds),
    });
    for (name, value) in user.readable(&authentication.scopes) {
        let flag = name.ends_with("_verified");
        claims[name] = if flag { Value::Bool(value == "true") } else { Value::String(value) };
    }
    add_groups(&mut claims, user, pool);
    if let Some(identities) = user.identities_claim() {
        claims["identities"] = identities;
    }
    authentication.overrides.id_token.apply(&mut claims);
    if let Some(nonce) = nonce {
        claims["nonce"] = nonce.into();
    }
    let padding = pool.faults().id_token_padding;
    for (number, from) in (0..padding).step_by(CUSTOM_VALUE_LIMIT).enumerate() {
        claims[format!("custom:padding_{number}")] = "x".repeat(CUSTOM_VALUE_LIMIT.min(padding - from)).into();
    }

    let key = pool.keys().id.clone();
    let mut jwt = UnsignedJwt::new(&key, claims);
    let edit = pool.faults().id_token.clone();
    edit.inspect(|edit| edit(&mut jwt));
    sign(pool, &key, jwt)
}

/// A logout token (OpenID Connect Back-Channel Logout 1.0 §2.4) with the key of the ID tokens, changed by `edit` before
/// it is signed. Cognito sends none; other providers do.
pub(super) fn logout_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    edit: impl FnOnce(&mut UnsignedJwt),
) -> String {
    let now = pool.now();
    let claims = json!({
        "iss": pool.issuer(),
        "aud": client.id,
        "sub": user.sub,
        "iat": now,
        "exp": now.saturating_add(120),
        "jti": random::uuid(),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    let key = pool.keys().id.clone();
    let mut jwt = UnsignedJwt::new(&key, claims);
    jwt.header.insert("typ".to_owned(), "logout+jwt".into());
    edit(&mut jwt);
    sign(pool, &key, jwt)
}

fn sign_access_token(pool: &PoolState, claims: Value) -> String {
    let key = pool.keys().access.clone();
    let mut jwt = UnsignedJwt::new(&key, claims);
    let edit = pool.faults().access_token.clone();
    edit.inspect(|edit| edit(&mut jwt));
    sign(pool, &key, jwt)
}

fn sign(pool: &PoolState, key: &SigningKey, jwt: UnsignedJwt) -> String {
    let escaped = pool.faults().escape_slashes;
    jwt.sign(key, |json| if escaped { json.to_string().replace('/', "\\/") } else { json.to_string() })
}

/// What the pool reads in a token of its own.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenClaims {
    exp: i64,
    token_use: String,
    pub(super) sub: String,
    pub(super) username: String,
    pub(super) origin_jti: String,
    scope: String,
}

impl TokenClaims {
    /// Those of an access token that the pool signed with its present key and that has not expired.
    pub(super) fn from_access_token(pool: &PoolState, token: &str) -> Option<Self> {
        let key = pool.keys().access.clone();
        Self::read(pool, &key, token, "access")
    }

    /// The same of an ID token.
    pub(super) fn from_id_token(pool: &PoolState, token: &str) -> Option<Self> {
        let key = pool.keys().id.clone();
        Self::read(pool, &key, token, "id")
    }

    fn read(pool: &PoolState, key: &SigningKey, token: &str, token_use: &str) -> Option<Self> {
        let claims: Self = serde_json::from_slice(&key.verified_claims(token)?).ok()?;
        (claims.exp > pool.now() && claims.token_use == token_use).then_some(claims)
    }

    pub(super) fn scopes(&self) -> Vec<String> {
        self.scope.split_whitespace().map(str::to_owned).collect()
    }
}

/// `at_hash`: the left half of SHA-256 in base64url (OpenID Connect Core §3.1.3.6).
fn half_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

fn add_groups(claims: &mut Value, user: &PoolUser, pool: &PoolState) {
    let groups = user.token_groups(pool.pool_id());
    if !groups.is_empty() {
        claims["cognito:groups"] = groups.into();
    }
}
