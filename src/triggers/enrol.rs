//! What a federated user gets at a sign-in: the id that the legacy system knows the person by, and groups.

use super::settings::TriggerSettings;
use super::{link, migrate, vouched_email};
use crate::domain::user::{NATIVE, User};
use serde_json::{Map, Value, json};

/// The attribute that holds the legacy system's id.
pub const LEGACY_ID: &str = "custom:legacy_id";

/// What a user may lack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enrolment {
    /// The verified e-mail address to ask the legacy system by, if the user has no id of its yet.
    pub legacy_id_of: Option<String>,
    /// Groups; events do not tell which ones the user has.
    pub groups: Vec<String>,
}

/// What is to be done for a user; `None` for native ones, if there is nothing to do, and for users of a provider that
/// nobody has named: any provider of the pool may claim a verified address, and so somebody else's legacy id.
pub fn missing(user: &User, settings: &TriggerSettings) -> Option<Enrolment> {
    let provider = match user.provider() {
        // Some events name no identities.
        NATIVE if user.status.as_deref() == Some("EXTERNAL_PROVIDER") => {
            link::identity(user, settings.providers()).ok()?.0
        }
        provider => provider.to_owned(),
    };
    let named = settings.providers().any(|name| name == provider);
    let asked = settings.lookup_url.is_some() && settings.attributes.contains_key(LEGACY_ID);
    let email = vouched_email(user, &provider, &settings.trusted_providers);
    let legacy_id_of = email.filter(|_| asked && user.attribute(LEGACY_ID).is_none()).map(str::to_owned);
    let missing = Enrolment { legacy_id_of, groups: settings.default_groups.clone() };
    (named && (missing.legacy_id_of.is_some() || !missing.groups.is_empty())).then_some(missing)
}

/// The id in the legacy system's answer, if the answer is about this e-mail address: a look-up takes user names, and
/// one person's address may be another's name.
pub fn legacy_id(fields: &Map<String, Value>, email: &str, settings: &TriggerSettings) -> Option<String> {
    let mut found = migrate::attributes(fields, settings).ok()?;
    let same = found.get("email").is_some_and(|one| one.eq_ignore_ascii_case(email));
    found.remove(LEGACY_ID).filter(|_| same)
}

/// AdminUpdateUserAttributes.
pub fn with_id(pool: &str, user: &User, id: &str) -> Value {
    let attributes = json!([{ "Name": LEGACY_ID, "Value": id }]);
    json!({ "UserPoolId": pool, "Username": user.username, "UserAttributes": attributes })
}

/// AdminAddUserToGroup.
pub fn in_group(pool: &str, user: &User, group: &str) -> Value {
    json!({ "UserPoolId": pool, "Username": user.username, "GroupName": group })
}
