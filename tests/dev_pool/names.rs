//! Capitals in the names of users.

use super::api::call;
use super::*;

const GARY: &str = "108347000000000000001";

async fn tokens_of_gary(visit: &Visit) -> Value {
    let scope = "openid email profile aws.cognito.signin.user.admin";
    let callback = visit.federate("Google", GARY, &[("scope", scope)]).await;
    visit.redeem(&query(&callback, "code").unwrap()).await.1
}

/// The name in the ID token, in the access token, at userInfo and in GetUser.
async fn names(visit: &Visit, tokens: &Value) -> [String; 4] {
    let access = tokens["access_token"].as_str().unwrap();
    let url = format!("{}/oauth2/userInfo", visit.pool.base_url());
    let told: Value = visit.browser.get(url).bearer_auth(access).send().await.unwrap().json().await.unwrap();
    let (_, user) = call(visit, "GetUser", None, json!({ "AccessToken": access })).await;
    let (id, claims) = (claims(&tokens["id_token"]), claims(&tokens["access_token"]));
    [&id["cognito:username"], &claims["username"], &told["username"], &user["Username"]]
        .map(|name| name.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn federated_names_lose_their_capitals_everywhere_but_in_tokens() {
    let visit = Visit::start().await;
    let tokens = tokens_of_gary(&visit).await;
    let (stored, flat) = (format!("Google_{GARY}"), format!("google_{GARY}"));
    assert_eq!(names(&visit, &tokens).await, [&*stored, &stored, &flat, &flat]);
    assert_eq!(claims(&tokens["id_token"])["identities"][0]["providerName"], "Google");
    assert_eq!(claims(&tokens["id_token"])["cognito:groups"], json!(["eu-west-1_DevPool01_Google"]));
    // Either spelling names the user.
    let access = tokens["access_token"].as_str().unwrap();
    assert_eq!(call(&visit, "GlobalSignOut", None, json!({ "AccessToken": access })).await.0, 200);
    assert!(visit.pool.is_revoked(tokens["refresh_token"].as_str().unwrap()));
}

#[tokio::test]
async fn a_case_sensitive_pool_leaves_names_alone() {
    let visit = Visit::with(|settings| settings.case_sensitive = true).await;
    let stored = format!("Google_{GARY}");
    let tokens = tokens_of_gary(&visit).await;
    assert_eq!(names(&visit, &tokens).await, [&*stored; 4]);
}

#[tokio::test]
async fn native_users_sign_in_with_any_capitals_unless_the_pool_minds_them() {
    for (case_sensitive, typed, known) in [(false, "JANE", true), (true, "JANE", false), (true, "jane", true)] {
        let visit = Visit::with(|settings| settings.case_sensitive = case_sensitive).await;
        let page = visit.redirected(visit.authorize_url(&[])).await;
        let answer = visit.submit(&page, &[("username", typed), ("password", "Passw0rd!")]).await;
        assert_eq!(answer.status() == 302, known, "{case_sensitive} {typed}");
        if known {
            let code = query(&location(&page, &answer), "code").unwrap();
            assert_eq!(claims(&visit.redeem(&code).await.1["id_token"])["cognito:username"], "jane");
        }
    }
}
