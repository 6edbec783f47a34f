//! Who a credential speaks for.

use super::clock::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A person or a program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PrincipalKind {
    /// A person who signed in.
    #[default]
    User,
    /// A program with a client-credentials token.
    Machine,
}

/// Whose word a credential is. What two issuers call alike (a `sub`, a user name, a client id) has nothing to do with each
/// other.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum TokenIssuer {
    /// The provider that people sign in at: of every session, and of its own bearer tokens.
    #[default]
    Provider,
    /// One of `[[provider.bearer_issuer]]`, by its `iss`. Never of a session.
    Further(Arc<str>),
}

impl TokenIssuer {
    /// The issuer with this `iss`; `provider` is the provider's.
    pub fn named(iss: &str, provider: &str) -> Self {
        if iss == provider { Self::Provider } else { Self::Further(iss.into()) }
    }

    /// The `iss` of a further one.
    pub fn further(&self) -> Option<&str> {
        match self {
            Self::Provider => None,
            Self::Further(iss) => Some(iss),
        }
    }
}

impl std::fmt::Display for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.further().unwrap_or("the provider"))
    }
}

/// What is known of a program beyond its token.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MachineIdentity {
    /// Who answers for the client; null if the token is not known to be a registered client's.
    pub owner: Option<String>,
    /// The user on whose behalf it acts, by the provider's `sub`, as its registration says.
    pub on_behalf_of: Option<String>,
    /// The app client at the provider that serves a registered client: who verifies the token without asking sees this
    /// one.
    pub upstream_client_id: Option<String>,
}

/// Who a verified credential speaks for. The default is somebody of whom nothing is known.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Principal {
    /// A person or a program.
    pub kind: PrincipalKind,
    /// The provider's stable identifier. Opaque: not always a UUID.
    pub sub: String,
    /// The name the provider knows the user by; for a machine, its client id.
    pub username: String,
    /// The e-mail address, verified or not.
    #[schema(required)]
    pub email: Option<String>,
    /// Whether the provider, or our configuration for its identity provider, vouches for it.
    pub email_verified: bool,
    /// The display name.
    #[schema(required)]
    pub name: Option<String>,
    /// The user's groups, without Cognito's automatic one for federated users.
    pub groups: Vec<String>,
    /// The scopes granted to the access token.
    pub scopes: Vec<String>,
    /// The app client the token was issued to; the registered id if it was fetched here for a registered client.
    pub client_id: String,
    /// The federated identity provider's name, or `COGNITO` for a user of the pool itself. Access tokens
    /// do not say. Of a token of a further issuer: that issuer.
    #[schema(required)]
    pub provider: Option<String>,
    /// The pool's custom attributes, as `custom:name`, in the order of their names. Few: a list takes less memory than a
    /// tree.
    #[serde(with = "as_map")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub attributes: Vec<(String, String)>,
    /// When the user authenticated at the provider, epoch seconds; null where it does not say. No renewal moves it.
    #[schema(required, value_type = Option<u64>)]
    pub auth_time: Option<Timestamp>,
    /// How the user authenticated: the class (OIDC Core §2), where the provider says.
    #[schema(required)]
    pub acr: Option<String>,
    /// The methods (RFC 8176), where it says.
    pub amr: Vec<String>,
    /// When the token was issued, epoch seconds.
    #[schema(value_type = u64)]
    pub issued_at: Timestamp,
    /// When the token runs out, epoch seconds.
    #[schema(value_type = u64)]
    pub expires_at: Timestamp,
    /// Whose word all this is. Stored nowhere: what is stored is the provider's.
    #[serde(skip)]
    pub issuer: TokenIssuer,
    /// Of a program only, and as its registration is now: stored nowhere.
    #[serde(skip)]
    pub machine: MachineIdentity,
}

mod as_map {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(pairs: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(pairs.iter().map(|(name, value)| (name, value)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
        Ok(BTreeMap::deserialize(from)?.into_iter().collect())
    }
}

impl Principal {
    /// Takes over how and when the user authenticated for this session: a renewal is no authentication.
    pub fn keep_authentication(&mut self, first: &Self) {
        self.auth_time = first.auth_time.or(self.auth_time);
        self.acr = first.acr.clone().or(self.acr.take());
        if !first.amr.is_empty() {
            self.amr.clone_from(&first.amr);
        }
    }

    /// What is known of it beyond the token if it is a program.
    pub(crate) fn machine(&self) -> Option<&MachineIdentity> {
        (self.kind == PrincipalKind::Machine).then_some(&self.machine)
    }

    /// The e-mail address if somebody vouches for it.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::domain::clock::at;

    pub(crate) fn jane() -> Principal {
        Principal {
            kind: PrincipalKind::User,
            sub: "34c8".into(),
            username: "jane".into(),
            email: Some("jane@example.com".into()),
            email_verified: true,
            name: Some("Jane Doe".into()),
            groups: vec!["editors".into()],
            scopes: vec!["openid".into(), "email".into()],
            client_id: "6o7h".into(),
            provider: Some("COGNITO".into()),
            attributes: vec![("custom:legacy_id".into(), "42".into())],
            auth_time: Some(at(0)),
            acr: None,
            amr: vec!["pwd".into()],
            issued_at: at(1),
            expires_at: at(2),
            issuer: TokenIssuer::Provider,
            machine: MachineIdentity::default(),
        }
    }
}
