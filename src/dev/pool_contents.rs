//! What a configuration of one's own names, in the dev pool.

use super::pool::{AppClient, PoolSettings, PoolUser, ResourceServer};
use crate::config::{Config, Diagnostic};
use crate::domain::page_rules::RuleAccess;
use std::collections::BTreeSet;

/// The secret of every app client in `[[machine.upstream]]`, here and in the dev pool.
pub(super) const UPSTREAM_SECRET: &str = "dev-upstream-secret";

/// Puts into the pool what a configuration names: scopes, app clients of machines, groups, and addresses that are let in.
///
/// # Errors
/// Mistakes in the files of machine clients.
pub(super) fn furnish(pool: &mut PoolSettings, config: &Config) -> Result<(), Vec<Diagnostic>> {
    let rules = config.policy.site.iter().filter_map(|site| match &site.entry {
        RuleAccess::Members(requirement) => Some(requirement),
        RuleAccess::Public => None,
    });
    let mut scopes: BTreeSet<String> = config.provider.scopes.iter().cloned().collect();
    let mut groups: BTreeSet<&str> = config.policy.groups.iter().map(String::as_str).collect();
    for rule in rules {
        scopes.extend(rule.scopes().iter().cloned());
        groups.extend(rule.groups().iter().map(String::as_str));
    }
    for client in &mut pool.clients {
        if client.id == "dev-web-client" {
            client.scopes.extend(config.provider.scopes.iter().cloned());
        }
    }
    let clients = config.machine.read_clients()?;
    for (_, upstream) in config.machine.upstreams() {
        let served = clients.values().filter(|client| client.upstream.client_id == upstream.client_id);
        let asked: BTreeSet<&str> = served.flat_map(|client| client.scopes.iter()).collect();
        scopes.extend(asked.iter().map(|&scope| scope.to_owned()));
        pool.clients.retain(|client| client.id != upstream.client_id);
        let asked: Vec<&str> = asked.into_iter().collect();
        pool.clients.push(AppClient::machine(&upstream.client_id, UPSTREAM_SECRET, &asked));
    }
    for (identifier, name) in scopes.iter().filter_map(|scope| scope.rsplit_once('/')) {
        add_scope(&mut pool.resource_servers, identifier, name);
    }
    let domain = config.policy.email_domains.first().filter(|_| !config.policy.email_domains.iter().any(is_example));
    for user in pool.users.iter_mut().chain(&mut pool.newcomers) {
        if user.username == "erin" {
            let more = groups.iter().filter(|group| !user.groups.iter().any(|own| own == *group));
            user.groups.extend(more.map(|&group| group.to_owned()).collect::<Vec<_>>());
        }
        if let Some(domain) = domain {
            move_to(user, domain);
        }
    }
    Ok(())
}

fn is_example(domain: &String) -> bool {
    domain == "example.com"
}

/// Gives a user an address at a domain that the policy lets in.
fn move_to(user: &mut PoolUser, domain: &str) {
    if let Some(email) = user.attributes.get_mut("email")
        && let Some((name, "example.com" | "Example.com")) = email.split_once('@')
    {
        *email = format!("{name}@{domain}");
    }
}

fn add_scope(servers: &mut Vec<ResourceServer>, identifier: &str, name: &str) {
    let known = servers.iter_mut().find(|server| server.identifier == identifier);
    match known {
        Some(server) if server.scopes.iter().any(|scope| scope == name) => {}
        Some(server) => server.scopes.push(name.to_owned()),
        None => servers.push(ResourceServer::new(identifier, &[name])),
    }
}
