//! The sessions of one user or of one sign-in at the provider, whose ids nobody knows here.

use super::opened_session::{ListedSession, RemovedListed};
use super::{Error, Sessions};
use crate::domain::store_key::IndexKey;

impl Sessions {
    /// The live sessions listed under `index`, the newest first.
    ///
    /// # Errors
    /// [`Error`]: there may be others.
    pub async fn list(&self, index: IndexKey) -> Result<Vec<ListedSession>, Error> {
        self.read_epoch().await?;
        let now = self.clock.now();
        let records = self.count_errors(self.store.list(index).await)?;
        if self.cache.is_recovering() {
            return Err(Error::Recovering);
        }
        let alive = records.into_iter().filter(|(_, record)| !record.is_over(now, self.idle));
        let listed = alive.filter_map(|(key, record)| {
            Some(ListedSession {
                key,
                summary: self.sealer.summary(key, &record)?,
                last_used: record.last_used,
                ends: record.ends,
            })
        });
        let first_start = self.cache.epoch.first_start();
        let mut listed: Vec<_> = listed.filter(|listed| listed.summary.started >= first_start).collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.summary.started));
        Ok(listed)
    }

    /// Ends a listed session and returns its latest summary.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end_listed(&self, listed: &ListedSession) -> Result<RemovedListed, Error> {
        let tokens = self.count_errors(self.store.load_tokens(listed.key).await)?;
        let record = self.remove(listed.key, listed.ends, Some(&listed.summary.token_ids)).await?;
        let tokens = record.as_ref().map(|record| record.tokens.clone()).unwrap_or(tokens);
        let summary = record.and_then(|record| self.sealer.summary(listed.key, &record));
        let refresh_version = summary.as_ref().unwrap_or(&listed.summary).refresh_version;
        let refresh = self.sealer.refresh(&listed.key, &tokens, refresh_version);
        if let Some(summary) = summary.as_ref().filter(|summary| summary.token_ids != listed.summary.token_ids) {
            self.revoke(&summary.token_ids).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(RemovedListed { summary: summary.unwrap_or_else(|| listed.summary.clone()), refresh })
    }
}
