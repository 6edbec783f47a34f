//! The composition root: a configuration becomes a running service.

mod background;

pub(crate) use self::background::Background;
use crate::config::{self, Config, StoreUrl};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::deployment::Deployment;
use crate::domain::finding::Finding;
use crate::domain::seal::KeyRing;
use crate::flow::{self, Broker, EndedSessions, OwnSession, RelyingParty};
use crate::provider::{self, HttpClient, Provider};
use crate::store::{self, MachineTokenStore, OpenError, SessionStore, Sessions};
use crate::telemetry::Metrics;
use crate::web::{self, Readiness, Web};
use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use futures_util::future::OptionFuture;
use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often discovery and keys are read again.
const METADATA_AGE: Duration = Duration::from_secs(15 * 60);
/// How often they are tried while they were never had.
const METADATA_RETRY: Duration = Duration::from_secs(2);
/// How often uses are written down.
const FLUSH: Duration = Duration::from_secs(10);
/// How often ended sessions are removed.
const SWEEP: Duration = Duration::from_secs(5 * 60);
/// How often the clients' files are looked at.
const CLIENTS: Duration = Duration::from_secs(3);
/// How often the store's set-up is looked at, and soon again where it could not be.
const INSPECTION: (Duration, Duration) = (Duration::from_secs(5 * 60), Duration::from_secs(5));
/// How often those at work who may have been disabled are looked for.
const CHECK_REVOKED: Duration = Duration::from_secs(5);
/// How long requests in flight, and then renewals, may take after a shutdown began. Together less than the
/// thirty seconds after which most supervisors kill.
const DRAIN: Duration = Duration::from_secs(20);
const FINISH: Duration = Duration::from_secs(5);

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
    /// A command about sessions that only the service itself knows.
    #[error("session.store is \"memory:\": only the running service has these sessions, and they end with it")]
    OnlyInMemory,
    /// A command about sessions in a file that is not there: most likely of another configuration.
    #[error("{0} does not exist: is this the configuration that the service runs with?")]
    NoStore(String),
    /// A command about sessions while the service has its file.
    #[error("{0}. Stop the service first; with a Redis store this works beside it")]
    Busy(store::OpenError),
    /// A command about sessions that failed half-way.
    #[error(transparent)]
    Flow(#[from] flow::Error),
}

/// Takes a port for `what`.
///
/// # Errors
/// [`Error::Port`].
pub fn bind(addr: SocketAddr, what: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(addr).map_err(|why| Error::Port { what: what.to_owned(), addr, why })
}

/// Asks the provider and the store that `config` names. Leaves no files: they would belong to whoever asks.
///
/// # Errors
/// [`Error::Provider`] if this machine's TLS set-up cannot be loaded.
pub async fn probe(config: &Config) -> Result<Vec<Finding>, Error> {
    let own = &config.server.public_url;
    let callback = own.join("/auth/signin/callback");
    let http = HttpClient::new(config.provider.timeout, Arc::default())?;
    let provider = Provider::new(http, config, callback, Arc::new(SystemClock));
    let (back, signed_out) = (config.return_to_policy().choose(None), own.join("/auth/signout/callback"));
    let upstreams: Vec<_> = config.machine.upstreams().collect();
    let mut findings = provider.probe(back, &signed_out, &upstreams).await;
    findings.extend(store::probe(&config.session, &Arc::new(key_ring(config))).await);
    Ok(findings)
}

/// The live sessions of the user `sub` in the configured store, the newest first.
///
/// # Errors
/// [`Error`], a sentence for the operator.
pub async fn sessions_of(config: &Config, sub: &str) -> Result<Vec<OwnSession>, Error> {
    Ok(beside_the_service(config)?.rp.sessions_of(sub).await?)
}

/// Ends the sessions of the user `sub` in the configured store, or the one called `handle`, and revokes their
/// refresh tokens at the provider.
///
/// # Errors
/// [`Error`], a sentence for the operator. Some sessions may have ended all the same.
pub async fn end_sessions_of(config: &Config, sub: &str, handle: Option<&str>) -> Result<EndedSessions, Error> {
    Ok(beside_the_service(config)?.rp.end_sessions_of(sub, handle).await?)
}

/// The flows over the configured store, for a command. Makes no store where there is none.
fn beside_the_service(config: &Config) -> Result<App, Error> {
    match &config.session.store {
        StoreUrl::Memory => return Err(Error::OnlyInMemory),
        StoreUrl::Redb(path) if !path.exists() => return Err(Error::NoStore(path.display().to_string())),
        _ => {}
    }
    App::build(config, Arc::new(SystemClock)).map_err(|error| match error {
        Error::Store(in_use @ OpenError::InUse { .. }) => Error::Busy(in_use),
        other => other,
    })
}

