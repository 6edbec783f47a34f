//! What programs read of the directory of people: those with a token of their own that has `directory.scope`.

use super::{AccessDenied, Caller, CallerCredentials, Error, RelyingParty};
use crate::audit::{self, AuditEvent};
use crate::config::Config;
use crate::directory::ChangePosition;
use crate::domain::person::{DirectoryEntry, PersonKey};
use crate::domain::principal::{Principal, PrincipalKind, TokenIssuer};
use crate::domain::requirement::MissingRequirement;
use crate::domain::subject::Subject;
use governor::clock::{Clock, QuantaClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;

/// People in one answer at most.
const PAGE: u16 = 100;

/// How many requests each program has made lately.
pub(super) type ReaderLimits = DefaultKeyedRateLimiter<String>;

pub(super) fn reader_limits(config: &Config) -> ReaderLimits {
    let rate = NonZeroU32::new(config.directory.requests_per_second).unwrap_or(NonZeroU32::MIN);
    RateLimiter::keyed(Quota::per_second(rate))
}

/// A program that may read the directory.
struct DirectoryReader {
    client: String,
    owner: Option<String>,
}

impl RelyingParty {
    /// What is known of a person, for a program.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::TooManyRequests`], [`Error::Directory`], and, for whoever is no program with the scope
    /// `directory.scope`, [`Error::Denied`] and the errors of [`validate`](Self::validate).
    pub async fn read_person(
        &self,
        credentials: CallerCredentials<'_>,
        key: &PersonKey,
    ) -> Result<Option<DirectoryEntry>, Error> {
        let reader = self.directory_reader(credentials).await?;
        let found = self.find_person(key).await?;
        let (PersonKey::Sub(about) | PersonKey::Email(about)) = key;
        self.record_read(&reader, Some(about), usize::from(found.is_some()));
        Ok(found)
    }

    /// The next people after `position` that changed, for a program, with the place of each, and whether there are more.
    ///
    /// # Errors
    /// As [`read_person`](Self::read_person).
    pub async fn read_changes(
        &self,
        credentials: CallerCredentials<'_>,
        position: &ChangePosition,
    ) -> Result<(Vec<(ChangePosition, DirectoryEntry)>, bool), Error> {
        let reader = self.directory_reader(credentials).await?;
        let mut changed = self.directory()?.changed_after(position, PAGE + 1).await?;
        let are_more = changed.len() > usize::from(PAGE);
        changed.truncate(usize::from(PAGE));
        self.record_read(&reader, None, changed.len());
        Ok((changed, are_more))
    }

    fn record_read(&self, reader: &DirectoryReader, about: Option<&String>, users: usize) {
        self.audit.record(&AuditEvent::DirectoryRead {
            client: audit::text(&reader.client),
            owner: reader.owner.as_ref().map(audit::text),
            about: about.map(audit::text),
            users,
        });
    }

    /// Who asks, if it is a program with the scope.
    async fn directory_reader(&self, credentials: CallerCredentials<'_>) -> Result<DirectoryReader, Error> {
        self.directory()?;
        let scope = self.config.directory.scope.as_ref().ok_or(Error::NotOffered("directory.scope is not set"))?;
        let caller = self.validate(credentials, None, None).await;
        let caller = caller.inspect_err(|error| self.record_denial(error))?;
        let Caller::Bearer(bearer) = caller else { return Err(Error::Anonymous) };
        let principal = bearer.principal();
        let missing = match principal {
            Principal { kind: PrincipalKind::User, .. } => Some(MissingRequirement::Machine),
            Principal { issuer: TokenIssuer::Further(issuer), .. } => {
                Some(MissingRequirement::Issuer(issuer.to_string()))
            }
            Principal { scopes, .. } if !scopes.contains(scope) => Some(MissingRequirement::Scope(scope.clone())),
            _ => None,
        };
        if let Some(missing) = missing {
            let (sub, client) = (principal.sub.clone(), principal.registered_client().map(str::to_owned));
            let denied = AccessDenied { sub, issuer: None, client, page: None, rule: None, missing };
            let error = Error::Denied(Box::new(denied));
            self.record_denial(&error);
            return Err(error);
        }
        let client = principal.client_id.clone();
        if let Err(early) = self.reader_limits.check_key(&client) {
            return Err(Error::TooManyRequests(early.wait_time_from(QuantaClock::default().now())));
        }
        Ok(DirectoryReader { client, owner: principal.machine().and_then(|machine| machine.owner.clone()) })
    }
}
