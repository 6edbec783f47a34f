//! The user pools API at `POST /`.

use super::*;

/// The status and the body of an operation's answer.
pub(super) async fn call(visit: &Visit, operation: &str, authorization: Option<&str>, input: Value) -> (u16, Value) {
    let request = visit.browser.post(visit.pool.base_url()).json(&input);
    let mut request = request
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("AWSCognitoIdentityProviderService.{operation}"));
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/x-amz-json-1.1");
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn errors_come_in_the_apis_envelope() {
    let visit = Visit::start().await;
    let (status, body) = call(&visit, "AdminGetNothing", None, json!({})).await;
    assert_eq!((status, keys_of(&body)), (400, vec!["__type", "message"]));
    assert_eq!(body["__type"], "MissingAuthenticationTokenException");
    let (status, body) = call(&visit, "AdminGetNothing", Some("AWS4-HMAC-SHA256 x"), json!({})).await;
    assert_eq!((status, &body["__type"]), (400, &json!("UnknownOperationException")));
    assert_eq!(visit.pool.count(PoolEndpoint::Api), 2);
    assert_eq!(visit.browser.get(visit.pool.base_url()).send().await.unwrap().status(), 404);
}

const SIGNED: Option<&str> = Some("AWS4-HMAC-SHA256 Credential=x");
const POOL: &str = "eu-west-1_DevPool01";

async fn emails(visit: &Visit, filter: &str) -> (u16, Value) {
    call(visit, "ListUsers", SIGNED, json!({ "UserPoolId": POOL, "Filter": filter })).await
}

#[tokio::test]
async fn users_are_found_by_a_filter_whose_values_are_escaped() {
    let visit = Visit::start().await;
    visit.pool.edit_user("erin", |erin| drop(erin.attributes.insert("email".into(), r#"e"\n@example.com"#.into())));
    let (_, found) = emails(&visit, r#"email = "e\"\\n@example.com""#).await;
    assert_eq!((found["Users"].as_array().unwrap().len(), &found["Users"][0]["Username"]), (1, &json!("erin")));
    assert_eq!(emails(&visit, r#"email ^= "j""#).await.1["Users"][0]["UserStatus"], "CONFIRMED");
    for wrong in [r#"email = "e"\n@example.com""#, "email = e", r#"custom:x = "1""#, r#"email = "x" or email = "y""#] {
        assert_eq!(emails(&visit, wrong).await.1["__type"], "InvalidParameterException", "{wrong}");
    }
    let page = json!({ "UserPoolId": POOL, "Limit": 3 });
    let (_, first) = call(&visit, "ListUsers", SIGNED, page.clone()).await;
    let mut page = page;
    page["PaginationToken"] = first["PaginationToken"].clone();
    let (_, second) = call(&visit, "ListUsers", SIGNED, page).await;
    assert_eq!((first["Users"].as_array().unwrap().len(), second["Users"].as_array().unwrap().len()), (3, 1));
    assert!(second.get("PaginationToken").is_none());
}

#[tokio::test]
async fn an_identity_is_linked_once_and_to_one_user() {
    let visit = Visit::start().await;
    let link = async |name: &str, to: &str, id: &str| {
        let input = json!({
            "UserPoolId": POOL,
            "DestinationUser": { "ProviderName": "Cognito", "ProviderAttributeValue": to },
            "SourceUser": { "ProviderName": "Google", "ProviderAttributeName": name, "ProviderAttributeValue": id },
        });
        let (status, body) = call(&visit, "AdminLinkProviderForUser", SIGNED, input).await;
        (status, body["__type"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(link("email", "jane", "7").await.1, "InvalidParameterException");
    assert_eq!(link("Cognito_Subject", "nobody", "7").await.1, "UserNotFoundException");
    assert_eq!(link("Cognito_Subject", "jane", "7").await.0, 200);
    assert_eq!(link("Cognito_Subject", "jane", "7").await.1, "InvalidParameterException");
    assert_eq!(link("Cognito_Subject", "erin", "7").await.1, "InvalidParameterException");
    let callback = visit.federate("Google", "7", &[]).await;
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    assert_eq!(claims(&tokens["id_token"])["cognito:username"], "jane");
}
