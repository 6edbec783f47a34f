//! The provider tells of a sign-out (OIDC Back-Channel Logout 1.0), or somebody pretends to be the provider.

use crate::support::{Answer, Browser, Site, until};
use auth_api::dev::pool::{PoolEndpoint, Signature, UnsignedJwt};
use reqwest::Method;
use serde_json::{Value, json};

const CLIENT: &str = "dev-web-client";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn tell(site: &Site, token: &str) -> Answer {
    Browser::new().post(&site.auth("/auth/backchannel-logout"), &[("logout_token", token)]).await
}

fn refusal(answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(json["error"], "invalid_request", "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    json["error_description"].as_str().unwrap().to_owned()
}

/// Signs in within the provider's session `sid`.
async fn signed_in(site: &Site, user: &str, sid: &'static str) -> Browser {
    site.pool.tamper_id_token(move |draft| claim(draft, "sid", json!(sid)));
    let browser = Browser::new();
    assert_eq!(browser.sign_in(site, user).await.status, 302);
    assert_eq!(browser.validate(site).await.status, 200);
    browser
}

fn claim(draft: &mut UnsignedJwt, name: &str, value: Value) {
    draft.claims.insert(name.to_owned(), value);
}

fn without(draft: &mut UnsignedJwt, name: &str) {
    assert!(draft.claims.remove(name).is_some(), "{name}");
}

fn at(draft: &mut UnsignedJwt, name: &str, offset: i64) {
    let at = draft.claims["iat"].as_i64().unwrap() + offset;
    claim(draft, name, json!(at));
}

#[tokio::test]
async fn a_sign_out_at_the_provider_ends_the_sessions_it_names() {
    let site = Site::start().await;
    type Shape = fn(&mut UnsignedJwt);
    let cases: &[(&str, Shape, [u16; 3])] = &[
        ("one session", |d| (without(d, "sub"), claim(d, "sid", json!("one"))).1, [401, 200, 200]),
        ("one of hers", |d| claim(d, "sid", json!("one")), [401, 200, 200]),
        ("all of hers", |_| (), [401, 401, 200]),
        ("erin's, said to be jane's", |d| claim(d, "sid", json!("three")), [200, 200, 200]),
        ("nobody's", |d| (without(d, "sub"), claim(d, "sid", json!("four"))).1, [200, 200, 200]),
        ("a stranger's", |d| claim(d, "sub", json!("four")), [200, 200, 200]),
    ];
    for (case, shape, expected) in cases {
        let browsers = [
            signed_in(&site, "jane", "one").await,
            signed_in(&site, "jane", "two").await,
            signed_in(&site, "erin", "three").await,
        ];
        let alive = expected.iter().filter(|status| **status == 200).count();
        let before = site.metric("auth_api_sign_outs_total").await;
        let told = tell(&site, &site.pool.mint_logout_token(CLIENT, "jane", shape)).await;
        assert_eq!((told.status, told.body.as_str()), (200, ""), "{case}");
        assert_eq!(told.header("cache-control"), Some("no-store"));
        for (browser, status) in browsers.iter().zip(expected) {
            assert_eq!(browser.validate(&site).await.status, *status, "{case}");
        }
        assert_eq!(site.metric("auth_api_sign_outs_total").await - before, 3 - alive as u64, "{case}");
        until("the refresh tokens are revoked", async || site.pool.live_refresh_tokens() == alive).await;
        for browser in browsers {
            browser.post(&site.auth("/auth/signout"), &[]).await;
        }
    }
}

#[tokio::test]
async fn a_logout_token_counts_once() {
    let site = Site::start().await;
    signed_in(&site, "jane", "one").await;
    let token = site.pool.mint_logout_token(CLIENT, "jane", |_| ());
    assert_eq!(tell(&site, &token).await.status, 200);
    let again = signed_in(&site, "jane", "two").await;
    let replayed = tell(&site, &token).await;
    assert_eq!(replayed.status, 400);
    assert!(refusal(&replayed).contains("used before"), "{replayed:?}");
    assert_eq!(again.validate(&site).await.status, 200, "a recorded token ends no later session");
    for later in [60, 89, 1, 600] {
        site.pass(later);
        assert_eq!(tell(&site, &token).await.status, 400, "however late");
    }
    assert_eq!(again.validate(&site).await.status, 200);
    let next = site.pool.mint_logout_token(CLIENT, "jane", |_| ());
    assert_eq!(tell(&site, &next).await.status, 200);
    assert_eq!(again.validate(&site).await.status, 401);
}

type Tamper = fn(&mut UnsignedJwt);

const GOOD: &[(&str, Tamper)] = &[
    ("no typ", |d| drop(d.header.remove("typ"))),
    ("a plain JWT", |d| drop(d.header.insert("typ".into(), json!("JWT")))),
    ("typ in capitals", |d| drop(d.header.insert("typ".into(), json!("LOGOUT+JWT")))),
    ("typ in full", |d| drop(d.header.insert("typ".into(), json!("application/logout+jwt")))),
    ("several audiences", |d| claim(d, "aud", json!(["other", CLIENT]))),
    ("another clock", |d| at(d, "iat", 20)),
    ("a little late", |d| at(d, "exp", -20)),
    ("an event with a body", |d| claim(d, "events", json!({ EVENT: {"a": 1}, "urn:other": 7 }))),
    ("claims nobody knows", |d| claim(d, "colour", json!("red"))),
];

const BAD: &[(&str, &str, Tamper)] = &[
    ("another issuer", "another issuer", |d| claim(d, "iss", json!("https://evil.test/pool"))),
    ("issuers in a list", "not a signed JWT", |d| {
        let iss = d.claims["iss"].clone();
        claim(d, "iss", json!([iss]));
    }),
    ("no issuer", "not a signed JWT", |d| without(d, "iss")),
    ("another client's", "another client", |d| claim(d, "aud", json!("other"))),
    ("nobody's", "another client", |d| claim(d, "aud", json!([]))),
    ("no audience", "not a signed JWT", |d| without(d, "aud")),
    ("expired", "expired", |d| at(d, "exp", -31)),
    ("no expiry", "not a signed JWT", |d| without(d, "exp")),
    ("expiry as text", "not a signed JWT", |d| claim(d, "exp", json!("4102444800"))),
    ("expiry as null", "not a signed JWT", |d| claim(d, "exp", Value::Null)),
    ("of yesterday, good for years", "expired", |d| {
        at(d, "exp", 100_000_000);
        at(d, "iat", -86_400);
    }),
    ("of tomorrow", "not valid yet", |d| at(d, "iat", 120)),
    ("no time of issue", "not a signed JWT", |d| without(d, "iat")),
    ("not valid yet", "not valid yet", |d| at(d, "nbf", 120)),
    ("no events", "not a signed JWT", |d| without(d, "events")),
    ("events as a list", "not a signed JWT", |d| claim(d, "events", json!([EVENT]))),
    ("another event", "another use", |d| claim(d, "events", json!({ "urn:other": {} }))),
    ("the event as text", "another use", |d| claim(d, "events", json!({ EVENT: "{}" }))),
    ("the event as null", "another use", |d| claim(d, "events", json!({ EVENT: null }))),
    ("a nonce", "another use", |d| claim(d, "nonce", json!("n"))),
    ("a nonce of null", "another use", |d| claim(d, "nonce", Value::Null)),
    ("an ID token's use", "another use", |d| claim(d, "token_use", json!("id"))),
    ("a use of null", "another use", |d| claim(d, "token_use", Value::Null)),
    ("an access token's typ", "another use", |d| drop(d.header.insert("typ".into(), json!("at+jwt")))),
    ("an empty typ", "another use", |d| drop(d.header.insert("typ".into(), json!("")))),
    ("a typ that is a number", "not a signed JWT", |d| drop(d.header.insert("typ".into(), json!(7)))),
    ("nobody", "who signed out", |d| without(d, "sub")),
    ("an empty subject", "who signed out", |d| claim(d, "sub", json!(""))),
    ("a subject that is a number", "not a signed JWT", |d| claim(d, "sub", json!(7))),
    ("an empty sid", "who signed out", |d| claim(d, "sid", json!(""))),
    ("a sid that is a list", "not a signed JWT", |d| claim(d, "sid", json!(["one"]))),
    ("no name", "not a signed JWT", |d| without(d, "jti")),
    ("an empty name", "has no name", |d| claim(d, "jti", json!(""))),
    ("alg none", "RS256", |d| d.signature = Signature::None),
    ("the public key as an HMAC secret", "RS256", |d| d.signature = Signature::HmacWithPublicKey),
    ("another key under a known kid", "signature", |d| d.signature = Signature::OtherKey),
    ("an unknown kid", "no such key", |d| drop(d.header.insert("kid".into(), json!("unknown")))),
    ("no kid", "no such key", |d| drop(d.header.remove("kid"))),
    ("critical extensions", "RS256", |d| drop(d.header.insert("crit".into(), json!(["exp"])))),
    ("two parts", "three parts", |d| d.signature = Signature::Replace("eyJh.b".into())),
    ("nothing", "three parts", |d| d.signature = Signature::Replace(String::new())),
    ("no JSON", "not a signed JWT", |d| d.signature = Signature::Replace("e30.e30.e30".into())),
];

#[tokio::test]
async fn only_a_token_that_is_right_in_every_respect_ends_anything() {
    let site = Site::start().await;
    let jane = signed_in(&site, "jane", "one").await;
    for (case, reason, tamper) in BAD {
        let answer = tell(&site, &site.pool.mint_logout_token(CLIENT, "jane", tamper)).await;
        assert_eq!(answer.status, 400, "{case}");
        let told = refusal(&answer);
        assert!(told.contains(reason), "{case}: {told}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(jane.validate(&site).await.status, 200, "{case}");
    }
    // Signed by the same keys for the same client.
    for token in [site.pool.mint_id_token(CLIENT, "jane"), site.pool.mint_access_token(CLIENT, "jane", &["openid"])] {
        assert_eq!(tell(&site, &token).await.status, 400);
    }
    // And a logout token is no credential.
    let token = site.pool.mint_logout_token(CLIENT, "jane", |_| ());
    let asked = Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(&token)).await;
    assert_eq!(asked.status, 401);
    assert_eq!(jane.validate(&site).await.status, 200);
    for (case, tamper) in GOOD {
        let jane = signed_in(&site, "jane", "one").await;
        let answer = tell(&site, &site.pool.mint_logout_token(CLIENT, "jane", tamper)).await;
        assert_eq!(answer.status, 200, "{case}: {}", answer.body);
        assert_eq!(jane.validate(&site).await.status, 401, "{case}");
    }
}

#[tokio::test]
async fn only_a_form_with_one_token_is_read() {
    let site = Site::start().await;
    let (url, jane) = (site.auth("/auth/backchannel-logout"), signed_in(&site, "jane", "one").await);
    let token = site.pool.mint_logout_token(CLIENT, "jane", |_| ());
    const FORM: &str = "application/x-www-form-urlencoded";
    let form = format!("logout_token={token}");
    for (case, media, body, status) in [
        ("no type", &[][..], form.clone(), 400),
        ("JSON", &["application/json"], json!({ "logout_token": token }).to_string(), 400),
        ("JSON's type", &["application/json"], form.clone(), 400),
        ("two types", &[FORM, "application/json"], form.clone(), 400),
        ("nearly a form", &["application/x-www-form-urlencoded2"], form.clone(), 400),
        ("nothing", &[FORM], String::new(), 400),
        ("another name", &[FORM], form.replace("logout_token", "token"), 400),
        ("twice", &[FORM], format!("{form}&{form}"), 400),
        ("another twice", &[FORM], format!("a=1&{form}&a=2"), 400),
        ("megabytes", &[FORM], format!("{form}&a={}", "a".repeat(1 << 20)), 413),
        ("bytes", &[FORM], "%ff%00&logout_token=%ff".to_owned(), 400),
    ] {
        let shape =
            |r: reqwest::RequestBuilder| media.iter().fold(r.body(body), |r, media| r.header("content-type", *media));
        let answer = Browser::new().send(Method::POST, &url, shape).await;
        assert_eq!(answer.status, status, "{case}");
        refusal(&answer);
        assert_eq!(jane.validate(&site).await.status, 200, "{case}");
    }
    let query = Browser::new().send(Method::POST, &format!("{url}?{form}"), |r| r.header("content-type", FORM)).await;
    assert_eq!(query.status, 400, "never in the query");
    let cookie = jane.cookies(&site.cms_url);
    let shape = |r: reqwest::RequestBuilder| {
        r.header("cookie", cookie)
            .header("origin", &site.cms_url)
            .header("content-type", "Application/X-WWW-Form-URLencoded ; charset=UTF-8")
            .body(format!("unknown=1&{form}"))
    };
    let told = Browser::new().send(Method::POST, &url, shape).await;
    assert_eq!(told.status, 200);
    assert!(told.set_cookies("").is_empty() && told.header("access-control-allow-origin").is_none());
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(Browser::new().get(&url).await.status, 405);
}

#[tokio::test]
async fn strangers_tokens_cost_the_provider_nothing() {
    let site = Site::start().await;
    signed_in(&site, "jane", "one").await;
    let before = site.pool.count(PoolEndpoint::Jwks);
    for n in 0..20 {
        let unknown = |d: &mut UnsignedJwt| drop(d.header.insert("kid".into(), json!(format!("unknown-{n}"))));
        assert_eq!(tell(&site, &site.pool.mint_logout_token(CLIENT, "jane", unknown)).await.status, 400);
    }
    assert!(site.pool.count(PoolEndpoint::Jwks) <= before + 1);
    site.pass(20);
    let jane = signed_in(&site, "jane", "two").await;
    site.pool.rotate_keys();
    let told = tell(&site, &site.pool.mint_logout_token(CLIENT, "jane", |_| ())).await;
    assert_eq!(told.status, 200, "a key that is new is looked up");
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_frame_on_the_providers_page_ends_the_session_that_it_names_and_no_other() {
    let site = Site::start().await;
    let (one, two) = (signed_in(&site, "jane", "one").await, signed_in(&site, "jane", "two").await);
    let iss: String = url::form_urlencoded::byte_serialize(site.pool.issuer().as_bytes()).collect();
    let ask = async |query: &str| Browser::new().get(&site.auth(&format!("/auth/frontchannel-logout?{query}"))).await;
    for wrong in [
        String::new(),
        "sid=one".to_owned(),
        format!("iss={iss}"),
        format!("iss={iss}x&sid=one"),
        format!("iss={iss}&sid=one&sid=two"),
        format!("iss={iss}&iss={iss}&sid=one"),
        format!("iss={iss}&sid={}", "x".repeat(256)),
    ] {
        let refused = ask(&wrong).await;
        assert_eq!((refused.status, refused.problem()), (400, "logout-token-not-accepted".to_owned()), "{wrong}");
    }
    assert_eq!(ask(&format!("iss={iss}&sid=nobodys")).await.status, 200);
    assert_eq!((one.validate(&site).await.status, two.validate(&site).await.status), (200, 200));
    let ended = ask(&format!("iss={iss}&sid=one")).await;
    assert_eq!((ended.status, ended.header("cache-control")), (200, Some("no-store")));
    let policy = ended.header("content-security-policy").unwrap();
    assert!(policy.ends_with(&format!("frame-ancestors {}", site.pool.base_url())), "{policy}");
    assert_eq!(ended.header("x-frame-options"), None);
    assert_eq!((one.validate(&site).await.status, two.validate(&site).await.status), (401, 200));
    // Nothing else may be shown in a frame.
    assert_eq!(Browser::new().get(&site.auth("/")).await.header("x-frame-options"), Some("DENY"));
}
