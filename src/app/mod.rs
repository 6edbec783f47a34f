//! The composition root: a configuration becomes a running service.
//!
//! `tasks` is the table of what runs beside the requests, `supervisor` watches it, `reload` takes up a changed
//! configuration, `commands` are the operator's, and `operator` the way to a service that runs.

mod commands;
mod open_files;
mod operator;
mod reload;
mod supervisor;
mod tasks;

pub use self::commands::{
    change_client, clients, end_all_sessions, end_sessions_of, end_sessions_with_email, erase_user, export_user, probe,
    sessions_of, sessions_with_email, show_user, sync_users,
};
use self::open_files::OPS_CONNECTIONS;
pub use self::operator::build_patiently;
use self::reload::{Reloader, read_tls};
pub(crate) use self::supervisor::Supervisor;
use crate::audit::{AuditDestination, AuditEvent, AuditFilePath, AuditLog};
use crate::config::{self, AuditStream, Config, ConfigWatch, ListenAddress, LogFormat, StoreUrl, TelemetryConfig};
use crate::directory::{self, Directory};
use crate::domain::clock::Clock;
use crate::domain::deployment::Deployment;
use crate::domain::seal::KeyRing;
use crate::flow::{self, Broker, Observability, RelyingParty};
use crate::postgres::InvalidCertificates;
use crate::provider::{self, BearerIssuers, HttpClient, Provider};
use crate::store::{self, CachePolicy, ClientRegistrations, MachineTokenStore, SessionStore, Sessions, TimedStore};
use crate::telemetry::Metrics;
use crate::web::{self, ConnectionLimit, Listener, Readiness, Web};
use axum::Router;
use futures_util::FutureExt;
use futures_util::future::OptionFuture;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long requests in flight, and then renewals, may take after a shutdown began. Together less than the
/// thirty seconds after which most supervisors kill.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const FINISH: Duration = Duration::from_secs(5);
/// How long a start waits for the clients in the store.
const FIRST_READ: Duration = Duration::from_secs(2);

/// The version, and which commit it was built of.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("AUTH_API_BUILD"), ")");

