//! The dev user pool, the service and the demo CMS together, on three host names under one parent, so
//! that the cookie is really shared between siblings; and the legacy login of the pool's triggers.

use super::cms::{Cms, CmsDatabase, CmsSettings};
use super::function;
use super::legacy::LegacyLogin;
use super::pool::{AppClient, MfaConfiguration, PoolSettings, PoolUser, UserPool};
use super::pool_contents;
use crate::app::{App, bind};
use crate::config::{ConfigWatch, PostgresServers, PostgresTls, PostgresUrl, Problems, Sources};
use crate::domain::clock::{Clock, SystemClock};
use crate::domain::seal::random;
use crate::flow::RelyingParty;
use crate::store::SessionStore;
use anyhow::{Context, anyhow};
use axum::Router;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::ExposeSecret;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The parent domain of the three hosts. Browsers resolve every name under `localhost` to this machine
/// (RFC 6761 §6.3), and share a cookie on this domain between its hosts.
pub const PARENT: &str = "app.localhost";

/// How long the CMS waits for its database.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);

/// What to start.
#[derive(Debug)]
pub struct DevOptions {
    /// The service's port; the CMS, the pool and the ops listener take the next three. 0: any free ones.
    pub port: u16,
    /// The service's time.
    pub clock: Arc<dyn Clock>,
    /// Certificate and key, PEM files: the service then speaks https.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Where browsers reach the service, if a proxy is in front of it.
    pub public_url: Option<String>,
    /// The service's session store, in place of the configured one.
    pub store: Option<Arc<dyn SessionStore>>,
    /// The text of a configuration file, for what variables cannot say, and where it is from.
    pub file: Option<(PathBuf, String)>,
    /// Further configuration, as environment variables.
    pub configuration: Vec<(String, String)>,
    /// Whether the configuration is somebody's own: then the pool has the scopes, groups and machines that it names.
    pub own_configuration: bool,
    /// Groups that the pool's triggers put federated users in, separated by commas.
    pub default_groups: &'static str,
    /// The app client of another program.
    pub client: Option<AppClient>,
    /// Whether the service refuses requests in an overload. Off: it shares its threads with the pool, whose passwords
    /// are slow to check by design.
    pub shed_load: bool,
}

impl Default for DevOptions {
    fn default() -> Self {
        Self {
            port: 0,
            clock: Arc::new(SystemClock),
            tls: None,
            public_url: None,
            store: None,
            file: None,
            configuration: vec![],
            own_configuration: false,
            default_groups: "",
            client: None,
            shed_load: false,
        }
    }
}

/// Everything that runs.
#[derive(Debug)]
pub struct DevEnvironment {
    /// The user pool.
    pub pool: UserPool,
    /// The CMS.
    pub cms: Cms,
    /// The system that users come from.
    pub legacy: LegacyLogin,
    /// The service's flows.
    pub rp: Arc<RelyingParty>,
    /// The service's public routes, to be called in process.
    pub router: Router,
    /// The service, for browsers.
    pub auth_url: String,
    /// The service's port, for a proxy in front of it.
    pub auth_port: u16,
    /// The CMS, for browsers.
    pub cms_url: String,
    /// The CMS under its second name.
    pub blog_url: String,
    /// The ops listener.
    pub ops_url: String,
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

impl DevEnvironment {
    /// Starts them all.
    ///
    /// # Errors
    /// A sentence, most likely about a port that is taken.
    pub async fn start(options: DevOptions) -> anyhow::Result<Self> {
        let listeners = Listeners::bind(options.port)?;
        let [auth_port, cms_port, pool_port, ops_port] = listeners.ports()?;
        let url = |host: &str, port: u16| format!("http://{host}.{PARENT}:{port}");
        let (mut auth_url, cms_url, blog_url) =
            (url("auth-api", auth_port), url("cms", cms_port), url("blog", cms_port));
        if options.tls.is_some() {
            auth_url = auth_url.replacen("http", "https", 1);
        }
        if let Some(url) = &options.public_url {
            auth_url.clone_from(url);
        }

        let legacy = LegacyLogin::start().await?;
        let mut settings = PoolSettings {
            // A host that every program resolves, where another one than ours has to.
            host: if options.client.is_some() { "127.0.0.1".to_owned() } else { format!("pool.{PARENT}") },
            triggers: Some(
                function::triggers(listeners.pool.local_addr()?, &legacy, options.default_groups)
                    .map_err(|e| anyhow!(e))?,
            ),
            mfa: MfaConfiguration::Optional,
            attributes_require_verification: true,
            ..PoolSettings::for_service(&auth_url)
        };
        settings.newcomers.extend(at_google());
        settings.clients.extend(options.client.clone());
        let pool_url = format!("http://{}:{pool_port}", settings.host);
        let issuer = format!("{pool_url}/{}", settings.pool_id);
        let env = variables(&options, [auth_port, ops_port], [&auth_url, &cms_url, &pool_url, &issuer]);
        let watch = ConfigWatch::new(Sources { file: options.file, env }, false).map_err(Problems::in_configuration)?;
        let config = watch.config().clone();
        if options.own_configuration {
            pool_contents::furnish(&mut settings, &config).map_err(Problems::in_configuration)?;
        }
        let pool = UserPool::start_on(tokio_listener(listeners.pool)?, settings).await?;
        let app = match options.store {
            Some(store) => App::over(store, &config, options.clock)?,
            None => App::build(&config, options.clock)?,
        };
        app.load_clients().await;
        let app = app.reloading(watch, Arc::default());
        let app = if options.shed_load { app.shedding_load() } else { app };
        let (rp, router) = (app.rp.clone(), app.router());
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let served =
            tokio::spawn(async move { Ok(app.serve(listeners.auth.into(), Some(listeners.ops), stopped).await?) });

        let database = config.directory.url.as_ref().map(|url| cms_database(url, issuer)).transpose()?;
        let cms = CmsSettings {
            database,
            auth_base_public: auth_url.clone(),
            auth_base_internal: format!("http://127.0.0.1:{auth_port}"),
            public_url: cms_url.clone(),
            sibling_urls: vec![blog_url.clone()],
            ..CmsSettings::default()
        };
        let cms = Cms::start_on(tokio_listener(listeners.cms)?, cms).await?;
        let ops_url = format!("http://127.0.0.1:{ops_port}");
        Ok(Self { pool, cms, legacy, rp, router, auth_url, auth_port, cms_url, blog_url, ops_url, stop, served })
    }

