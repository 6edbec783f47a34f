//! The tokens of sessions: sealed apart from them, and read only where one of them is needed.

use super::opened_session::OpenedSession;
use super::{Error, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::session::{Session, SessionId};
use crate::domain::token::TokenSet;
use std::sync::Arc;
use tokio::time::Instant;

impl Sessions {
    /// The tokens of a session. `None` if the store has lost them.
    ///
    /// # Errors
    /// [`Error`]: whether they are there is not known.
    pub async fn tokens(&self, opened: &OpenedSession) -> Result<Option<TokenSet>, Error> {
        if let Some(tokens) = &opened.tokens {
            return Ok(Some(TokenSet::clone(tokens)));
        }
        match self.read_tokens(&opened.id, opened.refresh_version).await? {
            // They may be about to be put back.
            None if self.cache.may_lack_sessions() => Err(Error::Recovering),
            tokens => Ok(tokens),
        }
    }

    /// Whether the tokens of a session are lost for good: the store has this version without them, and nothing is about to
    /// be put back.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn has_lost_tokens(&self, opened: &OpenedSession) -> Result<bool, Error> {
        let asked = Instant::now();
        if self.read_tokens(&opened.id, opened.refresh_version).await?.is_some() {
            return Ok(false);
        }
        let there = self.count_errors(self.store.load(opened.id.key()).await)?;
        let same = there.is_some_and(|record| record.version == opened.version);
        Ok(same && self.cache.synced_since(asked).await && !self.cache.may_lack_sessions())
    }

    /// The tokens of a session as far as this process has them itself.
    pub(super) fn tokens_at_hand(&self, opened: &OpenedSession) -> Option<TokenSet> {
        opened.tokens.as_deref().cloned().or_else(|| {
            let written = self.journal.newest(opened.id.key())?;
            self.sealer.tokens(&opened.id, &written.tokens, opened.refresh_version)
        })
    }

    pub(super) async fn read_tokens(&self, id: &SessionId, refresh_version: u64) -> Result<Option<TokenSet>, Error> {
        let sealed = self.count_errors(self.store.load_tokens(id.key()).await)?;
        Ok(self.sealer.tokens(id, &sealed, refresh_version))
    }

    /// A session that was read, with its tokens if they are kept.
    pub(super) async fn opened(
        &self,
        id: SessionId,
        session: Session,
        last_used: Timestamp,
    ) -> Result<Arc<OpenedSession>, Error> {
        let tokens = if self.keep_tokens { self.read_tokens(&id, session.refresh_version).await? } else { None };
        Ok(OpenedSession::new(id, session, tokens, last_used))
    }
}
