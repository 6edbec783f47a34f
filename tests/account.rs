//! What people do with their account: see and change their attributes, get credentials for AWS; and what an
//! administrator of the user pool does to it.

use crate::support::{Answer, Browser, Log, Site, until};
use auth_api::dev::pool::{Fault, IDENTITY_POOL, PoolEndpoint, Rotation};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const SCOPES: (&str, &str) = ("PROVIDER__SCOPES", "openid,email,profile,aws.cognito.signin.user.admin");
const WRITABLE: (&str, &str) = ("ACCOUNT__WRITABLE", "name,custom:theme");
const POOL: (&str, &str) = ("AWS__IDENTITY_POOL", IDENTITY_POOL);

/// The service with everything that Cognito offers beyond the sign-in.
async fn site(configuration: &[(&str, &str)]) -> Site {
    Site::with(&[&[SCOPES, WRITABLE, POOL], configuration].concat()).await
}

async fn signed_in(site: &Site, user: &str) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.sign_in(site, user).await.status, 302);
    browser
}

async fn change(browser: &Browser, site: &Site, body: &Value) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.header("content-type", "application/json").body(body.to_string());
    browser.send(Method::PATCH, &site.auth("/auth/profile"), shape).await
}

async fn credentials(browser: &Browser, site: &Site) -> Answer {
    browser.post(&site.auth("/auth/aws-credentials"), &[]).await
}

#[tokio::test]
async fn people_see_their_attributes_as_the_pool_has_them() {
    let site = site(&[]).await;
    let (jane, gary) = (signed_in(&site, "jane").await, signed_in(&site, "gary").await);
    let profile = jane.get(&site.auth("/auth/profile")).await;
    assert_eq!((profile.status, profile.header("cache-control")), (200, Some("no-store")));
    let profile = profile.json();
    assert_eq!((&profile["username"], &profile["provider"]), (&json!("jane"), &json!("COGNITO")));
    assert_eq!(profile["attributes"]["custom:legacy_id"], "42");
    assert_eq!(profile["attributes"]["email_verified"], "true");
    assert_eq!(profile["writable"], json!(["name", "custom:theme"]));
    assert_eq!(gary.get(&site.auth("/auth/profile")).await.json()["provider"], "Google");
    // As it is now, not as it was at the sign-in.
    site.pool.edit_user("jane", |user| drop(user.attributes.insert("name".into(), "Jane Roe".into())));
    assert_eq!(jane.get(&site.auth("/auth/profile")).await.json()["attributes"]["name"], "Jane Roe");
    assert_eq!(Browser::new().get(&site.auth("/auth/profile")).await.status, 401);
}

#[tokio::test]
async fn people_change_what_they_may_and_siblings_see_it_at_once() {
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    let changed = change(&jane, &site, &json!({ "name": "Jane Roe", "custom:theme": "dark" })).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_eq!(changed.json()["attributes"]["custom:theme"], "dark");
    let known = jane.validate(&site).await.json();
    assert_eq!((&known["name"], &known["attributes"]["custom:theme"]), (&json!("Jane Roe"), &json!("dark")));
}

#[tokio::test]
async fn what_may_not_be_changed_stays_as_it_is() {
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    for (body, status, problem) in [
        (json!({ "email": "root@example.com" }), 403, "attribute-not-writable"),
        (json!({ "email_verified": "true" }), 403, "attribute-not-writable"),
        (json!({ "custom:legacy_id": "1" }), 403, "attribute-not-writable"),
        (json!({ "name": "x", "sub": "y" }), 403, "attribute-not-writable"),
        (json!({}), 400, "unreadable-body"),
        (json!([]), 400, "unreadable-body"),
        (json!({ "name": null }), 400, "unreadable-body"),
        (json!({ "name": ["x"] }), 400, "unreadable-body"),
        (json!({ "name": "x".repeat(2_049) }), 400, "unreadable-body"),
    ] {
        let refused = change(&jane, &site, &body).await;
        assert_eq!((refused.status, refused.problem().as_str()), (status, problem), "{body}");
    }
    assert_eq!(site.pool.count(PoolEndpoint::Api), 0, "nothing of it was worth a question");
    let profile = jane.get(&site.auth("/auth/profile")).await.json();
    assert_eq!(
        (&profile["attributes"]["name"], &profile["attributes"]["email"]),
        (&json!("Jane Doe"), &json!("jane@example.com"))
    );
}

