//! The directory of people: what flows tell it, and what operators do with it. No sign-in and no renewal fails because of it.

use super::{EndedSessions, Error, OwnSession, RelyingParty};
use crate::directory::Directory;
use crate::domain::person::{DirectoryEntry, Person, PersonKey, PersonObservation};
use crate::domain::principal::Principal;
use crate::domain::signed_event;
use crate::domain::user::User;
use crate::store::OpenedSession;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// What is kept of a person.
#[derive(Debug, Serialize, Deserialize)]
pub struct PersonExport {
    /// The row.
    pub user: DirectoryEntry,
    /// The live sessions.
    pub sessions: Vec<OwnSession>,
}

/// What became of a person who was to be erased.
#[derive(Debug, Serialize, Deserialize)]
pub struct ErasedPerson {
    /// Whether there was a row.
    pub was_known: bool,
    /// The sessions.
    pub ended: EndedSessions,
}

impl RelyingParty {
    /// Writes down who has signed in, so that the row is there before the first page.
    pub(super) async fn record_signed_in(&self, user: &Principal) {
        if let Some(directory) = &self.directory {
            directory.record(self.observed(Person::of_principal(user))).await;
        }
    }

    /// Has written down whose session was renewed.
    pub(super) fn record_renewed(&self, renewed: Arc<OpenedSession>) -> Arc<OpenedSession> {
        if let Some(directory) = &self.directory {
            directory.record_later(self.observed(Person::of_principal(&renewed.principal())));
        }
        renewed
    }

    /// Writes down who has changed attributes.
    pub(super) async fn record_changed(&self, user: &User) {
        let person = Person::of_user(user, &self.config.provider.trust_email_from);
        if let (Some(directory), Some(person)) = (&self.directory, person) {
            directory.record(self.observed(person)).await;
        }
    }

    /// Writes down what a trigger of the user pool tells of a user: an event with its signature.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::Signature`], and [`Error::InvalidEvent`] for what is no event of a user.
    pub async fn record_event(&self, signature: &str, body: &[u8]) -> Result<(), Error> {
        let (directory, config) = (self.directory()?, &self.config);
        let keys = &config.directory.trigger_keys;
        if keys.is_empty() {
            return Err(Error::NotOffered("directory.trigger_keys is not set"));
        }
        let keys = keys.iter().map(|key| key.expose());
        let at = signed_event::verify(keys, signature, body, self.clock.now()).ok_or(Error::Signature)?;
        let event: Value = serde_json::from_slice(body).map_err(|_| Error::InvalidEvent)?;
        let user = User::from_trigger(&event).map_err(|_| Error::InvalidEvent)?;
        let person = Person::of_user(&user, &config.provider.trust_email_from).ok_or(Error::InvalidEvent)?;
        let source = event.get("triggerSource").and_then(Value::as_str).unwrap_or_default();
        directory.record(PersonObservation { person, at, seen: source.starts_with("TokenGeneration_") }).await;
        Ok(())
    }

    /// A person who is here now.
    fn observed(&self, person: Person) -> PersonObservation {
        PersonObservation { person, at: self.clock.now(), seen: true }
    }

    pub(super) fn directory(&self) -> Result<&Directory, Error> {
        self.directory.as_deref().ok_or(Error::NotOffered("directory.url is not set"))
    }

    /// What is known of a person, if anything is.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::Directory`].
    pub async fn find_person(&self, key: &PersonKey) -> Result<Option<DirectoryEntry>, Error> {
        Ok(match key {
            PersonKey::Sub(sub) => self.directory()?.by_sub(sub).await?,
            PersonKey::Email(email) => self.directory()?.by_email(email).await?,
        })
    }

    /// The row and the sessions of a person.
    ///
    /// # Errors
    /// As [`find_person`](Self::find_person), and [`Error::Store`].
    pub async fn export_person(&self, key: &PersonKey) -> Result<Option<PersonExport>, Error> {
        let Some(user) = self.find_person(key).await? else { return Ok(None) };
        let sessions = self.sessions_of(&user.person.sub).await?;
        Ok(Some(PersonExport { user, sessions }))
    }

    /// Ends the sessions of a person, and forgets what is known.
    ///
    /// # Errors
    /// [`Error::NotOffered`], [`Error::Store`], [`Error::Directory`]: it can be done again.
    pub async fn erase_person(&self, sub: &str) -> Result<ErasedPerson, Error> {
        let directory = self.directory()?;
        // First, since a renewal would write the row again.
        let ended = self.end_sessions_of(sub, None).await?;
        Ok(ErasedPerson { was_known: directory.erase(sub).await?, ended })
    }
}
