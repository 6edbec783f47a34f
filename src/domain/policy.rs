//! What an operator decides: who may sign in at all, and who may see which page.

use super::page_rules::PageRules;
use super::principal::PrincipalKind;
use super::requirement::{MissingRequirement, Requirement};
use super::subject::Subject;

/// Who may sign in at all, and who may see which page.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What every person has to meet. Programs do not sign in.
    pub admission: Requirement,
    /// The rules for pages.
    pub sites: PageRules,
}

impl Policy {
    /// Judges whether somebody may be signed in.
    ///
    /// # Errors
    /// What is [`MissingRequirement`].
    pub fn admit(&self, subject: &dyn Subject) -> Result<(), MissingRequirement> {
        match subject.kind() {
            PrincipalKind::User => self.admission.check(subject),
            PrincipalKind::Machine => Ok(()),
        }
    }
}
