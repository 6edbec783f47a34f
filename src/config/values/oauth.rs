//! What OAuth names: clients, scopes, audiences, claims, groups, parameters.

use secrecy::SecretString;

use crate::config::diagnostic::{Mistake, shown};
use crate::domain::authentication::is_acr;

/// An OAuth client id: printable ASCII without spaces.
pub(in crate::config) fn client_id(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic()),
        format!("{} cannot be a client id, so the provider would refuse every sign-in.", shown(text)),
        "Copy the app client's id from the provider: printable ASCII without spaces, at most 255 characters.",
    )
}

/// One scope: the characters of RFC 6749 §3.3.
pub(in crate::config) fn scope(text: &str) -> Result<String, Mistake> {
    if text.chars().any(char::is_whitespace) {
        return Err(Mistake::new(
            format!("The scope {} has white space inside; a provider reads that as several scopes.", shown(text)),
            "Write each scope as an item of its own: `[\"openid\", \"email\"]`, in the environment `openid,email`.",
        ));
    }
    Mistake::text_if(
        text,
        text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)),
        format!("The scope {} has a character that scopes cannot have.", shown(text)),
        "Write scopes as the provider lists them: ASCII without quotes, backslashes and spaces.",
    )
}

/// An audience of access tokens: a client's id, an address.
pub(in crate::config) fn audience(text: &str) -> Result<String, Mistake> {
    if text == "*" {
        return Err(Mistake::new(
            "There is no wildcard here: it would accept tokens that are meant for other APIs.",
            "Name each audience, as tokens have it in `aud`.",
        ));
    }
    Mistake::text_if(
        text,
        text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic()),
        format!("{} cannot be an audience, so it would never match.", shown(text)),
        "Write it as tokens have it in `aud`: printable ASCII without spaces, at most 512 characters.",
    )
}

/// An authentication context class.
pub(in crate::config) fn acr(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        is_acr(text),
        format!("{} cannot be an authentication context class, so nobody would have it.", shown(text)),
        "Write it as tokens have it in `acr`: ASCII without spaces, quotes and backslashes, at most 256 characters.",
    )
}

/// The name of a claim, or a path to it.
pub(in crate::config) fn claim(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.len() <= 256 && !text.chars().any(|c| c.is_control() || c.is_whitespace()),
        format!("{} cannot be the name of a claim, so nobody would be in a group.", shown(text)),
        "Write it as tokens have it: `groups`, `realm_access.roles`, `https://example.com/groups`.",
    )
}

/// The name of a federated identity provider, as the provider spells it.
pub(in crate::config) fn identity_provider(text: &str) -> Result<String, Mistake> {
    if text == "*" {
        return Err(Mistake::new(
            "There is no wildcard here: it would let any identity provider claim anybody's e-mail address.",
            "Name each provider whose addresses you believe, as the user pool spells it: `Google`.",
        ));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Mistake::new(
            format!("{} cannot be the name of an identity provider, so it would never match.", shown(text)),
            "Write the name as the user pool spells it, without spaces: `Google`, `Facebook`, `SignInWithApple`.",
        ));
    }
    Ok(text.to_owned())
}

/// The app client's secret.
pub(in crate::config) fn client_secret(text: &str) -> Result<SecretString, Mistake> {
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(Mistake::new(
            "The secret has white space around it or a line break inside, so the provider would refuse it.",
            "Write the secret alone, as the provider shows it; a file may end in one newline.",
        ));
    }
    Ok(SecretString::from(text))
}

/// The name of a group, as the provider spells it.
pub(in crate::config) fn group(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.chars().count() <= 128 && !text.contains(char::is_whitespace) && !text.contains(char::is_control),
        format!("{} cannot be the name of a group, so nobody would be in it.", shown(text)),
        "Write the name as the provider has it: at most 128 characters, none of them a space.",
    )
}

/// What this service sends itself, and what would put other requests in its place (RFC 9101, RFC 9126).
const OWN: [&str; 12] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// One parameter of `provider.authorize_parameters`, `name=value`.
pub(in crate::config) fn authorize_parameter(text: &str) -> Result<(String, String), Mistake> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Mistake::new(
            format!("{} is not a parameter with its value.", shown(text)),
            "Write each as `name=value`: `access_type=offline`.",
        ));
    };
    if OWN.contains(&name) {
        return Err(Mistake::new(
            format!("This service sends {} itself, and sign-ins are only safe as it does.", shown(name)),
            match name {
                "scope" => "Leave it out; scopes are written in provider.scopes.",
                _ => "Leave it out.",
            },
        ));
    }
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !plain || text.len() > 1_024 || value.chars().any(char::is_control) {
        return Err(Mistake::new(
            format!("{} cannot be a parameter of an address.", shown(text)),
            "Write `name=value`, the name in letters, digits, `_`, `-` and `.`, at most 1,024 characters.",
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// No name may come twice: which of the two counts would be the provider's choice.
pub(in crate::config) fn each_once(parameters: &[(String, String)]) -> Result<(), Mistake> {
    let duplicate =
        parameters.iter().enumerate().find(|(at, (name, _))| parameters[..*at].iter().any(|(n, _)| n == name));
    match duplicate {
        None => Ok(()),
        Some((_, (name, _))) => Err(Mistake::new(
            format!("{} is given twice, and the provider would choose which of the two counts.", shown(name)),
            "Leave one of the two out.",
        )),
    }
}
