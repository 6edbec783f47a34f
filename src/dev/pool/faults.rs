//! Request counts, and the ways the pool misbehaves when a test asks for it in process.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{self, Body};
use axum::extract::{ConnectInfo, Request, State as Shared};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::line::ConnectionReset;
use super::misbehave;
use super::params::Params;
use super::state::PoolState;

/// Where a request goes. A request to the token endpoint counts as [`PoolEndpoint::Token`] and as its grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolEndpoint {
    /// `/<pool>/.well-known/openid-configuration`
    Discovery,
    /// `/<pool>/.well-known/jwks.json`
    Jwks,
    /// `/oauth2/authorize`
    Authorize,
    /// `/oauth2/token`, any grant
    Token,
    /// `/oauth2/token` with `grant_type=authorization_code`
    TokenCode,
    /// `/oauth2/token` with `grant_type=refresh_token`
    TokenRefresh,
    /// `/oauth2/token` with `grant_type=client_credentials`
    TokenClientCredentials,
    /// `/oauth2/userInfo`
    UserInfo,
    /// `/oauth2/revoke`
    Revoke,
    /// `/logout`
    Logout,
    /// `POST /`, the user pools API
    Api,
}

/// What goes wrong instead of the genuine answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Another answer.
    Status {
        /// The status code; an impossible one becomes 500.
        status: u16,
        /// Its content type.
        content_type: &'static str,
        /// Its body.
        body: String,
    },
    /// 429, and how long to wait, in words of RFC 9110 §10.2.3 if any.
    Throttle {
        /// The `Retry-After`.
        retry_after: Option<String>,
    },
    /// A redirect to somewhere else.
    Redirect {
        /// The status code, say 307.
        status: u16,
        /// The `Location`.
        location: String,
    },
    /// The genuine answer with another body, made from its own.
    Rewrite(Rewrite),
    /// The genuine answer, its body cut in half (a complete HTTP message with broken JSON in it).
    Truncate,
    /// 200 with an HTML page.
    Html,
    /// No answer, ever, on an open connection.
    Stall,
    /// A JSON answer at one byte every 100 ms, forever.
    Drip,
    /// A JSON answer with one string of about this many bytes.
    Huge {
        /// How many bytes.
        bytes: usize,
    },
    /// A small gzip body that unpacks to some 100 MB of JSON string.
    GzipBomb,
    /// The connection is closed without an answer.
    Disconnect,
    /// The genuine answer, later.
    Delay(Duration),
    /// The genuine work, and no answer, ever.
    Lose,
}

impl Fault {
    /// The genuine answer, its body changed by `edit`.
    pub fn rewrite(edit: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        Self::Rewrite(Rewrite(Arc::new(edit)))
    }

    /// The genuine answer, its JSON object changed by `edit`.
    pub fn edit_json(edit: impl Fn(&mut Map<String, Value>) + Send + Sync + 'static) -> Self {
        Self::rewrite(move |body| match serde_json::from_str(&body) {
            Ok(Value::Object(mut object)) => {
                edit(&mut object);
                Value::Object(object).to_string()
            }
            _ => body,
        })
    }
}

/// A change of a body.
#[derive(Clone)]
pub struct Rewrite(pub(super) Arc<dyn Fn(String) -> String + Send + Sync>);

impl fmt::Debug for Rewrite {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Rewrite")
    }
}

/// Counts and faults per endpoint.
#[derive(Debug, Default)]
pub(super) struct Faults {
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    counts: HashMap<PoolEndpoint, u64>,
    standing: HashMap<PoolEndpoint, Fault>,
    once: HashMap<PoolEndpoint, VecDeque<Fault>>,
    renewals: HashMap<String, Fault>,
}

