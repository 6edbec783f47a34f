//! The service and the dev pool as processes of their own, and people who sign in there.

#![allow(dead_code, reason = "each benchmark uses a part")]
#![expect(clippy::print_stdout, reason = "a server says where it is")]

use super::driver::Server;
use super::http::{Connection, Cookies};
use anyhow::{Context, ensure};
use auth_api::app::{self, App};
use auth_api::config::{ListenAddress, Sources, load};
use auth_api::dev::pool::{PoolSettings, PoolUser, UserPool};
use auth_api::domain::clock::SystemClock;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use tokio::task::JoinSet;

pub const HOST: &str = "auth-api.app.localhost";
/// How many people do something at once.
const AT_ONCE: usize = 8;
/// People, each with a session or none: a user with many would be another measurement.
const USERS: usize = 1_000;
const PASSWORD: &str = "Passw0rd!";

/// The pool or the service, until standard input closes, after a line of JSON that says where.
pub fn serve(arguments: &[String]) -> anyhow::Result<()> {
    let runtime = app::runtime().worker_threads(1).build()?;
    match arguments {
        [what, public_url] if what == "pool" => runtime.block_on(serve_pool(public_url)),
        _ => runtime.block_on(serve_ours(&arguments[1..])),
    }
}

async fn serve_pool(public_url: &str) -> anyhow::Result<()> {
    let mut settings = PoolSettings::for_service(public_url);
    settings.users.extend((0..USERS).map(|nth| {
        let sub = format!("{nth:08x}-3091-70e2-9c1f-5a0f7d2e6b13");
        let user = PoolUser::native(&format!("user{nth}"), PASSWORD, &sub).in_group("editors");
        user.with("email", &format!("user{nth}@example.com")).with("email_verified", "true").with("name", "Jane Doe")
    }));
    let pool = UserPool::start(settings).await?;
    println!("{}", serde_json::json!({ "port": pool.addr().port(), "issuer": pool.issuer() }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

async fn serve_ours(configuration: &[String]) -> anyhow::Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let pairs = configuration.iter().filter_map(|pair| pair.split_once('='));
    let env = pairs.map(|(key, value)| (format!("AUTH_API__{key}"), value.to_owned())).collect();
    let config = load(Sources { file: None, env }).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let app = App::build(&config, Arc::new(SystemClock))?;
    let ListenAddress::Ip(address) = config.server.listen else { anyhow::bail!("the benchmark asks over TCP") };
    let listener = TcpListener::bind(address)?;
    println!("{}", serde_json::json!({ "port": listener.local_addr()?.port() }));
    let stop = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    Ok(app.shedding_load().serve(listener.into(), None, async { drop(stop.await) }).await?)
}

/// The service and its pool.
pub struct Site {
    pub service: Server,
    pub pool: Server,
    configuration: Vec<String>,
    /// The hosted UI's sessions of all users: they have signed in there.
    pub at_pool: Vec<Cookies>,
}

impl Site {
    pub async fn start(store: &str) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let url = format!("http://{HOST}:{port}");
        let pool = Server::start_nice(1, "pool", std::slice::from_ref(&url))?;
        let configuration = [
            ("SERVER__PUBLIC_URL", url.as_str()),
            ("SERVER__LISTEN", &format!("127.0.0.1:{port}")),
            ("PROVIDER__ISSUER", pool.said["issuer"].as_str().context("an issuer")?),
            ("PROVIDER__CLIENT_ID", "dev-web-client"),
            ("PROVIDER__CLIENT_SECRET", "dev-web-secret"),
            ("PROVIDER__REQUESTS_PER_SECOND", "100000"),
            ("COOKIES__DOMAIN", "app.localhost"),
            ("COOKIES__KEYS", "0123456789 of a key for the benchmark 9876543210"),
            ("SESSION__STORE", store),
        ];
        let configuration: Vec<_> = configuration.map(|(key, value)| format!("{key}={value}")).into();
        let service = Server::start("ours", &configuration)?;
        let mut site = Self { service, pool, configuration, at_pool: vec![] };
        for nth in 0..USERS {
            site.at_pool.push(site.log_in(nth).await?);
        }
        Ok(site)
    }

    /// A further process of the service, on a port that nobody asks.
    pub fn start_another(&self) -> anyhow::Result<Server> {
        let own = [self.configuration.clone(), vec!["SERVER__LISTEN=127.0.0.1:0".into()]].concat();
        Server::start("ours", &own)
    }

    /// All users, signed in nowhere but at the pool.
    pub fn people(&self) -> Vec<Person> {
        self.at_pool.iter().map(|at_pool| Person { at_pool: at_pool.clone(), ..Person::default() }).collect()
    }

    pub async fn to_service(&self) -> anyhow::Result<Connection> {
        Connection::open(HOST, self.service.port()?).await
    }

    pub async fn to_pool(&self) -> anyhow::Result<Connection> {
        Connection::open("127.0.0.1", self.pool.port()?).await
    }

    /// With the password, once: from then on the pool sends back at once.
    async fn log_in(&self, nth: usize) -> anyhow::Result<Cookies> {
        let (mut service, mut pool) = (self.to_service().await?, self.to_pool().await?);
        let mut cookies = Cookies::default();
        let authorize = service.ask("/auth/signin", &cookies, None).await?.location()?;
        let login = pool.ask(&authorize, &cookies, None).await?.location()?;
        let page = pool.ask(&login, &cookies, None).await?;
        cookies.take(&page);
        let csrf = page.body.split("name=\"_csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let form = format!("_csrf={}&username=user{nth}&password={PASSWORD}", csrf.context("a form")?);
        let answer = pool.ask(&login, &cookies, Some(&form)).await?;
        cookies.take(&answer);
        ensure!(answer.location()?.contains("/auth/signin/callback"), "no sign-in: {answer:?}");
        Ok(cookies)
    }

    /// Everybody takes a step, some at once.
    pub async fn all_take(&self, mut people: Vec<Person>, step: Step) -> anyhow::Result<Vec<Person>> {
        let (mut groups, part) = (JoinSet::new(), people.len().div_ceil(AT_ONCE));
        while !people.is_empty() {
            let mut group = people.split_off(people.len().saturating_sub(part));
            let (mut service, mut pool) = (self.to_service().await?, self.to_pool().await?);
            groups.spawn(async move {
                for person in &mut group {
                    person.take(step, &mut service, &mut pool).await?;
                }
                anyhow::Ok(group)
            });
        }
        while let Some(group) = groups.join_next().await {
            people.extend(group??);
        }
        Ok(people)
    }
}

/// What is asked of the service, or of the pool, in the order in which a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Start,
    Authorize,
    Callback,
    Validate,
    ValidateAgain,
    Renew,
    SignOut,
}

pub const STEPS: [(Step, &str); 7] = [
    (Step::Start, "start: GET /auth/signin"),
    (Step::Authorize, "(at the pool)"),
    (Step::Callback, "GET /auth/signin/callback"),
    (Step::Validate, "first GET /validate"),
    (Step::ValidateAgain, "next GET /validate"),
    (Step::Renew, "POST /refresh?force=true"),
    (Step::SignOut, "POST /auth/signout"),
];

/// Somebody on the way.
#[derive(Debug, Default)]
pub struct Person {
    pub cookies: Cookies,
    pub at_pool: Cookies,
    pub next: String,
}

impl Person {
    pub async fn take(&mut self, step: Step, service: &mut Connection, pool: &mut Connection) -> anyhow::Result<()> {
        let (path, form, class) = match step {
            Step::Start => ("/auth/signin", None, 3),
            Step::Authorize => {
                self.next = pool.ask(&self.next, &self.at_pool, None).await?.location()?;
                return Ok(());
            }
            Step::Callback => (self.next.as_str(), None, 3),
            Step::Validate | Step::ValidateAgain => ("/validate", None, 2),
            Step::Renew => ("/refresh?force=true", Some(""), 2),
            Step::SignOut => ("/auth/signout", Some(""), 3),
        };
        let answer = service.ask(path, &self.cookies, form).await?;
        ensure!(answer.status / 100 == class, "{step:?}: {answer:?}");
        self.cookies.take(&answer);
        self.next = answer.headers("location").next().unwrap_or_default().to_owned();
        Ok(())
    }
}
