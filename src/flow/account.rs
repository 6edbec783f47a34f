//! What people see and change of their account, as the user pool has it now.
//!
//! 1. The session's access token is renewed if it is about to run out, so that it never has to leave here.
//! 2. The pool is asked. If it no longer takes the token, the renewal decides: it works, or it ends the session.
//! 3. After a change the tokens are renewed, so that siblings see it at once.

use super::{Error, RelyingParty};
use crate::domain::subject::Subject;
use crate::domain::token::TokenSet;
use crate::domain::user::User;
use crate::provider::{self, USER_POOLS_SCOPE, UserOperation};
use crate::store::{OpenedSession, Priority};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A token with less life left is renewed before it is used.
const MIN_TOKEN_LIFE: Duration = Duration::from_secs(60);

impl RelyingParty {
    /// The session, with tokens that live long enough for a question.
    pub(super) async fn with_fresh_tokens(
        self: &Arc<Self>,
        opened: &Arc<OpenedSession>,
    ) -> Result<Arc<OpenedSession>, Error> {
        if opened.remaining(self.clock.now()) >= MIN_TOKEN_LIFE {
            return Ok(opened.clone());
        }
        match opened.renewable {
            true => self.renewal(opened, Priority::Interactive).await,
            false => Err(Error::InvalidCredentials("the tokens have run out, and there is no refresh token".into())),
        }
    }

    /// The tokens of a session, which memory does not hold.
    pub(super) async fn tokens(&self, opened: &OpenedSession) -> Result<TokenSet, Error> {
        if let Some(tokens) = self.sessions.tokens(opened).await? {
            return Ok(tokens);
        }
        let lost = || Error::InvalidCredentials("the session store has lost the tokens of this session".into());
        // A renewal may have written others meanwhile.
        let renewed = self.sessions.reload(opened.id).await?.ok_or_else(lost)?;
        self.sessions.tokens(&renewed).await?.ok_or_else(lost)
    }

    /// Attributes that people may change.
    pub fn writable(&self) -> &[String] {
        &self.config.account.writable
    }

    /// The user of the session `opened`, after `change` if there is one.
    ///
    /// # Errors
    /// [`Error::NotOffered`] without the scope, [`Error::NotWritable`], [`Error::NotAdmitted`], [`Error::RejectedByProvider`] with
    /// the pool's word, and what a renewal ends with.
    pub async fn account(
        self: &Arc<Self>,
        opened: &Arc<OpenedSession>,
        change: &BTreeMap<String, String>,
    ) -> Result<User, Error> {
        if let Some(name) = change.keys().find(|name| !self.config.account.writable.contains(name)) {
            return Err(Error::NotWritable(name.chars().take(64).collect()));
        }
        if change.is_empty() {
            return self.user(opened).await.map(|(user, _)| user);
        }
        let (_, opened) = self.as_user(opened, UserOperation::UpdateAttributes(change)).await?;
        // The pool has the change, whatever it answers from here on.
        self.record_account_change(&opened, &change.keys().map(String::as_str).collect::<Vec<_>>().join(" "));
        let (user, opened) = self.user(&opened).await?;
        self.record_changed(&user).await;
        self.renew_after_change(&opened).await;
        Ok(user)
    }

    /// The user of the session `opened`, as the pool has it now, and the session with the tokens that it was asked with.
    pub(super) async fn user(
        self: &Arc<Self>,
        opened: &Arc<OpenedSession>,
    ) -> Result<(User, Arc<OpenedSession>), Error> {
        let (answer, opened) = self.as_user(opened, UserOperation::GetUser).await?;
        let unusable = |error| provider::Error::Unusable(format!("GetUser: {error}"));
        Ok((User::from_api(&answer).map_err(unusable)?, opened))
    }

    /// Asks the pool as the user of the session `opened`. If the pool no longer takes the access token, the renewal
    /// decides.
    ///
    /// # Errors
    /// [`Error::NotOffered`] without the scope, [`Error::NotAdmitted`], [`Error::RejectedByProvider`] with the pool's word,
    /// and what a renewal ends with.
    pub(super) async fn as_user(
        self: &Arc<Self>,
        opened: &Arc<OpenedSession>,
        asked: UserOperation<'_>,
    ) -> Result<(Value, Arc<OpenedSession>), Error> {
        if !opened.identity.has_scope(USER_POOLS_SCOPE) {
            return Err(Error::NotOffered("the session's access token lacks the scope aws.cognito.signin.user.admin"));
        }
        let opened = self.with_fresh_tokens(opened).await?;
        self.admit(&opened).inspect_err(|error| self.record_denial(error))?;
        let (answer, opened) = match self.provider.as_user(&self.tokens(&opened).await?.access, asked).await {
            Err(error) if error.is_not_authorized() => {
                let renewed = self.renewal(&opened, Priority::Interactive).await?;
                (self.provider.as_user(&self.tokens(&renewed).await?.access, asked).await, renewed)
            }
            answer => (answer, opened),
        };
        let answer = answer.map_err(|error| match error {
            provider::Error::Refused { code, .. } => Error::RejectedByProvider(code),
            other => other.into(),
        })?;
        Ok((answer, opened))
    }
}
