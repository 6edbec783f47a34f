//! The OpenAPI 3.1 document: what the annotations of the handlers say, and beside it what holds for whole groups of
//! routes. A layer and its description stand for the same group in [`Routes`].

mod requests;
mod responses;

pub(super) use requests::*;
pub(super) use responses::*;

use super::Routes;
use super::error_body::{OAuthErrorResponse, ProblemDetails};
use crate::domain::identity::{ActiveIdentity, IDENTITY_HEADERS, Inactive};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;
use utoipa::openapi::{OpenApi as OpenApiDocument, RefOr, Response};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "auth-api",
        description = "A browser signs in once at the provider's hosted page; a cookie on the parent domain then makes \
            every sibling site know it. Siblings and reverse proxies ask `/validate` who sends a request.",
    ),
    tags(
        (name = "gateway", description = "For servers and reverse proxies."),
        (name = "api", description = "For a page's script or a sibling's server."),
        (name = "browser", description = "Where a person's browser is sent."),
        (name = "machine", description = "For programs that need tokens of their own."),
        (name = "provider", description = "For the OpenID Provider."),
    ),
    components(schemas(ProblemDetails, OAuthErrorResponse, ActiveIdentity, Inactive)),
)]
struct Document;

/// The headers that the configuration adds.
const OPTIONAL_IDENTITY_HEADERS: [(&str, &str); 4] = [
    (
        "x-auth-id-token",
        "The session's ID token, where `gateway.forward_tokens` asks for it. Empty for a bearer token.",
    ),
    (
        "x-auth-access-token",
        "The session's access token, where `gateway.forward_tokens` asks for it. Empty for a bearer token.",
    ),
    (
        "x-auth-request-user",
        "With `gateway.header_style = \"x-auth-request\"`: as x-auth-subject; likewise -email, -groups and \
         -preferred-username.",
    ),
    (
        "remote-user",
        "With `gateway.header_style = \"remote\"`: as x-auth-username; likewise -email, -groups and -name.",
    ),
];

/// The OpenAPI 3.1 document, for a service at `server_url`.
pub fn document(server_url: &str) -> Value {
    // What a layer or a helper adds to every answer of a group.
    const HEADERS: &[(&str, &str)] =
        &[("Pragma", "NoCache"), ("Cache-Control", "NoStore"), ("X-Request-Id", "RequestId")];
    let Routes { pages, scripts, refresh, others, metadata, machines, gateway } = Routes::new();
    let mut api = Document::openapi();
    for (group, headers) in [
        (pages, &HEADERS[1..]),
        (scripts, &HEADERS[1..]),
        (refresh, &HEADERS[1..]),
        (others, &HEADERS[1..]),
        (metadata, &HEADERS[2..]),
        (machines, HEADERS),
        (gateway, &HEADERS[1..2]),
    ] {
        let mut group = group.into_openapi();
        for (status, response) in responses_of(&mut group) {
            // A redirect leads somewhere (RFC 9110 §15.4).
            let location = status.starts_with('3').then_some(&("Location", "Location"));
            for (name, component) in headers.iter().chain(location) {
                response.headers.entry((*name).to_owned()).or_insert_with(|| header(component));
            }
        }
        api.merge(group);
    }
    let mut document = serde_json::to_value(api).expect("an OpenAPI document is plain data");
    document["servers"] = json!([{ "url": server_url }]);
    document["components"]["headers"] = headers();
    document["components"]["securitySchemes"] = security_schemes();
    without_null(&mut document["paths"]);
    document
}

fn responses_of(api: &mut OpenApiDocument) -> impl Iterator<Item = (&String, &mut Response)> {
    let items = api.paths.paths.values_mut();
    let operations =
        items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete]).flatten();
    let responses = operations.flat_map(|operation| &mut operation.responses.responses);
    responses.filter_map(|(status, response)| match response {
        RefOr::T(response) => Some((status, response)),
        RefOr::Ref(_) => None,
    })
}

/// What may be left out of a request is not sent as `null`.
fn without_null(schemas: &mut Value) {
    if let Some(types) = schemas.get_mut("type").filter(|types| types[1] == "null") {
        *types = types[0].take();
    }
    if schemas["oneOf"][1]["type"] == "null" {
        *schemas = schemas["oneOf"][0].take();
    }
    schemas.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(without_null);
    schemas.as_array_mut().into_iter().flatten().for_each(without_null);
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let challenge = |among: &[&str], required| json!({ "description": "The challenge (RFC 9110 §11.6.1).", "schema": { "enum": among }, "required": required });
    let mut headers = json!({
        "NoStore": { "description": "No cache keeps it.", "schema": { "const": "no-store" }, "required": true },
        "NoCache": { "description": "For caches of HTTP/1.0.", "schema": { "const": "no-cache" }, "required": true },
        "RequestId": text("The id of this request, as it is in the log."),
        "RemovedCookies": text("The removal of the session cookie, and of the exposed tokens."),
        "RetryAfter": { "description": "Seconds after which to try again.", "schema": { "type": "integer", "minimum": 0 } },
        "Location": {
            "description": "The next address.", "schema": { "type": "string", "format": "uri" }, "required": true,
        },
        "BearerChallenge": challenge(&["Bearer", "Bearer error=\"invalid_token\""], true),
        "OptionalBearerChallenge": challenge(&["Bearer", "Bearer error=\"invalid_token\""], false),
        "ScopeChallenge": challenge(&["Bearer error=\"insufficient_scope\""], false),
        "BasicChallenge": challenge(&["Basic realm=\"auth-api\""], true),
    });
    for header in IDENTITY_HEADERS {
        headers[header.name] =
            json!({ "description": header.description, "schema": { "type": "string" }, "required": true });
    }
    for (name, fact) in OPTIONAL_IDENTITY_HEADERS {
        headers[name] = text(fact);
    }
    headers
}

fn security_schemes() -> Value {
    json!({
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Secure-auth",
            "description": "The session cookie. It is opaque, set at sign-in on the parent domain, and named `auth` on \
                plain http at a loopback host.",
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token for an accepted app client, or an ID token for this service's own, signed \
                with RS256.",
        },
        "client": {
            "type": "http",
            "scheme": "basic",
            "description": "The id and secret of a client that is registered here or, where that is allowed, of an app \
                client at the provider.",
        },
    })
}
