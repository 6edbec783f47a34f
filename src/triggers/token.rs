//! What the token of a federated user's first sign-in would lack: the groups and the legacy id that [`super::enrol`]
//! gives a moment before, and that Cognito may not have read yet.

use super::enrol::LEGACY_ID;
use serde_json::{Map, Value, json};

/// The event with `groups` beside those that it names, and with a claim for the legacy id; `None` if it names all.
pub fn with_claims(event: &Value, groups: &[String], legacy_id: Option<&str>) -> Option<Value> {
    let known = event.pointer("/request/groupConfiguration").cloned().unwrap_or_default();
    let mut all: Vec<Value> = known.get("groupsToOverride").and_then(Value::as_array).cloned().unwrap_or_default();
    let before = all.len();
    all.extend(groups.iter().filter(|group| !known_in(&known, group)).map(|group| group.as_str().into()));
    let mut details = Map::new();
    if let Some(id) = legacy_id {
        let claims = json!({ "claimsToAddOrOverride": { LEGACY_ID: id } });
        // Version 1 knows the ID token only; there the claims stand beside the groups.
        match event.get("version").and_then(Value::as_str) {
            Some("1") | None => details.extend(claims.as_object().cloned().into_iter().flatten()),
            Some(_) => drop(details.insert("idTokenGeneration".into(), claims)),
        }
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
    let name = match event.get("version").and_then(Value::as_str) {
        Some("1") | None => "claimsOverrideDetails",
        Some(_) => "claimsAndScopeOverrideDetails",
    };
    let mut answer = event.clone();
    answer["response"] = json!({ name: details });
    Some(answer)
}

fn known_in(configuration: &Value, group: &str) -> bool {
    let groups = configuration.get("groupsToOverride").and_then(Value::as_array);
    groups.into_iter().flatten().any(|known| known == group)
}
