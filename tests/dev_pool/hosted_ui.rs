//! In the browser: authorize, the login page, pretended providers, the session and sign-out.

use super::*;

#[tokio::test]
async fn the_login_page_says_what_is_wrong() {
    let visit = Visit::start().await;
    let page = visit.redirected(visit.authorize_url(&[("login_hint", "<jane>")])).await;
    let shown = visit.browser.get(page.clone()).send().await.unwrap();
    assert!(!shown.headers()["content-security-policy"].to_str().unwrap().contains("unsafe"));
    assert_eq!(shown.headers()["cache-control"], "no-store");
    let html = shown.text().await.unwrap();
    assert!(!html.contains("<jane>") && html.contains("jane"), "{html}");
    assert!(html.contains("Continue with Google") && html.contains("Continue with Facebook"));

    let wrong = visit.submit(&page, &[("username", "jane"), ("password", "nope")]).await;
    assert!(wrong.text().await.unwrap().contains("Incorrect username or password."));
    visit.pool.edit_user("jane", |jane| jane.enabled = false);
    let disabled = visit.submit(&page, &[("username", "jane"), ("password", "Passw0rd!")]).await;
    assert!(disabled.text().await.unwrap().contains("User is disabled."));
    let form = [("username", "jane"), ("password", "Passw0rd!"), ("_csrf", "forged")];
    let forged = visit.browser.post(page).form(&form).send().await.unwrap();
    assert_eq!(forged.status(), 403);
}

#[tokio::test]
async fn authorize_never_redirects_to_a_stranger() {
    let visit = Visit::start().await;
    for (name, value, text) in [
        ("client_id", "unknown", "invalid_client"),
        ("redirect_uri", "https://evil.test/", "redirect_mismatch"),
        ("redirect_uri", "http://127.0.0.1:8080/auth/signin/callback/", "redirect_mismatch"),
        ("redirect_uri", "", "Required parameters missing"),
    ] {
        let page = visit.redirected(visit.authorize_url(&[(name, value)])).await;
        assert!(page.as_str().starts_with(&format!("{}/error?", visit.pool.base_url())), "{page}");
        assert_eq!(query(&page, "error").as_deref(), Some(text), "{name}={value}");
        let answer = visit.browser.get(page).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains(text), "{name}={value}");
    }
    let json_state = visit.browser.get(visit.authorize_url(&[("state", "{\"a\":1}")])).send().await.unwrap();
    assert_eq!(json_state.status(), 400);
    assert!(json_state.text().await.unwrap().is_empty());
}

#[tokio::test]
async fn authorize_sends_other_mistakes_back_with_the_state() {
    let visit = Visit::start().await;
    for (name, value, expected) in [
        ("response_type", "", "invalid_request"),
        ("response_type", "token", "unauthorized_client"),
        ("code_challenge_method", "", "invalid_request"),
        ("code_challenge_method", "plain", "invalid_request"),
        ("scope", "openid nonsense", "invalid_scope"),
        ("scope", "email", "invalid_scope"),
        ("prompt", "none", "login_required"),
        ("identity_provider", "Elsewhere", "invalid_request"),
    ] {
        let back = visit.redirected(visit.authorize_url(&[(name, value)])).await;
        assert!(back.as_str().starts_with(CALLBACK), "{back}");
        assert_eq!(query(&back, "error").as_deref(), Some(expected), "{name}={value}");
        assert_eq!(query(&back, "state").as_deref(), Some("st-1"));
    }
    visit.pool.errors_without_state(true);
    let back = visit.redirected(visit.authorize_url(&[("prompt", "none")])).await;
    assert_eq!(query(&back, "state"), None);
}

#[tokio::test]
async fn the_hosted_session_signs_in_silently_for_an_hour_or_until_logout() {
    let visit = Visit::start().await;
    visit.sign_in(&[], "jane").await;
    let again = visit.redirected(visit.authorize_url(&[])).await;
    assert!(query(&again, "code").is_some(), "{again}");
    let silent = visit.redirected(visit.authorize_url(&[("prompt", "none")])).await;
    assert!(query(&silent, "code").is_some(), "{silent}");
    let asked = visit.redirected(visit.authorize_url(&[("prompt", "login")])).await;
    assert_eq!(asked.path(), "/login");

    let logout =
        |pairs: &[(&str, &str)]| Url::parse_with_params(&format!("{}/logout", visit.pool.base_url()), pairs).unwrap();
    let refused = logout(&[("client_id", "dev-web-client"), ("logout_uri", "https://evil.test/")]);
    let page = visit.redirected(refused).await;
    assert_eq!(page.path(), "/error");
    assert!(visit.browser.get(page).send().await.unwrap().text().await.unwrap().contains("Required String parameter"));

    let back = visit.redirected(logout(&[("client_id", "dev-web-client"), ("logout_uri", SIGNED_OUT)])).await;
    assert_eq!(back.as_str(), SIGNED_OUT);
    assert_eq!(visit.redirected(visit.authorize_url(&[])).await.path(), "/login");

    visit.sign_in(&[], "jane").await;
    visit.pool.shift_clock(3_601);
    assert_eq!(visit.redirected(visit.authorize_url(&[])).await.path(), "/login");

    let onward = logout(&[("client_id", "dev-web-client"), ("response_type", "code"), ("redirect_uri", CALLBACK)]);
    assert_eq!(visit.redirected(onward).await.path(), "/login");
}

