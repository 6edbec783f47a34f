//! The Lambda trigger before tokens, which adds claims, takes some away and replaces the groups.
//!
//! | trigger | when |
//! |---|---|
//! | `TokenGeneration_HostedAuth`, `TokenGeneration_Authentication` | a federated or a native user has signed in |
//! | `TokenGeneration_RefreshTokens` | tokens are refreshed |
//! | `TokenGeneration_ClientCredentials` | a machine asks for a token; version 3 of the event only |

use super::triggers::{InvocationError, LambdaTriggers, LambdaVersion, event_attributes};
use super::users::PoolUser;
use serde_json::{Map, Value, json};

/// What a pre-token trigger changes.
#[derive(Clone, Debug, Default)]
pub(super) struct TokenOverrides {
    pub(super) id_token: ClaimOverrides,
    pub(super) access_token: ClaimOverrides,
}

/// What it changes in one token.
#[derive(Clone, Debug, Default)]
pub(super) struct ClaimOverrides {
    claims: Map<String, Value>,
    suppressed: Vec<String>,
    scopes: Vec<String>,
    suppressed_scopes: Vec<String>,
    groups: Option<Value>,
}

/// Claims that no trigger sets or takes away, beside all that begin with `cognito:`.
const FIXED_CLAIMS: [&str; 21] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "client_id",
    "device_key",
    "event_id",
    "exp",
    "iat",
    "identities",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "origin_jti",
    "scope",
    "sub",
    "token_use",
    "username",
];

impl ClaimOverrides {
    fn read(edits: &Value, groups: &Value) -> Self {
        let texts = |name: &str| {
            let list = edits[name].as_array().into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            claims: edits["claimsToAddOrOverride"].as_object().cloned().unwrap_or_default(),
            suppressed: texts("claimsToSuppress"),
            scopes: texts("scopesToAdd"),
            suppressed_scopes: texts("scopesToSuppress"),
            groups: Some(groups["groupsToOverride"].clone()).filter(Value::is_array),
        }
    }

    pub(super) fn apply(&self, claims: &mut Value) {
        let Some(claims) = claims.as_object_mut() else { return };
        let free = |name: &String| !name.starts_with("cognito:") && !FIXED_CLAIMS.contains(&name.as_str());
        claims.extend(
            self.claims.iter().filter(|(name, _)| free(name)).map(|(name, value)| (name.clone(), value.clone())),
        );
        for name in self.suppressed.iter().filter(|name| free(name)) {
            claims.remove(name);
        }
        if let Some(groups) = &self.groups {
            claims.insert("cognito:groups".to_owned(), groups.clone());
        }
        if let Some(scope) = claims.get("scope").and_then(Value::as_str) {
            let granted =
                scope.split_whitespace().filter(|scope| !self.suppressed_scopes.iter().any(|one| one == scope));
            let scopes: Vec<&str> = granted.chain(self.scopes.iter().map(String::as_str)).collect();
            claims.insert("scope".to_owned(), scopes.join(" ").into());
        }
    }
}

impl LambdaTriggers {
    /// Before tokens of a user are made.
    pub(super) async fn token_generation(
        &self,
        source: &str,
        client_id: &str,
        user: &PoolUser,
        scopes: &[String],
    ) -> Result<TokenOverrides, InvocationError> {
        let mut request = json!({
            "userAttributes": event_attributes(user),
            "groupConfiguration": {
                "groupsToOverride": user.token_groups(&self.pool_id),
                "iamRolesToOverride": [],
                "preferredRole": null,
            },
        });
        let details = if self.token_event == LambdaVersion::V1 {
            "claimsOverrideDetails"
        } else {
            request["scopes"] = json!(scopes);
            "claimsAndScopeOverrideDetails"
        };
        let event = self.call(source, client_id, &user.username, request, json!({ details: null })).await?;
        let (details, groups) = (&event["response"][details], &event["response"][details]["groupOverrideDetails"]);
        Ok(match self.token_event {
            LambdaVersion::V1 => {
                TokenOverrides { id_token: ClaimOverrides::read(details, groups), ..TokenOverrides::default() }
            }
            LambdaVersion::V2 | LambdaVersion::V3 => TokenOverrides {
                id_token: ClaimOverrides::read(&details["idTokenGeneration"], groups),
                access_token: ClaimOverrides::read(&details["accessTokenGeneration"], groups),
            },
        })
    }

    /// Before a token of a machine is made.
    pub(super) async fn machine_token_generation(
        &self,
        client_id: &str,
        scopes: &[String],
        metadata: Option<Value>,
    ) -> Result<TokenOverrides, InvocationError> {
        if self.token_event != LambdaVersion::V3 {
            return Ok(TokenOverrides::default());
        }
        let request = json!({
            "userAttributes": {},
            "groupConfiguration": null,
            "scopes": scopes,
            "clientMetadata": metadata,
        });
        let unset = json!({ "claimsAndScopeOverrideDetails": null });
        let source = "TokenGeneration_ClientCredentials";
        let event = self.call(source, client_id, "ClientCredentials", request, unset).await?;
        let details = &event["response"]["claimsAndScopeOverrideDetails"];
        let access_token = ClaimOverrides::read(&details["accessTokenGeneration"], &Value::Null);
        Ok(TokenOverrides { access_token, ..TokenOverrides::default() })
    }
}
