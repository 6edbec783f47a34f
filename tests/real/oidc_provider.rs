//! The npm package `oidc-provider`, as `src/guide/oidc-provider.md` sets it up.

use super::{below, component, guides, installed, steps};
use crate::support::{Answer, Browser, Site, param, until};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const GUIDE: &str = include_str!("../../src/guide/oidc-provider.md");

/// The guide's block of configuration for programs.
const PROGRAMS: usize = 1;

const CLIENT: &str = "auth-api";
const SECRET: &str = "a+secret/with=odd%characters:in it";

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
        Self::with(&[]).await
    }

    /// With these blocks of the guide's configuration after the first.
    async fn with(also: &[usize]) -> Self {
        installed("oidc-provider", "oidc-provider/node_modules/oidc-provider");
        let (node, folder) = (component("node"), below("oidc-provider"));
        // The provider says its address first and learns the service's afterwards: each needs the other's.
        let (mut child, issuer) = tokio::task::spawn_blocking(move || launch(&node, &folder)).await.unwrap();
        let secret = |client: &str| if client == CLIENT { SECRET.to_owned() } else { format!("secret-of-{client}") };
        let site = guides::site(GUIDE, also, &issuer, secret).await;
        writeln!(child.stdin.as_mut().unwrap(), "{}", site.auth_url).unwrap();
        Self { child, issuer, site }
    }

    /// From `/auth/signin` through the provider's two forms, up to the address of our callback.
    async fn to_callback(&self, browser: &Browser, login: &str) -> String {
        let wanted = format!("{}/articles/one-cookie?page=2", self.site.cms_url);
        let encoded: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
        let mut next = browser.get(&self.site.auth(&format!("/auth/signin?return_to={encoded}"))).await.location();
        assert!(next.starts_with(&format!("{}/auth?", self.issuer)), "{next}");
        assert_eq!(param(&next, "code_challenge_method").unwrap(), "S256");
        // Sign in, resume, consent, resume.
        for _ in 0..8 {
            if next.starts_with(&self.site.auth("/auth/signin/callback")) {
                return next;
            }
            let page = browser.get(&next).await;
            next = match page.status {
                200 => {
                    let prompt = page.between("name=\"prompt\" value=\"", "\"");
                    let form = [("prompt", prompt.as_str()), ("login", login), ("password", "any")];
                    let fields = if prompt == "login" { &form[..] } else { &form[..1] };
                    browser.post(&page.between("action=\"", "\""), fields).await.location()
                }
                _ => page.location(),
            };
        }
        panic!("the provider does not let {login} through: {next}");
    }

    async fn sign_in(&self, browser: &Browser, login: &str) -> Answer {
        let callback = self.to_callback(browser, login).await;
        browser.get(&callback).await
    }

    /// The refresh token that the browser's session holds.
    async fn refresh_token(&self, browser: &Browser) -> String {
        steps::tokens(&self.site, browser).await.refresh
    }

    /// Shows a refresh token to the provider itself.
    async fn redeem(&self, token: &str) -> Answer {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let (id, secret) = (encode(CLIENT), encode(SECRET));
        let url = format!("{}/token", self.issuer);
        Browser::new().send(reqwest::Method::POST, &url, |r| r.basic_auth(id, Some(secret)).form(&form)).await
    }
}

