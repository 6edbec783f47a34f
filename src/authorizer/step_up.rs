//! How, and how lately, a user has to have authenticated (RFC 9470).

use crate::domain::clock::Timestamp;
use crate::domain::principal::PrincipalKind;
use crate::provider::Bearer;
use std::time::Duration;

/// What is required of the user's authentication; nothing by default.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct StepUp {
    /// The longest time since it.
    pub max_age: Option<Duration>,
    /// Its class (`acr`, OIDC Core §2) is one of these.
    pub acr_values: Vec<String>,
}

impl StepUp {
    /// Whether a verified token says so. A program authenticates nobody.
    pub(super) fn is_met(&self, bearer: &Bearer, now: Timestamp) -> bool {
        let recent = |max_age| bearer.auth_time.is_some_and(|time| now.since(time) <= max_age);
        let classed = || bearer.acr.as_ref().is_some_and(|acr| self.acr_values.contains(acr));
        *self == Self::default()
            || bearer.principal.kind == PrincipalKind::User
                && self.max_age.is_none_or(recent)
                && (self.acr_values.is_empty() || classed())
    }
}
