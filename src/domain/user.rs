//! One model of a pool's user, for the many shapes that Cognito tells users in.
//!
//! | shape | name | attributes | booleans | `identities` |
//! |---|---|---|---|---|
//! | GetUser, AdminGetUser | `Username` | `UserAttributes`, a list | `"true"` | JSON text |
//! | ListUsers, AdminCreateUser | `Username` | `Attributes`, a list | `"true"` | JSON text |
//! | triggers | `userName` | `request.userAttributes`, an object | `"true"` | JSON text |
//! | userInfo | `username` | the claims | `"true"` | JSON text |
//! | ID token | `cognito:username` | the claims | `true` | an array of texts |

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The `provider` of a user of the pool itself.
pub const NATIVE: &str = "COGNITO";

/// Claims that tell of a token, not of its user.
const TOKEN_CLAIMS: [&str; 16] = [
    "iss",
    "aud",
    "azp",
    "exp",
    "iat",
    "nbf",
    "jti",
    "origin_jti",
    "event_id",
    "token_use",
    "auth_time",
    "at_hash",
    "nonce",
    "acr",
    "amr",
    "version",
];

/// A user of the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The pool's name for the user: chosen, equal to `sub`, or `<Provider>_<id there>`.
    pub username: String,
    /// The stable identifier; a trigger before the sign-up knows none.
    pub sub: Option<String>,
    /// Every attribute as text, without `sub` and `identities`.
    pub attributes: BTreeMap<String, String>,
    /// The identities at other providers.
    pub identities: Vec<LinkedIdentity>,
    /// `CONFIRMED`, `EXTERNAL_PROVIDER`, … where the shape tells it.
    pub status: Option<String>,
    /// Whether the user may sign in, where the shape tells it.
    pub enabled: Option<bool>,
    /// The second factors that a sign-in asks for, where the shape tells them: `SOFTWARE_TOKEN_MFA`.
    pub factors: Vec<String>,
}

/// An identity at another provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkedIdentity {
    /// The provider's name in the pool: `Google`.
    pub provider: String,
    /// The user's id there.
    pub user_id: String,
    /// Whether the user came into being by it.
    pub primary: bool,
}

/// What is no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUser {
    /// Nothing to call the user by.
    #[error("it has no user name")]
    Name,
    /// A list of attributes that is none.
    #[error("its attributes are not a list of names and values")]
    Attributes,
}

impl User {
    /// The user in an answer of the user pools API: the body of GetUser and AdminGetUser, one of the `Users` of
    /// ListUsers, the body of AdminCreateUser.
    ///
    /// # Errors
    /// [`InvalidUser`].
    pub fn from_api(answer: &Value) -> Result<Self, InvalidUser> {
        let answer = answer.get("User").unwrap_or(answer);
        let listed = answer.get("UserAttributes").or_else(|| answer.get("Attributes"));
        let listed = listed.map(|list| list.as_array().ok_or(InvalidUser::Attributes)).transpose()?;
        let pairs = listed.into_iter().flatten().map(|item| {
            let name = item.get("Name").and_then(Value::as_str).ok_or(InvalidUser::Attributes)?;
            Ok((name.to_owned(), item.get("Value").cloned().unwrap_or_default()))
        });
        let user = Self::new(answer.get("Username"), pairs.collect::<Result<_, _>>()?)?;
        Ok(Self {
            status: answer.get("UserStatus").and_then(Value::as_str).map(str::to_owned),
            enabled: answer.get("Enabled").and_then(Value::as_bool),
            factors: texts(answer.get("UserMFASettingList")),
            ..user
        })
    }

    /// The user in the claims of an ID token or of userInfo.
    ///
    /// # Errors
    /// [`InvalidUser::Name`].
    pub fn from_claims(claims: &Map<String, Value>) -> Result<Self, InvalidUser> {
        let name = claims.get("cognito:username").or_else(|| claims.get("username"));
        let of_user = claims.iter().filter(|(name, _)| !TOKEN_CLAIMS.contains(&name.as_str()) && *name != "username");
        Self::new(name, of_user.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// The user that a trigger is called for.
    ///
    /// # Errors
    /// [`InvalidUser`].
    pub fn from_trigger(event: &Value) -> Result<Self, InvalidUser> {
        let attributes = match event.pointer("/request/userAttributes") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(attributes)) => attributes.clone(),
            Some(_) => return Err(InvalidUser::Attributes),
        };
        Self::new(event.get("userName"), attributes)
    }

