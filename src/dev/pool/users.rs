//! Users of the pool, native and federated, and the three forms in which Cognito shows their attributes: claims of an
//! ID token, strings at userInfo and in the API, JSON text inside a string for `identities`.

use super::passkeys::Passkeys;
use super::totp::SoftwareToken;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// One user of the pool.
#[derive(Clone, Debug)]
pub struct PoolUser {
    /// `cognito:username`: the chosen name, or `<Provider>_<user id>` for a federated user.
    pub username: String,
    /// The stable subject. UUID-shaped, but not an RFC 4122 one, as in a real pool.
    pub sub: String,
    /// The password; `None` for a federated user.
    pub password: Option<String>,
    /// `false` once an administrator has disabled the user.
    pub enabled: bool,
    /// Where a native user stands.
    pub status: UserStatus,
    /// Groups, without the automatic `<pool>_<Provider>` group of federated users.
    pub groups: Vec<String>,
    /// Attributes, all strings as Cognito stores them: `email`, `email_verified` = `"true"`, `name`, `custom:…`.
    pub attributes: BTreeMap<String, String>,
    /// Identities at other providers: one for a federated user, any number for a native user with linked ones.
    pub identities: Vec<FederatedIdentity>,
    /// When the user came into being, epoch seconds.
    pub created: i64,
    pub(super) software_token: SoftwareToken,
    pub(super) passkeys: Passkeys,
}

/// `UserStatus` of a native user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserStatus {
    /// Signed up, without the code of the mail so far.
    Unconfirmed,
    /// May sign in.
    Confirmed,
    /// Created by an administrator, with a temporary password.
    ForceChangePassword,
    /// Has to set a new password with a code.
    ResetRequired,
}

/// A user's identity at a federated provider.
#[derive(Clone, Debug)]
pub struct FederatedIdentity {
    /// The provider's name in the pool, `Google`.
    pub provider: String,
    /// The user's id over there.
    pub user_id: String,
    /// When it was first seen, epoch milliseconds.
    pub created_ms: i64,
}

impl PoolUser {
    /// A native user whose username was chosen at sign-up.
    pub fn native(username: &str, password: &str, sub: &str) -> Self {
        Self {
            username: username.to_owned(),
            sub: sub.to_owned(),
            password: Some(password.to_owned()),
            enabled: true,
            status: UserStatus::Confirmed,
            groups: Vec::new(),
            attributes: BTreeMap::new(),
            identities: Vec::new(),
            created: 1_642_699_117,
            software_token: SoftwareToken::default(),
            passkeys: Passkeys::default(),
        }
    }

