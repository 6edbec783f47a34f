//! The dev pool calls the triggers in Cognito's order, and who signs in there is known here.

use crate::support::{Answer, Browser, Log, Site, param};
use auth_api::dev::legacy::{KEY, LegacyLogin};
use auth_api::dev::pool::{self, PoolSettings, PoolUser, TriggerError, UserPool};
use auth_api::triggers::Triggers;
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
async fn at_google_of(pool: &UserPool, identity: &str) -> String {
    let authorize = format!(
        "{}/oauth2/authorize?response_type=code&client_id=dev-web-client&state=s&scope=openid&prompt=login\
         &identity_provider=Google&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fauth%2Fsignin%2Fcallback",
        pool.base_url()
    );
    let browser = Browser::new();
    let page_url = browser.get(&authorize).await.location();
    let csrf = browser.get(&page_url).await.between("name=\"_csrf\" value=\"", "\"");
    browser.post(&page_url, &[("_csrf", &csrf), ("identity", identity)]).await.location()
}

fn pool_of(newcomer: PoolUser, triggers: pool::TriggerFunction) -> PoolSettings {
    let settings = PoolSettings::for_service("http://127.0.0.1:1");
    PoolSettings { newcomers: vec![newcomer], triggers: Some(triggers), ..settings }
}

#[tokio::test]
async fn a_federated_user_of_the_legacy_system_is_known_by_its_id() {
    let newcomer = PoolUser::federated("Google", "7", "54d8c4a8-20b1-70de-6b7c-0c9f3a7e5d22")
        .with("email", "larry@example.com")
        .with("email_verified", "true");
    let (legacy, listener) = (LegacyLogin::start().await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let environment = [
        ("LEGACY_LOOKUP_URL", legacy.url("/user")),
        ("LEGACY_API_KEY", KEY.to_owned()),
        ("ATTRIBUTE_MAP", "email=mail,custom:legacy_id=id".to_owned()),
        ("DEFAULT_GROUPS", "readers".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "x".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "x".to_owned()),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", format!("http://{}", listener.local_addr().unwrap())),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let function = Arc::new(Triggers::new(auth_api::triggers::TriggerSettings::read(environment).unwrap()).unwrap());
    let triggers = pool::TriggerFunction::new(move |event| {
        let function = function.clone();
        async move { function.answer(event).await.map_err(|e| TriggerError { refused: false, message: e.to_string() }) }
    });
    let pool = UserPool::start_on(listener, pool_of(newcomer, triggers)).await.unwrap();
    // The second time, there is nothing left to ask.
    for _ in 0..2 {
        let back = at_google_of(&pool, "7").await;
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
    let pool = UserPool::start(pool_of(stranger, triggers)).await.unwrap();
    let back = at_google_of(&pool, "7").await;
    assert_eq!(param(&back, "error_description").unwrap(), "PreSignUp failed with error not today.");
    let event = told.try_recv().unwrap();
    assert_eq!((&event["userName"], &event["region"]), (&"Google_7".into(), &"eu-west-1".into()));
    assert!(event["response"]["autoConfirmUser"].is_boolean());

    // A federated user signs in again; a native one calls nothing.
    assert!(param(&at_google_of(&pool, "108347000000000000001").await, "code").is_some());
    let event = told.try_recv().unwrap();
    assert_eq!(event["triggerSource"], "PostAuthentication_Authentication");
    assert_eq!(event["request"]["userAttributes"]["cognito:user_status"], "EXTERNAL_PROVIDER");
    assert!(told.try_recv().is_err());
}
