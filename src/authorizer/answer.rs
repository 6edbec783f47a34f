//! The three forms of an authorizer's answer.

use super::failure::AuthorizationFailure;
use crate::domain::clock::Timestamp;
use crate::domain::identity::{IDENTITY_HEADERS, IdentityResponse};
use crate::domain::principal::Principal;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How a question is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// An IAM policy for this method, of a REST API or an HTTP API with payload 1.0.
    Policy(String),
    /// HTTP API with payload 2.0: yes or no.
    Simple,
    /// AppSync.
    AppSync,
}

impl AnswerForm {
    /// A policy for the method that an ARN names: `arn:aws:execute-api:REGION:ACCOUNT:API/STAGE/METHOD/PATH`.
    ///
    /// # Errors
    /// [`AuthorizationFailure::Event`] if it is none.
    pub fn policy(method_arn: &str) -> Result<Self, AuthorizationFailure> {
        let parts: Vec<&str> = method_arn.splitn(6, ':').collect();
        match parts[..] {
            ["arn", _, "execute-api", _, _, method]
                if method.split('/').count() >= 3 && !method_arn.contains(char::is_control) =>
            {
                Ok(Self::Policy(method_arn.to_owned()))
            }
            _ => Err(AuthorizationFailure::Event("its methodArn is none of execute-api")),
        }
    }

    /// Lets `principal` in. AppSync may keep that for `ttl`, and not beyond the token's end.
    pub fn allow(&self, principal: &Principal, ttl: Duration, now: Timestamp) -> Value {
        let context = context(principal);
        match self {
            Self::Policy(arn) => policy(Some(&principal.sub), "Allow", arn, context),
            Self::Simple => json!({ "isAuthorized": true, "context": context }),
            Self::AppSync => json!({
                "isAuthorized": true,
                "resolverContext": context,
                "deniedFields": [],
                "ttlOverride": ttl.min(principal.expires_at.since(now)).as_secs(),
            }),
        }
    }

    /// Lets nobody in.
    ///
    /// # Errors
    /// The failure, where the form has no words for it.
    pub fn refuse(&self, failure: AuthorizationFailure) -> Result<Value, AuthorizationFailure> {
        match (self, failure) {
            (Self::Policy(arn), AuthorizationFailure::Denied { sub, code, .. }) => {
                let context = Map::from_iter([("error".to_owned(), code.into())]);
                Ok(policy(sub.as_deref(), "Deny", arn, context))
            }
            (Self::Simple, AuthorizationFailure::Denied { .. }) => Ok(json!({ "isAuthorized": false })),
            (Self::AppSync, AuthorizationFailure::Denied { .. } | AuthorizationFailure::Unauthorized(_)) => {
                Ok(json!({ "isAuthorized": false, "ttlOverride": 0 }))
            }
            (_, failure) => Err(failure),
        }
    }
}

/// Whether a policy for this ARN is for one method alone: a path may hold what IAM takes for a wildcard or a variable.
fn is_exact(arn: &str) -> bool {
    !arn.contains(['*', '?']) && !arn.contains("${")
}

fn policy(sub: Option<&str>, effect: &str, arn: &str, context: Map<String, Value>) -> Value {
    let (effect, resource) = if is_exact(arn) { (effect, arn) } else { ("Deny", "*") };
    let statement = json!({ "Action": "execute-api:Invoke", "Effect": effect, "Resource": resource });
    json!({
        "principalId": sub.unwrap_or("unknown"),
        "policyDocument": { "Version": "2012-10-17", "Statement": [statement] },
        "context": context,
    })
}

/// The identity headers, named as API Gateway can name them.
fn context(principal: &Principal) -> Map<String, Value> {
    let identity = IdentityResponse::new(principal, None);
    let value = |which| String::from_utf8_lossy(identity.header(which).as_bytes()).into_owned();
    let names = IDENTITY_HEADERS.iter().map(|header| header.name.replace('-', "_"));
    names.enumerate().map(|(which, name)| (name, value(which).into())).collect()
}
