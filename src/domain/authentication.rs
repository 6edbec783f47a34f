//! How, and how lately, a user has to have authenticated: step-up authentication (RFC 9470, OIDC Core §3.1.2.1).

use super::clock::Timestamp;
use super::principal::PrincipalKind;
use super::subject::{Authentication, Subject};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Characters of an `acr` value at most.
const ACR_MAX: usize = 256;

/// What a page, a caller or a sign-in asks of the user's authentication. Nothing by default.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticationRequirement {
    /// The user authenticated at most so long ago.
    pub max_age: Option<Duration>,
    /// The authentication context class is one of these.
    pub acr_values: Vec<String>,
}

impl AuthenticationRequirement {
    /// Whether any authentication will do.
    pub fn is_empty(&self) -> bool {
        self.max_age.is_none() && self.acr_values.is_empty()
    }

    /// Whether it is met at `now`. A program never does: it does not authenticate as a user.
    pub fn is_met(&self, subject: &dyn Subject, now: Timestamp) -> bool {
        if self.is_empty() {
            return true;
        }
        let Authentication { auth_time, acr } = subject.authentication();
        subject.kind() == PrincipalKind::User
            && self.max_age.is_none_or(|max_age| is_recent(auth_time, max_age, now))
            && self.admits_acr(acr.as_deref())
    }

    /// Whether an authentication of this class is good enough.
    pub fn admits_acr(&self, acr: Option<&str>) -> bool {
        self.acr_values.is_empty() || acr.is_some_and(|acr| self.acr_values.iter().any(|value| value == acr))
    }

    /// What to ask for where both are wanted. Each is still judged by itself: of two lists without a common class, only
    /// the first can be asked for.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        let max_age = self.max_age.into_iter().chain(other.max_age).min();
        let both = self.acr_values.iter().filter(|value| other.acr_values.contains(value));
        let acr_values = match (self.acr_values.is_empty(), other.acr_values.is_empty()) {
            (true, _) => other.acr_values.clone(),
            (false, true) => self.acr_values,
            (false, false) if both.clone().next().is_some() => both.cloned().collect(),
            (false, false) => self.acr_values,
        };
        Self { max_age, acr_values }
    }

    /// `acr_values`, as the protocol writes them.
    pub fn acr_values_text(&self) -> Option<String> {
        (!self.acr_values.is_empty()).then(|| self.acr_values.join(" "))
    }
}

/// Whether an authentication is at most `max_age` old. One whose time is not known is not.
pub fn is_recent(auth_time: Option<Timestamp>, max_age: Duration, now: Timestamp) -> bool {
    auth_time.is_some_and(|auth_time| now.since(auth_time) <= max_age)
}

/// Whether a text can be an `acr` value: visible, without quotation marks and backslashes, so that it fits into a
/// challenge as it is.
pub fn is_acr(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
    (1..=ACR_MAX).contains(&text.len()) && text.bytes().all(fits)
}

impl fmt::Display for AuthenticationRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.max_age.map(|age| format!("at most {} s ago", age.as_secs()));
        let class = self.acr_values_text().map(|values| format!("of one of the classes {values}"));
        let said: Vec<_> = age.into_iter().chain(class).collect();
        write!(f, "an authentication {}", said.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::at;
    use super::super::principal::tests::jane;
    use super::*;

    fn needs(max_age: Option<u64>, acr: &[&str]) -> AuthenticationRequirement {
        let acr_values = acr.iter().map(|acr| (*acr).to_owned()).collect();
        AuthenticationRequirement { max_age: max_age.map(Duration::from_secs), acr_values }
    }

    #[test]
    fn an_authentication_is_recent_to_the_second_and_one_without_a_time_never() {
        let mut jane = jane();
        for (auth_time, max_age, met) in [
            (Some(700), 300, true),
            (Some(699), 300, false),
            (Some(1_000), 0, true),
            (Some(999), 0, false),
            (Some(1_005), 0, true),
            (None, u64::MAX, false),
        ] {
            jane.auth_time = auth_time.map(at);
            assert_eq!(needs(Some(max_age), &[]).is_met(&jane, at(1_000)), met, "{auth_time:?} {max_age}");
        }
        jane.auth_time = Some(at(1_000));
        jane.kind = PrincipalKind::Machine;
        assert!(!needs(Some(300), &[]).is_met(&jane, at(1_000)), "a program");
        assert!(needs(None, &[]).is_met(&jane, at(1_000)), "nothing is asked for");
    }

    #[test]
    fn one_of_the_classes_is_enough_and_another_is_none() {
        let mut jane = jane();
        for (acr, met) in [(Some("urn:b"), true), (Some("urn:a"), true), (Some("urn:A"), false), (None, false)] {
            jane.acr = acr.map(str::to_owned);
            assert_eq!(needs(None, &["urn:a", "urn:b"]).is_met(&jane, at(1)), met, "{acr:?}");
        }
    }

    #[test]
    fn two_requirements_ask_for_both() {
        assert_eq!(needs(Some(60), &["a", "b"]).and(&needs(Some(30), &["b", "c"])), needs(Some(30), &["b"]));
        assert_eq!(needs(None, &[]).and(&needs(Some(30), &["c"])), needs(Some(30), &["c"]));
        assert_eq!(needs(Some(60), &["a"]).and(&needs(None, &[])), needs(Some(60), &["a"]));
        assert_eq!(needs(None, &["a"]).and(&needs(None, &["b"])), needs(None, &["a"]));
    }

    #[test]
    fn what_breaks_out_of_a_challenge_is_no_class() {
        for bad in ["", "a b", "a\"", "a\\", "é", "a\r\n", &"a".repeat(257)] {
            assert!(!is_acr(bad), "{bad:?}");
        }
        assert!(is_acr("urn:cognito:loa:2") && is_acr("0"));
    }
}
