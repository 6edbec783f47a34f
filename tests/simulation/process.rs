//! A process of the fleet: the real service over the simulated network, without sockets.

use super::World;
use super::network::{Connection, MAX_STALE, STORE_TIMEOUT};
use super::provider::{Asker, CLIENT, ISSUER, Line, TIMEOUT};
use crate::app::{App, Supervisor, key_ring};
use crate::config::{self, Config, Sources};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::store_key::{RevocationKey, SessionKey};
use crate::flow::RelyingParty;
use crate::provider::HttpClient;
use crate::telemetry::Metrics;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Time as everybody in a run sees it.
#[derive(Debug)]
struct SimulatedClock(Arc<World>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.epoch_seconds())
    }
}

pub(super) struct Process {
    /// Which start of the process this is.
    pub(super) start: u64,
    rp: Arc<RelyingParty>,
    router: Router,
    gone: CancellationToken,
    _background: Supervisor,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Process({})", self.start)
    }
}

impl Process {
    /// Starts process `number` for the `start`th time.
    pub(super) fn start(world: &Arc<World>, number: usize, start: u64) {
        let config = configuration();
        let store = Arc::new(Connection::new(world.clone(), number, start));
        let asker = Asker { process: number, start, began: Instant::now() };
        let (metrics, line) = (Arc::<Metrics>::default(), Line { world: world.clone(), asker });
        let http = HttpClient::in_process(Arc::new(line), metrics.clone());
        let app = App::compose(
            store,
            Arc::new(key_ring(&config)),
            http,
            &config,
            Arc::new(SimulatedClock(world.clone())),
            metrics,
        );
        let app = app.expect("the configuration is good");
        let process = Self {
            start,
            rp: app.rp.clone(),
            router: app.router(),
            gone: CancellationToken::new(),
            _background: app.background(),
        };
        world.trace(format_args!("p{number} starts"));
        world.processes()[number] = Some(process);
    }

    /// Whether it could write back this session.
    pub(super) fn remembered(&self, key: SessionKey) -> Option<(u64, Timestamp)> {
        self.rp.sessions.remembered(key)
    }

    /// Whether it knows that this session has ended.
    pub(super) fn remembers_end(&self, key: SessionKey) -> bool {
        self.rp.sessions.remembers_end(key)
    }

    /// Whether it knows that tokens with this mark are refused.
    pub(super) fn remembers_revocation(&self, mark: RevocationKey) -> bool {
        self.rp.sessions.remembers_revocation(mark)
    }
}

/// Asks a process; `None` if it is not there, or crashes meanwhile.
pub(super) async fn ask(world: &World, number: usize, request: Request<Body>) -> Option<(u16, HeaderMap)> {
    let (router, gone) = {
        let processes = world.processes();
        let process = processes[number].as_ref()?;
        (process.router.clone(), process.gone.clone())
    };
    tokio::select! {
        biased;
        () = gone.cancelled() => None,
        answer = router.oneshot(request) => {
            let answer = answer.expect("a router answers always");
            Some((answer.status().as_u16(), answer.headers().clone()))
        }
    }
}

/// Ends a process in the middle of whatever it does.
pub(super) fn crash(world: &World, number: usize) {
    let process = world.processes()[number].take();
    if let Some(process) = process {
        process.gone.cancel();
        world.server().break_listener(number, false);
        world.trace(format_args!("p{number} crashes"));
    }
}

fn configuration() -> Config {
    let (max_stale, store_timeout) = (format!("{}ms", MAX_STALE.as_millis()), format!("{}s", STORE_TIMEOUT.as_secs()));
    let env = [
        ("SERVER__PUBLIC_URL", "https://auth-api.example.com"),
        ("PROVIDER__ISSUER", ISSUER),
        ("PROVIDER__CLIENT_ID", CLIENT),
        ("PROVIDER__CLIENT_SECRET", "simulated-secret-of-the-web-client"),
        ("PROVIDER__TIMEOUT", &format!("{}s", TIMEOUT.as_secs())),
        ("COOKIES__DOMAIN", "example.com"),
        ("COOKIES__KEYS", "c2ltdWxhdGlvbi1rZXktd2l0aC0zMi1ieXRlcy0wMTIz"),
        ("SESSION__STORE", "memory:"),
        ("SESSION__STORE_TIMEOUT", &store_timeout),
        ("SESSION__MAX_STALE", &max_stale),
        ("SESSION__REFRESH_MARGIN", "10s"),
        ("SESSION__PER_USER", "0"),
        ("RETURN_TO__DEFAULT", "https://cms.example.com/"),
    ];
    let env = env.map(|(key, value)| (format!("AUTH_API__{key}"), value.to_owned())).into();
    config::load(Sources { file: None, env }).expect("the configuration is good")
}
