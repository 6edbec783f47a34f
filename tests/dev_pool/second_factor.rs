//! Authenticator apps: at the hosted UI, and at the API.

use super::api::call;
use super::*;
use aws_lc_rs::hmac;

/// A code as an authenticator app makes it (RFC 6238), from a secret in base32.
pub(crate) fn totp(secret: &str, now: i64) -> String {
    let bits: String =
        secret.chars().map(|c| format!("{:05b}", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".find(c).unwrap())).collect();
    let bytes: Vec<u8> =
        (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let hash = hmac::sign(&key, &(now / 30).to_be_bytes());
    let at = usize::from(hash.as_ref()[19] & 15);
    let number = u32::from_be_bytes(hash.as_ref()[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}

#[test]
fn the_test_has_a_genuine_authenticator() {
    // RFC 6238, appendix B.
    for (now, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
        assert_eq!(totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", now), code);
    }
}

const JANE: [(&str, &str); 2] = [("username", "jane"), ("password", "Passw0rd!")];

async fn start(mfa: MfaConfiguration) -> Visit {
    Visit::with(|settings| settings.mfa = mfa).await
}

#[tokio::test]
async fn a_pool_that_wants_a_factor_has_it_set_up_at_the_sign_in() {
    let visit = start(MfaConfiguration::On).await;
    let page = visit.login_page().await;
    let setup = visit.follow(&page, &JANE).await;
    assert_eq!(setup.path(), "/mfa");
    let html = visit.text(&setup).await;
    let secret = between(&html, "<dd id=\"secretCode\">", "<").to_owned();
    assert!(html.contains(&format!("otpauth://totp/eu-west-1_DevPool01:jane?secret={secret}")), "{html}");
    let html = visit.stay(&setup, &[("code", "nonsense")]).await;
    assert!(html.contains("Code mismatch") && html.contains(&secret), "{html}");
    let callback = visit.follow(&setup, &[("code", &totp(&secret, visit.now()))]).await;
    assert!(query(&callback, "code").is_some(), "{callback}");

    // From now on the app is asked for, and a code is good once.
    let page = visit.login_page().await;
    let asked = visit.follow(&page, &JANE).await;
    assert!(!visit.text(&asked).await.contains("secretCode"));
    let html = visit.stay(&asked, &[("code", &totp(&secret, visit.now()))]).await;
    assert!(html.contains("Your software token has already been used once."), "{html}");
    visit.pool.shift_clock(60);
    let stale = totp(&secret, visit.now() - 90);
    let html = visit.stay(&asked, &[("code", &stale)]).await;
    assert!(html.contains("Invalid code received for user"), "{html}");
    let early = totp(&secret, visit.now() + 30);
    let callback = visit.follow(&asked, &[("code", &early)]).await;
    assert!(query(&callback, "code").is_some(), "{callback}");

    // Three minutes for the code.
    let asked = visit.follow(&visit.login_page().await, &JANE).await;
    visit.pool.shift_clock(180);
    assert!(visit.text(&asked).await.contains("session is expired"));
}

/// A user with an authenticator app that is asked for, by the API; and its secret.
async fn enrol(visit: &Visit) -> String {
    let token = visit.pool.mint_access_token("dev-web-client", "jane", &["aws.cognito.signin.user.admin"]);
    let (_, body) = call(visit, "AssociateSoftwareToken", None, json!({ "AccessToken": token })).await;
    let secret = body["SecretCode"].as_str().unwrap().to_owned();
    let verify =
        |code: String| call(visit, "VerifySoftwareToken", None, json!({ "AccessToken": token, "UserCode": code }));
    let prefer = || {
        let settings = json!({ "Enabled": true, "PreferredMfa": true });
        call(visit, "SetUserMFAPreference", None, json!({ "AccessToken": token, "SoftwareTokenMfaSettings": settings }))
    };
    assert_eq!(prefer().await.1["__type"], "InvalidParameterException");
    assert_eq!(verify("12".to_owned()).await.1["__type"], "EnableSoftwareTokenMFAException");
    assert_eq!(verify(totp(&secret, visit.now())).await.1["Status"], "SUCCESS");
    assert_eq!(prefer().await.0, 200);
    let (_, user) = call(visit, "GetUser", None, json!({ "AccessToken": token })).await;
    assert_eq!(
        (&user["PreferredMfaSetting"], &user["UserMFASettingList"][0]),
        (&json!("SOFTWARE_TOKEN_MFA"), &json!("SOFTWARE_TOKEN_MFA"))
    );
    let (_, factors) = call(visit, "GetUserAuthFactors", None, json!({ "AccessToken": token })).await;
    assert_eq!(
        (&factors["ConfiguredUserAuthFactors"], &factors["PreferredMfaSetting"]),
        (&json!(["PASSWORD"]), &json!("SOFTWARE_TOKEN_MFA"))
    );
    secret
}

#[tokio::test]
async fn an_optional_factor_is_asked_for_and_never_offered() {
    let visit = start(MfaConfiguration::Optional).await;
    let callback = visit.follow(&visit.login_page().await, &JANE).await;
    assert!(query(&callback, "code").is_some(), "{callback}");
    let secret = enrol(&visit).await;
    visit.pool.shift_clock(30);
    let asked = visit.follow(&visit.login_page().await, &JANE).await;
    assert_eq!(asked.path(), "/mfa");
    let callback = visit.follow(&asked, &[("code", &totp(&secret, visit.now()))]).await;
    assert!(query(&callback, "code").is_some(), "{callback}");
}

#[tokio::test]
async fn a_pool_without_second_factors_sets_up_none() {
    let visit = Visit::start().await;
    let token = visit.pool.mint_access_token("dev-web-client", "jane", &["aws.cognito.signin.user.admin"]);
    let (_, body) = call(&visit, "AssociateSoftwareToken", None, json!({ "AccessToken": token })).await;
    assert_eq!(body["__type"], "SoftwareTokenMFANotFoundException");
}

#[tokio::test]
async fn the_api_asks_for_the_code_as_a_challenge() {
    let visit = start(MfaConfiguration::Optional).await;
    visit.pool.edit_client("dev-web-client", |client| client.secret = None);
    let secret = enrol(&visit).await;
    visit.pool.shift_clock(30);
    let password = json!({ "USERNAME": "jane", "PASSWORD": "Passw0rd!" });
    let input = json!({ "ClientId": "dev-web-client", "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": password });
    let (_, asked) = call(&visit, "InitiateAuth", None, input).await;
    assert_eq!(asked["ChallengeName"], "SOFTWARE_TOKEN_MFA");
    let respond = |code: String, name: &str| {
        let responses = json!({ "USERNAME": "jane", "SOFTWARE_TOKEN_MFA_CODE": code });
        let session = asked["Session"].clone();
        let input = json!({ "ClientId": "dev-web-client", "ChallengeName": name, "Session": session, "ChallengeResponses": responses });
        call(&visit, "RespondToAuthChallenge", None, input)
    };
    assert_eq!(respond("12".to_owned(), "SOFTWARE_TOKEN_MFA").await.1["__type"], "CodeMismatchException");
    let code = totp(&secret, visit.now());
    assert_eq!(respond(code.clone(), "MFA_SETUP").await.1["__type"], "NotAuthorizedException");
    let (status, body) = respond(code.clone(), "SOFTWARE_TOKEN_MFA").await;
    assert_eq!((status, body["AuthenticationResult"]["TokenType"].as_str()), (200, Some("Bearer")), "{body}");
    assert_eq!(respond(code, "SOFTWARE_TOKEN_MFA").await.1["__type"], "NotAuthorizedException");
}

#[tokio::test]
async fn the_api_has_a_factor_set_up_where_the_pool_wants_one() {
    let visit = start(MfaConfiguration::On).await;
    visit.pool.edit_client("dev-web-client", |client| client.secret = None);
    let password = json!({ "USERNAME": "jane", "PASSWORD": "Passw0rd!" });
    let input = json!({ "ClientId": "dev-web-client", "AuthFlow": "USER_PASSWORD_AUTH", "AuthParameters": password });
    let (_, asked) = call(&visit, "InitiateAuth", None, input).await;
    assert_eq!(asked["ChallengeName"], "MFA_SETUP");
    let (_, app) = call(&visit, "AssociateSoftwareToken", None, json!({ "Session": asked["Session"] })).await;
    let finish = |session: &Value| {
        let responses = json!({ "USERNAME": "jane" });
        let input = json!({ "ClientId": "dev-web-client", "ChallengeName": "MFA_SETUP", "Session": session, "ChallengeResponses": responses });
        call(&visit, "RespondToAuthChallenge", None, input)
    };
    assert_eq!(finish(&app["Session"]).await.1["__type"], "NotAuthorizedException");
    let code = totp(app["SecretCode"].as_str().unwrap(), visit.now());
    let (_, verified) =
        call(&visit, "VerifySoftwareToken", None, json!({ "Session": app["Session"], "UserCode": code })).await;
    assert_eq!(verified["Status"], "SUCCESS", "{verified}");
    assert!(finish(&verified["Session"]).await.1["AuthenticationResult"]["AccessToken"].is_string());
}
