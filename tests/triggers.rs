//! What a user pool asks in the middle of a sign-in is answered as Cognito wants it.

mod enrolment;
mod linking;
mod migration;
mod runtime;
mod settings;
mod stand_ins;

use auth_api::triggers::{TriggerSettings, Triggers};
use serde_json::{Value, json};
use stand_ins::{Api, Old};

const POOL: &str = "eu-west-1_AbCdEfGhI";

/// What Lambda sets, and where the stand-ins are.
fn environment(old: &Old, api: &Api, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut environment = vec![
        ("LEGACY_LOGIN_URL", old.url("/login")),
        ("LEGACY_LOOKUP_URL", old.url("/user")),
        ("LEGACY_API_KEY", "k3y".to_owned()),
        ("ATTRIBUTE_MAP", "email=mail,name=fullName,custom:legacy_id=id,phone_number=tel".to_owned()),
        ("AWS_REGION", "eu-west-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", stand_ins::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", stand_ins::SECRET_KEY.to_owned()),
        ("AWS_SESSION_TOKEN", stand_ins::SESSION_TOKEN.to_owned()),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", api.url()),
        ("PATH", "/usr/bin".to_owned()),
    ];
    environment.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    environment.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn triggers(old: &Old, api: &Api, more: &[(&str, &str)]) -> Triggers {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Triggers::new(TriggerSettings::read(environment(old, api, more)).unwrap()).unwrap()
}

fn event(source: &str, username: &str, request: Value, response: Value) -> Value {
    json!({
        "version": "1",
        "triggerSource": source,
        "region": "eu-west-1",
        "userPoolId": POOL,
        "userName": username,
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "6o7h8i9j0k" },
        "request": request,
        "response": response,
    })
}

/// The same, with keys that nobody knows yet.
fn of_tomorrow(event: &Value) -> Value {
    let mut event = event.clone();
    event["somethingNew"] = json!([1, { "a": null }]);
    event["callerContext"]["somethingNew"] = json!(true);
    event["request"]["somethingNew"] = json!({});
    event["response"]["somethingNew"] = json!("x");
    event
}

/// A short time where nothing will come; a long one where something must.
fn box_for(silence: bool) -> &'static str {
    if silence { "200ms" } else { "4500ms" }
}

/// An event without its response.
fn asked(event: &Value) -> Value {
    let mut event = event.clone();
    event["response"] = Value::Null;
    event
}

#[tokio::test]
async fn other_triggers_get_their_event_back() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let triggers = triggers(&old, &api, &[("DEFAULT_GROUPS", "readers")]);
    for source in ["PreSignUp_SignUp", "PreSignUp_AdminCreateUser", "TokenGeneration_HostedAuth", "Tomorrow_New", ""] {
        let event = of_tomorrow(&event(source, "jane", json!({ "userAttributes": { "email": "j@x" } }), json!({})));
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
    }
    for odd in [json!(null), json!([]), json!("x")] {
        assert_eq!(triggers.answer(odd).await.unwrap_err().kind(), "Event");
    }
    assert_eq!(triggers.answer(json!({})).await.unwrap(), json!({}));
    assert!(old.asked().is_empty() && api.calls().is_empty());
}
