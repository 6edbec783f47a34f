//! Discovery and keys, and what a test may do to a pool in process.

use super::*;

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
    assert_eq!(visit.pool.count(PoolEndpoint::Discovery), 1);

    visit.pool.add_discovery_keys();
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
async fn tests_can_have_forged_tokens() {
    let visit = Visit::start().await;
    visit.pool.pad_tokens(5_000);
    let padded = visit.pool.mint_id_token("dev-web-client", "jane");
    assert!((6_000..9_000).contains(&padded.len()), "{}", padded.len());
    visit.pool.pad_tokens(0);

    visit.pool.tamper_id_token(|draft: &mut UnsignedJwt| draft.signature = Signature::None);
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
    visit.pool.fault_once(PoolEndpoint::TokenClientCredentials, teapot);
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

    visit.pool.fault(PoolEndpoint::Token, Fault::Truncate);
    assert!(ask().await.unwrap().json::<Value>().await.is_err());
    visit.pool.fault(PoolEndpoint::Token, Fault::Redirect { status: 307, location: "http://other.test/".to_owned() });
    assert_eq!(ask().await.unwrap().status(), 307);
    visit.pool.fault(PoolEndpoint::Token, Fault::Huge { bytes: 100_000 });
    assert!(ask().await.unwrap().bytes().await.unwrap().len() > 100_000);
    visit.pool.fault(PoolEndpoint::Token, Fault::GzipBomb);
    let bomb = ask().await.unwrap();
    assert_eq!(bomb.headers()["content-encoding"], "gzip");
    assert!(bomb.bytes().await.unwrap().len() < 1_000_000);
    visit.pool.fault(PoolEndpoint::Token, Fault::Drip);
    assert_eq!(ask().await.unwrap().chunk().await.unwrap().unwrap(), "{");
    visit.pool.fault(PoolEndpoint::Token, Fault::Disconnect);
    assert!(ask().await.is_err());
    visit.pool.fault(PoolEndpoint::Token, Fault::Stall);
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
    let mut settings = PoolSettings::for_service(SERVICE);
    let mut public = AppClient::web("dev-public-client", "");
    public.secret = None;
    public.callback_urls.push(CALLBACK.to_owned());
    settings.clients.push(public);
    let pool = UserPool::start(settings).await.unwrap();
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
