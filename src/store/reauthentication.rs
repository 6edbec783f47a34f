//! Sign-outs from elsewhere: the provider's own session lives on in the browser, and would sign it straight back in.
//!
//! Three marks say who has to authenticate again: the ended session, by which the browser's cookie is known; the
//! authentication that it came from, for a browser that has lost the cookie; and the time before which no authentication
//! of a user counts, after a sign-out everywhere.

use super::epoch::MARK_TTL;
use super::tombstones::TombstoneKey;
use super::{Error, ListedSession, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionId;
use crate::domain::store_key::RevocationKey;
use futures_util::future::try_join_all;
use std::time::Duration;

/// How long a session at the provider can sign in a browser: Cognito's maximum
/// (`SetUserPoolClientSessionConfiguration`, 129,600 minutes). Its default is an hour.
const PROVIDER_SESSION_MAX: Duration = Duration::from_secs(90 * 86_400);

impl Sessions {
    /// Makes the browser of a session authenticate again. Written before the session ends, so that nobody sees it ended
    /// and nothing asked of its browser.
    ///
    /// # Errors
    /// [`Error`]: the provider may still sign the browser in.
    pub async fn require_reauthentication(&self, listed: &ListedSession) -> Result<(), Error> {
        let remote_sign_out = (RevocationKey::remote_sign_out(listed.key), listed.ends);
        let authentication = listed.summary.auth_time.map(|auth_time| {
            let key = RevocationKey::authentication(&listed.summary.sub, auth_time);
            (key, self.clock.now() + PROVIDER_SESSION_MAX)
        });
        let marks = [remote_sign_out].into_iter().chain(authentication);
        try_join_all(marks.map(|(key, until)| self.write_revocation(key, until))).await.map(drop)
    }

    /// Makes all browsers of a user authenticate again. Written before the user's sessions are listed: a sign-in that
    /// creates one later finds this.
    ///
    /// # Errors
    /// As [`Sessions::require_reauthentication`].
    pub async fn require_reauthentication_of_user(&self, sub: &str) -> Result<(), Error> {
        let until = self.clock.now() + PROVIDER_SESSION_MAX;
        self.write_revocation(RevocationKey::authentications(sub), until).await.map(drop)
    }

    /// Ends all sessions of all users, and returns up to when. Their refresh tokens are not revoked at the provider.
    ///
    /// # Errors
    /// [`Error`]: they may still be alive.
    pub async fn end_all(&self) -> Result<Timestamp, Error> {
        let now = self.clock.now();
        self.write_revocation(RevocationKey::all_sessions(), now + MARK_TTL).await?;
        self.cache.epoch.raise(now + MARK_TTL, now);
        Ok(now)
    }

    /// Whether all sessions were ended since somebody authenticated at `auth_time`, or at the same second.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn were_all_ended_since(&self, auth_time: Timestamp) -> Result<bool, Error> {
        self.read_epoch().await?;
        Ok(self.cache.epoch.time().is_some_and(|time| auth_time <= time))
    }

    /// Whether one of these sessions was ended from elsewhere.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn was_ended_remotely(&self, ids: &[SessionId]) -> Result<bool, Error> {
        let marks = ids.iter().map(|id| self.is_used(RevocationKey::remote_sign_out(id.key())));
        Ok(try_join_all(marks).await?.contains(&true))
    }

    /// Whether an authentication no longer counts: a session that came from it was ended from elsewhere, or the user
    /// signed out everywhere, after it. One of the very second counts.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn is_authentication_revoked(&self, sub: &str, auth_time: Timestamp) -> Result<bool, Error> {
        if self.were_all_ended_since(auth_time).await? {
            return Ok(true);
        }
        for key in [RevocationKey::authentication(sub, auth_time), RevocationKey::authentications(sub)] {
            // Where the store says an impossible time, everything until now is meant.
            let ended =
                self.revoked_until(key).await?.map(|until| (until - PROVIDER_SESSION_MAX).min(self.clock.now()));
            if ended.is_some_and(|ended| auth_time < ended) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Until when a key is revoked, by the store or by what was heard.
    async fn revoked_until(&self, key: RevocationKey) -> Result<Option<Timestamp>, Error> {
        let stored = self.count_errors(self.store.revoked_until(key).await)?;
        match stored.max(self.cache.tombstones.until(TombstoneKey::Token(key))) {
            None if self.cache.is_recovering() => Err(Error::Recovering),
            until => Ok(until),
        }
    }
}
