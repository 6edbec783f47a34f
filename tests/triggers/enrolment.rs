//! Federated users get the legacy id and the default groups, and never an error.

use super::*;
use crate::support::Log;
use std::time::{Duration, Instant};

const SOURCES: [&str; 2] = ["PostAuthentication_Authentication", "PostConfirmation_ConfirmSignUp"];
const GROUPS: (&str, &str) = ("DEFAULT_GROUPS", "readers,members");

fn federated(source: &str, attributes: &[(&str, &str)]) -> Value {
    let identities = r#"[{"userId":"108","providerName":"Google","providerType":"Google","issuer":null,"primary":true,"dateCreated":1642699117273}]"#;
    let mut told = json!({
        "sub": "c4f8", "cognito:user_status": "EXTERNAL_PROVIDER", "identities": identities,
        "email": "Larry@Example.com", "email_verified": "true",
    });
    for (name, value) in attributes {
        told[*name] = (*value).into();
    }
    event(source, "Google_108", json!({ "userAttributes": told, "newDeviceUsed": false }), json!({}))
}

#[tokio::test]
async fn a_federated_user_gets_the_legacy_id_and_the_groups() {
    for source in SOURCES {
        let (old, api) = (Old::knowing_larry().await, Api::empty().await);
        let triggers = triggers(&old, &api, &[GROUPS]);
        let event = of_tomorrow(&federated(source, &[]));
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
        assert_eq!(old.asked(), [("/user".to_owned(), json!({ "username": "Larry@Example.com" }))]);
        let mut calls = api.calls();
        calls.sort_by_key(|(operation, input)| (operation.clone(), input["GroupName"].to_string()));
        let whom = |more: Value| {
            let mut input = json!({ "UserPoolId": POOL, "Username": "Google_108" });
            input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            input
        };
        let id = json!({ "UserAttributes": [{ "Name": "custom:legacy_id", "Value": "4711" }] });
        let expected = [
            ("AdminAddUserToGroup".to_owned(), whom(json!({ "GroupName": "members" }))),
            ("AdminAddUserToGroup".to_owned(), whom(json!({ "GroupName": "readers" }))),
            ("AdminUpdateUserAttributes".to_owned(), whom(id)),
        ];
        assert_eq!(calls, expected);
        // Asked again, it does the same again, which changes nothing; with an id, the legacy system is left alone.
        triggers.answer(event).await.unwrap();
        assert_eq!(api.calls().len(), 6);
        triggers.answer(federated(source, &[("custom:legacy_id", "1")])).await.unwrap();
        assert_eq!((old.asked().len(), api.calls().len()), (2, 8));
    }
}

#[tokio::test]
async fn the_legacy_system_is_asked_by_verified_addresses_only_and_believed_about_them_only() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let plain = triggers(&old, &api, &[]);
    let event = |attributes: &[(&str, &str)]| federated(SOURCES[0], attributes);
    for unverified in ["false", ""] {
        plain.answer(event(&[("email_verified", unverified)])).await.unwrap();
    }
    plain.answer(event(&[("email", "")])).await.unwrap();
    assert!(old.asked().is_empty() && api.calls().is_empty());
    let trusting = triggers(&old, &api, &[("LINK_TRUSTED_PROVIDERS", "Google")]);
    trusting.answer(event(&[("email_verified", "false")])).await.unwrap();
    assert_eq!((old.asked().len(), api.calls().len()), (1, 1));
    // Somebody whose address is another one's user name.
    plain.answer(event(&[("email", "mallory@example.com")])).await.unwrap();
    assert_eq!((old.asked().len(), api.calls().len()), (2, 1));
}

fn token_event(version: &str, identities: &str) -> Value {
    let mut event = federated("TokenGeneration_HostedAuth", &[("identities", identities)]);
    event["version"] = version.into();
    event["request"]["groupConfiguration"] = json!({ "groupsToOverride": ["pool_Google", "readers"], "iamRolesToOverride": ["arn:x"], "preferredRole": "arn:x" });
    event
}

const GOOGLE: &str = r#"[{"userId":"108","providerName":"Google","providerType":"Google","primary":true}]"#;

#[tokio::test]
async fn the_token_of_a_first_sign_in_has_the_groups_and_the_legacy_id() {
    let stored =
        json!({ "Username": "Google_108", "UserAttributes": [{ "Name": "custom:legacy_id", "Value": "4711" }] });
    let api = Api::scripted(move |_, _| Some((200, stored.clone()))).await;
    let triggers = triggers(&Old::knowing_larry().await, &api, &[GROUPS]);
    let claims = json!({ "claimsToAddOrOverride": { "custom:legacy_id": "4711" } });
    // What is there already stays, and each stands once.
    let groups = json!({
        "groupsToOverride": ["pool_Google", "readers", "members"], "iamRolesToOverride": ["arn:x"], "preferredRole": "arn:x",
    });
    for (version, response) in [
        (
            "1",
            json!({ "claimsOverrideDetails": {
                "claimsToAddOrOverride": { "custom:legacy_id": "4711" }, "groupOverrideDetails": groups,
            } }),
        ),
        (
            "2",
            json!({ "claimsAndScopeOverrideDetails": { "idTokenGeneration": claims, "groupOverrideDetails": groups } }),
        ),
    ] {
        let event = token_event(version, GOOGLE);
        let answer = triggers.answer(event.clone()).await.unwrap();
        assert_eq!(answer["response"], response);
        assert_eq!(answer["request"], event["request"]);
    }
    assert_eq!(api.calls()[0], ("AdminGetUser".to_owned(), json!({ "UserPoolId": POOL, "Username": "Google_108" })));
}

