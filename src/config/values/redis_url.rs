//! `session.store = "redis://…"`: Redis or Valkey, of which there may be several servers.

use super::server_address::{HostPort, credentials, host_port};
use crate::config::diagnostic::Mistake;
use crate::domain::seal::same;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// How to reach Redis. `Debug` and `Display` show neither user nor password.
#[derive(Clone)]
pub struct RedisUrl {
    /// Which servers there are.
    pub servers: RedisServers,
    /// Whether every connection is over TLS, verified against the system's certificates.
    pub tls: bool,
    /// The user to sign in as; without one, the server's default user.
    pub user: Option<String>,
    /// That user's password.
    pub password: Option<SecretString>,
    /// The number of the database.
    pub db: u32,
    /// What the name of every key begins with.
    pub prefix: String,
}

/// The servers behind a [`RedisUrl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// One server.
    One(HostPort),
    /// The master that sentinels name.
    Sentinel {
        /// Where the sentinels are.
        sentinels: Vec<HostPort>,
        /// What they call the master.
        master: String,
    },
    /// A cluster, by some of its nodes.
    Cluster(Vec<HostPort>),
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |hosts: &[HostPort]| hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(",");
        let scheme = if self.tls { "rediss" } else { "redis" };
        match &self.servers {
            RedisServers::One(at) => write!(f, "{scheme}://{at}/{}", self.db)?,
            RedisServers::Sentinel { sentinels, master } => {
                write!(f, "{scheme}+sentinel://{}/{master}/{}", list(sentinels), self.db)?;
            }
            RedisServers::Cluster(nodes) => write!(f, "{scheme}+cluster://{}", list(nodes))?,
        }
        write!(f, "?prefix={}", self.prefix)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self})")
    }
}

impl PartialEq for RedisUrl {
    fn eq(&self, other: &Self) -> bool {
        let secret = |url: &Self| url.password.as_ref().map(|p| p.expose_secret().to_owned()).unwrap_or_default();
        let open = |url: &Self| (url.servers.clone(), url.tls, url.user.clone(), url.db, url.prefix.clone());
        open(self) == open(other)
            && self.password.is_some() == other.password.is_some()
            && same(secret(self).as_bytes(), secret(other).as_bytes())
    }
}

impl Eq for RedisUrl {}

const ADDRESS: &str = "Write `redis://:PASSWORD@HOST:6379`, `rediss://…` for TLS, \
                       `redis+sentinel://HOST:26379,HOST:26379/MASTER` or `redis+cluster://HOST:6379,HOST:6379`.";

/// What a scheme says.
#[derive(Clone, Copy)]
pub(super) struct RedisScheme {
    tls: bool,
    form: RedisForm,
}

#[derive(Clone, Copy, PartialEq)]
enum RedisForm {
    One,
    Sentinel,
    Cluster,
}

impl RedisScheme {
    pub(super) fn of(scheme: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let (base, form) = scheme.split_once('+').unwrap_or((&scheme, ""));
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return None,
        };
        let form = match form {
            "" => RedisForm::One,
            "sentinel" => RedisForm::Sentinel,
            "cluster" => RedisForm::Cluster,
            _ => return None,
        };
        Some(Self { tls, form })
    }

    pub(super) fn parse(self, text: &str) -> Result<RedisUrl, Mistake> {
        let Some((_, rest)) = text.split_once("://") else {
            return Err(Mistake::new("After the colon of a Redis address come two slashes and a host.", ADDRESS));
        };
        if rest.contains('#') {
            return Err(Mistake::new(
                "The address has a `#` in it, and nothing can follow one here.",
                "Write a `#` of a password as `%23`.",
            ));
        }
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, password, hosts) = match authority.rsplit_once('@') {
            Some((who, hosts)) => {
                let (user, password) = credentials(who)?;
                (user, Some(password), hosts)
            }
            None => (None, None, authority),
        };
        let standard = if self.form == RedisForm::Sentinel { 26_379 } else { 6_379 };
        let mut hosts = hosts
            .split(',')
            .map(|host| host_port(host, standard, ADDRESS))
            .collect::<Result<Vec<HostPort>, Mistake>>()?;
        let (servers, db) = match self.form {
            RedisForm::One => {
                if hosts.len() > 1 {
                    return Err(Mistake::new(
                        "This names several servers, and `redis://` is for one.",
                        "Write `redis+cluster://` for the nodes of a cluster or `redis+sentinel://` for sentinels.",
                    ));
                }
                (RedisServers::One(hosts.remove(0)), database(path)?)
            }
            RedisForm::Sentinel => {
                let (master, db) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() || !master.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
                    return Err(Mistake::new(
                        "After the sentinels comes the name that they give to the master: letters, digits, `.`, `_`, `-`.",
                        "Write `redis+sentinel://HOST:26379,HOST:26379/mymaster`, with the name of your master.",
                    ));
                }
                (RedisServers::Sentinel { sentinels: hosts, master: master.to_owned() }, database(db)?)
            }
            RedisForm::Cluster if path.is_empty() => (RedisServers::Cluster(hosts), 0),
            RedisForm::Cluster => {
                return Err(Mistake::new(
                    "A cluster has one database only, so nothing can stand behind its nodes.",
                    "Write `redis+cluster://HOST:6379,HOST:6379` without a path.",
                ));
            }
        };
        let prefix = query.map_or_else(|| Ok("auth-api".to_owned()), prefix)?;
        Ok(RedisUrl { servers, tls: self.tls, user, password, db, prefix })
    }
}

fn database(text: &str) -> Result<u32, Mistake> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit())).ok_or_else(|| {
        Mistake::new(
            "The last part of the path is the number of a database, and this is no number.",
            "Write `/0` or another number, or leave it out for database 0.",
        )
    })
}

fn prefix(query: &str) -> Result<String, Mistake> {
    let instead = "Write `?prefix=NAME` with up to 32 letters, digits, `_` or `-`, or leave it out for `auth-api`.";
    let Some(name) = query.strip_prefix("prefix=") else {
        return Err(Mistake::new("After the `?` there is something else than `prefix=`.", instead));
    };
    let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=32).contains(&name.len()) && name.bytes().all(fine) {
        return Ok(name.to_owned());
    }
    Err(Mistake::new("The prefix is empty, too long, or has a character that it cannot have.", instead))
}
