//! What policy judges of somebody, wherever it is kept.

use super::clock::Timestamp;
use super::principal::{Principal, PrincipalKind, TokenIssuer};
use std::borrow::Cow;

/// What is known of somebody whose credential was verified.
pub trait Subject {
    /// The issuer's stable identifier.
    fn sub(&self) -> Cow<'_, str>;
    /// A person or a program.
    fn kind(&self) -> PrincipalKind;
    /// Whose word all this is.
    fn issuer(&self) -> &TokenIssuer;
    /// The id of the registered client that it is.
    fn registered_client(&self) -> Option<&str>;
    /// Whether a user is in a group.
    fn has_group(&self, group: &str) -> bool;
    /// Whether the access token has a scope.
    fn has_scope(&self, scope: &str) -> bool;
    /// The e-mail address if somebody vouches for it.
    fn verified_email(&self) -> Option<Cow<'_, str>>;
    /// How the user authenticated.
    fn authentication(&self) -> Authentication;
}

/// When and how a user authenticated, as far as the provider says.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Authentication {
    /// When.
    pub auth_time: Option<Timestamp>,
    /// The authentication context class (OIDC Core §2).
    pub acr: Option<String>,
}

impl Subject for Principal {
    fn sub(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.sub)
    }

    fn kind(&self) -> PrincipalKind {
        self.kind
    }

    fn issuer(&self) -> &TokenIssuer {
        &self.issuer
    }

    fn registered_client(&self) -> Option<&str> {
        self.machine.upstream_client_id.as_ref().map(|_| self.client_id.as_str())
    }

    fn has_group(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }

    fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|own| own == scope)
    }

    fn verified_email(&self) -> Option<Cow<'_, str>> {
        Self::verified_email(self).map(Cow::Borrowed)
    }

    fn authentication(&self) -> Authentication {
        Authentication { auth_time: self.auth_time, acr: self.acr.clone() }
    }
}
