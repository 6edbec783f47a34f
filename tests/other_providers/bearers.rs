//! Bearer tokens in the shapes of many providers: one rule for each kind, never either.

use super::site;
use crate::support::{Answer, Browser, Site};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};

/// A token of the pool with this header `typ` and these claims beside issuer, subject and times; `null` takes one out.
fn token(site: &Site, typ: Option<&'static str>, claims: Value) -> String {
    site.pool.tamper_access_token(move |draft| {
        draft.claims.retain(|name, _| ["iss", "sub", "exp", "iat"].contains(&name.as_str()));
        for (name, value) in claims.as_object().unwrap() {
            match value {
                Value::Null => drop(draft.claims.remove(name)),
                value => drop(draft.claims.insert(name.clone(), value.clone())),
            }
        }
        if let Some(typ) = typ {
            draft.header.insert("typ".into(), typ.into());
        }
    });
    let token = site.pool.mint_access_token("dev-web-client", "jane", &[]);
    site.pool.clear_tampering();
    token
}

async fn bearer(site: &Site, token: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await
}

const WEB: &str = "dev-web-client";
const MACHINE: &str = "dev-machine-client";

/// How Dex writes a subject: two fields of a protocol buffer.
fn dex(user: &str, connector: &str) -> String {
    let field = |tag: u8, text: &str| [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let connector = if connector.is_empty() { vec![] } else { field(0x12, connector) };
    BASE64_URL_SAFE_NO_PAD.encode([field(0x0a, user), connector].concat())
}

#[tokio::test]
async fn each_kind_of_token_is_judged_by_its_own_rule() {
    let site = site(&[]).await;
    let keycloak = |more: Value| {
        let mut claims = json!({
            "jti": "onrtac:1", "auth_time": 1, "typ": "Bearer", "azp": WEB, "aud": [WEB, "account"], "sid": "s-1", "acr": "1",
            "scope": "openid email profile", "preferred_username": "jane", "email": "jane@example.com", "email_verified": true,
        });
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims
    };
    let account = |client: &str| {
        let name = format!("service-account-{client}");
        json!({ "azp": client, "client_id": client, "preferred_username": name, "sid": null, "clientHost": "10.0.0.1" })
    };
    let cases = [
        // Access tokens: an accepted client, an accepted audience.
        ("keycloak, of a user", Some("JWT"), keycloak(json!({})), Some("user")),
        ("keycloak, at+jwt", Some("at+jwt"), keycloak(json!({})), Some("user")),
        ("keycloak, with the default audience", Some("JWT"), keycloak(json!({ "aud": "account" })), Some("user")),
        ("keycloak, without audience", Some("JWT"), keycloak(json!({ "aud": null })), Some("user")),
        ("keycloak, for another API", Some("JWT"), keycloak(json!({ "aud": "orders" })), None),
        ("keycloak, for another API as well", Some("JWT"), keycloak(json!({ "aud": ["orders", "account"] })), None),
        ("no keycloak", Some("at+jwt"), json!({ "client_id": WEB, "aud": "account" }), None),
        (
            "keycloak, the default audience, of a foreign client",
            Some("JWT"),
            keycloak(json!({ "azp": "other", "aud": "account" })),
            None,
        ),
        ("keycloak, of a foreign client", Some("JWT"), keycloak(json!({ "azp": "other" })), None),
        ("keycloak, of no client", Some("JWT"), keycloak(json!({ "azp": null })), None),
        ("RFC 9068, of a user", Some("at+jwt"), json!({ "client_id": WEB, "aud": WEB, "scope": "a" }), Some("user")),
        ("RFC 9068, in full", Some("application/AT+JWT"), json!({ "client_id": WEB, "aud": [WEB] }), Some("user")),
        ("without typ, by its claims", None, json!({ "client_id": WEB, "aud": WEB, "scope": "a" }), Some("user")),
        ("of a foreign client", Some("at+jwt"), json!({ "client_id": "other", "azp": WEB, "aud": WEB }), None),
        ("without audience", Some("at+jwt"), json!({ "client_id": WEB }), None),
        ("for another API", Some("at+jwt"), json!({ "client_id": WEB, "aud": "https://orders.example.com" }), None),
        // Machines.
        ("RFC 9068", Some("at+jwt"), json!({ "client_id": MACHINE, "sub": MACHINE, "aud": WEB }), Some("machine")),
        ("keycloak", Some("JWT"), keycloak(account(MACHINE)), Some("machine")),
        ("keycloak, ours", Some("at+jwt"), keycloak(account(WEB)), Some("machine")),
        (
            "keycloak, a person who took such a name",
            Some("JWT"),
            keycloak(json!({ "preferred_username": format!("service-account-{WEB}") })),
            Some("user"),
        ),
        (
            "keycloak, the name of another client's",
            Some("JWT"),
            keycloak(json!({ "sid": null, "preferred_username": format!("service-account-{MACHINE}") })),
            Some("user"),
        ),
        ("dex", None, json!({ "aud": WEB, "sub": dex(WEB, ""), "at_hash": "x", "jti": null }), Some("machine")),
        ("dex, a person", None, json!({ "aud": WEB, "sub": dex("joe", "local"), "at_hash": "x" }), Some("user")),
        (
            "dex, a person called so",
            None,
            json!({ "aud": WEB, "sub": dex(WEB, "local"), "at_hash": "x" }),
            Some("user"),
        ),
        // ID tokens: our client.
        ("an ID token", Some("JWT"), json!({ "aud": WEB, "nonce": "n", "at_hash": "x" }), Some("user")),
        ("keycloak's", Some("JWT"), keycloak(json!({ "typ": "ID", "aud": WEB, "scope": null })), Some("user")),
        ("zitadel's", None, json!({ "aud": [WEB, "1"], "azp": WEB, "client_id": WEB, "at_hash": "x" }), Some("user")),
        ("several audiences without azp", None, json!({ "aud": [WEB, "x"], "nonce": "n" }), None),
        ("of another client", None, json!({ "aud": MACHINE, "nonce": "n" }), None),
        ("authorized for another", None, json!({ "aud": WEB, "azp": MACHINE, "nonce": "n" }), None),
        // Neither.
        (
            "a logout token without typ",
            None,
            json!({ "aud": WEB, "events": { "http://schemas.openid.net/event/backchannel-logout": {} } }),
            None,
        ),
        ("a logout token", Some("logout+jwt"), json!({ "aud": WEB, "nonce": "n" }), None),
        ("an introspection", Some("token-introspection+jwt"), json!({ "aud": WEB }), None),
        ("keycloak's refresh token", Some("JWT"), keycloak(json!({ "typ": "Refresh" })), None),
        ("keycloak's offline token", Some("JWT"), keycloak(json!({ "typ": "Offline" })), None),
        ("keycloak's logout token", Some("JWT"), keycloak(json!({ "typ": "Logout" })), None),
        ("a refresh token under an ID token's typ", None, json!({ "aud": WEB, "nonce": "n", "typ": "Refresh" }), None),
        ("a typ of another kind", None, json!({ "aud": WEB, "nonce": "n", "typ": 7 }), None),
        ("the other use", None, json!({ "aud": WEB, "nonce": "n", "token_use": "refresh" }), None),
    ];
    for (case, typ, claims, kind) in cases {
        let answer = bearer(&site, &token(&site, typ, claims)).await;
        let expected = if kind.is_some() { 200 } else { 401 };
        assert_eq!((answer.status, answer.header("x-auth-kind")), (expected, kind), "{case}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_access_token_is_never_judged_by_the_rule_for_id_tokens() {
    let site = site(&[]).await;
    let claims = json!({ "typ": "Bearer", "azp": WEB, "aud": WEB, "scope": "openid", "email": "jane@example.com",
        "email_verified": true });
    let answer = bearer(&site, &token(&site, Some("JWT"), claims)).await;
    assert_eq!((answer.status, answer.header("x-auth-scopes")), (200, Some("openid")), "{answer:?}");
    assert_eq!(answer.json()["provider"], Value::Null, "it does not say who signed the user in");
}

#[tokio::test]
async fn tokens_made_for_an_api_count_where_their_audience_is_accepted() {
    let api = "https://orders.example.com";
    let site = site(&[("PROVIDER__ACCEPTED_AUDIENCES", "account,https://orders.example.com")]).await;
    for aud in [json!(api), json!(["x", api]), json!("account"), json!(WEB)] {
        let made = token(&site, Some("at+jwt"), json!({ "azp": MACHINE, "aud": aud }));
        assert_eq!(bearer(&site, &made).await.status, 200, "{aud}");
    }
    for aud in [json!("https://orders.example.com/"), json!([]), json!("other")] {
        let made = token(&site, Some("at+jwt"), json!({ "azp": MACHINE, "aud": aud }));
        assert_eq!(bearer(&site, &made).await.status, 401, "{aud}");
    }
    let id = token(&site, None, json!({ "aud": api, "nonce": "n" }));
    assert_eq!(bearer(&site, &id).await.status, 401, "an ID token is for our client alone");
}

#[tokio::test]
async fn a_cognito_token_bound_to_an_api_counts_where_its_audience_is_accepted() {
    let plain = Site::start().await;
    let bound = |site: &Site, aud: Value| {
        site.pool.tamper_access_token(move |d| drop(d.claims.insert("aud".into(), aud.clone())));
        site.pool.mint_access_token(WEB, "jane", &["openid"])
    };
    assert_eq!(bearer(&plain, &bound(&plain, json!("https://orders.example.com"))).await.status, 401);
    assert_eq!(bearer(&plain, &bound(&plain, json!(WEB))).await.status, 200);
    let site = Site::with(&[("PROVIDER__ACCEPTED_AUDIENCES", "https://orders.example.com")]).await;
    assert_eq!(bearer(&site, &bound(&site, json!("https://orders.example.com"))).await.status, 200);
    assert_eq!(bearer(&site, &bound(&site, json!("https://other.example.com"))).await.status, 401);
}

/// RFC 8707, with a pool that does it itself.
#[tokio::test]
async fn a_sign_in_for_a_resource_gets_tokens_that_count_there() {
    let api = "https://orders.example.com";
    for (accepted, status) in [(api, 200), ("https://other.example.com", 401)] {
        let site = Site::with(&[
            ("PROVIDER__AUTHORIZE_PARAMETERS", "resource=https://orders.example.com"),
            ("PROVIDER__ACCEPTED_AUDIENCES", accepted),
            ("COOKIES__EXPOSE", "access_token"),
        ])
        .await;
        let jane = Browser::new();
        let signed_in = jane.sign_in(&site, "jane").await;
        assert_eq!(signed_in.status, 302);
        let cookie = signed_in.set_cookies("access_token").concat();
        let token = cookie.split(['=', ';']).nth(1).unwrap();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["aud"], api);
        assert_eq!(bearer(&site, token).await.status, status);
    }
}

#[tokio::test]
async fn times_may_have_a_fraction() {
    let cognito = Site::start().await;
    let fraction = |d: &mut auth_api::dev::pool::UnsignedJwt| {
        for name in ["exp", "iat"] {
            let at = d.claims[name].as_f64().unwrap() + 0.75;
            d.claims.insert(name.into(), json!(at));
        }
        let iat = d.claims["iat"].clone();
        d.claims.insert("nbf".into(), iat);
    };
    cognito.pool.tamper_access_token(fraction);
    cognito.pool.tamper_id_token(fraction);
    let jane = Browser::new();
    assert_eq!(jane.sign_in(&cognito, "jane").await.status, 302);
    assert_eq!(bearer(&cognito, &cognito.pool.mint_access_token(WEB, "jane", &[])).await.status, 200);
    assert_eq!(bearer(&cognito, &cognito.pool.mint_id_token(WEB, "jane")).await.status, 200);
    let told = cognito.pool.mint_logout_token(WEB, "jane", fraction);
    let answer = Browser::new().post(&cognito.auth("/auth/backchannel-logout"), &[("logout_token", &told)]).await;
    assert_eq!((answer.status, jane.validate(&cognito).await.status), (200, 401), "{answer:?}");
    cognito.pool.tamper_access_token(|d| {
        let at = d.claims["iat"].as_f64().unwrap() - 30.75;
        d.claims.insert("exp".into(), json!(at));
    });
    assert_eq!(bearer(&cognito, &cognito.pool.mint_access_token(WEB, "jane", &[])).await.status, 401);
}

#[tokio::test]
async fn an_issuer_is_one_text() {
    let list = |d: &mut auth_api::dev::pool::UnsignedJwt| {
        let issuers = json!([d.claims["iss"], "https://evil.test"]);
        d.claims.insert("iss".into(), issuers);
    };
    let cognito = Site::start().await;
    cognito.pool.tamper_access_token(list);
    cognito.pool.tamper_id_token(list);
    assert_eq!(bearer(&cognito, &cognito.pool.mint_access_token(WEB, "jane", &[])).await.status, 401);
    assert_eq!(bearer(&cognito, &cognito.pool.mint_id_token(WEB, "jane")).await.status, 401);
    let told = cognito.pool.mint_logout_token(WEB, "jane", list);
    let answer = Browser::new().post(&cognito.auth("/auth/backchannel-logout"), &[("logout_token", &told)]).await;
    assert_eq!(answer.status, 400);
}
