//! The provider says that somebody signed out there (OIDC Back-Channel Logout 1.0 §2.7).
//!
//! 1. The logout token is verified in full. Anybody can call, so nothing is read or written before.
//! 2. A token counts once: one that was used up is refused.
//! 3. The sessions that it names are ended.
//! 4. Only then is it used up, so that the provider can repeat what failed half-way.
//!
//! The same without a token, by a frame of the provider's page (OIDC Front-Channel Logout 1.0 §3): who knows a `sid` may
//! end that session, and nothing else.

use super::{Error, RelyingParty};
use crate::audit::SessionEndedBy;
use crate::domain::store_key::{IndexKey, RevocationKey};
use crate::provider;
use std::sync::Arc;
use std::time::Duration;

/// How long bearer tokens of a session that the provider ended are refused: tokens live no longer.
const SID_REVOCATION_TTL: Duration = Duration::from_secs(86_400);

impl RelyingParty {
    /// Ends the sessions that a logout token names and counts them.
    ///
    /// # Errors
    /// [`Error::LogoutToken`] for a bad token; [`Error::Provider`] and [`Error::Store`] if it should be sent again.
    pub async fn backchannel_logout(self: &Arc<Self>, token: &str) -> Result<usize, Error> {
        let notice = self.provider.verify_logout(token).await.map_err(|error| match error {
            provider::Error::Token(rejected) => Error::LogoutToken(rejected.to_string()),
            other => other.into(),
        })?;
        let once = RevocationKey::logout_token(&notice.jti);
        let this = self.clone();
        self.run_to_completion(async move {
            if this.sessions.is_used(once).await? {
                return Err(Error::LogoutToken("it was used before".into()));
            }
            let by = SessionEndedBy::BackchannelLogout;
            let ended = match (&notice.sid, &notice.sub) {
                (Some(sid), sub) => this.end_listed_under(IndexKey::provider_session(sid), sub.as_deref(), by).await?,
                (None, Some(sub)) => {
                    this.sessions.require_reauthentication_of_user(sub).await?;
                    this.end_listed_under(IndexKey::user(sub), Some(sub), by).await?
                }
                (None, None) => 0,
            };
            if let Some(sid) = &notice.sid {
                this.revoke_provider_session(sid).await?;
            }
            this.sessions.mark_used(once, notice.until).await?;
            Ok(ended)
        })
        .await
    }

    /// Ends the sessions of the provider's session `sid` and counts them.
    ///
    /// # Errors
    /// [`Error::Store`]: some may still be alive.
    pub async fn frontchannel_logout(self: &Arc<Self>, sid: &str) -> Result<usize, Error> {
        let (this, sid) = (self.clone(), sid.to_owned());
        self.run_to_completion(async move {
            let index = IndexKey::provider_session(&sid);
            let ended = this.end_listed_under(index, None, SessionEndedBy::FrontchannelLogout).await?;
            // Of what nobody has a session of, nothing is written: anybody may ask.
            if ended > 0 {
                this.revoke_provider_session(&sid).await?;
            }
            Ok(ended)
        })
        .await
    }

    /// That session is over for good, and so are tokens of it that were never ours.
    async fn revoke_provider_session(&self, sid: &str) -> Result<(), Error> {
        let until = self.clock.now() + SID_REVOCATION_TTL;
        Ok(self.sessions.revoke_token(&[RevocationKey::provider_session(sid)], until).await?)
    }

    /// Ends the sessions listed under `index`, of the user `sub` only if one is given.
    async fn end_listed_under(
        self: &Arc<Self>,
        index: IndexKey,
        sub: Option<&str>,
        by: SessionEndedBy,
    ) -> Result<usize, Error> {
        let mut ended = 0;
        for listed in self.sessions.list(index).await? {
            if sub.is_some_and(|sub| listed.summary.sub != sub) {
                continue;
            }
            let removed = self.end_remotely(&listed, by).await?;
            ended += 1;
            self.revoke_later(removed.refresh);
        }
        Ok(ended)
    }
}
