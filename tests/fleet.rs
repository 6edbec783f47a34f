//! Several processes on one Redis, as behind a load balancer, and everything that can happen to them.

mod callback;
mod clients;
mod endings;
mod faults;
mod from_afar;
mod renewal;
mod revocation;

use crate::support::process::{PROGRAM, Service, command, spawn_program};
use crate::support::redis::Redis;
use crate::support::{Answer, Browser, free_port, until};
use auth_api::dev::pool::{AppClient, PoolSettings, Rotation, UserPool};
use reqwest::Method;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a process may wait for the store, and how much longer a test on a busy machine sees it.
const STORE_TIMEOUT: Duration = Duration::from_millis(500);
/// Enough for a store on a machine that does something else meanwhile.
pub(crate) const PATIENT: (&str, &str) = ("SESSION__STORE_TIMEOUT", "5s");
const SLACK: Duration = Duration::from_secs(2);

/// Processes that share everything but their ports. Browsers know the first one's address.
pub(crate) struct Fleet {
    pub(crate) pool: UserPool,
    pub(crate) services: Vec<Service>,
    /// What the processes run that start from here on.
    pub(crate) program: PathBuf,
    settings: Vec<(String, String)>,
    /// Variables that are not ours.
    system: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// `size` processes on a store.
    pub(crate) async fn start(size: usize, store: &str) -> Self {
        Self::with(size, store, &[]).await
    }

    /// With further configuration, keys without their prefix.
    pub(crate) async fn with(size: usize, store: &str, configuration: &[(&str, &str)]) -> Self {
        Self::on(size, store, configuration, &[]).await
    }

