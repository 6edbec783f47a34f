//! Django OAuth Toolkit, as `src/guide/django-oauth-toolkit.md` sets it up.

use super::steps::{self, bearer, ends_at_its_renewal, renew, tokens};
use super::{below, guides, installed};
use crate::support::{Answer, Browser, Site, param};
use reqwest::Method;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use url::Url;

const GUIDE: &str = include_str!("../../src/guide/django-oauth-toolkit.md");

/// The guide's block of configuration for programs.
const PROGRAMS: usize = 1;

/// The provider's process, and a service that trusts it.
struct Pair {
    child: Child,
    issuer: String,
    site: Site,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Pair {
    async fn start() -> Self {
        let python = installed("Django OAuth Toolkit", "django/.venv/bin/python");
        // The provider says its address first and learns the service's afterwards: each needs the other's.
        let (mut child, mut said, issuer) = tokio::task::spawn_blocking(move || launch(&python)).await.unwrap();
        let site = guides::site(GUIDE, &[PROGRAMS], &issuer, |client| format!("secret-of-{client}")).await;
        writeln!(child.stdin.as_mut().unwrap(), "{}", site.auth_url).unwrap();
        let ready = tokio::task::spawn_blocking(move || said.next().unwrap().unwrap()).await.unwrap();
        assert_eq!(ready, "ready");
        Self { child, issuer, site }
    }

    /// From `/auth/signin` through Django's form, up to the answer of our callback.
    async fn sign_in(&self, browser: &Browser, user: &str) -> Answer {
        let authorize = browser.get(&self.site.auth("/auth/signin")).await.location();
        assert!(authorize.starts_with(&format!("{}/authorize/?", self.issuer)), "{authorize}");
        assert_eq!(param(&authorize, "code_challenge_method").unwrap(), "S256");
        let login = browser.get(&authorize).await.location();
        let page = browser.get(&login).await;
        let token = page.between("name=\"csrfmiddlewaretoken\" value=\"", "\"");
        let form = [("csrfmiddlewaretoken", token.as_str()), ("username", user), ("password", "Passw0rd!")];
        let authorize = browser.post(&login, &form).await.location();
        let callback = browser.get(&authorize).await.location();
        assert!(callback.starts_with(&self.site.auth("/auth/signin/callback?")), "{callback}");
        browser.get(&callback).await
    }

    async fn signed_in(&self, user: &str) -> Browser {
        let browser = Browser::new();
        let landed = self.sign_in(&browser, user).await;
        assert_eq!(landed.status, 302, "{landed:?}");
        browser
    }

    /// Shows a refresh token to the provider itself.
    async fn redeem(&self, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let shape = |r: reqwest::RequestBuilder| r.basic_auth("auth-api", Some("secret-of-auth-api")).form(&form);
        Browser::new().send(Method::POST, &format!("{}/token/", self.issuer), shape).await
    }
}

fn launch(python: &Path) -> (Child, Lines<BufReader<ChildStdout>>, String) {
    let mut child = Command::new(python)
        .args(["provider.py", "../../../src/guide/django-oauth-toolkit.md"])
        .env_clear()
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(below("django"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let issuer = said.next().expect("provider.py says where it is").unwrap();
    (child, said, issuer)
}

#[tokio::test]
#[ignore = "needs django"]
async fn people_sign_in_at_django_and_are_known_by_its_claims() {
    let pair = Pair::start().await;
    let me = pair.signed_in("erin").await.validate(&pair.site).await;
    let json = me.json();
    for (claim, value) in
        [("kind", "user"), ("username", "erin"), ("name", "Erin Editor"), ("email", "erin@example.com")]
    {
        assert_eq!(json[claim], value, "{json:#}");
    }
    assert_eq!(json["groups"], serde_json::json!(["editors", "admins"]));
    assert_eq!((&json["email_verified"], me.header("x-auth-email")), (&false.into(), Some("")));
    let jane = pair.signed_in("jane").await;
    assert_eq!(jane.get(&pair.site.auth("/validate?group=editors")).await.status, 403);
}

#[tokio::test]
#[ignore = "needs django"]
async fn a_session_is_renewed_with_refresh_tokens_that_rotate() {
    let pair = Pair::start().await;
    let erin = pair.signed_in("erin").await;
    let mut shown = vec![tokens(&pair.site, &erin).await.refresh];
    for _ in 0..2 {
        let renewed = renew(&pair.site, &erin).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        assert_eq!(renewed.json()["groups"], serde_json::json!(["editors", "admins"]));
        let token = tokens(&pair.site, &erin).await.refresh;
        assert!(!shown.contains(&token), "a new refresh token each time");
        shown.push(token);
    }
    // Somebody shows a used one: the whole family is withdrawn.
    assert_eq!(pair.redeem(&shown[0]).await.json()["error"], "invalid_grant");
    ends_at_its_renewal(&pair.site, &erin).await;
}

#[tokio::test]
#[ignore = "needs django"]
async fn bearers_are_id_tokens_and_the_sign_out_ends_at_django() {
    let pair = Pair::start().await;
    let erin = pair.signed_in("erin").await;
    let hers = tokens(&pair.site, &erin).await;
    let known = bearer(&pair.site, &hers.id).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("user")), "{known:?}");
    assert_eq!(bearer(&pair.site, &hers.access).await.status, 401, "nobody can judge it here");

    let leaving = erin.post(&pair.site.auth("/auth/signout"), &[]).await;
    assert_eq!(leaving.status, 303);
    assert_eq!(bearer(&pair.site, &hers.id).await.status, 401);
    assert_eq!(pair.redeem(&hers.refresh).await.json()["error"], "invalid_grant", "revoked already");
    let logout = leaving.location();
    assert!(logout.starts_with(&format!("{}/logout/?", pair.issuer)), "{logout}");
    let back = erin.get(&logout).await.location();
    assert_eq!(Url::parse(&back).unwrap(), Url::parse(&pair.site.auth("/auth/signout/callback")).unwrap());
    assert!(erin.get(&back).await.body.contains("You are signed out"));
    let landed = pair.sign_in(&erin, "jane").await;
    assert_eq!(landed.status, 302, "it asked who it is");
}

#[tokio::test]
#[ignore = "needs django"]
async fn programs_get_introspect_and_revoke_opaque_tokens() {
    let pair = Pair::start().await;
    steps::a_programs_token_is_known_until_it_is_revoked(&pair.site, "reports.read").await;
}
