//! The layer around the router where [`Fault`]s happen; the endpoints know nothing of them.

use super::faults::{Fault, PoolEndpoint, Rewrite};
use super::listener::ConnectionReset;
use super::messages::Params;
use super::state::PoolState;
use axum::body::{self, Body};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Method, StatusCode, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The largest body of a request that is read here, and of a response that is rewritten.
const REQUEST_LIMIT: usize = 64 * 1024;
const RESPONSE_LIMIT: usize = 1024 * 1024;

const JSON: &str = "application/json;charset=UTF-8";

/// Every request passes here first.
pub(super) async fn apply(State(pool): State<Arc<PoolState>>, request: Request, next: Next) -> Response {
    let (request, endpoints, refreshed) = classify(&pool, request).await;
    let traceparent = request.headers().get("traceparent").and_then(|line| line.to_str().ok());
    pool.faults().traceparents.extend(endpoints.iter().map(|&endpoint| (endpoint, traceparent.map(str::to_owned))));
    let fault = pool.faults().take(&endpoints, refreshed.as_deref());
    let reset = request.extensions().get::<ConnectInfo<ConnectionReset>>().cloned();
    let edit = if let Some(Fault::Rewrite(edit)) = &fault { Some(edit.clone()) } else { None };
    let genuine = genuine(pool, request, next, edit);
    let Some(fault) = fault else { return genuine.await };
    match fault {
        Fault::Rewrite(_) => genuine.await,
        Fault::Status { status, content_type, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
        }
        Fault::Throttle { retry_after } => {
            let mut response = StatusCode::TOO_MANY_REQUESTS.into_response();
            if let Some(value) = retry_after.and_then(|value| HeaderValue::try_from(value).ok()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
            response
        }
        Fault::Redirect { status, location } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::TEMPORARY_REDIRECT);
            let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("/"));
            (status, [(header::LOCATION, location)]).into_response()
        }
        Fault::Truncate => rewrite(genuine.await, |body| body.as_bytes()[..body.len() / 2].to_vec()).await,
        Fault::Html => {
            let page = "<!DOCTYPE html><html><head><title>ERROR: The request could not be satisfied</title></head>\
                        <body><h1>The request could not be satisfied.</h1></body></html>";
            ([(header::CONTENT_TYPE, "text/html")], page).into_response()
        }
        Fault::Stall => std::future::pending().await,
        Fault::Drip => drip(),
        Fault::Huge { bytes } => huge(bytes),
        Fault::GzipBomb => gzip_bomb(),
        Fault::Disconnect => {
            reset.inspect(|ConnectInfo(reset)| reset.now());
            StatusCode::OK.into_response()
        }
        Fault::Lose => {
            // As a server that works on when its client has gone.
            let _ = tokio::spawn(genuine).await;
            std::future::pending().await
        }
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            genuine.await
        }
    }
}

/// The answer of the endpoint, with a fault's change of its body, in the spelling that a test has chosen.
async fn genuine(pool: Arc<PoolState>, request: Request, next: Next, edit: Option<Rewrite>) -> Response {
    let mut response = next.run(request).await;
    if let Some(Rewrite(edit)) = edit {
        response = rewrite(response, |body| edit(body).into()).await;
    }
    if pool.faults().errors_without_state
        && let Some(location) = response.headers_mut().get_mut(header::LOCATION)
        && let Some(stateless) = without_state(location)
    {
        *location = stateless;
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if pool.faults().escape_slashes && content_type.is_some_and(|value| value.contains("json")) {
        // A slash can only stand inside a JSON string.
        response = rewrite(response, |body| body.replace('/', "\\/").into()).await;
    }
    response
}

/// A redirect with an error, without its `state`.
fn without_state(location: &HeaderValue) -> Option<HeaderValue> {
    let (url, query) = location.to_str().ok()?.rsplit_once('?')?;
    query.split('&').find(|pair| pair.starts_with("error="))?;
    let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("state=")).collect();
    HeaderValue::try_from(format!("{url}?{}", pairs.join("&"))).ok()
}