#[tokio::test]
async fn no_other_sites_page_changes_or_gets_anything() {
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    let foreign = |r: reqwest::RequestBuilder| r.header("origin", "https://evil.test");
    let json =
        |r: reqwest::RequestBuilder| foreign(r).header("content-type", "application/json").body(r#"{"name":"x"}"#);
    let refused = jane.send(Method::PATCH, &site.auth("/auth/profile"), json).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "origin-not-allowed"));
    let refused = jane.send(Method::POST, &site.auth("/auth/aws-credentials"), foreign).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "origin-not-allowed"));
    // A form cannot say that it is JSON.
    let form = jane.send(Method::PATCH, &site.auth("/auth/profile"), |r| r.form(&[("name", "x")])).await;
    assert_eq!(form.status, 400);
    let read = jane.send(Method::GET, &site.auth("/auth/profile"), foreign).await;
    assert_eq!(read.header("access-control-allow-origin"), None);
    let ours = |r: reqwest::RequestBuilder| r.header("origin", &site.cms_url);
    let read = jane.send(Method::POST, &site.auth("/auth/aws-credentials"), ours).await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(site.cms_url.as_str())));
    assert_eq!(jane.get(&site.auth("/auth/aws-credentials")).await.status, 405);
}

#[tokio::test]
async fn a_token_that_the_pool_takes_no_more_is_renewed_or_the_session_ends() {
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    site.pass(3_590);
    assert_eq!(jane.get(&site.auth("/auth/profile")).await.status, 200, "renewed before it is used");
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1);
    site.pool.sign_out_user("jane");
    let over = jane.get(&site.auth("/auth/profile")).await;
    assert_eq!((over.status, over.problem().as_str()), (401, "session-ended"));
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn without_the_scope_or_the_pool_it_is_said_what_is_missing() {
    let plain = Site::start().await;
    let jane = signed_in(&plain, "jane").await;
    for answer in [jane.get(&plain.auth("/auth/profile")).await, credentials(&jane, &plain).await] {
        assert_eq!((answer.status, answer.problem().as_str()), (404, "not-offered"));
    }
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    site.pool.fault(PoolEndpoint::Api, Fault::Status { status: 503, content_type: "text/html", body: "<h1>".into() });
    for answer in [jane.get(&site.auth("/auth/profile")).await, credentials(&jane, &site).await] {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "provider-unavailable"));
        assert!(answer.header("retry-after").is_some());
    }
    let throttled = json!({ "__type": "TooManyRequestsException", "message": "Rate exceeded" }).to_string();
    site.pool
        .fault(PoolEndpoint::Api, Fault::Status { status: 400, content_type: "application/json", body: throttled });
    assert_eq!(jane.get(&site.auth("/auth/profile")).await.status, 503);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn aws_credentials_are_fetched_once_and_are_each_users_own() {
    let log = Log::capture();
    let site = site(&[("AWS__ROLE_ARN", "arn:aws:iam::111122223333:role/app")]).await;
    let (jane, again, erin) =
        (signed_in(&site, "jane").await, signed_in(&site, "jane").await, signed_in(&site, "erin").await);
    let first = credentials(&jane, &site).await;
    assert_eq!((first.status, first.header("cache-control")), (200, Some("no-store")));
    let told = first.json();
    for name in ["identity_id", "access_key_id", "secret_access_key", "session_token"] {
        assert!(told[name].as_str().unwrap().len() > 10, "{name}");
    }
    assert!(told["session_token"].as_str().unwrap().starts_with("arn:aws:iam::111122223333:role/app "));
    let calls = site.pool.count(PoolEndpoint::Api);
    assert_eq!(calls, 2, "GetId and GetCredentialsForIdentity");
    assert_eq!(credentials(&jane, &site).await.json(), told);
    assert_eq!(site.pool.count(PoolEndpoint::Api), calls);
    // Another session of hers: the same identity, credentials of its own.
    let other = credentials(&again, &site).await.json();
    assert_eq!(other["identity_id"], told["identity_id"]);
    assert_ne!(other["secret_access_key"], told["secret_access_key"]);
    assert_eq!(site.pool.count(PoolEndpoint::Api), calls + 1);
    assert_ne!(credentials(&erin, &site).await.json()["identity_id"], told["identity_id"]);
    // A renewal may bring other groups, and so another role.
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    let renewed = credentials(&jane, &site).await.json();
    assert_ne!(renewed["secret_access_key"], told["secret_access_key"]);
    // Shortly before they run out they are fetched anew.
    site.pass(3_400);
    assert_ne!(credentials(&jane, &site).await.json()["secret_access_key"], renewed["secret_access_key"]);
    let log = log.text();
    for secret in [&told["secret_access_key"], &told["session_token"]] {
        assert!(!log.contains(secret.as_str().unwrap()));
    }
}

