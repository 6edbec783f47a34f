//! Sign-up and sign-in at the API, as apps without a browser do it.

use super::api::call;
use super::*;
use aws_lc_rs::hmac;

/// An input of the app client with its proof for a name.
fn of_client(username: &str, more: Value) -> Value {
    let mut input = json!({ "ClientId": "dev-web-client", "Username": username, "SecretHash": secret_hash(username) });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    input
}

fn secret_hash(username: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"dev-web-secret");
    STANDARD.encode(hmac::sign(&key, format!("{username}dev-web-client").as_bytes()))
}

async fn sign_in(visit: &Visit, username: &str, password: &str) -> (u16, Value) {
    let parameters = json!({ "USERNAME": username, "PASSWORD": password, "SECRET_HASH": secret_hash(username) });
    let input = json!({ "ClientId": "dev-web-client", "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": parameters });
    call(visit, "InitiateAuth", None, input).await
}

#[tokio::test]
async fn sign_up_confirm_and_sign_in() {
    let visit = Visit::start().await;
    let attributes = json!([{ "Name": "email", "Value": "nora@example.com" }]);
    let details = json!({ "Password": "Passw0rd!", "UserAttributes": attributes });
    let (_, body) = call(&visit, "SignUp", None, of_client("nora", details.clone())).await;
    assert_eq!(
        (&body["UserConfirmed"], &body["CodeDeliveryDetails"]["Destination"]),
        (&json!(false), &json!("n***@e***"))
    );
    assert_eq!(call(&visit, "SignUp", None, of_client("nora", details)).await.1["__type"], "UsernameExistsException");
    assert_eq!(sign_in(&visit, "nora", "Passw0rd!").await.1["__type"], "UserNotConfirmedException");
    call(&visit, "ResendConfirmationCode", None, of_client("nora", json!({}))).await;
    let code = visit.pool.last_code_for("nora@example.com").unwrap();
    let confirm =
        |code: &str| call(&visit, "ConfirmSignUp", None, of_client("nora", json!({ "ConfirmationCode": code })));
    assert_eq!(confirm("x").await.1["__type"], "CodeMismatchException");
    assert_eq!(confirm(&code).await.0, 200);
    let again = confirm(&code).await.1;
    assert_eq!(again["message"], "User cannot be confirmed. Current status is CONFIRMED");
    assert_eq!(call(&visit, "ResendConfirmationCode", None, of_client("nora", json!({}))).await.0, 400);

    let (_, body) = sign_in(&visit, "nora", "Passw0rd!").await;
    let tokens = &body["AuthenticationResult"];
    assert_eq!(claims(&tokens["AccessToken"])["scope"], "aws.cognito.signin.user.admin");
    assert_eq!(claims(&tokens["IdToken"])["email"], "nora@example.com");
    let wrong = sign_in(&visit, "nora", "wrong").await.1;
    assert_eq!(wrong, sign_in(&visit, "nobody", "wrong").await.1, "nobody learns who has an account");
    assert_eq!(wrong["__type"], "NotAuthorizedException");
}

#[tokio::test]
async fn a_client_with_a_secret_proves_it() {
    let visit = Visit::start().await;
    for operation in ["SignUp", "ConfirmSignUp", "ResendConfirmationCode", "ForgotPassword", "ConfirmForgotPassword"] {
        for (hash, text) in
            [(Value::Null, "SECRET_HASH was not received"), (json!("x"), "Unable to verify secret hash")]
        {
            let input =
                of_client("jane", json!({ "SecretHash": hash, "Password": "Passw0rd!", "ConfirmationCode": "1" }));
            let (_, body) = call(&visit, operation, None, input).await;
            assert_eq!(body["__type"], "NotAuthorizedException", "{operation}");
            assert!(body["message"].as_str().unwrap().contains(text), "{operation}: {body}");
        }
    }
    let input = json!({ "ClientId": "unknown", "Username": "jane" });
    assert_eq!(call(&visit, "ForgotPassword", None, input).await.1["__type"], "ResourceNotFoundException");
}

#[tokio::test]
async fn a_forgotten_password_is_replaced() {
    let visit = Visit::start().await;
    let forgot = |name: &str| call(&visit, "ForgotPassword", None, of_client(name, json!({})));
    assert_eq!(forgot("nobody").await.0, 200);
    let (_, body) = forgot("jane").await;
    assert_eq!(body["CodeDeliveryDetails"]["Destination"], "j***@e***");
    let code = visit.pool.last_code_for("jane@example.com").unwrap();
    let confirm = |name: &str, password: &str| {
        let more = json!({ "ConfirmationCode": code, "Password": password });
        call(&visit, "ConfirmForgotPassword", None, of_client(name, more))
    };
    assert_eq!(confirm("nobody", "N3wPassw0rd!").await.1["__type"], "ExpiredCodeException");
    assert_eq!(confirm("jane", "weak").await.1["__type"], "InvalidPasswordException");
    assert_eq!(confirm("jane", "N3wPassw0rd!").await, (200, json!({})));
    assert_eq!(sign_in(&visit, "jane", "N3wPassw0rd!").await.0, 200);
}

