//! A provider that lies, stalls or is somebody else: nobody is signed in, the page is clear, the log has
//! the reason.

mod documents;

use crate::support::{Browser, Log, Site};
use auth_api::dev::pool::{Fault, PoolEndpoint, Rotation, Signature, UnsignedJwt};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use std::time::Duration;

type Tamper = fn(&mut UnsignedJwt);

fn claim(draft: &mut UnsignedJwt, name: &str, value: Value) {
    draft.claims.insert(name.to_owned(), value);
}

fn now(draft: &UnsignedJwt) -> i64 {
    draft.claims["iat"].as_i64().unwrap()
}

/// What is wrong with the ID token, and the words that the log has for it.
const ID_TOKENS: &[(&str, &str, Tamper)] = &[
    ("another issuer", "another issuer", |d| claim(d, "iss", json!("https://evil.test/pool"))),
    ("an issuer with a slash more", "another issuer", |d| {
        let iss = d.claims["iss"].as_str().unwrap().to_owned() + "/";
        claim(d, "iss", json!(iss));
    }),
    ("no issuer", "not a signed JWT", |d| drop(d.claims.remove("iss"))),
    ("another audience", "another client", |d| claim(d, "aud", json!("other-client"))),
    ("an empty audience", "another client", |d| claim(d, "aud", json!([]))),
    ("no audience", "another client", |d| drop(d.claims.remove("aud"))),
    ("several audiences without azp", "another client", |d| claim(d, "aud", json!(["dev-web-client", "other"]))),
    ("several audiences, azp of another", "another client", |d| {
        claim(d, "aud", json!(["dev-web-client", "other"]));
        claim(d, "azp", json!("other"));
    }),
    ("azp of another client", "another client", |d| claim(d, "azp", json!("other"))),
    ("another nonce", "nonce", |d| claim(d, "nonce", json!("n-of-somebody-else-012"))),
    ("no nonce", "nonce", |d| drop(d.claims.remove("nonce"))),
    ("an empty nonce", "nonce", |d| claim(d, "nonce", json!(""))),
    ("expired", "expired", |d| {
        let at = now(d) - 40;
        claim(d, "exp", json!(at));
    }),
    ("no expiry", "not a signed JWT", |d| drop(d.claims.remove("exp"))),
    ("expiry as text", "not a signed JWT", |d| claim(d, "exp", json!("4102444800"))),
    ("expiry as null", "not a signed JWT", |d| claim(d, "exp", json!(null))),
    ("expiry below zero", "not a signed JWT", |d| claim(d, "exp", json!(-1))),
    ("expiry beyond all numbers", "not a signed JWT", |d| claim(d, "exp", json!(1e300))),
    ("issued in the future", "not valid yet", |d| {
        let at = now(d) + 120;
        claim(d, "iat", json!(at));
    }),
    ("no time of issue", "not a signed JWT", |d| drop(d.claims.remove("iat"))),
    ("not valid yet", "not valid yet", |d| {
        let at = now(d) + 120;
        claim(d, "nbf", json!(at));
    }),
    ("nbf as text", "not a signed JWT", |d| claim(d, "nbf", json!("soon"))),
    ("no subject", "not a signed JWT", |d| drop(d.claims.remove("sub"))),
    ("an empty subject", "subject is empty", |d| claim(d, "sub", json!(""))),
    ("a subject that is a number", "not a signed JWT", |d| claim(d, "sub", json!(7))),
    ("at_hash of another access token", "at_hash", |d| claim(d, "at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"))),
    ("an access token in its place", "another use", |d| claim(d, "token_use", json!("access"))),
    ("no token_use", "another use", |d| drop(d.claims.remove("token_use"))),
    ("token_use in a list", "not a signed JWT", |d| claim(d, "token_use", json!(["id", "access"]))),
    ("another user than the access token", "another user", |d| claim(d, "sub", json!("somebody-else"))),
    ("alg none", "RS256", |d| {
        d.header.insert("alg".into(), json!("none"));
        d.signature = Signature::None;
    }),
    ("alg NoNe", "RS256", |d| {
        d.header.insert("alg".into(), json!("NoNe"));
        d.signature = Signature::None;
    }),
    ("no signature", "RS256", |d| d.signature = Signature::None),
    ("the public key as an HMAC secret", "RS256", |d| {
        d.header.insert("alg".into(), json!("HS256"));
        d.signature = Signature::HmacWithPublicKey;
    }),
    ("that, with the header left to the forger", "RS256", |d| d.signature = Signature::HmacWithPublicKey),
    ("RS512", "RS256", |d| drop(d.header.insert("alg".into(), json!("RS512")))),
    ("alg in a list", "RS256", |d| drop(d.header.insert("alg".into(), json!(["RS256"])))),
    ("an unknown kid", "no such key", |d| drop(d.header.insert("kid".into(), json!("unknown")))),
    ("no kid though there are two keys", "no such key", |d| drop(d.header.remove("kid"))),
    ("another key under a known kid", "signature", |d| d.signature = Signature::OtherKey),
    ("critical extensions", "RS256", |d| drop(d.header.insert("crit".into(), json!(["exp"])))),
    ("an unencoded payload", "RS256", |d| drop(d.header.insert("b64".into(), json!(false)))),
    ("an access token's typ", "not a signed JWT", |d| drop(d.header.insert("typ".into(), json!("at+jwt")))),
    ("a nested token's cty", "not a signed JWT", |d| drop(d.header.insert("cty".into(), json!("JWT")))),
    ("five parts", "three parts", |d| d.signature = Signature::Replace("eyJh.b.c.d.e".into())),
    ("two parts", "three parts", |d| d.signature = Signature::Replace("eyJh.b".into())),
    ("nothing", "three parts", |d| d.signature = Signature::Replace(String::new())),
    ("no base64", "base64url", |d| d.signature = Signature::Replace("!.?.*".into())),
    ("no JSON", "not a signed JWT", |d| d.signature = Signature::Replace("e30.e30.e30".into())),
    ("megabytes", "longer than any token", |d| d.signature = Signature::Replace("a".repeat(500_000))),
];

