//! The dev user pool behaves like a Cognito user pool, seen from the network.

use std::time::Duration;

use auth_api::dev::pool::{Client, Draft, Endpoint, Fault, FederationFault, Pool, Rotation, Settings, Signature};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use url::Url;

const SERVICE: &str = "http://127.0.0.1:8080";
const CALLBACK: &str = "http://127.0.0.1:8080/auth/signin/callback";
const SIGNED_OUT: &str = "http://127.0.0.1:8080/auth/signout/callback";
const VERIFIER: &str = "a-code-verifier-of-at-least-forty-three-characters-0123456789";

/// A pool and a browser that keeps cookies and follows nothing.
struct Visit {
    pool: Pool,
    browser: reqwest::Client,
}

impl Visit {
    async fn start() -> Self {
        let pool = Pool::start(Settings::for_service(SERVICE)).await.unwrap();
        Self { pool, browser: browser() }
    }

    fn authorize_url(&self, more: &[(&str, &str)]) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, VERIFIER.as_bytes()));
        let mut pairs = vec![
            ("response_type", "code"),
            ("client_id", "dev-web-client"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid email profile"),
            ("state", "st-1"),
            ("nonce", "no-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        pairs.retain(|(name, _)| !more.iter().any(|(other, _)| other == name));
        pairs.extend(more.iter().filter(|(_, value)| !value.is_empty()));
        Url::parse_with_params(&format!("{}/oauth2/authorize", self.pool.base_url()), pairs).unwrap()
    }

    /// Where a redirect leads, as an absolute URL.
    async fn redirected(&self, url: Url) -> Url {
        let answer = self.browser.get(url.clone()).send().await.unwrap();
        assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
        location(&url, &answer)
    }

    async fn submit(&self, page: &Url, fields: &[(&str, &str)]) -> reqwest::Response {
        let html = self.browser.get(page.clone()).send().await.unwrap().text().await.unwrap();
        let csrf = between(&html, "name=\"_csrf\" value=\"", "\"");
        let mut fields = fields.to_vec();
        fields.push(("_csrf", csrf));
        self.browser.post(page.clone()).form(&fields).send().await.unwrap()
    }

    /// The callback URL after signing in on the login page.
    async fn sign_in(&self, more: &[(&str, &str)], username: &str) -> Url {
        let page = self.redirected(self.authorize_url(more)).await;
        assert_eq!(page.path(), "/login");
        let answer = self.submit(&page, &[("username", username), ("password", "Passw0rd!")]).await;
        assert_eq!(answer.status(), 302);
        location(&page, &answer)
    }

    async fn code(&self, username: &str) -> String {
        query(&self.sign_in(&[("prompt", "login")], username).await, "code").unwrap()
    }

    /// The callback URL after choosing an identity at a pretended provider.
    async fn federate(&self, provider: &str, identity: &str, more: &[(&str, &str)]) -> Url {
        let more: Vec<_> = more.iter().copied().chain([("identity_provider", provider), ("prompt", "login")]).collect();
        let page = self.redirected(self.authorize_url(&more)).await;
        let answer = self.submit(&page, &[("identity", identity)]).await;
        assert_eq!(answer.status(), 302);
        location(&page, &answer)
    }

    async fn token(&self, fields: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("{}/oauth2/token", self.pool.base_url());
        let answer = self.browser.post(url).form(fields).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/json;charset=UTF-8");
        assert!(answer.headers().contains_key("x-amz-cognito-request-id"));
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn redeem(&self, code: &str) -> (u16, Value) {
        self.redeem_with(code, &[]).await
    }

    async fn redeem_with(&self, code: &str, other: &[(&str, &str)]) -> (u16, Value) {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("client_id", "dev-web-client"),
            ("client_secret", "dev-web-secret"),
            ("code_verifier", VERIFIER),
        ];
        fields.retain(|(name, _)| !other.iter().any(|(changed, _)| changed == name));
        fields.extend(other);
        self.token(&fields).await
    }

    async fn refresh(&self, refresh_token: &str) -> (u16, Value) {
        self.token(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", "dev-web-client"),
            ("client_secret", "dev-web-secret"),
        ])
        .await
    }

    async fn machine(&self, scope: Option<&str>) -> (u16, Value) {
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", "dev-machine-client"),
            ("client_secret", "dev-machine-secret"),
        ];
        fields.extend(scope.map(|scope| ("scope", scope)));
        self.token(&fields).await
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the browser, not the service")]
fn browser() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .cookie_store(true)
        .timeout(Duration::from_secs(20))
        .build()
        .unwrap()
}

fn location(base: &Url, answer: &reqwest::Response) -> Url {
    base.join(answer.headers()["location"].to_str().unwrap()).unwrap()
}

fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let rest = &text[text.find(start).expect("the page has the field") + start.len()..];
    &rest[..rest.find(end).unwrap()]
}

