//! A block for the configuration that registers a client.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use toml::{Table, Value};

use super::machine;
use super::problem::Problem;
use crate::domain::machine::{SecretHash, UnrequestedScopes, Upstream, new_secret};

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
) -> Result<NewClient, Vec<Problem>> {
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
    let any = Arc::new(Upstream { client_id: String::new(), secret: SecretString::default(), unrequested });
    let upstreams = BTreeMap::from([(upstream.to_owned(), any)]);
    let table: Table = keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let mut problems = Vec::new();
    match machine::client(table, "client", &upstreams, &mut problems) {
        Some(_) => Ok(NewClient { secret, block }),
        None => Err(problems.into_iter().map(as_flag).collect()),
    }
}

/// Named as on the command line.
fn as_flag(mut problem: Problem) -> Problem {
    problem.key = match problem.key.rsplit(' ').next().unwrap_or_default() {
        "scopes" => {
            problem.instead = "Write `--scope` once for each scope, as the provider lists them.".to_owned();
            "--scope".to_owned()
        }
        "resources" => {
            problem.instead = "Write `--resource` once for each absolute URI without a fragment.".to_owned();
            "--resource".to_owned()
        }
        key => format!("--{key}"),
    };
    problem
}
