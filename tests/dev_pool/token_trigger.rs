//! The trigger before tokens, and the resource that access tokens are for.

use super::*;
use auth_api::dev::pool::{LambdaVersion, TriggerError, TriggerFunction};
use std::sync::{Arc, Mutex};

/// A pool whose triggers answer with `response`, and the events before tokens.
async fn visit_with(
    token_event: LambdaVersion,
    response: Result<Value, &'static str>,
) -> (Visit, Arc<Mutex<Vec<Value>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let function = TriggerFunction::new(move |mut event: Value| {
        let response = response.clone();
        let before_tokens = event["triggerSource"].as_str().unwrap().starts_with("TokenGeneration_");
        if before_tokens {
            seen.lock().unwrap().push(event.clone());
        }
        async move {
            match response {
                Ok(response) if before_tokens => event["response"] = response,
                Err(message) if before_tokens => {
                    return Err(TriggerError { refused: false, message: message.to_owned() });
                }
                _ => {}
            }
            Ok(event)
        }
    });
    let set = |settings: &mut PoolSettings| (settings.triggers, settings.token_event) = (Some(function), token_event);
    (Visit::with(set).await, events)
}

fn v2() -> Value {
    json!({ "claimsAndScopeOverrideDetails": {
        "idTokenGeneration": {
            "claimsToAddOrOverride": { "tenant": "acme", "sub": "forged", "cognito:username": "forged" },
            "claimsToSuppress": ["email", "iss"],
        },
        "accessTokenGeneration": {
            "claimsToAddOrOverride": { "email": "j@x", "nested": { "a": 1 }, "client_id": "forged" },
            "scopesToAdd": ["orders/read"],
            "scopesToSuppress": ["profile"],
        },
        "groupOverrideDetails": { "groupsToOverride": ["writers"] },
    } })
}

#[tokio::test]
async fn the_first_version_changes_the_id_token() {
    let response = json!({ "claimsOverrideDetails": {
        "claimsToAddOrOverride": { "tenant": "acme" },
        "claimsToSuppress": ["email"],
        "groupOverrideDetails": { "groupsToOverride": ["writers"] },
    } });
    let (visit, events) = visit_with(LambdaVersion::V1, Ok(response)).await;
    let (_, tokens) = visit.redeem(&visit.code("erin").await).await;
    let (id, access) = (claims(&tokens["id_token"]), claims(&tokens["access_token"]));
    assert_eq!((&id["tenant"], &id["cognito:groups"]), (&json!("acme"), &json!(["writers"])));
    assert!(id.get("email").is_none() && access.get("tenant").is_none());
    assert_eq!(access["cognito:groups"], json!(["editors", "admins"]));
    let event = events.lock().unwrap()[0].clone();
    assert_eq!((&event["version"], &event["userName"]), (&json!("1"), &json!("erin")));
    assert_eq!(event["request"]["groupConfiguration"]["groupsToOverride"], json!(["editors", "admins"]));
    assert!(event["request"].get("scopes").is_none());
}

#[tokio::test]
async fn the_second_version_changes_both_tokens_at_sign_in_and_renewal() {
    let (visit, events) = visit_with(LambdaVersion::V2, Ok(v2())).await;
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    let (_, renewed) = visit.refresh(tokens["refresh_token"].as_str().unwrap()).await;
    for tokens in [&tokens, &renewed] {
        let (id, access) = (claims(&tokens["id_token"]), claims(&tokens["access_token"]));
        assert_eq!((&id["tenant"], &id["cognito:username"]), (&json!("acme"), &json!("jane")));
        assert!(id["sub"] != "forged" && id["iss"].is_string() && id.get("email").is_none());
        assert_eq!((&access["email"], &access["nested"]["a"]), (&json!("j@x"), &json!(1)));
        assert_eq!(
            (&access["client_id"], &access["scope"]),
            (&json!("dev-web-client"), &json!("openid email orders/read"))
        );
        assert_eq!((&id["cognito:groups"], &access["cognito:groups"]), (&json!(["writers"]), &json!(["writers"])));
    }
    // A browser that is known there is asked about too; so is a federated user.
    visit.redirected(visit.authorize_url(&[])).await;
    visit.federate("Google", "108347000000000000001", &[]).await;
    // Machines have the third version only.
    assert_eq!(visit.machine(None).await.0, 200);
    let events = events.lock().unwrap();
    let sources: Vec<&str> = events.iter().map(|event| event["triggerSource"].as_str().unwrap()).collect();
    let (native, renewal) = ("TokenGeneration_Authentication", "TokenGeneration_RefreshTokens");
    assert_eq!(sources, [native, renewal, native, "TokenGeneration_HostedAuth"]);
    assert_eq!(
        (&events[0]["version"], &events[0]["request"]["scopes"]),
        (&json!("2"), &json!(["openid", "email", "profile"]))
    );
    assert_eq!(events[3]["userName"], "google_108347000000000000001");
}

