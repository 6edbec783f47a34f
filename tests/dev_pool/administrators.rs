//! What administrators do to users.

use super::api::call;
use super::*;

async fn admin(visit: &Visit, operation: &str, mut input: Value) -> (u16, Value) {
    input["UserPoolId"] = "eu-west-1_DevPool01".into();
    let answer = visit.browser.post(visit.pool.base_url()).json(&input);
    let answer = answer.header("authorization", "AWS4-HMAC-SHA256 Credential=x");
    let answer = answer.header("x-amz-target", format!("AWSCognitoIdentityProviderService.{operation}"));
    let answer = answer.send().await.unwrap();
    let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
    (status, if body.is_empty() { Value::Null } else { serde_json::from_str(&body).unwrap() })
}

#[tokio::test]
async fn a_created_user_changes_the_temporary_password() {
    let (function, events) = recording();
    let visit = Visit::with(|settings| settings.triggers = Some(function)).await;
    let attributes =
        json!([{ "Name": "email", "Value": "nora@example.com" }, { "Name": "email_verified", "Value": "true" }]);
    let create = json!({ "Username": "nora", "UserAttributes": attributes });
    let (_, created) = admin(&visit, "AdminCreateUser", create.clone()).await;
    assert_eq!(created["User"]["UserStatus"], "FORCE_CHANGE_PASSWORD", "{created}");
    assert_eq!(admin(&visit, "AdminCreateUser", create).await.1["__type"], "UsernameExistsException");
    let sent = visit.pool.sent_codes();
    assert_eq!((sent.len(), &sent[0].purpose), (1, &CodePurpose::Invitation));
    assert_eq!(events.lock().unwrap()[0].0, "PreSignUp_AdminCreateUser");

    let page = visit.login_page().await;
    let change = visit.follow(&page, &[("username", "nora"), ("password", &sent[0].code)]).await;
    assert_eq!(change.path(), "/changePassword");
    let html = visit.stay(&change, &[("password", "weak"), ("again", "weak")]).await;
    assert!(html.contains("Password not long enough"), "{html}");
    let callback = visit.follow(&change, &[("password", "N3wPassw0rd!"), ("again", "N3wPassw0rd!")]).await;
    assert!(query(&callback, "code").is_some(), "{callback}");
    let (_, user) = admin(&visit, "AdminGetUser", json!({ "Username": "nora" })).await;
    assert_eq!((&user["UserStatus"], &user["Enabled"]), (&json!("CONFIRMED"), &json!(true)));
    assert!(user["UserAttributes"].is_array() && user["UserCreateDate"].is_number());
}

#[tokio::test]
async fn a_disabled_users_tokens_are_dead() {
    let visit = Visit::start().await;
    let scope = "openid aws.cognito.signin.user.admin";
    let callback = visit.sign_in(&[("scope", scope)], "jane").await;
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    let jane = json!({ "Username": "jane" });
    assert_eq!(admin(&visit, "AdminDisableUser", jane.clone()).await, (200, json!({})));
    let refused = call(&visit, "GetUser", None, json!({ "AccessToken": tokens["access_token"] })).await.1;
    assert_eq!(refused["__type"], "NotAuthorizedException");
    assert_eq!(visit.refresh(tokens["refresh_token"].as_str().unwrap()).await, (400, error("invalid_grant")));
    let disabled = json!({ "UserPoolId": "eu-west-1_DevPool01", "Filter": "status = \"Disabled\"" });
    assert_eq!(admin(&visit, "ListUsers", disabled).await.1["Users"][0]["Username"], "jane");
    admin(&visit, "AdminEnableUser", jane).await;
    assert_eq!(visit.refresh(tokens["refresh_token"].as_str().unwrap()).await.0, 400, "they stay dead");
    visit.sign_in(&[("prompt", "login")], "jane").await;
}

#[tokio::test]
async fn a_user_is_signed_out_everywhere_and_deleted() {
    let visit = Visit::start().await;
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    let jane = json!({ "Username": "jane" });
    assert_eq!(admin(&visit, "AdminUserGlobalSignOut", jane.clone()).await.0, 200);
    assert_eq!(visit.refresh(tokens["refresh_token"].as_str().unwrap()).await, (400, error("invalid_grant")));
    assert_eq!(admin(&visit, "AdminDeleteUser", jane.clone()).await, (200, Value::Null));
    assert_eq!(admin(&visit, "AdminGetUser", jane).await.1["__type"], "UserNotFoundException");
}

#[tokio::test]
async fn passwords_and_addresses_are_set() {
    let visit = Visit::start().await;
    let set = |name: &str, password: &str, permanent: bool| {
        let input = json!({ "Username": name, "Password": password, "Permanent": permanent });
        let visit = &visit;
        async move { admin(visit, "AdminSetUserPassword", input).await }
    };
    assert_eq!(set("jane", "weak", true).await.1["__type"], "InvalidPasswordException");
    assert_eq!(set("Google_108347000000000000001", "N3wPassw0rd!", true).await.0, 400);
    assert_eq!(set("jane", "N3wPassw0rd!", false).await.0, 200);
    let page = visit.login_page().await;
    let next = visit.follow(&page, &[("username", "jane"), ("password", "N3wPassw0rd!")]).await;
    assert_eq!(next.path(), "/changePassword");
    assert_eq!(set("jane", "Passw0rd!", true).await.0, 200);
    visit.follow(&page, &[("username", "jane"), ("password", "Passw0rd!")]).await;

    let email = json!({ "Username": "jane", "UserAttributes": [{ "Name": "email", "Value": "jd@example.org" }] });
    admin(&visit, "AdminUpdateUserAttributes", email).await;
    let (_, user) = admin(&visit, "AdminGetUser", json!({ "Username": "jane" })).await;
    assert!(
        user["UserAttributes"].as_array().unwrap().contains(&json!({ "Name": "email_verified", "Value": "false" }))
    );
}

#[tokio::test]
async fn groups_have_members() {
    let visit = Visit::start().await;
    let jane = |group: &str| json!({ "Username": "jane", "GroupName": group });
    let names = |list: &Value, name: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|one| one[name].clone()).collect()
    };
    assert_eq!(admin(&visit, "AdminAddUserToGroup", jane("editors")).await.0, 200);
    let (_, body) = admin(&visit, "ListUsersInGroup", json!({ "GroupName": "editors" })).await;
    assert_eq!(names(&body["Users"], "Username"), ["jane", "erin"]);
    let (_, body) = admin(&visit, "AdminListGroupsForUser", json!({ "Username": "jane" })).await;
    assert_eq!(names(&body["Groups"], "GroupName"), ["editors"]);
    assert_eq!(admin(&visit, "AdminRemoveUserFromGroup", jane("editors")).await.0, 200);
    let (_, body) = admin(&visit, "ListGroups", json!({})).await;
    assert_eq!(names(&body["Groups"], "GroupName"), ["admins", "editors"]);
    let (_, body) = admin(&visit, "AdminListGroupsForUser", json!({ "Username": "jane" })).await;
    assert_eq!(body["Groups"], json!([]));
}
