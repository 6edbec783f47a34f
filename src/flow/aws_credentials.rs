//! AWS credentials for whoever is signed in (Cognito identity pools, enhanced flow).
//!
//! 1. What was fetched lately for this version of the session is handed out until shortly before it runs out: a
//!    renewal, which may bring other groups and so another role, begins anew.
//! 2. The identity of a user never changes, so it is asked for once: Cognito allows 25 such questions a second.
//! 3. One fetch at a time for each.

use super::{Error, RelyingParty};
use crate::domain::aws::AwsCredentials;
use crate::domain::store_key::SessionKey;
use crate::provider;
use crate::store::OpenedSession;
use quick_cache::sync::Cache;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;

/// Credentials with less life left are not handed out.
const MARGIN: Duration = Duration::from_secs(300);
/// Kept at hand.
const MAX_ENTRIES: usize = 10_000;

/// Who they are for; `None`: guests.
type CredentialsHolder = Option<(SessionKey, u64)>;

/// What was fetched lately.
#[derive(Debug)]
pub(super) struct AwsCredentialsCache {
    identities: Cache<Option<String>, String>,
    credentials: Cache<CredentialsHolder, Arc<AwsCredentials>>,
}

impl Default for AwsCredentialsCache {
    fn default() -> Self {
        Self { identities: Cache::new(MAX_ENTRIES), credentials: Cache::new(MAX_ENTRIES) }
    }
}

impl RelyingParty {
    /// Credentials for the user of `opened`, for a guest without one.
    ///
    /// # Errors
    /// [`Error::NotOffered`] without an identity pool, [`Error::Anonymous`] where guests get none,
    /// [`Error::NotAdmitted`], [`Error::NoCredentials`] with AWS's word, and what a renewal ends with.
    pub async fn aws_credentials(
        self: &Arc<Self>,
        opened: Option<&Arc<OpenedSession>>,
    ) -> Result<Arc<AwsCredentials>, Error> {
        if !self.provider.has_identity_pool() {
            return Err(Error::NotOffered("aws.identity_pool is not configured"));
        }
        let opened = match opened {
            Some(opened) => Some(self.with_fresh_tokens(opened).await?),
            None if self.provider.takes_guests() => None,
            None => return Err(Error::Anonymous),
        };
        if let Some(opened) = &opened {
            self.admit(opened)?;
        }
        let holder = opened.as_ref().map(|opened| (opened.id.key(), opened.session.version));
        let fresh = |found: &AwsCredentials| found.expires_at.since(self.clock.now()) >= MARGIN;
        if let Some(stale) = self.aws.credentials.get(&holder).filter(|found| !fresh(found)) {
            self.aws.credentials.remove_if(&holder, |found| Arc::ptr_eq(found, &stale));
        }
        self.aws.credentials.get_or_insert_async(&holder, self.fetch_credentials(opened.as_deref())).await
    }

    async fn fetch_credentials(&self, opened: Option<&OpenedSession>) -> Result<Arc<AwsCredentials>, Error> {
        let token = opened.map(|opened| &opened.session.tokens.id);
        let user = opened.map(|opened| opened.session.principal.sub.clone());
        let credentials = match self.credentials_of(&user, token).await {
            Err(error) if error.may_be_another_identity() => {
                self.aws.identities.remove(&user);
                self.credentials_of(&user, token).await
            }
            answer => answer,
        };
        credentials.map(Arc::new).map_err(|error| match error {
            provider::Error::Refused { .. } => Error::NoCredentials(error),
            other => other.into(),
        })
    }

    async fn credentials_of(
        &self,
        user: &Option<String>,
        token: Option<&SecretString>,
    ) -> Result<AwsCredentials, provider::Error> {
        let identity = self.aws.identities.get_or_insert_async(user, self.provider.identity_id(token)).await?;
        self.provider.credentials(&identity, token).await
    }
}
