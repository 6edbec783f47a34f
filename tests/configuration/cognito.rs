//! What only Cognito has.

use super::{good, one_problem};
use std::time::Duration;

const SCOPES: (&str, &str) = ("provider.scopes", "[\"openid\", \"aws.cognito.signin.user.admin\"]");
const POOL: (&str, &str) = ("aws.identity_pool", "\"eu-west-1:11111111-2222-3333-4444-555555555555\"");

#[test]
fn an_identity_pool_is_found_by_its_region_and_the_user_pool_by_its_issuer() {
    let pool = good(&[POOL]).identity_pool().unwrap();
    assert_eq!(pool.endpoint.as_str(), "https://cognito-identity.eu-west-1.amazonaws.com/");
    assert_eq!(pool.login, "cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI");
    assert!(good(&[]).identity_pool().is_none());
    let beijing = good(&[("aws.identity_pool", "\"cn-north-1:11111111-2222-3333-4444-555555555555\"")]);
    assert_eq!(
        beijing.identity_pool().unwrap().endpoint.as_str(),
        "https://cognito-identity.cn-north-1.amazonaws.com.cn/"
    );
}

#[test]
fn how_often_to_ask_is_never_or_a_time_that_the_quota_bears() {
    for (text, expected) in [("never", None), ("interval", Some(900)), ("1m", Some(60)), ("24h", Some(86_400))] {
        let config = good(&[SCOPES, ("validate.check_revoked", &format!("\"{text}\""))]);
        assert_eq!(config.validate.check_revoked, expected.map(Duration::from_secs), "{text}");
    }
    for text in ["59s", "0s", "25h", "always", "Never", "5"] {
        one_problem(
            &[SCOPES, ("validate.check_revoked", &format!("\"{text}\""))],
            "validate.check_revoked",
            "how often",
        );
    }
}

#[test]
fn what_says_who_somebody_is_cannot_be_changed_by_them() {
    for name in [
        "email",
        "email_verified",
        "phone_number",
        "phone_number_verified",
        "sub",
        "identities",
        "cognito:user_status",
        "custom:legacy_id",
    ] {
        one_problem(
            &[SCOPES, ("account.writable", &format!("[\"{name}\"]"))],
            "account.writable",
            "nobody would verify",
        );
    }
    one_problem(&[SCOPES, ("account.writable", "[\"a b\"]")], "account.writable", "name of an attribute");
    assert_eq!(good(&[SCOPES, ("account.writable", "[\"name\"]")]).account.writable, ["name"]);
}

#[test]
fn what_cannot_work_is_refused() {
    one_problem(&[("account.writable", "[\"name\"]")], "account.writable", "Without the scope");
    one_problem(&[("validate.check_revoked", "\"5m\"")], "validate.check_revoked", "Without the scope");
    one_problem(&[("aws.guest", "true")], "aws.guest", "no aws.identity_pool");
    one_problem(&[("aws.role_arn", "\"arn:aws:iam::111122223333:role/app\"")], "aws.role_arn", "no aws.identity_pool");
    one_problem(&[POOL, ("aws.role_arn", "\"app\"")], "aws.role_arn", "ARN");
    for id in ["eu-west-1_AbCdEfGhI", "11111111-2222-3333-4444-555555555555", "eu-west-1:x"] {
        one_problem(
            &[("aws.identity_pool", &format!("\"{id}\""))],
            "aws.identity_pool",
            "not the id of an identity pool",
        );
    }
    let oidc = ("provider.profile", "\"oidc\"");
    one_problem(&[oidc, POOL], "aws.identity_pool", "Cognito's");
    one_problem(&[oidc, SCOPES, ("account.writable", "[\"name\"]")], "account.writable", "Cognito's");
}

#[test]
fn siblings_get_no_token_that_can_change_an_account() {
    for key in ["cookies.expose", "gateway.forward_tokens"] {
        one_problem(&[SCOPES, (key, "[\"id_token\", \"access_token\"]")], key, "can change the user's account");
        one_problem(&[SCOPES, (key, "[\"access_token\"]")], key, "can change the user's account");
        good(&[SCOPES, (key, "[\"id_token\"]")]);
        good(&[(key, "[\"access_token\"]")]);
    }
}

#[test]
fn an_address_that_people_can_write_is_worth_a_second_thought() {
    let google = ("provider.trust_email_from", "[\"Google\"]");
    let caution = good(&[SCOPES, google]).provider.caution().unwrap();
    assert_eq!(caution.key, "provider.trust_email_from");
    assert!(caution.what.contains("write another e-mail address"), "{caution}");
    for harmless in [&[SCOPES][..], &[google], &[]] {
        assert_eq!(good(harmless).provider.caution(), None);
    }
}
