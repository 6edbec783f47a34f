//! At the token endpoint and the endpoints for the tokens it issues.

use super::*;

#[tokio::test]
async fn a_native_user_signs_in_with_a_code() {
    let visit = Visit::start().await;
    let callback = visit.sign_in(&[], "jane").await;
    assert!(callback.as_str().starts_with(CALLBACK));
    assert_eq!(query(&callback, "state").as_deref(), Some("st-1"));
    let (status, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(keys_of(&tokens), ["access_token", "expires_in", "id_token", "refresh_token", "token_type"]);

    let id = claims(&tokens["id_token"]);
    assert_eq!(id["iss"], visit.pool.issuer());
    assert_eq!(id["aud"], "dev-web-client");
    assert_eq!(id["nonce"], "no-1");
    assert_eq!(id["token_use"], "id");
    assert_eq!(id["cognito:username"], "jane");
    assert_eq!(id["email_verified"], true);
    assert_eq!(id["custom:legacy_id"], "42");
    assert!(id.get("cognito:groups").is_none() && id.get("identities").is_none() && id.get("azp").is_none());
    let hash = digest::digest(&digest::SHA256, tokens["access_token"].as_str().unwrap().as_bytes());
    assert_eq!(id["at_hash"], URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));

    let access = claims(&tokens["access_token"]);
    assert_eq!(access["client_id"], "dev-web-client");
    assert_eq!(access["username"], "jane");
    assert_eq!(access["origin_jti"], id["origin_jti"]);
    assert!(access.get("aud").is_none() && access.get("email").is_none());

    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert!(refresh.starts_with("eyJj") && refresh.split('.').count() == 5);
    assert!((1_700..2_000).contains(&refresh.len()), "{}", refresh.len());
    assert_eq!(visit.pool.live_refresh_tokens(), 1);
}

#[tokio::test]
async fn a_code_is_good_once_and_for_five_minutes() {
    let visit = Visit::start().await;
    let code = visit.code("jane").await;
    assert_eq!(visit.redeem(&code).await.0, 200);
    assert_eq!(visit.redeem(&code).await, (400, error("invalid_grant")));

    let late = visit.code("jane").await;
    visit.pool.shift_clock(301);
    assert_eq!(visit.redeem(&late).await, (400, error("invalid_grant")));
    assert_eq!(visit.pool.count(PoolEndpoint::TokenCode), 3);
}

#[tokio::test]
async fn a_failed_exchange_burns_the_code_except_for_a_bad_secret() {
    let visit = Visit::start().await;
    let code = visit.code("jane").await;
    let bad_secret = visit.redeem_with(&code, &[("client_secret", "wrong")]).await;
    assert_eq!(bad_secret, (400, error("invalid_client")));
    assert_eq!(visit.redeem(&code).await.0, 200);

    for (field, value, expected) in [
        ("code_verifier", "another-verifier-that-is-long-enough-0123456789", error("invalid_request")),
        ("redirect_uri", SERVICE, json!({ "error": "unauthorized_client", "error_description": "invalid_redirect" })),
    ] {
        let code = visit.code("jane").await;
        assert_eq!(visit.redeem_with(&code, &[(field, value)]).await, (400, expected));
        assert_eq!(visit.redeem(&code).await, (400, error("invalid_grant")));
    }
}

