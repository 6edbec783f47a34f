//! The triggers of the user pool tell of people: signed, and never at the cost of a sign-in.

use super::{row, signed_in, site};
use crate::support::postgres::Postgres;
use crate::support::{Answer, Browser, Log, Site};
use auth_api::domain::clock::{Clock, SystemClock, Timestamp};
use auth_api::domain::signed_event::{SIGNATURE_HEADER, sign};
use auth_api::triggers::{TriggerSettings, Triggers};
use reqwest::Method;
use serde_json::{Value, json};

const KEY: &str = "0123456789 of a key for the triggers 9876543210";
const KEYS: (&str, &str) = ("DIRECTORY__TRIGGER_KEYS", KEY);

fn triggers(url: &str) -> Triggers {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let variables = [
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIA"),
        ("AWS_SECRET_ACCESS_KEY", "s3cr3t"),
        ("TRIGGER_TIMEOUT", "4500ms"),
        ("DIRECTORY_URL", url),
        ("DIRECTORY_KEY", KEY),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Triggers::new(TriggerSettings::read(variables).unwrap()).unwrap()
}

fn event(source: &str, name: &str) -> Value {
    json!({
        "version": "1", "triggerSource": source, "region": "eu-west-1", "userPoolId": "eu-west-1_DevPool01", "userName": "nina",
        "callerContext": { "clientId": "mobile" },
        "request": {
            "userAttributes": {
                "sub": "sub-of-nina", "email": "nina@example.com", "email_verified": "true", "name": name,
                "custom:theme": "dark", "cognito:user_status": "CONFIRMED",
            },
            "groupConfiguration": { "groupsToOverride": ["editors"] },
        },
        "response": {},
    })
}

async fn post(site: &Site, signature: &str, body: &str) -> Answer {
    let shape = |r: reqwest::RequestBuilder| r.header(SIGNATURE_HEADER, signature).body(body.to_owned());
    Browser::new().send(Method::POST, &site.auth("/users"), shape).await
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn who_signs_in_anywhere_at_the_pool_is_written_down_by_its_triggers() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[KEYS]).await;
    let triggers = triggers(&site.auth_url);
    let confirmed = event("PostConfirmation_ConfirmSignUp", "Nina N");
    assert_eq!(triggers.answer(confirmed.clone()).await.unwrap(), confirmed);
    let nina = row(&postgres, "nina").await;
    assert_eq!(
        (&nina["sub"], &nina["email"], &nina["email_verified"]),
        (&json!("sub-of-nina"), &json!("nina@example.com"), &json!(true))
    );
    assert_eq!((&nina["attributes"], &nina["last_seen"]), (&json!({ "custom:theme": "dark" }), &Value::Null));
    let signing_in = event("TokenGeneration_Authentication", "Nina Neu");
    assert_eq!(triggers.answer(signing_in.clone()).await.unwrap(), signing_in);
    let nina = row(&postgres, "nina").await;
    assert_eq!(nina["name"], "Nina Neu");
    assert_ne!(nina["last_seen"], Value::Null);
    // Groups are told by tokens, which can have others than the event.
    assert_eq!(nina["groups"], json!([]));
}

#[tokio::test]
#[ignore = "needs postgres"]
async fn an_event_without_a_good_signature_changes_nothing() {
    let postgres = Postgres::start().await;
    let site = site(&postgres, &[KEYS]).await;
    signed_in(&site, "jane").await;
    let body = event("TokenGeneration_HostedAuth", "Nina").to_string();
    let now = SystemClock.now();
    let good = sign(KEY.as_bytes(), now, body.as_bytes());
    let (other_key, other_body) = (sign(b"another", now, body.as_bytes()), sign(KEY.as_bytes(), now, b"{}"));
    let old = sign(KEY.as_bytes(), Timestamp::from_secs(now.as_secs() - 600), body.as_bytes());
    for wrong in ["", "t=1,v1=x", &other_key, &other_body, &old, &good.to_uppercase()] {
        let refused = post(&site, wrong, &body).await;
        assert_eq!((refused.status, refused.problem()), (403, "signature-not-valid".into()), "{wrong}");
    }
    assert_eq!(row(&postgres, "nina").await, Value::Null);
    assert_eq!(post(&site, &good, &body).await.status, 204);
    // Once more is no more, and what was signed earlier undoes nothing.
    assert_eq!(post(&site, &good, &body).await.status, 204);
    let earlier = event("TokenGeneration_HostedAuth", "Before").to_string();
    let signed = sign(KEY.as_bytes(), Timestamp::from_secs(now.as_secs() - 60), earlier.as_bytes());
    assert_eq!(post(&site, &signed, &earlier).await.status, 204);
    assert_eq!(row(&postgres, "nina").await["name"], "Nina");
    for nobody in
        ["", "{}", "[]", "\"x\"", "{\"userName\":\"x\"}", "{\"userName\":\"x\",\"request\":{\"userAttributes\":[]}}"]
    {
        let refused = post(&site, &sign(KEY.as_bytes(), now, nobody.as_bytes()), nobody).await;
        assert_eq!((refused.status, refused.problem()), (400, "unreadable-body".into()), "{nobody}");
    }
    let large = "x".repeat(20_000);
    assert!([400, 413].contains(&post(&site, &good, &large).await.status));
    let without_keys = super::site(&postgres, &[]).await;
    assert_eq!(post(&without_keys, &good, &body).await.problem(), "not-offered");
}

#[tokio::test]
async fn no_outage_of_the_directory_fails_a_sign_in() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let event = event("TokenGeneration_Authentication", "Nina");
    for (url, why) in [(silent_url.as_str(), "no answer within a second"), ("http://127.0.0.1:9", "refused")] {
        let log = Log::capture();
        assert_eq!(triggers(url).answer(event.clone()).await.unwrap(), event);
        let text = log.text();
        assert!(text.contains("directory not told of a user") && text.contains(why), "{text}");
        assert!(!text.contains("nina@"), "{text}");
    }
    // A service that keeps none.
    let (site, log) = (Site::start().await, Log::capture());
    assert_eq!(triggers(&site.auth_url).answer(event.clone()).await.unwrap(), event);
    assert!(log.text().contains("status=404"), "{}", log.text());
}