/// Why the service cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session store.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The HTTP client.
    #[error(transparent)]
    Provider(#[from] provider::Error),
    /// The registered clients.
    #[error("{}", .0.iter().map(|problem| format!("{problem} ")).collect::<String>())]
    Clients(Vec<config::Diagnostic>),
    /// The audit file.
    #[error("telemetry.audit: {path} cannot be written: {why}")]
    Audit {
        /// Its path.
        path: String,
        /// The system's word.
        why: std::io::Error,
    },
    /// The directory of people.
    #[error("directory.url: the certificates to be trusted cannot be read: {0}")]
    Directory(#[from] InvalidCertificates),
    /// A certificate or key.
    #[error("server.tls_cert_file and server.tls_key_file cannot be used: {0}")]
    Tls(std::io::Error),
    /// A listener.
    #[error("{0}")]
    Listen(std::io::Error),
    /// A port.
    #[error(
        "{what}: {addr} cannot be listened on ({why}). Is another program using the port, or another auth-api running?"
    )]
    Port {
        /// Who wants it.
        what: String,
        /// The address.
        addr: SocketAddr,
        /// The system's word.
        why: std::io::Error,
    },
    /// A Unix socket.
    #[error("server.listen: {address} cannot be listened on: {why}")]
    Socket {
        /// Its address.
        address: ListenAddress,
        /// The reason.
        why: std::io::Error,
    },
    /// A command about what only the service itself knows.
    #[error("session.store is \"memory:\": only the running service has what is kept there, and it ends with it")]
    OnlyInMemory,
    /// A command about what is in a file that is not there: most likely of another configuration.
    #[error("{0} does not exist: is this the configuration that the service runs with?")]
    NoStore(String),
    /// A command while a process that does not answer has the file.
    #[error("{0}, which does not listen beside the file. Is it starting or ending? Try again, or stop it first")]
    Busy(store::OpenError),
    /// A running service was asked.
    #[error("the running service did not answer: {0}")]
    NoAnswer(std::io::Error),
    /// A running service was asked, and said why not.
    #[error("{0}")]
    Refused(String),
    /// A running service does not understand this program.
    #[error("the running service is another version of auth-api: use the program that it runs")]
    OtherVersion,
    /// A command that failed half-way.
    #[error(transparent)]
    Flow(#[from] flow::Error),
    /// A synchronisation of the directory that was interrupted.
    #[error("{0}. Run it again: it goes on where it was")]
    Sync(#[from] directory::SyncFailure),
    /// A change of clients.
    #[error(transparent)]
    ClientStore(#[from] flow::ClientStoreError),
}

/// Takes a port for `what`.
///
/// # Errors
/// [`Error::Port`].
pub fn bind(addr: SocketAddr, what: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).map_err(|why| Error::Port { what: what.to_owned(), addr, why })
}

/// Takes what `server.listen` names.
///
/// # Errors
/// [`Error::Port`] and [`Error::Socket`].
pub async fn bind_public(address: &ListenAddress) -> Result<Listener, Error> {
    match address {
        ListenAddress::Ip(addr) => bind(*addr, "server.listen").map(Listener::Tcp),
        #[cfg(unix)]
        ListenAddress::Unix(path) => {
            let listener = Listener::at_socket(path).await;
            listener.map_err(|why| Error::Socket { address: address.clone(), why })
        }
        #[cfg(not(unix))]
        ListenAddress::Unix(_) => {
            Err(Error::Socket { address: address.clone(), why: std::io::ErrorKind::Unsupported.into() })
        }
    }
}

pub(crate) fn key_ring(config: &Config) -> KeyRing {
    let (provider, origin) = (&config.provider, config.server.public_url.as_str());
    let deployment = Deployment::new(&provider.issuer, &provider.client_id, origin);
    KeyRing::new(config.cookies.keys.iter().map(|key| key.expose())).bound_to(deployment)
}

/// How many sockets that are ready are taken up at once: fewer than a thread runs tasks before it looks for more, so that
/// its queue does not grow.
const EVENTS: usize = 32;

/// The runtime of a service. Sockets that are ready are taken up few at a time: the rest wait in the kernel, in the order in
/// which they became ready. Of many that wait in the runtime, those that came last go first.
pub fn runtime() -> tokio::runtime::Builder {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().max_io_events_per_tick(EVENTS);
    runtime
}

fn open_audit(config: &TelemetryConfig, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Result<AuditLog, Error> {
    let destination = match (&config.audit, config.format) {
        (AuditStream::File(path), _) => {
            AuditDestination::File(AuditFilePath { path: path.clone(), keep_days: config.personal_data_days })
        }
        (AuditStream::Log, LogFormat::Json) => AuditDestination::JsonLog,
        (AuditStream::Log, LogFormat::Text) => AuditDestination::TextLog,
    };
    let path = match &config.audit {
        AuditStream::File(path) => path.display().to_string(),
        AuditStream::Log => String::new(),
    };
    let opened = AuditLog::open(destination, config.audit_required, clock, metrics);
    opened.map_err(|why| Error::Audit { path, why })
}

/// A service that is ready to listen.
#[derive(Debug)]
pub struct App {
    /// The flows, for those who run the service in process.
    pub rp: Arc<RelyingParty>,
    public: Router,
    ops: Router,
    readiness: Readiness,
    config: Arc<Config>,
    ring: Arc<KeyRing>,
    watch: Option<(ConfigWatch, Arc<Notify>)>,
    sheds_load: bool,
}

impl App {
    /// Puts the service together. Opens the store; the provider is asked later.
    ///
    /// # Errors
    /// [`Error`], a sentence for the operator.
    pub fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let ring = Arc::new(key_ring(config));
        Self::with_http(store::open(&config.session, &ring)?, ring, config, clock)
    }

    /// Puts the service together over a store that is open already.
    ///
    /// # Errors
    /// [`Error::Provider`], [`Error::Audit`] and [`Error::Clients`].
    pub fn over(store: Arc<dyn SessionStore>, config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        Self::with_http(store, Arc::new(key_ring(config)), config, clock)
    }

    fn with_http(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        config: &Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let http = HttpClient::new(config.provider.timeout, metrics.clone())?;
        Self::compose(store, ring, http, config, clock, metrics)
    }

    /// Puts the service together over a store and a way to the provider.
    ///
    /// # Errors
    /// [`Error::Audit`] and [`Error::Clients`].
    pub(crate) fn compose(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        http: HttpClient,
        config: &Config,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let store: Arc<dyn SessionStore> = TimedStore::new(store, config.session.store.system(), metrics.clone());
        let tokens = MachineTokenStore::new(store.clone(), ring.clone(), clock.clone());
        let policy = CachePolicy {
            idle: config.session.idle,
            max_stale: config.session.max_stale,
            memory: config.session.cache_memory,
            read_timeout: config.session.store_timeout,
            keep_device: config.telemetry.keep_personal_data(),
            keep_tokens: config.cookies.expose.any() || config.gateway.forward_tokens.any(),
        };
        let registrations = ClientRegistrations::new(store.clone(), ring.clone());
        let sessions = Sessions::new(store, ring.clone(), clock.clone(), metrics.clone(), policy);
        let callback = config.server.public_url.join("/auth/signin/callback");
        let bearer_issuers = BearerIssuers::new(&http, &config.provider, &clock);
        let provider = Provider::new(http, config, callback, clock.clone());
        let config = Arc::new(config.clone());
        let clients = config.clients().map_err(Error::Clients)?;
        let broker = Broker::new(clients, registrations, tokens, config.clone());
        let directory =
            Directory::open(&config.directory, &config.provider.issuer, clock.clone(), metrics.clone())?.map(Arc::new);
        let audit = open_audit(&config.telemetry, clock.clone(), metrics.clone())?;
        let observability = Observability { metrics, audit };
        let rp = RelyingParty::new(provider, bearer_issuers, sessions, clock, observability, broker, config.clone());
        let rp = Arc::new(rp.with_directory(directory));
        let readiness = Readiness::default();
        Ok(Self {
            public: web::router(Web::new(rp.clone(), ring.clone(), &config, readiness.overload().clone())),
            ops: web::ops_router(rp.clone(), readiness.clone()),
            config,
            rp,
            readiness,
            ring,
            watch: None,
            sheds_load: false,
        })
    }

    /// Goes by what a reload may change of `watch`, when `requests` is told and when files have changed.
    #[must_use]
    pub fn reloading(self, watch: ConfigWatch, requests: Arc<Notify>) -> Self {
        Self { watch: Some((watch, requests)), ..self }
    }

    /// Refuses requests while there are more than the threads of this runtime can answer in time.
    #[must_use]
    pub fn shedding_load(self) -> Self {
        Self { sheds_load: true, ..self }
    }

    /// The public listener's routes, for those who call them in process.
    pub fn router(&self) -> Router {
        self.public.clone()
    }

    /// Reads the clients that are registered in the store, for two seconds at most: before, nobody can say that a client is
    /// unknown. Where the store does not answer, a background task goes on trying.
    pub async fn load_clients(&self) {
        if self.config.machine.upstreams().next().is_some() {
            let _ = tokio::time::timeout(FIRST_READ, self.rp.broker.refresh_clients()).await;
        }
    }

    /// Starts the background tasks.
    pub(crate) fn background(&self) -> Supervisor {
        tasks::start(&self.rp, &self.config)
    }

    /// Serves until `shutdown`: then `/readyz` says no, requests in flight and renewals finish, and what
    /// is only in memory is written down.
    ///
    /// # Errors
    /// [`Error::Tls`] and [`Error::Listen`].
    pub async fn serve(
        self,
        public: Listener,
        ops: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let tls = read_tls(&self.config).await?;
        if !self.config.server.has_trusted_proxies() {
            tracing::warn!("/validate/browser refuses every request: server.trusted_proxies is empty");
        }
        let mut background = self.background();
        if let Some((watch, requests)) = self.watch {
            let (watch, ring, readiness) = (Mutex::new(watch), self.ring, self.readiness.clone());
            let reloader = Arc::new(Reloader { watch, requests, ring, tls: tls.clone(), readiness });
            background.always("configuration", move |rp| reloader.clone().run(rp));
        }
        if self.sheds_load {
            let overload = self.readiness.overload().clone();
            background.always("overload", move |_| overload.clone().measure());
        }
        #[cfg(unix)]
        if let StoreUrl::Redb(path) = &self.config.session.store {
            let path = path.clone();
            background.always("operator socket", move |rp| operator::listen(rp, path.clone()));
        }
        self.rp.audit.record(&AuditEvent::ServiceStarted { version: VERSION });
        let idle = self.config.server.idle_timeout;
        let (stop_public, stop_ops) = (CancellationToken::new(), CancellationToken::new());
        let stopped = |stop: &CancellationToken, drain| stop.clone().cancelled_owned().map(move |()| drain);
        open_files::ignore_file_size_signal();
        let limit = self.readiness.connections().clone();
        limit.lower_to(open_files::max_connections(open_files::raise_limit()));
        let stop = stopped(&stop_public, DRAIN_TIMEOUT);
        let public = tokio::spawn(web::listen_within(limit, public, self.public, tls, idle, stop));
        let ops = ops.map(|ops| {
            let (limit, stop) = (ConnectionLimit::new(OPS_CONNECTIONS), stopped(&stop_ops, Duration::ZERO));
            tokio::spawn(web::listen_within(limit, ops.into(), self.ops, None, idle, stop))
        });
        let (mut public, mut ops) = (public, OptionFuture::from(ops));
        let early = tokio::select! {
            ended = &mut public => Some(ended),
            Some(ended) = &mut ops => Some(ended),
            () = shutdown => None,
        };
        self.readiness.drop_now();
        stop_public.cancel();
        let ended = match early {
            Some(ended) => ended,
            None => public.await,
        };
        background.shutdown().await;
        if tokio::time::timeout(FINISH, self.rp.finish()).await.is_err() {
            tracing::warn!("shutdown incomplete: renewal still running");
        }
        if let Err(error) = self.rp.sessions.flush().await {
            tracing::warn!(%error, "session use flush failed: shutting down");
        }
        self.rp.audit.record(&AuditEvent::ServiceStopped {});
        self.rp.audit.flush();
        stop_ops.cancel();
        ended.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(Error::Listen)
    }
}
