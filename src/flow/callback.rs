//! The browser comes back from the provider (OIDC Core §3.1.2.5).
//!
//! 1. The transaction is the one whose state came back; without one, a live session goes on.
//! 2. Age, state and issuer are judged before the code is spent ([`Transaction::accept`]).
//! 3. Cognito's linking quirk gets one more try.
//! 4. The code is claimed in the store before it is spent: once in the whole fleet, and once and for all. Who
//!    claimed it exchanges it and judges the tokens; a copy of the callback, here or at another process, gets
//!    the session that this made.
//! 5. The policy says who may sign in at all.
//! 6. A new session under a new id.
//! 7. An authentication from before a sign-out from elsewhere does not count: the browser is sent to authenticate
//!    again, once. Judged when the session is listed already, so that a sign-out everywhere at the same time either
//!    ends it or is found here.
//! 8. The browser's old sessions end.

use super::{AccessDenied, Error, RelyingParty, lease_time, poll_pause};
use crate::audit::{self, AuditEvent, SessionEndedBy};
use crate::domain::authentication::is_recent;
use crate::domain::callback_key::CallbackKey;
use crate::domain::encoding::{decode, encode};
use crate::domain::principal::Principal;
use crate::domain::return_to::ReturnTo;
use crate::domain::session::{Device, Session, SessionId, SignInContext};
use crate::domain::sign_in::SignInIntent;
use crate::domain::token::TokenSet;
use crate::domain::transaction::{AuthorizationError, CallbackError, CallbackParams, Transaction, VerifiedCallback};
use crate::store::OpenedSession;
use crate::telemetry::traces::TARGET;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::instrument;
use url::Url;

/// How far the provider's clock may be behind ours.
const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Exchanges kept at hand, for callbacks that are sent twice.
const EXCHANGES: usize = 1_000;

/// What came of a code that was claimed.
type Exchanged = Result<Arc<OpenedSession>, Error>;

/// What came of callbacks lately, by the sign-in's tag. To ask for one takes the sealed cookie of that sign-in and its
/// state.
#[derive(Debug)]
pub(super) struct CodeExchanges(Cache<String, Exchanged>);

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
    /// The user has to authenticate again.
    AuthenticationRevoked,
    /// The same, for who asked for that.
    NotReauthenticated,
    /// The user has to authenticate in another way.
    AuthenticationTooWeak,
    /// None.
    Failed,
}

