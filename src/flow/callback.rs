//! The browser comes back from the provider (OIDC Core §3.1.2.5).
//!
//! 1. The transaction is the one whose state came back; without one, a live session goes on.
//! 2. Age, state and issuer are judged before the code is spent ([`Transaction::accept`]).
//! 3. Cognito's linking quirk gets one more try.
//! 4. The code is exchanged and the tokens are judged.
//! 5. A new session under a new id; the browser's old one ends.

use super::{Error, RelyingParty, SignIn};
use crate::domain::return_to::ReturnTo;
use crate::domain::session::{Session, SessionId};
use crate::domain::transaction::{CallbackParams, CallbackRefused, ProviderRefusal, Transaction};
use crate::provider::Hints;
use crate::store::Live;
use std::sync::Arc;
use url::Url;

/// Where a callback ends.
#[derive(Debug)]
pub enum Landing {
    /// Signed in: a new session.
    SignedIn(Arc<Live>),
    /// The callback was used before, and its browser is signed in.
    Already(ReturnTo),
    /// Once more to the provider.
    Retry(Transaction, Url),
}

/// A callback that failed, with where the browser wanted to go, so that trying again leads there.
#[derive(Debug)]
pub struct CallbackFailed {
    /// Why.
    pub error: Error,
    /// The target of the sign-in, if it is known.
    pub return_to: Option<ReturnTo>,
}

impl RelyingParty {
    /// Ends a sign-in. `transaction` is the one that belongs to the state, `live` the browser's session.
    ///
    /// # Errors
    /// [`CallbackFailed`]; nothing was stored.
    pub async fn callback(
        self: &Arc<Self>,
        params: CallbackParams,
        transaction: Option<Transaction>,
        live: Option<&Live>,
    ) -> Result<Landing, CallbackFailed> {
        let wanted = transaction.as_ref().map(|t| t.return_to.clone());
        let outcome = self.land(params, transaction, live).await;
        self.metrics.sign_in(match &outcome {
            Ok(Landing::SignedIn(_)) => "signed_in",
            Ok(Landing::Already(_)) => "already",
            Ok(Landing::Retry(..)) => "retried",
            Err(Error::Callback(CallbackRefused::Provider(_))) => "refused_by_provider",
            Err(Error::Callback(_) | Error::UnknownSignIn) => "bad_callback",
            Err(Error::Provider(crate::provider::Error::Token(_))) => "bad_token",
            Err(Error::Provider(_)) => "provider_failed",
            Err(_) => "store_failed",
        });
        outcome.map_err(|error| CallbackFailed { error, return_to: wanted })
    }

    async fn land(
        self: &Arc<Self>,
        params: CallbackParams,
        transaction: Option<Transaction>,
        live: Option<&Live>,
    ) -> Result<Landing, Error> {
        let tag = params.state.as_deref().map(Transaction::tag).unwrap_or_default();
        let Some(transaction) = transaction else {
            return match (live, params.error) {
                // A reload of a callback that did its work.
                (Some(live), None) => Ok(Landing::Already(self.arrived_at(live, &tag))),
                // Cognito does not always return the state with an error. It decides nothing; it is shown, without
                // a text that anybody could have put into the link.
                (None, Some(refusal)) if params.state.is_none() => {
                    Err(CallbackRefused::Provider(ProviderRefusal { description: None, ..refusal }).into())
                }
                _ => Err(Error::UnknownSignIn),
            };
        };
        let (return_to, provider, retried) =
            (transaction.return_to.clone(), transaction.provider.clone(), transaction.retried);
        let accepted = match transaction.accept(params, self.provider.issuer(), self.clock.now()) {
            Err(CallbackRefused::Provider(refusal)) if !retried && self.provider.is_linking_quirk(&refusal) => {
                let again = self.begin(return_to, provider, Hints::default(), true).await?;
                return Ok(match again {
                    SignIn::Begin(transaction, location) => Landing::Retry(transaction, location),
                    SignIn::Already(return_to) => Landing::Already(return_to),
                });
            }
            accepted => accepted?,
        };
        let (verified, transaction) = self.provider.exchange(accepted).await?;
        let now = self.clock.now();
        let session = Session {
            principal: verified.principal,
            tokens: verified.tokens,
            arrival: (tag, transaction.return_to),
            started: now,
            ends: now.saturating_add(self.max_age),
            version: 1,
        };
        let id = self.sessions.create(&session).await?;
        if let Some(old) = live {
            self.retire(old.id).await;
        }
        let gone = || Error::Store(crate::store::Error("a session vanished right after it was created".into()));
        Ok(Landing::SignedIn(self.sessions.load(id).await?.ok_or_else(gone)?))
    }

    fn arrived_at(&self, live: &Live, tag: &str) -> ReturnTo {
        let (arrived, return_to) = &live.session.arrival;
        if arrived == tag { return_to.clone() } else { self.return_to.choose(None) }
    }

    /// Ends the session that a new one replaces, without making the browser wait.
    async fn retire(self: &Arc<Self>, id: SessionId) {
        match self.sessions.end(id).await {
            Ok(Some(old)) => self.revoke_later(old.tokens.refresh),
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the browser's old session could not be ended"),
        }
    }
}
