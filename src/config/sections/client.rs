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
pub(super) fn client(
    table: &mut TableReader<'_>,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> Option<MachineClient> {
    table.called("id");
    let id = table.text("id", client_name);
    let secrets = table.list("secret_hashes", secret_hashes);
    let owner = table.text("owner", |owner| Ok(owner.to_owned()));
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

/// A client that is not registered yet.
#[derive(Debug)]
pub struct NewClient {
    /// Its secret. Only its hash is in the block.
    pub secret: SecretString,
    /// The `[[machine.client]]` block.
    pub block: String,
}

/// Makes a secret for a client, and the block that registers it.
///
/// # Errors
/// What a configuration with this block in it would be refused for.
pub fn new_client(
    id: &str,
    owner: &str,
    scopes: Vec<String>,
    resources: Vec<String>,
    upstream: &str,
) -> Result<NewClient, Vec<Diagnostic>> {
    let secret = new_secret();
    let hash = SecretHash::of(secret.expose_secret()).to_string();
    let mut keys: Vec<(&str, Value)> = vec![
        ("id", id.into()),
        ("secret_hashes", vec![hash].into()),
        ("owner", owner.into()),
        ("scopes", scopes.into()),
    ];
    if !resources.is_empty() {
        keys.push(("resources", resources.into()));
    }
    keys.push(("upstream", upstream.into()));
    let mut block = "[[machine.client]]  # in a file of machine.clients write [[client]]\n".to_owned();
    for (key, value) in &keys {
        block += &format!("{key} = {value}\n");
    }
    // Whether there is such an upstream is known where the block is going to be.
    let unrequested = UnrequestedScopes::Any;
    let any = Upstream { client_id: String::new(), secret: SecretString::default(), unrequested, share: false };
    let upstreams = BTreeMap::from([(upstream.to_owned(), Arc::new(any))]);
    let table: Table = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut diagnostics = Vec::new();
    let mut report = Report { at: "client", base: Path::new(""), diagnostics: &mut diagnostics };
    let _: Vec<MachineClient> = read_tables(vec![table], &mut report, |table| client(table, &upstreams));
    if diagnostics.is_empty() {
        return Ok(NewClient { secret, block });
    }
    Err(diagnostics.into_iter().map(as_flag).collect())
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
        key => format!("--{key}"),
    };
    diagnostic
}
