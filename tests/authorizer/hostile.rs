//! Whatever an event says, only good credentials let anybody in, and nothing makes the function fail otherwise than in
//! words.

use super::*;
use auth_api::dev::pool::{PoolSettings, Signature, UnsignedJwt, UserPool};
use proptest::prelude::*;
use std::sync::LazyLock;

#[tokio::test]
async fn tokens_of_others_and_broken_ones_are_worth_nothing() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let other = UserPool::start(PoolSettings::for_service("http://localhost:1")).await.unwrap();
    let mut tokens = vec![
        ("another pool's", other.mint_access_token("dev-web-client", "erin", &["openid"])),
        ("an ID token for another client", site.pool.mint_id_token("dev-machine-client", "erin")),
        ("an access token of a client that is not accepted", site.pool.mint_access_token("else", "erin", &["openid"])),
    ];
    type Tamper = fn(&mut UnsignedJwt);
    let tampers: [(&str, Tamper); 9] = [
        ("an access token that calls itself an ID token", |t| drop(t.claims.insert("token_use".into(), json!("id")))),
        ("without a use", |t| drop(t.claims.remove("token_use"))),
        ("expired", |t| drop(t.claims.insert("exp".into(), json!(1_000)))),
        ("not valid yet", |t| drop(t.claims.insert("nbf".into(), json!(9_999_999_999_u64)))),
        ("for another API", |t| drop(t.claims.insert("aud".into(), json!("https://other.example.com")))),
        ("another issuer", |t| drop(t.claims.insert("iss".into(), json!("https://evil.test")))),
        ("alg none", |t| t.signature = Signature::None),
        ("HMAC with the public key", |t| t.signature = Signature::HmacWithPublicKey),
        ("another key", |t| t.signature = Signature::OtherKey),
    ];
    for (case, tamper) in tampers {
        site.pool.tamper_access_token(tamper);
        tokens.push((case, site.pool.mint_access_token("dev-web-client", "erin", &["openid"])));
    }
    site.pool.clear_tampering();
    for (case, token) in tokens {
        assert_eq!(judge(&authorizer, &bearer_event(&token)).await, "Unauthorized", "{case}");
    }
    let long = "a".repeat(100 << 10);
    for (case, event) in [
        ("a long token", bearer_event(&long)),
        ("long cookies", cookie_event(&format!("auth={long}"))),
        ("a long line", token_event(&format!("Bearer {long}"))),
    ] {
        assert_eq!(judge(&authorizer, &event).await, "Unauthorized", "{case}");
    }
}

#[tokio::test]
async fn headers_that_are_there_twice_or_no_texts_are_no_credentials() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let good = format!("Bearer {}", site.pool.mint_access_token("dev-web-client", "erin", &["openid"]));
    let rest = |headers: Value, all: Value| json!({ "type": "REQUEST", "methodArn": ARN, "headers": headers, "multiValueHeaders": all });
    assert_eq!(judge(&authorizer, &rest(json!({ "AUTHORIZATION": good }), Value::Null)).await, "allowed");
    for (headers, all) in [
        (json!({ "authorization": good }), json!({ "authorization": [good, good] })),
        (json!({ "authorization": good, "Authorization": good }), Value::Null),
        (json!({ "authorization": good }), json!({ "authorization": ["Basic x"] })),
        (json!({ "authorization": [good, "x"] }), Value::Null),
        (json!({ "authorization": { "0": good } }), Value::Null),
        (json!({ "authorization": 7 }), Value::Null),
        (json!([["authorization", good]]), Value::Null),
        (json!("authorization"), Value::Null),
        (json!({}), json!({ "authorization": good.len() })),
        (json!({ "authorization": format!("{good}\r\nx: y") }), Value::Null),
        (json!({ "authorization": format!("{good}\u{0}") }), Value::Null),
        (json!({ "cookie": "auth=x\r\nx: y" }), Value::Null),
        (json!({ "cookie": "auth=\u{e9}" }), Value::Null),
    ] {
        assert_eq!(judge(&authorizer, &rest(headers.clone(), all.clone())).await, "Unauthorized", "{headers} {all}");
    }
    for cookies in [json!("auth=x"), json!([7]), json!({})] {
        assert_eq!(judge(&authorizer, &http_event(json!({}), cookies)).await, "Unauthorized");
    }
}

#[tokio::test]
async fn what_is_no_event_of_an_authorizer_is_an_error() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let good = format!("Bearer {}", site.pool.mint_access_token("dev-web-client", "erin", &["openid"]));
    for event in [
        json!(null),
        json!([]),
        json!("Unauthorized"),
        json!({}),
        json!({ "authorizationToken": good }),
        json!({ "authorizationToken": good, "requestContext": [] }),
        json!({ "authorizationToken": 7, "requestContext": {} }),
        json!({ "type": "TOKEN", "authorizationToken": good }),
        json!({ "type": "TOKEN", "authorizationToken": good, "methodArn": [ARN] }),
        json!({ "type": "token", "authorizationToken": good, "methodArn": ARN }),
        json!({ "type": "REQUEST", "headers": { "authorization": good } }),
        json!({ "type": "REQUEST", "version": "3.0", "methodArn": ARN, "headers": { "authorization": good } }),
        // What an integration is sent.
        json!({ "version": "2.0", "routeKey": "$default", "headers": { "authorization": good }, "requestContext": {} }),
    ] {
        assert_eq!(judge(&authorizer, &event).await, "Event", "{event}");
    }
    assert_eq!(
        judge(&authorizer, &json!({ "type": "TOKEN", "methodArn": ARN, "authorizationToken": {} })).await,
        "Unauthorized"
    );
}

const WORDS: &[&str] = &[
    "REQUEST",
    "TOKEN",
    "1.0",
    "2.0",
    ARN,
    "Bearer x",
    "Bearer a.b.c",
    "auth=x",
    "arn:aws:execute-api:r:a:api/s/GET/*",
];
const NAMES: &[&str] = &[
    "type",
    "version",
    "methodArn",
    "routeArn",
    "headers",
    "multiValueHeaders",
    "cookies",
    "authorizationToken",
    "requestContext",
    "authorization",
    "Authorization",
    "cookie",
    "x",
];

/// JSON of the words that events are made of, and of others.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        proptest::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(proptest::sample::select(NAMES), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_event_without_good_credentials_lets_anybody_in(event in any_json(), arn in ".{0,60}") {
        static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
        });
        static NOBODY: LazyLock<Authorizer> = LazyLock::new(|| {
            // A port that nobody listens at.
            let more = [("AUTH_API__PROVIDER__ISSUER", "http://localhost:9/pool"), ("AUTH_API__PROVIDER__CLIENT_ID", "c")];
            asking("http://127.0.0.1:9/validate", &[&more[..], &[("AUTHORIZER_TIMEOUT", "1s")]].concat())
        });
        let mut aimed = event.clone();
        if let Some(map) = aimed.as_object_mut() {
            map.insert("type".into(), json!("REQUEST"));
            map.insert("methodArn".into(), json!(format!("arn:aws:execute-api:r:a:api/s/GET/{arn}")));
        }
        for event in [event, aimed] {
            let answer = RUNTIME.block_on(NOBODY.answer(&event));
            prop_assert_ne!(verdict(&answer), "allowed");
        }
    }
}
