//! The rules between sections. A rule is silent when a value it needs is already
//! reported as wrong, so that one mistake is one message.

use url::Url;

use super::RawConfig;
use super::diagnostic::{Diagnostic, Mistake, line, shown};
use super::reader::ConfigReader;
use super::sections::policy::PolicyConfig;
use super::sections::provider::ACCOUNT_SCOPE;
use super::values::hosts::{is_public_suffix, registrable};
use super::values::issuer::Profile;
use super::values::urls::PublicUrl;

use crate::domain::host::{ip, is_loopback, within};
use crate::domain::machine::ClientRegistry;
use crate::domain::page_rules::PageRule;
use crate::domain::principal::TokenIssuer;

/// Reports every broken rule.
pub(super) fn check(raw: &RawConfig, reader: &mut ConfigReader) {
    raw.server.check(reader);
    reader.report(&raw.provider.issuer.at, local_issuer(raw, raw.provider.issuer.valid()));
    let further = &raw.provider.bearer_issuer;
    for one in further.valid().into_iter().flatten() {
        reader.report(&format!("{} ({})", further.at, line(&one.issuer)), local_issuer(raw, Some(&one.issuer)));
    }
    reader.report(&raw.cookies.domain.at, cookie_domain(raw));
    cognito(raw, reader);
    check_return_hosts(raw, reader);
    reader.report(&raw.return_to.default.at, return_default(raw));
    page_rules(raw, reader);
}

/// An issuer without TLS is for development.
fn local_issuer(raw: &RawConfig, issuer: Option<&String>) -> Result<(), Mistake> {
    let (Some(issuer), Some(public_url)) = (issuer, raw.server.public_url.valid()) else {
        return Ok(());
    };
    Mistake::unless(
        !Url::parse(issuer).is_ok_and(|issuer| issuer.scheme() == "http") || is_loopback(public_url.host()),
        format!(
            "The issuer is plain http on this machine while {} is {public_url}: only this machine could sign in, \
             with tokens of a test provider.",
            raw.server.public_url.at
        ),
        "Write the https issuer of the real provider, or a loopback public_url for development.",
    )
}

