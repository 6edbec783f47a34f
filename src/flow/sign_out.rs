//! Sign-out, of a browser or of a user everywhere.
//!
//! 1. Everywhere: the user's other sessions are ended. The browser's own comes last, so that it can ask again
//!    if one of them may still be alive.
//! 2. The browser's sessions are deleted: whatever fails after this, they are over.
//! 3. Their refresh tokens are revoked at the provider (RFC 7009), best effort and time-boxed.
//! 4. The browser goes to the provider's logout, or that page would sign it straight back in.

use super::{Error, RelyingParty};
use crate::domain::session::{Card, Mark, Session, SessionId};
use crate::store::Listed;
use futures_util::StreamExt;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::timeout;
use tracing::Instrument;

/// Revocations at once.
const AT_ONCE: usize = 16;

/// Where a signed-out browser goes.
#[derive(Debug)]
pub struct SignedOut {
    /// The provider's logout; `None` if it has none or was never reached.
    pub provider_logout: Option<url::Url>,
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
    ) -> Result<SignedOut, Error> {
        let this = self.clone();
        self.to_the_end(async move {
            let others = match everywhere {
                true => this.end_others(&ids).await?,
                false => vec![],
            };
            let ended = this.end_all(&ids).await?;
            let refresh = ended.iter().filter_map(|session| session.tokens.refresh.clone());
            this.revoke_all(refresh.chain(others).collect()).await;
            let id_token = ended.first().map(|session| &session.tokens.id);
            let logout = timeout(this.limits.revocation, this.provider.logout_url(id_token, &after)).await;
            Ok(SignedOut { provider_logout: logout.ok().flatten() })
        })
        .await
    }

    /// Ends the sessions of the same users as `ids`, but not those; returns the refresh tokens.
    async fn end_others(&self, ids: &[SessionId]) -> Result<Vec<SecretString>, Error> {
        let own: Vec<_> = ids.iter().map(|id| id.key().handle()).collect();
        let (mut refresh, mut failed) = (Vec::new(), None);
        for id in ids {
            let Some(live) = self.sessions.load(*id).await? else { continue };
            for listed in self.sessions.listed(Mark::user(&live.session.principal.sub)).await? {
                if own.contains(&listed.handle()) {
                    continue;
                }
                match self.end_from_afar(&listed).await {
                    Ok(card) => refresh.extend(card.and_then(|card| card.refresh)),
                    Err(error) => failed = Some(error),
                }
            }
        }
        match failed {
            Some(error) => {
                // Those that did end are not listed a second time.
                self.revoke_all(refresh).await;
                Err(error)
            }
            None => Ok(refresh),
        }
    }

    /// Every id is tried, whatever becomes of another.
    async fn end_all(&self, ids: &[SessionId]) -> Result<Vec<Session>, Error> {
        let mut ended = Vec::new();
        let mut failed = None;
        for id in ids {
            match self.sessions.end(*id).await {
                Ok(Some(session)) => {
                    self.metrics.sign_out();
                    tracing::info!(sub = %session.principal.sub, "signed out");
                    ended.push(session);
                }
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(ended),
        }
    }

    /// Ends a session of a list. `None` if it had ended meanwhile. Its refresh token is left to be revoked.
    pub(super) async fn end_from_afar(&self, listed: &Listed) -> Result<Option<Card>, Error> {
        let card = self.sessions.end_listed(listed).await?;
        if let Some(card) = &card {
            self.metrics.sign_out();
            tracing::info!(sub = %card.sub, "signed out from elsewhere");
        }
        Ok(card)
    }

    /// Revokes refresh tokens within one time limit for all. Returns how many it could not.
    pub(super) async fn revoke_all(&self, refresh: Vec<SecretString>) -> usize {
        let (all, revoked) = (refresh.len(), AtomicUsize::new(0));
        let revoking = futures_util::stream::iter(refresh).for_each_concurrent(AT_ONCE, async |refresh| {
            match self.provider.revoke(&refresh).await {
                Ok(()) => {
                    revoked.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "a refresh token could not be revoked"),
            }
        });
        if timeout(self.limits.revocation, revoking).await.is_err() {
            tracing::warn!("a refresh token could not be revoked in time");
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
            self.tasks.spawn(revoking.in_current_span());
        }
    }
}
