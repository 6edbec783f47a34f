//! The rules between our origin, the cookie domain and the hosts that may be returned to.

use url::Url;

use super::draft::Draft;
use super::hosts::{AllowedHost, is_loopback, is_public_suffix, registrable, within};
use super::problem::{Wrong, shown};
use super::urls::PublicUrl;
use crate::domain::host::ip;

/// The cookie reaches our own host and no stranger's.
pub(super) fn cookie_domain(draft: &Draft) -> Result<(), Wrong> {
    let (Some(domain), Some(public_url)) = (draft.cookie_domain.good(), draft.public_url.good()) else {
        return Ok(());
    };
    let host = public_url.host();
    if !within(host, domain) {
        return Err(Wrong::new(
            format!(
                "{} does not contain {}, the host of {}; browsers drop such cookies, so nobody could sign in.",
                shown(domain),
                shown(host),
                draft.public_url.at
            ),
            match host.split_once('.') {
                Some((_, parent)) if !is_public_suffix(parent) && ip(host).is_none() => {
                    format!("Write a parent of that host, for example {}.", shown(parent))
                }
                _ => "Leave it out: a cookie for our own host only.".to_owned(),
            },
        ));
    }
    // `amazonaws.com` is no suffix itself, but suffixes lie below it: browsers compare registrable names.
    match registrable(host) {
        Some(own) if within(domain, own) => Ok(()),
        own => Err(Wrong::new(
            format!(
                "{} spans the public suffix that {} is below; browsers drop such cookies, so nobody could sign in.",
                shown(domain),
                shown(host)
            ),
            match own {
                Some(own) => format!("Write {} or a name below it.", shown(own)),
                None => "Leave it out: a cookie for our own host only.".to_owned(),
            },
        )),
    }
}

/// Every host of `return_to.allow` is ours or marked.
pub(super) fn return_hosts(draft: &Draft, report: &mut impl FnMut(&str, Result<(), Wrong>)) {
    let Some(hosts) = draft.return_allow.good() else {
        return;
    };
    let own = draft.public_url.good().map(PublicUrl::host);
    for allowed in hosts {
        let host = allowed.host.as_str();
        let broken = if own != Some(host) && is_public_suffix(host) {
            Err(Wrong::new(
                format!(
                    "{} is a public suffix: strangers own names below it and could receive our users.",
                    shown(host)
                ),
                "Write the host that is yours, one label longer.",
            ))
        } else if allowed.external {
            Ok(())
        } else {
            inside(draft, host)
        };
        report(&draft.return_allow.at, broken);
    }
}

/// Whether a host that is not marked receives the session cookie.
fn inside(draft: &Draft, host: &str) -> Result<(), Wrong> {
    let instead = format!("If people shall be sent there without being signed in there, write `external:{host}`.");
    match (draft.cookie_domain.known(), draft.public_url.good()) {
        (Some(Some(domain)), _) if !within(host, domain) => Err(Wrong::new(
            format!(
                "{} is outside {} ({domain}), so it never receives the session cookie and would send people back \
                 here for ever.",
                shown(host),
                draft.cookie_domain.at
            ),
            instead,
        )),
        (Some(None), Some(public_url)) if public_url.host() != host => Err(Wrong::new(
            format!(
                "Without cookies.domain the session cookie is for {} alone, so {} would send people back here for ever.",
                shown(public_url.host()),
                shown(host)
            ),
            format!("Set cookies.domain to the parent they share. {instead}"),
        )),
        _ => Ok(()),
    }
}

/// The default target is itself allowed.
pub(super) fn return_default(draft: &Draft) -> Result<(), Wrong> {
    let (Some(target), Some(public_url)) = (draft.return_default.good(), draft.public_url.good()) else {
        return Ok(());
    };
    let host = target.host_str().unwrap_or_default();
    if target.scheme() == "http" && (public_url.is_https() || !is_loopback(host)) {
        return Err(Wrong::new(
            format!(
                "{} is plain http, so people would leave the protected connection right after signing in.",
                shown(target.as_str())
            ),
            "Write `https://`; plain http is for loopback names, and only while server.public_url is one too.",
        ));
    }
    let Some(domain) = draft.cookie_domain.known() else {
        return Ok(());
    };
    let own = AllowedHost { host: domain.map_or(public_url.host(), String::as_str).to_owned(), external: false };
    let allowed = match draft.return_allow.known() {
        None => return Ok(()),
        Some(None) => own.covers(host),
        Some(Some(list)) => list.iter().any(|entry| entry.covers(host)),
    };
    if allowed || same_origin(target, public_url) {
        return Ok(());
    }
    Err(Wrong::new(
        format!("{} is not a host of return_to.allow, so the default itself would be refused.", shown(host)),
        "Add the host to return_to.allow, or write an address that is allowed.",
    ))
}

fn same_origin(target: &Url, public_url: &PublicUrl) -> bool {
    target.origin() == public_url.url().origin()
}