#[tokio::test]
async fn the_third_version_changes_tokens_of_machines() {
    let (visit, events) = visit_with(LambdaVersion::V3, Ok(v2())).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "dev-machine-client"),
        ("client_secret", "dev-machine-secret"),
        ("scope", "https://api.example.com/orders.read"),
        ("aws_client_metadata", r#"{"job":"nightly"}"#),
        ("resource", "https://api.example.com"),
    ];
    let (_, token) = visit.token(&form).await;
    let access = claims(&token["access_token"]);
    assert_eq!(access["scope"], "https://api.example.com/orders.read orders/read");
    assert_eq!((&access["email"], &access["client_id"]), (&json!("j@x"), &json!("dev-machine-client")));
    assert!(access.get("aud").is_none() && access.get("cognito:groups").is_none());
    let event = events.lock().unwrap()[0].clone();
    assert_eq!((&event["version"], &event["userName"]), (&json!("3"), &json!("ClientCredentials")));
    assert_eq!(event["request"]["clientMetadata"]["job"], "nightly");
}

#[tokio::test]
async fn a_trigger_that_fails_ends_the_sign_in_or_the_renewal() {
    let (visit, _) = visit_with(LambdaVersion::V3, Err("no tokens today")).await;
    let words = "PreTokenGeneration failed with error no tokens today.";
    let page = visit.redirected(visit.authorize_url(&[])).await;
    let answer = visit.submit(&page, &[("username", "jane"), ("password", "Passw0rd!")]).await;
    assert!(answer.text().await.unwrap().contains(words));
    let back = visit.federate("Google", "108347000000000000001", &[]).await;
    assert_eq!(query(&back, "error_description").as_deref(), Some(words));
    assert_eq!(query(&back, "error").as_deref(), Some("invalid_request"));
    assert_eq!(visit.machine(None).await, (400, error("invalid_grant")));

    let failing = Arc::new(Mutex::new(false));
    let fails = failing.clone();
    let function = TriggerFunction::new(move |event: Value| {
        let fails = *fails.lock().unwrap();
        async move { if fails { Err(TriggerError { refused: false, message: "x".into() }) } else { Ok(event) } }
    });
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    visit.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 0 });
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    *failing.lock().unwrap() = true;
    assert_eq!(visit.refresh(refresh).await, (400, error("invalid_grant")));
    *failing.lock().unwrap() = false;
    assert_eq!(visit.refresh(refresh).await.0, 200, "the token was not spent");
}

#[tokio::test]
async fn a_resource_becomes_the_audience_and_stays_it() {
    let visit = Visit::start().await;
    for resource in ["https://orders.example.com", "http://localhost:4000/api", "orders://api"] {
        let callback = visit.sign_in(&[("resource", resource), ("prompt", "login")], "jane").await;
        let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
        let (_, renewed) = visit.refresh(tokens["refresh_token"].as_str().unwrap()).await;
        for tokens in [tokens, renewed] {
            assert_eq!(claims(&tokens["access_token"])["aud"], resource);
            assert_eq!(claims(&tokens["id_token"])["aud"], "dev-web-client");
        }
    }
    for resource in ["orders", "http://orders.example.com", "https://orders.example.com/#part"] {
        let back = visit.redirected(visit.authorize_url(&[("resource", resource)])).await;
        assert_eq!(query(&back, "error").as_deref(), Some("invalid_request"), "{resource}");
    }
}