/// The endpoints that a request counts for, the most particular first, and the user whose tokens it refreshes.
async fn classify(pool: &PoolState, request: Request) -> (Request, Vec<PoolEndpoint>, Option<String>) {
    let path = request.uri().path();
    let endpoint = match path {
        "/oauth2/authorize" => PoolEndpoint::Authorize,
        "/oauth2/token" => return classify_grant(pool, request).await,
        "/oauth2/userInfo" => PoolEndpoint::UserInfo,
        "/oauth2/revoke" => PoolEndpoint::Revoke,
        "/logout" => PoolEndpoint::Logout,
        "/" if request.method() == Method::POST => PoolEndpoint::Api,
        _ => match path.strip_prefix('/').and_then(|rest| rest.strip_prefix(pool.pool_id())) {
            Some("/.well-known/openid-configuration") => PoolEndpoint::Discovery,
            Some("/.well-known/jwks.json") => PoolEndpoint::Jwks,
            _ => return (request, Vec::new(), None),
        },
    };
    (request, vec![endpoint], None)
}

/// Reads the body to see the grant, and puts it back for the token endpoint.
async fn classify_grant(pool: &PoolState, request: Request) -> (Request, Vec<PoolEndpoint>, Option<String>) {
    let (parts, body) = request.into_parts();
    let bytes = body::to_bytes(body, REQUEST_LIMIT).await.unwrap_or_default();
    let form = Params::parse(&bytes);
    let grant = match form.get("grant_type") {
        Some("authorization_code") => Some(PoolEndpoint::TokenCode),
        Some("refresh_token") => Some(PoolEndpoint::TokenRefresh),
        Some("client_credentials") => Some(PoolEndpoint::TokenClientCredentials),
        _ => None,
    };
    let endpoints = grant.into_iter().chain([PoolEndpoint::Token]).collect();
    let now = pool.now();
    let refreshed = form.get("refresh_token").and_then(|token| pool.data().refresh_token(token, now));
    (Request::from_parts(parts, Body::from(bytes)), endpoints, refreshed.map(|token| token.authentication.username))
}

/// The same response with a body made from its own.
async fn rewrite(response: Response, edit: impl FnOnce(String) -> Vec<u8>) -> Response {
    let (mut parts, body) = response.into_parts();
    let body = body::to_bytes(body, RESPONSE_LIMIT).await.unwrap_or_default();
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(edit(String::from_utf8_lossy(&body).into_owned())))
}

// The bodies below are made as they are sent; none is held in memory.

const OPENING: &[u8; 18] = br#"{"access_token":"a"#;
const CHUNK: usize = 16 * 1024;

fn json_stream(chunks: impl stream::Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(stream::StreamExt::map(chunks, Ok::<_, Infallible>));
    ([(header::CONTENT_TYPE, JSON)], body).into_response()
}

fn drip() -> Response {
    json_stream(stream::unfold(0_usize, |sent| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let byte = OPENING.get(sent).copied().unwrap_or(b'a');
        Some((Bytes::copy_from_slice(&[byte]), sent.saturating_add(1)))
    }))
}

fn huge(bytes: usize) -> Response {
    let opening = stream::once(std::future::ready(Bytes::from_static(OPENING)));
    let filling = stream::unfold(bytes, |left| async move {
        let size = left.min(CHUNK);
        (size > 0).then(|| (Bytes::from(vec![b'a'; size]), left - size))
    });
    json_stream(stream::StreamExt::chain(opening, filling))
}

/// Gzip (RFC 1952) of one stored block with the opening, and one of fixed Huffman codes with "repeat the last byte
/// 258 times" over and over: 13 bits each, so that 8 of them are 13 bytes.
fn gzip_bomb() -> Response {
    const HEADERS: [u8; 15] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0, 18, 0, !18, 255];
    const FIXED_BLOCK: u8 = 0x1b;
    const REPEATS: [u8; 13] = [0x05, 0xa3, 0x60, 0x14, 0x8c, 0x82, 0x51, 0x30, 0x0a, 0x46, 0xc1, 0x28, 0x18];
    let opening = Bytes::from([&HEADERS[..], OPENING, &[FIXED_BLOCK]].concat());
    let chunk = Bytes::from(REPEATS.repeat(CHUNK / REPEATS.len()));
    let mut response = json_stream(stream::iter(std::iter::once(opening).chain(std::iter::repeat_n(chunk, 40))));
    response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    response
}