fn key_ring(config: &Config) -> KeyRing {
    let (provider, origin) = (&config.provider, config.server.public_url.as_str());
    let deployment = Deployment::new(&provider.issuer, &provider.client_id, origin);
    KeyRing::new(config.cookies.keys.iter().map(|key| key.expose())).bound_to(deployment)
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
}

impl App {
    /// Puts the service together. Opens the store; the provider is asked later.
    ///
    /// # Errors
    /// [`Error`], a sentence for the operator.
    pub fn build(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let store = store::open(&config.session, &Arc::new(key_ring(config)))?;
        Self::over(store, config, clock)
    }

    /// Puts the service together over a store that is open already.
    ///
    /// # Errors
    /// [`Error::Provider`] and [`Error::Clients`].
    pub fn over(store: Arc<dyn SessionStore>, config: &Config, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let metrics = Arc::new(Metrics::default());
        let http = HttpClient::new(config.provider.timeout, metrics.clone())?;
        Self::compose(store, http, config, clock, metrics)
    }

    /// Puts the service together over a store and a way to the provider.
    ///
    /// # Errors
    /// [`Error::Clients`].
    pub(crate) fn compose(
        store: Arc<dyn SessionStore>,
        http: HttpClient,
        config: &Config,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let ring = Arc::new(key_ring(config));
        let idle = config.session.idle.map(|idle| idle.as_secs());
        let tokens = MachineTokenStore::new(store.clone(), ring.clone(), clock.clone());
        let (max_stale, patience) = (config.session.max_stale, config.session.store_timeout);
        let sessions = Sessions::new(store, ring.clone(), clock.clone(), metrics.clone(), idle, max_stale, patience);
        let callback = config.server.public_url.join("/auth/signin/callback");
        let provider = Provider::new(http, config, callback, clock.clone());
        let config = Arc::new(config.clone());
        let clients = config.machine.read_clients().map_err(Error::Clients)?;
        let broker = Broker::new(clients, tokens, config.clone());
        let rp = Arc::new(RelyingParty::new(provider, sessions, clock, metrics, broker, config.clone()));
        let readiness = Readiness::default();
        Ok(Self {
            public: web::router(Web::new(rp.clone(), ring, &config)),
            ops: web::ops_router(rp.clone(), readiness.clone()),
            config,
            rp,
            readiness,
        })
    }

    /// The public listener's routes, for those who call them in process.
    pub fn router(&self) -> Router {
        self.public.clone()
    }

    /// Starts everything that is done beside the requests.
    pub(crate) fn background(&self) -> Background {
        background(&self.rp, &self.config)
    }

    /// Serves until `shutdown`: then `/readyz` says no, requests in flight and renewals finish, and what
    /// is only in memory is written down.
    ///
    /// # Errors
    /// [`Error::Tls`] and [`Error::Listen`].
    pub async fn serve(
        self,
        public: TcpListener,
        ops: Option<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let tls = match self.config.server.tls() {
            Some((cert, key)) => Some(RustlsConfig::from_pem_file(cert, key).await.map_err(Error::Tls)?),
            None => None,
        };
        if self.config.server.trusted_proxies.is_empty() {
            tracing::warn!("/validate/browser refuses every request: server.trusted_proxies is empty");
        }
        let background = self.background();
        let (public_handle, ops_handle) = (Handle::new(), Handle::new());
        let public = tokio::spawn(web::listen(public, self.public, tls, public_handle.clone()));
        let ops = ops.map(|ops| tokio::spawn(web::listen(ops, self.ops, None, ops_handle.clone())));
        let (mut public, mut ops) = (public, OptionFuture::from(ops));
        let early = tokio::select! {
            ended = &mut public => Some(ended),
            Some(ended) = &mut ops => Some(ended),
            () = shutdown => None,
        };
        self.readiness.drop_now();
        public_handle.graceful_shutdown(Some(DRAIN));
        let ended = match early {
            Some(ended) => ended,
            None => public.await,
        };
        background.shutdown().await;
        if tokio::time::timeout(FINISH, self.rp.finish()).await.is_err() {
            tracing::warn!("a renewal was still under way at the end");
        }
        if let Err(error) = self.rp.sessions.flush().await {
            tracing::warn!(%error, "the last uses of sessions were not written down");
        }
        ops_handle.graceful_shutdown(Some(Duration::ZERO));
        ended.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(Error::Listen)
    }
}

