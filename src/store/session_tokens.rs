//! The tokens of sessions: sealed apart from them, and read only where one of them is needed.

use super::opened_session::OpenedSession;
use super::{Error, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::session::{Session, SessionId};
use crate::domain::token::TokenSet;
use std::sync::Arc;

impl Sessions {
    /// The tokens of a session. `None` if the store has lost them.
    ///
    /// # Errors
    /// [`Error`]: whether they are there is not known.
    pub async fn tokens(&self, opened: &OpenedSession) -> Result<Option<TokenSet>, Error> {
        if let Some(tokens) = &opened.tokens {
            return Ok(Some(tokens.clone()));
        }
        match self.read_tokens(&opened.id, &opened.session).await? {
            // They may be about to be put back.
            None if self.cache.may_lack_sessions() => Err(Error::Recovering),
            tokens => Ok(tokens),
        }
    }

    pub(super) async fn read_tokens(&self, id: &SessionId, session: &Session) -> Result<Option<TokenSet>, Error> {
        let sealed = self.count_errors(self.store.load_tokens(id.key()).await)?;
        Ok(self.sealer.tokens(id, &sealed, session.refresh_version))
    }

    /// A session that was read, with its tokens if they are kept.
    pub(super) async fn opened(
        &self,
        id: SessionId,
        session: Session,
        last_used: Timestamp,
    ) -> Result<Arc<OpenedSession>, Error> {
        let tokens = if self.keep_tokens { self.read_tokens(&id, &session).await? } else { None };
        Ok(OpenedSession::new(id, session, tokens, last_used))
    }
}
