//! The function's environment.

use super::*;
use std::time::Duration;

const ISSUER: (&str, &str) =
    ("AUTH_API__PROVIDER__ISSUER", "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI");
const CLIENT: (&str, &str) = ("AUTH_API__PROVIDER__CLIENT_ID", "6o7h8i9j0k");
const URL: (&str, &str) = ("AUTHORIZER_VALIDATE_URL", "https://auth-api.example.com/validate");

fn read(pairs: &[(&str, &str)]) -> Result<AuthorizerSettings, Vec<String>> {
    AuthorizerSettings::read(variables(pairs))
}

#[test]
fn what_can_be_judged_is_accepted() {
    let of = |pairs: &[(&str, &str)]| {
        let settings = read(pairs).unwrap();
        (settings.provider.is_some(), settings.credentials.bearer, settings.credentials.cookie)
    };
    assert_eq!(of(&[ISSUER, CLIENT]), (true, true, false));
    assert_eq!(of(&[URL]), (false, true, true));
    assert_eq!(of(&[ISSUER, CLIENT, URL, ("PATH", "/bin")]), (true, true, true));
    assert_eq!(of(&[URL, ("AUTHORIZER_CREDENTIALS", "cookie")]), (false, false, true));
    let settings = read(&[ISSUER, CLIENT, ("AUTHORIZER_GROUPS", "  ")]).unwrap();
    assert_eq!((settings.timeout, settings.ttl), (Duration::from_secs(3), Duration::ZERO));
    assert!(settings.requirement.is_empty());
    let private = read(&[("AUTHORIZER_VALIDATE_URL", "http://auth-api.sites.internal:8080/validate")]);
    assert!(private.is_ok(), "the service's name in a private network: {private:?}");
}

/// The address of a pool's keys is known, so that a pool without a hosted UI, which has no discovery document, will do.
#[test]
fn of_a_user_pool_the_keys_alone_are_read() {
    let keys = |pairs: &[(&str, &str)]| read(pairs).unwrap().provider.unwrap().provider.jwks_uri.map(String::from);
    assert_eq!(keys(&[ISSUER, CLIENT]), Some(format!("{}/.well-known/jwks.json", ISSUER.1)));
    let oidc = ("AUTH_API__PROVIDER__PROFILE", "oidc");
    assert_eq!(keys(&[ISSUER, CLIENT, oidc]), None, "discovery says where");
    let own = ("AUTH_API__PROVIDER__JWKS_URI", "https://id.example.com/keys");
    assert_eq!(keys(&[ISSUER, CLIENT, oidc, own]).as_deref(), Some(own.1));
}

#[test]
fn every_mistake_is_reported_at_once() {
    let wrong = read(&[
        CLIENT,
        ("AUTHORIZER_GROUP", "editors"),
        ("AUTHORIZER_MAX_AGE", "300"),
        ("AUTHORIZER_VALIDATE_URL", "http://auth-api.example.com/validate"),
    ]);
    let wrong = wrong.unwrap_err();
    for name in ["AUTHORIZER_GROUP ", "AUTHORIZER_MAX_AGE ", "AUTHORIZER_VALIDATE_URL ", "provider.issuer"] {
        assert!(wrong.iter().any(|sentence| sentence.starts_with(name)), "{name}: {wrong:#?}");
    }
    for pair in [
        ("AUTH_API__PROVIDER__CLIENT_SECRET", "hunter2"),
        ("AUTH_API__POLICY__GROUPS", "editors"),
        ("AUTH_API_CONFIG", "[provider]"),
        ("AUTHORIZER_VALIDATE_URL", "https://u:hunter2@auth-api.example.com/validate"),
        ("AUTHORIZER_VALIDATE_URL", "https://auth-api.example.com/"),
        ("AUTHORIZER_VALIDATE_URL", "https://auth-api.example.com/validate/browser"),
        ("AUTHORIZER_VALIDATE_URL", "https://auth-api.example.com/validate?group=a"),
        ("AUTHORIZER_CREDENTIALS", "cookies"),
        ("AUTHORIZER_CREDENTIALS", "cookie"),
        ("AUTHORIZER_TTL", "2h"),
        ("AUTHORIZER_MAX_AGE", "0s"),
        ("AUTHORIZER_TIMEOUT", "10s"),
        ("AUTHORIZER_TIMEOUT", "1ms"),
    ] {
        let wrong = read(&[ISSUER, CLIENT, pair]).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].starts_with(pair.0), "{pair:?}: {wrong:?}");
        assert!(!wrong[0].contains("hunter2"));
    }
    assert_eq!(read(&[]).unwrap_err().len(), 1);
}

#[test]
fn an_answer_is_kept_for_one_kind_of_credentials_only() {
    let ttl = ("AUTHORIZER_TTL", "60s");
    let wrong = read(&[ISSUER, CLIENT, URL, ttl]).unwrap_err();
    assert!(wrong.len() == 1 && wrong[0].starts_with("AUTHORIZER_TTL"), "{wrong:?}");
    assert!(read(&[ISSUER, CLIENT, URL, ttl, ("AUTHORIZER_CREDENTIALS", "bearer")]).is_ok());
    assert!(read(&[ISSUER, CLIENT, ttl]).is_ok());
}
