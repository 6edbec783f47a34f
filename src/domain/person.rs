//! What the directory keeps of a person.

use super::clock::Timestamp;
use super::principal::Principal;
use super::user::User;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The attribute with the id of an older system.
const LEGACY_ID: &str = "custom:legacy_id";

/// What is known of a person, as far as a source tells it: what is `None` leaves what is known as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The stable identifier at the issuer.
    pub sub: String,
    /// The name that the provider knows the person by.
    pub username: String,
    /// The address.
    pub email: Option<String>,
    /// Whether somebody vouches for it; `None`: as before, if it is the same address.
    pub email_verified: Option<bool>,
    /// The display name.
    pub name: Option<String>,
    /// The groups; tokens tell them, the user pool's answers do not.
    pub groups: Option<Vec<String>>,
    /// The federated identity provider, or `COGNITO`.
    pub provider: Option<String>,
    /// The further attributes, by their names in the pool.
    pub attributes: BTreeMap<String, String>,
    /// Whether the source tells all attributes: what it does not tell is gone then.
    #[serde(skip)]
    pub is_complete: bool,
}

/// What was learned of a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonObservation {
    /// Who.
    pub person: Person,
    /// When it was so.
    pub at: Timestamp,
    /// Whether the person was here then.
    pub seen: bool,
}

impl Person {
    /// Whose session it is.
    pub fn of_principal(principal: &Principal) -> Self {
        Self {
            sub: principal.sub.clone(),
            username: principal.username.clone(),
            email: principal.email.clone().filter(|email| !email.is_empty()),
            email_verified: Some(principal.email_verified),
            name: principal.name.clone(),
            groups: Some(principal.groups.clone()),
            provider: principal.provider.clone(),
            attributes: principal.attributes.iter().cloned().collect(),
            is_complete: false,
        }
    }

    /// The user as the pool has it; none without a `sub`. What the pool does not vouch for may be verified all the same, if
    /// the identity provider is among `trusted`: a sign-in tells.
    pub fn of_user(user: &User, trusted: &[String]) -> Option<Self> {
        let told_apart = ["email", "email_verified", "name"];
        let further = user.attributes.iter().filter(|(name, _)| !told_apart.contains(&name.as_str()));
        Some(Self {
            sub: user.sub.clone()?,
            username: user.username.clone(),
            email: user.attribute("email").map(str::to_owned),
            email_verified: match user.verified_email() {
                None if trusted.iter().any(|name| name == user.provider()) => None,
                verified => Some(verified.is_some()),
            },
            name: user.attribute("name").map(str::to_owned),
            groups: None,
            provider: Some(user.provider().to_owned()),
            attributes: further.map(|(name, value)| (name.clone(), value.clone())).collect(),
            is_complete: true,
        })
    }

    /// The id in an older system.
    pub fn legacy_id(&self) -> Option<&str> {
        self.attributes.get(LEGACY_ID).map(String::as_str).filter(|id| !id.is_empty())
    }
}

/// Where a person stands in the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryEntry {
    /// What is known; of who was erased the `sub` alone.
    #[serde(flatten)]
    pub person: Person,
    /// When the person was first heard of.
    pub created: Timestamp,
    /// When something of it changed last.
    pub updated: Timestamp,
    /// When the person last signed in or had a session renewed.
    pub last_seen: Option<Timestamp>,
    /// When it was erased.
    pub deleted: Option<Timestamp>,
}

/// How a person is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PersonKey {
    /// By the provider's `sub`.
    Sub(String),
    /// By a verified e-mail address, in small or capital letters.
    Email(String),
}
