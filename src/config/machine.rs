//! `[machine]`, and the blocks of its clients: lists of tables, which no other section has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};

use super::block::{Block, blocks_of};
use super::credentials;
use super::files::{read_up_to, secret_in};
use super::load::syntax;
use super::problem::{Problem, Wrong, line, shown};
use crate::domain::machine::{
    ClientRegistry, MachineClient, Scopes, SecretHash, UnrequestedScopes, Upstream, is_resource,
};

pub(super) const SECTION: &str = "machine";

/// Megabytes of one file: a hundred thousand clients.
const CLIENTS_MAX: u64 = 32;

/// `[machine]`
#[derive(Clone, Debug)]
pub struct Machine {
    /// Whether callers may come with an app client of their own.
    pub pass_through: bool,
    /// After this long, such a client's secret is tried at the provider again.
    pub recheck: Duration,
    /// No token with this little life left is handed out.
    pub cache_margin: Duration,
    /// Where more clients are.
    pub clients: Option<PathBuf>,
    /// Requests a client may make in a second.
    pub per_client: u32,
    /// Failures an address may make in a minute.
    pub per_address: u32,
    /// Tokens that may be fetched for a client in an hour.
    pub fetches_per_hour: u32,
    /// What the provider bills, US dollars.
    pub price_per_1000: f64,
    pub(super) blocks: Blocks,
}

/// What stands in the blocks of the configuration itself.
#[derive(Clone, Debug, Default)]
pub struct Blocks {
    upstreams: BTreeMap<String, Arc<Upstream>>,
    clients: Vec<MachineClient>,
}

impl Machine {
    /// The ids of the app clients at the provider that serve clients here.
    pub fn upstream_ids(&self) -> impl Iterator<Item = &str> {
        self.blocks.upstreams.values().map(|upstream| upstream.client_id.as_str())
    }

    /// The app clients at the provider that serve clients here, by their names.
    pub fn upstreams(&self) -> impl Iterator<Item = (&str, &Upstream)> {
        self.blocks.upstreams.iter().map(|(name, upstream)| (name.as_str(), &**upstream))
    }

    /// Every registered client, those of the files as they are now.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn read_clients(&self) -> Result<ClientRegistry, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut clients = self.blocks.clients.clone();
        let files = self.clients.as_ref().map(|path| files(path, &mut problems)).unwrap_or_default();
        for path in files {
            let shown = path.display().to_string();
            let text = match read_up_to(CLIENTS_MAX, &path) {
                Ok(text) => text,
                Err(wrong) => {
                    problems.push(wrong.at(shown));
                    continue;
                }
            };
            match text.trim_start_matches('\u{feff}').parse::<Table>() {
                Ok(table) => {
                    for (index, block) in blocks_of(table, "client", &shown, &mut problems).into_iter().enumerate() {
                        let at = format!("{shown} client {}", index + 1);
                        clients.extend(client(block, &at, &self.blocks.upstreams, &mut problems));
                    }
                }
                Err(error) => problems.push(syntax(&path, &text, &error)),
            }
        }
        let mut registry = HashMap::new();
        for client in clients {
            if let Some(twice) = registry.insert(client.id.clone(), Arc::new(client)) {
                let what =
                    format!("The client {} is there twice, and only one of the two could count.", shown(&twice.id));
                problems.push(Wrong::new(what, "Remove one, or give it another id.").at("machine.client"));
            }
        }
        if problems.is_empty() { Ok(registry) } else { Err(problems) }
    }
}

impl Blocks {
    /// Takes the blocks out of the section, so that only its keys are left.
    pub(super) fn take(section: &mut Table, base: &Path, problems: &mut Vec<Problem>) -> Self {
        let mut take = |name: &str| Table::from_iter(section.remove(name).map(|value| (name.to_owned(), value)));
        let (upstreams, clients) = (take("upstream"), take("client"));
        let mut read = Self::default();
        for (index, block) in blocks_of(upstreams, "upstream", SECTION, problems).into_iter().enumerate() {
            let at = format!("machine.upstream {}", index + 1);
            if let Some((name, upstream)) = upstream(block, &at, base, problems)
                && read.upstreams.insert(name.clone(), Arc::new(upstream)).is_some()
            {
                let what =
                    format!("The upstream {} is there twice, and only one of the two could count.", shown(&name));
                problems.push(Wrong::new(what, "Remove one, or give it another name.").at(at));
            }
        }
        for (index, block) in blocks_of(clients, "client", SECTION, problems).into_iter().enumerate() {
            let at = format!("machine.client {}", index + 1);
            read.clients.extend(client(block, &at, &read.upstreams, problems));
        }
        read
    }
}

/// The file, or the .toml files of the folder in the order of their names.
fn files(path: &Path, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    match std::fs::read_dir(path) {
        Ok(entries) => {
            let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
            let mut files: Vec<_> = files.filter(|file| file.extension().is_some_and(|e| e == "toml")).collect();
            files.sort();
            files
        }
        Err(error) => {
            let what = format!("The folder {} cannot be read ({error}).", path.display());
            problems
                .push(Wrong::new(what, "Make it readable for the user that runs the service.").at("machine.clients"));
            vec![]
        }
    }
}

