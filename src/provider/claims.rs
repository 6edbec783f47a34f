//! The claims of tokens (RFC 7519 §4.1, OIDC Core §§2 and 5.1).

use super::invalid_token::InvalidToken;
use crate::domain::authentication::is_acr;
use crate::domain::clock::Timestamp;
use crate::domain::store_key::RevocationKey;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a token is accepted after its end.
pub const LEEWAY: Duration = Duration::from_secs(30);
/// How far our clock may be behind the provider's: only then is a token from the future.
const MAX_CLOCK_LAG: Duration = Duration::from_secs(90);

/// The claims that we read, of ID tokens and access tokens alike. Unknown ones are kept, never refused.
#[derive(Debug, Clone, Deserialize)]
pub struct Claims {
    /// One text: a list of issuers is none (RFC 7519 §4.1.1).
    pub(super) iss: String,
    pub(super) sub: String,
    #[serde(deserialize_with = "numeric_date")]
    pub(super) exp: Timestamp,
    #[serde(deserialize_with = "numeric_date")]
    pub(super) iat: Timestamp,
    #[serde(default, deserialize_with = "optional_numeric_date")]
    pub(super) nbf: Option<Timestamp>,
    pub(super) aud: Option<Audience>,
    pub(super) azp: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) token_use: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) scope: Option<String>,
    pub(super) username: Option<String>,
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) email_verified: Option<Value>,
    #[serde(flatten)]
    pub(super) other: BTreeMap<String, Value>,
}

/// One audience or several (RFC 7519 §4.1.3).
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl Claims {
    /// Whom the token is meant for.
    pub(super) fn audiences(&self) -> &[String] {
        self.aud.as_ref().map(Audience::as_slice).unwrap_or_default()
    }

    /// The client that the token was issued to: RFC 9068's claim, else OIDC's.
    pub(super) fn client(&self) -> Option<&str> {
        self.client_id.as_deref().or(self.azp.as_deref()).filter(|client| !client.is_empty())
    }

    /// Whether the claims of the scopes `email` and `profile` are missing.
    pub(super) fn lacks_a_profile(&self) -> bool {
        self.email.is_none() || self.name.is_none()
    }

    /// Takes over what userinfo knows beyond these claims. It must be about the same subject (OIDC Core §5.3.2).
    pub(super) fn add(&mut self, userinfo: Map<String, Value>) -> Result<(), InvalidToken> {
        self.merge(userinfo, false)
    }

    /// Takes over what userinfo says now, in place of these claims, which are older.
    pub(super) fn renew(&mut self, userinfo: Map<String, Value>) -> Result<(), InvalidToken> {
        self.merge(userinfo, true)
    }

    fn merge(&mut self, mut userinfo: Map<String, Value>, newer: bool) -> Result<(), InvalidToken> {
        if userinfo.remove("sub").as_ref().and_then(Value::as_str) != Some(&self.sub) {
            return Err(InvalidToken::Subject);
        }
        let text = |value: Value| value.as_str().map(str::to_owned);
        let verified = userinfo.remove("email_verified");
        if let Some(email) = userinfo.remove("email").and_then(text).filter(|_| newer || self.email.is_none()) {
            self.email = Some(email);
            self.email_verified = verified;
        }
        if let Some(name) = userinfo.remove("name").and_then(text).filter(|_| newer || self.name.is_none()) {
            self.name = Some(name);
        }
        for (name, value) in userinfo {
            if newer {
                self.other.insert(name, value);
            } else {
                self.other.entry(name).or_insert(value);
            }
        }
        Ok(())
    }

    /// The value at a path: the claim of this very name, else of the longest name that the path begins with, and so
    /// on within it. Names may hold dots themselves.
    pub(super) fn at(&self, path: &str) -> Option<&Value> {
        descend(path, &|name| self.other.get(name))
    }

    /// The revocation key that a token shares with its session: `origin_jti`, else `jti`, else the hash of the token.
    pub(super) fn own_name(&self, raw: &str) -> RevocationKey {
        let id = self.other_text("origin_jti").or(self.other_text("jti"));
        id.map_or_else(|| RevocationKey::whole_token(raw), RevocationKey::token)
    }

    /// All that a token may have been called by.
    pub(super) fn all_names(&self) -> Vec<RevocationKey> {
        ["origin_jti", "jti"].into_iter().filter_map(|name| self.other_text(name)).map(RevocationKey::token).collect()
    }

    /// The provider's own session.
    pub(super) fn sid(&self) -> Option<&str> {
        self.other_text("sid")
    }

    /// When the user authenticated. What is no NumericDate is not known.
    pub(super) fn auth_time(&self) -> Option<Timestamp> {
        numeric_date(self.other.get("auth_time")?).ok()
    }

    /// How the user authenticated (OIDC Core §2). Some write a number.
    pub(super) fn acr(&self) -> Option<String> {
        match self.other.get("acr")? {
            Value::String(acr) if is_acr(acr) => Some(acr.clone()),
            Value::Number(acr) => Some(acr.to_string()),
            _ => None,
        }
    }

    /// The methods of it (RFC 8176).
    pub(super) fn amr(&self) -> Vec<String> {
        let methods = self.other.get("amr").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        methods.iter().filter_map(|method| method.as_str().map(str::to_owned)).collect()
    }

    pub(super) fn other_text(&self, name: &str) -> Option<&str> {
        self.other.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The rules for times and subjects that hold for every token.
    pub(super) fn sane(&self, now: Timestamp) -> Result<(), InvalidToken> {
        if self.sub.is_empty() {
            return Err(InvalidToken::Malformed("the subject is empty".into()));
        }
        if self.exp + LEEWAY <= now {
            return Err(InvalidToken::Expired);
        }
        let soonest = now + MAX_CLOCK_LAG;
        if self.iat > soonest || self.nbf.is_some_and(|nbf| nbf > soonest) {
            return Err(InvalidToken::NotYetValid);
        }
        Ok(())
    }
}

fn descend<'a>(path: &str, get: &dyn Fn(&str) -> Option<&'a Value>) -> Option<&'a Value> {
    if let Some(value) = get(path) {
        return Some(value);
    }
    let mut dots: Vec<usize> = path.match_indices('.').map(|(at, _)| at).collect();
    dots.reverse();
    dots.into_iter().find_map(|at| {
        let inner = get(&path[..at])?.as_object()?;
        descend(&path[at + 1..], &|name| inner.get(name))
    })
}

