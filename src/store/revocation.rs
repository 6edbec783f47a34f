//! Revoked tokens, and codes and logout tokens that may be used once: keys that every process knows.

use super::tombstones::TombstoneKey;
use super::{Error, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::RevocationKey;
use crate::domain::token::TokenIds;
use futures_util::future::try_join_all;

impl Sessions {
    /// [`Sessions::is_revoked`], if that can be said without asking the store.
    pub fn cached_revocation(&self, keys: &[RevocationKey]) -> Option<bool> {
        keys.iter().try_fold(false, |ended, name| Some(ended | self.cache.get_revocation(name)?))
    }

    /// Whether a token with one of these names belongs to a session that was ended.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn is_revoked(&self, keys: &[RevocationKey]) -> Result<bool, Error> {
        let mut unknown = Vec::new();
        for name in keys {
            match self.cache.get_revocation(name) {
                _ if self.cache.tombstones.contains(TombstoneKey::Token(*name)) => return Ok(true),
                Some(true) => return Ok(true),
                Some(false) => {}
                None => unknown.push(*name),
            }
        }
        if unknown.is_empty() {
            return Ok(false);
        }
        let read = unknown.into_iter().map(|name| {
            let read = async move { self.count_errors(self.store.is_revoked(name).await) };
            self.cache.get_revocation_or_read(name, read)
        });
        let ended = Box::pin(self.with_read_timeout(try_join_all(read))).await?;
        Ok(ended.contains(&true))
    }

    /// Refuses a token that runs out at `until`.
    ///
    /// # Errors
    /// [`Error`]: it may still be accepted.
    pub async fn revoke_token(&self, keys: &[RevocationKey], until: Timestamp) -> Result<(), Error> {
        self.revoke(&TokenIds::new(keys.iter().copied(), until)).await
    }

    /// Remembers, until then, that something was used up. `false` if it was already.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn mark_used(&self, revocation_key: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        match self.cache.tombstones.contains(TombstoneKey::Token(revocation_key)) {
            true => Ok(false),
            false => self.write_revocation(revocation_key, until).await,
        }
    }

    /// Whether something was used up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn is_used(&self, revocation_key: RevocationKey) -> Result<bool, Error> {
        if self.cache.tombstones.contains(TombstoneKey::Token(revocation_key)) {
            return Ok(true);
        }
        match self.count_errors(self.store.is_revoked(revocation_key).await)? {
            false if self.cache.is_recovering() => Err(Error::Recovering),
            used => Ok(used),
        }
    }

    /// Refuses tokens, those that are refused already for longer.
    pub(super) async fn revoke(&self, token_ids: &TokenIds) -> Result<(), Error> {
        let revocations = token_ids.iter().copied().map(|id| async move {
            self.write_revocation(id.key, id.refused_until()).await?;
            self.cache.invalidate_revocation(id.key);
            Ok::<_, Error>(())
        });
        try_join_all(revocations).await.map(drop)
    }

    pub(super) async fn write_revocation(
        &self,
        revocation_key: RevocationKey,
        until: Timestamp,
    ) -> Result<bool, Error> {
        let new = self.count_errors(self.store.revoke(revocation_key, until).await)?;
        self.record_tombstone(TombstoneKey::Token(revocation_key), until);
        Ok(new)
    }
}