#[tokio::test]
async fn tokens_are_refreshed_and_revoked() {
    let visit = Visit::start().await;
    let tokens = sign_in(&visit, "jane", "Passw0rd!").await.1["AuthenticationResult"].clone();
    let refresh_token = tokens["RefreshToken"].as_str().unwrap();
    let refresh = || {
        let parameters = json!({ "REFRESH_TOKEN": refresh_token, "SECRET_HASH": secret_hash("jane") });
        let input =
            json!({ "ClientId": "dev-web-client", "AuthFlow": "REFRESH_TOKEN_AUTH", "AuthParameters": parameters });
        call(&visit, "InitiateAuth", None, input)
    };
    let exchange = |token: &str, secret: &str| {
        let input = json!({ "ClientId": "dev-web-client", "ClientSecret": secret, "RefreshToken": token });
        call(&visit, "GetTokensFromRefreshToken", None, input)
    };
    let fresh = refresh().await.1["AuthenticationResult"].clone();
    assert_eq!(keys_of(&fresh), ["AccessToken", "ExpiresIn", "IdToken", "TokenType"]);
    assert_eq!(claims(&fresh["IdToken"])["auth_time"], claims(&tokens["IdToken"])["auth_time"]);
    assert_eq!(exchange(refresh_token, "wrong").await.0, 400);
    assert!(exchange(refresh_token, "dev-web-secret").await.1["AuthenticationResult"]["AccessToken"].is_string());
    assert_eq!(visit.refresh(refresh_token).await.0, 200, "the token endpoint takes it too");

    visit.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 10 });
    assert_eq!(refresh().await.1["__type"], "InvalidParameterException");
    let rotated = exchange(refresh_token, "dev-web-secret").await.1["AuthenticationResult"]["RefreshToken"].clone();
    visit.pool.shift_clock(10);
    assert_eq!(exchange(refresh_token, "dev-web-secret").await.1["__type"], "RefreshTokenReuseException");

    let rotated = rotated.as_str().unwrap();
    let input = json!({ "ClientId": "dev-web-client", "ClientSecret": "dev-web-secret", "Token": rotated });
    assert_eq!(call(&visit, "RevokeToken", None, input).await, (200, json!({})));
    let (_, body) = exchange(rotated, "dev-web-secret").await;
    assert_eq!(body["message"], "Refresh Token has been revoked");
    let (_, body) = call(&visit, "GetUser", None, json!({ "AccessToken": fresh["AccessToken"] })).await;
    assert_eq!(body["message"], "Access Token has been revoked");
}

#[tokio::test]
async fn no_input_upsets_the_api() {
    let visit = Visit::start().await;
    for operation in [
        "AssociateSoftwareToken",
        "ChangePassword",
        "ConfirmForgotPassword",
        "ConfirmSignUp",
        "DeleteUser",
        "DeleteUserAttributes",
        "ForgotPassword",
        "GetTokensFromRefreshToken",
        "GetUser",
        "GetUserAttributeVerificationCode",
        "GetUserAuthFactors",
        "GlobalSignOut",
        "InitiateAuth",
        "ListDevices",
        "ResendConfirmationCode",
        "RespondToAuthChallenge",
        "RevokeToken",
        "SetUserMFAPreference",
        "SignUp",
        "UpdateUserAttributes",
        "VerifySoftwareToken",
        "VerifyUserAttribute",
        "AdminAddUserToGroup",
        "AdminCreateUser",
        "AdminDeleteUser",
        "AdminDisableUser",
        "AdminEnableUser",
        "AdminGetUser",
        "AdminLinkProviderForUser",
        "AdminListGroupsForUser",
        "AdminRemoveUserFromGroup",
        "AdminSetUserPassword",
        "AdminUpdateUserAttributes",
        "AdminUserGlobalSignOut",
        "ListGroups",
        "ListUsers",
        "ListUsersInGroup",
    ] {
        let token = "a.b.c";
        let full =
            json!({ "AccessToken": token, "ClientId": token, "UserPoolId": token, "Username": 1, "Session": [] });
        for input in [json!({}), json!([]), json!(null), json!("x"), full] {
            let (status, body) = call(&visit, operation, Some("AWS4-HMAC-SHA256 x"), input).await;
            assert_eq!((status, keys_of(&body)), (400, vec!["__type", "message"]), "{operation}");
            assert_ne!(body["__type"], "UnknownOperationException", "{operation}");
        }
    }
}
