//! `provider.authorize_parameters`: what an operator adds to the way to the sign-in page.

use super::problem::{Wrong, shown};

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

/// One parameter, `name=value`.
pub(super) fn parse(text: &str) -> Result<(String, String), Wrong> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(Wrong::new(
            format!("{} is not a parameter with its value.", shown(text)),
            "Write each as `name=value`: `access_type=offline`.",
        ));
    };
    if OWN.contains(&name) {
        return Err(Wrong::new(
            format!("This service sends {} itself, and sign-ins are only safe as it does.", shown(name)),
            match name {
                "scope" => "Leave it out; scopes are written in provider.scopes.",
                _ => "Leave it out.",
            },
        ));
    }
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    if !plain || text.len() > 1_024 || value.chars().any(char::is_control) {
        return Err(Wrong::new(
            format!("{} cannot be a parameter of an address.", shown(text)),
            "Write `name=value`, the name in letters, digits, `_`, `-` and `.`, at most 1,024 characters.",
        ));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// No name may come twice: which of the two counts would be the provider's choice.
pub(super) fn check(parameters: &[(String, String)]) -> Result<(), Wrong> {
    let twice = parameters.iter().enumerate().find(|(at, (name, _))| parameters[..*at].iter().any(|(n, _)| n == name));
    match twice {
        None => Ok(()),
        Some((_, (name, _))) => Err(Wrong::new(
            format!("{} is there twice, and which of the two counts would be the provider's choice.", shown(name)),
            "Leave one of the two out.",
        )),
    }
}
