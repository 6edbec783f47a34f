//! The rules between values. A rule is silent when a value it needs is absent or already reported as wrong, so that
//! one mistake is one message.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::authorize_parameters;
use super::cognito;
use super::draft::Draft;
use super::files::read_file;
use super::hosts::is_loopback;
use super::issuer;
use super::problem::{Problem, Wrong};
use super::sites;

/// Appends every broken rule.
pub(super) fn check(draft: &Draft, problems: &mut Vec<Problem>) {
    let mut report = |at: &str, broken: Result<(), Wrong>| {
        if let Err(wrong) = broken {
            problems.push(wrong.at(at));
        }
    };
    report(&draft.ops_listen.at, listeners(draft));
    tls(draft, &mut report);
    report(&draft.validate_timeout.at, validate_timeout(draft));
    report(&draft.issuer.at, provider_issuer(draft));
    report(&draft.scopes.at, scopes(draft));
    if let Some(parameters) = draft.authorize_parameters.good() {
        report(&draft.authorize_parameters.at, authorize_parameters::check(parameters));
    }
    report(&draft.timeout.at, timeout(draft));
    report(&draft.cookie_domain.at, sites::cookie_domain(draft));
    report(&draft.cookie_keys.at, cookie_keys(draft));
    report(&draft.store_timeout.at, store_timeout(draft));
    report(&draft.max_stale.at, max_stale(draft));
    report(&draft.max_age.at, max_age(draft));
    report(&draft.idle.at, idle(draft));
    report(&draft.sign_in_timeout.at, sign_in_timeout(draft));
    report(&draft.refresh_margin.at, refresh_margin(draft));
    report(&draft.cache_margin.at, cache_margin(draft));
    report(&draft.recheck.at, recheck(draft));
    cognito::check(draft, &mut report);
    sites::return_hosts(draft, &mut report);
    report(&draft.return_default.at, sites::return_default(draft));
}

fn listeners(draft: &Draft) -> Result<(), Wrong> {
    let (Some(public), Some(Some(ops))) = (draft.listen.good(), draft.ops_listen.good()) else {
        return Ok(());
    };
    if !collide(public, ops) {
        return Ok(());
    }
    Err(Wrong::new(
        format!("{ops} and {} ({public}) claim the same port, so one of the two could not listen.", draft.listen.at),
        "Give the ops listener another port, or write \"\" to switch it off.",
    ))
}

fn collide(a: &SocketAddr, b: &SocketAddr) -> bool {
    let every = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
    let (x, y) = (a.ip(), b.ip());
    a.port() == b.port() && a.port() != 0 && (x == y || every(x, y) || every(y, x))
}

fn tls(draft: &Draft, report: &mut impl FnMut(&str, Result<(), Wrong>)) {
    let (cert, key) = (&draft.tls_cert_file, &draft.tls_key_file);
    if let (Some(cert_path), Some(key_path)) = (cert.known(), key.known()) {
        for (given, missing, absent) in [(cert, "tls_key_file", key_path), (key, "tls_cert_file", cert_path)] {
            if given.good().is_some() && absent.is_none() {
                let what = format!("This is given without server.{missing}, and TLS takes both, so it would stay off.");
                report(&given.at, Err(Wrong::new(what, format!("Write server.{missing} too, or remove this key."))));
            }
        }
    }
    for (field, mark, what) in
        [(cert, "-----BEGIN CERTIFICATE-----", "PEM certificate"), (key, "PRIVATE KEY-----", "PEM private key")]
    {
        if let Some(path) = field.good() {
            report(&field.at, pem(path, mark, what));
        }
    }
    if cert.good().or(key.good()).is_some()
        && let Some(public_url) = draft.public_url.good()
        && !public_url.is_https()
    {
        let at = if cert.good().is_some() { &cert.at } else { &key.at };
        let what =
            format!("With a certificate the listener speaks https, but {} is {public_url}.", draft.public_url.at);
        report(at, Err(Wrong::new(what, "Write https:// in server.public_url, or remove the two tls keys.")));
    }
}

fn pem(path: &Path, mark: &str, what: &str) -> Result<(), Wrong> {
    if read_file(path)?.contains(mark) {
        return Ok(());
    }
    Err(Wrong::new(
        format!("The file {} holds no {what}, so no browser could connect.", path.display()),
        "Name a PEM file with the right content; certificate and key are easily swapped.",
    ))
}

fn validate_timeout(draft: &Draft) -> Result<(), Wrong> {
    match draft.validate_timeout.good() {
        Some(timeout) if !(100..=60_000).contains(&timeout.as_millis()) => Err(Wrong::new(
            "Under 100ms a busy machine would refuse who is signed in; over a minute every site would hang with us.",
            "Write a time from `100ms` to `60s`; `3s` suits most.",
        )),
        _ => Ok(()),
    }
}

fn provider_issuer(draft: &Draft) -> Result<(), Wrong> {
    let Some((text, url)) = draft.issuer.good() else {
        return Ok(());
    };
    if let Some(profile) = draft.profile.good() {
        issuer::check(text, url, *profile)?;
    }
    if url.scheme() == "http"
        && let Some(public_url) = draft.public_url.good()
        && !is_loopback(public_url.host())
    {
        return Err(Wrong::new(
            format!(
                "The issuer is plain http on this machine while {} is {public_url}: only this machine could sign in, \
                 with tokens of a test provider.",
                draft.public_url.at
            ),
            "Write the https issuer of the real provider, or a loopback public_url for development.",
        ));
    }
    Ok(())
}

