//! Renewal of a session's tokens (RFC 6749 §6): the part where others sign people out.
//!
//! 1. Tokens with enough life left are good as they are, unless the caller insists.
//! 2. One renewal of a session at a time: who comes while one is under way gets its result. It runs as
//!    a task of its own, so that a caller who goes away cannot lose a rotated refresh token.
//! 3. The session is read again, since another writer may have renewed it.
//! 4. The provider is asked. Only its own `invalid_grant`, and no newer version in the store, ends the
//!    session; any other fault leaves it as it was.
//! 5. The result is written with compare-and-set. A session that was ended meanwhile stays ended, and
//!    what we just got is revoked. A new refresh token is written down even if what came with it is not
//!    believed, since the old one may be dead by then.

use super::{Error, RelyingParty};
use crate::domain::session::{Session, SessionId, SessionKey};
use crate::domain::token::TokenSet;
use crate::provider::NotRefreshed;
use crate::store::{Live, Updated};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Pauses before a renewed session is written again.
const STORE_RETRIES: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

type Renewal = Shared<BoxFuture<'static, Result<Arc<Live>, Error>>>;

/// The renewals under way in this process.
#[derive(Default)]
pub(super) struct Renewals(Mutex<HashMap<SessionKey, Renewal>>);

impl std::fmt::Debug for Renewals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Renewals(…)")
    }
}

/// Strikes a renewal off the list, however it ended.
struct UnderWay<'a>(&'a Renewals, SessionKey);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

impl RelyingParty {
    /// Renews the tokens of the session among `ids` if less than the margin is left or `force` is set.
    ///
    /// # Errors
    /// [`Error::Anonymous`] without an id, [`Error::Dead`] without a live session, [`Error::SessionEnded`]
    /// when the provider ended it, [`Error::NotRenewed`] and [`Error::Store`] with the session as it was.
    pub async fn refresh(self: &Arc<Self>, ids: &[SessionId], force: bool) -> Result<Arc<Live>, Error> {
        if ids.is_empty() {
            return Err(Error::Anonymous);
        }
        let live = self.session(ids).await?.ok_or_else(|| Error::Dead("the session is over".into()))?;
        let left = live.session.tokens.remaining(self.clock.now());
        // A provider that gave no refresh token leaves nothing to renew; the session has its own end.
        if live.session.tokens.refresh.is_none() || !force && left >= self.limits.refresh_margin {
            return Ok(live);
        }
        self.renewal(&live).await
    }

    /// The renewal of this session that is under way, or a new one.
    fn renewal(self: &Arc<Self>, live: &Live) -> Renewal {
        let key = live.id.key();
        let mut under_way = self.renewals.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(renewal) = under_way.get(&key) {
            return renewal.clone();
        }
        let (this, id, seen) = (self.clone(), live.id, live.session.version);
        let renewal = self.to_the_end(async move {
            let _under_way = UnderWay(&this.renewals, key);
            let result = this.renew(id, seen).await;
            this.metrics.refresh(match &result {
                Ok(_) => "renewed",
                Err(Error::SessionEnded) => "ended_by_provider",
                Err(Error::Dead(_)) => "ended_meanwhile",
                Err(Error::NotRenewed(_)) => "provider_failed",
                Err(_) => "store_failed",
            });
            result
        });
        let renewal = renewal.boxed().shared();
        under_way.insert(key, renewal.clone());
        renewal
    }

    async fn renew(&self, id: SessionId, seen: u64) -> Result<Arc<Live>, Error> {
        let live = self.reload(id).await?;
        if live.session.version != seen {
            return Ok(live);
        }
        let old = &live.session;
        let renewed = match self.provider.refresh(old).await {
            Ok(renewed) => renewed,
            Err(NotRefreshed { error, .. }) if error.is_invalid_grant() => {
                let now = self.reload(id).await?;
                if now.session.version != old.version {
                    return Ok(now);
                }
                self.sessions.end(id).await?;
                tracing::info!(sub = %old.principal.sub, %error, "the provider ended the session");
                return Err(Error::SessionEnded);
            }
            Err(NotRefreshed { error, rotated }) => {
                if let Some(refresh) = rotated {
                    self.keep(&live, refresh).await;
                }
                return Err(Error::NotRenewed(error));
            }
        };
        let refresh = renewed.tokens.refresh.clone();
        let session =
            Session { principal: renewed.principal, tokens: renewed.tokens, version: old.version + 1, ..old.clone() };
        match self.write_down(id, old.version, &session).await? {
            Updated::Done(live) => Ok(live),
            Updated::Stale => self.reload(id).await,
            Updated::Gone => {
                if let Some(refresh) = &refresh {
                    self.revoke(refresh).await;
                }
                Err(ended())
            }
        }
    }

    /// Keeps a refresh token that came with something we do not believe.
    async fn keep(&self, live: &Live, refresh: SecretString) {
        let old = &live.session;
        let tokens = TokenSet { refresh: Some(refresh.clone()), ..old.tokens.clone() };
        let session = Session { tokens, version: old.version + 1, ..old.clone() };
        match self.write_down(live.id, old.version, &session).await {
            Ok(Updated::Gone) => self.revoke(&refresh).await,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "a rotated refresh token was lost: the session ends at its next renewal");
            }
        }
    }

    /// Writes a renewed session, more than once if the store hiccups: a rotated token cannot be had again.
    async fn write_down(&self, id: SessionId, expected: u64, session: &Session) -> Result<Updated, Error> {
        for pause in STORE_RETRIES {
            match self.sessions.update(id, expected, session).await {
                // Stale also if the write that seemed to fail was done: the caller reads what is there.
                Ok(updated) => return Ok(updated),
                Err(error) => tracing::warn!(%error, "a renewed session was not written; trying again"),
            }
            tokio::time::sleep(pause).await;
        }
        Ok(self.sessions.update(id, expected, session).await?)
    }

    async fn reload(&self, id: SessionId) -> Result<Arc<Live>, Error> {
        self.sessions.reload(id).await?.ok_or_else(ended)
    }
}

fn ended() -> Error {
    Error::Dead("the session was ended".into())
}
