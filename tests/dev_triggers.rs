//! The dev pool calls the triggers in Cognito's order, and who signs in there is known here.

use crate::support::{Answer, Browser, Log, Site, param};
use auth_api::dev::legacy::{KEY, LegacyLogin};
use auth_api::dev::pool::{self, PoolSettings, PoolUser, TriggerError, UserPool};
use auth_api::triggers::{TriggerSettings, Triggers};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use std::sync::Arc;
use tokio::net::TcpListener;

async fn at_login(browser: &Browser, authorize: &str, user: &str, password: &str) -> Answer {
    let page_url = browser.get(authorize).await.location();
    let page = browser.get(&page_url).await;
    let csrf = page.between("name=\"_csrf\" value=\"", "\"");
    browser.post(&page_url, &[("_csrf", &csrf), ("username", user), ("password", password)]).await
}

/// The address that a form of the hosted UI leads to.
async fn submit(browser: &Browser, page_url: &str, fields: &[(&str, &str)]) -> Answer {
    let csrf = browser.get(page_url).await.between("name=\"_csrf\" value=\"", "\"");
    let fields: Vec<_> = fields.iter().copied().chain([("_csrf", csrf.as_str())]).collect();
    browser.post(page_url, &fields).await
}

async fn authorize(site: &Site, browser: &Browser, query: &str) -> String {
    browser.get(&site.auth(&format!("/auth/signin?{query}"))).await.location()
}

async fn at_google(site: &Site, browser: &Browser, identity: &str) -> Answer {
    let next = authorize(site, browser, "provider=Google&prompt=login").await;
    let page_url = browser.get(&next).await.location();
    let csrf = browser.get(&page_url).await.between("name=\"_csrf\" value=\"", "\"");
    browser.post(&page_url, &[("_csrf", &csrf), ("identity", identity)]).await
}

#[tokio::test]
async fn a_legacy_user_is_migrated_by_the_first_sign_in() {
    let log = Log::capture();
    let site = Site::start().await;
    let browser = Browser::new();
    let (larry, password) = ("larry@example.com", "0ldPassw0rd");
    let wrong = at_login(&browser, &authorize(&site, &browser, "").await, larry, "wr0ngPassw0rd").await;
    assert!(wrong.body.contains("Incorrect username or password."), "{wrong:?}");
    assert_eq!(site.legacy.requests(), 1);

    let back = at_login(&browser, &authorize(&site, &browser, "").await, larry, password).await.location();
    assert_eq!(browser.get(&back).await.status, 302);
    let known = browser.validate(&site).await.json();
    assert_eq!((&known["username"], &known["name"]), (&larry.into(), &"Larry Legacy".into()), "{known}");
    assert_eq!((&known["email"], &known["email_verified"]), (&larry.into(), &true.into()));
    assert_eq!(known["attributes"]["custom:legacy_id"], "4711");
    let cookies = browser.cookies(&site.cms("/"));
    let cms = browser.send(reqwest::Method::GET, &site.cms("/"), |request| request.header("cookie", cookies)).await;
    assert!(cms.body.contains("Hello, Larry Legacy"), "{}", cms.body);
    assert!(log.text().contains("migrated"), "{}", log.text());
    assert!(!log.text().contains(password) && !log.text().contains("wr0ngPassw0rd"), "{}", log.text());
    assert_eq!(site.legacy.requests(), 2);

    // Cognito has him now, and his password.
    site.legacy.shutdown();
    let other = Browser::new();
    let back = at_login(&other, &authorize(&site, &other, "").await, larry, password).await.location();
    assert_eq!(other.get(&back).await.status, 302);
    let wrong = at_login(&Browser::new(), &authorize(&site, &Browser::new(), "").await, larry, "wrong").await;
    assert!(wrong.body.contains("Incorrect username or password."), "{wrong:?}");
    assert_eq!(site.legacy.requests(), 2);
}

