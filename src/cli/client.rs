//! `auth-api client`: programs that fetch tokens at `POST /token`.

use super::{ConfigFlag, foreign, print};
use crate::app;
use crate::config::{self, ClientMetadata, Config, Problems};
use crate::domain::client_registration::{ClientChange, ClientList, ClientStatus, RegistrationPlace};
use crate::domain::machine::{SecretHash, new_secret};
use anyhow::bail;
use clap::Subcommand;
use secrecy::ExposeSecret;
use std::io::Write;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum ClientCommand {
    /// Makes a secret, and prints the block that registers the client, or registers it in the session store
    New(Box<New>),
    /// Lists the clients of the configuration and of the session store
    List {
        /// JSON in place of a table
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        config: ConfigFlag,
    },
    /// Shows what a client is and may do
    Show(One),
    /// Stops a client, wherever it is registered; tokens that it has are refused at /validate and /introspect
    Disable(One),
    /// Lets a client go on
    Enable(One),
    /// Makes a new secret, and keeps the newest of the old ones until `--retire`
    Rotate(Rotate),
    /// Forgets a client of the session store
    Remove(One),
}

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// How the client calls itself: letters, digits, `-`, `_` and `.`
    #[arg(long, allow_hyphen_values = true)]
    id: String,
    /// Who answers for it: a person, a team
    #[arg(long)]
    owner: String,
    /// What it may ask for; once for each scope
    #[arg(long, required = true)]
    scope: Vec<String>,
    /// What it may name as `resource`; once for each (RFC 8707)
    #[arg(long)]
    resource: Vec<String>,
    /// The `name` of the [[machine.upstream]] that serves it
    #[arg(long, value_name = "NAME")]
    upstream: String,
    /// The user on whose behalf it acts, by the provider's `sub`
    #[arg(long, value_name = "SUB", allow_hyphen_values = true)]
    on_behalf_of: Option<String>,
    /// In place of machine.fetches_per_hour
    #[arg(long, value_name = "COUNT")]
    fetches_per_hour: Option<u32>,
    /// Registers it in the session store: every process on it knows the client within seconds
    #[arg(long)]
    register: bool,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, clap::Args)]
pub(super) struct One {
    /// The client
    #[arg(long, allow_hyphen_values = true)]
    id: String,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, clap::Args)]
pub(super) struct Rotate {
    #[command(flatten)]
    one: One,
    /// All old secrets stop at once, as after a leak
    #[arg(long)]
    replace: bool,
    /// Makes no new secret: all but the newest stop
    #[arg(long, conflicts_with = "replace")]
    retire: bool,
}

pub(super) async fn client(command: ClientCommand) -> anyhow::Result<ExitCode> {
    match command {
        ClientCommand::New(asked) => new(*asked).await,
        ClientCommand::List { json, config } => list(&config.read()?, json).await,
        ClientCommand::Show(One { id, config }) => show(&config.read()?, &id).await,
        ClientCommand::Disable(One { id, config }) => {
            change(&config.read()?, ClientChange::Disable(id.clone()), &format!("{id} is disabled")).await
        }
        ClientCommand::Enable(One { id, config }) => {
            change(&config.read()?, ClientChange::Enable(id.clone()), &format!("{id} is enabled")).await
        }
        ClientCommand::Remove(One { id, config }) => {
            change(&config.read()?, ClientChange::Remove(id.clone()), &format!("{id} is forgotten")).await
        }
        ClientCommand::Rotate(asked) => rotate(asked).await,
    }
}

async fn change(config: &Config, change: ClientChange, done: &str) -> anyhow::Result<ExitCode> {
    app::change_client(config, change).await?;
    print(&format!("{done}, in every process within five seconds\n"))
}

async fn new(asked: New) -> anyhow::Result<ExitCode> {
    let id = asked.id.clone();
    let made = config::new_client(ClientMetadata {
        id: asked.id,
        owner: asked.owner,
        on_behalf_of: asked.on_behalf_of,
        scopes: asked.scope,
        resources: asked.resource,
        upstream: asked.upstream,
        fetches_per_hour: asked.fetches_per_hour,
    });
    let made = made.map_err(|found| Problems { within: "what was asked for", found })?;
    if asked.register {
        let block = made.block.to_string();
        app::change_client(&asked.config.read()?, ClientChange::Register(id.clone(), block)).await?;
        return print(&format!(
            "client_id      {id}\nclient_secret  {}\n\n\
             The secret is not shown again. Every process knows the client within five seconds.\n",
            made.secret.expose_secret()
        ));
    }
    print(&format!(
        "client_id      {id}\nclient_secret  {}\n\n\
         The secret is not shown again. Hand it to the client; the configuration needs only its hash:\n\n{}",
        made.secret.expose_secret(),
        made.text()
    ))
}