#[tokio::test]
async fn other_tokens_are_as_cognito_makes_them() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let triggers = triggers(&old, &api, &[GROUPS]);
    let unnamed = token_event("2", &GOOGLE.replace("Google", "Acme"));
    let mut renewal = token_event("2", GOOGLE);
    renewal["triggerSource"] = "TokenGeneration_RefreshTokens".into();
    let mut complete = token_event("2", GOOGLE);
    complete["request"]["userAttributes"]["custom:legacy_id"] = "4711".into();
    complete["request"]["groupConfiguration"]["groupsToOverride"] = json!(["members", "readers"]);
    for event in [unnamed, renewal, complete] {
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
    }
    assert!(api.calls().is_empty());
    // An outage costs a claim for an hour, and no sign-in.
    let event = token_event("2", GOOGLE);
    let away = super::triggers(&old, &Api::scripted(|_, _| Some((503, json!({})))).await, &[GROUPS]);
    assert_eq!(away.answer(event.clone()).await.unwrap(), event);
}

#[tokio::test]
async fn access_tokens_have_the_address_where_it_is_set_up_so() {
    let (old, api) = (Old::knowing_nobody().await, Api::empty().await);
    let triggers = triggers(&old, &api, &[("ACCESS_TOKEN_EMAIL", "true")]);
    let event_of = |source: &str, version: &str, verified: &str| {
        let told = json!({ "cognito:user_status": "CONFIRMED", "email": "j@x", "email_verified": verified });
        let mut event = event(source, "jane", json!({ "userAttributes": told }), json!({}));
        event["version"] = version.into();
        event
    };
    for source in ["HostedAuth", "Authentication", "RefreshTokens", "NewPasswordChallenge"] {
        for (verified, flag) in [("true", true), ("false", false)] {
            let event = event_of(&format!("TokenGeneration_{source}"), "2", verified);
            let answer = triggers.answer(event).await.unwrap();
            let claims = json!({ "claimsToAddOrOverride": { "email": "j@x", "email_verified": flag } });
            assert_eq!(
                answer["response"],
                json!({ "claimsAndScopeOverrideDetails": { "accessTokenGeneration": claims } })
            );
        }
    }
    // Version 1 cannot; a machine has no address.
    for event in [
        event_of("TokenGeneration_HostedAuth", "1", "true"),
        event_of("TokenGeneration_ClientCredentials", "3", "true"),
    ] {
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
    }
    assert!(api.calls().is_empty() && old.asked().is_empty());
}

#[tokio::test]
async fn users_of_a_provider_that_nobody_named_get_nothing() {
    let identities = r#"[{"userId":"108","providerName":"Acme","providerType":"OIDC","primary":true}]"#;
    for source in SOURCES {
        let (old, api) = (Old::knowing_larry().await, Api::empty().await);
        let mut event = federated(source, &[("identities", identities)]);
        event["userName"] = "Acme_108".into();
        let unnamed = triggers(&old, &api, &[GROUPS]);
        assert_eq!(unnamed.answer(event.clone()).await.unwrap(), event);
        assert!(old.asked().is_empty() && api.calls().is_empty());
        let named = triggers(&old, &Api::empty().await, &[GROUPS, ("LINK_PROVIDERS", "Acme")]);
        named.answer(event).await.unwrap();
        assert_eq!(old.asked().len(), 1);
    }
}

#[tokio::test]
async fn native_users_are_left_alone() {
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let triggers = triggers(&old, &api, &[GROUPS]);
    for source in SOURCES {
        let told = json!({ "sub": "s", "cognito:user_status": "CONFIRMED", "email": "j@x", "email_verified": "true" });
        let event = event(source, "jane", json!({ "userAttributes": told }), json!({}));
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
    }
    assert!(old.asked().is_empty() && api.calls().is_empty());
}

#[tokio::test]
async fn no_outage_fails_a_login() {
    let log = Log::capture();
    let event = federated(SOURCES[0], &[]);
    for old in [Some((500, "")), Some((200, "<html>")), None] {
        let (old, api) = (Old::answering(old).await, Api::empty().await);
        let triggers = triggers(&old, &api, &[GROUPS, ("TRIGGER_TIMEOUT", "2s")]);
        let started = Instant::now();
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
        assert!(started.elapsed() < Duration::from_secs(5));
        // The groups are none of the legacy system's business.
        assert_eq!(api.operations(), ["AdminAddUserToGroup", "AdminAddUserToGroup"]);
    }
    for failure in ["AccessDeniedException", "TooManyRequestsException", "silence"] {
        let old = Old::knowing_larry().await;
        let api = Api::scripted(move |_, _| {
            (failure != "silence").then(|| (400, json!({ "__type": format!("x#{failure}"), "message": "m" })))
        })
        .await;
        let triggers = triggers(&old, &api, &[GROUPS, ("TRIGGER_TIMEOUT", box_for(failure == "silence"))]);
        assert_eq!(triggers.answer(event.clone()).await.unwrap(), event);
        assert!(failure == "silence" || log.text().contains(failure), "{}", log.text());
    }
    let (old, api) = (Old::knowing_larry().await, Api::empty().await);
    let mut odd = event.clone();
    for pointer in ["/userPoolId", "/request/userAttributes", "/userName"] {
        *odd.pointer_mut(pointer).unwrap() = json!(7);
        assert_eq!(triggers(&old, &api, &[GROUPS]).answer(odd.clone()).await.unwrap(), odd);
    }
    assert!(api.calls().is_empty());
}