/// Everything that is done beside the requests.
fn background(rp: &Arc<RelyingParty>, config: &Arc<Config>) -> Background {
    let mut background = Background::new(rp.metrics.clone());
    let (this, retry) = (rp.clone(), Arc::new(Mutex::new(METADATA_RETRY)));
    background.paced("provider metadata", move || keep_metadata(this.clone(), retry.clone()));
    let this = rp.clone();
    background.every(FLUSH, "session uses", move || keep_uses(this.clone()));
    let this = rp.clone();
    background.paced("sweep", move || sweep(this.clone()));
    let this = rp.clone();
    background.always("store changes", move || follow(this.clone()));
    let this = rp.clone();
    background.always("issued tokens", move || keep_issued(this.clone()));
    let (this, known) = (rp.clone(), Arc::<Mutex<Vec<store::Warning>>>::default());
    background.paced("store set-up", move || inspect_store(this.clone(), known.clone()));
    if config.machine.clients.is_some() {
        let (this, config, problem) = (rp.clone(), config.clone(), Arc::<Mutex<Option<String>>>::default());
        background.paced("client files", move || keep_clients(this.clone(), config.clone(), problem.clone()));
    }
    let this = rp.clone();
    background.always("renewals", move || renew_ahead(this.clone()));
    if let Some(interval) = config.validate.check_revoked {
        let this = rp.clone();
        background.every(CHECK_REVOKED, "revocation checks", move || check_revoked(this.clone(), interval));
    }
    background
}

/// Reads discovery and keys; soon again if they were never had, ever later while they cannot be used: that is no
/// outage, somebody has to mend it.
async fn keep_metadata(rp: Arc<RelyingParty>, retry: Arc<Mutex<Duration>>) -> Duration {
    let read = rp.provider.renew_metadata().await;
    let mut retry = retry.lock().unwrap_or_else(PoisonError::into_inner);
    match read {
        Ok(()) => METADATA_AGE,
        Err(error) => {
            tracing::warn!(%error, "the provider's metadata cannot be read; what was known stays");
            *retry = match error {
                provider::Error::Unusable(_) => (2 * *retry).min(METADATA_AGE / 15),
                _ => METADATA_RETRY,
            };
            if rp.provider.is_known() { METADATA_AGE / 15 } else { *retry }
        }
    }
}

/// Writes down which sessions were used.
async fn keep_uses(rp: Arc<RelyingParty>) {
    if let Err(error) = rp.sessions.flush().await {
        tracing::warn!(%error, "uses of sessions were not written down; tried again later");
    }
}

/// Hears what other processes change in the store.
async fn follow(rp: Arc<RelyingParty>) {
    rp.sessions.follow().await;
}

/// Writes down again the issued machine tokens that a store has lost.
async fn keep_issued(rp: Arc<RelyingParty>) {
    match rp.keep_issued().await {}
}

/// Says what is wrong with how the store is set up, whenever that changes.
async fn inspect_store(rp: Arc<RelyingParty>, known: Arc<Mutex<Vec<store::Warning>>>) -> Duration {
    // What hears of changes says that the store is away.
    let Ok(warnings) = rp.sessions.warnings().await else { return INSPECTION.1 };
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in warnings.iter().filter(|warning| !known.contains(*warning)) {
        tracing::warn!("{warning}");
    }
    *known = warnings;
    INSPECTION.0
}

/// Reads the clients' files again when they change. What was read before stays while they have a mistake, which is
/// told once.
async fn keep_clients(rp: Arc<RelyingParty>, config: Arc<Config>, told: Arc<Mutex<Option<String>>>) -> Duration {
    // Reading files blocks; thousands of clients take a while.
    let read = tokio::task::spawn_blocking(move || config.machine.read_clients()).await;
    let problem = match read {
        Ok(Ok(registry)) => {
            rp.broker.replace_clients(registry);
            None
        }
        Ok(Err(problems)) => problems.first().map(ToString::to_string),
        Err(error) => Some(error.to_string()),
    };
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(problem) = problem.as_ref().filter(|_| *told != problem) {
        tracing::error!(%problem, "the clients were not read again; those that were known stay");
    }
    *told = problem;
    CLIENTS
}

/// Renews tokens before they run out.
async fn renew_ahead(rp: Arc<RelyingParty>) {
    // In step, however long each takes.
    let mut searches = tokio::time::interval(flow::RENEWAL_SEARCH);
    searches.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        searches.tick().await;
        rp.renew_ahead().await;
    }
}

/// Asks the provider about those at work.
async fn check_revoked(rp: Arc<RelyingParty>, interval: Duration) {
    rp.check_revoked(interval).await;
}

/// Removes sessions that are over.
async fn sweep(rp: Arc<RelyingParty>) -> Duration {
    rp.broker.sweep(rp.clock.now());
    match rp.sessions.sweep().await {
        Ok(0) => {}
        Ok(swept) => tracing::info!(swept, "removed sessions that were over"),
        Err(error) => tracing::warn!(%error, "sessions that are over were not removed; tried again later"),
    }
    SWEEP
}
