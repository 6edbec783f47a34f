//! The browser comes back from the provider (OIDC Core §3.1.2.5).
//!
//! 1. The transaction is the one whose state came back; without one, a live session goes on.
//! 2. Age, state and issuer are judged before the code is spent ([`Transaction::accept`]).
//! 3. Cognito's linking quirk gets one more try.
//! 4. The code is claimed in the store before it is spent: once in the whole fleet, and once and for all. Who
//!    claimed it exchanges it and judges the tokens; a copy of the callback, here or at another process, gets
//!    the session that this made.
//! 5. The policy says who may sign in at all.
//! 6. A new session under a new id; the browser's old ones end.

use super::{AccessDenied, Error, RelyingParty, lease_time, poll_pause};
use crate::domain::callback_key::CallbackKey;
use crate::domain::return_to::ReturnTo;
use crate::domain::session::{Device, Session, SessionId, SignInContext};
use crate::domain::transaction::{
    AuthorizationError, CallbackError, CallbackParams, SignInIntent, Transaction, VerifiedCallback,
};
use crate::provider::AuthorizationHints;
use crate::store::OpenedSession;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tokio::time::Instant;
use url::Url;

/// Exchanges kept at hand, for callbacks that are sent twice.
const EXCHANGES: usize = 1_000;

/// The sessions that callbacks made lately, by the sign-in's tag. To ask for one takes the sealed cookie
/// of that sign-in and its state.
#[derive(Debug)]
pub(super) struct CodeExchanges(Cache<String, Arc<OpenedSession>>);

impl Default for CodeExchanges {
    fn default() -> Self {
        Self(Cache::new(EXCHANGES))
    }
}

/// What came of an exchange, for the copies of its callback.
#[derive(Debug, Serialize, Deserialize)]
enum ExchangeOutcome {
    /// A session with this id.
    SignedIn([u8; 16]),
    /// The policy does not admit the user.
    NotAdmitted(Box<AccessDenied>),
    /// None.
    Failed,
}

impl ExchangeOutcome {
    fn of(result: &Result<Arc<OpenedSession>, Error>) -> Self {
        match result {
            Ok(opened) => Self::SignedIn(*opened.id.as_bytes()),
            Err(Error::NotAdmitted(denied)) => Self::NotAdmitted(denied.clone()),
            Err(_) => Self::Failed,
        }
    }
}

/// Where a callback ends.
#[derive(Debug)]
pub enum CallbackOutcome {
    /// Signed in: a new session.
    SignedIn(Arc<OpenedSession>),
    /// The callback was used before, and its browser is signed in.
    Already(ReturnTo),
    /// Once more to the provider.
    Retry(Box<Transaction>, Url),
}

/// A callback that failed, with what its sign-in was asked for, so that trying again leads there.
#[derive(Debug)]
pub struct FailedCallback {
    /// Why.
    pub error: Error,
    /// What the sign-in was asked for, if it is known.
    pub intent: Option<SignInIntent>,
}

impl RelyingParty {
    /// Ends a sign-in. `transaction` is the one that belongs to the state; `opened` the browser's session,
    /// `old` all ids that it sent, `device` what shows of it.
    ///
    /// # Errors
    /// [`FailedCallback`]; nothing was stored.
    pub async fn callback(
        self: &Arc<Self>,
        params: CallbackParams,
        transaction: Option<Transaction>,
        opened: Option<&OpenedSession>,
        old: Vec<SessionId>,
        device: Device,
    ) -> Result<CallbackOutcome, FailedCallback> {
        let intent = transaction.as_ref().map(Transaction::intent);
        let outcome = self.complete(params, transaction, opened, old, device).await.map_err(|error| match error {
            Error::Callback(CallbackError::Provider(refusal)) if self.provider.is_cancellation(&refusal) => {
                Error::Cancelled(refusal)
            }
            other => other,
        });
        self.metrics.sign_in(match &outcome {
            Ok(CallbackOutcome::SignedIn(_)) => "signed_in",
            Ok(CallbackOutcome::Already(_)) => "already",
            Ok(CallbackOutcome::Retry(..)) => "retried",
            Err(Error::Cancelled(_)) => "cancelled",
            Err(Error::Callback(CallbackError::Provider(_))) => "refused_by_provider",
            Err(Error::NotAdmitted(_)) => "not_admitted",
            Err(Error::Callback(_) | Error::UnknownSignIn) => "bad_callback",
            Err(Error::Provider(crate::provider::Error::Token(_))) => "bad_token",
            Err(Error::Provider(_)) => "provider_failed",
            Err(_) => "store_failed",
        });
        outcome.map_err(|error| FailedCallback { error, intent })
    }

