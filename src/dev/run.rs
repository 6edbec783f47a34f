//! `auth-api dev`.

use super::environment::{DevEnvironment, DevOptions, PARENT};
use super::own_config::OwnConfig;
use super::pool::{AppClient, IDENTITY_POOL};
use super::your_app::{self, YOUR_APP, YOUR_APP_SECRET};
use crate::config::Sources;
use crate::domain::finding::Finding;
use crate::domain::machine::SecretHash;
use crate::telemetry;
use anyhow::anyhow;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;

/// The secret of the one registered client.
const SECRET: &str = "dev-report-secret";
/// With it programs read people.
const READ_SCOPE: &str = "https://api.example.com/users.read";

/// What the command line asks for.
#[derive(Debug)]
pub struct RunOptions {
    /// The service's port.
    pub port: u16,
    /// A configuration of one's own, in place of the one with everything to try.
    pub sources: Option<Sources>,
    /// The address of a database for people.
    pub directory: Option<String>,
    /// Where another program is called back, and where it signs people out to.
    pub callbacks: Vec<String>,
    /// See `callbacks`.
    pub signouts: Vec<String>,
}

/// Starts everything, says where it is, and runs until `shutdown`.
///
/// # Errors
/// A sentence, most likely about a port that is taken; [`crate::config::Problems`] with a configuration of one's own.
pub async fn run(options: RunOptions, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let RunOptions { port, sources, directory, callbacks, signouts } = options;
    let own = sources.map(OwnConfig::adapt);
    // A filter that is wrong is reported with all other mistakes.
    let log = own.as_ref().and_then(|own| own.log.as_deref()).unwrap_or("info");
    telemetry::start(log, false, None).or_else(|_| telemetry::start("info", false, None)).map_err(|e| anyhow!(e))?;
    let client = (!callbacks.is_empty()).then(|| your_app::app_client(callbacks, signouts));
    let mut start = DevOptions { port, client: client.clone(), default_groups: "readers", ..DevOptions::default() };
    match &own {
        None => start.file = Some((PathBuf::new(), configuration())),
        Some(own) => {
            (start.file, start.configuration, start.own_configuration) = (own.file.clone(), own.env.clone(), true);
        }
    }
    if let Some(url) = &directory {
        start.configuration.push(("AUTH_API__DIRECTORY__URL".to_owned(), url.clone()));
        start.configuration.push(("AUTH_API__DIRECTORY__SCOPE".to_owned(), READ_SCOPE.to_owned()));
    }
    let environment = DevEnvironment::start(start).await?;
    if let Some(directory) = &environment.rp.directory
        && let Finding::Bad(why) = directory.probe().await
    {
        return Err(anyhow!("the database for people cannot be used: {why}"));
    }
    let mut banner = addresses_and_users(&environment);
    banner += &match &own {
        Some(own) => what_is_replaced(own),
        None => machine_token(&environment),
    };
    banner += &client.map(|client| app_client(&environment, &client)).unwrap_or_default();
    banner += match directory {
        Some(_) => people(&environment),
        None => "  Nothing is kept: Ctrl-C stops everything and forgets every session.\n\n".to_owned(),
    }
    .as_str();
    std::io::stdout().write_all(banner.as_bytes())?;
    shutdown.await;
    environment.stop().await
}

/// Everything that there is to try: a proxy on this machine, profiles, AWS credentials that open nothing, a program
/// that is registered here, and whoever has an app client of the pool.
fn configuration() -> String {
    let hash = SecretHash::of(SECRET);
    format!(
        r#"
[server]
trusted_proxies = ["127.0.0.1", "::1"]
[provider]
scopes = ["openid", "email", "profile", "aws.cognito.signin.user.admin"]
[account]
writable = ["name"]
offers = ["email", "phone_number", "authenticator_app", "passkeys", "deletion"]
[aws]
identity_pool = "{IDENTITY_POOL}"
[machine]
pass_through = true
[[machine.upstream]]
name = "reports"
client_id = "dev-machine-client"
client_secret = "dev-machine-secret"
[[machine.client]]
id = "nightly-report"
secret_hashes = ["{hash}"]
owner = "data team"
scopes = ["https://api.example.com/orders.read"]
upstream = "reports"
"#
    )
}

