//! Sign-out.
//!
//! 1. The session is deleted: whatever fails after this, it is over.
//! 2. Its refresh token is revoked at the provider (RFC 7009), best effort and time-boxed.
//! 3. The browser goes to the provider's logout, or that page would sign it straight back in.

use super::{Error, RelyingParty};
use crate::domain::session::SessionId;
use secrecy::SecretString;
use std::sync::Arc;

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
    /// [`Error::Store`]: the session may still be alive, and nobody must be told otherwise.
    pub async fn sign_out(&self, ids: &[SessionId], after: &str) -> Result<SignedOut, Error> {
        let mut id_token = None;
        for id in ids {
            let Some(session) = self.sessions.end(*id).await? else { continue };
            self.metrics.sign_out();
            tracing::info!(sub = %session.principal.sub, "signed out");
            if let Some(refresh) = &session.tokens.refresh {
                self.revoke(refresh).await;
            }
            id_token = Some(session.tokens.id);
        }
        Ok(SignedOut { provider_logout: self.provider.logout_url(id_token.as_ref(), after).await })
    }

    pub(super) async fn revoke(&self, refresh: &SecretString) {
        match tokio::time::timeout(self.revocation_limit, self.provider.revoke(refresh)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "a refresh token could not be revoked"),
            Err(_) => tracing::warn!("a refresh token could not be revoked in time"),
        }
    }

    /// Revokes without making anybody wait.
    pub(super) fn revoke_later(self: &Arc<Self>, refresh: Option<SecretString>) {
        if let Some(refresh) = refresh {
            let this = self.clone();
            self.tasks.spawn(async move { this.revoke(&refresh).await });
        }
    }
}
