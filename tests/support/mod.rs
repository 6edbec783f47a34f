//! What the tests have in hand: a whole world on free ports, a clock to move, a browser, the log.

mod browser;
pub(crate) mod lambda;
pub(crate) mod listener;
mod log;
mod ports;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod records;
pub(crate) mod redis;

pub(crate) use browser::{Answer, Browser, param};
pub(crate) use log::Log;
pub(crate) use ports::free_port;

use auth_api::config::{self, StoreUrl};
use auth_api::dev::environment::{DevEnvironment, DevOptions};
use auth_api::dev::pool::AppClient;
use auth_api::domain::clock::{ShiftedClock, Timestamp};
use auth_api::domain::session::SessionId;
use auth_api::domain::token::TokenSet;
use auth_api::store::{OpenedSession, SessionStore};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Pool, service and CMS, with the service's clock.
pub(crate) struct Site {
    pub(crate) world: DevEnvironment,
    pub(crate) clock: Arc<ShiftedClock>,
}

impl Deref for Site {
    type Target = DevEnvironment;

    fn deref(&self) -> &DevEnvironment {
        &self.world
    }
}

impl Site {
    /// The session of a browser.
    pub(crate) async fn session(&self, browser: &Browser) -> Arc<OpenedSession> {
        let cookies = browser.cookies(&self.cms_url);
        let id = cookies.split("; ").find_map(|cookie| cookie.strip_prefix("auth=")).unwrap();
        self.rp.sessions.load(SessionId::parse(id.as_bytes()).unwrap()).await.unwrap().unwrap()
    }

    /// The tokens behind it.
    pub(crate) async fn tokens(&self, browser: &Browser) -> TokenSet {
        self.rp.sessions.tokens(&*self.session(browser).await).await.unwrap().unwrap()
    }

    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With further configuration, keys without their prefix: `SESSION__IDLE`.
    pub(crate) async fn with(configuration: &[(&str, &str)]) -> Self {
        Self::plan(configuration, DevOptions::default()).await
    }

    /// One that refuses requests in an overload.
    pub(crate) async fn shedding_load() -> Self {
        Self::plan(&[], DevOptions { shed_load: true, ..DevOptions::default() }).await
    }

    /// With a configuration file beside it.
    pub(crate) async fn with_file(file: &Path, configuration: &[(&str, &str)]) -> Self {
        Self::plan(
            configuration,
            DevOptions {
                file: Some((file.to_owned(), std::fs::read_to_string(file).unwrap())),
                ..DevOptions::default()
            },
        )
        .await
    }

    /// With a configuration file's text.
    pub(crate) async fn with_text(text: &str, configuration: &[(&str, &str)]) -> Self {
        Self::plan(configuration, DevOptions { file: text_of(text), ..DevOptions::default() }).await
    }

    /// Over a store of the test's own.
    pub(crate) async fn over(store: Arc<dyn SessionStore>) -> Self {
        Self::over_with(store, &[]).await
    }

    pub(crate) async fn over_with(store: Arc<dyn SessionStore>, configuration: &[(&str, &str)]) -> Self {
        Self::plan(configuration, DevOptions { store: Some(store), ..DevOptions::default() }).await
    }

    /// The same with a configuration file's text.
    pub(crate) async fn over_text(store: Arc<dyn SessionStore>, text: &str, configuration: &[(&str, &str)]) -> Self {
        let (store, file) = (Some(store), text_of(text));
        Self::plan(configuration, DevOptions { store, file, ..DevOptions::default() }).await
    }

    /// Over https, as in production, with a certificate that only [`Browser::trusting`] trusts.
    pub(crate) async fn over_https(folder: &Path, configuration: &[(&str, &str)]) -> Self {
        Self::plan(configuration, DevOptions { tls: Some(certificate(folder)), ..DevOptions::default() }).await
    }

    /// Behind a proxy that browsers reach at `public_url`, with a configuration file's text.
    pub(crate) async fn behind(public_url: &str, text: &str, configuration: &[(&str, &str)]) -> Self {
        let (public_url, file) = (Some(public_url.to_owned()), text_of(text));
        Self::plan(configuration, DevOptions { public_url, file, ..DevOptions::default() }).await
    }

    /// The same on a pool that has an app client for another program too.
    pub(crate) async fn beside(
        client: AppClient,
        public_url: &str,
        text: &str,
        configuration: &[(&str, &str)],
    ) -> Self {
        let (public_url, file, client) = (Some(public_url.to_owned()), text_of(text), Some(client));
        Self::plan(configuration, DevOptions { public_url, file, client, ..DevOptions::default() }).await
    }

    async fn plan(configuration: &[(&str, &str)], plan: DevOptions) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let clock = Arc::new(ShiftedClock::default());
        let configuration =
            configuration.iter().map(|(key, value)| (format!("AUTH_API__{key}"), (*value).to_owned())).collect();
        let plan = DevOptions { clock: clock.clone(), configuration, ..plan };
        Self { world: DevEnvironment::start(plan).await.unwrap(), clock }
    }

    /// An address of the service.
    pub(crate) fn auth(&self, path: &str) -> String {
        format!("{}{path}", self.auth_url)
    }

    /// An address of the CMS.
    pub(crate) fn cms(&self, path: &str) -> String {
        format!("{}{path}", self.cms_url)
    }

    /// Moves the service's and the pool's time.
    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.shift(seconds);
        self.pool.shift_clock(seconds);
    }

    /// One sample of a metric, 0 if it was never counted.
    pub(crate) async fn metric(&self, sample: &str) -> u64 {
        let text = reqwest_text(&format!("{}/metrics", self.ops_url)).await;
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

fn text_of(text: &str) -> Option<(PathBuf, String)> {
    Some((PathBuf::new(), text.to_owned()))
}

/// A certificate for all hosts of the tests, and its key: `cert.pem` and `key.pem` in the folder.
pub(crate) fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["*.app.localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

async fn reqwest_text(url: &str) -> String {
    Browser::new().get(url).await.body
}

/// A `[session]` with this store and otherwise the defaults.
pub(crate) fn stored_in(store: StoreUrl) -> config::SessionConfig {
    config::SessionConfig {
        store,
        store_timeout: Duration::from_secs(1),
        max_stale: Duration::from_millis(250),
        cache_memory: 64 << 20,
        max_age: Duration::from_secs(30 * 86_400),
        idle: None,
        sign_in_timeout: Duration::from_secs(3_600),
        refresh_margin: Duration::from_secs(300),
        per_user: Some(100),
    }
}

/// Waits for something that is bound to happen, and fails if it does not.
pub(crate) async fn until(what: &str, mut happened: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !happened().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}

/// The point `seconds` after the Unix epoch.
pub(crate) const fn at(seconds: u64) -> Timestamp {
    Timestamp::from_secs(seconds)
}
