//! One site half moved from `mod_auth_openidc`: both at work in one Apache, as `src/guide/moving.md` has it.

use super::app::{App, values};
use super::kinds::Proxy;
use super::{Edge, Running, navigation};
use crate::real::component;
use crate::support::{Answer, Browser, Site, free_port};
use auth_api::dev::pool::AppClient;
use reqwest::Method;
use serde_json::Value;
use std::path::Path;
use url::Url;

const GUIDE: &str = include_str!("../../../src/guide/moving.md");

/// What `mod_auth_openidc` is told that has a key of auth-api with the same value.
const SAME: [(&str, &str); 2] = [("OIDCScope", "openid email profile"), ("OIDCCookieDomain", "app.localhost")];
/// The same in seconds.
const SECONDS: [(&str, &str); 2] = [("OIDCSessionMaxDuration", "28800"), ("OIDCSessionInactivityTimeout", "7200")];
const RULE: &str = "Require claim cognito:groups:admins";

/// The code spans of both cells of the guide's row about `what`.
fn row(what: &str) -> [Vec<&'static str>; 2] {
    let row = GUIDE.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{what}`")));
    let mut cells = row.unwrap_or_else(|| panic!("{what} is not in the guide")).split('|').skip(1);
    [(); 2].map(|()| cells.next().unwrap().split('`').skip(1).step_by(2).collect())
}

/// What stands for `what` in the guide's table.
fn translated(what: &str) -> &'static str {
    let [from, to] = row(what);
    to[from.iter().position(|from| *from == what).unwrap()]
}

/// What the guide adds to the virtual host, and what was there before.
fn virtual_host(site: &Site, client: &AppClient) -> String {
    let guide = GUIDE.split("```apache\n").nth(1).unwrap().split("```").next().unwrap();
    let told: String = SAME.iter().chain(&SECONDS).map(|(name, value)| format!("    {name} \"{value}\"\n")).collect();
    let (issuer, id, secret) = (site.pool.issuer(), &client.id, client.secret.as_ref().unwrap());
    let domain = issuer.rsplit_once('/').unwrap().0;
    // The hosted UI's sign-out takes these two, and not what mod_auth_openidc adds (`post_logout_redirect_uri`).
    let end = format!("{domain}/logout?client_id={id}&logout_uri={}", client.logout_urls[0]);
    format!(
        "    OIDCProviderMetadataURL {issuer}/.well-known/openid-configuration\n    OIDCClientID {id}\n\
         OIDCClientSecret {secret}\n    OIDCRedirectURI {}\n    OIDCProviderEndSessionEndpoint {end}\n\
         OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef\n{told}{guide}\
         <Location /old/admin/>\n    {RULE}\n    </Location>\n\
         <Location /signed-out>\n    AuthType None\n    Require all granted\n    </Location>\n",
        client.callback_urls[0],
    )
}

/// Apache in the midst of the move: `/new/` asks auth-api.
async fn half_moved() -> Edge {
    let module = Path::new("/usr/lib/apache2/modules/mod_auth_openidc.so");
    assert!(module.is_file(), "this test needs libapache2-mod-auth-openidc, which is not installed: .ci/run tools");
    let names = ["authn_core", "authz_user", "auth_openidc"];
    let load = |name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n");
    let modules = names.map(load).concat() + "LimitRequestFieldSize";
    let app = App::start().await;
    for _ in 0..5 {
        let port = free_port();
        let [public_url, wiki] = ["auth-api", "wiki"].map(|host| format!("https://{host}.app.localhost:{port}"));
        let client = AppClient {
            callback_urls: vec![format!("{wiki}/old/callback")],
            logout_urls: vec![format!("{wiki}/signed-out")],
            ..AppClient::web("openidc", "openidc-secret")
        };
        let policy =
            format!("[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/new/admin\"\n{}\n", translated(RULE));
        let same = SAME.map(|(name, value)| (translated(name), value.to_owned().replace(' ', ",")));
        let seconds = SECONDS.map(|(name, value)| (translated(name), format!("{value}s")));
        let own = [("server.trusted_proxies", "127.0.0.1/32"), ("return_to.default", &public_url)];
        let own = own.map(|(name, value)| (name, value.to_owned()));
        let told: Vec<_> = same.into_iter().chain(seconds).chain(own).collect();
        let told: Vec<_> = told.into_iter().map(|(k, v)| (k.to_uppercase().replace('.', "__"), v)).collect();
        let told: Vec<_> = told.iter().map(|(key, value)| (&**key, &**value)).collect();
        let site = Site::beside(client.clone(), &public_url, &policy, &told).await;
        let host = virtual_host(&site, &client);
        let changes = [
            ("LimitRequestFieldSize", &*modules),
            ("    LuaHookAccessChecker /etc/apache2/auth-api.lua check\n", &*host),
        ];
        let program = component("apache2");
        let running = Running::start(Proxy::Apache, &program, port, site.auth_port, app.port, &changes).await;
        if let Some(running) = running {
            return Edge { port, app, site: Some(site), connections: None, running };
        }
    }
    panic!("Apache finds no port")
}

/// Where a person ends up who opens `url`, and what is there.
async fn open(browser: &Browser, url: &str) -> (String, Answer) {
    let mut url = url.to_owned();
    for _ in 0..12 {
        let answer = browser.navigate(&url).await;
        if ![302, 303].contains(&answer.status) {
            return (url, answer);
        }
        url = answer.location();
    }
    panic!("redirects without end, at last to {url}")
}

