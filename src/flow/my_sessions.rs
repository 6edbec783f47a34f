//! A user's sessions on all devices, for the user and for an operator who speaks for the user.
//!
//! 1. The list is asked of the store: memory knows only what was used here.
//! 2. A session is named by its handle, which opens nothing, and is looked for among the user's own only: to
//!    everybody else it is as if it did not exist.
//! 3. What was ended is revoked at the provider, too.

use super::{Error, RelyingParty};
use crate::audit::{AuditEvent, SessionEndedBy};
use crate::domain::clock::Timestamp;
use crate::domain::session::Device;
use crate::domain::store_key::IndexKey;
use crate::store::{ListedSession, OpenedSession};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A session as its user sees it.
#[derive(Debug, Serialize, Deserialize)]
pub struct OwnSession {
    /// Its name in the list.
    pub handle: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// The browser.
    pub device: Device,
    /// The identity provider's name.
    pub provider: Option<String>,
    /// The groups, as of the last renewal.
    pub groups: Vec<String>,
    /// The scopes.
    pub scopes: Vec<String>,
    /// The verified e-mail address.
    pub email: Option<String>,
    /// When it signed in.
    pub started: Timestamp,
    /// When it was last used, to a minute or so.
    pub last_seen: Timestamp,
    /// The absolute end.
    pub ends: Timestamp,
}

/// What ending a session did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedSession {
    /// It was the one that asked.
    pub current: bool,
}

/// What an operator has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSessions {
    /// Sessions.
    pub sessions: usize,
    /// Refresh tokens that the provider may still accept.
    pub not_revoked: usize,
}

impl OwnSession {
    fn new(listed: ListedSession, me: Option<&OpenedSession>) -> Self {
        let handle = listed.handle();
        let me = me.filter(|me| me.id.key().handle() == handle);
        Self {
            handle,
            current: me.is_some(),
            // Uses are written down a little later.
            last_seen: me.map_or(listed.last_used, |me| me.last_used().max(listed.last_used)),
            device: listed.summary.device,
            provider: listed.summary.provider,
            groups: listed.summary.groups,
            scopes: listed.summary.scopes,
            email: listed.summary.email,
            started: listed.summary.started,
            ends: listed.ends,
        }
    }
}

impl RelyingParty {
    /// What may not be kept any longer is not shown either, though the record may not have been written since.
    fn own_session(&self, mut listed: ListedSession, me: Option<&OpenedSession>) -> OwnSession {
        let age = self.clock.now().since(listed.summary.started);
        if self.config.telemetry.keep_personal_data().is_some_and(|time| age >= time) {
            listed.summary.device = Device::default();
        }
        OwnSession::new(listed, me)
    }

    /// The live sessions of the user of `me`, the newest first.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn my_sessions(&self, me: &OpenedSession) -> Result<Vec<OwnSession>, Error> {
        let listed = self.sessions.list(IndexKey::user(&me.principal().sub)).await?;
        Ok(listed.into_iter().map(|listed| self.own_session(listed, Some(me))).collect())
    }

    /// Ends the session of the user of `me` that is called `handle`.
    ///
    /// # Errors
    /// [`Error::NoSuchSession`] if the user has none of that name; [`Error::Store`]: it may still be alive.
    pub async fn end_mine(self: &Arc<Self>, me: &OpenedSession, handle: &str) -> Result<EndedSession, Error> {
        let (sub, own) = (me.principal().sub, me.id.key().handle());
        let (this, handle) = (self.clone(), handle.to_owned());
        self.run_to_completion(async move {
            let listed = this.sessions.list(IndexKey::user(&sub)).await?;
            let listed = listed.into_iter().find(|listed| listed.handle() == handle).ok_or(Error::NoSuchSession)?;
            let ended = this.end_remotely(&listed, SessionEndedBy::User).await?;
            this.revoke_later(ended.refresh);
            Ok(EndedSession { current: handle == own })
        })
        .await
    }

    /// The live sessions of the user `sub`, for an operator.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sessions_of(&self, sub: &str) -> Result<Vec<OwnSession>, Error> {
        let listed = self.sessions.list(IndexKey::user(sub)).await?;
        Ok(listed.into_iter().map(|listed| self.own_session(listed, None)).collect())
    }

    /// The live sessions of the users whose verified e-mail address is `email`, for an operator.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn sessions_with_email(&self, email: &str) -> Result<Vec<OwnSession>, Error> {
        let mut all = Vec::new();
        for sub in self.sessions.users_with_email(email).await? {
            all.extend(self.sessions_of(&sub).await?);
        }
        Ok(all)
    }

    /// Ends the sessions of the users whose verified e-mail address is `email`, and waits for the provider.
    ///
    /// # Errors
    /// [`Error::Store`]: some may still be alive.
    pub async fn end_sessions_with_email(&self, email: &str) -> Result<EndedSessions, Error> {
        let mut all = EndedSessions { sessions: 0, not_revoked: 0 };
        for sub in self.sessions.users_with_email(email).await? {
            let ended = self.end_sessions_of(&sub, None).await?;
            all.sessions += ended.sessions;
            all.not_revoked += ended.not_revoked;
        }
        Ok(all)
    }

    /// Ends the sessions of everybody, for an operator, and returns up to when they were started. Everybody has to
    /// authenticate at the provider again; the refresh tokens are not revoked there.
    ///
    /// # Errors
    /// [`Error::Store`]: they may still be alive.
    pub async fn end_all_sessions(&self) -> Result<Timestamp, Error> {
        let time = self.sessions.end_all().await?;
        tracing::warn!(%time, "all sessions ended by an operator");
        self.audit.record(&AuditEvent::AllSessionsEnded { until: time });
        Ok(time)
    }

    /// Ends the sessions of the user `sub`, or the one called `handle`, and waits for the provider.
    ///
    /// # Errors
    /// [`Error::Store`]: some may still be alive.
    pub async fn end_sessions_of(&self, sub: &str, handle: Option<&str>) -> Result<EndedSessions, Error> {
        let (mut refresh, mut sessions, mut failed) = (Vec::new(), 0, None);
        if handle.is_none() {
            self.sessions.require_reauthentication_of_user(sub).await?;
        }
        let listed = self.sessions.list(IndexKey::user(sub)).await?;
        for listed in listed.iter().filter(|listed| handle.is_none_or(|handle| listed.handle() == handle)) {
            match self.end_remotely(listed, SessionEndedBy::Operator).await {
                Ok(ended) => {
                    sessions += 1;
                    refresh.extend(ended.refresh);
                }
                Err(error) => failed = Some(error),
            }
        }
        let not_revoked = self.revoke_all(refresh).await;
        failed.map_or(Ok(EndedSessions { sessions, not_revoked }), Err)
    }
}
