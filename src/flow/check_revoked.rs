//! Whether people who are at work were disabled or signed out at the provider meanwhile. In the background: no
//! request waits for it.
//!
//! Each session that was used lately is asked about once in an interval, at a rate that all processes keep to
//! together and that leaves Cognito's quota to others. A token that the pool no longer takes ends nothing by itself:
//! the renewal decides. One that the provider does not answer for is asked about again a little later, and holds up
//! none of the others.

use super::{Error, RelyingParty};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::SessionKey;
use crate::domain::subject::Subject;
use crate::provider::{self, USER_POOLS_SCOPE};
use crate::store::{OpenedSession, Priority};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Sessions not used for this long are not at work.
const MAX_IDLE: Duration = Duration::from_secs(10 * 60);
/// How long one question may wait for its turn.
const MAX_PERMIT_WAIT: Duration = Duration::from_secs(30);
/// After so many in a row without an answer the others wait, too.
const MAX_UNANSWERED: usize = 5;
/// When one without an answer is asked about again.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// When each session was last asked about.
#[derive(Debug, Default)]
pub(super) struct RevocationChecks(Mutex<HashMap<SessionKey, Timestamp>>);

impl RevocationChecks {
    fn note(&self, opened: &OpenedSession, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(opened.id.key(), at);
    }
}

impl RelyingParty {
    /// Asks about the sessions that are due.
    pub async fn check_revoked(self: &Arc<Self>, interval: Duration) {
        let mut unanswered = 0;
        for opened in self.due_for_revocation_check(interval) {
            let Ok(tokens) = self.tokens(&opened).await else {
                // Lost, or the store is away: there is nothing to ask with.
                self.revocation_checks.note(&opened, self.clock.now());
                continue;
            };
            let budget = &self.budget.users;
            if budget.acquire(Priority::Background, MAX_PERMIT_WAIT).await.is_err()
                || self.budget.tokens.check_backoff().is_err()
            {
                return;
            }
            let result = self.provider.get_user(&tokens.access).await;
            budget.note(result.as_ref().err()).await;
            let mut now = self.clock.now();
            match result {
                Ok(_) => unanswered = 0,
                Err(error) if error.is_not_authorized() => match self.renewal(&opened, Priority::Background).await {
                    Err(Error::SessionEnded) => {
                        tracing::info!(sub = %opened.principal().sub, "session ended: user disabled or signed out at the provider");
                    }
                    // Ended meanwhile, or revoked alone while the user may still come in: nothing to do.
                    Ok(_) | Err(Error::InvalidCredentials(_)) => {}
                    Err(error) => tracing::warn!(%error, "session renewal failed after revocation check"),
                },
                Err(error @ provider::Error::Unavailable { .. }) => {
                    // Nothing is decided.
                    tracing::warn!(%error, "revocation check failed: provider unavailable");
                    unanswered += 1;
                    now = now - interval.saturating_sub(RETRY_AFTER);
                }
                Err(error) => {
                    // It may be about this one alone.
                    tracing::warn!(sub = %opened.principal().sub, %error, "revocation check failed");
                }
            }
            self.revocation_checks.note(&opened, now);
            if unanswered >= MAX_UNANSWERED {
                return;
            }
        }
    }

    fn due_for_revocation_check(&self, interval: Duration) -> Vec<Arc<OpenedSession>> {
        let now = self.clock.now();
        let mut last_checked = self.revocation_checks.0.lock().unwrap_or_else(PoisonError::into_inner);
        last_checked.retain(|_, at| now.since(*at) < interval);
        let due = self.sessions.cached().into_iter().filter(|opened| {
            now.since(opened.last_used()) <= MAX_IDLE
                && !last_checked.contains_key(&opened.id.key())
                // Just told by the provider itself.
                && now.since(opened.renewed) >= interval
                && now < opened.expires_at
                && opened.identity.has_scope(USER_POOLS_SCOPE)
        });
        due.collect()
    }
}
