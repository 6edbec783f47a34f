//! `[cookies]`: their domain and the keys that seal them.

use secrecy::{ExposeSecret, SecretSlice};

use crate::config::diagnostic::Mistake;
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{list, section, text};
use crate::config::values::hosts;
use crate::config::values::tokens::{Exposed, tokens};

/// The key that the reference shows. It is public, so it is refused.
const EXAMPLE_KEY: &str = "replace this with the output of: openssl rand -base64 32";

section! {
    cookies: "The cookies of a signed-in browser.";
    CookiesConfig / RawCookies

    /// The parent domain of this service and its siblings: every host below it receives the session cookie.
    /// It has to contain the host of server.public_url and be yours alone. Absent: our own host only.
    domain: Option<String> = text(hosts::cookie_domain).optional("example.com");

    /// Secrets of at least 32 bytes that seal cookies and sessions. The first seals, all open: to change keys, put
    /// the new one first and drop the old one after session.max_age. Losing them signs everyone out.
    /// In the environment, keys are separated by commas. The example is refused.
    keys: Vec<Secret> = list(cookie_key).rule(|keys: &Vec<Secret>| key_ring(keys))
        .required(EXAMPLE_KEY)
        .or_file("/run/secrets/cookie-keys", "A file that holds the keys, one a line, instead of keys.")
        .reloads();

    /// Tokens to set as cookies too, for siblings that verify JWTs themselves: "id_token", "access_token".
    /// Each adds kilobytes to every request to every host below cookies.domain.
    expose: Exposed = tokens().default("");
}

/// Secret bytes: redacted in `Debug`, wiped when dropped.
#[derive(Clone, Debug)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

/// One key that seals cookies and sessions.
fn cookie_key(text: &str) -> Result<Secret, Mistake> {
    if text == EXAMPLE_KEY {
        let what = "This is the example from the reference, which everybody can read and forge sessions with.";
        return Err(Mistake::new(what, MAKE_ONE));
    }
    strong_key(text, "sealed cookies can be opened by guessing")
}

const MAKE_ONE: &str = "Make one with `openssl rand -base64 32` and write its output.";

/// A key that nobody guesses. `danger` says what could be done with it.
pub(in crate::config) fn strong_key(text: &str, danger: &str) -> Result<Secret, Mistake> {
    let bytes = text.as_bytes();
    if bytes.len() < 32 {
        let what = format!("A key has {} bytes; with fewer than 32, {danger}.", bytes.len());
        return Err(Mistake::new(what, MAKE_ONE));
    }
    // Thirty-two random hexadecimal digits have fewer than eight different ones once in tens of millions.
    let mut seen = [false; 256];
    for byte in bytes {
        seen[usize::from(*byte)] = true;
    }
    if seen.iter().filter(|s| **s).count() < 8 {
        let what = "A key repeats fewer than eight different characters, so it can be guessed.";
        return Err(Mistake::new(what, MAKE_ONE));
    }
    Ok(Secret(bytes.to_vec().into()))
}

fn key_ring(keys: &[Secret]) -> Result<(), Mistake> {
    let instead = "Make a key with `openssl rand -base64 32` and write its output.";
    Mistake::unless(!keys.is_empty(), "The list is empty, so no cookie could be sealed.", instead)?;
    let duplicate =
        keys.iter().enumerate().any(|(i, key)| keys[..i].iter().any(|other| other.expose() == key.expose()));
    Mistake::unless(
        !duplicate,
        "The same key stands in the list twice, so a change of keys that seems done is not.",
        "Remove one of the two, or put a new key first.",
    )
}