impl Faults {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self, endpoint: PoolEndpoint) -> u64 {
        self.book().counts.get(&endpoint).copied().unwrap_or(0)
    }

    pub(super) fn set(&self, endpoint: PoolEndpoint, fault: Fault) {
        self.book().standing.insert(endpoint, fault);
    }

    pub(super) fn set_once(&self, endpoint: PoolEndpoint, fault: Fault) {
        self.book().once.entry(endpoint).or_default().push_back(fault);
    }

    pub(super) fn set_renewals(&self, username: &str, fault: Fault) {
        self.book().renewals.insert(username.to_owned(), fault);
    }

    pub(super) fn clear(&self) {
        let mut book = self.book();
        book.renewals.clear();
        book.standing.clear();
        book.once.clear();
    }

    /// Counts a request and picks its fault: that of the user whose tokens are renewed, one-off before standing, the
    /// particular endpoint before the general.
    fn meet(&self, endpoints: &[PoolEndpoint], renewed: Option<&str>) -> Option<Fault> {
        let mut book = self.book();
        for &endpoint in endpoints {
            *book.counts.entry(endpoint).or_default() += 1;
        }
        if let Some(fault) = renewed.and_then(|user| book.renewals.get(user)) {
            return Some(fault.clone());
        }
        let once = endpoints.iter().find_map(|endpoint| book.once.get_mut(endpoint).and_then(VecDeque::pop_front));
        once.or_else(|| endpoints.iter().find_map(|endpoint| book.standing.get(endpoint).cloned()))
    }
}

/// The largest request body anybody reads here.
const BODY_LIMIT: usize = 64 * 1024;

/// Every request passes here first.
pub(super) async fn gate(Shared(pool): Shared<Arc<PoolState>>, request: Request, next: Next) -> Response {
    let (request, endpoints, renewed) = identify(&pool, request).await;
    let Some(fault) = pool.faults.meet(&endpoints, renewed.as_deref()) else {
        return next.run(request).await;
    };
    match fault {
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
        Fault::Rewrite(Rewrite(edit)) => misbehave::rewrite(next.run(request).await, &*edit).await,
        Fault::Truncate => misbehave::truncate(next.run(request).await).await,
        Fault::Html => misbehave::html(),
        Fault::Stall => std::future::pending().await,
        Fault::Drip => misbehave::drip(),
        Fault::Huge { bytes } => misbehave::huge(bytes),
        Fault::GzipBomb => misbehave::gzip_bomb(),
        Fault::Disconnect => {
            if let Some(ConnectInfo(cut)) = request.extensions().get::<ConnectInfo<ConnectionReset>>() {
                cut.now();
            }
            StatusCode::OK.into_response()
        }
        Fault::Lose => {
            // As a server that works on when its client has gone.
            let _ = tokio::spawn(next.run(request)).await;
            std::future::pending().await
        }
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            next.run(request).await
        }
    }
}

/// The endpoints a request counts for, the most particular first, and whose tokens it renews.
async fn identify(pool: &PoolState, request: Request) -> (Request, Vec<PoolEndpoint>, Option<String>) {
    let path = request.uri().path();
    let endpoint = match path {
        "/oauth2/authorize" => PoolEndpoint::Authorize,
        "/oauth2/token" => return identify_grant(pool, request).await,
        "/oauth2/userInfo" => PoolEndpoint::UserInfo,
        "/oauth2/revoke" => PoolEndpoint::Revoke,
        "/logout" => PoolEndpoint::Logout,
        "/" if request.method() == http::Method::POST => PoolEndpoint::Api,
        _ => match path.strip_prefix('/').and_then(|rest| rest.strip_prefix(pool.pool_id.as_str())) {
            Some("/.well-known/openid-configuration") => PoolEndpoint::Discovery,
            Some("/.well-known/jwks.json") => PoolEndpoint::Jwks,
            _ => return (request, Vec::new(), None),
        },
    };
    (request, vec![endpoint], None)
}

/// Reads the body to see the grant, and puts it back for the handler.
async fn identify_grant(pool: &PoolState, request: Request) -> (Request, Vec<PoolEndpoint>, Option<String>) {
    let (parts, body) = request.into_parts();
    let bytes = body::to_bytes(body, BODY_LIMIT).await.unwrap_or_default();
    let form = Params::parse(&bytes);
    let grant = match form.get("grant_type") {
        Some("authorization_code") => Some(PoolEndpoint::TokenCode),
        Some("refresh_token") => Some(PoolEndpoint::TokenRefresh),
        Some("client_credentials") => Some(PoolEndpoint::TokenClientCredentials),
        _ => None,
    };
    let endpoints = grant.into_iter().chain([PoolEndpoint::Token]).collect();
    let now = pool.now();
    let renewed = form.get("refresh_token").and_then(|token| pool.world().refresh_grant(token, now));
    let renewed = renewed.map(|grant| grant.sign_in.username);
    (Request::from_parts(parts, Body::from(bytes)), endpoints, renewed)
}