fn upstream(table: Table, at: &str, base: &Path, problems: &mut Vec<Problem>) -> Option<(String, Upstream)> {
    let mut block = Block { table, at, problems };
    let name = block.text("name");
    let id = block.text("client_id").map(|id| credentials::client_id(&id));
    let id = id.and_then(|id| block.judged("client_id", id));
    let secret = match (block.table.contains_key("client_secret"), block.table.contains_key("client_secret_file")) {
        (true, true) => {
            block.table.remove("client_secret");
            block.table.remove("client_secret_file");
            let wrong = Wrong::new("Both this and client_secret are given, and only one can count.", "Remove one.");
            block.wrong("client_secret_file", wrong)
        }
        (false, true) => block.text("client_secret_file").and_then(|file| {
            let read = secret_in(&base.join(file)).map(|text| text.to_string());
            block.judged("client_secret_file", read)
        }),
        _ => block.text("client_secret"),
    };
    let secret = secret.map(|secret| credentials::client_secret(&secret));
    let secret = secret.and_then(|secret| block.judged("client_secret", secret));
    let added = block.optional_list("default_scopes").map(|added| scopes(&added));
    let added = added.and_then(|added| block.judged("default_scopes", added));
    block.close(&["name", "client_id", "client_secret", "client_secret_file", "default_scopes"]);
    let unrequested = UnrequestedScopes::Only(added?);
    Some((name?, Upstream { client_id: id?, secret: secret?, unrequested }))
}

pub(super) fn client(
    table: Table,
    at: &str,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
    problems: &mut Vec<Problem>,
) -> Option<MachineClient> {
    // Most have an id, and a message with it is found faster than one with a number.
    let named = table.get("id").and_then(Value::as_str).map(|id| format!("{at} ({})", line(id)));
    let mut block = Block { table, at: named.as_deref().unwrap_or(at), problems };
    let id = block.text("id").map(|id| client_name(&id));
    let id = id.and_then(|id| block.judged("id", id));
    let secrets = block.list("secret_hashes").map(|hashes| secret_hashes(&hashes));
    let secrets = secrets.and_then(|secrets| block.judged("secret_hashes", secrets));
    let owner = block.text("owner");
    let allowed = block.list("scopes").map(|allowed| scopes(&allowed));
    let allowed = allowed.and_then(|allowed| block.judged("scopes", allowed));
    let resources = block.optional_list("resources").map(resources);
    let resources = resources.and_then(|resources| block.judged("resources", resources));
    let upstream = block.text("upstream").map(|name| {
        upstreams.get(&name).cloned().ok_or_else(|| {
            let names = upstreams.keys().cloned().collect::<Vec<_>>().join(", ");
            Wrong::new(
                format!("There is no [[machine.upstream]] {}, so nothing could serve this client.", shown(&name)),
                if names.is_empty() { "Add the block.".to_owned() } else { format!("Write one of: {names}.") },
            )
        })
    });
    let upstream = upstream.and_then(|upstream| block.judged("upstream", upstream));
    let disabled = block.flag("disabled");
    block.close(&["id", "secret_hashes", "owner", "scopes", "resources", "upstream", "disabled"]);
    Some(MachineClient {
        id: id?,
        secrets: secrets?,
        owner: owner?,
        scopes: allowed?,
        resources: resources?,
        upstream: upstream?,
        disabled: disabled?,
    })
}

fn scopes(texts: &[String]) -> Result<Scopes, Wrong> {
    texts.iter().map(|scope| credentials::scope(scope)).collect::<Result<Vec<_>, _>>().map(Scopes::new)
}

fn resources(texts: Vec<String>) -> Result<Vec<String>, Wrong> {
    match texts.iter().find(|text| !is_resource(text)) {
        None => Ok(texts),
        Some(wrong) => Err(Wrong::new(
            format!("{} cannot name a resource, so no request could ever match it.", shown(wrong)),
            "Write absolute URIs without a fragment, as the client sends them: `https://api.example.com`.",
        )),
    }
}

/// Ours are plain, so that they are the same in every encoding.
fn client_name(text: &str) -> Result<String, Wrong> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if text.len() <= 64 && text.bytes().all(plain) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new(
        format!("{} cannot be the id of a client.", shown(text)),
        "Write letters, digits, `-`, `_` and `.`, at most 64.",
    ))
}

fn secret_hashes(texts: &[String]) -> Result<Vec<SecretHash>, Wrong> {
    if texts.len() > 2 {
        return Err(Wrong::new(
            "There are more than two, and an old secret that nobody needs is a danger.",
            "Keep the newest two at most.",
        ));
    }
    let hashes: Option<Vec<_>> = texts.iter().map(|text| SecretHash::parse(text)).collect();
    let distinct = texts.iter().collect::<HashSet<_>>().len() == texts.len();
    hashes.filter(|_| distinct).ok_or_else(|| {
        // Not shown: it may be the secret itself.
        Wrong::new(
            "An item is not the hash of a secret, or stands there twice.",
            "Make a secret and its hash with `auth-api client new`; the hash begins with `sha256:`.",
        )
    })
}
