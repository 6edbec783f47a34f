//! Tokens that are refused, and what counts once: marks that every process knows.

use super::session_cache::in_doubt;
use super::tombstones::TombstoneKey;
use super::{Error, Sessions};
use crate::domain::session::Mark;
use crate::domain::token::TokenIds;
use futures_util::future::try_join_all;

impl Sessions {
    /// [`Sessions::is_ended`], if that can be said without asking the store.
    pub fn remembered_ended(&self, names: &[Mark]) -> Option<bool> {
        names.iter().try_fold(false, |ended, name| Some(ended | self.snapshots.remembered_mark(name)?))
    }

    /// Whether a token with one of these names belongs to a session that was ended.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn is_ended(&self, names: &[Mark]) -> Result<bool, Error> {
        let mut unknown = Vec::new();
        for name in names {
            match self.snapshots.remembered_mark(name) {
                _ if self.snapshots.endings.contains(TombstoneKey::Mark(*name)) => return Ok(true),
                Some(true) => return Ok(true),
                Some(false) => {}
                None => unknown.push(*name),
            }
        }
        if unknown.is_empty() {
            return Ok(false);
        }
        let read = unknown.into_iter().map(|name| {
            let read = async move { self.counted(self.store.is_marked(name).await) };
            self.snapshots.mark(name, read)
        });
        let ended = Box::pin(self.in_time(try_join_all(read))).await?;
        Ok(ended.contains(&true))
    }

    /// Refuses a token that runs out at `until`, epoch seconds.
    ///
    /// # Errors
    /// [`Error`]: it may still be accepted.
    pub async fn refuse_token(&self, names: &[Mark], until: u64) -> Result<(), Error> {
        self.refuse(&TokenIds::new(names.iter().copied(), until)).await
    }

    /// Remembers, until then, that something was used up. `false` if it was already.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn use_up(&self, mark: Mark, until: u64) -> Result<bool, Error> {
        match self.snapshots.endings.contains(TombstoneKey::Mark(mark)) {
            true => Ok(false),
            false => self.mark(mark, until).await,
        }
    }

    /// Whether something was used up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn is_used_up(&self, mark: Mark) -> Result<bool, Error> {
        if self.snapshots.endings.contains(TombstoneKey::Mark(mark)) {
            return Ok(true);
        }
        match self.counted(self.store.is_marked(mark).await)? {
            false if self.snapshots.is_recovering() => Err(in_doubt()),
            used => Ok(used),
        }
    }

    /// Refuses tokens, those that are refused already for longer.
    pub(super) async fn refuse(&self, names: &TokenIds) -> Result<(), Error> {
        let refused = names.iter().copied().map(|name| async move {
            self.mark(name.mark, name.refused_until()).await?;
            self.snapshots.forget_mark(name.mark);
            Ok::<_, Error>(())
        });
        try_join_all(refused).await.map(drop)
    }

    async fn mark(&self, mark: Mark, until: u64) -> Result<bool, Error> {
        let new = self.counted(self.store.mark(mark, until).await)?;
        self.note_ending(TombstoneKey::Mark(mark), until);
        Ok(new)
    }
}