#[tokio::test]
async fn an_id_token_that_is_not_right_signs_nobody_in() {
    let site = Site::start().await;
    for (case, reason, tamper) in ID_TOKENS {
        let log = Log::capture();
        site.pool.tamper_id_token(tamper);
        let jane = Browser::new();
        let page = jane.sign_in(&site, "jane").await;
        assert_eq!(page.status, 502, "{case}: {}", page.body);
        assert!(page.body.contains("could not be verified") && page.body.contains("Try again"), "{case}");
        assert!(page.set_cookies("auth=").is_empty(), "{case}: a cookie was set");
        assert_eq!(jane.validate(&site).await.status, 401, "{case}");
        assert!(log.text().contains(reason), "{case}: `{reason}` is not in the log:\n{}", log.text());
        assert!(!log.text().contains("eyJ"), "{case}: a token is in the log");
    }
    site.pool.clear_tampering();
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302, "the genuine token is accepted");
}

/// What is wrong with the access token that comes with a good ID token.
const ACCESS_TOKENS: &[(&str, &str, Tamper)] = &[
    ("another user's", "another user", |d| claim(d, "sub", json!("somebody-else"))),
    ("another client's", "accepted_clients", |d| claim(d, "client_id", json!("other"))),
    ("another issuer's", "another issuer", |d| claim(d, "iss", json!("https://evil.test/pool"))),
    ("an ID token", "another use", |d| claim(d, "token_use", json!("id"))),
    ("a forged one", "signature", |d| d.signature = Signature::OtherKey),
];

#[tokio::test]
async fn an_access_token_that_does_not_belong_to_the_id_token_signs_nobody_in() {
    let site = Site::start().await;
    for (case, reason, tamper) in ACCESS_TOKENS {
        let log = Log::capture();
        site.pool.tamper_access_token(tamper);
        // at_hash would notice first; here it fits or is absent.
        site.pool.tamper_id_token(|draft| drop(draft.claims.remove("at_hash")));
        let page = Browser::new().sign_in(&site, "jane").await;
        assert_eq!((page.status, page.set_cookies("auth=").len()), (502, 0), "{case}");
        assert!(log.text().contains(reason), "{case}: {}", log.text());
    }
}

#[tokio::test]
async fn clocks_may_be_more_than_a_minute_apart() {
    let site = Site::start().await;
    for skew in [-80, 80] {
        site.clock.shift(skew);
        assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302, "{skew}");
        site.clock.shift(-skew);
    }
    site.clock.shift(-110);
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 502);
}