    fn new(name: Option<&Value>, mut claims: Map<String, Value>) -> Result<Self, InvalidUser> {
        let username =
            name.and_then(Value::as_str).filter(|name| !name.is_empty()).ok_or(InvalidUser::Name)?.to_owned();
        let identities = claims.remove("identities").map(|value| LinkedIdentity::list(&value)).unwrap_or_default();
        let sub = claims.remove("sub").as_ref().and_then(Value::as_str).map(str::to_owned);
        let status = claims.remove("cognito:user_status").as_ref().and_then(Value::as_str).map(str::to_owned);
        // The others that begin so are groups, roles and the name, not attributes.
        let attributes = claims.into_iter().filter(|(name, value)| !name.starts_with("cognito:") && !value.is_null());
        let attributes = attributes.map(|(name, value)| (name, text(value))).collect();
        Ok(Self { username, sub, attributes, identities, status, enabled: None, factors: Vec::new() })
    }

    /// Whether a sign-in asks for a code of an authenticator app.
    pub fn has_authenticator_app(&self) -> bool {
        self.factors.iter().any(|factor| factor == "SOFTWARE_TOKEN_MFA")
    }

    /// One attribute; an empty one is none.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The e-mail address if the pool calls it verified.
    pub fn verified_email(&self) -> Option<&str> {
        self.attribute("email").filter(|_| self.attribute("email_verified") == Some("true"))
    }

    /// The name of the provider that the user belongs to, [`NATIVE`] for the pool itself.
    pub fn provider(&self) -> &str {
        provider(&self.username, &self.identities)
    }

    /// Whether the user belongs to the pool itself.
    pub fn is_native(&self) -> bool {
        self.provider() == NATIVE
    }
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}

/// See [`User::provider`]. Names and ids may hold underscores, so the user name alone cannot be taken apart.
pub fn provider<'a>(username: &str, identities: &'a [LinkedIdentity]) -> &'a str {
    let named = |identity: &&LinkedIdentity| {
        // Triggers may tell the name in small letters.
        username.eq_ignore_ascii_case(&format!("{}_{}", identity.provider, identity.user_id))
    };
    let own = identities.iter().find(named).or_else(|| identities.iter().find(|identity| identity.primary));
    own.map_or(NATIVE, |identity| &identity.provider)
}

impl LinkedIdentity {
    /// The identities in a claim (an array whose values are texts) or in an attribute (JSON text with a boolean and
    /// a number). What cannot be read is left out.
    pub fn list(value: &Value) -> Vec<Self> {
        let parsed;
        let array = match value {
            Value::String(json) => {
                parsed = serde_json::from_str(json).unwrap_or(Value::Null);
                parsed.as_array()
            }
            other => other.as_array(),
        };
        let one = |identity: &Value| {
            Some(Self {
                provider: identity.get("providerName")?.as_str()?.to_owned(),
                user_id: text(identity.get("userId")?.clone()),
                primary: identity.get("primary").is_some_and(is_true),
            })
        };
        array.into_iter().flatten().filter_map(one).collect()
    }
}

