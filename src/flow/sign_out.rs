//! Sign-out, of a browser or of a user everywhere.
//!
//! 1. Everywhere: the user's other sessions are ended. The browser's own comes last, so that it can ask again
//!    if one of them may still be alive.
//! 2. The browser's sessions are deleted: whatever fails after this, they are over.
//! 3. Their refresh tokens are revoked at the provider (RFC 7009), best effort and time-boxed. Everywhere means those of
//!    other app clients too, where the granted scopes allow to say so.
//! 4. The browser goes to the provider's logout, or that page would sign it straight back in.

use super::{Error, RelyingParty};
use crate::audit::{self, AuditEvent, SessionEndedBy};
use crate::domain::session::SessionId;
use crate::domain::store_key::IndexKey;
use crate::provider::USER_POOLS_SCOPE;
use crate::store::{ListedSession, RemovedListed, RemovedSession};
use crate::telemetry::in_current_spans;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

/// Revocations at once.
const MAX_CONCURRENT: usize = 16;
/// How long a sign-out waits for the provider to revoke tokens, if the provider may take as long.
const REVOCATION: Duration = Duration::from_secs(3);

/// Where a signed-out browser goes.
#[derive(Debug)]
pub struct SignOutRedirect {
    /// The provider's logout; `None` if it has none or was never reached.
    pub provider_logout: Option<url::Url>,
    /// Whether a session ended. Without one nobody knows whose others were to end.
    pub was_signed_in: bool,
}

/// Tokens of sessions that have ended.
#[derive(Default)]
struct EndedTokens {
    /// Whether there was a session, with tokens or without.
    was_signed_in: bool,
    /// To be revoked.
    refresh: Vec<SecretString>,
    /// One of the browser's own, for the provider's logout.
    id: Option<SecretString>,
    /// With these the provider can be told to end everything of their users.
    global: Vec<SecretString>,
}

impl RelyingParty {
    /// Ends the sessions behind `ids` (one, unless a sibling planted others) and, with `everywhere`, all
    /// others of the users of those that are alive. `after` is where the provider's logout returns.
    ///
    /// # Errors
    /// [`Error::Store`]: a session may still be alive, and nobody must be told otherwise.
    pub async fn sign_out(
        self: &Arc<Self>,
        ids: Vec<SessionId>,
        everywhere: bool,
        after: String,
    ) -> Result<SignOutRedirect, Error> {
        let this = self.clone();
        self.run_to_completion(async move {
            let mut tokens = EndedTokens::default();
            let ended = this.end_with_others(&ids, everywhere, &mut tokens).await;
            // Before the revocations, which these access tokens do not outlive.
            let global = this.sign_out_globally(&tokens.global).await;
            if ended.is_err() || global {
                // Those that did end are not there to be ended a second time.
                this.revoke_later(tokens.refresh);
            } else {
                this.revoke_all(tokens.refresh).await;
            }
            ended?;
            let logout = timeout(this.revocation_time(), this.provider.logout_url(tokens.id.as_ref(), &after)).await;
            Ok(SignOutRedirect { provider_logout: logout.ok().flatten(), was_signed_in: tokens.was_signed_in })
        })
        .await
    }