/// The cookie reaches our own host and no stranger's.
fn cookie_domain(raw: &RawConfig) -> Result<(), Mistake> {
    let (Some(Some(domain)), Some(public_url)) = (raw.cookies.domain.valid(), raw.server.public_url.valid()) else {
        return Ok(());
    };
    let host = public_url.host();
    if !within(host, domain) {
        return Err(Mistake::new(
            format!(
                "{} does not contain {}, the host of {}; browsers drop such cookies, so nobody could sign in.",
                shown(domain),
                shown(host),
                raw.server.public_url.at
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
        own => Err(Mistake::new(
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
fn check_return_hosts(raw: &RawConfig, reader: &mut ConfigReader) {
    let Some(Some(hosts)) = raw.return_to.allow.valid() else {
        return;
    };
    let own = raw.server.public_url.valid().map(PublicUrl::host);
    for allowed in hosts {
        let host = allowed.host.as_str();
        let broken = if own != Some(host) && is_public_suffix(host) {
            Err(Mistake::new(
                format!(
                    "{} is a public suffix: strangers own names below it and could receive our users.",
                    shown(host)
                ),
                "Write the host that is yours, one label longer.",
            ))
        } else if allowed.external {
            Ok(())
        } else {
            check_in_cookie_domain(raw, host)
        };
        reader.report(&raw.return_to.allow.at, broken);
    }
}

/// Whether a host that is not marked receives the session cookie.
fn check_in_cookie_domain(raw: &RawConfig, host: &str) -> Result<(), Mistake> {
    let instead = format!("If people shall be sent there without being signed in there, write `external:{host}`.");
    match (raw.cookies.domain.valid(), raw.server.public_url.valid()) {
        (Some(Some(domain)), _) if !within(host, domain) => Err(Mistake::new(
            format!(
                "{} is outside {} ({domain}), so it never receives the session cookie and would send people back \
                 here for ever.",
                shown(host),
                raw.cookies.domain.at
            ),
            instead,
        )),
        (Some(None), Some(public_url)) if public_url.host() != host => Err(Mistake::new(
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
fn return_default(raw: &RawConfig) -> Result<(), Mistake> {
    let (Some(Some(target)), Some(public_url)) = (raw.return_to.default.valid(), raw.server.public_url.valid()) else {
        return Ok(());
    };
    let host = target.host_str().unwrap_or_default();
    if target.scheme() == "http" && (public_url.is_https() || !is_loopback(host)) {
        return Err(Mistake::new(
            format!(
                "{} is plain http, so people would leave the protected connection right after signing in.",
                shown(target.as_str())
            ),
            "Write `https://`; plain http is for loopback names, and only while server.public_url is one too.",
        ));
    }
    let same_origin = target.origin() == public_url.url().origin();
    Mistake::unless(
        same_origin || returns_to(raw, public_url, host) != Some(false),
        format!("{} is not a host of return_to.allow, so the default itself would be refused.", shown(host)),
        "Add the host to return_to.allow, or write an address that is allowed.",
    )
}

/// Whether `host` may be returned to; `None` if that is not known.
fn returns_to(raw: &RawConfig, public_url: &PublicUrl, host: &str) -> Option<bool> {
    Some(match (raw.return_to.allow.valid()?, raw.cookies.domain.valid()) {
        (Some(allow), _) => allow.iter().any(|allowed| allowed.covers(host)),
        (None, domain) => within(host, domain?.as_deref().unwrap_or(public_url.host())),
    })
}

/// What needs Cognito, or its scope, or must not be with that scope.
fn cognito(raw: &RawConfig, reader: &mut ConfigReader) {
    let scopes = raw.provider.scopes.valid();
    let scope = scopes.map(|scopes| scopes.iter().any(|scope| scope == ACCOUNT_SCOPE));
    let other = raw.provider.profile.valid() == Some(&Profile::Oidc);
    let (check_revoked, writable) = (&raw.validate.check_revoked, &raw.account.writable);
    for (at, wanted) in [
        (&check_revoked.at, check_revoked.valid().is_some_and(Option::is_some)),
        (&writable.at, writable.valid().is_some_and(|names| !names.is_empty())),
    ] {
        if wanted {
            reader.report(at, user_pools_api(other, scope));
        }
    }
    for handed_on in [&raw.cookies.expose, &raw.gateway.forward_tokens] {
        if handed_on.valid().is_some_and(|tokens| tokens.access_token) {
            let harmless = Mistake::unless(
                scope != Some(true),
                format!(
                    "Who holds an access token with the scope `{ACCOUNT_SCOPE}` can change the user's account: attributes, \
                     password, second factors. Every sibling would get one."
                ),
                format!("Leave `access_token` out here, or `{ACCOUNT_SCOPE}` out of provider.scopes."),
            );
            reader.report(&handed_on.at, harmless);
        }
    }
    let pool = &raw.aws.identity_pool;
    let cognitos = Mistake::unless(
        !other || !pool.valid().is_some_and(Option::is_some),
        "Identity pools are Cognito's, and provider.profile is another one.",
        "Remove it, or write `cognito` in provider.profile.",
    );
    reader.report(&pool.at, cognitos);
}

fn user_pools_api(other: bool, scope: Option<bool>) -> Result<(), Mistake> {
    Mistake::unless(
        !other,
        "This asks Cognito's user pools API, and provider.profile is another one.",
        "Remove it, or write `cognito` in provider.profile.",
    )?;
    Mistake::unless(
        scope != Some(false),
        format!("Without the scope `{ACCOUNT_SCOPE}` Cognito would refuse every such question."),
        format!("Add `{ACCOUNT_SCOPE}` to provider.scopes, and allow it in the app client."),
    )
}

/// A rule for pages that could never count is a mistake.
fn page_rules(raw: &RawConfig, reader: &mut ConfigReader) {
    let rules = &raw.policy.site;
    let Some(sites) = rules.valid().filter(|sites| !sites.is_empty()) else { return };
    let over_tcp = raw.server.listen.valid().is_some_and(|listen| !listen.is_unix());
    if over_tcp && raw.server.trusted_proxies.valid().is_some_and(Vec::is_empty) {
        let mistake = Mistake::new(
            "There are rules for pages, but server.trusted_proxies names nobody whose word about a page is believed.",
            "Name the proxies that ask: `trusted_proxies = [\"10.0.0.7\"]`.",
        );
        reader.report(&rules.at, Err(mistake));
    }
    for site in sites {
        reader.report(&format!("{} ({})", rules.at, line(&site.to_string())), named_issuers(raw, site));
    }
    let Some(public_url) = raw.server.public_url.valid() else { return };
    for site in sites {
        let host = site.host.trim_start_matches("*.");
        if host == public_url.host() || returns_to(raw, public_url, host) != Some(false) {
            continue;
        }
        let mistake = Mistake::new(
            format!("{} is not a host of return_to.allow, so every request for it would be refused.", shown(host)),
            "Add it to return_to.allow, or remove the rule.",
        );
        reader.report(&format!("{} ({})", rules.at, line(&site.host)), Err(mistake));
    }
}

/// The issuers that a rule names are configured, and one of them can meet it.
fn named_issuers(raw: &RawConfig, site: &PageRule) -> Result<(), Mistake> {
    let (Some(provider), Some(further)) = (raw.provider.issuer.valid(), raw.provider.bearer_issuer.valid()) else {
        return Ok(());
    };
    let mut names = site.issuers().iter().filter_map(TokenIssuer::further).peekable();
    if names.peek().is_none() {
        return Ok(());
    }
    let is_known = |iss: &str| iss == provider || further.iter().any(|one| one.issuer == iss);
    if let Some(unknown) = names.clone().find(|iss| !is_known(iss)) {
        return Err(Mistake::new(
            format!("The rule names the issuer {}, whose tokens nobody accepts.", shown(unknown)),
            "Write provider.issuer or the `issuer` of a [[provider.bearer_issuer]], character by character.",
        ));
    }
    Mistake::unless(
        !site.is_for_the_provider() || names.any(|iss| iss == provider),
        "Clients of this service, verified addresses and times of authentication are the provider's alone, and the \
         rule is for other issuers: nobody could meet it.",
        "Ask for scopes or groups, or name provider.issuer too.",
    )
}

/// A rule for a client could never be met where its tokens are the upstream's.
pub(super) fn shared_clients(policy: &PolicyConfig, clients: &ClientRegistry) -> Vec<Diagnostic> {
    let named = policy.site.iter().flat_map(|site| site.clients().iter().map(move |client| (site, client)));
    let shared = named.filter(|(_, client)| clients.get(*client).is_some_and(|client| client.upstream.share));
    shared
        .map(|(site, client)| {
            let what = format!(
                "The rule names the client {}, whose upstream has `share = true`: its tokens do not say whose they are, so \
                 nobody could meet the rule.",
                shown(client)
            );
            let instead = "Remove `share = true`, give the client an upstream of its own, or name a scope in the rule.";
            Mistake::new(what, instead).at(format!("policy.site ({})", line(&site.to_string())))
        })
        .collect()
}
