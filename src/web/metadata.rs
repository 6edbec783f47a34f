//! Where the routes of machines are (RFC 8414).

use super::Web;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// Metadata (RFC 8414 §2).
#[derive(Serialize, ToSchema)]
struct AuthorizationServerMetadata<'a> {
    issuer: &'a str,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    grant_types_supported: [&'static str; 1],
    response_types_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
}

/// Where `/token`, `/introspect` and `/revoke` are
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", operation_id = "metadata", tag = "machine", security(()),
    responses((status = 200, description = "Metadata (RFC 8414).", body = AuthorizationServerMetadata))
)]
pub(super) async fn metadata(State(web): State<Arc<Web>>) -> Response {
    let methods = ["client_secret_basic", "client_secret_post"];
    let metadata = AuthorizationServerMetadata {
        issuer: web.public_url.as_str(),
        token_endpoint: web.public_url.join("/token"),
        introspection_endpoint: web.public_url.join("/introspect"),
        revocation_endpoint: web.public_url.join("/revoke"),
        grant_types_supported: ["client_credentials"],
        response_types_supported: [],
        token_endpoint_auth_methods_supported: methods,
        introspection_endpoint_auth_methods_supported: methods,
        revocation_endpoint_auth_methods_supported: methods,
    };
    Json(metadata).into_response()
}