    /// `tokens` gets those of what has ended, whatever fails.
    async fn end_with_others(
        &self,
        ids: &[SessionId],
        everywhere: bool,
        tokens: &mut EndedTokens,
    ) -> Result<(), Error> {
        if everywhere {
            self.end_others(ids, &mut tokens.refresh).await?;
        }
        let mut failed = None;
        // Every id is tried, whatever becomes of another.
        for id in ids {
            match self.sessions.end(*id).await {
                Ok(Some(RemovedSession { session, tokens: ended })) => {
                    self.metrics.sign_out();
                    tracing::info!(sub = %session.principal.sub, "session ended: signed out");
                    let (sub, handle) = (audit::text(&session.principal.sub), id.key().handle());
                    self.audit.record(&AuditEvent::SignOut { sub, session: handle, everywhere });
                    tokens.was_signed_in = true;
                    let Some(ended) = ended else { continue };
                    if everywhere && session.principal.scopes.iter().any(|scope| scope == USER_POOLS_SCOPE) {
                        tokens.global.push(ended.access);
                    }
                    tokens.refresh.extend(ended.refresh);
                    tokens.id.get_or_insert(ended.id);
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Ends the sessions of the same users as `ids`, but not those.
    async fn end_others(&self, ids: &[SessionId], refresh: &mut Vec<SecretString>) -> Result<(), Error> {
        let own: Vec<_> = ids.iter().map(|id| id.key().handle()).collect();
        let mut failed = None;
        for id in ids {
            let Some(opened) = self.sessions.load(*id).await? else { continue };
            let sub = &opened.principal().sub;
            self.sessions.require_reauthentication_of_user(sub).await?;
            let listed = self.sessions.list(IndexKey::user(sub)).await?;
            for other in listed.iter().filter(|listed| !own.contains(&listed.handle())) {
                match self.end_remotely(other, SessionEndedBy::User).await {
                    Ok(ended) => refresh.extend(ended.refresh),
                    Err(error) => failed = Some(error),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Ends a session that is not the one that asks: its browser has to authenticate again.
    pub(super) async fn end_remotely(
        &self,
        listed: &ListedSession,
        by: SessionEndedBy,
    ) -> Result<RemovedListed, Error> {
        self.sessions.require_reauthentication(listed).await?;
        self.end_listed_session(listed, by).await
    }

    /// Ends a session of a list. Its refresh token is left to be revoked.
    pub(super) async fn end_listed_session(
        &self,
        listed: &ListedSession,
        by: SessionEndedBy,
    ) -> Result<RemovedListed, Error> {
        let ended = self.sessions.end_listed(listed).await?;
        self.metrics.sign_out();
        self.record_ended(&ended.summary.sub, listed.handle(), by);
        tracing::info!(sub = %ended.summary.sub, "session ended: signed out from another session, by an operator or by the provider");
        Ok(ended)
    }

    pub(super) fn record_ended(&self, sub: &str, session: String, by: SessionEndedBy) {
        self.audit.record(&AuditEvent::SessionEnded { sub: audit::text(sub), session, by });
    }

    /// Has the provider end everything of the users of these access tokens. Whether it did.
    async fn sign_out_globally(&self, access: &[SecretString]) -> bool {
        let asking = try_join_all(access.iter().map(|access| self.provider.global_sign_out(access)));
        match timeout(self.revocation_time(), asking).await {
            Ok(Ok(users)) => !users.is_empty(),
            Ok(Err(error)) => {
                tracing::warn!(%error, "global sign-out failed");
                false
            }
            Err(_) => {
                tracing::warn!("global sign-out timed out");
                false
            }
        }
    }

    fn revocation_time(&self) -> Duration {
        REVOCATION.min(self.config.provider.timeout)
    }

    /// Revokes refresh tokens within one time limit for all. Returns how many it could not.
    pub(super) async fn revoke_all(&self, refresh: Vec<SecretString>) -> usize {
        let (all, revoked) = (refresh.len(), AtomicUsize::new(0));
        let revoking = futures_util::stream::iter(refresh).for_each_concurrent(MAX_CONCURRENT, async |refresh| {
            match self.provider.revoke(&refresh).await {
                Ok(()) => {
                    revoked.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "refresh token revocation failed"),
            }
        });
        if timeout(self.revocation_time(), revoking).await.is_err() {
            tracing::warn!("refresh token revocation timed out");
        }
        all - revoked.into_inner()
    }

    /// Revokes without making anybody wait.
    pub(super) fn revoke_later(self: &Arc<Self>, refresh: impl IntoIterator<Item = SecretString>) {
        let refresh: Vec<_> = refresh.into_iter().collect();
        if !refresh.is_empty() {
            let this = self.clone();
            let revoking = async move {
                this.revoke_all(refresh).await;
            };
            self.tasks.spawn(in_current_spans(revoking));
        }
    }
}
