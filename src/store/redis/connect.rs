//! Connecting to one server, and asking sentinels which server that is.
//!
//! The crate's Sentinel client is not used: it takes the answers in the order in which the sentinels are written,
//! waits a second for each that is silent, and that time cannot be set. A sentinel on the same host as a lost master
//! then uses up the time of every call (measured: 1.0 s against 5 ms).

use crate::config::{HostPort, RedisServers, RedisUrl};
use crate::store::Error;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, ProtocolVersion, PushInfo,
};
use redis::{PushKind, RedisConnectionInfo, RedisError, Value};
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Commands that wait for their turn to be sent.
const QUEUE: usize = 1_024;
/// A server that refuses work on a connection younger than this will refuse it on the next one too.
const MIN_CONNECTION_AGE: Duration = Duration::from_millis(500);

/// What went wrong where. The crate's texts hold neither credentials nor keys.
pub(super) fn failed(at: &HostPort, error: &RedisError) -> Error {
    Error::Unavailable(format!("Redis at {at}: {error}"))
}

/// A connection as long as it lasts.
#[derive(Debug)]
pub(super) struct OpenConnection {
    pub(super) connection: MultiplexedConnection,
    pub(super) at: HostPort,
    since: Instant,
    lost: Arc<AtomicBool>,
}

impl OpenConnection {
    /// Sends a command to this very server, without a deadline.
    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        command.query_async(&mut self.connection.clone()).await.map_err(|e| failed(&self.at, &e))
    }

    /// Fails unless the server says that it takes writes.
    pub(super) async fn require_master(&self) -> Result<(), Error> {
        let role: Vec<Value> = self.query(&redis::cmd("ROLE")).await?;
        match role.first() {
            Some(Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => Err(Error::Unavailable(format!(
                "Redis at {} is a read-only replica, so no session could be written",
                self.at
            ))),
        }
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Nobody gets it from now on.
    pub(super) fn abandon(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// As [`Self::abandon`], for a server that refuses work; `false` if that was tried a moment ago.
    pub(super) fn abandon_unless_fresh(&self) -> bool {
        let worth = self.since.elapsed() > MIN_CONNECTION_AGE;
        if worth {
            self.abandon();
        }
        worth
    }
}

/// What sends the commands and hands out the replies of a connection. Whenever it is woken it lets the other tasks go
/// first: what they ask for is sent in one write then, which otherwise is one for each.
async fn batched(driver: impl Future<Output = ()>) {
    let (mut driver, mut waited) = (std::pin::pin!(driver), false);
    std::future::poll_fn(|context| {
        waited = !waited;
        if waited {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        driver.as_mut().poll(context)
    })
    .await;
}

/// How every connection is made.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) url: RedisUrl,
    /// How long a call may take, and so how long connecting may.
    pub(super) call_timeout: Duration,
}

impl Connector {
    /// Connects; `on_push` is called in the connection's own order, before the replies that follow a push.
    pub(super) async fn connect(
        &self,
        at: &HostPort,
        on_push: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<OpenConnection, Error> {
        let settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .set_db(self.url.db.into());
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        let config = AsyncConnectionConfig::new().set_push_sender(move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                flag.store(true, Ordering::Relaxed);
            }
            on_push(push);
            Ok::<_, redis::aio::SendError>(())
        });
        let connection = self.handshake(at, self.with_credentials(settings), config).await;
        let connection = connection.map_err(|e| failed(at, &e))?;
        Ok(OpenConnection { connection, at: at.clone(), since: Instant::now(), lost })
    }

    fn with_credentials(&self, mut settings: RedisConnectionInfo) -> RedisConnectionInfo {
        if let Some(user) = &self.url.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.url.password {
            settings = settings.set_password(password.expose_secret());
        }
        settings
    }

    async fn handshake(
        &self,
        at: &HostPort,
        settings: RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let (host, port) = (at.host.clone(), at.port);
        // Calls have deadlines of their own.
        let config = config
            .set_connection_timeout(Some(self.call_timeout))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        if !self.url.tls {
            let connecting = async {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                MultiplexedConnection::new_with_config(&settings, stream, config).await
            };
            let late = |_| std::io::Error::from(std::io::ErrorKind::TimedOut);
            let (connection, driver) = timeout(self.call_timeout, connecting).await.map_err(late)??;
            tokio::spawn(batched(driver));
            return Ok(connection);
        }
        let info = ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        redis::Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Where the one server is that takes writes: as written, or as most sentinels say.
    pub(super) async fn master(&self) -> Result<HostPort, Error> {
        let (sentinels, name) = match &self.url.servers {
            RedisServers::One(at) => return Ok(at.clone()),
            RedisServers::Sentinel { sentinels, master } => (sentinels, master),
            RedisServers::Cluster(_) => return Err(Error::Unavailable("a cluster has no one master".into())),
        };
        // One that hangs must not use up the time of the whole call.
        let each = self.call_timeout / 4;
        let mut answers: FuturesUnordered<_> = sentinels
            .iter()
            .map(|at| async move {
                let late = |_| Error::Unavailable(format!("the sentinel at {at} does not answer"));
                timeout(each, self.query_sentinel(at, name)).await.map_err(late).flatten()
            })
            .collect();
        let mut votes: Vec<(HostPort, usize)> = Vec::new();
        let mut error = Error::Unavailable("no sentinel was asked".into());
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(at) => match votes.iter_mut().find(|(other, _)| *other == at) {
                    Some((_, count)) => *count += 1,
                    None => votes.push((at, 1)),
                },
                Err(e) => error = e,
            }
            if votes.iter().any(|(_, count)| *count > sentinels.len() / 2) {
                break;
            }
        }
        votes.into_iter().max_by_key(|(_, count)| *count).map(|(at, _)| at).ok_or(error)
    }

    async fn query_sentinel(&self, at: &HostPort, name: &str) -> Result<HostPort, Error> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(name);
        let query = async |settings| -> Result<Option<(String, u16)>, RedisError> {
            let mut connection = self.handshake(at, settings, AsyncConnectionConfig::new()).await?;
            command.query_async(&mut connection).await
        };
        let settings = RedisConnectionInfo::default().set_skip_set_lib_name();
        let mut answer = query(settings.clone()).await;
        // Few sentinels want a password, and those that do not would be shown ours.
        if self.url.password.is_some() && answer.as_ref().is_err_and(|error| error.code() == Some("NOAUTH")) {
            answer = query(self.with_credentials(settings)).await;
        }
        match answer.map_err(|e| failed(at, &e))? {
            Some((host, port)) => Ok(HostPort { host, port }),
            None => {
                Err(Error::Unavailable(format!("the sentinel at {at} knows no master of the name in session.store")))
            }
        }
    }
}
