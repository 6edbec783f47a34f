//! What the benchmarks ask with.

#![allow(dead_code, reason = "each benchmark uses a part")]

use auth_api::dev::environment::DevEnvironment;
use auth_api::domain::session::{Device, Session, SignInContext};
use auth_api::domain::token::{TokenIds, TokenMetadata, TokenSet};
use auth_api::store::OpenedSession;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use std::time::Duration;

/// The app client that the service is for.
pub const CLIENT: &str = "dev-web-client";
const SCOPES: [&str; 3] = ["openid", "email", "profile"];

/// An access token that no other one equals.
pub fn bearer(world: &DevEnvironment, username: &str) -> String {
    world.pool.mint_access_token(CLIENT, username, &SCOPES)
}

/// A session of `username` as a sign-in leaves it.
pub async fn session(world: &DevEnvironment, username: &str) -> anyhow::Result<(Session, TokenSet)> {
    let (access, id) = (bearer(world, username), world.pool.mint_id_token(CLIENT, username));
    let mut principal = world.rp.provider.verify_bearer(&id, None).await?.principal;
    principal.scopes = SCOPES.map(str::to_owned).into();
    let now = world.rp.clock.now();
    let token_set = TokenSet { access: access.into(), id: id.into(), refresh: None };
    let tokens = TokenMetadata {
        expires_at: principal.expires_at,
        renewable: false,
        ids: TokenIds::default(),
        provider_session: None,
    };
    let sign_in = SignInContext {
        tag: String::new(),
        return_to: world.rp.rules().return_to.choose(None),
        device: Device::default(),
    };
    let session = Session {
        tokens,
        principal,
        sign_in,
        started: now,
        renewed: now,
        ends: now + Duration::from_secs(86_400),
        version: 1,
        refresh_version: 1,
    };
    Ok((session, token_set))
}

/// The `Cookie` line of a session that is stored.
pub fn cookie_of(live: &OpenedSession) -> String {
    format!("auth={}", BASE64_URL_SAFE_NO_PAD.encode(live.id.as_bytes()))
}

/// The `Cookie` line of a new session of `username`.
pub async fn cookie(world: &DevEnvironment, username: &str) -> anyhow::Result<String> {
    let (session, tokens) = session(world, username).await?;
    Ok(cookie_of(&*world.rp.sessions.create(session, tokens).await?))
}

/// Signs in at a page that a client of the dev pool protects, and returns the `Cookie` line for it.
pub fn sign_in_at(page: &str) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let jar = std::sync::Arc::new(reqwest::cookie::Jar::default());
    runtime.block_on(async {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        #[expect(clippy::disallowed_methods, reason = "the rule is for the service")]
        let builder = reqwest::Client::builder();
        let browser = builder.cookie_provider(jar.clone()).tls_certs_only([]).no_proxy().build()?;
        let form = browser.get(page).send().await?.error_for_status()?;
        let (url, text) = (form.url().clone(), form.text().await?);
        let csrf = text.split("name=\"_csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        let fields = [("_csrf", csrf.unwrap_or_default()), ("username", "erin"), ("password", "Passw0rd!")];
        let landed = browser.post(url).form(&fields).send().await?.error_for_status()?;
        anyhow::ensure!(landed.url().as_str() == page, "the sign-in ended at {}", landed.url());
        let cookies = reqwest::cookie::CookieStore::cookies(&*jar, landed.url());
        Ok(cookies.map(|cookies| cookies.to_str().map(str::to_owned)).transpose()?.unwrap_or_default())
    })
}
