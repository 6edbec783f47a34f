//! `[machine]`, and the app clients and programs in `[[machine.upstream]]` and `[[machine.client]]`.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::Table;

use super::client::{client, scopes};
use crate::config::diagnostic::{Diagnostic, Mistake, line, shown};
use crate::config::files::{files_at, read_up_to};
use crate::config::key::Report;
use crate::config::reader::{ConfigReader, Field};
use crate::config::spec::{KeySpec, count, duration, flag, path, price, section};
use crate::config::table::{TableReader, array_of_tables, read_tables, syntax, tables};
use crate::config::values::oauth;
use crate::domain::machine::{ClientRegistry, MachineClient, UnrequestedScopes, Upstream};

/// Megabytes of one file: a hundred thousand clients.
const CLIENTS_MAX: u64 = 32;

section! {
    machine: "Tokens for programs: POST /token hands them out and fetches each only once.\n\
     Registered clients are blocks of their own, here or in the files of `clients`; `auth-api client new`\n\
     prints one, or keeps it in the session store:\n\
     \n\
     [[machine.upstream]]  # an app client at the provider with the client_credentials grant\n\
     name = \"reports\"\n\
     client_id = \"1example23456789\"\n\
     client_secret_file = \"/run/secrets/reports-client\"  # or client_secret\n\
     default_scopes = []  # scopes that the provider adds to its tokens though nobody asked (Keycloak: \"email\", \"profile\")\n\
     share = false  # true: its clients share tokens, which cost less and do not say who calls\n\
     \n\
     [[machine.client]]  # a program that knows only its own secret\n\
     id = \"nightly-report\"\n\
     secret_hashes = [\"sha256:…\"]  # two while a secret is changed\n\
     owner = \"data team\"\n\
     on_behalf_of = \"34c84488-e0e1-70ae-d2ee-991ad1a898c8\"  # a user's sub: told to whoever is shown its token\n\
     scopes = [\"reports/read\"]\n\
     resources = []  # what it may send as `resource` (RFC 8707), character by character\n\
     upstream = \"reports\"\n\
     fetches_per_hour = 24  # in place of machine.fetches_per_hour\n\
     disabled = false";
    MachineConfig / RawMachine

    /// Whether programs may come with the id and secret of an app client of their own, which the provider judges.
    /// Its tokens are kept for whoever shows the same secret.
    pass_through: bool = flag().default("false");

    /// After this long, such a secret is tried at the provider again though a token is still good: a secret that was
    /// changed there stops working here within this time. Each try is a token that is billed.
    recheck: Duration = duration()
        .default("1h")
        .rule(|time| {
            Mistake::unless(
                *time >= Duration::from_secs(60),
                "Each check is a token that the provider bills, so this would undo what the cache saves.",
                "Write a time of `1m` or more; `1h` suits most.",
            )
        });

    /// No token with this little life left is handed out, up to 4m.
    cache_margin: Duration = duration()
        .default("60s")
        .within(
            Duration::from_secs(1)..=Duration::from_secs(240),
            "Without a margin tokens run out on their way; a provider's tokens may live no longer than 5m, so a margin \
             near that would have every request fetch and pay for a new one.",
            "Write a time from `1s` to `4m`; `60s` suits most.",
        );

    /// A file, or a folder of .toml files, with more `[[client]]` blocks. A change counts within ten seconds; while there
    /// is a mistake in it, what was read before stays.
    clients: Option<PathBuf> = path().optional("clients.d").reloads();

    /// What one registered client may ask for in a second.
    requests_per_second: u32 = count().default("20000");

    /// How many wrong secrets one address may show in a minute, and how many new ones that have to pass through to
    /// the provider. Right ones of registered clients always pass.
    failures_per_minute: u32 = count().default("120");

    /// How many tokens may be fetched, and billed, for one client in an hour, in each process; what is at hand is handed
    /// out beyond that. Each scope set, each `resource` and each renewal is a token of its own.
    fetches_per_hour: u32 = count().default("120");

    /// What the provider bills for 1,000 tokens, for the metric auth_api_machine_saved_dollars_total.
    price_per_1000: f64 = price().default("2.25");

    /// App clients at the provider with the client_credentials grant.
    upstream: Upstreams = upstreams();

    /// Programs that know only their own secrets.
    client: Vec<MachineClient> = registered(&upstream).reloads();
}

/// App clients at the provider, by the names that the configuration gives them.
type Upstreams = BTreeMap<String, Arc<Upstream>>;