#[tokio::test]
async fn clients_authenticate_by_header_or_form_and_always_with_their_secret() {
    let visit = Visit::start().await;
    let url = format!("{}/oauth2/token", visit.pool.base_url());
    let basic = |id: &'static str, secret: &'static str| {
        visit.browser.post(&url).basic_auth(id, Some(secret)).form(&[("grant_type", "client_credentials")]).send()
    };
    assert_eq!(basic("dev-machine-client", "dev-machine-secret").await.unwrap().status(), 200);
    assert_eq!(basic("dev-machine-client", "wrong").await.unwrap().status(), 400);
    assert_eq!(basic("nobody", "wrong").await.unwrap().status(), 400);
    let bare = [("grant_type", "client_credentials"), ("client_id", "dev-machine-client")];
    assert_eq!(visit.token(&bare).await, (400, error("invalid_client")));
    let web =
        [("grant_type", "client_credentials"), ("client_id", "dev-web-client"), ("client_secret", "dev-web-secret")];
    assert_eq!(visit.token(&web).await, (400, error("unauthorized_client")));
    assert_eq!(visit.token(&[("grant_type", "password")]).await, (400, error("unsupported_grant_type")));
    assert_eq!(visit.token(&[]).await, (400, error("invalid_request")));
    assert_eq!(visit.token(&[("grant_type", "a"), ("grant_type", "b")]).await, (400, error("invalid_request")));

    for header in ["Basic", "Basic !!!", "Basic AA==", "Bearer x", "\u{0}"] {
        let Ok(header) = reqwest::header::HeaderValue::from_bytes(header.as_bytes()) else { continue };
        let request = visit.browser.post(&url).header("authorization", header).body("%ff=%%&&==&grant_type=x%00");
        assert_eq!(request.send().await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn refreshing_keeps_the_sign_in_and_leaves_out_the_nonce() {
    let visit = Visit::start().await;
    let (_, first) = visit.redeem(&visit.code("erin").await).await;
    visit.pool.shift_clock(120);
    let (status, second) = visit.refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(keys_of(&second), ["access_token", "expires_in", "id_token", "token_type"]);
    let (before, after) = (claims(&first["id_token"]), claims(&second["id_token"]));
    for same in ["sub", "auth_time", "origin_jti", "event_id"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    assert!(after.get("nonce").is_none() && before["jti"] != after["jti"]);
    assert!(after["iat"].as_i64().unwrap() >= before["iat"].as_i64().unwrap() + 120);
    assert_eq!(after["cognito:groups"], json!(["editors", "admins"]));

    visit.pool.edit_user("erin", |erin| erin.enabled = false);
    let refused = visit.refresh(first["refresh_token"].as_str().unwrap()).await;
    assert_eq!(refused, (400, error("invalid_grant")));
}

#[tokio::test]
async fn rotation_gives_the_old_token_a_grace_and_the_new_one_the_old_end() {
    let visit = Visit::start().await;
    visit.pool.edit_client("dev-web-client", |client| {
        client.rotation = Rotation::On { grace_seconds: 30 };
        client.refresh_token_seconds = 7_200;
    });
    let (_, first) = visit.redeem(&visit.code("jane").await).await;
    let old = first["refresh_token"].as_str().unwrap();
    let (_, second) = visit.refresh(old).await;
    let new = second["refresh_token"].as_str().unwrap();
    assert_ne!(old, new);

    visit.pool.shift_clock(20);
    assert_eq!(visit.refresh(old).await.0, 200, "within the grace period");
    visit.pool.shift_clock(20);
    assert_eq!(visit.refresh(old).await, (400, error("invalid_grant")), "after it");
    let (status, third) = visit.refresh(new).await;
    assert_eq!(status, 200);
    visit.pool.shift_clock(7_200);
    let end = visit.refresh(third["refresh_token"].as_str().unwrap()).await;
    assert_eq!(end, (400, error("invalid_grant")), "a rotated token has the life of the first");
}

#[tokio::test]
async fn machines_get_tokens_for_the_scopes_of_their_resource_server() {
    let visit = Visit::start().await;
    let (status, tokens) = visit.machine(None).await;
    assert_eq!(status, 200);
    assert_eq!(keys_of(&tokens), ["access_token", "expires_in", "token_type"]);
    let token = claims(&tokens["access_token"]);
    assert_eq!(token["sub"], "dev-machine-client");
    assert_eq!(token["client_id"], "dev-machine-client");
    assert_eq!(
        token["scope"],
        "https://api.example.com/orders.read https://api.example.com/orders.write https://api.example.com/users.read"
    );
    assert!(token.get("username").is_none() && token.get("aud").is_none());

    let read = "https://api.example.com/orders.read";
    let (_, some) = visit.machine(Some(&format!("{read} https://api.example.com/undefined"))).await;
    assert_eq!(claims(&some["access_token"])["scope"], read);
    assert_eq!(visit.machine(Some("openid")).await, (400, error("invalid_scope")));
    visit.pool.edit_client("dev-machine-client", |client| client.scopes.retain(|scope| scope.ends_with("write")));
    assert_eq!(visit.machine(Some(read)).await, (400, error("invalid_grant")));
    assert_eq!(visit.pool.count(PoolEndpoint::TokenClientCredentials), 4);
    assert_eq!(visit.pool.count(PoolEndpoint::Token), 4);
}

#[tokio::test]
async fn user_info_speaks_in_strings() {
    let visit = Visit::start().await;
    let url = format!("{}/oauth2/userInfo", visit.pool.base_url());
    let ask = |token: String| visit.browser.get(&url).bearer_auth(token).send();
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    let body: Value = ask(access.clone()).await.unwrap().json().await.unwrap();
    assert_eq!(body["email_verified"], "true");
    assert_eq!(body["username"], "jane");
    assert!(body.get("cognito:username").is_none());

    assert_eq!(visit.browser.get(&url).send().await.unwrap().status(), 400);
    let id_token = tokens["id_token"].as_str().unwrap().to_owned();
    let narrow = visit.pool.mint_access_token("dev-web-client", "jane", &["aws.cognito.signin.user.admin"]);
    for refused in [id_token, narrow, "x.y.z".to_owned()] {
        let answer = ask(refused).await.unwrap();
        assert_eq!(answer.status(), 401);
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().contains("invalid_token"));
    }
    visit.pool.sign_out_user("jane");
    assert_eq!(ask(access).await.unwrap().status(), 401, "globally signed out");
}

#[tokio::test]
async fn revoking_kills_the_refresh_token_and_answers_with_nothing() {
    let visit = Visit::start().await;
    let url = format!("{}/oauth2/revoke", visit.pool.base_url());
    let revoke = |token: String, secret: &'static str| {
        visit.browser.post(&url).basic_auth("dev-web-client", Some(secret)).form(&[("token", token)]).send()
    };
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(revoke(refresh.to_owned(), "wrong").await.unwrap().status(), 401);
    assert!(!visit.pool.is_revoked(refresh));
    for _ in 0..2 {
        let answer = revoke(refresh.to_owned(), "dev-web-secret").await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    assert!(visit.pool.is_revoked(refresh));
    assert_eq!(visit.pool.live_refresh_tokens(), 0);
    assert_eq!(visit.refresh(refresh).await, (400, error("invalid_grant")));
    let access = revoke(tokens["access_token"].as_str().unwrap().to_owned(), "dev-web-secret").await.unwrap();
    let body: Value = access.json().await.unwrap();
    assert_eq!(body, error("unsupported_token_type"));
}