#[tokio::test]
async fn a_legacy_user_who_forgot_the_password_is_migrated_too() {
    let log = Log::capture();
    let site = Site::start().await;
    let browser = Browser::new();
    let login = browser.get(&authorize(&site, &browser, "").await).await.location();
    let forgot = login.replace("/login?", "/forgotPassword?");
    let confirmation = submit(&browser, &forgot, &[("username", "larry@example.com")]).await.location();
    let code = site.pool.last_code_for("larry@example.com").unwrap();
    let line = format!("dev pool: code {code} for larry@example.com (forgotten password)");
    assert!(log.text().contains(&line), "{}", log.text());
    let form = [("code", code.as_str()), ("password", "N3wPassw0rd!"), ("again", "N3wPassw0rd!")];
    let changed = submit(&browser, &confirmation, &form).await;
    assert!(changed.body.contains("Your password has been changed."), "{changed:?}");
    let back = submit(&browser, &login, &[("username", "larry@example.com"), ("password", "N3wPassw0rd!")]).await;
    assert_eq!(browser.get(&back.location()).await.status, 302);
    assert_eq!(browser.validate(&site).await.json()["attributes"]["custom:legacy_id"], "4711");
}

#[tokio::test]
async fn who_signs_up_at_the_pool_comes_back_signed_in() {
    let site = Site::start().await;
    let browser = Browser::new();
    let login = browser.get(&authorize(&site, &browser, "").await).await.location();
    let sign_up = login.replace("/login?", "/signup?");
    let form = [("email", "nora@example.com"), ("name", "Nora New"), ("password", "Passw0rd!")];
    let confirmation = submit(&browser, &sign_up, &form).await.location();
    let code = site.pool.last_code_for("nora@example.com").unwrap();
    let back = submit(&browser, &confirmation, &[("code", &code)]).await.location();
    assert_eq!(browser.get(&back).await.status, 302);
    let validated = browser.validate(&site).await.json();
    assert_eq!((&validated["username"], &validated["name"]), (&"nora@example.com".into(), &"Nora New".into()));
}

#[tokio::test]
async fn an_outage_of_the_legacy_system_is_called_so() {
    let log = Log::capture();
    let site = Site::start().await;
    site.legacy.shutdown();
    let browser = Browser::new();
    let page = at_login(&browser, &authorize(&site, &browser, "").await, "larry@example.com", "0ldPassw0rd").await;
    assert!(page.body.contains("UserMigration failed with error The account cannot be looked up"), "{page:?}");
    assert!(log.text().contains("ERROR") && log.text().contains("the legacy system"), "{}", log.text());
    // Who is here already is not concerned.
    assert_eq!(browser.sign_in(&site, "jane").await.status, 302);
    // Nor is a federated user.
    assert_eq!(Browser::new().sign_in(&site, "gary").await.status, 302);
}

#[tokio::test]
async fn a_second_way_in_leads_to_the_same_user() {
    let site = Site::start().await;
    let browser = Browser::new();
    browser.sign_in(&site, "jane").await;
    let jane = browser.validate(&site).await.json();
    for _ in 0..2 {
        let other = Browser::new();
        let back = at_google(&site, &other, "108347000000000000002").await.location();
        assert_eq!(other.get(&back).await.status, 302, "{back}");
        let known = other.validate(&site).await.json();
        assert_eq!((&known["sub"], &known["username"]), (&jane["sub"], &"jane".into()), "{known}");
    }
}

/// The callback's address after choosing an identity, at a pool that stands alone.
async fn at_provider_of(pool: &UserPool, provider: &str, identity: &str) -> String {
    let authorize = format!(
        "{}/oauth2/authorize?response_type=code&client_id=dev-web-client&state=s&scope=openid&prompt=login\
         &identity_provider={provider}&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fauth%2Fsignin%2Fcallback",
        pool.base_url()
    );
    let browser = Browser::new();
    let page_url = browser.get(&authorize).await.location();
    let csrf = browser.get(&page_url).await.between("name=\"_csrf\" value=\"", "\"");
    browser.post(&page_url, &[("_csrf", &csrf), ("identity", identity)]).await.location()
}

/// The ID token behind a callback's address.
async fn id_token(pool: &UserPool, callback: &str) -> Value {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", &param(callback, "code").unwrap_or_else(|| panic!("{callback}"))),
        ("redirect_uri", "http://127.0.0.1:1/auth/signin/callback"),
        ("client_id", "dev-web-client"),
        ("client_secret", "dev-web-secret"),
    ];
    let tokens = Browser::new().post(&format!("{}/oauth2/token", pool.base_url()), &form).await.json();
    let claims = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

