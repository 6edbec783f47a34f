//! A Lambda authorizer: who makes a request at API Gateway or AppSync, and whether they may; event in, answer out.
//!
//! | event | allowed | known, but not allowed | no or dead credentials |
//! |---|---|---|---|
//! | REST API, `TOKEN` and `REQUEST`; HTTP API, payload 1.0 | a policy that allows the method asked for | a policy that denies it (403) | the error `Unauthorized` (401) |
//! | HTTP API, payload 2.0 | `isAuthorized: true` | `isAuthorized: false` (403) | the error `Unauthorized` (401) |
//! | AppSync | `isAuthorized: true` | `isAuthorized: false` (401) | the same |
//!
//! Whatever cannot be decided (the service or the provider is away, the event is none of these) is another error: API
//! Gateway answers 500 and remembers nothing, where a refusal would be cached.
//!
//! - [`AuthorizerSettings`]: what is read from the function's environment, once
//! - `event`, `answer`: what is asked, and how it is answered, as functions without I/O
//! - `bearers`, `validate`: the edges; bearer tokens are verified here or at `/validate`, sessions only there

mod answer;
mod bearers;
mod event;
mod failure;
mod settings;
mod validate;

pub use failure::AuthorizationFailure;
pub use settings::{AcceptedCredentials, AuthorizerSettings};

use crate::domain::clock::Clock;
use crate::domain::principal::Principal;
use bearers::BearerVerifier;
use event::{AuthorizerRequest, PresentedCredentials};
use serde_json::Value;
use std::sync::Arc;
use validate::RemoteValidator;

/// Decides who may call an API.
#[derive(Debug)]
pub struct Authorizer {
    settings: AuthorizerSettings,
    bearers: Option<BearerVerifier>,
    validate: Option<RemoteValidator>,
    clock: Arc<dyn Clock>,
}

impl Authorizer {
    /// Ready for events; asks nobody yet.
    ///
    /// # Errors
    /// A sentence if the TLS set-up of this machine cannot be loaded.
    pub fn new(settings: AuthorizerSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let bearers = settings.provider.as_deref();
        let bearers = bearers.map(|config| BearerVerifier::new(config, settings.timeout, clock.clone())).transpose()?;
        let validate = settings.validate_url.as_ref().map(|_| RemoteValidator::new(&settings)).transpose()?;
        Ok(Self { settings, bearers, validate, clock })
    }

    /// Reads the provider's keys before the first event, while Lambda starts the function. A failure is logged.
    pub async fn prepare(&self) {
        if let Some(bearers) = &self.bearers {
            let _ = tokio::time::timeout(self.settings.timeout, bearers.renew_old_keys()).await;
        }
    }

    /// Answers an event.
    ///
    /// # Errors
    /// [`AuthorizationFailure`], which API Gateway answers with 401 if its text is `Unauthorized`, else with 500.
    pub async fn answer(&self, event: &Value) -> Result<Value, AuthorizationFailure> {
        let decided = async {
            let request = AuthorizerRequest::read(event, self.settings.credentials)?;
            let timeout = self.settings.timeout;
            let late = |_| AuthorizationFailure::Unavailable(format!("no decision within {timeout:?}"));
            let decided = tokio::time::timeout(timeout, self.decide(&request.credentials)).await.map_err(late);
            match decided.flatten().inspect_err(AuthorizationFailure::log) {
                Ok(principal) => Ok(request.form.allow(&principal, self.settings.ttl, self.clock.now())),
                Err(failure) => request.form.refuse(failure),
            }
        };
        decided.await
    }

    async fn decide(&self, credentials: &PresentedCredentials) -> Result<Principal, AuthorizationFailure> {
        let unauthorized = |reason: &str| Err(AuthorizationFailure::Unauthorized(reason.to_owned()));
        let principal = match (credentials, &self.bearers, &self.validate) {
            (PresentedCredentials::None, ..) => return unauthorized("there are no credentials"),
            (PresentedCredentials::Unreadable(why), ..) => return unauthorized(why),
            (PresentedCredentials::Bearer(token), Some(bearers), _) => bearers.verify(token).await?.principal,
            (_, _, Some(validate)) => validate.identify(credentials).await?,
            (_, _, None) => return unauthorized("such credentials are not accepted"),
        };
        // At /validate too: an answer that somebody else has made up opens no more than it says.
        let requirement = &self.settings.requirement;
        if let Err(missing) = requirement.check(&principal) {
            return Err(AuthorizationFailure::denied(&principal.sub, "insufficient_scope", &missing.to_string()));
        }
        match requirement.authentication.is_met(&principal, self.clock.now()) {
            true => Ok(principal),
            false => Err(AuthorizationFailure::denied(
                &principal.sub,
                "insufficient_user_authentication",
                "the authentication is too old, or of another class",
            )),
        }
    }
}
