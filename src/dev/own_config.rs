//! A configuration of one's own on this machine: what it says about another place is replaced, and the rest stays.

use super::environment::PARENT;
use super::pool::IDENTITY_POOL;
use super::pool_contents::UPSTREAM_SECRET;
use crate::config::Sources;
use std::path::PathBuf;
use toml::{Table, Value};
use url::Url;

/// What depends on the place: addresses, the provider, and secrets, whose files may not exist here.
const REPLACED: [&str; 32] = [
    "server.public_url",
    "server.listen",
    "server.ops_listen",
    "server.trusted_proxies",
    "server.tls_cert_file",
    "server.tls_key_file",
    "provider.profile",
    "provider.issuer",
    "provider.client_id",
    "provider.client_secret",
    "provider.client_secret_file",
    "provider.accepted_clients",
    "provider.bearer_issuer",
    "provider.groups_claim",
    "provider.authorization_endpoint",
    "provider.token_endpoint",
    "provider.userinfo_endpoint",
    "provider.revocation_endpoint",
    "provider.end_session_endpoint",
    "provider.user_pools_endpoint",
    "provider.jwks_uri",
    "cookies.domain",
    "cookies.keys",
    "cookies.keys_file",
    "session.store",
    "session.store_file",
    "return_to.default",
    "directory.url",
    "directory.url_file",
    "aws.identity_pool",
    "aws.login",
    "aws.endpoint",
];

/// A configuration of one's own, ready for this machine.
#[derive(Debug)]
pub(super) struct OwnConfig {
    /// The TOML text, and where it is from.
    pub(super) file: Option<(PathBuf, String)>,
    /// Environment variables.
    pub(super) env: Vec<(String, String)>,
    /// The keys that were written and are replaced.
    pub(super) replaced_keys: Vec<String>,
    /// The domain whose hosts are found below [`PARENT`] now.
    pub(super) domain: Option<String>,
    /// The filter of the log.
    pub(super) log: Option<String>,
}

impl OwnConfig {
    /// Takes out what is replaced. Text that is not TOML stays as it is, for whoever reports it.
    pub(super) fn adapt(sources: Sources) -> Self {
        let Sources { file, env } = sources;
        let table = file.as_ref().and_then(|(_, text)| text.trim_start_matches('\u{feff}').parse::<Table>().ok());
        let mut written = WrittenKeys { table: table.unwrap_or_default(), env };
        let host =
            written.text("server.public_url").and_then(|url| Url::parse(&url).ok()?.host_str().map(str::to_owned));
        let domain = written.text("cookies.domain").map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        let log = written.text("telemetry.log");
        let has_pool = written.text("aws.identity_pool").is_some();

        let mut replaced_keys: Vec<String> =
            REPLACED.iter().filter(|path| written.remove(path)).map(|&path| path.to_owned()).collect();
        if written.replace_upstream_secrets() {
            replaced_keys.push("machine.upstream.client_secret".to_owned());
        }
        // Its only issuer is the pool here.
        written.tables("policy.site").for_each(|site| drop(site.remove("issuers")));
        written.rename_hosts(|name| renamed(&name.to_ascii_lowercase(), host.as_deref(), domain.as_deref()));
        if has_pool {
            written.env.push((variable("aws.identity_pool"), IDENTITY_POOL.to_owned()));
        }
        written.env.push((variable("server.trusted_proxies"), "127.0.0.1,::1".to_owned()));
        let file = file.map(|(path, text)| {
            let readable = !written.table.is_empty();
            (path, if readable { written.table.to_string() } else { text })
        });
        Self { file, env: written.env, replaced_keys, domain, log }
    }
}

/// The variable of a key.
fn variable(path: &str) -> String {
    format!("AUTH_API__{}", path.replace('.', "__").to_ascii_uppercase())
}

/// A host of a configuration on this machine, `*.` or `external:` before it included.
fn renamed(name: &str, own: Option<&str>, domain: Option<&str>) -> String {
    if own == Some(name) {
        return format!("auth-api.{PARENT}");
    }
    let before = domain.and_then(|domain| name.strip_suffix(domain));
    match before.filter(|before| before.is_empty() || before.ends_with(['.', ':'])) {
        Some(before) => format!("{before}{PARENT}"),
        None => name.to_owned(),
    }
}

/// What was written, by key.
struct WrittenKeys {
    table: Table,
    env: Vec<(String, String)>,
}

impl WrittenKeys {
    fn entry(&mut self, path: &str) -> Option<&mut Value> {
        let (section, name) = path.split_once('.')?;
        self.table.get_mut(section)?.as_table_mut()?.get_mut(name)
    }

    /// A text, from the environment first.
    fn text(&mut self, path: &str) -> Option<String> {
        let name = variable(path);
        let env = self.env.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone());
        env.or_else(|| self.entry(path)?.as_str().map(str::to_owned))
    }

    /// Whether it was written.
    fn remove(&mut self, path: &str) -> bool {
        let (name, before) = (variable(path), self.env.len());
        self.env.retain(|(other, _)| *other != name);
        let (section, key) = path.split_once('.').unwrap_or_default();
        let section = self.table.get_mut(section).and_then(Value::as_table_mut);
        section.and_then(|section| section.remove(key)).is_some() || self.env.len() < before
    }

    fn tables(&mut self, path: &str) -> impl Iterator<Item = &mut Table> {
        let tables = self.entry(path).and_then(Value::as_array_mut);
        tables.into_iter().flatten().filter_map(Value::as_table_mut)
    }

    fn replace_upstream_secrets(&mut self) -> bool {
        let mut any = false;
        for upstream in self.tables("machine.upstream") {
            let file = upstream.remove("client_secret_file");
            if file.is_some() || upstream.contains_key("client_secret") {
                upstream.insert("client_secret".to_owned(), UPSTREAM_SECRET.into());
                any = true;
            }
        }
        any
    }

    /// Sites are found under other names here. The demo CMS may be returned to as well.
    fn rename_hosts(&mut self, rename: impl Fn(&str) -> String) {
        let hosts = self.tables("policy.site").filter_map(|site| site.get_mut("host"));
        let allowed = "return_to.allow";
        for host in hosts {
            if let Some(name) = host.as_str() {
                *host = rename(name).into();
            }
        }
        if let Some(list) = self.entry(allowed).and_then(Value::as_array_mut) {
            for host in list.iter_mut() {
                if let Some(name) = host.as_str() {
                    *host = rename(name).into();
                }
            }
            list.push(PARENT.into());
        }
        if let Some((_, list)) = self.env.iter_mut().find(|(name, _)| *name == variable(allowed)) {
            let hosts: Vec<String> = list.split(',').map(|host| rename(host.trim())).collect();
            *list = format!("{},{PARENT}", hosts.join(","));
        }
    }
}