/// Whether that is the hosted UI's form.
fn asks_to_sign_in(edge: &Edge, (url, answer): &(String, Answer)) -> bool {
    let domain = edge.site().pool.issuer().rsplit_once('/').unwrap().0.to_owned();
    url.starts_with(&format!("{domain}/login?")) && answer.body.contains("name=\"password\"")
}

/// Opens a page and arrives there without typing; what the application was told of it.
async fn reads(edge: &Edge, browser: &Browser, path: &str) -> Value {
    let (url, answer) = open(browser, &edge.wiki(path)).await;
    assert_eq!((&url, answer.status, answer.header("x-app")), (&edge.wiki(path), 200, Some("the app's own")));
    answer.json()
}

/// Opens a page as a stranger, types name and password, and arrives there.
async fn signs_in(edge: &Edge, browser: &Browser, path: &str, user: &str) {
    let (url, form) = open(browser, &edge.wiki(path)).await;
    let csrf = form.between("name=\"_csrf\" value=\"", "\"");
    let fields = [("_csrf", csrf.as_str()), ("username", user), ("password", "Passw0rd!")];
    let callback = browser.post(&url, &fields).await.location();
    let (url, answer) = open(browser, &callback).await;
    assert_eq!((url, answer.status), (edge.wiki(path), 200), "{answer:?}");
}

async fn signs_out(edge: &Edge, browser: &Browser, return_to: &str) -> (String, Answer) {
    let answer = browser.post(&edge.site().auth("/auth/signout"), &[("return_to", return_to)]).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    open(browser, &answer.location()).await
}

#[tokio::test]
#[ignore = "needs apache2 and mod_auth_openidc"]
async fn who_is_signed_in_at_the_old_pages_types_nothing_at_the_new_ones() {
    let edge = half_moved().await;
    let erin = edge.visitor();
    for path in ["/old/a", "/new/a"] {
        assert!(asks_to_sign_in(&edge, &open(&edge.visitor(), &edge.wiki(path)).await), "{path}");
    }
    signs_in(&edge, &erin, "/old/a?x=1", "erin").await;
    let old = reads(&edge, &erin, "/old/a?x=1").await;
    let new = reads(&edge, &erin, "/new/a?x=1").await;
    // The same person with the same groups, under the names of the guide.
    let [before, after] = row("OIDC_CLAIM_sub");
    assert!(before.len() == 3 && after.len() == 3, "{before:?} {after:?}");
    for (before, after) in before.iter().zip(&after) {
        let (before, after) = (values(&old, &before.to_lowercase()), values(&new, &after.to_lowercase()));
        assert!(before == after && !before[0].is_empty(), "{before:?} {after:?} in {old:#} {new:#}");
    }
    // Both go on, and one can go back: neither touches the other's cookie.
    for path in ["/old/b", "/new/b", "/old/admin/c", "/new/admin/c"] {
        let answer = erin.navigate(&edge.wiki(path)).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    // The other way round, with somebody whom neither lets in as an administrator.
    let jane = edge.visitor();
    signs_in(&edge, &jane, "/new/a", "jane").await;
    reads(&edge, &jane, "/old/a").await;
    assert_eq!(open(&jane, &edge.wiki("/new/admin/c")).await.1.status, 403);
    assert_eq!(open(&jane, &edge.wiki("/old/admin/c")).await.1.status, 401);
}

#[tokio::test]
#[ignore = "needs apache2 and mod_auth_openidc"]
async fn a_sign_out_during_the_move_ends_what_the_guide_says() {
    let edge = half_moved().await;
    let erin = edge.visitor();
    signs_in(&edge, &erin, "/old/a", "erin").await;
    reads(&edge, &erin, "/new/a").await;
    let (url, answer) = signs_out(&edge, &erin, &edge.wiki("/signed-out")).await;
    assert_eq!((url, answer.status), (edge.wiki("/signed-out"), 200), "{answer:?}");
    // Ours and the hosted UI's are over; the old one's is not.
    assert!(asks_to_sign_in(&edge, &open(&erin, &edge.wiki("/new/a")).await));
    reads(&edge, &erin, "/old/a").await;

    signs_in(&edge, &erin, "/new/a", "erin").await;
    let mut old = Url::parse(&edge.wiki("/old/callback")).unwrap();
    old.query_pairs_mut().append_pair("logout", &edge.wiki("/signed-out"));
    let (url, answer) = signs_out(&edge, &erin, old.as_str()).await;
    assert_eq!((url, answer.status), (edge.wiki("/signed-out"), 200), "{answer:?}");
    for path in ["/new/a", "/old/a"] {
        assert!(asks_to_sign_in(&edge, &open(&erin, &edge.wiki(path)).await), "{path}");
    }
}

#[tokio::test]
#[ignore = "needs apache2 and mod_auth_openidc"]
async fn a_visitor_speaks_for_neither_during_the_move() {
    let edge = half_moved().await;
    let erin = edge.visitor();
    signs_in(&edge, &erin, "/old/a", "erin").await;
    reads(&edge, &erin, "/new/a").await;
    let pretending = |request| navigation(request).header("x-auth-subject", "eve").header("oidc_claim_sub", "eve");
    for (path, own, others) in
        [("/old/a", "oidc_claim_sub", "x-auth-subject"), ("/new/a", "x-auth-subject", "oidc_claim_sub")]
    {
        let answer = erin.send(Method::GET, &edge.wiki(path), pretending).await;
        let seen = answer.json();
        assert!(values(&seen, own).len() == 1 && values(&seen, own) != ["eve"], "{path}: {seen:#}");
        assert!(values(&seen, others).is_empty(), "{path}: {seen:#}");
    }
}
