//! One call: a command to the server that has its key, by a deadline, whatever goes wrong on the way.
//!
//! Every command may be done twice: a write carries an id of its own (see [`scripts`](super::scripts)). So one whose
//! answer was lost is sent again.

use super::connect::{Connector, OpenConnection, failed};
use super::slot_map::slot;
use super::topology::{MOVED_PAUSE, READ_PAUSE, Topology};
use crate::config::HostPort;
use crate::domain::clock::Timestamp;
use crate::store::Error;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, RedisWrite, Script, ServerErrorKind, ToRedisArgs, Value};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// Redirections and refusals of one call.
const ATTEMPTS: usize = 5;

impl ToRedisArgs for Timestamp {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        self.as_secs().write_redis_args(out);
    }
}

/// A command about keys of one slot. It can be repeated.
pub(super) struct KeyedCommand {
    command: Cmd,
    slot: u16,
    script: Option<&'static Script>,
}

impl KeyedCommand {
    /// A command whose first argument is its key.
    pub(super) fn new(name: &'static str, key: &str) -> Self {
        Self { command: redis::cmd(name), slot: slot(key), script: None }.arg(key)
    }

    /// A script, with `keys` that are all in one slot.
    pub(super) fn script(script: &'static Script, keys: &[&str]) -> Self {
        let slot = keys.first().map_or(0, |key| slot(key));
        let command = Self { command: redis::cmd("EVALSHA"), slot, script: Some(script) };
        command.arg(script.get_hash()).arg(keys.len()).arg(keys)
    }

    pub(super) fn arg(mut self, arg: impl ToRedisArgs) -> Self {
        self.command.arg(arg);
        self
    }

    /// Sends it on a connection, after `ASKING` in the same breath if need be. `None` when the time is up.
    async fn send(&self, open: &OpenConnection, asking: bool, deadline: Instant) -> Option<Result<Value, RedisError>> {
        let mut connection = open.connection.clone();
        let sent = async {
            if !asking {
                return self.command.query_async::<Value>(&mut connection).await;
            }
            let mut both = redis::pipe();
            both.cmd("ASKING").ignore().add_command(self.command.clone());
            both.query_async::<(Value,)>(&mut connection).await.map(|(value,)| value)
        };
        timeout_at(deadline, sent).await.ok()
    }

    /// Gives the server the script it does not have, as after a restart.
    async fn load_script(&self, open: &OpenConnection, deadline: Instant) -> bool {
        let Some(script) = self.script else { return false };
        let mut connection = open.connection.clone();
        matches!(timeout_at(deadline, script.load_async(&mut connection)).await, Ok(Ok(_)))
    }
}

/// All servers of the store.
#[derive(Debug)]
pub(super) struct RedisClient {
    pub(super) connector: Arc<Connector>,
    pub(super) topology: Topology,
}

impl RedisClient {
    pub(super) fn new(connector: Connector) -> Self {
        let connector = Arc::new(connector);
        Self { topology: Topology::new(&connector), connector }
    }

    /// By when a call that begins now has to be answered.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.connector.call_timeout
    }

    /// [`Self::run_until`] with all the time a call has.
    pub(super) async fn run<T: FromRedisValue>(&self, command: &KeyedCommand) -> Result<T, Error> {
        self.run_until(command, self.deadline()).await
    }

    /// Sends a command and awaits its answer; all of it, connecting included, until `deadline`.
    pub(super) async fn run_until<T: FromRedisValue>(
        &self,
        command: &KeyedCommand,
        deadline: Instant,
    ) -> Result<T, Error> {
        let (open, value) = self.answer(command, deadline).await?;
        redis::from_redis_value(value).map_err(|e| Error::Unavailable(format!("Redis at {}: {e}", open.at)))
    }

    /// An answer, and the connection on which it came.
    pub(super) async fn answer(
        &self,
        command: &KeyedCommand,
        deadline: Instant,
    ) -> Result<(Arc<OpenConnection>, Value), Error> {
        let call_timeout = self.connector.call_timeout;
        let refresh = async |pause| timeout_at(deadline, self.topology.refresh(pause)).await.unwrap_or(false);
        let (mut attempt, mut redirect) = (0, None);
        loop {
            attempt += 1;
            let (at, asking) = redirect.clone().unzip();
            let open = match timeout_at(deadline, self.topology.open(command.slot, at.as_ref())).await {
                Ok(Ok(open)) => open,
                // A primary that is gone has a successor.
                Ok(Err(_)) if attempt == 1 && refresh(READ_PAUSE).await => continue,
                Ok(Err(why)) => return Err(why),
                Err(_) => return Err(Error::Unavailable(format!("Redis gave no connection in {call_timeout:?}"))),
            };
            let error = match command.send(&open, asking == Some(true), deadline).await {
                Some(Ok(value)) => return Ok((open, value)),
                Some(Err(error)) => error,
                None => {
                    open.abandon();
                    return Err(Error::Unavailable(format!("Redis at {}: no answer in {call_timeout:?}", open.at)));
                }
            };
            let retry = match RetryClass::of(&error, &open.at) {
                RetryClass::ScriptMissing => command.load_script(&open, deadline).await,
                RetryClass::Redirect { to, asking } => {
                    if !asking {
                        refresh(MOVED_PAUSE).await;
                    }
                    redirect = Some((to, asking));
                    true
                }
                RetryClass::Refused => attempt == 1 && (open.abandon_unless_fresh() | refresh(READ_PAUSE).await),
                RetryClass::Lost => {
                    open.abandon();
                    attempt == 1
                }
                RetryClass::Final => false,
            };
            if !retry || attempt == ATTEMPTS {
                return Err(failed(&open.at, &error));
            }
        }
    }
}

/// What an error means for the next attempt.
enum RetryClass {
    /// The server does not know the script.
    ScriptMissing,
    /// The slot is at another server, or on its way there: then this one call goes there, after `ASKING`.
    Redirect {
        to: HostPort,
        asking: bool,
    },
    /// Nothing was done, and another server or another moment may do better.
    Refused,
    /// The connection failed; whether anything was done is unknown.
    Lost,
    Final,
}

impl RetryClass {
    /// `at`: the server that the error is of.
    fn of(error: &RedisError, at: &HostPort) -> Self {
        let redirect = |asking| match error.redirect_node() {
            Some((to, _)) => Self::Redirect { to: resolve(to, at), asking },
            None => Self::Final,
        };
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::NoScript) => Self::ScriptMissing,
            ErrorKind::Server(ServerErrorKind::Moved) => redirect(false),
            ErrorKind::Server(ServerErrorKind::Ask) => redirect(true),
            ErrorKind::Server(
                ServerErrorKind::ReadOnly
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain,
            ) => Self::Refused,
            // Before version 7 the error of a script wraps the one of its command.
            ErrorKind::Server(_) | ErrorKind::Extension if error.to_string().contains("READONLY") => Self::Refused,
            _ if error.is_unrecoverable_error() || error.is_io_error() => Self::Lost,
            _ => Self::Final,
        }
    }
}

/// The address of a redirection; a host that is not named is the one that redirects.
fn resolve(to: &str, from: &HostPort) -> HostPort {
    let (host, port) = to.rsplit_once(':').unwrap_or((to, ""));
    let host = if host.is_empty() { &from.host } else { host };
    HostPort { host: host.to_owned(), port: port.parse().unwrap_or(from.port) }
}
