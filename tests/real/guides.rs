//! The configuration that a guide shows, with what only a test can know in its place.

use crate::support::Site;
use auth_api::domain::machine::SecretHash;
use toml::{Table, Value};

/// The secret behind every `secret_hashes` of a guide.
pub(super) const PROGRAM_SECRET: &str = "a-secret-of-a-program-of-the-guides-0123456789";

/// A service as the first block of TOML in a guide and those of the numbers `also` configure it, with `issuer` for the
/// guide's one, and in place of each file of a secret what `secret` says for the client id beside it.
pub(super) async fn site(guide: &str, also: &[usize], issuer: &str, secret: impl Fn(&str) -> String) -> Site {
    let mut text = configuration(guide, also);
    let provider = text.remove("provider").unwrap();
    let mut provider = provider.as_table().unwrap().clone();
    let named = provider["issuer"].as_str().unwrap().to_owned();
    in_place_of_file(&mut provider, &secret);
    let mut variables: Vec<(String, String)> = vec![];
    for (key, value) in provider {
        let list = |all: &Vec<Value>| all.iter().map(plain).collect::<Vec<_>>().join(",");
        let value = value.as_array().map_or_else(|| plain(&value), list);
        variables.push((format!("PROVIDER__{}", key.to_uppercase()), value.replace(&named, issuer)));
    }
    if let Some(machine) = text.get_mut("machine").and_then(Value::as_table_mut) {
        for upstream in blocks(machine, "upstream") {
            in_place_of_file(upstream, &secret);
        }
        for client in blocks(machine, "client") {
            client.insert("secret_hashes".into(), vec![SecretHash::of(PROGRAM_SECRET).to_string()].into());
        }
    }
    let variables: Vec<_> = variables.iter().map(|(key, value)| (&**key, &**value)).collect();
    Site::with_text(&text.to_string().replace(&named, issuer), &variables).await
}

fn configuration(guide: &str, also: &[usize]) -> Table {
    let blocks: Vec<_> = guide.split("```toml\n").skip(1).collect();
    let mut whole = Table::new();
    for nth in [0].iter().chain(also) {
        let block: Table = blocks[*nth].split("```").next().unwrap().parse().unwrap();
        for (section, value) in block {
            match (whole.get_mut(&section).and_then(Value::as_table_mut), value) {
                (Some(whole), Value::Table(more)) => whole.extend(more),
                (_, value) => drop(whole.insert(section, value)),
            }
        }
    }
    whole
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn blocks<'a>(machine: &'a mut Table, name: &str) -> impl Iterator<Item = &'a mut Table> {
    machine.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

fn in_place_of_file(table: &mut Table, secret: &impl Fn(&str) -> String) {
    let client = table["client_id"].as_str().unwrap().to_owned();
    assert!(table.remove("client_secret_file").is_some(), "{client} has no client_secret_file");
    table.insert("client_secret".into(), secret(&client).into());
}
