//! One connection to one server, made when it is needed and made again when it was lost.

use crate::config::{HostPort, RedisServers, RedisUrl};
use crate::store::Error;
use futures_util::stream::{FuturesUnordered, StreamExt};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind};
use redis::{RedisConnectionInfo, RedisError};
use secrecy::ExposeSecret;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Between attempts to connect, first and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// A server that refuses work on a connection younger than this will refuse it on the next one too.
const FRESH: Duration = Duration::from_millis(500);
/// Calls that wait for their turn to be sent.
const QUEUE: usize = 1_024;

/// How every connection is made.
#[derive(Debug)]
pub(super) struct Dialer {
    pub(super) url: RedisUrl,
    /// How long a call may take, and so how long connecting may.
    pub(super) patience: Duration,
}

impl Dialer {
    /// Connects; `pushes` is called in the connection's own order, before the replies that follow a push.
    pub(super) async fn dial(
        &self,
        at: &HostPort,
        pushes: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, Error> {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP3)
            .set_lib_name(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .set_db(self.url.db.into());
        if let Some(user) = &self.url.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.url.password {
            settings = settings.set_password(password.expose_secret());
        }
        let config = AsyncConnectionConfig::new().set_push_sender(move |push| {
            pushes(push);
            Ok::<_, redis::aio::SendError>(())
        });
        self.connect(at, settings, config).await.map_err(|e| failed(at, &e))
    }

    async fn connect(
        &self,
        at: &HostPort,
        settings: RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let (host, port) = (at.host.clone(), at.port);
        let address = if self.url.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address
            .into_connection_info()?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(settings);
        // Calls have deadlines of their own.
        let config = config
            .set_connection_timeout(Some(self.patience))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        redis::Client::open(info)?.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Where the one server is that takes writes: as written, or as most sentinels say.
    pub(super) async fn master(&self) -> Result<HostPort, Error> {
        let (sentinels, name) = match &self.url.servers {
            RedisServers::One(at) => return Ok(at.clone()),
            RedisServers::Sentinel { sentinels, master } => (sentinels, master),
            RedisServers::Cluster(_) => return Err(Error("a cluster has no one master".into())),
        };
        // One that hangs must not use up the time of the whole call.
        let each = self.patience / 4;
        let mut asked: FuturesUnordered<_> = sentinels
            .iter()
            .map(|at| async move {
                let late = |_| Error(format!("the sentinel at {at} does not answer"));
                timeout(each, self.ask_sentinel(at, name)).await.map_err(late).flatten()
            })
            .collect();
        let mut votes: Vec<(HostPort, usize)> = Vec::new();
        let mut error = Error("no sentinel was asked".into());
        while let Some(answer) = asked.next().await {
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

    async fn ask_sentinel(&self, at: &HostPort, name: &str) -> Result<HostPort, Error> {
        let plain = || RedisConnectionInfo::default().set_skip_set_lib_name();
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(name);
        let ask = async |settings| -> Result<Option<(String, u16)>, RedisError> {
            let mut connection = self.connect(at, settings, AsyncConnectionConfig::new()).await?;
            command.query_async(&mut connection).await
        };
        let mut answer = ask(plain()).await;
        // Few sentinels want a password, and those that do not would be shown ours.
        if let (Err(error), Some(password)) = (&answer, &self.url.password)
            && error.code() == Some("NOAUTH")
        {
            let settings = plain().set_password(password.expose_secret());
            answer = ask(match &self.url.user {
                Some(user) => settings.set_username(user),
                None => settings,
            })
            .await;
        }
        match answer.map_err(|e| failed(at, &e))? {
            Some((host, port)) => Ok(HostPort { host, port }),
            None => Err(Error(format!("the sentinel at {at} knows no master of the name in session.store"))),
        }
    }
}

/// What went wrong where. The crate's texts hold neither credentials nor keys.
pub(super) fn failed(at: &HostPort, error: &RedisError) -> Error {
    Error(format!("Redis at {at}: {error}"))
}

/// The connection to one server, shared by all calls.
#[derive(Debug)]
pub(super) struct Link {
    dialer: Arc<Dialer>,
    /// Where; without one, wherever [`Dialer::master`] says.
    at: Option<HostPort>,
    live: Mutex<Option<Live>>,
    /// Held while connecting, so that one does it for all.
    dialing: tokio::sync::Mutex<Option<Pause>>,
}

/// A connection as long as it lasts.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) connection: MultiplexedConnection,
    pub(super) at: HostPort,
    since: Instant,
    lost: Arc<AtomicBool>,
}

impl Live {
    pub(super) fn of(connection: MultiplexedConnection, at: HostPort) -> Self {
        Self { connection, at, since: Instant::now(), lost: Arc::default() }
    }
}

#[derive(Debug)]
struct Pause {
    until: Instant,
    next: Duration,
    why: Error,
}

impl Link {
    pub(super) fn new(dialer: Arc<Dialer>, at: Option<HostPort>) -> Self {
        Self { dialer, at, live: Mutex::default(), dialing: tokio::sync::Mutex::default() }
    }

    fn live(&self) -> std::sync::MutexGuard<'_, Option<Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<Live> {
        self.live().clone().filter(|live| !live.lost.load(Ordering::Relaxed))
    }

    /// The connection; a new one if there is none. Fails at once for a moment after an attempt that failed.
    pub(super) async fn connection(&self) -> Result<Live, Error> {
        if let Some(live) = self.current() {
            return Ok(live);
        }
        let mut pause = self.dialing.lock().await;
        if let Some(live) = self.current() {
            return Ok(live);
        }
        if let Some(pause) = pause.as_ref().filter(|pause| Instant::now() < pause.until) {
            return Err(pause.why.clone());
        }
        // Less than the caller has, so that what comes of it is known to those behind.
        let limit = self.dialer.patience.mul_f32(0.8);
        let dialed = timeout(limit, self.dial()).await.unwrap_or_else(|_| Err(self.late(limit)));
        match dialed {
            Ok(live) => {
                tracing::info!(server = %live.at, "connected to Redis");
                *pause = None;
                *self.live() = Some(live.clone());
                Ok(live)
            }
            Err(why) => {
                let length = pause.as_ref().map_or(PAUSE.0, |last| last.next);
                if pause.is_none() {
                    tracing::warn!(error = %why, "cannot connect to Redis");
                }
                let until = Instant::now() + length;
                *pause = Some(Pause { until, next: (length * 2).min(PAUSE.1), why: why.clone() });
                Err(why)
            }
        }
    }

    fn late(&self, limit: Duration) -> Error {
        let at = self.at.as_ref().map_or_else(|| self.dialer.url.to_string(), HostPort::to_string);
        Error(format!("Redis at {at}: no connection in {limit:?}"))
    }

    async fn dial(&self) -> Result<Live, Error> {
        let at = match &self.at {
            Some(at) => at.clone(),
            None => self.dialer.master().await?,
        };
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        let pushed = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                flag.store(true, Ordering::Relaxed);
            }
        };
        let mut connection = self.dialer.dial(&at, pushed).await?;
        if matches!(self.dialer.url.servers, RedisServers::Sentinel { .. }) {
            // Sentinels name the old master until they have agreed on a new one.
            is_master(&mut connection, &at).await?;
        }
        Ok(Live { lost, ..Live::of(connection, at) })
    }

    /// Lets go of a connection that failed, if it is still the current one.
    pub(super) fn drop_lost(&self, failed: &Live) {
        failed.lost.store(true, Ordering::Relaxed);
    }

    /// Lets go of a connection to a server that refuses work; `false` if that was tried a moment ago.
    pub(super) fn drop_refusing(&self, refusing: &Live) -> bool {
        let worth = refusing.since.elapsed() > FRESH;
        if worth {
            self.drop_lost(refusing);
        }
        worth
    }

    /// Lets go of whatever there is.
    pub(super) fn forget(&self) {
        *self.live() = None;
    }
}

/// Fails unless the server says that it takes writes.
pub(super) async fn is_master(connection: &mut MultiplexedConnection, at: &HostPort) -> Result<(), Error> {
    let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(connection).await.map_err(|e| failed(at, &e))?;
    match role.first() {
        Some(redis::Value::BulkString(role)) if role == b"master" => Ok(()),
        _ => Err(Error(format!("Redis at {at} is a read-only replica, so no session could be written"))),
    }
}
