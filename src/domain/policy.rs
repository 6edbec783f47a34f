//! What an operator decides: who may sign in at all, and who may see which page.

use super::page_rules::PageRules;
use super::principal::{Principal, PrincipalKind};
use super::requirement::{MissingRequirement, Requirement};

/// Who may sign in at all, and who may see which page.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What every person has to meet. Programs do not sign in.
    pub admission: Requirement,
    /// The rules for pages.
    pub sites: PageRules,
}

impl Policy {
    /// Judges whether `principal` may be signed in.
    ///
    /// # Errors
    /// What is [`MissingRequirement`].
    pub fn admit(&self, principal: &Principal) -> Result<(), MissingRequirement> {
        match principal.kind {
            PrincipalKind::User => self.admission.check(principal),
            PrincipalKind::Machine => Ok(()),
        }
    }
}