fn launch(node: &Path, folder: &Path) -> (Child, String) {
    let mut child = Command::new(node)
        .arg("server.mjs")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut issuer = String::new();
    // Nothing more is ever printed, so the pipe may close.
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut issuer).unwrap();
    (child, issuer.trim_end().to_owned())
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn people_sign_in_at_another_provider_and_are_known_by_its_claims() {
    let pair = Pair::start().await;
    let browser = Browser::new();
    let landed = pair.sign_in(&browser, "erin").await;
    assert_eq!(landed.status, 302, "{landed:?}");
    assert_eq!(landed.location(), format!("{}/articles/one-cookie?page=2", pair.site.cms_url));
    let me = browser.validate(&pair.site).await;
    assert_eq!(me.status, 200);
    let json = me.json();
    for (claim, value) in
        [("sub", "erin"), ("username", "erin"), ("name", "Erin Editor"), ("email", "erin@example.com")]
    {
        assert_eq!(json[claim], value, "{json:#}");
    }
    assert_eq!(json["email_verified"], true);
    assert_eq!(json["groups"], serde_json::json!(["editors", "admins"]));
    assert_eq!(json["client_id"], CLIENT);
    assert_eq!(me.header("x-auth-email"), Some("erin@example.com"));
    assert_eq!(me.header("x-auth-groups"), Some("editors,admins"));
    assert_eq!(browser.get(&pair.site.auth("/validate?group=editors")).await.status, 200);

    // Fewer claims: no user name of her own, no groups, an address nobody checked.
    let jane = Browser::new();
    pair.sign_in(&jane, "jane").await;
    let me = jane.validate(&pair.site).await;
    assert_eq!(me.json()["username"], "jane", "the subject stands in");
    assert_eq!(me.header("x-auth-email"), Some(""));
    assert_eq!(jane.get(&pair.site.auth("/validate?group=editors")).await.status, 403);
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn a_callback_of_another_provider_works_once_and_in_one_browser() {
    let pair = Pair::start().await;
    let (browser, stranger) = (Browser::new(), Browser::new());
    let callback = pair.to_callback(&browser, "erin").await;
    assert_eq!(param(&callback, "iss").as_deref(), Some(pair.issuer.as_str()), "RFC 9207");
    assert_eq!(stranger.get(&callback).await.status, 400);
    let other_issuer = callback.replace("iss=http", "iss=https");
    assert_eq!(browser.get(&other_issuer).await.status, 400, "an answer of another provider");
    assert_eq!(browser.validate(&pair.site).await.status, 401);

    let callback = pair.to_callback(&browser, "erin").await;
    let landed = browser.get(&callback).await;
    let before = browser.cookies(&pair.site.cms_url);
    let again = browser.get(&callback).await;
    assert_eq!((again.status, again.location()), (302, landed.location()));
    assert_eq!(browser.cookies(&pair.site.cms_url), before, "the session is the same");
    assert_eq!(stranger.get(&callback).await.status, 400);
    // Spending a code twice would have made the provider withdraw the grant.
    assert_eq!(pair.redeem(&pair.refresh_token(&browser).await).await.status, 200);
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn a_session_is_renewed_with_refresh_tokens_that_rotate() {
    let pair = Pair::start().await;
    let browser = Browser::new();
    pair.sign_in(&browser, "erin").await;
    let mut tokens = vec![pair.refresh_token(&browser).await];
    for _ in 0..2 {
        let renewed = steps::renew(&pair.site, &browser).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        assert_eq!(renewed.json()["groups"], serde_json::json!(["editors", "admins"]));
        let token = pair.refresh_token(&browser).await;
        assert!(!tokens.contains(&token), "a new refresh token each time");
        tokens.push(token);
    }
    // Somebody shows a used one: the provider withdraws the grant, and with it our session at its next renewal.
    assert_eq!(pair.redeem(&tokens[0]).await.json()["error"], "invalid_grant");
    steps::ends_at_its_renewal(&pair.site, &browser).await;
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn bearers_of_a_user_are_id_tokens() {
    let pair = Pair::start().await;
    let browser = Browser::new();
    pair.sign_in(&browser, "erin").await;
    let hers = steps::tokens(&pair.site, &browser).await;
    let known = steps::bearer(&pair.site, &hers.id).await;
    assert_eq!((known.status, known.header("x-auth-kind")), (200, Some("user")), "{known:?}");
    assert_eq!(known.header("x-auth-groups"), Some("editors,admins"));
    assert_eq!(steps::bearer(&pair.site, &hers.access).await.status, 401, "nobody can judge it here");
    assert_eq!(browser.post(&pair.site.auth("/auth/signout"), &[]).await.status, 303);
    assert_eq!(steps::bearer(&pair.site, &hers.id).await.status, 401);
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn programs_get_introspect_and_revoke_opaque_tokens() {
    let pair = Pair::with(&[PROGRAMS]).await;
    steps::a_programs_token_is_known_until_it_is_revoked(&pair.site, "reports.read").await;
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn signing_out_ends_at_the_provider_s_logout_and_comes_back() {
    let pair = Pair::start().await;
    let browser = Browser::new();
    pair.sign_in(&browser, "erin").await;
    let token = pair.refresh_token(&browser).await;
    let leaving = browser.post(&pair.site.auth("/auth/signout"), &[]).await;
    assert_eq!(leaving.status, 303);
    assert_eq!(browser.validate(&pair.site).await.status, 401);
    assert_eq!(pair.redeem(&token).await.json()["error"], "invalid_grant", "revoked already");

    // OpenID Connect RP-Initiated Logout 1.0.
    let logout = leaving.location();
    assert!(logout.starts_with(&format!("{}/session/end?", pair.issuer)), "{logout}");
    let back = pair.site.auth("/auth/signout/callback");
    assert_eq!(param(&logout, "post_logout_redirect_uri").as_ref(), Some(&back));
    assert_eq!(param(&logout, "id_token_hint").unwrap().split('.').count(), 3);
    let question = browser.get(&logout).await;
    assert_eq!(question.status, 200, "{question:?}");
    let xsrf = question.between("name=\"xsrf\" value=\"", "\"");
    let confirm = question.between("action=\"", "\"");
    let done = browser.post(&confirm, &[("xsrf", xsrf.as_str()), ("logout", "yes")]).await;
    assert_eq!(done.location(), back);
    let page = browser.get(&back).await;
    assert!(page.status == 200 && page.body.contains("You are signed out"), "{page:?}");

    // And the provider asks for a password again.
    let authorize = browser.get(&pair.site.auth("/auth/signin")).await.location();
    let interaction = browser.get(&authorize).await.location();
    assert!(browser.get(&interaction).await.body.contains("name=\"password\""));
}

#[tokio::test]
#[ignore = "needs oidc-provider"]
async fn a_sign_out_at_the_provider_ends_the_session_here() {
    let pair = Pair::start().await;
    let (erin, other, jane) = (Browser::new(), Browser::new(), Browser::new());
    for (browser, login) in [(&erin, "erin"), (&other, "erin"), (&jane, "jane")] {
        pair.sign_in(browser, login).await;
        assert_eq!(browser.validate(&pair.site).await.status, 200);
    }
    // Not through us: at the provider itself, which tells us (OpenID Connect Back-Channel Logout 1.0).
    let question = erin.get(&format!("{}/session/end", pair.issuer)).await;
    assert_eq!(question.status, 200, "{question:?}");
    let (xsrf, confirm) = (question.between("name=\"xsrf\" value=\"", "\""), question.between("action=\"", "\""));
    let done = erin.post(&confirm, &[("xsrf", xsrf.as_str()), ("logout", "yes")]).await;
    assert!(done.status < 400, "{done:?}");
    until("the session here is gone", async || erin.validate(&pair.site).await.status == 401).await;
    assert_eq!(other.validate(&pair.site).await.status, 200, "her other browser is still signed in there");
    assert_eq!(jane.validate(&pair.site).await.status, 200);
    assert_eq!(pair.site.metric("auth_api_sign_outs_total").await, 1);
}
