//! The binary, under a Lambda Runtime API of the test's own.

use super::*;
use crate::support::lambda::Function;
use std::io::Read;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cognito-triggers");

#[tokio::test]
async fn one_function_answers_all_triggers_under_the_real_runtime() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let mut function = Function::start(PROGRAM, environment(&old, &api, &[("DEFAULT_GROUPS", "readers")])).await;

    let request = json!({ "password": "0ldPassw0rd", "validationData": null, "userAttributes": null });
    let migration = event("UserMigration_Authentication", "larry", request, json!({ "userAttributes": null }));
    let (how, answer) = function.ask(&migration).await;
    assert_eq!((how.as_str(), asked(&answer)), ("response", asked(&migration)));
    assert_eq!(answer["response"]["userAttributes"]["custom:legacy_id"], "4711");

    let told = json!({ "sub": "c4f8", "cognito:user_status": "EXTERNAL_PROVIDER" });
    let signed_in =
        event("PostAuthentication_Authentication", "Google_1", json!({ "userAttributes": told }), json!({}));
    assert_eq!(function.ask(&signed_in).await, ("response".to_owned(), signed_in));
    assert_eq!(api.operations(), ["AdminAddUserToGroup"]);

    let other = of_tomorrow(&event("CustomMessage_SignUp", "x", json!({}), json!({ "smsMessage": null })));
    assert_eq!(function.ask(&other).await, ("response".to_owned(), other));

    let mut odd = migration.clone();
    odd["request"]["password"] = Value::Null;
    let (how, error) = function.ask(&odd).await;
    assert_eq!((how.as_str(), &error["errorType"]), ("error", &json!("Event")));

    let log = function.log();
    assert!(log.contains("migrated") && !log.contains("0ldPassw0rd"), "{log}");
}

#[tokio::test]
async fn a_refusal_is_an_error_with_a_name_and_a_text() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let mut function = Function::start(PROGRAM, environment(&old, &api, &[])).await;
    let migration = event("UserMigration_Authentication", "larry", json!({ "password": "Wr0ngPassw0rd" }), json!({}));
    for _ in 0..2 {
        let (how, error) = function.ask(&migration).await;
        assert_eq!((how.as_str(), &error["errorType"]), ("error", &json!("WrongPassword")));
        assert_eq!(error["errorMessage"], "Incorrect username or password");
    }
    let log = function.log();
    assert!(!log.contains("Wr0ngPassw0rd") && log.contains("WrongPassword"), "{log}");
}

#[tokio::test]
async fn a_wrong_environment_stops_the_start_with_every_mistake() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let wrong = [("TRIGGER_TIMEOUT", "9s"), ("LEGACY_LOGIN_URL", "http://legacy.example.com/")];
    let mut function = Function::start(PROGRAM, environment(&old, &api, &wrong)).await;
    let mut log = String::new();
    function.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!function.child.wait().unwrap().success());
    assert!(log.contains("TRIGGER_TIMEOUT is 9s") && log.contains("LEGACY_LOGIN_URL is no address"), "{log}");
}