/// Cognito writes booleans as JSON booleans in ID tokens and as texts everywhere else.
pub fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str() == Some("true"))
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GOOGLE: &str = r#"[{"userId":"108","providerName":"Google","providerType":"Google","issuer":null,"primary":true,"dateCreated":1642699117273}]"#;

    fn list(pairs: &[(&str, &str)]) -> Value {
        pairs.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect()
    }

    #[test]
    fn the_same_user_is_read_from_every_shape() {
        let pairs = [("sub", "34c8"), ("email", "j@x"), ("email_verified", "true"), ("custom:legacy_id", "42")];
        let object: Map<String, Value> = pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).into())).collect();
        let known = json!({ "UserCreateDate": 1.7e9, "UserLastModifiedDate": 1.7e9, "Enabled": true, "UserStatus": "CONFIRMED" });
        let with = |more: Value| {
            let mut whole = known.clone();
            whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            whole
        };
        let mut claims = object.clone();
        let id_token = json!({
            "email_verified": true, "cognito:username": "jane", "cognito:groups": ["admins"], "cognito:roles": ["arn:x"],
            "iss": "https://x", "aud": "6o7h", "exp": 2, "iat": 1, "token_use": "id", "at_hash": "x", "nonce": "y",
            "jti": "a", "origin_jti": "b", "event_id": "c", "auth_time": 1
        });
        claims.extend(id_token.as_object().unwrap().clone());
        let mut info = object.clone();
        info.insert("username".into(), "jane".into());
        let trigger = json!({ "userName": "jane", "request": { "userAttributes": object, "newDeviceUsed": false } });
        let users = [
            User::from_api(&json!({ "Username": "jane", "UserAttributes": list(&pairs), "MFAOptions": [] })),
            User::from_api(&with(json!({ "Username": "jane", "UserAttributes": list(&pairs) }))),
            User::from_api(&with(json!({ "Username": "jane", "Attributes": list(&pairs) }))),
            User::from_api(&json!({ "User": with(json!({ "Username": "jane", "Attributes": list(&pairs) })) })),
            User::from_claims(&claims),
            User::from_claims(&info),
            User::from_trigger(&trigger),
        ];
        for user in users {
            let user = user.unwrap();
            assert_eq!(
                (user.username.as_str(), user.sub.as_deref(), user.provider()),
                ("jane", Some("34c8"), "COGNITO")
            );
            assert_eq!(user.verified_email(), Some("j@x"));
            let expected: BTreeMap<_, _> = pairs[1..].iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            assert_eq!(user.attributes, expected);
        }
    }

    #[test]
    fn identities_are_json_text_in_attributes_and_an_array_of_texts_in_tokens() {
        let claim =
            json!([{ "userId": "108", "providerName": "Google", "primary": "true", "dateCreated": "1642699117273" }]);
        let identity = LinkedIdentity { provider: "Google".into(), user_id: "108".into(), primary: true };
        assert_eq!(LinkedIdentity::list(&claim), std::slice::from_ref(&identity));
        assert_eq!(LinkedIdentity::list(&GOOGLE.into()), [identity]);
        for broken in [json!("not json"), json!("{}"), json!(7), json!([{ "userId": "1" }]), Value::Null] {
            assert!(LinkedIdentity::list(&broken).is_empty(), "{broken}");
        }
    }

    #[test]
    fn a_federated_user_belongs_to_the_provider_and_a_linked_one_to_the_pool() {
        let attributes =
            list(&[("sub", "c4f8"), ("email_verified", "false"), ("email", "g@x"), ("identities", GOOGLE)]);
        let user = |name: &str| User::from_api(&json!({ "Username": name, "Attributes": attributes })).unwrap();
        assert_eq!((user("Google_108").provider(), user("google_108").provider()), ("Google", "Google"));
        assert_eq!(user("Google_108").verified_email(), None);
        let linked = GOOGLE.replace("\"primary\":true", "\"primary\":false");
        assert_eq!(provider("jane", &LinkedIdentity::list(&linked.into())), NATIVE);
        // Underscores in both parts.
        let odd = [LinkedIdentity { provider: "My_IdP".into(), user_id: "a_b".into(), primary: false }];
        assert_eq!(provider("My_IdP_a_b", &odd), "My_IdP");
    }

    #[test]
    fn what_is_no_user_is_none() {
        for broken in [json!({}), json!({ "Username": "" }), json!({ "Username": 7 }), json!([]), Value::Null] {
            assert_eq!(User::from_api(&broken), Err(InvalidUser::Name), "{broken}");
        }
        assert_eq!(User::from_api(&json!({ "Username": "x", "Attributes": {} })), Err(InvalidUser::Attributes));
        assert_eq!(User::from_api(&json!({ "Username": "x", "Attributes": [{}] })), Err(InvalidUser::Attributes));
        let migration = json!({ "userName": "jane@x", "request": { "password": "s", "userAttributes": null } });
        assert_eq!(User::from_trigger(&migration).unwrap().attributes.len(), 0);
    }
}
