//! The sessions of one user or of one sign-in at the provider, whose ids nobody knows here.

use super::opened_session::{ListedSession, RemovedListed};
use super::{Error, SealedSession, Sessions};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::{IndexKey, SessionKey};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeSet;

/// Records that are read at once.
const MAX_CONCURRENT: usize = 64;

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
        let mut listed: Vec<_> =
            records.into_iter().filter_map(|(key, record)| self.listed(key, &record, now)).collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.summary.started));
        Ok(listed)
    }

    /// The users with a live session whose verified e-mail address is `email`, in any case. Goes through all sessions.
    ///
    /// # Errors
    /// [`Error`]: there may be others.
    pub async fn users_with_email(&self, email: &str) -> Result<BTreeSet<String>, Error> {
        self.read_epoch().await?;
        let (now, mut found) = (self.clock.now(), BTreeSet::new());
        let mut pages = self.store.keys();
        while let Some(keys) = self.count_errors(pages.try_next().await)? {
            let records = stream::iter(keys).map(async |key| Ok::<_, Error>((key, self.store.lookup(key).await?)));
            let mut records = records.buffer_unordered(MAX_CONCURRENT);
            while let Some((key, looked_up)) = self.count_errors(records.try_next().await)? {
                let listed = looked_up.record().and_then(|record| self.listed(key, &record, now));
                let is_it = |listed: &ListedSession| {
                    listed.summary.email.as_ref().is_some_and(|known| known.to_lowercase() == email.to_lowercase())
                };
                found.extend(listed.filter(is_it).map(|listed| listed.summary.sub));
            }
        }
        if self.cache.is_recovering() {
            return Err(Error::Recovering);
        }
        Ok(found)
    }

    /// What is told of a session, if it is alive.
    fn listed(&self, key: SessionKey, record: &SealedSession, now: Timestamp) -> Option<ListedSession> {
        if record.is_over(now, self.idle) {
            return None;
        }
        let summary = self.sealer.summary(key, record)?;
        let counts = summary.started >= self.cache.epoch.first_start();
        counts.then_some(ListedSession { key, summary, last_used: record.last_used, ends: record.ends })
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
