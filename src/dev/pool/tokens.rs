//! Which claims go into which token.

use std::sync::atomic::Ordering;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::clients::AppClient;
use super::draft::UnsignedJwt;
use super::grants::UserAuthentication;
use super::keys::RsaKey;
use super::random;
use super::state::PoolState;
use super::users::PoolUser;

/// The longest value of a custom attribute.
const CUSTOM_VALUE_LIMIT: usize = 2_048;

/// The access token of a person.
pub(super) fn access_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    sign_in: &UserAuthentication,
) -> String {
    let now = pool.now();
    let mut claims = object(json!({
        "sub": user.sub,
        "iss": pool.issuer(),
        "version": 2,
        "client_id": client.id,
        "origin_jti": sign_in.origin_jti,
        "event_id": sign_in.event_id,
        "token_use": "access",
        "scope": sign_in.scopes.join(" "),
        "auth_time": sign_in.auth_time,
        "exp": now.saturating_add(client.access_token_seconds),
        "iat": now,
        "jti": random::uuid(),
        "username": user.username,
    }));
    add_groups(&mut claims, user, pool);
    sign_access(pool, claims)
}

/// The access token of a program. `sub` is the client; there is no user in it and no audience.
pub(super) fn machine_token(pool: &PoolState, client: &AppClient, scopes: &[String]) -> String {
    let now = pool.now();
    let claims = object(json!({
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
    }));
    sign_access(pool, claims)
}

/// The ID token that goes with `access_token`.
pub(super) fn id_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    sign_in: &UserAuthentication,
    nonce: Option<&str>,
    access_token: &str,
) -> String {
    let now = pool.now();
    let mut claims = object(json!({
        "at_hash": half_hash(access_token),
        "sub": user.sub,
        "iss": pool.issuer(),
        "cognito:username": user.username,
        "aud": client.id,
        "event_id": sign_in.event_id,
        "origin_jti": sign_in.origin_jti,
        "jti": random::uuid(),
        "token_use": "id",
        "auth_time": sign_in.auth_time,
        "iat": now,
        "exp": now.saturating_add(client.id_token_seconds),
    }));
    for (name, value) in user.readable(&sign_in.scopes) {
        let value = if name.ends_with("_verified") { Value::Bool(value == "true") } else { Value::String(value) };
        claims.insert(name, value);
    }
    add_groups(&mut claims, user, pool);
    if let Some(identities) = user.identities_claim() {
        claims.insert("identities".to_owned(), identities);
    }
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    add_padding(&mut claims, pool.switches.padding.load(Ordering::Relaxed));

    let key = pool.keys().id;
    let mut draft = UnsignedJwt::new(&key, claims);
    pool.tampering.touch_id(&mut draft);
    draft.sign(&key, |json| pool.write_json(json))
}

/// A logout token with the key of the ID tokens.
pub(super) fn logout_token(
    pool: &PoolState,
    client: &AppClient,
    user: &PoolUser,
    tamper: impl FnOnce(&mut UnsignedJwt),
) -> String {
    let now = pool.now();
    let claims = object(json!({
        "iss": pool.issuer(),
        "aud": client.id,
        "sub": user.sub,
        "iat": now,
        "exp": now.saturating_add(120),
        "jti": random::uuid(),
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    }));
    let key = pool.keys().id;
    let mut draft = UnsignedJwt::new(&key, claims);
    draft.header.insert("typ".to_owned(), "logout+jwt".into());
    tamper(&mut draft);
    draft.sign(&key, |json| pool.write_json(json))
}

fn sign_access(pool: &PoolState, claims: Map<String, Value>) -> String {
    let key = pool.keys().access;
    let mut draft = UnsignedJwt::new(&key, claims);
    pool.tampering.touch_access(&mut draft);
    draft.sign(&key, |json| pool.write_json(json))
}

/// The claims of an access token this pool signed with its present key and that has not run out.
pub(super) fn read_access_token(pool: &PoolState, token: &str) -> Option<Map<String, Value>> {
    read(pool, token, &pool.keys().access, "access")
}

/// The same of an ID token.
pub(super) fn read_id_token(pool: &PoolState, token: &str) -> Option<Map<String, Value>> {
    read(pool, token, &pool.keys().id, "id")
}

fn read(pool: &PoolState, token: &str, key: &RsaKey, wanted: &str) -> Option<Map<String, Value>> {
    let (message, signature) = token.rsplit_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !key.verifies(message.as_bytes(), &signature) {
        return None;
    }
    let (_, claims) = message.split_once('.')?;
    let claims: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    let live = claims.get("exp").and_then(Value::as_i64).is_some_and(|exp| exp > pool.now());
    let fits = claims.get("token_use").is_some_and(|token_use| token_use == wanted);
    (live && fits).then_some(claims)
}

/// Left half of SHA-256 in base64url (OpenID Connect Core 3.1.3.6).
fn half_hash(token: &str) -> String {
    let hash = digest::digest(&digest::SHA256, token.as_bytes());
    URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default())
}

fn add_groups(claims: &mut Map<String, Value>, user: &PoolUser, pool: &PoolState) {
    let groups = user.token_groups(&pool.pool_id);
    if !groups.is_empty() {
        claims.insert("cognito:groups".to_owned(), groups.into());
    }
}

fn add_padding(claims: &mut Map<String, Value>, mut bytes: usize) {
    let mut number = 0;
    while bytes > 0 {
        let size = bytes.min(CUSTOM_VALUE_LIMIT);
        claims.insert(format!("custom:padding_{number}"), "x".repeat(size).into());
        bytes -= size;
        number += 1;
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