#[tokio::test]
async fn a_token_endpoint_that_misbehaves_signs_nobody_in() {
    let answer = |status, body: &str| Fault::Status { status, content_type: "application/json", body: body.to_owned() };
    let faults: Vec<(&str, Fault, u16)> = vec![
        ("an HTML page", Fault::Html, 502),
        ("cut JSON", Fault::Truncate, 502),
        ("no answer", Fault::Stall, 503),
        ("a drip", Fault::Drip, 503),
        ("a hundred megabytes", Fault::Huge { bytes: 100 << 20 }, 502),
        ("a gzip bomb", Fault::GzipBomb, 502),
        ("a closed connection", Fault::Disconnect, 503),
        ("307 to another host", Fault::Redirect { status: 307, location: "http://127.0.0.1:1/steal".into() }, 502),
        ("302 to another host", Fault::Redirect { status: 302, location: "http://127.0.0.1:1/steal".into() }, 502),
        ("429", Fault::Status { status: 429, content_type: "text/html", body: "slow down".into() }, 503),
        ("500", Fault::Status { status: 500, content_type: "text/html", body: "<h1>oops</h1>".into() }, 503),
        ("empty JSON", answer(200, "{}"), 502),
        ("no ID token", answer(200, r#"{"access_token":"a","token_type":"Bearer","expires_in":3600}"#), 502),
        (
            "an access token that is a number",
            answer(200, r#"{"access_token":1,"token_type":"Bearer","id_token":"a"}"#),
            502,
        ),
        (
            "a lifetime that is text",
            answer(200, r#"{"access_token":"a","token_type":"Bearer","id_token":"a","expires_in":"x"}"#),
            502,
        ),
        ("invalid_client", answer(400, r#"{"error":"invalid_client"}"#), 502),
        ("invalid_grant", answer(400, r#"{"error":"invalid_grant"}"#), 400),
        (
            "invalid_redirect",
            answer(400, r#"{"error":"unauthorized_client","error_description":"invalid_redirect"}"#),
            502,
        ),
        ("another error of its own", answer(418, r#"{"error":"teapot","error_description":"<b>short</b>"}"#), 502),
        ("JSON that is a list", answer(200, "[]"), 502),
        ("text after the JSON", Fault::rewrite(|body| body + r#"{"access_token":"b"}"#), 502),
        (
            "a token of another type",
            Fault::edit_json(|answer| drop(answer.insert("token_type".into(), json!("mac")))),
            502,
        ),
        ("a token of no type", Fault::edit_json(|answer| drop(answer.remove("token_type"))), 502),
        (
            "an empty access token",
            Fault::edit_json(|answer| drop(answer.insert("access_token".into(), json!("")))),
            502,
        ),
        (
            "a refusal without a word",
            Fault::Status { status: 400, content_type: "text/plain", body: String::new() },
            502,
        ),
        ("JSON of a thousand levels", answer(200, &"[".repeat(100_000)), 502),
    ];
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    for (case, fault, status) in faults {
        let log = Log::capture();
        let jane = Browser::new();
        let callback = jane.to_callback(&site, "", "jane").await;
        site.pool.fault(PoolEndpoint::TokenCode, fault);
        let page = tokio::time::timeout(Duration::from_secs(10), jane.get(&callback)).await.expect(case);
        site.pool.clear_faults();
        assert_eq!(page.status, status, "{case}: {}", page.body);
        assert!(page.body.contains("Try again") && page.body.contains(page.header("x-request-id").unwrap()), "{case}");
        assert!(page.set_cookies("auth=").is_empty(), "{case}");
        assert!(!page.body.contains("<b>short") && !page.body.contains("oops"), "{case}");
        assert!(log.text().contains(page.header("x-request-id").unwrap()), "{case} is not in the log");
    }
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302);
}

#[tokio::test]
async fn discovery_of_another_issuer_or_over_plain_http_is_refused() {
    for (case, edit) in [
        ("another issuer", (r#""issuer":""#, r#""issuer":"http://evil.test/"#)),
        (
            "a token endpoint elsewhere over http",
            (r#""token_endpoint":"http://pool.app.localhost"#, r#""token_endpoint":"http://evil.test"#),
        ),
    ] {
        let site = Site::start().await;
        let address = format!("{}/.well-known/openid-configuration", site.pool.issuer());
        let genuine = Browser::new().get(&address).await.body;
        let forged = genuine.replacen(edit.0, edit.1, 1);
        assert_ne!(forged, genuine, "{case}: {genuine}");
        let fault = Fault::Status { status: 200, content_type: "application/json", body: forged };
        site.pool.fault(PoolEndpoint::Discovery, fault);
        let renewed = site.rp.provider.renew_metadata().await;
        assert!(renewed.is_err(), "{case}");
    }
}

#[tokio::test]
async fn a_provider_that_was_never_reached_is_a_page_and_not_ready_and_then_it_works() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    // It listens and never answers; a port that nobody listens on could be somebody's the next moment.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}/eu-west-1_DevPool01", silent.local_addr().unwrap());
    let lonely = Site::with(&[("PROVIDER__TIMEOUT", "1s"), ("PROVIDER__ISSUER", &issuer)]).await;
    let page = Browser::new().get(&lonely.auth("/auth/signin")).await;
    assert_eq!(page.status, 503);
    assert!(page.header("retry-after").is_some() && page.body.contains("cannot be reached"));
    let ready = Browser::new().get(&format!("{}/readyz", lonely.ops_url)).await;
    assert_eq!(ready.status, 503);
    assert!(
        ready.body.contains(r#"{"ready":false,"degraded":{"provider":"the provider cannot be reached"#),
        "{}",
        ready.body
    );

    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302);
    for endpoint in [PoolEndpoint::Discovery, PoolEndpoint::Jwks] {
        site.pool.fault(endpoint, Fault::Disconnect);
    }
    assert!(site.rp.provider.renew_metadata().await.is_err());
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302, "what was known stays");
}

#[tokio::test]
async fn discovery_and_tokens_of_every_documented_shape_are_understood() {
    let site = Site::start().await;
    site.pool.add_discovery_keys();
    site.pool.escape_slashes(true);
    site.pool.pad_tokens(6_000);
    site.rp.provider.renew_metadata().await.unwrap();
    let jane = Browser::new();
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn a_token_type_is_bearer_however_it_is_spelled() {
    let site = Site::with(&[("MACHINE__PASS_THROUGH", "true")]).await;
    let typed =
        |word: &'static str| Fault::edit_json(move |answer| drop(answer.insert("token_type".into(), json!(word))));
    let machine = async |scope: &str| {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let shape = |r: reqwest::RequestBuilder| r.basic_auth("dev-cms-client", Some("dev-cms-secret")).form(&form);
        Browser::new().send(Method::POST, &site.auth("/token"), shape).await
    };
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    for word in ["bearer", "BEARER"] {
        site.pool.fault(PoolEndpoint::Token, typed(word));
        assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302, "{word}");
        site.pass(10);
        assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200, "{word}");
    }
    assert_eq!(machine("cms/read").await.status, 200);
    for word in ["mac", "DPoP", "N_A", ""] {
        site.pool.fault(PoolEndpoint::Token, typed(word));
        assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 502, "{word}");
        let erin = Browser::new();
        site.pool.clear_faults();
        erin.sign_in(&site, "erin").await;
        site.pool.fault(PoolEndpoint::Token, typed(word));
        assert_eq!(erin.post(&site.auth("/refresh?force=true"), &[]).await.status, 503, "{word}");
        assert_eq!(erin.validate(&site).await.status, 200, "{word}");
        // Nobody asks again for a while.
        assert!([502, 503].contains(&machine("cms/write").await.status), "{word}");
    }
}

/// The refresh token that a browser's session holds.
async fn refresh_token(site: &Site, browser: &Browser) -> String {
    site.tokens(browser).await.refresh.unwrap().expose_secret().to_owned()
}

#[tokio::test]
async fn an_empty_refresh_token_replaces_none() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let before = refresh_token(&site, &jane).await;
    site.pool.fault(
        PoolEndpoint::TokenRefresh,
        Fault::edit_json(|answer| drop(answer.insert("refresh_token".into(), json!("")))),
    );
    for _ in 0..2 {
        assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
        assert_eq!(refresh_token(&site, &jane).await, before);
        site.pass(10);
    }
    // Nor what comes with an answer that is not believed.
    site.pool.tamper_id_token(|d| drop(d.claims.insert("aud".into(), json!("other"))));
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 503);
    assert_eq!(refresh_token(&site, &jane).await, before);
}

#[tokio::test]
async fn another_users_tokens_leave_nothing_in_the_session_whatever_else_is_wrong_with_them() {
    let site = Site::start().await;
    site.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 60 });
    let erin = |d: &mut UnsignedJwt| {
        claim(d, "sub", json!("erins-sub"));
        d.claims.remove("at_hash");
    };
    type Wrong = fn(&mut UnsignedJwt);
    let cases: [(&str, Wrong); 6] = [
        ("nothing else", |_| ()),
        ("another nonce", |d| claim(d, "nonce", json!("of-erins-sign-in-00000"))),
        ("another audience", |d| claim(d, "aud", json!("other"))),
        ("expired", |d| claim(d, "exp", json!(1))),
        ("a forged one", |d| d.signature = Signature::OtherKey),
        ("no token at all", |d| d.signature = Signature::Replace("erins".into())),
    ];
    for (case, wrong) in cases {
        site.pool.clear_tampering();
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        let (before, seen) = (refresh_token(&site, &jane).await, jane.validate(&site).await.body);
        site.pool.tamper_id_token(move |d| {
            erin(d);
            wrong(d);
        });
        site.pool.tamper_access_token(erin);
        assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 503, "{case}");
        assert_eq!(refresh_token(&site, &jane).await, before, "{case}");
        assert_eq!(jane.validate(&site).await.body, seen, "{case}");
    }
}