    /// Stops the service as SIGTERM does, and then the others.
    ///
    /// # Errors
    /// What the service ended with.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let ended = self.served.await?;
        self.cms.shutdown();
        self.pool.shutdown();
        self.legacy.shutdown();
        ended
    }
}

/// The four listeners, on ports in this order.
struct Listeners {
    auth: TcpListener,
    cms: TcpListener,
    pool: TcpListener,
    ops: TcpListener,
}

impl Listeners {
    fn bind(port: u16) -> anyhow::Result<Self> {
        if port > u16::MAX - 3 {
            return Err(anyhow!("--port N takes N to N+3: write {} or less", u16::MAX - 3));
        }
        let listen = |offset, what: &str| {
            let port = if port == 0 { 0 } else { port + offset };
            bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), what)
                .context("choose other ports with --port N (N to N+3 must be free)")
        };
        Ok(Self {
            auth: listen(0, "the service")?,
            cms: listen(1, "the demo CMS")?,
            pool: listen(2, "the dev user pool")?,
            ops: listen(3, "the ops listener")?,
        })
    }

    fn ports(&self) -> std::io::Result<[u16; 4]> {
        let port = |listener: &TcpListener| listener.local_addr().map(|addr| addr.port());
        Ok([port(&self.auth)?, port(&self.cms)?, port(&self.pool)?, port(&self.ops)?])
    }
}

/// The service's configuration as environment variables.
fn variables(
    options: &DevOptions,
    [auth_port, ops_port]: [u16; 2],
    [auth_url, cms_url, pool_url, issuer]: [&str; 4],
) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = [
        ("SERVER__PUBLIC_URL", auth_url.to_owned()),
        ("SERVER__LISTEN", format!("127.0.0.1:{auth_port}")),
        ("SERVER__OPS_LISTEN", format!("127.0.0.1:{ops_port}")),
        ("PROVIDER__ISSUER", issuer.to_owned()),
        ("AWS__ENDPOINT", format!("{pool_url}/")),
        ("PROVIDER__CLIENT_ID", "dev-web-client".into()),
        ("PROVIDER__CLIENT_SECRET", "dev-web-secret".into()),
        ("PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client".into()),
        ("COOKIES__DOMAIN", PARENT.into()),
        ("COOKIES__KEYS", BASE64_URL_SAFE_NO_PAD.encode(random::<32>())),
        ("SESSION__STORE", "memory:".into()),
        ("RETURN_TO__DEFAULT", format!("{cms_url}/")),
    ]
    .map(|(key, value)| (format!("AUTH_API__{key}"), value))
    .into();
    for (name, file) in options.tls.iter().flat_map(|(cert, key)| [("CERT", cert), ("KEY", key)]) {
        env.push((format!("AUTH_API__SERVER__TLS_{name}_FILE"), file.display().to_string()));
    }
    for (key, value) in &options.configuration {
        env.retain(|(other, _)| other != key);
        env.push((key.clone(), value.clone()));
    }
    env
}

/// The database of the directory, for the CMS.
fn cms_database(url: &PostgresUrl, issuer: String) -> anyhow::Result<CmsDatabase> {
    let mut config = tokio_postgres::Config::new();
    config.user(&url.user).dbname(&url.database).application_name("demo CMS").connect_timeout(DATABASE_TIMEOUT);
    if let Some(password) = &url.password {
        config.password(password.expose_secret());
    }
    match &url.servers {
        PostgresServers::Socket(folder, port) => {
            config.host_path(folder).port(*port);
        }
        PostgresServers::Network(servers, PostgresTls::Off) => {
            for server in servers {
                config.host(&server.host).port(server.port);
            }
        }
        PostgresServers::Network(_, PostgresTls::Verified(_)) => {
            return Err(anyhow!("the demo CMS connects without TLS: take a database on this machine"));
        }
    }
    Ok(CmsDatabase { config, directory_schema: url.schema.clone(), issuer })
}

/// Identities at Google, not used yet: the first sign-in links Jane's to her account, and finds Larry's legacy id.
fn at_google() -> [PoolUser; 2] {
    let identity = |id: &str, sub: &str| PoolUser::federated("Google", id, sub).with("email_verified", "true");
    [
        identity("108347000000000000002", "54d8c4a8-20b1-70de-6b7c-0c9f3a7e5d21")
            .with("name", "Jane Doe")
            .with("email", "Jane@Example.com"),
        identity("108347000000000000003", "64a8f4d8-6031-70c2-5d1e-7e1b9c4f8a32")
            .with("name", "Larry Legacy")
            .with("email", "larry@example.com"),
    ]
}

fn tokio_listener(listener: TcpListener) -> std::io::Result<tokio::net::TcpListener> {
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}
