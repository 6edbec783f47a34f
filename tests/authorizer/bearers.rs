//! Bearer tokens, verified with keys that outlive the provider's outages.

use super::*;
use auth_api::dev::pool::PoolEndpoint;

#[tokio::test]
async fn requirements_are_those_of_validate() {
    let site = Site::start().await;
    let erin = site.pool.mint_access_token("dev-web-client", "erin", &["openid", "email"]);
    let machine = site.pool.mint_machine_token("dev-machine-client", &["https://api.example.com/orders.read"]);
    let id_token = site.pool.mint_id_token("dev-web-client", "erin");
    site.pool.tamper_access_token(|token| drop(token.claims.insert("acr".into(), json!("urn:b"))));
    let classed = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    for (name, value, token, expected) in [
        ("AUTHORIZER_GROUPS", "nobody, editors", &erin, "allowed"),
        ("AUTHORIZER_GROUPS", "nobody", &erin, "denied"),
        ("AUTHORIZER_GROUPS", "editors", &machine, "denied"),
        ("AUTHORIZER_SCOPES", "openid,email", &erin, "allowed"),
        ("AUTHORIZER_SCOPES", "openid,profile", &erin, "denied"),
        ("AUTHORIZER_SCOPES", "https://api.example.com/orders.read", &machine, "allowed"),
        ("AUTHORIZER_EMAIL_DOMAINS", "example.org,example.com", &id_token, "allowed"),
        ("AUTHORIZER_EMAIL_DOMAINS", "example.org", &id_token, "denied"),
        ("AUTHORIZER_EMAIL_DOMAINS", "example.com", &erin, "denied"),
        ("AUTHORIZER_ACR", "urn:a,urn:b", &classed, "allowed"),
        ("AUTHORIZER_ACR", "urn:a", &classed, "denied"),
        ("AUTHORIZER_ACR", "urn:b", &erin, "denied"),
        ("AUTHORIZER_MAX_AGE", "5m", &erin, "allowed"),
        ("AUTHORIZER_MAX_AGE", "5m", &machine, "denied"),
    ] {
        let authorizer = verifying(&site, &[(name, value)]);
        assert_eq!(judge(&authorizer, &bearer_event(token)).await, expected, "{name}={value}");
    }
    let recent = verifying(&site, &[("AUTHORIZER_MAX_AGE", "5m")]);
    site.clock.shift(290);
    assert_eq!(judge(&recent, &bearer_event(&erin)).await, "allowed");
    site.clock.shift(20);
    assert_eq!(judge(&recent, &bearer_event(&erin)).await, "denied");
    let denied = recent.answer(&token_event(&format!("Bearer {erin}"))).await.unwrap();
    assert_eq!(denied["context"]["error"], "insufficient_user_authentication");
}

#[tokio::test]
async fn keys_that_were_read_survive_an_outage_and_without_any_nobody_is_let_in() {
    let site = Site::start().await;
    let token = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    let (late, early) = (verifying(&site, &[]), verifying(&site, &[]));
    early.prepare().await;
    site.pool.down(true);
    late.prepare().await;
    let failure = late.answer(&bearer_event(&token)).await.unwrap_err();
    assert_eq!(failure.kind(), "Unavailable");
    assert!(!failure.to_string().contains("Unauthorized"), "it would be a 401: {failure}");
    for seconds in [0, 1_000, 1_000] {
        site.clock.shift(seconds);
        assert_eq!(judge(&early, &bearer_event(&token)).await, "allowed", "{seconds}");
    }
    site.pool.down(false);
    site.clock.shift(5);
    assert_eq!(judge(&late, &bearer_event(&token)).await, "allowed");
}

#[tokio::test]
async fn new_keys_are_read_at_once_old_ones_let_go_and_strangers_cause_few_reads() {
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    authorizer.prepare().await;
    let old = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    assert_eq!(judge(&authorizer, &bearer_event(&old)).await, "allowed");
    site.pool.rotate_keys();
    let new = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    assert_eq!(judge(&authorizer, &bearer_event(&new)).await, "allowed");
    let read = site.pool.count(PoolEndpoint::Jwks);
    site.pool.tamper_access_token(|token| drop(token.header.insert("kid".into(), json!("nobody's"))));
    let strange = site.pool.mint_access_token("dev-web-client", "erin", &["openid"]);
    site.pool.clear_tampering();
    for _ in 0..20 {
        assert_eq!(judge(&authorizer, &bearer_event(&strange)).await, "Unauthorized");
    }
    assert!(site.pool.count(PoolEndpoint::Jwks) <= read + 1);
    // Keys that nobody asks for by name are read anew, too.
    let read = site.pool.count(PoolEndpoint::Jwks);
    site.clock.shift(16 * 60);
    for _ in 0..3 {
        assert_eq!(judge(&authorizer, &bearer_event(&new)).await, "allowed");
    }
    assert_eq!(site.pool.count(PoolEndpoint::Jwks), read + 1);
}

/// It costs less, and knows less: whether a session was ended only `/validate` knows.
#[tokio::test]
async fn a_bearer_that_was_revoked_lives_on_unless_validate_is_asked() {
    let site = Site::start().await;
    let browser = crate::support::Browser::new();
    browser.sign_in(&site, "erin").await;
    let token = secrecy::ExposeSecret::expose_secret(&site.tokens(&browser).await.access).to_owned();
    let (here, there) = (verifying(&site, &[]), asking(&site.auth("/validate"), &[]));
    for authorizer in [&here, &there] {
        assert_eq!(judge(authorizer, &bearer_event(&token)).await, "allowed");
    }
    assert_eq!(browser.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    assert_eq!(judge(&here, &bearer_event(&token)).await, "allowed");
    assert_eq!(judge(&there, &bearer_event(&token)).await, "Unauthorized");
}
