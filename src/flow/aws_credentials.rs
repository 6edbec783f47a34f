//! AWS credentials for whoever is signed in (Cognito identity pools, enhanced flow).
//!
//! 1. What was fetched lately for this version of the session is handed out until shortly before it runs out: a
//!    renewal, which may bring other groups and so another role, begins anew.
//! 2. The identity of a user never changes, so it is asked for once: Cognito allows 25 such questions a second.
//! 3. One fetch at a time for each.
//! 4. Every request of a guest is another guest: nobody shares an identity, or its credentials, with a stranger. Guests
//!    together may ask for a few new ones a second, so that they leave signed-in people some of Cognito's 25.

use super::{Error, RelyingParty};
use crate::audit::{self, AuditEvent};
use crate::domain::aws::AwsCredentials;
use crate::domain::store_key::SessionKey;
use crate::provider;
use crate::store::OpenedSession;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use quick_cache::sync::Cache;
use secrecy::SecretString;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Credentials with less life left are not handed out.
const MARGIN: Duration = Duration::from_secs(300);
/// Kept at hand.
const MAX_ENTRIES: usize = 10_000;

/// New guests a second, and at once.
const GUEST_QUOTA: Quota = Quota::per_second(NonZeroU32::new(5).unwrap()).allow_burst(NonZeroU32::new(10).unwrap());

/// Whose they are: a version of a session.
type CredentialsHolder = (SessionKey, u64);

/// What was fetched lately.
#[derive(Debug)]
pub(super) struct AwsCredentialsCache {
    /// By `sub`.
    identities: Cache<String, String>,
    credentials: Cache<CredentialsHolder, Arc<AwsCredentials>>,
    guests: DefaultDirectRateLimiter,
}

impl Default for AwsCredentialsCache {
    fn default() -> Self {
        Self {
            identities: Cache::new(MAX_ENTRIES),
            credentials: Cache::new(MAX_ENTRIES),
            guests: RateLimiter::direct(GUEST_QUOTA),
        }
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
            Some(opened) => self.with_fresh_tokens(opened).await?,
            None if self.provider.takes_guests() => {
                let credentials = self.guest_credentials().await?;
                self.audit.record(&AuditEvent::AwsCredentialsIssued { sub: None, session: None });
                return Ok(credentials);
            }
            None => return Err(Error::Anonymous),
        };
        self.admit(&opened).inspect_err(|error| self.record_denial(error))?;
        let holder = (opened.id.key(), opened.version);
        let fresh = |found: &AwsCredentials| found.expires_at.since(self.clock.now()) >= MARGIN;
        if let Some(stale) = self.aws.credentials.get(&holder).filter(|found| !fresh(found)) {
            self.aws.credentials.remove_if(&holder, |found| Arc::ptr_eq(found, &stale));
        }
        let credentials = self.aws.credentials.get_or_insert_async(&holder, self.fetch_credentials(&opened)).await?;
        let (sub, session) = (Some(audit::text(&opened.principal().sub)), Some(opened.id.key().handle()));
        self.audit.record(&AuditEvent::AwsCredentialsIssued { sub, session });
        Ok(credentials)
    }

    async fn guest_credentials(&self) -> Result<Arc<AwsCredentials>, Error> {
        if self.aws.guests.check().is_err() {
            return Err(provider::Error::turned_away("too many guests at once", Duration::from_secs(1)).into());
        }
        let identity = self.provider.identity_id(None).await.map_err(refused)?;
        self.provider.credentials(&identity, None).await.map(Arc::new).map_err(refused)
    }

    async fn fetch_credentials(&self, opened: &OpenedSession) -> Result<Arc<AwsCredentials>, Error> {
        let (sub, tokens) = (&opened.principal().sub, self.tokens(opened).await?);
        let token = &tokens.id;
        let credentials = match self.credentials_of(sub, token).await {
            Err(error) if error.may_be_another_identity() => {
                self.aws.identities.remove(sub);
                self.credentials_of(sub, token).await
            }
            answer => answer,
        };
        credentials.map(Arc::new).map_err(refused)
    }

    async fn credentials_of(&self, sub: &str, token: &SecretString) -> Result<AwsCredentials, provider::Error> {
        let identity = self.aws.identities.get_or_insert_async(sub, self.provider.identity_id(Some(token))).await?;
        self.provider.credentials(&identity, Some(token)).await
    }
}

fn refused(error: provider::Error) -> Error {
    match error {
        provider::Error::Refused { .. } => Error::NoCredentials(error),
        other => other.into(),
    }
}
