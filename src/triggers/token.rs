//! What a user's tokens would lack. Those of a federated user's first sign-in: the groups and the legacy id that
//! [`super::enrol`] gives a moment before, and that Cognito may not have read yet. Access tokens: the e-mail address.

use super::enrol::LEGACY_ID;
use crate::domain::user::User;
use serde_json::{Map, Value, json};

/// The event with `groups` beside those that it names, with a claim for the legacy id, and with the address of `email_of`
/// for the access token; `None` if there is nothing to add.
pub fn with_claims(
    event: &Value,
    groups: &[String],
    legacy_id: Option<&str>,
    email_of: Option<&User>,
) -> Option<Value> {
    let known = event.pointer("/request/groupConfiguration").cloned().unwrap_or_default();
    let mut all: Vec<Value> = known.get("groupsToOverride").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = all.len();
    all.extend(groups.iter().filter(|group| !known_in(&known, group)).map(|group| group.as_str().into()));
    // Version 1 knows the ID token only; there the claims stand beside the groups.
    let first_version = matches!(event.get("version").and_then(Value::as_str), Some("1") | None);
    let mut details = Map::new();
    if let Some(id) = legacy_id {
        let claims = json!({ "claimsToAddOrOverride": { LEGACY_ID: id } });
        match first_version {
            true => details.extend(claims.as_object().cloned().into_iter().flatten()),
            false => drop(details.insert("idTokenGeneration".into(), claims)),
        }
    }
    if let Some((user, email)) =
        email_of.filter(|_| !first_version).and_then(|user| Some((user, user.attribute("email")?)))
    {
        // As in an ID token.
        let claims = json!({ "email": email, "email_verified": user.verified_email().is_some() });
        details.insert("accessTokenGeneration".into(), json!({ "claimsToAddOrOverride": claims }));
    }
    if all.len() > before {
        // It replaces what the token would have: roles too.
        let mut group_details = known.as_object().cloned().unwrap_or_default();
        group_details.insert("groupsToOverride".into(), all.into());
        details.insert("groupOverrideDetails".into(), group_details.into());
    }
    if details.is_empty() {
        return None;
    }
    let name = if first_version { "claimsOverrideDetails" } else { "claimsAndScopeOverrideDetails" };
    let mut answer = event.clone();
    answer["response"] = json!({ name: details });
    Some(answer)
}

fn known_in(configuration: &Value, group: &str) -> bool {
    let groups = configuration.get("groupsToOverride").and_then(Value::as_array);
    groups.into_iter().flatten().any(|known| known == group)
}
