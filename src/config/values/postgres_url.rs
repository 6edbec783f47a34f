//! `session.store = "postgres://…"`: a PostgreSQL database.

use super::server_address::{HostPort, host_port, user_and_password};
use crate::config::diagnostic::Mistake;
use crate::domain::seal::same;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::path::{Path, PathBuf};

/// How to reach PostgreSQL. `Debug` and `Display` show neither user nor password.
#[derive(Clone)]
pub struct PostgresUrl {
    /// Which servers there are; the first that takes writes is used.
    pub servers: PostgresServers,
    /// The user to sign in as.
    pub user: String,
    /// That user's password.
    pub password: Option<SecretString>,
    /// The name of the database.
    pub database: String,
    /// The schema of the service's tables. It is made if it is missing.
    pub schema: String,
    /// How many connections a process opens for its calls at most. One more hears of changes.
    pub connections: usize,
}

/// The servers behind a [`PostgresUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresServers {
    /// A folder with the socket of a server on this machine, and the port in the socket's name.
    Socket(PathBuf, u16),
    /// Servers by address, in the order in which they are tried.
    Network(Vec<HostPort>, PostgresTls),
}

/// Whether connections are over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostgresTls {
    /// They are not.
    Off,
    /// They are, and certificate and name of the server are verified: against the certificates in a PEM file, or against
    /// the system's.
    Verified(Option<PathBuf>),
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { servers, database, schema, .. } = self;
        write!(f, "postgres://{servers}/{database}?schema={schema}")
    }
}

impl fmt::Display for PostgresServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(folder, port) => write!(f, "{}:{port}", folder.display()),
            Self::Network(servers, _) => {
                f.write_str(&servers.iter().map(HostPort::to_string).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({self})")
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        let secret = |url: &Self| url.password.as_ref().map(|p| p.expose_secret().to_owned()).unwrap_or_default();
        let open = |url: &Self| {
            let Self { servers, user, password: _, database, schema, connections } = url.clone();
            (servers, user, database, schema, connections)
        };
        open(self) == open(other)
            && self.password.is_some() == other.password.is_some()
            && same(secret(self).as_bytes(), secret(other).as_bytes())
    }
}

impl Eq for PostgresUrl {}

const ADDRESS: &str = "Write `postgres://USER:PASSWORD@HOST:5432/DATABASE`, or \
                       `postgres://USER@/DATABASE?host=/run/postgresql` for a socket of this machine.";
const PARAMETERS: &str = "After the `?` may come `sslmode`, `sslrootcert`, `host`, `schema` and `connections`, each once, \
                          with `&` between them.";
const DEFAULT_PORT: u16 = 5_432;
const DEFAULT_CONNECTIONS: usize = 8;

/// What comes after the `?`, as it is written.
#[derive(Default)]
struct UrlParameters {
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    host: Option<String>,
    schema: Option<String>,
    connections: Option<String>,
}

impl UrlParameters {
    fn parse(query: &str) -> Result<Self, Mistake> {
        let mut parameters = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match name {
                "sslmode" => &mut parameters.sslmode,
                "sslrootcert" => &mut parameters.sslrootcert,
                "host" => &mut parameters.host,
                "schema" => &mut parameters.schema,
                "connections" => &mut parameters.connections,
                _ => {
                    return Err(Mistake::new(
                        "After the `?` there is a parameter that does not exist here.",
                        PARAMETERS,
                    ));
                }
            };
            let value = percent_decode_str(value).decode_utf8().ok().filter(|value| !value.is_empty());
            match value {
                Some(value) if place.is_none() => *place = Some(value.into_owned()),
                _ => return Err(Mistake::new("A parameter after the `?` is empty or there twice.", PARAMETERS)),
            }
        }
        Ok(parameters)
    }
}

