//! The two well-known documents, with Cognito's keys and no others.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State as Shared};
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::pages;
use super::state::PoolState;

pub(super) async fn openid_configuration(
    Shared(pool): Shared<Arc<PoolState>>,
    Path(pool_id): Path<String>,
) -> Response {
    let (base, issuer) = (pool.base_url(), pool.issuer());
    // No code_challenge_methods_supported, no grant_types_supported: a real pool has none either, though PKCE works.
    let mut document = json!({
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "end_session_endpoint": format!("{base}/logout"),
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "response_types_supported": ["code", "token"],
        "revocation_endpoint": format!("{base}/oauth2/revoke"),
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "token_endpoint": format!("{base}/oauth2/token"),
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": format!("{base}/oauth2/userInfo"),
    });
    if pool.switches.discovery_extras.load(Ordering::Relaxed) {
        document["registration_endpoint"] = format!("{base}/oauth2/register").into();
        document["a_key_added_later"] = json!({ "nested": true });
    }
    document_of(&pool, &pool_id, &document)
}

pub(super) async fn jwks(Shared(pool): Shared<Arc<PoolState>>, Path(pool_id): Path<String>) -> Response {
    document_of(&pool, &pool_id, &pool.keys().jwks())
}

fn document_of(pool: &PoolState, pool_id: &str, document: &Value) -> Response {
    if pool_id != pool.pool_id {
        return pages::error(StatusCode::NOT_FOUND, "Not found", "There is no user pool of this id here.");
    }
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
    (headers, pool.write_json(document)).into_response()
}

/// The domain host does not serve discovery; looking for it there is a common mistake.
pub(super) async fn wrong_host() -> Response {
    let text = "Discovery is served under the issuer, which ends in the user pool's id.";
    pages::error(StatusCode::BAD_REQUEST, "Bad request", text)
}