    /// A user who first signed in through `provider`.
    pub fn federated(provider: &str, user_id: &str, sub: &str) -> Self {
        Self {
            username: format!("{provider}_{user_id}"),
            password: None,
            identities: vec![FederatedIdentity {
                provider: provider.to_owned(),
                user_id: user_id.to_owned(),
                created_ms: 1_642_699_117_273,
            }],
            ..Self::native("", "", sub)
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Puts the user in a group.
    #[must_use]
    pub fn in_group(mut self, group: &str) -> Self {
        self.groups.push(group.to_owned());
        self
    }

    /// The four users every pool starts with.
    pub fn seeded() -> Vec<Self> {
        vec![
            Self::native("jane", "Passw0rd!", "34c84488-e0e1-70ae-d2ee-991ad1a898c8")
                .with("name", "Jane Doe")
                .with("email", "jane@example.com")
                .with("email_verified", "true")
                .with("custom:legacy_id", "42"),
            Self::native("erin", "Passw0rd!", "b4d8f4a8-3091-70e2-9c1f-5a0f7d2e6b13")
                .in_group("editors")
                .in_group("admins")
                .with("name", "Erin Editor")
                .with("email", "erin@example.com")
                .with("email_verified", "true"),
            Self::federated("Google", "108347000000000000001", "c4f8a4d8-7051-7046-8f0b-2d51c6a9e370")
                .with("name", "Gary Google")
                .with("given_name", "Gary")
                .with("family_name", "Google")
                .with("email", "gary@gmail.com")
                .with("email_verified", "false"),
            Self::federated("Facebook", "2621595607852741", "e4a89408-10d1-7075-a1f6-6d2b8c40f95e")
                .with("name", "Fay Facebook"),
        ]
    }

    /// Whether the user came into being through a provider, rather than being a native one with linked identities.
    pub(super) fn is_federated(&self) -> bool {
        self.password.is_none() && !self.identities.is_empty()
    }

    /// Whether this identity is the user's own or a linked one.
    pub(super) fn has_identity(&self, provider: &str, user_id: &str) -> bool {
        self.identities.iter().any(|identity| identity.provider == provider && identity.user_id == user_id)
    }

    /// The name in tokens: it keeps its capitals in every pool.
    pub(super) fn token_username(&self) -> String {
        match self.identities.first().filter(|_| self.is_federated()) {
            Some(identity) => format!("{}_{}", identity.provider, identity.user_id),
            None => self.username.clone(),
        }
    }

    /// `UserStatus` as the API and the events of Lambda triggers have it.
    pub(super) fn user_status(&self) -> &'static str {
        match self.status {
            _ if self.is_federated() => "EXTERNAL_PROVIDER",
            UserStatus::Unconfirmed => "UNCONFIRMED",
            UserStatus::Confirmed => "CONFIRMED",
            UserStatus::ForceChangePassword => "FORCE_CHANGE_PASSWORD",
            UserStatus::ResetRequired => "RESET_REQUIRED",
        }
    }

    /// The address that codes can be sent to.
    pub(super) fn verified_email(&self) -> Option<&str> {
        self.attributes.get("email_verified").filter(|verified| *verified == "true")?;
        self.attributes.get("email").map(String::as_str)
    }

    /// The groups as tokens carry them: a federated user is in the automatic group of the provider too.
    pub(super) fn token_groups(&self, pool_id: &str) -> Vec<String> {
        let automatic = self.is_federated().then(|| self.identities.first()).flatten();
        automatic
            .map(|identity| format!("{pool_id}_{}", identity.provider))
            .into_iter()
            .chain(self.groups.iter().cloned())
            .collect()
    }

    /// `identities` as the ID token has it: an array whose `primary` and `dateCreated` are strings.
    pub(super) fn identities_claim(&self) -> Option<Value> {
        self.links(|primary, created| (primary.to_string().into(), created.to_string().into()))
    }

    /// `identities` as the attribute has it: JSON text, with a boolean and a number inside.
    pub(super) fn identities_attribute(&self) -> Option<String> {
        self.links(|primary, created| (primary.into(), created.into())).map(|links| links.to_string())
    }

    /// All attributes as the API and the events of Lambda triggers have them.
    pub(super) fn all_attributes(&self) -> impl Iterator<Item = (&str, String)> {
        let stored = self.attributes.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let identities = self.identities_attribute().map(|identities| ("identities", identities));
        [("sub", self.sub.clone())].into_iter().chain(stored).chain(identities)
    }

    fn links(&self, write: impl Fn(bool, i64) -> (Value, Value)) -> Option<Value> {
        let link = |(at, identity): (usize, &FederatedIdentity)| {
            // The first is what the user came into being by.
            let (primary, created) = write(at == 0 && self.is_federated(), identity.created_ms);
            json!({
                "userId": identity.user_id,
                "providerName": identity.provider,
                "providerType": identity.provider,
                "issuer": null,
                "primary": primary,
                "dateCreated": created,
            })
        };
        (!self.identities.is_empty()).then(|| self.identities.iter().enumerate().map(link).collect())
    }

    /// The attributes these scopes let a client read. `openid` alone opens all of them.
    pub(super) fn readable(&self, scopes: &[String]) -> BTreeMap<String, String> {
        let has = |name: &str| scopes.iter().any(|scope| scope == name);
        let narrowed = has("email") || has("phone") || has("profile");
        self.attributes
            .iter()
            .filter(|(name, _)| match name.as_str() {
                _ if !narrowed => true,
                "email" | "email_verified" => has("email"),
                "phone_number" | "phone_number_verified" => has("phone"),
                _ => has("profile"),
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}
