//! `[[machine.client]]`: reading one, and making one.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use crate::config::diagnostic::{Diagnostic, Mistake, shown};
use crate::config::key::Report;
use crate::config::table::{TableReader, read_tables};
use crate::config::values::oauth;
use crate::domain::machine::{MachineClient, Scopes, SecretHash, UnrequestedScopes, Upstream, is_resource, new_secret};

/// Reads a client that one of `upstreams` serves.
pub(in crate::config) fn client(
    table: &mut TableReader<'_>,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> Option<MachineClient> {
    table.called("id");
    let id = table.text("id", client_name);
    let secrets = table.list("secret_hashes", secret_hashes);
    let owner = table.text("owner", owner_name);
    let on_behalf_of = table.text_or("on_behalf_of", None, |sub| subject(sub).map(Some));
    let allowed = table.list("scopes", scopes);
    let resources = table.list_or_empty("resources", resources);
    let upstream = table.text("upstream", |name| {
        upstreams.get(name).cloned().ok_or_else(|| {
            let names = upstreams.keys().cloned().collect::<Vec<_>>().join(", ");
            Mistake::new(
                format!("There is no [[machine.upstream]] {}, so nothing could serve this client.", shown(name)),
                if names.is_empty() { "Add the block.".to_owned() } else { format!("Write one of: {names}.") },
            )
        })
    });
    let fetches_per_hour = table.count("fetches_per_hour");
    let disabled = table.flag("disabled");
    Some(MachineClient {
        id: id?,
        secrets: secrets?,
        owner: owner?,
        on_behalf_of: on_behalf_of?,
        scopes: allowed?,
        resources: resources?,
        upstream: upstream?,
        fetches_per_hour: fetches_per_hour?,
        disabled: disabled?,
    })
}

/// Scopes, each of its own.
pub(super) fn scopes(texts: Vec<String>) -> Result<Scopes, Mistake> {
    texts.iter().map(|scope| oauth::scope(scope)).collect::<Result<Vec<_>, _>>().map(Scopes::new)
}

fn resources(texts: Vec<String>) -> Result<Vec<String>, Mistake> {
    match texts.iter().find(|text| !is_resource(text)) {
        None => Ok(texts),
        Some(wrong) => Err(Mistake::new(
            format!("{} cannot name a resource, so no request could ever match it.", shown(wrong)),
            "Write absolute URIs without a fragment, as the client sends them: `https://api.example.com`.",
        )),
    }
}

/// Ours are plain, so that they are the same in every encoding.
pub(super) fn client_name(text: &str) -> Result<String, Mistake> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    Mistake::text_if(
        text,
        text.len() <= 64 && text.bytes().all(plain),
        format!("{} cannot be the id of a client.", shown(text)),
        "Write letters, digits, `-`, `_` and `.`, at most 64.",
    )
}

/// It stands in every line of the audit log about the client.
fn owner_name(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.chars().count() <= 256,
        "The owner's name is too long for a line of the log.",
        "Write a name or an address, at most 256 characters.",
    )
}

/// A user as the provider names one (OIDC Core §2).
fn subject(text: &str) -> Result<String, Mistake> {
    Mistake::text_if(
        text,
        text.len() <= 255 && text.bytes().all(|b| b.is_ascii_graphic()),
        format!("{} cannot be the `sub` of a user.", shown(text)),
        "Write the provider's stable identifier of the user, as /validate tells it: visible ASCII, at most 255.",
    )
}

fn secret_hashes(texts: Vec<String>) -> Result<Vec<SecretHash>, Mistake> {
    if texts.len() > 2 {
        return Err(Mistake::new(
            "There are more than two, and an old secret that nobody needs is a danger.",
            "Keep the newest two at most.",
        ));
    }
    let hashes: Option<Vec<_>> = texts.iter().map(|text| SecretHash::parse(text)).collect();
    let distinct = texts.iter().collect::<HashSet<_>>().len() == texts.len();
    hashes.filter(|_| distinct).ok_or_else(|| {
        // Not shown: it may be the secret itself.
        Mistake::new(
            "An item is not the hash of a secret, or is listed twice.",
            "Make a secret and its hash with `auth-api client new`; the hash begins with `sha256:`.",
        )
    })
}

/// The keys of a new client's block, in the order in which they are shown.
const KEYS: [&str; 8] =
    ["id", "secret_hashes", "owner", "on_behalf_of", "scopes", "resources", "upstream", "fetches_per_hour"];

/// A client that is not registered yet.
#[derive(Debug)]
pub struct NewClient {
    /// Its secret. Only its hash is in the block.
    pub secret: SecretString,
    /// The `[[client]]` block.
    pub block: Table,
}

/// What a client is to be.
#[derive(Debug, Default)]
pub struct ClientMetadata {
    /// How it calls itself.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// The `sub` of the user on whose behalf it acts.
    pub on_behalf_of: Option<String>,
    /// What it may ask for.
    pub scopes: Vec<String>,
    /// What it may name as `resource`.
    pub resources: Vec<String>,
    /// The `name` of the upstream that serves it.
    pub upstream: String,
    /// Its own budget.
    pub fetches_per_hour: Option<u32>,
}

/// Makes a secret for a client, and the block that registers it.
///
/// # Errors
/// What a configuration with this block in it would be refused for.
pub fn new_client(asked: ClientMetadata) -> Result<NewClient, Vec<Diagnostic>> {
    let secret = new_secret();
    let hash = SecretHash::of(secret.expose_secret()).to_string();
    // Whether there is such an upstream is known where the block is going to be.
    let unrequested = UnrequestedScopes::Any;
    let any = Upstream { client_id: String::new(), secret: SecretString::default(), unrequested, share: false };
    let upstreams = BTreeMap::from([(asked.upstream.clone(), Arc::new(any))]);
    let values = [
        Some(asked.id.into()),
        Some(vec![hash].into()),
        Some(asked.owner.into()),
        asked.on_behalf_of.map(Value::from),
        Some(asked.scopes.into()),
        Some(asked.resources).filter(|resources| !resources.is_empty()).map(Value::from),
        Some(asked.upstream.into()),
        asked.fetches_per_hour.map(|count| i64::from(count).into()),
    ];
    let block: Table = KEYS.into_iter().zip(values).filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    let mut diagnostics = Vec::new();
    let mut report = Report { at: "client", base: Path::new(""), diagnostics: &mut diagnostics };
    let _: Vec<MachineClient> = read_tables(vec![block.clone()], &mut report, |table| client(table, &upstreams));
    if diagnostics.is_empty() {
        return Ok(NewClient { secret, block });
    }
    Err(diagnostics.into_iter().map(as_flag).collect())
}

impl NewClient {
    /// The block as it is pasted into a configuration.
    pub fn text(&self) -> String {
        let known = KEYS.iter().filter_map(|key| Some((key, self.block.get(*key)?)));
        let lines: String = known.map(|(key, value)| format!("{key} = {value}\n")).collect();
        format!("[[machine.client]]  # in a file of machine.clients write [[client]]\n{lines}")
    }
}

/// Named as on the command line.
fn as_flag(mut diagnostic: Diagnostic) -> Diagnostic {
    diagnostic.key = match diagnostic.key.rsplit(' ').next().unwrap_or_default() {
        "scopes" => {
            diagnostic.instead = "Write `--scope` once for each scope, as the provider lists them.".to_owned();
            "--scope".to_owned()
        }
        "resources" => {
            diagnostic.instead = "Write `--resource` once for each absolute URI without a fragment.".to_owned();
            "--resource".to_owned()
        }
        key => format!("--{}", key.replace('_', "-")),
    };
    diagnostic
}
