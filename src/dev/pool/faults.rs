//! The faults that a test has set, and the number of requests that the endpoints have had. `fault_layer` applies them.

use super::jwt::UnsignedJwt;
use serde_json::{Map, Value};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// The genuine answer with another body, made from its own: see [`Fault::rewrite`].
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

/// How federated sign-ins fail, when a test wants them to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FederationFault {
    /// The first attempt ends in "Already found an entry for username …"; the next succeeds.
    AlreadyFoundEntryOnce,
    /// Every attempt ends like that.
    AlreadyFoundEntryAlways,
    /// The user denied access at the identity provider.
    AccessDenied,
    /// The pool could not reach the identity provider.
    Timeout,
}

/// A change of a JWT before it is signed.
pub(super) type JwtEdit = Arc<dyn Fn(&mut UnsignedJwt) + Send + Sync>;

/// Everything that a test can make go wrong.
#[derive(Default)]
pub(super) struct Faults {
    pub(super) requests: HashMap<PoolEndpoint, u64>,
    /// What the last request to an endpoint had for a `traceparent`.
    pub(super) traceparents: HashMap<PoolEndpoint, Option<String>>,
    pub(super) standing: HashMap<PoolEndpoint, Fault>,
    pub(super) once: HashMap<PoolEndpoint, VecDeque<Fault>>,
    /// By the user whose tokens are refreshed.
    pub(super) refreshes: HashMap<String, Fault>,
    pub(super) federation: Option<FederationFault>,
    pub(super) id_token: Option<JwtEdit>,
    pub(super) access_token: Option<JwtEdit>,
    /// Bytes of custom attributes that an ID token gets in addition.
    pub(super) id_token_padding: usize,
    pub(super) errors_without_state: bool,
    pub(super) ignores_prompt: bool,
    pub(super) escape_slashes: bool,
    pub(super) code_reuse_revokes: bool,
}

impl Faults {
    /// Ends the faults of the endpoints and of federated sign-ins.
    pub(super) fn clear(&mut self) {
        self.standing.clear();
        self.once.clear();
        self.refreshes.clear();
        self.federation = None;
    }

    /// Counts a request and picks its fault: first that of the user whose tokens are refreshed, then one-off before
    /// standing ones, the particular endpoint before the general.
    pub(super) fn take(&mut self, endpoints: &[PoolEndpoint], refreshed: Option<&str>) -> Option<Fault> {
        for &endpoint in endpoints {
            *self.requests.entry(endpoint).or_default() += 1;
        }
        if let Some(fault) = refreshed.and_then(|username| self.refreshes.get(username)) {
            return Some(fault.clone());
        }
        let once = endpoints.iter().find_map(|endpoint| self.once.get_mut(endpoint).and_then(VecDeque::pop_front));
        once.or_else(|| endpoints.iter().find_map(|endpoint| self.standing.get(endpoint).cloned()))
    }
}
