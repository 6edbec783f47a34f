//! The events that AWS documents, and the answers that it wants.

use super::*;

const ERIN: &str = "b4d8f4a8-3091-70e2-9c1f-5a0f7d2e6b13";

/// What every answer says of Erin.
fn context(expires: &Value) -> Value {
    json!({
        "x_auth_subject": ERIN, "x_auth_username": "erin", "x_auth_email": "", "x_auth_groups": "editors,admins",
        "x_auth_scopes": "openid email", "x_auth_client_id": "dev-web-client", "x_auth_kind": "user",
        "x_auth_provider": "", "x_auth_expires": expires,
    })
}

fn policy(effect: &str, resource: &str, context: &Value) -> Value {
    let statement = json!({ "Action": "execute-api:Invoke", "Effect": effect, "Resource": resource });
    json!({
        "principalId": ERIN, "policyDocument": { "Version": "2012-10-17", "Statement": [statement] }, "context": context,
    })
}

/// A REST API's event for an authorizer of the type REQUEST.
fn rest_event(arn: &str, line: &str) -> Value {
    json!({
        "type": "REQUEST", "methodArn": arn, "resource": "/orders/{id}", "path": "/orders/7", "httpMethod": "GET",
        "headers": { "Accept": "*/*", "Authorization": line, "Host": "api.example.com", "X-Forwarded-For": "203.0.113.9" },
        "multiValueHeaders": { "Accept": ["*/*"], "Authorization": [line], "Host": ["api.example.com"] },
        "queryStringParameters": {}, "multiValueQueryStringParameters": {}, "pathParameters": { "id": "7" },
        "stageVariables": { "tier": "1" },
        "requestContext": {
            "accountId": "111122223333", "apiId": "a1b2c3d4e5", "httpMethod": "GET", "path": "/prod/orders/7",
            "identity": { "apiKey": null, "sourceIp": "203.0.113.9", "clientCert": null },
            "requestId": "c6af9ac6", "resourceId": "xtbm58", "resourcePath": "/orders/{id}", "stage": "prod",
        },
    })
}

/// AppSync's event.
fn graphql_event(token: &str) -> Value {
    json!({
        "authorizationToken": token,
        "requestContext": {
            "apiId": "aaaaaa123123123example123", "accountId": "111122223333", "requestId": "f4081827-1111-4444-5555",
            "queryString": "query { orders { id } }", "operationName": null, "variables": {},
        },
        "requestHeaders": { "authorization": token, "host": "x.appsync-api.eu-west-1.amazonaws.com" },
    })
}

#[tokio::test]
async fn each_kind_of_api_gets_the_answer_that_it_understands() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let token = site.pool.mint_access_token("dev-web-client", "erin", &["openid", "email"]);
    let line = format!("Bearer {token}");

    let answer = authorizer.answer(&token_event(&line)).await.unwrap();
    let context = context(&answer["context"]["x_auth_expires"]);
    assert!(context["x_auth_expires"].as_str().is_some_and(|seconds| seconds.parse::<u64>().is_ok()), "{context}");
    assert_eq!(answer, policy("Allow", ARN, &context));
    assert_eq!(authorizer.answer(&rest_event(ARN, &line)).await.unwrap(), answer);
    // An HTTP API with payload 1.0, and a WebSocket API.
    let mut compatible = rest_event(ARN, &line);
    compatible["version"] = json!("1.0");
    compatible.as_object_mut().unwrap().remove("multiValueHeaders");
    assert_eq!(authorizer.answer(&compatible).await.unwrap(), answer);
    let connect = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/prod/$connect";
    assert_eq!(authorizer.answer(&rest_event(connect, &line)).await.unwrap(), policy("Allow", connect, &context));

    let simple = authorizer.answer(&bearer_event(&token)).await.unwrap();
    assert_eq!(simple, json!({ "isAuthorized": true, "context": context }));
    for token in [&token, &line] {
        let graphql = authorizer.answer(&graphql_event(token)).await.unwrap();
        let expected =
            json!({ "isAuthorized": true, "resolverContext": context, "deniedFields": [], "ttlOverride": 0 });
        assert_eq!(graphql, expected);
    }
    for answer in [answer, simple] {
        assert!(!answer.to_string().contains(&token), "{answer}");
        let context = answer["context"].as_object().unwrap();
        assert!(context.values().all(Value::is_string), "API Gateway takes no lists: {context:?}");
    }
}

