//! Users come over from the legacy system.

use super::*;
use crate::support::Log;
use std::time::{Duration, Instant};

const PASSWORD: &str = "0ldPassw0rd";

fn sign_in(username: &str) -> Value {
    let request = json!({ "password": PASSWORD, "validationData": null, "userAttributes": null });
    event("UserMigration_Authentication", username, request, placeholders())
}

fn forgotten(username: &str) -> Value {
    let request = json!({ "validationData": null, "clientMetadata": { "a": "b" } });
    event("UserMigration_ForgotPassword", username, request, placeholders())
}

fn placeholders() -> Value {
    json!({
        "userAttributes": null,
        "forceAliasCreation": null,
        "finalUserStatus": null,
        "messageAction": null,
        "desiredDeliveryMediums": null,
    })
}

#[tokio::test]
async fn the_right_password_brings_the_user_over() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let triggers = triggers(&old, &api, &[]);
    let larry = json!({
        "email": "larry@example.com", "email_verified": "false", "name": "Larry Legacy", "custom:legacy_id": "4711",
    });
    for event in [sign_in("larry"), of_tomorrow(&sign_in("larry"))] {
        // Twice is once: Cognito may ask again.
        for _ in 0..2 {
            let answer = triggers.answer(event.clone()).await.unwrap();
            assert_eq!(asked(&answer), asked(&event));
            let mut response = event["response"].clone();
            response["userAttributes"] = larry.clone();
            response["finalUserStatus"] = "CONFIRMED".into();
            response["messageAction"] = "SUPPRESS".into();
            assert_eq!(answer["response"], response);
        }
    }
    let mut bare = sign_in("larry");
    bare.as_object_mut().unwrap().remove("response");
    assert_eq!(triggers.answer(bare).await.unwrap()["response"]["userAttributes"], larry);
    let question = json!({ "username": "larry", "password": PASSWORD });
    assert!(old.asked().iter().all(|asked| *asked == ("/login".to_owned(), question.clone())));
    assert!(api.calls().is_empty());
}

#[tokio::test]
async fn an_address_is_verified_only_if_the_legacy_system_says_so() {
    let api = Api::empty().await;
    let map = ("ATTRIBUTE_MAP", "email=mail,email_verified=ok,phone_number=tel");
    for (answer, verifies, email, phone) in [
        (r#"{"mail":"l@x","ok":true}"#, "", Some("true"), None),
        (r#"{"mail":"l@x","ok":"true"}"#, "", Some("true"), None),
        (r#"{"mail":"l@x","ok":"yes"}"#, "", Some("false"), None),
        (r#"{"mail":"l@x","ok":1}"#, "", Some("false"), None),
        (r#"{"mail":"l@x","tel":"+1"}"#, "email", Some("true"), Some("false")),
        (r#"{"mail":"","ok":true,"tel":"+1"}"#, "email,phone_number", None, Some("true")),
    ] {
        let old = Old::answering(Some((200, answer))).await;
        let triggers = triggers(&old, &api, &[map, ("LEGACY_VERIFIES", verifies)]);
        let attributes = triggers.answer(sign_in("l")).await.unwrap()["response"]["userAttributes"].clone();
        let told = |name: &str| attributes.get(name).and_then(Value::as_str);
        assert_eq!((told("email_verified"), told("phone_number_verified")), (email, phone), "{answer}");
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_outage_are_told_apart_and_no_password_is_logged() {
    let log = Log::capture();
    let api = Api::empty().await;
    for status in [401, 403, 404] {
        let old = Old::answering(Some((status, "{}"))).await;
        let refusal = triggers(&old, &api, &[]).answer(sign_in("larry")).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.to_string().as_str()), ("WrongPassword", "Incorrect username or password"));
    }
    assert!(!log.text().contains("ERROR") && log.text().contains("refused"), "{}", log.text());
    for (status, body) in [
        (500, "{}"),
        (503, "later"),
        (429, "{}"),
        (302, ""),
        (200, "<html>"),
        (200, "[]"),
        (200, "{}"),
        (200, r#"{"id":{}}"#),
    ] {
        let log = Log::capture();
        let old = Old::answering(Some((status, body))).await;
        let refusal = triggers(&old, &api, &[]).answer(sign_in("larry")).await.unwrap_err();
        assert_eq!(refusal.kind(), "Unavailable", "{status} {body}");
        assert!(log.text().contains("ERROR") && log.text().contains("the legacy system"), "{}", log.text());
        assert!(!log.text().contains(PASSWORD) && !refusal.to_string().contains(PASSWORD));
    }
}

#[tokio::test]
async fn a_slow_legacy_system_is_an_outage_before_cognito_gives_up() {
    let (old, api) = (Old::answering(None).await, Api::empty().await);
    let triggers = triggers(&old, &api, &[("TRIGGER_TIMEOUT", "200ms")]);
    for event in [sign_in("larry"), forgotten("larry")] {
        let started = Instant::now();
        assert_eq!(triggers.answer(event).await.unwrap_err().kind(), "Unavailable");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(old.asked().len(), 2);
}

#[tokio::test]
async fn who_forgot_the_password_comes_over_if_a_code_can_be_sent() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let refusal = triggers(&old, &api, &[]).answer(forgotten("larry")).await.unwrap_err();
    assert_eq!(refusal.kind(), "Unreachable");
    let triggers = triggers(&old, &api, &[("LEGACY_VERIFIES", "email")]);
    let event = of_tomorrow(&forgotten("larry"));
    let answer = triggers.answer(event.clone()).await.unwrap();
    assert_eq!(
        (asked(&answer), &answer["response"]["userAttributes"]["email_verified"]),
        (asked(&event), &json!("true"))
    );
    assert_eq!(answer["response"]["finalUserStatus"], "CONFIRMED");
    assert_eq!(old.asked().last().unwrap(), &("/user".to_owned(), json!({ "username": "larry" })));
    let nobody = Old::knowing_nobody().await;
    assert_eq!(super::triggers(&nobody, &api, &[]).answer(forgotten("x")).await.unwrap_err().kind(), "NoUser");
}

#[tokio::test]
async fn what_is_not_set_up_or_no_event_says_so() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let bare = triggers(&old, &api, &[("LEGACY_LOGIN_URL", ""), ("LEGACY_LOOKUP_URL", "")]);
    let refusal = bare.answer(sign_in("larry")).await.unwrap_err();
    assert!(refusal.to_string().contains("LEGACY_LOGIN_URL"));
    assert!(bare.answer(forgotten("larry")).await.unwrap_err().to_string().contains("LEGACY_LOOKUP_URL"));
    let triggers = triggers(&old, &api, &[]);
    for pointer in ["/userName", "/request/password", "/request"] {
        for odd in [json!(null), json!(""), json!(7)] {
            let mut event = sign_in("larry");
            *event.pointer_mut(pointer).unwrap() = odd;
            assert_eq!(triggers.answer(event).await.unwrap_err().kind(), "Event");
        }
    }
    assert!(old.asked().is_empty());
}