#[tokio::test]
async fn federated_users_have_cognitos_odd_claims() {
    let visit = Visit::start().await;
    let page = visit.redirected(visit.authorize_url(&[("identity_provider", "Google")])).await;
    let html = visit.browser.get(page).send().await.unwrap().text().await.unwrap();
    assert!(html.contains("Gary Google") && !html.contains("Fay Facebook"));

    let callback = visit.federate("Google", "108347000000000000001", &[("nonce", "")]).await;
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    let id = claims(&tokens["id_token"]);
    assert_eq!(id["cognito:username"], "Google_108347000000000000001");
    assert_eq!(id["cognito:groups"], json!(["eu-west-1_DevPool01_Google"]));
    assert_eq!(id["email_verified"], false);
    assert!(id["nonce"].as_str().unwrap().len() > 140);
    let identity = &id["identities"][0];
    assert_eq!(identity["providerName"], "Google");
    assert_eq!(identity["primary"], "true");
    assert!(identity["dateCreated"].is_string() && identity["issuer"].is_null());

    let callback = visit.federate("Facebook", "2621595607852741", &[]).await;
    let (_, tokens) = visit.redeem(&query(&callback, "code").unwrap()).await;
    let id = claims(&tokens["id_token"]);
    assert_eq!(id["nonce"], "no-1");
    assert!(id.get("email").is_none() && id.get("email_verified").is_none());
}

#[tokio::test]
async fn federation_fails_the_way_it_does() {
    let visit = Visit::start().await;
    visit.pool.federation_fault(FederationFault::AlreadyFoundEntryOnce);
    let first = visit.federate("Google", "108347000000000000001", &[]).await;
    assert_eq!(query(&first, "error").as_deref(), Some("invalid_request"));
    assert_eq!(
        query(&first, "error_description").as_deref(),
        Some("Already found an entry for username Google_108347000000000000001")
    );
    let second = visit.federate("Google", "108347000000000000001", &[]).await;
    assert!(query(&second, "code").is_some());

    visit.pool.federation_fault(FederationFault::AccessDenied);
    let denied = visit.federate("Google", "108347000000000000001", &[]).await;
    assert_eq!(query(&denied, "error").as_deref(), Some("access_denied"));
}

/// At once, or by way of the pool's error page.
fn is_refused(answer: &reqwest::Response) -> bool {
    let to = answer.headers().get("location").and_then(|to| to.to_str().ok());
    answer.status().is_client_error() || to.is_some_and(|to| to.starts_with("/error?"))
}

#[tokio::test]
async fn no_input_upsets_the_pool() {
    let visit = Visit::start().await;
    let odd = ["", "?", "?&&==&%", "?client_id=%ff%00&redirect_uri=%0d%0aLocation:x", "?a[]=1&a[]=2&\u{e9}=%", "?x=%2"];
    let paths =
        ["/oauth2/authorize", "/login", "/logout", "/pretend/%ff", "/pretend/Google", "/%2e%2e/.well-known/jwks.json"];
    let pages = ["/signup", "/confirmUser", "/forgotPassword", "/confirmForgotPassword", "/changePassword", "/mfa"];
    for path in paths.into_iter().chain(pages) {
        for query in odd {
            let url = format!("{}{path}{query}", visit.pool.base_url());
            let answer = visit.browser.get(&url).header("cookie", "cognito; =;XSRF-TOKEN=\"<>").send().await.unwrap();
            assert!(is_refused(&answer), "{url}: {}", answer.status());
            let answer = visit.browser.post(&url).body("_csrf=%&%=\u{0}&username").send().await.unwrap();
            assert!(is_refused(&answer), "{url}: {}", answer.status());
        }
    }
}