#[tokio::test]
async fn strangers_get_credentials_only_where_guests_are_wanted() {
    let closed = site(&[]).await;
    let refused = credentials(&Browser::new(), &closed).await;
    assert_eq!((refused.status, refused.problem().as_str()), (401, "not-signed-in"));
    assert_eq!(closed.pool.count(PoolEndpoint::Api), 0);
    let open = site(&[("AWS__GUEST", "true")]).await;
    let mut guests = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let guest = credentials(&Browser::new(), &open).await;
        assert_eq!(guest.status, 200);
        for name in ["identity_id", "access_key_id", "session_token"] {
            assert!(guests.insert(guest.json()[name].to_string()), "a guest has what another one has");
        }
    }
    let crowd = join_all((0..100).map(async |_| credentials(&Browser::new(), &open).await)).await;
    let (given, refused): (Vec<_>, Vec<_>) = crowd.iter().partition(|answer| answer.status == 200);
    assert!(given.len() < 100 && !refused.is_empty(), "guests leave others some of AWS's limit");
    assert!(
        refused.iter().all(|answer| answer.status == 503 && answer.header("retry-after") == Some("1")),
        "{refused:?}"
    );
    // Whose session is over is no guest, but somebody who has to sign in.
    let browser = Browser::new();
    browser.plant(&open.auth_url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost; Path=/");
    assert_eq!(credentials(&browser, &open).await.status, 401);
}

#[tokio::test]
async fn what_aws_refuses_is_explained_without_its_words() {
    let site = site(&[("AWS__LOGIN", "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Other")]).await;
    let jane = signed_in(&site, "jane").await;
    let refused = credentials(&jane, &site).await;
    assert_eq!((refused.status, refused.problem().as_str()), (502, "no-credentials"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("a provider of the identity pool"));
    for (code, hint) in [
        ("ResourceNotFoundException", "aws.identity_pool"),
        ("InvalidIdentityPoolConfigurationException", "trust policy"),
        ("LimitExceededException", "in the log"),
    ] {
        let body = json!({ "__type": format!("com.amazonaws.cognito#{code}"), "message": "secret words" }).to_string();
        site.pool.fault(PoolEndpoint::Api, Fault::Status { status: 400, content_type: "application/json", body });
        let refused = credentials(&jane, &site).await;
        assert_eq!(refused.status, 502);
        assert!(refused.body.contains(hint) && !refused.body.contains("secret words"), "{refused:?}");
    }
}

#[tokio::test]
async fn who_is_disabled_or_signed_out_at_the_pool_is_out_within_the_interval() {
    let site = site(&[("VALIDATE__CHECK_REVOKED", "5m")]).await;
    let (jane, erin, gary) =
        (signed_in(&site, "jane").await, signed_in(&site, "erin").await, signed_in(&site, "gary").await);
    let check = async || site.rp.check_revoked(Duration::from_secs(300)).await;
    check().await;
    assert_eq!(site.pool.count(PoolEndpoint::Api), 0, "the sign-in was an answer itself");
    site.pool.sign_out_user("jane");
    site.pool.edit_user("erin", |user| user.enabled = false);
    site.pass(310);
    for browser in [&jane, &erin, &gary] {
        assert_eq!(browser.validate(&site).await.status, 200, "nobody is asked in a request");
    }
    assert_eq!(site.pool.count(PoolEndpoint::Api), 0);
    check().await;
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(erin.validate(&site).await.status, 401);
    assert_eq!(gary.validate(&site).await.status, 200);
    let asked = site.pool.count(PoolEndpoint::Api);
    assert_eq!(asked, 3);
    check().await;
    assert_eq!(site.pool.count(PoolEndpoint::Api), asked, "once in an interval");
    // While the pool is away nobody is signed out.
    site.pass(310);
    assert_eq!(gary.validate(&site).await.status, 200);
    site.pool.fault(PoolEndpoint::Api, Fault::Status { status: 500, content_type: "text/html", body: String::new() });
    check().await;
    assert_eq!(gary.validate(&site).await.status, 200);
}

#[tokio::test]
async fn a_call_that_has_read_the_session_before_a_renewal_takes_the_new_tokens() {
    let site = site(&[]).await;
    site.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 0 });
    let jane = signed_in(&site, "jane").await;
    let before = site.session(&jane).await;
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    assert!(site.session(&jane).await.version > before.version);
    let user = site.rp.account(&before, &BTreeMap::new()).await.unwrap();
    assert_eq!(user.sub, Some(before.principal().sub));
}

