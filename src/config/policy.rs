//! `[policy]`, and the `[[policy.site]]` blocks: rules for pages.

use toml::Table;

use super::block::{Block, blocks_of};
use super::draft::Draft;
use super::hosts::{host_name, within};
use super::problem::{Problem, Wrong, line, shown};
use super::{credentials, values};
use crate::domain::page::PathInterpretations;
use crate::domain::page_rules::{PageRule, RuleAccess};
use crate::domain::requirement::Requirement;

pub(super) const SECTION: &str = "policy";

const AT: &str = "policy.site";

/// Takes the blocks out of the section, so that only its keys are left.
pub(super) fn take(section: &mut Table, problems: &mut Vec<Problem>) -> Vec<PageRule> {
    let blocks = Table::from_iter(section.remove("site").map(|value| ("site".to_owned(), value)));
    let mut sites: Vec<PageRule> = Vec::new();
    for (index, block) in blocks_of(blocks, "site", SECTION, problems).into_iter().enumerate() {
        let at = format!("{AT} {}", index + 1);
        let Some(site) = site(block, &at, problems) else { continue };
        // Small and capital letters are the same here, as they are to the rules.
        let path = |site: &PageRule| PathInterpretations::of(&site.path).into_segments();
        if sites.iter().any(|other| other.host == site.host && path(other) == path(&site)) {
            let what = format!("There are two rules for {site}, and only one of the two could count.");
            problems.push(Wrong::new(what, "Make them one: the groups of a rule are any of which will do.").at(at));
        } else {
            sites.push(site);
        }
    }
    sites
}

fn site(table: Table, at: &str, problems: &mut Vec<Problem>) -> Option<PageRule> {
    let named = table.get("host").and_then(toml::Value::as_str).map(|host| format!("{at} ({})", line(host)));
    let mut block = Block { table, at: named.as_deref().unwrap_or(at), problems };
    let host = block.text("host").map(|host| match host.strip_prefix("*.") {
        Some(parent) => host_name(parent).map(|parent| format!("*.{parent}")),
        None => host_name(&host),
    });
    let host = host.and_then(|host| block.judged("host", host));
    let path = match block.table.contains_key("path") {
        true => block.text("path").map(|text| path(&text)).and_then(|path| block.judged("path", path)),
        false => Some("/".to_owned()),
    };
    let (groups, scopes) = (list(&mut block, "groups", values::group), list(&mut block, "scopes", credentials::scope));
    let domains = list(&mut block, "email_domains", host_name);
    let (public, machines) = (block.flag("public"), block.flag("machines"));
    let entry = match (Requirement::new(groups?, scopes?, domains?).for_machines(machines?), public?) {
        (requirement, false) => Some(RuleAccess::Members(requirement)),
        (requirement, true) if requirement.is_empty() => Some(RuleAccess::Public),
        _ => block.wrong(
            "public",
            Wrong::new(
                "A page cannot be open to everybody and ask for something.",
                "Remove `public = true`, or what stands beside it.",
            ),
        ),
    };
    block.close(&["host", "path", "groups", "scopes", "email_domains", "machines", "public"]);
    Some(PageRule { host: host?, path: path?, entry: entry? })
}

fn list(block: &mut Block<'_>, key: &str, parse: impl Fn(&str) -> Result<String, Wrong>) -> Option<Vec<String>> {
    if !block.table.contains_key(key) {
        return Some(vec![]);
    }
    let read = block.list(key)?.iter().map(|item| parse(item)).collect();
    block.judged(key, read)
}

fn path(text: &str) -> Result<String, Wrong> {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'*'));
    if text.starts_with('/') && graphic && PathInterpretations::of(text).is_plain() {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} can be read in several ways, or is no path, so the rule would not hold.", shown(text)),
        "Write how the paths begin, from the first slash, as a browser shows them: `/admin`. It means that and all below.",
    ))
}

/// A rule that could never count is a mistake.
pub(super) fn check(sites: &[PageRule], draft: &Draft, problems: &mut Vec<Problem>) {
    if sites.is_empty() {
        return;
    }
    if draft.trusted_proxies.good().is_some_and(Vec::is_empty) {
        let wrong = Wrong::new(
            "There are rules for pages, but server.trusted_proxies names nobody whose word about a page is believed.",
            "Name the proxies that ask: `trusted_proxies = [\"10.0.0.7\"]`.",
        );
        problems.push(wrong.at(AT));
    }
    let Some(public_url) = draft.public_url.good() else { return };
    let own = draft.cookie_domain.known().map(|domain| domain.map_or(public_url.host(), String::as_str));
    for site in sites {
        let host = site.host.trim_start_matches("*.");
        let reached = match (draft.return_allow.known(), own) {
            (Some(Some(allow)), _) => allow.iter().any(|allowed| allowed.covers(host)),
            (Some(None), Some(own)) => within(host, own),
            // Reported already.
            _ => true,
        };
        if !reached && host != public_url.host() {
            let wrong = Wrong::new(
                format!("{} is not a host of return_to.allow, so every request for it would be refused.", shown(host)),
                "Add it to return_to.allow, or remove the rule.",
            );
            problems.push(wrong.at(format!("{AT} ({})", line(&site.host))));
        }
    }
}
