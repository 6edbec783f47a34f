//! The binary, under a Lambda Runtime API of the test's own.

use super::*;
use crate::support::Browser;
use crate::support::lambda::Function;
use std::io::Read;

const PROGRAM: &str = env!("CARGO_BIN_EXE_api-gateway-authorizer");

#[tokio::test]
async fn one_function_answers_every_kind_of_api_under_the_real_runtime() {
    let site = Site::start().await;
    let browser = Browser::new();
    browser.sign_in(&site, "erin").await;
    let cookies = browser.cookies(&site.cms_url);
    let token = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    let environment = variables(&[
        ("AUTH_API__PROVIDER__ISSUER", &site.pool.issuer()),
        ("AUTH_API__PROVIDER__CLIENT_ID", "dev-web-client"),
        ("AUTHORIZER_VALIDATE_URL", &site.auth("/validate")),
        ("AUTHORIZER_GROUPS", "editors"),
    ]);
    let mut function = Function::start(PROGRAM, environment).await;

    let (how, policy) = function.ask(&token_event(&format!("Bearer {token}"))).await;
    assert_eq!((how.as_str(), &policy["policyDocument"]["Statement"][0]["Resource"]), ("response", &json!(ARN)));
    for event in [bearer_event(&token), cookie_event(&cookies)] {
        let (how, answer) = function.ask(&event).await;
        assert_eq!((how.as_str(), &answer["isAuthorized"]), ("response", &json!(true)), "{answer}");
    }
    let graphql = json!({ "authorizationToken": token, "requestContext": { "apiId": "a" } });
    assert_eq!(function.ask(&graphql).await.1["resolverContext"]["x_auth_username"], "erin");
    // These very words make a 401 of it.
    for event in [token_event("Bearer dead"), bearer_event("dead"), cookie_event("auth=x")] {
        let (how, error) = function.ask(&event).await;
        let unauthorized = json!({ "errorType": "Unauthorized", "errorMessage": "Unauthorized" });
        assert_eq!((how.as_str(), error), ("error", unauthorized));
    }
    let jane = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(function.ask(&bearer_event(&jane)).await.1, json!({ "isAuthorized": false }));
    // The provider's keys are known, the service's word is not.
    let url = site.auth("/validate");
    let (pool, world) = (site.pool.issuer(), site.world);
    world.stop().await.unwrap();
    assert_eq!(function.ask(&bearer_event(&token)).await.1["isAuthorized"], true, "{pool}");
    let (how, error) = function.ask(&cookie_event(&cookies)).await;
    assert_eq!((how.as_str(), &error["errorType"]), ("error", &json!("Unavailable")), "{url}");
    assert_ne!(error["errorMessage"], "Unauthorized");

    let log = function.log();
    assert!(log.contains("request denied") && log.contains("no decision"), "{log}");
    for secret in [token.as_str(), cookies.as_str(), "dead"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn a_wrong_environment_stops_the_start_with_every_mistake() {
    let wrong = variables(&[("AUTHORIZER_TIMEOUT", "60s"), ("AUTHORIZER_CREDENTIALS", "cookie")]);
    let mut function = Function::start(PROGRAM, wrong).await;
    let mut log = String::new();
    function.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(!function.child.wait().unwrap().success());
    assert!(log.contains("AUTHORIZER_TIMEOUT is 60s") && log.contains("are both missing"), "{log}");
}