/// A NumericDate (RFC 7519 §2): seconds since the epoch, maybe with a fraction, which is cut off.
pub(super) fn numeric_date<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    timestamp(&Number::deserialize(from)?)
}

/// The same of a claim that may be missing.
pub(super) fn optional_numeric_date<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    Option::<Number>::deserialize(from)?.as_ref().map(timestamp).transpose()
}

fn timestamp<E: serde::de::Error>(number: &Number) -> Result<Timestamp, E> {
    // Up to 2^53 a float tells seconds apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match (number.as_u64(), number.as_f64()) {
        (Some(seconds), _) => Ok(Timestamp::from_secs(seconds)),
        (None, Some(seconds)) if (0.0..EXACT).contains(&seconds) => Ok(Timestamp::from_secs(seconds as u64)),
        _ => Err(E::custom("not a NumericDate")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::at;
    use serde_json::json;

    fn claims(more: Value) -> Result<Claims, serde_json::Error> {
        let mut whole = json!({ "iss": "https://x", "sub": "s", "exp": 2, "iat": 1 });
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole)
    }

    #[test]
    fn a_time_is_any_number_of_seconds_and_nothing_else() {
        for (time, expected) in
            [(json!(7), 7), (json!(7.0), 7), (json!(7.999), 7), (json!(0), 0), (json!(1e9), 1_000_000_000)]
        {
            let read = claims(json!({ "exp": time, "nbf": time })).unwrap();
            assert_eq!((read.exp, read.nbf), (at(expected), Some(at(expected))), "{time}");
        }
        for bad in [json!("7"), json!(-1), json!(-0.5), json!(1e300), json!([7]), json!({}), json!(true)] {
            for name in ["exp", "iat", "nbf"] {
                assert!(claims(json!({ name: bad })).is_err(), "{name} {bad}");
            }
        }
        assert!(claims(json!({ "exp": null })).is_err());
        assert_eq!(claims(json!({ "nbf": null })).unwrap().nbf, None);
    }

    #[test]
    fn a_path_leads_through_objects_and_names_may_hold_dots() {
        let read = claims(json!({ "a": { "b": { "c": 1 }, "b.c": 2 }, "d.e": { "f": 3 }, "a.b": 4 })).unwrap();
        let cases = [
            ("a.b", Some(4)),
            ("a.b.c", Some(2)),
            ("d.e.f", Some(3)),
            ("d.e.g", None),
            ("x", None),
            ("", None),
            (".", None),
        ];
        for (path, expected) in cases {
            assert_eq!(read.at(path).and_then(Value::as_u64), expected, "{path}");
        }
    }

    #[test]
    fn the_client_is_whom_the_token_was_issued_to() {
        for (more, expected) in [
            (json!({ "client_id": "a", "azp": "b" }), Some("a")),
            (json!({ "azp": "b" }), Some("b")),
            (json!({ "azp": "" }), None),
            (json!({}), None),
        ] {
            assert_eq!(claims(more).unwrap().client(), expected);
        }
    }
}
