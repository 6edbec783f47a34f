//! What works as it is written and is worth a second thought.

use super::cognito::SCOPE;
use super::problem::Wrong;
use super::{Config, Problem};

impl Config {
    /// What an operator should know about this configuration. None of it keeps the service from starting.
    pub fn cautions(&self) -> Vec<Problem> {
        let provider = &self.provider;
        let mut cautions = Vec::new();
        if !provider.trust_email_from.is_empty() && provider.scopes.iter().any(|scope| scope == SCOPE) {
            let caution = Wrong::new(
                format!(
                    "People can write another e-mail address at the user pool with an access token that has the scope \
                     `{SCOPE}`. This service believes only the address of the sign-in; siblings that read ID tokens \
                     themselves, or ask the pool, see the one that was written."
                ),
                format!("Leave the list empty, or take `{SCOPE}` out of provider.scopes."),
            );
            cautions.push(caution.at("provider.trust_email_from"));
        }
        cautions
    }
}
