//! How many sessions a user has at most: the oldest ends when there are more.
//!
//! 1. After each sign-in the user's sessions are listed, the new one among them: whichever processes sign in at once,
//!    the last of them sees all. All of them rank the sessions alike, by when they were started and then by handle, so
//!    that two sign-ins never end each other. A new session may be the one that ends, if as many others were started in
//!    the same second, or by clocks that are ahead.
//! 2. What is too many ends as if its user had ended it, and is revoked at the provider.
//! 3. A store that cannot say keeps nobody from signing in: the next sign-in looks again.

use super::{Error, RelyingParty};
use crate::audit::SessionEndedBy;
use crate::domain::store_key::IndexKey;
use crate::store::OpenedSession;
use std::sync::Arc;

impl RelyingParty {
    /// Ends the oldest sessions of the user of `new` if there are too many.
    pub(super) async fn end_oldest(self: &Arc<Self>, new: &OpenedSession) {
        if let Err(error) = self.try_end_oldest(new).await {
            tracing::warn!(%error, "session limit check failed");
        }
    }

    async fn try_end_oldest(self: &Arc<Self>, new: &OpenedSession) -> Result<(), Error> {
        let Some(most) = self.config.session.per_user else { return Ok(()) };
        let sub = &new.principal().sub;
        let mut all = self.sessions.list(IndexKey::user(sub)).await?;
        all.sort_by_cached_key(|listed| (listed.summary.started, listed.handle()));
        let too_many = all.len().saturating_sub(most);
        let mut refresh = Vec::new();
        for listed in &all[..too_many] {
            match self.end_listed_session(listed, SessionEndedBy::SessionLimit).await {
                Ok(ended) => refresh.extend(ended.refresh),
                Err(error) => tracing::warn!(%error, "excess session end failed"),
            }
        }
        if too_many > 0 {
            tracing::info!(%sub, sessions = too_many, limit = most, "excess sessions ended: session.per_user reached");
        }
        self.revoke_later(refresh);
        Ok(())
    }
}