async fn list(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let ClientList { clients, mistakes } = app::clients(config).await?;
    if json {
        return print(&format!("{:#}\n", serde_json::to_value(ClientList { clients, mistakes })?));
    }
    let rows = clients.iter().map(|client| {
        let state = if client.disabled { "disabled" } else { "enabled" };
        [
            &*client.id,
            state,
            place(client),
            &foreign(&client.upstream),
            &foreign(&client.owner),
            &client.scopes.join(" "),
        ]
        .map(str::to_owned)
    });
    let head = ["ID", "STATE", "REGISTERED IN", "UPSTREAM", "OWNER", "SCOPES"].map(str::to_owned);
    print(&super::table(std::iter::once(head).chain(rows).collect()))?;
    complain(&mistakes)
}

async fn show(config: &Config, id: &str) -> anyhow::Result<ExitCode> {
    let client = find(config, id).await?;
    let count = client.fetches_per_hour.map_or_else(|| "as machine.fetches_per_hour".to_owned(), |n| n.to_string());
    let rows = [
        ("id", client.id.clone()),
        ("state", if client.disabled { "disabled" } else { "enabled" }.to_owned()),
        ("registered in", place(&client).to_owned()),
        ("owner", foreign(&client.owner)),
        ("on behalf of", client.on_behalf_of.as_deref().map_or_else(|| "nobody".to_owned(), foreign)),
        ("scopes", client.scopes.join(" ")),
        ("resources", client.resources.join(" ")),
        ("upstream", foreign(&client.upstream)),
        ("fetches an hour", count),
        ("secrets", client.secret_hashes.join(" ")),
    ];
    print(&rows.map(|(name, value)| format!("{name:16} {value}").trim_end().to_owned() + "\n").concat())
}

async fn rotate(asked: Rotate) -> anyhow::Result<ExitCode> {
    let (id, config) = (asked.one.id, asked.one.config.read()?);
    if asked.retire {
        return change(&config, ClientChange::RetireSecrets(id.clone()), &format!("{id} has its newest secret only"))
            .await;
    }
    let client = find(&config, &id).await?;
    let secret = new_secret();
    let hash = SecretHash::of(secret.expose_secret()).to_string();
    let secret =
        format!("client_id      {id}\nclient_secret  {}\n\nThe secret is not shown again. ", secret.expose_secret());
    if client.place == RegistrationPlace::Configuration {
        let old = client.secret_hashes.first().filter(|_| !asked.replace);
        let hashes = toml::Value::from([&hash].into_iter().chain(old).cloned().collect::<Vec<_>>());
        return print(&format!(
            "{secret}It works once the client's block has this line:\n\nsecret_hashes = {hashes}\n"
        ));
    }
    let (change, old) = match asked.replace {
        true => (ClientChange::ReplaceSecrets(id, hash), "no other secret works from then on"),
        false => (ClientChange::AddSecret(id, hash), "the one before works until `--retire`"),
    };
    app::change_client(&config, change).await?;
    print(&format!("{secret}Every process knows it within five seconds; {old}.\n"))
}

async fn find(config: &Config, id: &str) -> anyhow::Result<ClientStatus> {
    let list = app::clients(config).await?;
    match list.clients.into_iter().find(|client| client.id == id) {
        Some(client) => Ok(client),
        None => {
            complain(&list.mistakes)?;
            bail!("no client is registered as {}; `auth-api client list` names them all", foreign(id))
        }
    }
}

fn place(client: &ClientStatus) -> &'static str {
    match client.place {
        RegistrationPlace::Configuration => "configuration",
        RegistrationPlace::Store => "store",
    }
}

/// Says what is wrong with the clients in the store.
fn complain(mistakes: &[String]) -> anyhow::Result<ExitCode> {
    for mistake in mistakes {
        writeln!(std::io::stderr(), "{mistake}")?;
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(super::EXIT_PROBLEMS) })
}
