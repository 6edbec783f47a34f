//! `auth-api dev`.

use super::environment::{DevEnvironment, DevOptions};
use super::pool::IDENTITY_POOL;
use crate::domain::machine::SecretHash;
use crate::telemetry;
use anyhow::anyhow;
use std::future::Future;
use std::io::Write;

/// The secret of the one registered client.
const SECRET: &str = "dev-report-secret";

/// Starts everything, says where it is, and runs until `shutdown`.
///
/// # Errors
/// A sentence, most likely about a port that is taken.
pub async fn run(port: u16, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    telemetry::start("info", false).map_err(|e| anyhow!(e))?;
    let environment =
        DevEnvironment::start(DevOptions { port, text: Some(configuration()), ..DevOptions::default() }).await?;
    std::io::stdout().write_all(startup_banner(&environment).as_bytes())?;
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

fn startup_banner(environment: &DevEnvironment) -> String {
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
    Gary               behind \"Continue with Google\"
    Jane               behind \"Continue with Google\", linked to jane at the first sign-in
    Fay                behind \"Continue with Facebook\", without an e-mail address
    anybody            who signs up at its sign-in page; codes \"sent\" by mail are lines of this log: dev pool: code …

  To try the service with a site or a program of your own:
    your site          http://NAME.app.localhost:PORT shares the cookie; its server asks {local}/validate,
                       or a reverse proxy of yours on this machine asks {local}/validate/browser
    the pool's issuer  {issuer}, client dev-web-client, secret dev-web-secret

  A program fetches a token of its own and shows it (so does the pool's app client dev-machine-client:dev-machine-secret):
    TOKEN=$(curl -s -u nightly-report:{SECRET} -d grant_type=client_credentials {local}/token | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')
    curl -H \"Authorization: Bearer $TOKEN\" {local}/validate

  Nothing is kept: Ctrl-C stops everything and forgets every session.

",
        cms = environment.cms_url,
        blog = environment.blog_url,
        auth = environment.auth_url,
        ops = environment.ops_url,
        pool = environment.pool.base_url(),
        local = environment.auth_url.replace("auth-api.app.localhost", "127.0.0.1"),
        issuer = environment.pool.issuer(),
    )
}
