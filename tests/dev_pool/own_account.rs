//! What a user does to the own account, with an access token.

use super::api::call;
use super::*;

async fn access_token(visit: &Visit, username: &str) -> (String, String) {
    let scope = "openid aws.cognito.signin.user.admin";
    let callback = visit.sign_in(&[("prompt", "login"), ("scope", scope)], username).await;
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    let text = |name: &str| tokens[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

/// The attribute of the user, as GetUser has it.
async fn attribute(visit: &Visit, token: &str, name: &str) -> Option<String> {
    let (_, user) = call(visit, "GetUser", None, json!({ "AccessToken": token })).await;
    let found = user["UserAttributes"].as_array().unwrap().iter().find(|one| one["Name"] == name).cloned();
    found.map(|one| one["Value"].as_str().unwrap().to_owned())
}

async fn change_email(visit: &Visit, token: &str, email: &str) -> Value {
    let attributes = json!([{ "Name": "email", "Value": email }, { "Name": "name", "Value": "J." }]);
    call(visit, "UpdateUserAttributes", None, json!({ "AccessToken": token, "UserAttributes": attributes })).await.1
}

async fn verify(visit: &Visit, token: &str, code: &str) -> (u16, Value) {
    let input = json!({ "AccessToken": token, "AttributeName": "email", "Code": code });
    call(visit, "VerifyUserAttribute", None, input).await
}

#[tokio::test]
async fn a_new_address_is_unverified_until_its_code_comes() {
    let visit = Visit::start().await;
    let (token, _) = access_token(&visit, "jane").await;
    let sent = change_email(&visit, &token, "jd@example.org").await;
    assert_eq!(sent["CodeDeliveryDetailsList"][0]["Destination"], "j***@e***", "{sent}");
    assert_eq!(attribute(&visit, &token, "email").await.as_deref(), Some("jd@example.org"));
    assert_eq!(attribute(&visit, &token, "email_verified").await.as_deref(), Some("false"));
    assert_eq!(verify(&visit, &token, "x").await.1["__type"], "CodeMismatchException");
    let input = json!({ "AccessToken": token, "AttributeName": "email" });
    call(&visit, "GetUserAttributeVerificationCode", None, input).await;
    let code = visit.pool.last_code_for("jd@example.org").unwrap();
    assert_eq!(verify(&visit, &token, &code).await, (200, json!({})));
    assert_eq!(attribute(&visit, &token, "email_verified").await.as_deref(), Some("true"));
    assert_eq!(verify(&visit, &token, &code).await.1["__type"], "ExpiredCodeException", "a code is good once");
    assert_eq!(change_email(&visit, &token, "jd@example.org").await["CodeDeliveryDetailsList"], json!([]));
}

#[tokio::test]
async fn the_old_address_stays_where_the_pool_wants_the_new_one_verified_first() {
    let visit = Visit::with(|settings| settings.attributes_require_verification = true).await;
    let (token, _) = access_token(&visit, "jane").await;
    change_email(&visit, &token, "jd@example.org").await;
    assert_eq!(attribute(&visit, &token, "email").await.as_deref(), Some("jane@example.com"));
    assert_eq!(attribute(&visit, &token, "email_verified").await.as_deref(), Some("true"));
    assert_eq!(attribute(&visit, &token, "name").await.as_deref(), Some("J."));
    let code = visit.pool.last_code_for("jd@example.org").unwrap();
    visit.pool.shift_clock(3_000);
    assert_eq!(verify(&visit, &token, &code).await.0, 200);
    assert_eq!(attribute(&visit, &token, "email").await.as_deref(), Some("jd@example.org"));

    change_email(&visit, &token, "erin@example.com").await;
    let code = visit.pool.last_code_for("erin@example.com").unwrap();
    assert_eq!(verify(&visit, &token, &code).await.1["__type"], "AliasExistsException");
}

#[tokio::test]
async fn attributes_are_deleted_and_some_are_not_the_users() {
    let visit = Visit::start().await;
    let (token, _) = access_token(&visit, "jane").await;
    let delete = |names: Value| {
        call(&visit, "DeleteUserAttributes", None, json!({ "AccessToken": token, "UserAttributeNames": names }))
    };
    assert_eq!(delete(json!(["name"])).await.0, 200);
    assert_eq!(attribute(&visit, &token, "name").await, None);
    assert_eq!(delete(json!(["sub"])).await.1["__type"], "NotAuthorizedException");
    assert_eq!(call(&visit, "ListDevices", None, json!({ "AccessToken": token })).await.1, json!({ "Devices": [] }));
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one() {
    let visit = Visit::start().await;
    let (token, _) = access_token(&visit, "jane").await;
    let change = |previous: &str, proposed: &str| {
        let input = json!({ "AccessToken": token, "PreviousPassword": previous, "ProposedPassword": proposed });
        call(&visit, "ChangePassword", None, input)
    };
    assert_eq!(change("wrong", "N3wPassw0rd!").await.1["message"], "Incorrect username or password.");
    assert_eq!(change("Passw0rd!", "weak").await.1["__type"], "InvalidPasswordException");
    assert_eq!(change("Passw0rd!", "N3wPassw0rd!").await.0, 200);
    let page = visit.login_page().await;
    visit.follow(&page, &[("username", "jane"), ("password", "N3wPassw0rd!")]).await;
}

#[tokio::test]
async fn the_account_goes_with_everything_that_is_the_users() {
    let visit = Visit::start().await;
    let (token, refresh_token) = access_token(&visit, "jane").await;
    let deleted = visit.browser.post(visit.pool.base_url()).json(&json!({ "AccessToken": token }));
    let deleted = deleted.header("x-amz-target", "AWSCognitoIdentityProviderService.DeleteUser").send().await.unwrap();
    assert_eq!((deleted.status().as_u16(), deleted.text().await.unwrap().as_str()), (200, ""));
    assert_eq!(call(&visit, "GetUser", None, json!({ "AccessToken": token })).await.0, 400);
    assert_eq!(visit.refresh(&refresh_token).await, (400, error("invalid_grant")));
    let page = visit.redirected(visit.authorize_url(&[])).await;
    assert_eq!(page.path(), "/login", "the hosted UI's session is over");
    let html = visit.stay(&page, &[("username", "jane"), ("password", "Passw0rd!")]).await;
    assert!(html.contains("Incorrect username or password."), "{html}");
}