    async fn complete(
        self: &Arc<Self>,
        params: CallbackParams,
        transaction: Option<Transaction>,
        opened: Option<&OpenedSession>,
        old: Vec<SessionId>,
        device: Device,
    ) -> Result<CallbackOutcome, Error> {
        let tag = params.state.as_deref().map(Transaction::tag).unwrap_or_default();
        let completed = opened.map(|opened| &opened.session.sign_in).filter(|arrival| arrival.tag == tag);
        let Some(transaction) = transaction else {
            return match (opened, params.error) {
                // A reload of a callback that did its work.
                (Some(_), None) => Ok(CallbackOutcome::Already(
                    completed.map_or_else(|| self.return_to.choose(None), |a| a.return_to.clone()),
                )),
                // Cognito does not always return the state with an error. It decides nothing; it is shown, without
                // a text that anybody could have put into the link.
                (None, Some(refusal)) if params.state.is_none() => {
                    Err(CallbackError::Provider(AuthorizationError { description: None, ..refusal }).into())
                }
                _ => Err(Error::UnknownSignIn),
            };
        };
        let (return_to, provider, retried) =
            (transaction.return_to.clone(), transaction.provider.clone(), transaction.retried);
        let issuer = self.provider.expected_issuer().await?;
        let accepted = match transaction.accept(params, issuer, self.config.session.sign_in_timeout, self.clock.now()) {
            Err(CallbackError::Provider(refusal)) if !retried && self.provider.is_linking_quirk(&refusal) => {
                let (transaction, location) =
                    self.begin(return_to, provider, AuthorizationHints::default(), true).await?;
                return Ok(CallbackOutcome::Retry(Box::new(transaction), location));
            }
            accepted => accepted?,
        };
        if completed.is_some() {
            return Ok(CallbackOutcome::Already(return_to));
        }
        let this = self.clone();
        let made = self.run_to_completion(async move {
            let exchanged =
                this.exchanges.0.get_or_insert_async(&tag, this.exchange_once(&tag, accepted, device)).await?;
            this.end_replaced(old.into_iter().filter(|id| *id != exchanged.id)).await;
            this.end_oldest(&exchanged).await;
            // One that was remembered may have been ended since.
            this.sessions.load(exchanged.id).await?.ok_or(Error::UnknownSignIn)
        });
        Ok(CallbackOutcome::SignedIn(made.await?))
    }

    /// Exchanges the code, or waits for who has claimed it.
    async fn exchange_once(
        self: &Arc<Self>,
        tag: &str,
        callback: VerifiedCallback,
        device: Device,
    ) -> Result<Arc<OpenedSession>, Error> {
        let key = callback.key();
        if !self.sessions.claim_code(&key).await? {
            return self.exchanged_elsewhere(&key).await;
        }
        let made = self.make_session(tag, callback, device).await;
        let outcome = postcard::to_stdvec(&ExchangeOutcome::of(&made)).expect("an outcome is plain data");
        if let Err(error) = self.sessions.publish_exchange(&key, &outcome).await {
            tracing::warn!(%error, "callback outcome publish failed: duplicate callbacks must sign in again");
        }
        made
    }

    /// Waits for the outcome of an exchange. A process that died in the middle of it leaves none.
    async fn exchanged_elsewhere(&self, key: &CallbackKey) -> Result<Arc<OpenedSession>, Error> {
        let deadline = Instant::now() + lease_time(&self.config);
        for looks in 0.. {
            if let Some(outcome) = self.sessions.exchange_outcome(key).await? {
                return match postcard::from_bytes(&outcome) {
                    Ok(ExchangeOutcome::SignedIn(id)) => {
                        self.sessions.load(SessionId::from_bytes(id)).await?.ok_or(Error::UnknownSignIn)
                    }
                    Ok(ExchangeOutcome::NotAdmitted(denied)) => Err(Error::NotAdmitted(denied)),
                    Ok(ExchangeOutcome::Failed) | Err(_) => Err(Error::UnknownSignIn),
                };
            }
            if Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(poll_pause(looks)).await;
        }
        Err(Error::UnknownSignIn)
    }

    async fn make_session(
        self: &Arc<Self>,
        tag: &str,
        callback: VerifiedCallback,
        device: Device,
    ) -> Result<Arc<OpenedSession>, Error> {
        let (verified, transaction) = self.exchange(callback).await?;
        if let Err(missing) = self.policy.admit(&verified.principal) {
            self.revoke_later(verified.tokens.refresh);
            let denied = AccessDenied { sub: verified.principal.sub, page: None, rule: None, missing };
            return Err(Error::NotAdmitted(Box::new(denied)));
        }
        let now = self.clock.now();
        let session = Session {
            principal: verified.principal,
            tokens: verified.tokens,
            sign_in: SignInContext { tag: tag.to_owned(), return_to: transaction.return_to, device },
            started: now,
            renewed: now,
            ends: now + self.config.session.max_age,
            version: 1,
        };
        let refresh = session.tokens.refresh.clone();
        let created = self.sessions.create(session).await;
        if created.is_err() {
            self.revoke_later(refresh);
        }
        Ok(created?)
    }

    /// Ends the sessions of a browser that has another one now, or none.
    pub async fn end_replaced(self: &Arc<Self>, old: impl IntoIterator<Item = SessionId>) {
        for id in old {
            match self.sessions.end(id).await {
                Ok(Some(old)) => self.revoke_later(old.tokens.refresh),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "replaced session end failed"),
            }
        }
    }
}