    /// On a system with further variables.
    pub(crate) async fn on(size: usize, store: &str, configuration: &[(&str, &str)], system: &[(&str, &str)]) -> Self {
        let system: Vec<_> = system.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        loop {
            let port = free_port();
            let public_url = format!("http://auth-api.app.localhost:{port}");
            let pool = UserPool::start(PoolSettings::for_service(&public_url)).await.unwrap();
            let mut settings: Vec<(String, String)> = [
                ("SERVER__PUBLIC_URL", public_url.as_str()),
                ("PROVIDER__ISSUER", &pool.issuer()),
                ("PROVIDER__CLIENT_ID", "dev-web-client"),
                ("PROVIDER__CLIENT_SECRET", "dev-web-secret"),
                ("PROVIDER__TIMEOUT", "2s"),
                ("COOKIES__DOMAIN", "app.localhost"),
                ("COOKIES__KEYS", "0123456789 of a key for this test 9876543210"),
                ("SESSION__STORE", store),
                ("SESSION__STORE_TIMEOUT", "500ms"),
                ("TELEMETRY__LOG", "info"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
            for (key, value) in configuration {
                settings.retain(|(known, _)| known != key);
                settings.push(((*key).to_owned(), (*value).to_owned()));
            }
            let folder = tempfile::tempdir().unwrap();
            let (services, program) = (vec![], PROGRAM.into());
            let mut fleet = Self { pool, services, program, settings, system: system.clone(), folder };
            if fleet.launch(port) && (1..size).all(|_| (0..5).any(|_| fleet.launch(free_port()))) {
                return fleet;
            }
        }
    }

    /// One more process; whether it could have its port.
    pub(crate) fn launch(&mut self, port: u16) -> bool {
        let ops = free_port();
        let env = self.settings.iter().map(|(key, value)| (format!("AUTH_API__{key}"), value.clone()));
        let env = env.chain(self.system.iter().cloned()).chain([
            ("AUTH_API__SERVER__LISTEN".to_owned(), format!("127.0.0.1:{port}")),
            ("AUTH_API__SERVER__OPS_LISTEN".to_owned(), format!("127.0.0.1:{ops}")),
        ]);
        let started = spawn_program(&self.program, self.folder.path(), port, ops, env);
        started.map(|service| self.services.push(service)).is_some()
    }

    /// The program with the configuration of the processes.
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = command(self.folder.path());
        command.envs(self.settings.iter().map(|(key, value)| (format!("AUTH_API__{key}"), value)));
        command.envs(self.system.iter().cloned());
        command
    }

    /// Changes the configuration of the processes that start from here on.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.settings.retain(|(known, _)| known != key);
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    /// The configuration of the processes that start from here on.
    pub(crate) fn setting(&self, key: &str) -> String {
        self.settings.iter().find(|(known, _)| known == key).unwrap().1.clone()
    }

    /// Stops a process as its operator does, and starts it again on its port.
    pub(crate) fn restart(&mut self, nth: usize) {
        let mut service = self.services.remove(nth);
        let port = service.port();
        crate::support::process::terminate(&service.child);
        service.child.wait().unwrap();
        drop(service);
        assert!(self.launch(port), "it gets its port again");
        let service = self.services.pop().unwrap();
        self.services.insert(nth, service);
    }

    /// Signs in, as somebody who tries again where a process that has lost its store for a moment says 503.
    pub(crate) async fn sign_in(&self, user: &str) -> Browser {
        let browser = Browser::new();
        let callback = self.to_callback(&browser, user).await;
        until("signed in", async || {
            let answer = browser.get(&callback).await;
            assert!([302, 503].contains(&answer.status), "{answer:?}");
            answer.status == 302
        })
        .await;
        browser
    }

    pub(crate) async fn to_callback(&self, browser: &Browser, user: &str) -> String {
        let authorize = browser.get(&format!("{}/auth/signin", self.services[0].url)).await.location();
        browser.log_in(&authorize, user).await
    }

    pub(crate) async fn try_sign_in(&self, browser: &Browser, user: &str) -> Answer {
        let callback = self.to_callback(browser, user).await;
        browser.get(&callback).await
    }

    /// Sends a browser's request to one of the processes, as a load balancer would.
    pub(crate) async fn ask(&self, nth: usize, browser: &Browser, method: Method, path: &str) -> Answer {
        let cookies = browser.cookies(&self.services[0].url);
        let url = format!("http://127.0.0.1:{}{path}", self.services[nth].port());
        let own_page = |request: reqwest::RequestBuilder| request.header("sec-fetch-site", "same-origin");
        Browser::new().send(method, &url, |request| own_page(request).header("cookie", cookies)).await
    }

    pub(crate) async fn validate(&self, nth: usize, browser: &Browser) -> u16 {
        let began = Instant::now();
        let status = self.ask(nth, browser, Method::GET, "/validate").await.status;
        assert!(began.elapsed() < STORE_TIMEOUT + SLACK, "no validate hangs: {:?}", began.elapsed());
        status
    }

    pub(crate) async fn refresh(&self, nth: usize, browser: &Browser) -> Answer {
        self.ask(nth, browser, Method::POST, "/refresh?force=true").await
    }

    pub(crate) async fn sign_out(&self, nth: usize, browser: &Browser) -> u16 {
        self.ask(nth, browser, Method::POST, "/auth/signout").await.status
    }

    /// Waits until a process hears of changes: what it reads from here on, it remembers.
    pub(crate) async fn hears(&self, nth: usize) {
        until("it hears of changes", async || {
            let metrics = Browser::new().get(&format!("{}/metrics", self.services[nth].ops)).await.body;
            !metrics.contains("auth_api_revocation_lag_seconds_count 0")
        })
        .await;
    }

    /// Waits until every process answers so.
    pub(crate) async fn all_say(&self, what: &str, status: u16, browser: &Browser) {
        for nth in 0..self.services.len() {
            until(what, async || self.validate(nth, browser).await == status).await;
        }
    }

    /// The same for every process but one.
    pub(crate) async fn all_say_but(&self, one: usize, status: u16, browser: &Browser) {
        for nth in (0..self.services.len()).filter(|nth| *nth != one) {
            assert_eq!(self.validate(nth, browser).await, status);
        }
    }

    pub(crate) fn rotate(&self, grace_seconds: i64) {
        let on = Rotation::On { grace_seconds };
        self.pool.edit_client("dev-web-client", |client: &mut AppClient| client.rotation = on);
    }
}

/// The address of a Redis for a configuration.
pub(crate) fn at(redis: &Redis) -> String {
    format!("redis://127.0.0.1:{}", redis.port)
}

/// One that keeps what it was told through `kill -9`.
pub(crate) async fn durable() -> Redis {
    Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]).await
}