impl ExchangeOutcome {
    fn of(result: &Exchanged) -> Self {
        match result {
            Ok(opened) => Self::SignedIn(*opened.id.as_bytes()),
            Err(Error::NotAdmitted(denied)) => Self::NotAdmitted(denied.clone()),
            Err(Error::AuthenticationRevoked) => Self::AuthenticationRevoked,
            Err(Error::NotReauthenticated) => Self::NotReauthenticated,
            Err(Error::AuthenticationTooWeak) => Self::AuthenticationTooWeak,
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

/// Why a sign-in did not work out, for metrics and audit records.
fn failure_reason(error: &Error) -> &'static str {
    match error {
        Error::Cancelled(_) => "cancelled",
        Error::Callback(CallbackError::Provider(_)) => "refused_by_provider",
        Error::NotAdmitted(_) => "not_admitted",
        Error::AuthenticationRevoked => "authentication_revoked",
        Error::NotReauthenticated | Error::AuthenticationTooWeak => "insufficient_authentication",
        Error::Callback(_) | Error::UnknownSignIn => "bad_callback",
        Error::Provider(crate::provider::Error::Token(_)) => "bad_token",
        Error::Provider(_) => "provider_failed",
        Error::Audit(_) => "audit_failed",
        _ => "store_failed",
    }
}

fn failed_sign_in(error: &Error) -> AuditEvent {
    let (sub, detail) = match error {
        Error::Cancelled(refusal) | Error::Callback(CallbackError::Provider(refusal)) => {
            (None, Some(audit::text(&refusal.code)))
        }
        Error::NotAdmitted(denied) => (Some(audit::text(&denied.sub)), Some(audit::text(&denied.missing))),
        _ => (None, None),
    };
    AuditEvent::SignInFailed { reason: failure_reason(error), sub, detail }
}

/// What a failure is to the copies of its callback.
fn for_copies(error: &Error) -> Exchanged {
    Err(match error {
        Error::NotAdmitted(_)
        | Error::AuthenticationRevoked
        | Error::NotReauthenticated
        | Error::AuthenticationTooWeak => error.clone(),
        _ => Error::UnknownSignIn,
    })
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
        let intent = transaction.as_ref().map(|transaction| transaction.intent.clone());
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
            Err(error) => failure_reason(error),
        });
        if let Err(error) = &outcome {
            self.audit.record(&failed_sign_in(error));
        }
        outcome.map_err(|error| FailedCallback { error, intent })
    }

    #[instrument(target = TARGET, name = "callback", skip_all)]
    async fn complete(
        self: &Arc<Self>,
        params: CallbackParams,
        transaction: Option<Transaction>,
        opened: Option<&OpenedSession>,
        old: Vec<SessionId>,
        device: Device,
    ) -> Result<CallbackOutcome, Error> {
        let tag = params.state.as_deref().map(Transaction::tag).unwrap_or_default();
        let completed = opened.map(|opened| opened.session().sign_in).filter(|arrival| arrival.tag == tag);
        let Some(transaction) = transaction else {
            return match (opened, params.error) {
                // A reload of a callback that did its work.
                (Some(_), None) => Ok(CallbackOutcome::Already(
                    completed.map_or_else(|| self.rules().return_to.choose(None), |a| a.return_to),
                )),
                // Cognito does not always return the state with an error. It decides nothing; it is shown, without
                // a text that anybody could have put into the link.
                (None, Some(refusal)) if params.state.is_none() => {
                    Err(CallbackError::Provider(AuthorizationError { description: None, ..refusal }).into())
                }
                _ => Err(Error::UnknownSignIn),
            };
        };
        // Before the code is spent.
        self.audit.check()?;
        let begun = transaction.clone();
        let issuer = self.provider.expected_issuer().await?;
        let accepted = match transaction.accept(params, issuer, self.config.session.sign_in_timeout, self.clock.now()) {
            Err(CallbackError::Provider(refusal)) if !begun.retried && self.provider.is_linking_quirk(&refusal) => {
                return self
                    .retry(&begun, |next| {
                        next.retried = true;
                        // Who has just chosen or typed at the identity provider need not do it twice.
                        next.intent.prompt = None;
                    })
                    .await;
            }
            accepted => accepted?,
        };
        if completed.is_some() {
            return Ok(CallbackOutcome::Already(begun.intent.return_to));
        }
        let this = self.clone();
        let made = self.run_to_completion(async move {
            let mut own = None;
            let exchange = async {
                let exchanged = this.exchange_once(&tag, accepted, device).await?;
                Ok::<_, Error>(exchanged.or_else(|error| for_copies(own.insert(error))))
            };
            let exchanged = this.exchanges.0.get_or_insert_async(&tag, exchange).await?;
            let exchanged = own.map_or(exchanged, Err)?;
            this.end_replaced(old.into_iter().filter(|id| *id != exchanged.id)).await;
            this.end_oldest(&exchanged).await;
            // One that was remembered may have been ended since.
            this.sessions.load(exchanged.id).await?.ok_or(Error::UnknownSignIn)
        });
        match made.await {
            Err(Error::AuthenticationRevoked | Error::NotReauthenticated) if !begun.reauthenticate => {
                self.retry(&begun, |next| next.reauthenticate = true).await
            }
            made => Ok(CallbackOutcome::SignedIn(made?)),
        }
    }

    /// Sends the browser to the provider once more.
    async fn retry(&self, begun: &Transaction, mark: impl FnOnce(&mut Transaction)) -> Result<CallbackOutcome, Error> {
        let mut transaction = begun.again(self.clock.now());
        mark(&mut transaction);
        let location = self.provider.authorize_url(&transaction, None).await?;
        Ok(CallbackOutcome::Retry(Box::new(transaction), location))
    }

    /// Exchanges the code, or waits for who has claimed it. With an error, nobody has claimed it here.
    async fn exchange_once(
        self: &Arc<Self>,
        tag: &str,
        callback: VerifiedCallback,
        device: Device,
    ) -> Result<Exchanged, Error> {
        let key = callback.key();
        if !self.sessions.claim_code(&key).await? {
            return self.exchanged_elsewhere(&key).await;
        }
        let made = match self.make_session(tag, callback, device).await {
            Ok(opened) => self.record_sign_in(opened).await,
            failed => failed,
        };
        let outcome = encode(&ExchangeOutcome::of(&made));
        let record = async {
            if let Ok(opened) = &made {
                self.record_signed_in(&opened.principal()).await;
            }
        };
        let (published, ()) = tokio::join!(self.sessions.publish_exchange(&key, &outcome), record);
        if let Err(error) = published {
            tracing::warn!(%error, "callback outcome publish failed: duplicate callbacks must sign in again");
        }
        Ok(made)
    }

    /// Waits for the outcome of an exchange at another process. One that died in the middle of it leaves none.
    async fn exchanged_elsewhere(&self, key: &CallbackKey) -> Result<Exchanged, Error> {
        let deadline = Instant::now() + lease_time(&self.config);
        for looks in 0.. {
            if let Some(outcome) = self.sessions.exchange_outcome(key).await? {
                return Ok(match decode(&outcome) {
                    Some(ExchangeOutcome::SignedIn(id)) => {
                        self.sessions.load(SessionId::from_bytes(id)).await?.ok_or(Error::UnknownSignIn)
                    }
                    Some(ExchangeOutcome::NotAdmitted(denied)) => Err(Error::NotAdmitted(denied)),
                    Some(ExchangeOutcome::AuthenticationRevoked) => Err(Error::AuthenticationRevoked),
                    Some(ExchangeOutcome::NotReauthenticated) => Err(Error::NotReauthenticated),
                    Some(ExchangeOutcome::AuthenticationTooWeak) => Err(Error::AuthenticationTooWeak),
                    Some(ExchangeOutcome::Failed) | None => Err(Error::UnknownSignIn),
                });
            }
            if self.sessions.is_single_process() || Instant::now() > deadline {
                break;
            }
            tokio::time::sleep(poll_pause(looks)).await;
        }
        Ok(Err(Error::UnknownSignIn))
    }

    async fn make_session(
        self: &Arc<Self>,
        tag: &str,
        callback: VerifiedCallback,
        device: Device,
    ) -> Result<Arc<OpenedSession>, Error> {
        let (verified, transaction) = self.exchange(callback).await?;
        if let Err(missing) = self.rules().policy.admit(&verified.principal) {
            self.revoke_later(verified.token_set.refresh);
            let denied = AccessDenied {
                sub: verified.principal.sub,
                issuer: None,
                client: None,
                page: None,
                rule: None,
                missing,
            };
            return Err(Error::NotAdmitted(Box::new(denied)));
        }
        let now = self.clock.now();
        let session = Session {
            principal: verified.principal,
            tokens: verified.tokens,
            sign_in: SignInContext { tag: tag.to_owned(), return_to: transaction.intent.return_to.clone(), device },
            started: now,
            renewed: now,
            ends: now + self.config.session.max_age,
            version: 1,
            refresh_version: 1,
        };
        let refresh = verified.token_set.refresh.clone();
        match self.create_if_authenticated(session, verified.token_set, &transaction).await {
            Err(error) => {
                self.revoke_later(refresh);
                Err(error)
            }
            created => created,
        }
    }

    /// Creates a session, and ends it where its authentication is not what `transaction` is about.
    async fn create_if_authenticated(
        &self,
        session: Session,
        tokens: TokenSet,
        transaction: &Transaction,
    ) -> Result<Arc<OpenedSession>, Error> {
        let created = self.sessions.create(session, tokens).await?;
        match self.judge_authentication(&created.principal(), transaction).await {
            Ok(()) => Ok(created),
            Err(error) => {
                self.sessions.end(created.id).await?;
                Err(error)
            }
        }
    }

    /// Nobody is handed a session whose record had to be written and is not.
    async fn record_sign_in(self: &Arc<Self>, opened: Arc<OpenedSession>) -> Exchanged {
        let (user, session) = (opened.principal(), opened.id.key().handle());
        let (sub, username) = (audit::text(&user.sub), audit::text(&user.username));
        let event = AuditEvent::SignIn { sub, username, provider: user.provider.as_ref().map(audit::text), session };
        let Err(error) = self.audit.record_if_required(&event).await else { return Ok(opened) };
        if let Some(ended) = self.sessions.end(opened.id).await? {
            self.revoke_later(ended.tokens.and_then(|tokens| tokens.refresh));
        }
        self.record_ended(&user.sub, opened.id.key().handle(), SessionEndedBy::AuditFailure);
        Err(error.into())
    }

    async fn judge_authentication(&self, user: &Principal, transaction: &Transaction) -> Result<(), Error> {
        // Whenever the sign-in began: it may have waited in another tab while the user authenticated, and was signed out.
        if let Some(auth_time) = user.auth_time
            && self.sessions.is_authentication_revoked(&user.sub, auth_time).await?
        {
            return Err(Error::AuthenticationRevoked);
        }
        let asked = &transaction.intent.authentication;
        // Who was sent to authenticate again may have done so at a provider whose clock is behind ours.
        let leeway = if transaction.reauthenticate { CLOCK_SKEW } else { Duration::ZERO };
        let recent = |age: Duration| is_recent(user.auth_time, age.saturating_add(leeway), transaction.started);
        if !asked.max_age.is_none_or(recent) {
            return Err(Error::NotReauthenticated);
        }
        // The provider may leave it at less than was asked for (OIDC Core §3.1.2.1).
        match asked.admits_acr(user.acr.as_deref()) {
            true => Ok(()),
            false => Err(Error::AuthenticationTooWeak),
        }
    }

    /// Ends the sessions of a browser that has another one now, or none.
    pub async fn end_replaced(self: &Arc<Self>, old: impl IntoIterator<Item = SessionId>) {
        for id in old {
            match self.sessions.end(id).await {
                Ok(Some(ended)) => {
                    self.record_ended(&ended.session.principal.sub, id.key().handle(), SessionEndedBy::NewSignIn);
                    self.revoke_later(ended.tokens.and_then(|tokens| tokens.refresh));
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "replaced session end failed"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::encoding::releases::written;
    use crate::domain::requirement::MissingRequirement;

    #[test]
    fn what_any_release_made_of_a_callback_is_known() {
        let page = Some("https://cms.example.com/".into());
        let (sub, rule, missing) = ("34c8".into(), Some("admins".into()), MissingRequirement::Person);
        let denied = AccessDenied { sub, issuer: None, client: None, page, rule, missing };
        for (name, now) in [
            ("outcome_signed_in", ExchangeOutcome::SignedIn([7; 16])),
            ("outcome_not_admitted", ExchangeOutcome::NotAdmitted(Box::new(denied))),
            ("outcome_failed", ExchangeOutcome::Failed),
        ] {
            for bytes in written(name, &encode(&now)) {
                let read: ExchangeOutcome = decode(&bytes).unwrap();
                assert_eq!(format!("{read:?}"), format!("{now:?}"));
            }
        }
    }
}
