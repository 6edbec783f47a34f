//! Who we are to the provider, what we ask it for, and the keys that seal.

use secrecy::SecretString;

use super::keys;
use super::problem::{Wrong, shown};
use super::values::Secret;

/// An OAuth client id: printable ASCII without spaces.
pub(super) fn client_id(text: &str) -> Result<String, Wrong> {
    if text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be a client id, so the provider would refuse every sign-in.", shown(text)),
        "Copy the app client's id from the provider: printable ASCII without spaces, at most 255 characters.",
    ))
}

/// One scope: the characters of RFC 6749 §3.3.
pub(super) fn scope(text: &str) -> Result<String, Wrong> {
    if text.chars().any(char::is_whitespace) {
        return Err(Wrong::new(
            format!("The scope {} has white space inside; a provider reads that as several scopes.", shown(text)),
            "Write each scope as an item of its own: `[\"openid\", \"email\"]`, in the environment `openid,email`.",
        ));
    }
    if text.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("The scope {} has a character that scopes cannot have.", shown(text)),
        "Write scopes as the provider lists them: ASCII without quotes, backslashes and spaces.",
    ))
}

/// An audience of access tokens: a client's id, an address.
pub(super) fn audience(text: &str) -> Result<String, Wrong> {
    if text == "*" {
        return Err(Wrong::new(
            "There is no wildcard here: it would accept tokens that are meant for other APIs.",
            "Name each audience, as tokens have it in `aud`.",
        ));
    }
    if text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be an audience, so it would never match.", shown(text)),
        "Write it as tokens have it in `aud`: printable ASCII without spaces, at most 512 characters.",
    ))
}

/// The name of a claim, or a path to it.
pub(super) fn claim(text: &str) -> Result<String, Wrong> {
    if text.len() <= 256 && !text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be the name of a claim, so nobody would be in a group.", shown(text)),
        "Write it as tokens have it: `groups`, `realm_access.roles`, `https://example.com/groups`.",
    ))
}

/// The name of a federated identity provider, as the provider spells it.
pub(super) fn identity_provider(text: &str) -> Result<String, Wrong> {
    if text == "*" {
        return Err(Wrong::new(
            "There is no wildcard here: it would let any identity provider claim anybody's e-mail address.",
            "Name each provider whose addresses you believe, as the user pool spells it: `Google`.",
        ));
    }
    if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Wrong::new(
            format!("{} cannot be the name of an identity provider, so it would never match.", shown(text)),
            "Write the name as the user pool spells it, without spaces: `Google`, `Facebook`, `SignInWithApple`.",
        ));
    }
    Ok(text.to_owned())
}

/// The app client's secret.
pub(super) fn client_secret(text: &str) -> Result<SecretString, Wrong> {
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err(Wrong::new(
            "The secret has white space around it or a line break inside, so the provider would refuse it.",
            "Write the secret alone, as the provider shows it; a file may end in one newline.",
        ));
    }
    Ok(SecretString::from(text))
}

/// One key that seals cookies and sessions.
pub(super) fn cookie_key(text: &str) -> Result<Secret, Wrong> {
    let instead = "Make one with `openssl rand -base64 32` and write its output.";
    let bytes = text.as_bytes();
    if text == keys::EXAMPLE_COOKIE_KEY {
        let what = "This is the example from the reference, which everybody can read and forge sessions with.";
        return Err(Wrong::new(what, instead));
    }
    if bytes.len() < 32 {
        let what =
            format!("A key has {} bytes; with fewer than 32, sealed cookies can be opened by guessing.", bytes.len());
        return Err(Wrong::new(what, instead));
    }
    // Thirty-two random hexadecimal digits have fewer than eight different ones once in tens of millions.
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    if seen.iter().filter(|s| **s).count() < 8 {
        let what = "A key repeats fewer than eight different characters, so it can be guessed.";
        return Err(Wrong::new(what, instead));
    }
    Ok(Secret::new(bytes.to_vec()))
}
