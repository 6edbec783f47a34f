//! What is known of a user: from the ID token, from userinfo, by whatever name the provider has for groups.

use super::{refresh, site};
use crate::support::{Browser, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, UnsignedJwt};
use serde_json::{Value, json};

fn userinfo(site: &Site, user: &str, claims: Value) -> Fault {
    let id = site.pool.mint_id_token("dev-web-client", user);
    let sub = payload(&id)["sub"].clone();
    let mut body = claims;
    body["sub"] = sub;
    Fault::Status { status: 200, content_type: "application/json", body: body.to_string() }
}

fn payload(token: &str) -> Value {
    use base64::Engine;
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

async fn groups(site: &Site, browser: &Browser) -> Value {
    browser.validate(site).await.json()["groups"].clone()
}

#[tokio::test]
async fn groups_are_where_the_operator_says() {
    let cases: [(&str, Value, &[&str]); 7] = [
        ("roles", json!({ "roles": ["a", "b"] }), &["a", "b"]),
        ("realm_access.roles", json!({ "realm_access": { "roles": ["a", "", 7, "b"] } }), &["a", "b"]),
        ("https://example.com/groups", json!({ "https://example.com/groups": ["a"] }), &["a"]),
        ("resource_access.my.app.roles", json!({ "resource_access": { "my.app": { "roles": ["a"] } } }), &["a"]),
        ("team", json!({ "team": "a b" }), &["a b"]),
        ("urn:roles", json!({ "urn:roles": { "admin": { "1": "x" }, "user": {} } }), &["admin", "user"]),
        ("realm_access.roles", json!({ "groups": ["not-these"] }), &[]),
    ];
    for (claim, claims, expected) in cases {
        let site = site(&[("PROVIDER__GROUPS_CLAIM", claim)]).await;
        site.pool.tamper_id_token(move |d| d.claims.extend(claims.as_object().unwrap().clone()));
        let jane = Browser::new();
        assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
        assert_eq!(groups(&site, &jane).await, json!(expected), "{claim}");
    }
}

#[tokio::test]
async fn groups_that_only_userinfo_knows_are_asked_for_though_the_id_token_has_an_address() {
    let named =
        |d: &mut UnsignedJwt| d.claims.extend([("name".to_owned(), json!("Jane")), ("email".to_owned(), json!("j@x"))]);
    for (key, value) in [("PROVIDER__GROUPS_CLAIM", "groups"), ("POLICY__GROUPS", "staff")] {
        let site = site(&[(key, value)]).await;
        site.pool.tamper_id_token(named);
        site.pool.fault(PoolEndpoint::UserInfo, userinfo(&site, "jane", json!({ "groups": ["staff"] })));
        let jane = Browser::new();
        assert_eq!(jane.sign_in(&site, "jane").await.status, 302, "{key}");
        assert_eq!(groups(&site, &jane).await, json!(["staff"]), "{key}");
    }
    let site = site(&[]).await;
    site.pool.tamper_id_token(named);
    Browser::new().sign_in(&site, "jane").await;
    assert_eq!(site.pool.count(PoolEndpoint::UserInfo), 0, "where nobody asks for groups, no call is made for them");
}

#[tokio::test]
async fn a_renewal_without_an_id_token_brings_what_userinfo_says_now() {
    let site = site(&[("PROVIDER__GROUPS_CLAIM", "groups")]).await;
    site.pool.fault(
        PoolEndpoint::UserInfo,
        userinfo(&site, "jane", json!({ "groups": ["staff"], "email": "j@x", "email_verified": true })),
    );
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let before = jane.validate(&site).await.json();
    assert_eq!(before["groups"], json!(["staff"]));
    site.pool.fault(PoolEndpoint::TokenRefresh, Fault::edit_json(|answer| drop(answer.remove("id_token"))));
    site.pool.fault(
        PoolEndpoint::UserInfo,
        userinfo(&site, "jane", json!({ "groups": ["board"], "email": "j@x", "email_verified": true })),
    );
    assert_eq!(refresh(&site, &jane).await.status, 200);
    let after = jane.validate(&site).await.json();
    assert_eq!(
        (&after["groups"], &after["sub"], &after["username"]),
        (&json!(["board"]), &before["sub"], &before["username"])
    );
    site.pass(60);
    site.pool.fault(PoolEndpoint::UserInfo, userinfo(&site, "jane", json!({ "email": "j@x", "email_verified": true })));
    assert_eq!(refresh(&site, &jane).await.status, 200);
    assert_eq!(groups(&site, &jane).await, json!([]), "who is in no group any more");
}

#[tokio::test]
async fn at_a_renewal_without_an_id_token_userinfo_says_whose_tokens_they_are() {
    let site = site(&[]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let [access, _, refresh_token] = super::tokens(&site, &jane).await;
    let swapped = |answer: &mut serde_json::Map<String, Value>| {
        answer.remove("id_token");
        answer.insert("access_token".into(), json!("erins-access-token"));
        answer.insert("refresh_token".into(), json!("erins-refresh-token"));
    };
    for info in [
        userinfo(&site, "erin", json!({})),
        Fault::Status { status: 500, content_type: "text/plain", body: String::new() },
    ] {
        site.pool.fault(PoolEndpoint::TokenRefresh, Fault::edit_json(swapped));
        site.pool.fault(PoolEndpoint::UserInfo, info);
        let asked = site.pool.count(PoolEndpoint::TokenRefresh);
        until("it is asked", async || {
            assert_eq!(refresh(&site, &jane).await.status, 503);
            site.pool.count(PoolEndpoint::TokenRefresh) > asked
        })
        .await;
        let now = super::tokens(&site, &jane).await;
        assert_eq!((&now[0], &now[2]), (&access, &refresh_token), "nothing of erin's is kept");
    }
}

#[tokio::test]
async fn userinfo_may_be_signed() {
    let site = site(&[("PROVIDER__GROUPS_CLAIM", "groups")]).await;
    let signed = |tamper: fn(&mut UnsignedJwt)| {
        site.pool.tamper_id_token(tamper);
        let body = site.pool.mint_id_token("dev-web-client", "jane");
        site.pool.clear_tampering();
        site.pool.fault(
            PoolEndpoint::UserInfo,
            Fault::Status { status: 200, content_type: "application/jwt; charset=utf-8", body },
        );
    };
    let groups_of = |d: &mut UnsignedJwt| drop(d.claims.insert("groups".into(), json!(["staff"])));
    signed(groups_of);
    let jane = Browser::new();
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
    assert_eq!(groups(&site, &jane).await, json!(["staff"]));
    type Tamper = fn(&mut UnsignedJwt);
    let bad: [(&str, Tamper); 5] = [
        ("a forged one", |d| d.signature = auth_api::dev::pool::Signature::OtherKey),
        ("unsigned", |d| d.signature = auth_api::dev::pool::Signature::None),
        ("another user's", |d| drop(d.claims.insert("sub".into(), json!("somebody-else")))),
        ("another issuer's", |d| drop(d.claims.insert("iss".into(), json!("https://evil.test")))),
        ("for another client", |d| drop(d.claims.insert("aud".into(), json!("other")))),
    ];
    for (case, tamper) in bad {
        signed(tamper);
        assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 502, "{case}");
    }
    signed(|d| d.claims.retain(|name, _| name == "sub"));
    assert_eq!(
        Browser::new().sign_in(&site, "jane").await.status,
        302,
        "OIDC Core §5.3.2: they should be there, not must"
    );
}
