//! Keycloak, with the defaults of a realm and of a client, as `src/guide/keycloak.md` sets it up.

mod programs;
mod server;

use super::chromium::Chromium;
use super::guides;
use super::steps::{bearer, ends_at_its_renewal, renew, tokens};
use crate::support::{Answer, Browser, Site, param, until};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use server::{Keycloak, Realm, mapper};
use url::Url;

const GUIDE: &str = include_str!("../../../src/guide/keycloak.md");

/// The guide's blocks of configuration after the first.
const GROUPS_FROM_USERINFO: usize = 1;
const ROLES: usize = 2;
const PROGRAMS: usize = 3;
const ACCOUNT: usize = 4;

/// A realm, and a service that trusts it.
struct Pair {
    realm: Realm,
    site: Site,
}

impl Pair {
    /// With these blocks of the guide and these mappers of the client.
    async fn start(also: &[usize], mappers: &[Value]) -> Self {
        let realm = Keycloak::running().await.realm().await;
        let site = guides::site(GUIDE, also, &realm.issuer(), |client| format!("secret-of-{client}")).await;
        realm.register(&site.auth_url, mappers).await;
        Self { realm, site }
    }

    /// From `/auth/signin` through Keycloak's form, up to the answer of our callback.
    async fn sign_in(&self, browser: &Browser, user: &str) -> Answer {
        let authorize = browser.get(&self.site.auth("/auth/signin")).await.location();
        assert_eq!(param(&authorize, "code_challenge_method").unwrap(), "S256");
        let callback = self.log_in(browser, &authorize, user).await.location();
        assert!(callback.starts_with(&self.site.auth("/auth/signin/callback?")), "{callback}");
        browser.get(&callback).await
    }

    async fn log_in(&self, browser: &Browser, authorize: &str, user: &str) -> Answer {
        let form = browser.get(authorize).await;
        assert_eq!(form.status, 200, "{form:?}");
        let fields = [("username", user), ("password", "Passw0rd!"), ("credentialId", "")];
        browser.post(&action(self, &form), &fields).await
    }

    async fn signed_in(&self, user: &str) -> Browser {
        let browser = Browser::new();
        let landed = self.sign_in(&browser, user).await;
        assert_eq!(landed.status, 302, "{landed:?}");
        browser
    }

    /// Asks for a page with a real browser, and signs in as erin on the way.
    async fn sign_in_with(&self, browser: &Chromium, page: &str) {
        browser.go(&self.site.auth(page)).await;
        browser.type_into("#username", "erin").await;
        browser.type_into("#password", "Passw0rd!").await;
        browser.click("#kc-login").await;
        browser.arrives_at(&self.site.auth(page)).await;
    }

    /// The path of our client in the admin REST API.
    async fn client(&self) -> String {
        let found = self.realm.administer(Method::GET, "clients?clientId=auth-api", None).await.json();
        format!("clients/{}", found[0]["id"].as_str().unwrap())
    }

    /// Something that a client asks Keycloak's token endpoint.
    async fn ask(&self, client: &str, form: &[(&str, &str)]) -> Answer {
        let secret = format!("secret-of-{client}");
        let shape = |request: reqwest::RequestBuilder| request.basic_auth(client, Some(secret)).form(form);
        Browser::new().send(Method::POST, &self.realm.token_endpoint(), shape).await
    }