#[tokio::test]
async fn a_session_of_somebody_who_may_not_sign_in_any_more_gets_nothing() {
    let site = site(&[("POLICY__GROUPS", "admins")]).await;
    let erin = signed_in(&site, "erin").await;
    assert_eq!(credentials(&erin, &site).await.status, 200);
    // As if it were from before the policy.
    let mut session = site.session(&erin).await.session();
    session.principal.groups = vec!["editors".into()];
    let old = site.rp.sessions.create(session, site.tokens(&erin).await).await.unwrap();
    let browser = Browser::new();
    let cookie = format!("auth={}; Domain=app.localhost; Path=/", BASE64_URL_SAFE_NO_PAD.encode(old.id.as_bytes()));
    browser.plant(&site.auth_url, &cookie);
    for answer in [
        browser.validate(&site).await,
        credentials(&browser, &site).await,
        browser.get(&site.auth("/auth/profile")).await,
        change(&browser, &site, &json!({ "name": "x" })).await,
    ] {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "not-admitted"), "{answer:?}");
    }
    let session = browser.get(&site.auth("/auth/session")).await;
    assert_eq!((session.status, session.json()["signin_url"].as_str()), (401, Some(&*site.auth("/auth/signin"))));
    // And the sign-in does not take it for one.
    let authorize = browser.get(&site.auth("/auth/signin")).await.location();
    assert!(authorize.contains("/oauth2/authorize"), "{authorize}");
    // A renewal brings the groups of now, asked for or not.
    assert_eq!(browser.post(&site.auth("/refresh"), &[]).await.status, 200);
    assert_eq!(credentials(&browser, &site).await.status, 200);
}

#[tokio::test]
async fn an_odd_answer_about_one_user_keeps_nobody_from_being_asked_about() {
    let site = site(&[]).await;
    let (jane, erin) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await);
    site.pool.sign_out_user("jane");
    site.pool.sign_out_user("erin");
    site.pass(310);
    for browser in [&jane, &erin] {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    for code in ["PasswordResetRequiredException", "InvalidParameterException"] {
        let body = json!({ "__type": code, "message": "" }).to_string();
        site.pool.fault_once(PoolEndpoint::Api, Fault::Status { status: 400, content_type: "application/json", body });
    }
    site.rp.check_revoked(Duration::from_secs(300)).await;
    assert_eq!(site.pool.count(PoolEndpoint::Api), 2, "both were asked about");
    let out = [jane.validate(&site).await.status, erin.validate(&site).await.status];
    assert!(out.contains(&401), "the renewal decides about whose password is to be set anew: {out:?}");
}

#[tokio::test]
async fn a_token_that_was_revoked_alone_signs_nobody_out() {
    let site = site(&[]).await;
    let jane = signed_in(&site, "jane").await;
    site.pass(310);
    assert_eq!(jane.validate(&site).await.status, 200);
    let revoked = json!({ "__type": "NotAuthorizedException", "message": "Access Token has been revoked" }).to_string();
    site.pool.fault(PoolEndpoint::Api, Fault::Status { status: 400, content_type: "application/json", body: revoked });
    site.rp.check_revoked(Duration::from_secs(300)).await;
    until("renewed", async || site.pool.count(PoolEndpoint::TokenRefresh) == 1).await;
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn one_that_the_provider_does_not_answer_for_keeps_nobody_from_being_asked_about() {
    let site = site(&[]).await;
    let (jane, erin) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await);
    site.pool.sign_out_user("jane");
    site.pool.sign_out_user("erin");
    site.pass(310);
    for browser in [&jane, &erin] {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    let answer = |status, body: &str| Fault::Status { status, content_type: "application/json", body: body.into() };
    site.pool.fault_once(PoolEndpoint::Api, answer(500, "{}"));
    site.rp.check_revoked(Duration::from_secs(300)).await;
    assert_eq!(site.pool.count(PoolEndpoint::Api), 2, "both were asked about");
    let out = [jane.validate(&site).await.status, erin.validate(&site).await.status];
    assert!(out.contains(&401) && out.contains(&200), "{out:?}");
    site.pass(61);
    site.rp.check_revoked(Duration::from_secs(300)).await;
    assert_eq!((jane.validate(&site).await.status, erin.validate(&site).await.status), (401, 401), "and again soon");
}
