//! What an operator decides: who may sign in at all, and who may see which page.

use super::demand::{Demand, Unmet};
use super::principal::{Kind, Principal};
use super::site::Sites;

/// Who may sign in at all, and who may see which page.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// What every person has to meet. Programs do not sign in.
    pub admission: Demand,
    /// The rules for pages.
    pub sites: Sites,
}

impl Policy {
    /// Judges whether `principal` may be signed in.
    ///
    /// # Errors
    /// What is [`Unmet`].
    pub fn admit(&self, principal: &Principal) -> Result<(), Unmet> {
        match principal.kind {
            Kind::User => self.admission.check(principal),
            Kind::Machine => Ok(()),
        }
    }
}