    async fn redeem(&self, refresh: &str) -> Answer {
        self.ask("auth-api", &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await
    }
}

/// What a JWT says, whoever signed it.
fn claims(token: &str) -> Value {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice(&payload).unwrap()
}

/// Where a page's first form goes, which may be written without the host.
fn action(pair: &Pair, page: &Answer) -> String {
    let action = page.between("action=\"", "\"").replace("&amp;", "&");
    Url::parse(&pair.realm.issuer()).unwrap().join(&action).unwrap().into()
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn people_sign_in_with_the_defaults_and_are_known_by_their_claims() {
    let pair = Pair::start(&[], &[]).await;
    let erin = pair.signed_in("erin").await;
    let me = erin.validate(&pair.site).await;
    assert_eq!(me.status, 200, "{me:?}");
    let json = me.json();
    for (claim, value) in
        [("kind", "user"), ("username", "erin"), ("name", "Erin Editor"), ("email", "erin@example.com")]
    {
        assert_eq!(json[claim], value, "{json:#}");
    }
    assert_eq!((&json["email_verified"], &json["client_id"]), (&json!(true), &json!("auth-api")), "{json:#}");
    assert_eq!(json["groups"], json!([]), "it tells none unless it is asked to");
    assert_eq!(me.header("x-auth-email"), Some("erin@example.com"));
    let jane = pair.signed_in("jane").await.validate(&pair.site).await;
    assert_eq!((jane.header("x-auth-username"), jane.header("x-auth-email")), (Some("jane"), Some("")));

    let wrong = Browser::new();
    let authorize = wrong.get(&pair.site.auth("/auth/signin")).await.location();
    let form = wrong.get(&authorize).await;
    let again = wrong.post(&action(&pair, &form), &[("username", "erin"), ("password", "wrong")]).await;
    assert_eq!(again.status, 200, "the form again: {again:?}");
    assert_eq!(wrong.validate(&pair.site).await.status, 401);
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn the_defaults_of_a_realm_are_those_that_the_guide_names() {
    let keycloak = Keycloak::running().await;
    let realm = keycloak.realm().await.administer(Method::GET, "", None).await.json();
    for (name, seconds) in
        [("accessTokenLifespan", 300), ("ssoSessionIdleTimeout", 30 * 60), ("ssoSessionMaxLifespan", 10 * 3_600)]
    {
        assert_eq!(realm[name], seconds, "{name}");
    }
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn a_session_is_renewed_with_refresh_tokens_that_rotate() {
    let pair = Pair::start(&[], &[]).await;
    let erin = pair.signed_in("erin").await;
    let mut shown = vec![tokens(&pair.site, &erin).await.refresh];
    let issued = claims(&shown[0])["iat"].as_u64().unwrap();
    // Keycloak tells used refresh tokens by the second.
    let now = async || {
        let token = pair.ask("auth-api", &[("grant_type", "client_credentials")]).await.json();
        claims(token["access_token"].as_str().unwrap())["iat"].as_u64().unwrap()
    };
    until("the next second", async || now().await > issued).await;
    for _ in 0..2 {
        let renewed = renew(&pair.site, &erin).await;
        assert_eq!(renewed.status, 200, "{renewed:?}");
        assert_eq!(renewed.json()["username"], "erin");
        let token = tokens(&pair.site, &erin).await.refresh;
        assert!(!shown.contains(&token), "a new refresh token each time");
        shown.push(token);
    }
    // Somebody shows a used one: Keycloak withdraws the grant, and with it our session at its next renewal.
    assert_eq!(pair.redeem(&shown[0]).await.json()["error"], "invalid_grant");
    ends_at_its_renewal(&pair.site, &erin).await;
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn groups_come_from_the_id_token_and_change_at_a_renewal() {
    let pair = Pair::start(&[], &[mapper("oidc-group-membership-mapper", "groups", true)]).await;
    let erin = pair.signed_in("erin").await;
    let groups = async || {
        let json = erin.validate(&pair.site).await.json();
        let mut groups: Vec<String> = serde_json::from_value(json["groups"].clone()).unwrap();
        groups.sort();
        groups
    };
    assert_eq!(groups().await, ["admins", "editors"]);
    assert_eq!(erin.get(&pair.site.auth("/validate?group=editors")).await.status, 200);
    // Bearers too.
    let token = tokens(&pair.site, &erin).await.access;
    assert!(bearer(&pair.site, &token).await.header("x-auth-groups").unwrap().contains("editors"));

    let user = pair.realm.user("erin").await;
    let all = pair.realm.administer(Method::GET, &format!("{user}/groups"), None).await.json();
    let admins = all.as_array().unwrap().iter().find(|group| group["name"] == "admins").unwrap();
    let left = format!("{user}/groups/{}", admins["id"].as_str().unwrap());
    pair.realm.administer(Method::DELETE, &left, None).await;
    assert_eq!(renew(&pair.site, &erin).await.status, 200);
    assert_eq!(groups().await, ["editors"]);
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn groups_come_from_userinfo_alone() {
    let mapper = mapper("oidc-group-membership-mapper", "groups", false);
    let pair = Pair::start(&[GROUPS_FROM_USERINFO], &[mapper]).await;
    let erin = pair.signed_in("erin").await;
    for group in ["editors", "admins"] {
        assert_eq!(erin.get(&pair.site.auth(&format!("/validate?group={group}"))).await.status, 200, "{group}");
    }
    assert_eq!(renew(&pair.site, &erin).await.status, 200);
    assert_eq!(erin.get(&pair.site.auth("/validate?group=editors")).await.status, 200);
    let jane = pair.signed_in("jane").await;
    assert_eq!(jane.get(&pair.site.auth("/validate?group=editors")).await.status, 403);
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn realm_roles_are_the_groups_where_the_configuration_says_so() {
    let mapper = mapper("oidc-usermodel-realm-role-mapper", "realm_access.roles", true);
    let pair = Pair::start(&[ROLES], &[mapper]).await;
    let (erin, jane) = (pair.signed_in("erin").await, pair.signed_in("jane").await);
    assert_eq!(erin.get(&pair.site.auth("/validate?group=editor")).await.status, 200);
    assert_eq!(jane.get(&pair.site.auth("/validate?group=editor")).await.status, 403);
}

#[tokio::test]
#[ignore = "needs keycloak and chromium"]
async fn the_account_page_leads_to_keycloaks_own() {
    let (pair, browser) = (Pair::start(&[ACCOUNT], &[]).await, Chromium::start().await);
    pair.sign_in_with(&browser, "/auth/account").await;
    let shown = browser.text("main").await;
    assert!(shown.contains("Erin Editor") && shown.contains("erin@example.com"), "{shown}");
    for only_of_a_pool in ["form[action]", "a[href*='/auth/account/delete']", "a[href*='screen=password']"] {
        assert!(!browser.has(only_of_a_pool).await, "{only_of_a_pool}: {shown}");
    }
    browser.follow("Go on").await;
    let console = format!("{}/account", pair.realm.issuer());
    browser.arrives(|at| at.starts_with(&console), &console).await;
    assert_eq!(browser.value("#email").await, "erin@example.com");
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn signing_out_ends_at_keycloak_and_comes_back() {
    let pair = Pair::start(&[], &[]).await;
    let erin = pair.signed_in("erin").await;
    let hers = tokens(&pair.site, &erin).await;
    assert_eq!(bearer(&pair.site, &hers.access).await.status, 200);
    let leaving = erin.post(&pair.site.auth("/auth/signout"), &[]).await;
    assert_eq!(leaving.status, 303);
    assert_eq!((erin.validate(&pair.site).await.status, bearer(&pair.site, &hers.access).await.status), (401, 401));
    assert_eq!(pair.redeem(&hers.refresh).await.json()["error"], "invalid_grant", "revoked already");

    let back = pair.site.auth("/auth/signout/callback");
    let logout = leaving.location();
    assert!(logout.starts_with(&format!("{}/protocol/openid-connect/logout?", pair.realm.issuer())), "{logout}");
    assert_eq!(param(&logout, "post_logout_redirect_uri").as_ref(), Some(&back));
    let left = erin.get(&logout).await;
    assert_eq!(left.location(), back, "nobody is asked: {left:?}");
    let page = erin.get(&back).await;
    assert!(page.status == 200 && page.body.contains("You are signed out"), "{page:?}");
    // And Keycloak asks for a password again.
    let authorize = erin.get(&pair.site.auth("/auth/signin")).await.location();
    assert!(erin.get(&authorize).await.body.contains("name=\"password\""));
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn a_sign_out_at_keycloak_ends_that_session_here() {
    let pair = Pair::start(&[], &[]).await;
    let (erin, other) = (pair.signed_in("erin").await, pair.signed_in("erin").await);
    let access = tokens(&pair.site, &erin).await.access;
    assert_eq!(bearer(&pair.site, &access).await.status, 200);
    // Not through us: at Keycloak itself, which tells us (OpenID Connect Back-Channel Logout 1.0).
    let question = erin.get(&format!("{}/protocol/openid-connect/logout", pair.realm.issuer())).await;
    let code = question.between("name=\"session_code\" value=\"", "\"");
    let done = erin.post(&action(&pair, &question), &[("session_code", code.as_str())]).await;
    assert!(done.status < 400, "{done:?}");
    until("the session here is gone", async || erin.validate(&pair.site).await.status == 401).await;
    assert_eq!(bearer(&pair.site, &access).await.status, 401, "and so is its access token");
    assert_eq!(other.validate(&pair.site).await.status, 200, "her other browser is still signed in there");
}

#[tokio::test]
#[ignore = "needs keycloak and chromium"]
async fn a_sign_out_at_keycloak_ends_the_session_here_by_a_frame_of_its_page() {
    let (pair, browser) = (Pair::start(&[], &[]).await, Chromium::start().await);
    let frame = json!({
        "frontchannelLogout": true,
        "attributes": {
            "backchannel.logout.url": "",
            "frontchannel.logout.url": pair.site.auth("/auth/frontchannel-logout"),
            "frontchannel.logout.session.required": "true",
        },
    });
    pair.realm.administer(Method::PUT, &pair.client().await, Some(frame)).await;
    pair.sign_in_with(&browser, "/auth/account").await;
    let elsewhere = pair.signed_in("erin").await;
    let cookies = browser.cookies().await;
    let ours = cookies.iter().find(|cookie| cookie["name"] == "auth").unwrap();
    let cookie = format!("auth={}", ours["value"].as_str().unwrap());
    let validate = async || {
        let shape = |request: reqwest::RequestBuilder| request.header("cookie", &cookie);
        Browser::new().send(Method::GET, &pair.site.auth("/validate"), shape).await.status
    };
    assert_eq!(validate().await, 200);
    browser.go(&format!("{}/protocol/openid-connect/logout", pair.realm.issuer())).await;
    browser.click("#kc-logout").await;
    until("the session here is gone", async || validate().await == 401).await;
    assert_eq!(elsewhere.validate(&pair.site).await.status, 200, "her other browser is still signed in there");
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn an_administrators_logout_ends_all_sessions_of_a_user_at_once() {
    let pair = Pair::start(&[], &[]).await;
    let (one, two, jane) = (pair.signed_in("erin").await, pair.signed_in("erin").await, pair.signed_in("jane").await);
    let logout = format!("{}/logout", pair.realm.user("erin").await);
    pair.realm.administer(Method::POST, &logout, None).await;
    for browser in [&one, &two] {
        until("the session here is gone", async || browser.validate(&pair.site).await.status == 401).await;
    }
    assert_eq!(jane.validate(&pair.site).await.status, 200);
}

#[tokio::test]
#[ignore = "needs keycloak"]
async fn an_administrators_logout_and_a_disabled_user_are_learned_at_the_next_renewal() {
    let pair = Pair::start(&[], &[]).await;
    // As if the back-channel logout URL had not been set.
    let without = json!({ "attributes": { "backchannel.logout.url": "" } });
    pair.realm.administer(Method::PUT, &pair.client().await, Some(without)).await;
    let (erin, jane) = (pair.signed_in("erin").await, pair.signed_in("jane").await);
    let logout = format!("{}/logout", pair.realm.user("erin").await);
    pair.realm.administer(Method::POST, &logout, None).await;
    assert_eq!(erin.validate(&pair.site).await.status, 200, "nobody told us");
    ends_at_its_renewal(&pair.site, &erin).await;

    let disabled = json!({ "enabled": false });
    pair.realm.administer(Method::PUT, &pair.realm.user("jane").await, Some(disabled)).await;
    ends_at_its_renewal(&pair.site, &jane).await;
}
