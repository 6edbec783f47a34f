//! Asks auth-api's `/validate`, which knows sessions and what was revoked.

use super::event::PresentedCredentials;
use super::failure::AuthorizationFailure;
use super::settings::AuthorizerSettings;
use crate::domain::principal::Principal;
use crate::outbound::{OutboundClient, OutboundError, Request, Response};
use http::header::{ACCEPT, AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use serde_json::Value;
use std::time::Duration;

/// Shorter than a load balancer or the service itself keeps a connection open.
const IDLE: Duration = Duration::from_secs(50);
/// What RFC 9470 §3 calls an authentication that is not good enough.
const STEP_UP: &str = "insufficient_user_authentication";

/// Asks `/validate` over connections that are kept.
#[derive(Debug)]
pub struct RemoteValidator {
    http: OutboundClient,
    /// The address with the requirements in its query.
    address: String,
}

impl RemoteValidator {
    /// Its every attempt takes at most half of the time that there is: a connection may have died while the function
    /// was frozen, and then there is a second one.
    pub fn new(settings: &AuthorizerSettings) -> Result<Self, String> {
        let http = OutboundClient::new("auth-api-authorizer", settings.timeout / 2, IDLE)?;
        Ok(Self { http, address: settings.validate_address() })
    }

    /// Who shows `credentials`.
    pub async fn identify(&self, credentials: &PresentedCredentials) -> Result<Principal, AuthorizationFailure> {
        let unavailable = |error: OutboundError| AuthorizationFailure::Unavailable(format!("/validate: {error}"));
        let request = || {
            let request = http::Request::get(&self.address).header(ACCEPT, "application/json");
            let request = match credentials {
                PresentedCredentials::Bearer(token) => request.header(AUTHORIZATION, format!("Bearer {token}")),
                PresentedCredentials::Cookie(cookies) => request.header(COOKIE, cookies),
                PresentedCredentials::None | PresentedCredentials::Unreadable(_) => request,
            };
            let unreadable = |_| AuthorizationFailure::Unauthorized("the credentials fit into no header".to_owned());
            request.body(vec![]).map_err(unreadable)
        };
        let response = match self.call(request()?).await {
            Err(OutboundError::Network { .. }) => self.call(request()?).await,
            answered => answered,
        };
        judge(&response.map_err(unavailable)?)
    }

    async fn call(&self, request: Request) -> Result<Response, OutboundError> {
        self.http.call(request).await
    }
}

/// What an answer of `/validate` means. Whatever it does not say in so many words, it does not say.
fn judge(response: &Response) -> Result<Principal, AuthorizationFailure> {
    let challenge = response.headers().get_all(WWW_AUTHENTICATE).iter().any(|value| {
        let value = String::from_utf8_lossy(value.as_bytes());
        value.contains(STEP_UP)
    });
    let denied = |code, reason: &str| AuthorizationFailure::Denied { sub: None, code, reason: reason.to_owned() };
    match response.status().as_u16() {
        200 => principal(response.body())
            .ok_or_else(|| AuthorizationFailure::Unavailable("/validate answered 200 without saying who it is".into())),
        401 if challenge => Err(denied(STEP_UP, "/validate wants another authentication")),
        401 => Err(AuthorizationFailure::Unauthorized("/validate answered 401".into())),
        403 => Err(denied("insufficient_scope", "/validate answered 403")),
        status => Err(AuthorizationFailure::Unavailable(format!("/validate answered {status}"))),
    }
}

/// The principal of an answer. A service that is older or newer than this function may say less or more.
fn principal(body: &[u8]) -> Option<Principal> {
    let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
    let active = answer.get("active") == Some(&Value::Bool(true));
    let (kind, sub) = (answer.get("kind")?.as_str()?, answer.get("sub")?.as_str()?);
    if !active || kind.is_empty() || sub.is_empty() {
        return None;
    }
    let mut whole = serde_json::to_value(Principal::default()).ok()?;
    whole.as_object_mut()?.extend(answer);
    serde_json::from_value(whole).ok()
}