impl MachineConfig {
    /// The ids of the app clients at the provider that serve clients here.
    pub fn upstream_ids(&self) -> impl Iterator<Item = &str> {
        self.upstream.values().map(|upstream| upstream.client_id.as_str())
    }

    /// The app clients at the provider that serve clients here, by their names.
    pub fn upstreams(&self) -> impl Iterator<Item = (&str, &Upstream)> {
        self.upstream.iter().map(|(name, upstream)| (name.as_str(), &**upstream))
    }

    /// The same, for who reads clients.
    pub(in crate::config) fn upstream_table(&self) -> &BTreeMap<String, Arc<Upstream>> {
        &self.upstream
    }

    /// What the configuration calls an app client of its own.
    pub fn upstream_name(&self, upstream: &Arc<Upstream>) -> Option<&str> {
        self.upstream.iter().find_map(|(name, own)| Arc::ptr_eq(own, upstream).then_some(name.as_str()))
    }

    /// Every registered client, those of the files as they are now.
    ///
    /// # Errors
    /// Every mistake in the files.
    pub fn read_clients(&self) -> Result<ClientRegistry, Vec<Diagnostic>> {
        let mut diagnostics = Vec::new();
        let mut clients = self.client.clone();
        let files = match self.clients.as_deref().map_or(Ok(vec![]), files_at) {
            Ok(files) => files,
            Err(mistake) => {
                diagnostics.push(mistake.at("machine.clients"));
                vec![]
            }
        };
        for path in files {
            clients.extend(self.clients_in(&path, &mut diagnostics));
        }
        let mut registry = HashMap::new();
        for client in clients {
            if let Some(duplicate) = registry.insert(client.id.clone(), Arc::new(client)) {
                let what = format!(
                    "The client {} is registered twice, and only one of the two could count.",
                    shown(&duplicate.id)
                );
                diagnostics.push(Mistake::new(what, "Remove one, or give it another id.").at("machine.client"));
            }
        }
        if diagnostics.is_empty() { Ok(registry) } else { Err(diagnostics) }
    }

    /// The clients of one file.
    fn clients_in(&self, path: &Path, diagnostics: &mut Vec<Diagnostic>) -> Vec<MachineClient> {
        let file = path.display().to_string();
        let read = read_up_to(CLIENTS_MAX, path).map_err(|mistake| mistake.at(file.as_str())).and_then(|text| {
            text.trim_start_matches('\u{feff}').parse::<Table>().map_err(|error| syntax(path, &text, &error))
        });
        let mut table = match read {
            Ok(table) => table,
            Err(diagnostic) => {
                diagnostics.push(diagnostic);
                return vec![];
            }
        };
        let blocks = table.remove("client").map_or(Ok(vec![]), |value| array_of_tables("client", value));
        for other in table.keys() {
            let what = "There is no such key, so it would have no effect.";
            diagnostics.push(Mistake::new(what, "Write [[client]] blocks only.").at(format!("{file}.{}", line(other))));
        }
        match blocks {
            Ok(blocks) => {
                let mut report = Report { at: &format!("{file} client"), base: Path::new(""), diagnostics };
                read_tables(blocks, &mut report, |table| client(table, &self.upstream))
            }
            Err(mistake) => {
                diagnostics.push(mistake.at(file));
                vec![]
            }
        }
    }
}

fn upstreams<'a>() -> KeySpec<'a, Upstreams> {
    let mut names = Vec::new();
    tables(move |table| {
        let (name, upstream) = upstream(table)?;
        if names.contains(&name) {
            let what =
                format!("The upstream {} is configured twice, and only one of the two could count.", shown(&name));
            return table.wrong(Mistake::new(what, "Remove one, or give it another name."));
        }
        names.push(name.clone());
        Some((name, Arc::new(upstream)))
    })
}

fn upstream(table: &mut TableReader<'_>) -> Option<(String, Upstream)> {
    let name = table.text("name", |name| Ok(name.to_owned()));
    let id = table.text("client_id", oauth::client_id);
    let secret = table.secret("client_secret", oauth::client_secret);
    let added = table.list_or_empty("default_scopes", scopes);
    let share = table.flag("share");
    Some((
        name?,
        Upstream { client_id: id?, secret: secret?, unrequested: UnrequestedScopes::Only(added?), share: share? },
    ))
}

fn registered<'a>(upstreams: &'a Field<Upstreams>) -> KeySpec<'a, Vec<MachineClient>> {
    const NONE: &Upstreams = &Upstreams::new();
    tables(|table| client(table, upstreams.valid().unwrap_or(NONE)))
}