fn scopes(draft: &Draft) -> Result<(), Wrong> {
    let Some(scopes) = draft.scopes.good() else {
        return Ok(());
    };
    if scopes.iter().any(|scope| scope == "openid") {
        return Ok(());
    }
    Err(Wrong::new(
        "The scope `openid` is missing; without it the provider sends no ID token and nobody can be identified.",
        "Add `openid`, in lower case, to the list.",
    ))
}

fn timeout(draft: &Draft) -> Result<(), Wrong> {
    match draft.timeout.good() {
        Some(timeout) if !(1..=60).contains(&timeout.as_secs()) => Err(Wrong::new(
            "Under one second healthy providers would be cut off; over a minute browsers give up before we do.",
            "Write a time from `1s` to `60s`; `10s` suits most.",
        )),
        _ => Ok(()),
    }
}

fn cookie_keys(draft: &Draft) -> Result<(), Wrong> {
    let Some(keys) = draft.cookie_keys.good() else {
        return Ok(());
    };
    let instead = "Make a key with `openssl rand -base64 32` and write its output.";
    if keys.is_empty() {
        return Err(Wrong::new("The list is empty, so no cookie could be sealed.", instead));
    }
    let twice = keys.iter().enumerate().any(|(i, key)| keys[..i].iter().any(|other| other.expose() == key.expose()));
    if twice {
        return Err(Wrong::new(
            "The same key stands in the list twice, so a change of keys that seems done is not.",
            "Remove one of the two, or put a new key first.",
        ));
    }
    Ok(())
}

fn store_timeout(draft: &Draft) -> Result<(), Wrong> {
    match draft.store_timeout.good() {
        Some(timeout) if !(100..=10_000).contains(&timeout.as_millis()) => Err(Wrong::new(
            "Under 100ms a busy store would count as lost; over 10s every request of every site would hang with it.",
            "Write a time from `100ms` to `10s`; `1s` suits most.",
        )),
        _ => Ok(()),
    }
}

fn max_stale(draft: &Draft) -> Result<(), Wrong> {
    match draft.max_stale.good() {
        Some(stale) if !(50..=3_600_000).contains(&stale.as_millis()) => Err(Wrong::new(
            "Under 50ms a busy machine would ask the store for every request; over an hour a sign-out would hardly count.",
            "Write a time from `50ms` to `1h`; `250ms` suits most.",
        )),
        _ => Ok(()),
    }
}

fn cache_margin(draft: &Draft) -> Result<(), Wrong> {
    match draft.cache_margin.good() {
        Some(margin) if !(1..=240).contains(&margin.as_secs()) => Err(Wrong::new(
            "Without a margin tokens run out on their way; a provider's tokens may live no longer than 5m, so a margin \
             near that would have every request fetch and pay for a new one.",
            "Write a time from `1s` to `4m`; `60s` suits most.",
        )),
        _ => Ok(()),
    }
}

fn recheck(draft: &Draft) -> Result<(), Wrong> {
    match draft.recheck.good() {
        Some(recheck) if recheck.as_secs() < 60 => Err(Wrong::new(
            "Each check is a token that the provider bills, so this would undo what the cache saves.",
            "Write a time of `1m` or more; `1h` suits most.",
        )),
        _ => Ok(()),
    }
}

const DAY: u64 = 86_400;

fn max_age(draft: &Draft) -> Result<(), Wrong> {
    match draft.max_age.good() {
        Some(age) if age.is_zero() => Err(Wrong::new(
            "Every session would end the moment it starts.",
            "Write how long people stay signed in: `12h`, `30d`.",
        )),
        Some(age) if age.as_secs() > 400 * DAY => Err(Wrong::new(
            "Browsers drop every cookie after 400 days, so sessions would end earlier than this says.",
            "Write `400d` or less.",
        )),
        _ => Ok(()),
    }
}

fn idle(draft: &Draft) -> Result<(), Wrong> {
    let (Some(idle), Some(age)) = (draft.idle.good(), draft.max_age.good()) else {
        return Ok(());
    };
    if !idle.is_zero() && *idle < Duration::from_secs(60) {
        return Err(Wrong::new(
            "Uses are written down every few seconds, so a time this short would end sessions that are in use.",
            "Write `1m` or more, or `0s` for no idle limit.",
        ));
    }
    if idle.is_zero() || idle < age || age.is_zero() {
        return Ok(());
    }
    Err(Wrong::new(
        format!("It is not shorter than {}, so it would never end a session.", draft.max_age.at),
        "Write a shorter time, or `0s` for no idle limit.",
    ))
}

fn sign_in_timeout(draft: &Draft) -> Result<(), Wrong> {
    match draft.sign_in_timeout.good() {
        Some(timeout) if !(60..=DAY).contains(&timeout.as_secs()) => Err(Wrong::new(
            "Under one minute people who look for their password would be cut off; after a day, whoever sits at the \
             browser then could finish what another one began.",
            "Write a time from `1m` to `24h`; `1h` suits most.",
        )),
        _ => Ok(()),
    }
}

fn refresh_margin(draft: &Draft) -> Result<(), Wrong> {
    let Some(margin) = draft.refresh_margin.good() else {
        return Ok(());
    };
    if *margin >= Duration::from_secs(3_600) {
        return Err(Wrong::new(
            "Tokens usually live one hour: with a margin that long every /refresh would be a call to the provider, \
             which limits them and may bill them.",
            "Write less than `1h`; `5m` suits tokens that live an hour.",
        ));
    }
    match draft.max_age.good() {
        Some(age) if !age.is_zero() && margin >= age => Err(Wrong::new(
            format!("It is not shorter than {}, so every /refresh would be a call to the provider.", draft.max_age.at),
            "Write a time much shorter than the session.",
        )),
        _ => Ok(()),
    }
}