fn addresses_and_users(environment: &DevEnvironment) -> String {
    format!(
        "
  Open the demo CMS and sign in:   {cms}

  the demo CMS       {cms}
    its second host  {blog}
  auth-api           {auth}
    ops listener     {ops}/readyz
  dev user pool      {pool}

  users of the pool
    jane   Passw0rd!   a native user
    erin   Passw0rd!   a native user in the groups editors and admins
    larry@example.com  0ldPassw0rd   a user of the legacy system, whom the first sign-in migrates
    Gary               behind \"Continue with Google\"; who comes from a provider is in the group readers
    Jane               behind \"Continue with Google\", linked to jane at the first sign-in
    Larry              behind \"Continue with Google\", known to the legacy system: its id is in his first token
    Fay                behind \"Continue with Facebook\", without an e-mail address
    anybody            who signs up at its sign-in page; codes \"sent\" by mail are lines of this log: dev pool: code …

  To try the service with a site or a program of your own:
    your site          http://NAME.app.localhost:PORT shares the cookie; its server asks {local}/validate,
                       or a reverse proxy of yours on this machine asks {local}/validate/browser
    the pool's issuer  {issuer}, client dev-web-client, secret dev-web-secret

",
        cms = environment.cms_url,
        blog = environment.blog_url,
        auth = environment.auth_url,
        ops = environment.ops_url,
        pool = environment.pool.base_url(),
        local = local(environment),
        issuer = environment.pool.issuer(),
    )
}

/// The service, for programs that do not resolve names below localhost.
fn local(environment: &DevEnvironment) -> String {
    format!("http://127.0.0.1:{}", environment.auth_port)
}

fn machine_token(environment: &DevEnvironment) -> String {
    let local = local(environment);
    format!(
        "  A program fetches a token of its own and shows it (so does the pool's app client dev-machine-client:dev-machine-secret):
    TOKEN=$(curl -s -u nightly-report:{SECRET} -d grant_type=client_credentials {local}/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
    curl -H \"Authorization: Bearer $TOKEN\" {local}/validate

"
    )
}

fn what_is_replaced(own: &OwnConfig) -> String {
    let mut text = format!("  Your configuration runs here.\n    replaced: {}\n", own.replaced_keys.join(", "));
    if let Some(domain) = &own.domain {
        text += &format!(
            "    hosts below {domain} are below {PARENT} here: the rules for wiki.{domain} hold for wiki.{PARENT}\n"
        );
    }
    text + "    erin is in every group that it names\n\n"
}

fn people(environment: &DevEnvironment) -> String {
    let local = local(environment);
    format!(
        "  People and comments are kept in your database; Ctrl-C stops everything and forgets every session.
    the CMS lists people   {cms}people
    a program reads them   TOKEN=$(curl -s -u dev-machine-client:dev-machine-secret -d grant_type=client_credentials -d scope={READ_SCOPE} {local}/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
                           curl -H \"Authorization: Bearer $TOKEN\" \"{local}/users?email=jane@example.com\"

",
        cms = environment.cms_url.trim_end_matches('/').to_owned() + "/",
    )
}

/// What the other program is configured with.
fn app_client(environment: &DevEnvironment, client: &AppClient) -> String {
    let pool = environment.pool.base_url();
    let signed_out = client.logout_urls.first().map_or_else(
        || format!("{pool}/logout?client_id={YOUR_APP}&logout_uri=… (name one with --signout)"),
        |url| format!("{pool}/logout?client_id={YOUR_APP}&logout_uri={}", utf8_percent_encode(url, NON_ALPHANUMERIC)),
    );
    format!(
        "  Your own program has the pool for its Cognito:
    issuer         {issuer}
    discovery      {issuer}/.well-known/openid-configuration
    client id      {YOUR_APP}
    client secret  {YOUR_APP_SECRET}
    called back    {callbacks}
    sign-out       {signed_out}

",
        issuer = environment.pool.issuer(),
        callbacks = client.callback_urls.join(" "),
    )
}
