//! What addresses of servers consist of: hosts, ports, users and passwords.
//!
//! No message here shows a value: it can be a password.

use crate::config::diagnostic::Mistake;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use std::fmt;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

pub(super) fn credentials(text: &str) -> Result<(Option<String>, SecretString), Mistake> {
    let Some((user, password)) = text.split_once(':') else {
        return Err(Mistake::new(
            "There is one word before the `@`, and it could be a user or a password.",
            "Write `:PASSWORD@` or `USER:PASSWORD@` before the host.",
        ));
    };
    if password.is_empty() {
        return Err(Mistake::new(
            "The password is empty.",
            "Write `:PASSWORD@`, or leave out everything up to the `@`.",
        ));
    }
    let user = decoded(user)?;
    Ok(((!user.is_empty()).then_some(user), SecretString::from(decoded(password)?)))
}

/// What stands before the `@`, where a password may be missing.
pub(super) fn user_and_password(text: &str) -> Result<(Option<String>, Option<SecretString>), Mistake> {
    if text.contains(':') {
        return credentials(text).map(|(user, password)| (user, Some(password)));
    }
    let user = decoded(text)?;
    Ok(((!user.is_empty()).then_some(user), None))
}

/// A part of the credentials, which was percent-encoded.
fn decoded(part: &str) -> Result<String, Mistake> {
    let digits = |at: usize| part.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
    let sound = part.match_indices('%').all(|(at, _)| digits(at + 1) && digits(at + 2)) && !part.contains('@');
    let text = percent_decode_str(part).decode_utf8().ok().filter(|_| sound);
    text.map(std::borrow::Cow::into_owned).ok_or_else(|| {
        Mistake::new(
            "User or password has a character in it that means something else in an address.",
            "Write every character of user and password that is not a letter or a digit as `%` and two hexadecimal \
             digits: `%40` for `@`, `%2F` for `/`, `%25` for `%`.",
        )
    })
}

pub(super) fn host_port(text: &str, standard: u16, instead: &'static str) -> Result<HostPort, Mistake> {
    let wrong = |what: &str| Mistake::new(what, instead);
    if text.is_empty() {
        return Err(wrong("A host is missing in the address."));
    }
    let end = text.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match text[end..].find(':') {
        Some(at) => (&text[..end + at], Some(&text[end + at + 1..])),
        None => (text, None),
    };
    let port = match port.map(str::parse::<u16>) {
        None => standard,
        Some(Ok(port)) if port > 0 => port,
        Some(_) => {
            return Err(Mistake::new(
                "A port of the address is not a number from 1 to 65535; a password with `/` or `?` in it looks like that.",
                "Write the port as a number; in a password, write `/` as `%2F` and `?` as `%3F`.",
            ));
        }
    };
    let host = match url::Host::parse(host) {
        Ok(url::Host::Ipv6(ip)) => ip.to_string(),
        Ok(host) => host.to_string(),
        Err(_) => return Err(wrong("A host of the address is not a host name or an IP address.")),
    };
    Ok(HostPort { host, port })
}
