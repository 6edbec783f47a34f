//! Host names: their grammar and public suffixes, and the two keys that hold them.

use crate::config::diagnostic::{Mistake, shown};
use crate::domain::host::{AllowedHost, ip};

/// Whether strangers can register names directly below `host`: `com`, `co.uk`, `github.io`, and any single label.
pub(in crate::config) fn is_public_suffix(host: &str) -> bool {
    ip(host).is_none() && psl::suffix_str(host) == Some(host)
}

/// The name someone registered, of which `host` is a part: `example.co.uk` for `a.b.example.co.uk`.
pub(in crate::config) fn registrable(host: &str) -> Option<&str> {
    if ip(host).is_some() { None } else { psl::domain_str(host) }
}

/// A host name in lower case, or why it is none: for people who write a URL where a host belongs.
pub(in crate::config) fn host_name(text: &str) -> Result<String, Mistake> {
    let host = text.to_ascii_lowercase();
    let wrong = |what: &str, instead: String| Err(Mistake::new(format!("{} {what}", shown(text)), instead));
    let plain = "Write the bare host name, for example `example.com`.";
    if host.contains('@') {
        return wrong("has a user in it; only the host counts here.", plain.to_owned());
    }
    if let Some((_, rest)) = host.split_once("://") {
        let bare = rest.split(['/', '?', '#', ':']).next().filter(|h| !h.is_empty());
        let instead = bare.map_or(plain.to_owned(), |bare| format!("Write {} alone.", shown(bare)));
        return wrong("is a web address; here only the host counts.", instead);
    }
    if host.contains('*') {
        let bare = host.trim_start_matches(['*', '.']);
        let instead =
            if bare.is_empty() || bare.contains('*') { plain.to_owned() } else { format!("Write {}.", shown(bare)) };
        return wrong("has a wildcard; subdomains are included without one.", instead);
    }
    if ip(&host).is_some() {
        return Ok(host);
    }
    if host.contains(['/', '?', '#', '\\']) {
        return wrong("has more than a host in it; paths are not looked at.", plain.to_owned());
    }
    if let Some((bare, _)) = host.split_once(':') {
        return wrong("has a port; every port of the host is meant.", format!("Write {}.", shown(bare)));
    }
    if !host.is_ascii() {
        let instead = match url::Host::parse(&host) {
            Ok(ascii) => format!("Write {}.", shown(&ascii.to_string())),
            Err(_) => plain.to_owned(),
        };
        return wrong("has letters beyond ASCII, which browsers send in another form.", instead);
    }
    let label = |l: &str| {
        let inside = l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&l.len()) && inside && !l.starts_with('-') && !l.ends_with('-')
    };
    // The URL parser has the last word (it is a browser's): `1.2.3` and `0x7f.1` are addresses, not names.
    let same = url::Host::parse(&host).is_ok_and(|parsed| parsed == url::Host::Domain(host.clone()));
    if host.len() > 253 || !host.split('.').all(label) || !same {
        return wrong("is not a host name.", plain.to_owned());
    }
    Ok(host)
}

/// One entry of `return_to.allow`.
pub(in crate::config) fn allowed_host(text: &str) -> Result<AllowedHost, Mistake> {
    let (external, host) = match text.strip_prefix("external:") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let host = host.strip_prefix('.').unwrap_or(host);
    Ok(AllowedHost { host: host_name(host)?, external })
}

/// `cookies.domain`: a leading dot is accepted and dropped, it means the same.
pub(in crate::config) fn cookie_domain(text: &str) -> Result<String, Mistake> {
    let host = host_name(text.strip_prefix('.').unwrap_or(text))?;
    if ip(&host).is_some() {
        return Err(Mistake::new(
            format!(
                "{} is an IP address; browsers refuse a cookie domain that is one, so nobody could sign in.",
                shown(&host)
            ),
            "Write the parent host name your sites share, or leave `cookies.domain` out: a cookie for our own host only.",
        ));
    }
    if host == "localhost" {
        return Err(Mistake::new(
            "Browsers refuse cookies for `localhost` as a shared domain, so nobody could sign in.",
            "Name your sites below one label, say `auth-api.app.localhost`, and write `app.localhost`; such names reach \
             this machine without set-up.",
        ));
    }
    if is_public_suffix(&host) {
        return Err(Mistake::new(
            format!(
                "{} is a public suffix: strangers own names below it, and browsers refuse such cookies, so nobody could sign in.",
                shown(&host)
            ),
            "Write the domain that is yours, one label longer, for example `example.com` rather than `com`.",
        ));
    }
    Ok(host)
}