fn part(token: &str, number: usize) -> Value {
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn header(token: &Value) -> Value {
    part(token.as_str().unwrap(), 0)
}

fn claims(token: &Value) -> Value {
    part(token.as_str().unwrap(), 1)
}

fn keys_of(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn error(code: &str) -> Value {
    json!({ "error": code })
}

#[tokio::test]
async fn discovery_has_cognitos_keys_and_no_others() {
    let visit = Visit::start().await;
    let url = format!("{}/.well-known/openid-configuration", visit.pool.issuer());
    let document: Value = visit.browser.get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        keys_of(&document),
        [
            "authorization_endpoint",
            "end_session_endpoint",
            "id_token_signing_alg_values_supported",
            "issuer",
            "jwks_uri",
            "response_types_supported",
            "revocation_endpoint",
            "scopes_supported",
            "subject_types_supported",
            "token_endpoint",
            "token_endpoint_auth_methods_supported",
            "userinfo_endpoint",
        ]
    );
    assert_eq!(document["issuer"], visit.pool.issuer());
    assert_eq!(visit.pool.count(Endpoint::Discovery), 1);

    visit.pool.discovery_extras(true);
    visit.pool.escape_slashes(true);
    let text = visit.browser.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(text.contains("registration_endpoint") && text.contains(r"http:\/\/"), "{text}");
    let extended: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(extended["issuer"], visit.pool.issuer());

    let wrong = format!("{}/.well-known/openid-configuration", visit.pool.base_url());
    assert_eq!(visit.browser.get(wrong).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn the_two_keys_sign_one_kind_of_token_each() {
    let visit = Visit::start().await;
    let url = format!("{}/.well-known/jwks.json", visit.pool.issuer());
    let before: Value = visit.browser.get(&url).send().await.unwrap().json().await.unwrap();
    let kids: Vec<&str> = before["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap()).collect();
    assert_eq!(kids.len(), 2);
    for kid in &kids {
        assert_eq!(kid.len(), 44);
        assert_eq!(STANDARD.decode(kid).unwrap().len(), 32);
    }
    let (_, tokens) = visit.redeem(&visit.code("jane").await).await;
    assert_eq!(header(&tokens["id_token"]), json!({ "alg": "RS256", "kid": kids[0] }));
    assert_eq!(header(&tokens["access_token"]), json!({ "alg": "RS256", "kid": kids[1] }));
    for (token, key) in [("id_token", 0), ("access_token", 1)] {
        let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(before["keys"][key].clone()).unwrap();
        let mut rules = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::RS256);
        rules.validate_aud = false;
        let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
        jsonwebtoken::decode::<Map<String, Value>>(tokens[token].as_str().unwrap(), &key, &rules).unwrap();
    }

    visit.pool.rotate_keys();
    let after: Value = visit.browser.get(&url).send().await.unwrap().json().await.unwrap();
    assert!(!after.to_string().contains(kids[0]) && !after.to_string().contains(kids[1]));
}

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
async fn a_code_is_good_once_and_for_five_minutes() {
    let visit = Visit::start().await;
    let code = visit.code("jane").await;
    assert_eq!(visit.redeem(&code).await.0, 200);
    assert_eq!(visit.redeem(&code).await, (400, error("invalid_grant")));

    let late = visit.code("jane").await;
    visit.pool.shift_clock(301);
    assert_eq!(visit.redeem(&late).await, (400, error("invalid_grant")));
    assert_eq!(visit.pool.count(Endpoint::TokenCode), 3);
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
    assert_eq!(token["scope"], "https://api.example.com/orders.read https://api.example.com/orders.write");
    assert!(token.get("username").is_none() && token.get("aud").is_none());

    let read = "https://api.example.com/orders.read";
    let (_, some) = visit.machine(Some(&format!("{read} https://api.example.com/undefined"))).await;
    assert_eq!(claims(&some["access_token"])["scope"], read);
    assert_eq!(visit.machine(Some("openid")).await, (400, error("invalid_scope")));
    visit.pool.edit_client("dev-machine-client", |client| client.scopes.retain(|scope| scope.ends_with("write")));
    assert_eq!(visit.machine(Some(read)).await, (400, error("invalid_grant")));
    assert_eq!(visit.pool.count(Endpoint::TokenClientCredentials), 4);
    assert_eq!(visit.pool.count(Endpoint::Token), 4);
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
        let answer = visit.browser.get(visit.authorize_url(&[(name, value)])).send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(!answer.headers().contains_key("location"));
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
    let refused = visit.browser.get(refused).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("Required String parameter"));

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
    assert!(!visit.pool.revoked(refresh));
    for _ in 0..2 {
        let answer = revoke(refresh.to_owned(), "dev-web-secret").await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.bytes().await.unwrap().is_empty());
    }
    assert!(visit.pool.revoked(refresh));
    assert_eq!(visit.pool.live_refresh_tokens(), 0);
    assert_eq!(visit.refresh(refresh).await, (400, error("invalid_grant")));
    let access = revoke(tokens["access_token"].as_str().unwrap().to_owned(), "dev-web-secret").await.unwrap();
    let body: Value = access.json().await.unwrap();
    assert_eq!(body, error("unsupported_token_type"));
}

#[tokio::test]
async fn tests_can_have_forged_tokens() {
    let visit = Visit::start().await;
    visit.pool.pad_tokens(5_000);
    let padded = visit.pool.mint_id_token("dev-web-client", "jane");
    assert!((6_000..9_000).contains(&padded.len()), "{}", padded.len());
    visit.pool.pad_tokens(0);

    visit.pool.tamper_id_token(|draft: &mut Draft| draft.signature = Signature::None);
    let unsigned = visit.pool.mint_id_token("dev-web-client", "jane");
    assert_eq!(part(&unsigned, 0)["alg"], "none");
    assert!(unsigned.ends_with('.'));
    visit.pool.tamper_id_token(|draft| {
        draft.signature = Signature::HmacWithPublicKey;
        draft.claims.insert("aud".to_owned(), "other".into());
    });
    let mixed_up = visit.pool.mint_id_token("dev-web-client", "jane");
    assert_eq!(part(&mixed_up, 0)["alg"], "HS256");
    assert_eq!(part(&mixed_up, 1)["aud"], "other");
    visit.pool.tamper_access_token(|draft| draft.signature = Signature::OtherKey);
    let forged = visit.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let info = format!("{}/oauth2/userInfo", visit.pool.base_url());
    assert_eq!(visit.browser.get(info).bearer_auth(forged).send().await.unwrap().status(), 401);
    visit.pool.clear_tampering();
    assert_eq!(part(&visit.pool.mint_id_token("dev-web-client", "jane"), 0)["alg"], "RS256");
}

#[tokio::test]
async fn faults_happen_where_they_are_asked_for() {
    let visit = Visit::start().await;
    let teapot = Fault::Status { status: 418, content_type: "text/plain", body: "no".to_owned() };
    visit.pool.fault_once(Endpoint::TokenClientCredentials, teapot);
    let url = format!("{}/oauth2/token", visit.pool.base_url());
    let ask = || {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "dev-machine-client"),
            ("client_secret", "dev-machine-secret"),
        ];
        visit.browser.post(&url).form(&form).send()
    };
    assert_eq!(ask().await.unwrap().status(), 418);
    assert_eq!(ask().await.unwrap().status(), 200, "once is once");

    visit.pool.fault(Endpoint::Token, Fault::Truncate);
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    visit.pool.fault(Endpoint::Token, Fault::Redirect { status: 307, location: "http://other.test/".to_owned() });
    assert_eq!(ask().await.unwrap().status(), 307);
    visit.pool.fault(Endpoint::Token, Fault::Huge { bytes: 100_000 });
    assert!(ask().await.unwrap().bytes().await.unwrap().len() > 100_000);
    visit.pool.fault(Endpoint::Token, Fault::GzipBomb);
    let bomb = ask().await.unwrap();
    assert_eq!(bomb.headers()["content-encoding"], "gzip");
    assert!(bomb.bytes().await.unwrap().len() < 1_000_000);
    visit.pool.fault(Endpoint::Token, Fault::Drip);
    assert_eq!(ask().await.unwrap().chunk().await.unwrap().unwrap(), "{");
    visit.pool.fault(Endpoint::Token, Fault::Disconnect);
    assert!(ask().await.is_err());
    visit.pool.fault(Endpoint::Token, Fault::Stall);
    let stalled = tokio::time::timeout(Duration::from_millis(50), ask()).await;
    assert!(stalled.is_err());
    visit.pool.clear_faults();
    assert_eq!(ask().await.unwrap().status(), 200);

    visit.pool.down(true);
    assert!(ask().await.is_err());
    visit.pool.down(false);
    assert_eq!(ask().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_public_client_needs_no_secret_and_the_last_handle_stops_the_pool() {
    let mut settings = Settings::for_service(SERVICE);
    let mut public = Client::web("dev-public-client", "");
    public.secret = None;
    public.callback_urls.push(CALLBACK.to_owned());
    settings.clients.push(public);
    let pool = Pool::start(settings).await.unwrap();
    let visit = Visit { pool, browser: browser() };
    let callback = visit.sign_in(&[("client_id", "dev-public-client")], "jane").await;
    let code = query(&callback, "code").unwrap();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("client_id", "dev-public-client"),
        ("code_verifier", VERIFIER),
    ];
    assert_eq!(visit.token(&form).await.0, 200);

    let url = visit.pool.base_url();
    let Visit { pool, browser } = visit;
    drop(pool);
    assert!(browser.get(url).send().await.is_err());
}