/// Reads `postgres://…` and `postgresql://…`; `base` is the folder of relative paths.
pub(super) fn parse(text: &str, base: &Path) -> Result<PostgresUrl, Mistake> {
    let Some((_, rest)) = text.split_once("://") else {
        return Err(Mistake::new("After the colon of a PostgreSQL address come two slashes and a host.", ADDRESS));
    };
    if rest.contains('#') {
        return Err(Mistake::new(
            "The address has a `#` in it, and nothing can follow one here.",
            "Write a `#` of a password as `%23`.",
        ));
    }
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = if query.is_empty() { UrlParameters::default() } else { UrlParameters::parse(query)? };
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let Some((who, hosts)) = authority.rsplit_once('@') else {
        return Err(Mistake::new("The address names no user.", ADDRESS));
    };
    let (user, password) = user_and_password(who)?;
    let (Some(user), Some(database)) = (user, name(database)) else {
        return Err(Mistake::new("The address lacks the user or the name of the database.", ADDRESS));
    };
    let servers = servers(hosts, &parameters, base)?;
    let schema = parameters.schema.unwrap_or_else(|| "auth_api".to_owned());
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if schema.len() > 32 || !schema.bytes().all(fine) || schema.starts_with("pg_") {
        return Err(Mistake::new(
            "The schema is too long, or has a character that it cannot have.",
            "Write `schema=NAME` with up to 32 lower-case letters, digits or `_`, or leave it out for `auth_api`.",
        ));
    }
    let connections = parameters.connections.map_or(Ok(DEFAULT_CONNECTIONS), |text| {
        text.parse().ok().filter(|n| (1..=100).contains(n)).ok_or_else(|| {
            Mistake::new(
                "`connections` is not a number from 1 to 100.",
                "Write `connections=8`, or leave it out for 8.",
            )
        })
    })?;
    Ok(PostgresUrl { servers, user, password, database, schema, connections })
}

/// A name that was percent-encoded.
fn name(text: &str) -> Option<String> {
    let name = percent_decode_str(text).decode_utf8().ok()?;
    (!name.is_empty() && !name.contains('/')).then(|| name.into_owned())
}

fn servers(hosts: &str, parameters: &UrlParameters, base: &Path) -> Result<PostgresServers, Mistake> {
    if let Some(folder) = &parameters.host {
        let port = hosts.strip_prefix(':').map_or(Some(DEFAULT_PORT), |port| port.parse().ok());
        let alone = hosts.is_empty() || hosts.starts_with(':');
        let (Some(port), true, true) = (port, alone, folder.starts_with('/')) else {
            return Err(Mistake::new(
                "`host=` is for the folder of a server's socket, and no host can stand before the path then.",
                ADDRESS,
            ));
        };
        if parameters.sslmode.is_some() || parameters.sslrootcert.is_some() {
            return Err(Mistake::new(
                "There is no TLS on a socket of this machine.",
                "Leave out `sslmode` and `sslrootcert`.",
            ));
        }
        return Ok(PostgresServers::Socket(folder.into(), port));
    }
    let hosts = hosts.split(',').map(|host| host_port(host, DEFAULT_PORT, ADDRESS)).collect::<Result<Vec<_>, _>>()?;
    let root = parameters.sslrootcert.as_ref().map(|path| base.join(path));
    let is_local = |host: &HostPort| {
        host.host == "localhost" || host.host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    };
    let tls = match parameters.sslmode.as_deref() {
        None if root.is_none() && hosts.iter().all(is_local) => PostgresTls::Off,
        None | Some("require" | "verify-ca" | "verify-full") => PostgresTls::Verified(root),
        Some("disable") if root.is_none() => PostgresTls::Off,
        Some("disable") => {
            return Err(Mistake::new(
                "With `sslmode=disable` no certificate is looked at.",
                "Leave out `sslrootcert`.",
            ));
        }
        Some(_) => {
            return Err(Mistake::new(
                "This `sslmode` would go on without TLS where a server, or somebody in between, says that it has none.",
                "Write `sslmode=verify-full`, or `sslmode=disable` in a network that nobody else can reach.",
            ));
        }
    };
    Ok(PostgresServers::Network(hosts, tls))
}