/// A pool with newcomers, and our own triggers, of which some settings are the test's.
async fn pool_with(newcomers: Vec<PoolUser>, legacy: &LegacyLogin, more: &[(&str, &str)]) -> UserPool {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let environment = [
        ("LEGACY_LOOKUP_URL", legacy.url("/user")),
        ("LEGACY_API_KEY", KEY.to_owned()),
        ("ATTRIBUTE_MAP", "email=mail,custom:legacy_id=id".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", format!("http://{}", listener.local_addr().unwrap())),
    ];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    let environment = environment.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let function = Arc::new(Triggers::new(TriggerSettings::read(environment).unwrap()).unwrap());
    let triggers = pool::TriggerFunction::new(move |event| {
        let function = function.clone();
        async move { function.answer(event).await.map_err(|e| TriggerError { refused: false, message: e.to_string() }) }
    });
    let mut settings = pool_of(newcomers, triggers);
    for client in &mut settings.clients {
        client.identity_providers.extend(["SignInWithApple", "Acme"].map(str::to_owned));
    }
    UserPool::start_on(listener, settings).await.unwrap()
}

fn pool_of(newcomers: Vec<PoolUser>, triggers: pool::TriggerFunction) -> PoolSettings {
    PoolSettings { newcomers, triggers: Some(triggers), ..PoolSettings::for_service("http://127.0.0.1:1") }
}

/// Somebody whose address a provider vouches for.
fn newcomer(provider: &str, id: &str, email: &str) -> PoolUser {
    PoolUser::federated(provider, id, &format!("54d8c4a8-20b1-70de-6b7c-{provider}{id}"))
        .with("email", email)
        .with("email_verified", "true")
}

/// The pool's names of users are in small letters: what the provider calls the user has to come from an attribute.
#[tokio::test]
async fn every_kind_of_provider_links_in_a_pool_that_does_not_mind_capitals() {
    let legacy = LegacyLogin::start().await.unwrap();
    for (provider, id, mapped, linked) in [
        ("Google", "7", false, true),
        ("Facebook", "7", false, true),
        ("Acme", "00u1AbCd", true, true),
        ("Acme", "00u1AbCd", false, false),
        ("SignInWithApple", "001.0aB.02", true, true),
    ] {
        let mut newcomer = newcomer(provider, id, "jane@example.com");
        if mapped {
            newcomer = newcomer.with("custom:provider_subject", id);
        }
        let pool = pool_with(vec![newcomer], &legacy, &[("LINK_PROVIDERS", "Acme")]).await;
        for _ in 0..2 {
            let claims = id_token(&pool, &at_provider_of(&pool, provider, id).await).await;
            let stored = format!("{provider}_{id}");
            assert_eq!(claims["cognito:username"], if linked { "jane" } else { &stored }, "{provider} {mapped}");
            assert_eq!(claims["identities"][0]["userId"], id);
        }
    }
}

#[tokio::test]
async fn two_providers_lead_to_one_user_where_there_is_no_native_one() {
    let legacy = LegacyLogin::start().await.unwrap();
    let (mary, other) = ("mary@example.com", "MARY@example.com");
    let people = vec![newcomer("Google", "7", mary), newcomer("Facebook", "8", other), newcomer("Google", "9", mary)];
    let pool = pool_with(people, &legacy, &[]).await;
    let first = id_token(&pool, &at_provider_of(&pool, "Google", "7").await).await;
    for _ in 0..2 {
        let second = id_token(&pool, &at_provider_of(&pool, "Facebook", "8").await).await;
        assert_eq!((&second["sub"], &second["cognito:username"]), (&first["sub"], &"Google_7".into()));
        let identities: Vec<_> = second["identities"].as_array().unwrap().iter().map(|one| &one["primary"]).collect();
        assert_eq!(identities, ["true", "false"]);
    }
    // Google has given the address to another person.
    let third = id_token(&pool, &at_provider_of(&pool, "Google", "9").await).await;
    assert_eq!(third["cognito:username"], "Google_9");
}

/// What the sign-up page says to somebody who has come from Google before.
#[tokio::test]
async fn a_native_sign_up_after_google_is_a_second_account_or_refused() {
    let legacy = LegacyLogin::start().await.unwrap();
    for (setting, refused) in [("allow", false), ("refuse", true)] {
        let mary = newcomer("Google", "7", "mary@example.com");
        let pool = pool_with(vec![mary], &legacy, &[("SIGN_UP_DUPLICATES", setting)]).await;
        id_token(&pool, &at_provider_of(&pool, "Google", "7").await).await;
        let page = format!(
            "{}/signup?response_type=code&client_id=dev-web-client&scope=openid\
             &redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fauth%2Fsignin%2Fcallback",
            pool.base_url()
        );
        let browser = Browser::new();
        let csrf = browser.get(&page).await.between("name=\"_csrf\" value=\"", "\"");
        let fields = [("email", "MARY@example.com"), ("name", "Mary"), ("password", "Passw0rd!"), ("username", "")];
        let answer = browser.post(&page, &[&fields[..], &[("_csrf", &csrf)]].concat()).await;
        assert_eq!(answer.body.contains("account with this e-mail address already: sign in with Google"), refused);
        assert_eq!(answer.status, if refused { 200 } else { 302 }, "{}", answer.body);
        if !refused {
            // Her two accounts stay apart.
            let code = pool.last_code_for("MARY@example.com").unwrap();
            let confirmation = answer.location();
            let csrf = browser.get(&confirmation).await.between("name=\"_csrf\" value=\"", "\"");
            let back = browser.post(&confirmation, &[("_csrf", &csrf), ("code", &code)]).await.location();
            assert_eq!(id_token(&pool, &back).await["identities"], Value::Null);
            let again = id_token(&pool, &at_provider_of(&pool, "Google", "7").await).await;
            assert_eq!(again["cognito:username"], "Google_7");
        }
    }
}

#[tokio::test]
async fn a_first_token_has_what_its_sign_in_has_only_just_stored() {
    let legacy = LegacyLogin::start().await.unwrap();
    let larry = newcomer("Google", "7", "larry@example.com");
    let without = pool_of(vec![larry.clone()], pool::TriggerFunction::new(async |event| Ok(event)));
    let bare = UserPool::start(without).await.unwrap();
    let claims = id_token(&bare, &at_provider_of(&bare, "Google", "7").await).await;
    assert_eq!(claims["cognito:groups"], serde_json::json!(["eu-west-1_DevPool01_Google"]));

    let pool = pool_with(vec![larry], &legacy, &[("DEFAULT_GROUPS", "readers")]).await;
    for _ in 0..2 {
        let claims = id_token(&pool, &at_provider_of(&pool, "Google", "7").await).await;
        assert_eq!(claims["custom:legacy_id"], "4711");
        assert_eq!(claims["cognito:groups"], serde_json::json!(["eu-west-1_DevPool01_Google", "readers"]));
    }
}

#[tokio::test]
async fn a_federated_user_of_the_legacy_system_is_known_by_its_id() {
    let legacy = LegacyLogin::start().await.unwrap();
    let larry = newcomer("Google", "7", "larry@example.com");
    let pool = pool_with(vec![larry], &legacy, &[("DEFAULT_GROUPS", "readers")]).await;
    // The second time, there is nothing left to ask.
    for _ in 0..2 {
        let back = at_provider_of(&pool, "Google", "7").await;
        assert!(param(&back, "code").is_some(), "{back}");
        pool.edit_user("Google_7", |user| {
            assert_eq!(user.attributes["custom:legacy_id"], "4711");
            assert_eq!(user.groups, ["readers"]);
        });
        assert_eq!(legacy.requests(), 1);
    }
}

#[tokio::test]
async fn a_sign_up_that_a_trigger_refuses_comes_back_with_cognitos_words() {
    let stranger = PoolUser::federated("Google", "7", "54d8c4a8-20b1-70de-6b7c-0c9f3a7e5d22");
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let triggers = pool::TriggerFunction::new(move |event: serde_json::Value| {
        let source = event["triggerSource"].as_str().unwrap().to_owned();
        let refused = source.starts_with("PreSignUp");
        tell.send(event.clone()).unwrap();
        async move { if refused { Err(TriggerError { refused: false, message: "not today".into() }) } else { Ok(event) } }
    });
    let pool = UserPool::start(pool_of(vec![stranger], triggers)).await.unwrap();
    let back = at_provider_of(&pool, "Google", "7").await;
    assert_eq!(param(&back, "error_description").unwrap(), "PreSignUp failed with error not today.");
    let event = told.try_recv().unwrap();
    assert_eq!((&event["userName"], &event["region"]), (&"google_7".into(), &"eu-west-1".into()));
    assert!(event["response"]["autoConfirmUser"].is_boolean());

    // A federated user signs in again.
    assert!(param(&at_provider_of(&pool, "Google", "108347000000000000001").await, "code").is_some());
    let event = told.try_recv().unwrap();
    assert_eq!(event["triggerSource"], "PostAuthentication_Authentication");
    assert_eq!(event["request"]["userAttributes"]["cognito:user_status"], "EXTERNAL_PROVIDER");
    assert_eq!(told.try_recv().unwrap()["triggerSource"], "TokenGeneration_HostedAuth");
    assert!(told.try_recv().is_err());
}
