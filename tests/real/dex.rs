//! Dex, as `src/guide/dex.md` sets it up.

use super::steps::{Tokens, bearer, renew, tokens};
use super::{guides, installed};
use crate::support::{Answer, Browser, Site, free_port, param, until};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;
use url::Url;

const GUIDE: &str = include_str!("../../src/guide/dex.md");

/// The provider's process, and a service that trusts it.
struct Pair {
    child: Child,
    issuer: String,
    site: Site,
    _folder: TempDir,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pair {
    /// Each has to know the other's address before it starts, so the service is first,
    /// and the port can be lost meanwhile: once more.
    async fn start() -> Self {
        let program = installed("Dex", "dex/.bin/dex");
        for _ in 0..5 {
            let listen = format!("127.0.0.1:{}", free_port());
            let issuer = format!("http://{listen}/dex");
            let site = guides::site(GUIDE, &[], &issuer, |client| format!("secret-of-{client}")).await;
            let config = include_str!("dex/config.json").replace("ISSUER", &issuer).replace("LISTEN", &listen);
            let config = config.replace("https://auth-api.example.com", &site.auth_url);
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("config.json");
            std::fs::write(&file, config).unwrap();
            let program = program.clone();
            if let Some(child) = tokio::task::spawn_blocking(move || launch(&program, &file)).await.unwrap() {
                let pair = Self { child, issuer, site, _folder: folder };
                until("it is read", async || pair.site.rp.provider.renew_metadata().await.is_ok()).await;
                return pair;
            }
        }
        panic!("Dex does not start");
    }

    /// From `/auth/signin` through Dex's form, up to the answer of our callback.
    async fn sign_in(&self, browser: &Browser, user: &str) -> Answer {
        let mut next = browser.get(&self.site.auth("/auth/signin")).await.location();
        assert!(next.starts_with(&format!("{}/auth?", self.issuer)), "{next}");
        assert_eq!(param(&next, "code_challenge_method").unwrap(), "S256");
        for _ in 0..6 {
            if next.starts_with(&self.site.auth("/auth/signin/callback?")) {
                return browser.get(&next).await;
            }
            let page = browser.get(&next).await;
            next = match page.status {
                200 => {
                    let action = page.between("action=\"", "\"").replace("&amp;", "&");
                    let action = Url::parse(&next).unwrap().join(&action).unwrap();
                    let login = format!("{user}@example.com");
                    browser.post(action.as_str(), &[("login", &login), ("password", "Passw0rd!")]).await.location()
                }
                _ => page.location(),
            };
        }
        panic!("Dex does not let {user} through: {next}");
    }

    async fn signed_in(&self, user: &str) -> Browser {
        let browser = Browser::new();
        let landed = self.sign_in(&browser, user).await;
        assert_eq!(landed.status, 302, "{landed:?}");
        browser
    }
}

/// `None` if it could not have its port.
fn launch(program: &Path, config: &Path) -> Option<Child> {
    let mut command = Command::new(program);
    command.arg("serve").arg(config).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let up = log.any(|line| line.contains("listening on"));
    // Read on and on: a process whose log nobody reads stands still.
    std::thread::spawn(move || log.for_each(drop));
    if !up {
        let _ = child.wait();
    }
    up.then_some(child)
}

#[tokio::test]
#[ignore = "needs dex"]
async fn people_sign_in_at_dex_and_are_known_by_its_claims() {
    let pair = Pair::start().await;
    let me = pair.signed_in("erin").await.validate(&pair.site).await;
    let json = me.json();
    for (claim, value) in
        [("kind", "user"), ("username", "erin"), ("email", "erin@example.com"), ("client_id", "auth-api")]
    {
        assert_eq!(json[claim], value, "{json:#}");
    }
    assert_eq!(json["groups"], serde_json::json!(["editors", "admins"]));
    assert_eq!(me.header("x-auth-email"), Some("erin@example.com"));
    let jane = pair.signed_in("jane").await;
    assert_eq!(jane.validate(&pair.site).await.header("x-auth-email"), Some(""), "nobody verified it");
    assert_eq!(jane.get(&pair.site.auth("/validate?group=editors")).await.status, 403);
}

#[tokio::test]
#[ignore = "needs dex"]
async fn it_offers_no_logout_no_revocation_and_no_tokens_for_programs() {
    let pair = Pair::start().await;
    let offered = Browser::new().get(&format!("{}/.well-known/openid-configuration", pair.issuer)).await.json();
    for endpoint in ["end_session_endpoint", "revocation_endpoint"] {
        assert!(offered.get(endpoint).is_none(), "{offered:#}");
    }
    assert!(!offered["grant_types_supported"].to_string().contains("client_credentials"), "{offered:#}");
}

#[tokio::test]
#[ignore = "needs dex"]
async fn a_session_is_renewed_with_refresh_tokens_that_rotate() {
    let pair = Pair::start().await;
    let erin = pair.signed_in("erin").await;
    let mut shown = vec![tokens(&pair.site, &erin).await.refresh];
    for _ in 0..3 {
        let renewed = renew(&pair.site, &erin).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        assert_eq!(renewed.json()["groups"], serde_json::json!(["editors", "admins"]));
        let token = tokens(&pair.site, &erin).await.refresh;
        assert!(!shown.contains(&token), "a new refresh token each time");
        shown.push(token);
    }
}

#[tokio::test]
#[ignore = "needs dex"]
async fn both_tokens_are_bearers_of_the_user_until_the_sign_out() {
    let pair = Pair::start().await;
    let erin = pair.signed_in("erin").await;
    let me = erin.validate(&pair.site).await.json();
    let Tokens { access, id, refresh } = tokens(&pair.site, &erin).await;
    for token in [&access, &id] {
        let known = bearer(&pair.site, token).await;
        assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("user")), "{known:?}");
        assert_eq!((&known.json()["sub"], &known.json()["groups"]), (&me["sub"], &me["groups"]));
    }
    assert_eq!(bearer(&pair.site, &refresh).await.status, 401);

    let leaving = erin.post(&pair.site.auth("/auth/signout"), &[]).await;
    assert_eq!(leaving.status, 303);
    let page = erin.get(&leaving.location()).await;
    assert!(page.status == 200 && page.body.contains("You are signed out"), "{page:?}");
    for token in [&access, &id] {
        assert_eq!(bearer(&pair.site, token).await.status, 401);
    }
    let landed = pair.sign_in(&erin, "jane").await;
    assert_eq!(landed.status, 302, "it asked who it is");
    assert_eq!(erin.validate(&pair.site).await.json()["username"], "jane");
}