#[tokio::test]
async fn who_is_not_known_is_401_and_who_may_not_is_403() {
    let site = Site::start().await;
    let editors = verifying(&site, &[("AUTHORIZER_GROUPS", "editors")]);
    let jane = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let line = format!("Bearer {jane}");
    let denied = editors.answer(&rest_event(ARN, &line)).await.unwrap();
    assert_eq!(denied["policyDocument"]["Statement"][0]["Effect"], "Deny");
    assert_eq!(denied["policyDocument"]["Statement"][0]["Resource"], ARN);
    assert_eq!(denied["context"], json!({ "error": "insufficient_scope" }), "for a gateway response");
    assert_eq!(editors.answer(&bearer_event(&jane)).await.unwrap(), json!({ "isAuthorized": false }));
    let refused = json!({ "isAuthorized": false, "ttlOverride": 0 });
    assert_eq!(editors.answer(&graphql_event(&jane)).await.unwrap(), refused);

    assert_eq!(editors.answer(&graphql_event("dead")).await.unwrap(), refused);
    let anonymous = http_event(json!({}), Value::Null);
    for event in [token_event(""), token_event("Bearer dead"), rest_event(ARN, ""), bearer_event("dead"), anonymous] {
        let failure = editors.answer(&event).await.unwrap_err();
        assert_eq!((failure.kind(), failure.to_string().as_str()), ("Unauthorized", "Unauthorized"), "{event}");
    }
}

/// A policy stays in API Gateway's cache, and there it is compared with other requests.
#[tokio::test]
async fn a_policy_opens_the_one_method_and_path_that_was_asked_for() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let line = format!("Bearer {}", site.pool.mint_access_token("dev-web-client", "erin", &["openid"]));
    let arn = |end: &str| format!("arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/{end}");
    let resource = async |end: &str| {
        let answer = authorizer.answer(&rest_event(&arn(end), &line)).await.unwrap();
        let statements = answer["policyDocument"]["Statement"].as_array().unwrap();
        assert_eq!(statements.len(), 1, "{answer}");
        (statements[0]["Effect"].as_str().unwrap().to_owned(), statements[0]["Resource"].as_str().unwrap().to_owned())
    };
    for end in
        ["prod/GET/orders/7", "prod/DELETE/orders/7", "prod/GET/", "$default/GET/a/b", "prod/GET/a%2Ab", "p/GET/$"]
    {
        assert_eq!(resource(end).await, ("Allow".to_owned(), arn(end)), "{end}");
    }
    // What a visitor writes into a path is no pattern.
    for end in ["prod/GET/*", "prod/*", "*/GET/a", "prod/GET/a?", "prod/GET/${aws:username}", "prod/GET/${*}"] {
        assert_eq!(resource(end).await, ("Deny".to_owned(), "*".to_owned()), "{end}");
    }
    for arn in
        ["", "*", "prod/GET/a", "arn:aws:s3:::bucket/a/b", "arn:aws:execute-api:r:a:api", &arn("prod/GET/a\u{0}")]
    {
        assert_eq!(judge(&authorizer, &rest_event(arn, &line)).await, "Event", "{arn}");
    }
}

#[tokio::test]
async fn appsync_keeps_an_answer_no_longer_than_the_token_lives() {
    let site = Site::start().await;
    let keeping = verifying(&site, &[("AUTHORIZER_TTL", "5m"), ("AUTHORIZER_CREDENTIALS", "bearer")]);
    let token = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    let answer = keeping.answer(&graphql_event(&token)).await.unwrap();
    assert_eq!(answer["ttlOverride"], 300);
    site.clock.shift(3_500);
    let left = keeping.answer(&graphql_event(&token)).await.unwrap()["ttlOverride"].as_u64().unwrap();
    assert!(left <= 100, "{left}");
    // In the leeway after the end nothing is left to keep.
    site.clock.shift(115);
    assert_eq!(keeping.answer(&graphql_event(&token)).await.unwrap()["ttlOverride"], 0);
    site.clock.shift(60);
    assert_eq!(judge(&keeping, &graphql_event(&token)).await, "denied");
}

/// What was let in for one header must not be found in the cache by another.
#[tokio::test]
async fn a_header_that_is_not_accepted_changes_nothing() {
    let site = Site::start().await;
    let browser = crate::support::Browser::new();
    browser.sign_in(&site, "erin").await;
    let cookies = browser.cookies(&site.cms_url);
    let token = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    let (bearers, sessions) = (
        verifying(&site, &[("AUTHORIZER_CREDENTIALS", "bearer")]),
        verifying(&site, &[("AUTHORIZER_CREDENTIALS", "cookie")]),
    );
    let event = |line: &str, cookies: &str| http_event(json!({ "authorization": line }), json!([cookies]));
    let good = format!("Bearer {token}");
    for (line, cookies, by_bearer, by_session) in [
        (good.as_str(), "theme=dark", "allowed", "Unauthorized"),
        ("Basic eDp5", &cookies, "Unauthorized", "allowed"),
        ("Bearer dead", &cookies, "Unauthorized", "allowed"),
        (&good, &cookies, "allowed", "allowed"),
    ] {
        assert_eq!(judge(&bearers, &event(line, cookies)).await, by_bearer, "{line} {cookies}");
        assert_eq!(judge(&sessions, &event(line, cookies)).await, by_session, "{line} {cookies}");
    }
}
