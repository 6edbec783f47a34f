//! Sign-out.
//!
//! 1. The sessions are deleted: whatever fails after this, they are over.
//! 2. Their refresh tokens are revoked at the provider (RFC 7009), best effort and time-boxed.
//! 3. The browser goes to the provider's logout, or that page would sign it straight back in.

use super::{Error, RelyingParty};
use crate::domain::session::{Session, SessionId};
use futures_util::future::join_all;
use secrecy::SecretString;
use std::sync::Arc;
use tokio::time::timeout;
use tracing::Instrument;

/// Where a signed-out browser goes.
#[derive(Debug)]
pub struct SignedOut {
    /// The provider's logout; `None` if it has none or was never reached.
    pub provider_logout: Option<url::Url>,
}

impl RelyingParty {
    /// Ends the sessions behind `ids` (one, unless a sibling planted others). `after` is where the
    /// provider's logout returns.
    ///
    /// # Errors
    /// [`Error::Store`]: a session may still be alive, and nobody must be told otherwise.
    pub async fn sign_out(self: &Arc<Self>, ids: Vec<SessionId>, after: String) -> Result<SignedOut, Error> {
        let this = self.clone();
        self.to_the_end(async move {
            let ended = this.end_all(&ids).await?;
            join_all(ended.iter().filter_map(|s| s.tokens.refresh.as_ref()).map(|refresh| this.revoke(refresh))).await;
            let id_token = ended.first().map(|session| &session.tokens.id);
            let logout = timeout(this.limits.revocation, this.provider.logout_url(id_token, &after)).await;
            Ok(SignedOut { provider_logout: logout.ok().flatten() })
        })
        .await
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

    pub(super) async fn revoke(&self, refresh: &SecretString) {
        match timeout(self.limits.revocation, self.provider.revoke(refresh)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a refresh token could not be revoked"),
            Err(_) => tracing::warn!("a refresh token could not be revoked in time"),
        }
    }

    /// Revokes without making anybody wait.
    pub(super) fn revoke_later(self: &Arc<Self>, refresh: Option<SecretString>) {
        if let Some(refresh) = refresh {
            let this = self.clone();
            self.tasks.spawn(async move { this.revoke(&refresh).await }.in_current_span());
        }
    }
}
