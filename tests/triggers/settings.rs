//! The function's environment.

use auth_api::triggers::TriggerSettings;
use std::time::Duration;

const AWS: [(&str, &str); 3] =
    [("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "AKIA"), ("AWS_SECRET_ACCESS_KEY", "s3cr3t")];

fn read(more: &[(&str, &str)]) -> Result<TriggerSettings, Vec<String>> {
    TriggerSettings::read(AWS.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn what_lambda_sets_is_enough_to_start() {
    let settings = read(&[("LEGACY_LOGIN_URL", "  ")]).unwrap();
    assert_eq!(settings.endpoint, "https://cognito-idp.eu-west-1.amazonaws.com/");
    assert_eq!((settings.timeout, settings.legacy_key_header.as_str()), (Duration::from_secs(3), "x-api-key"));
    assert_eq!(settings.attributes["custom:legacy_id"], "id");
    assert!(settings.login_url.is_none() && settings.default_groups.is_empty());
    assert!(!format!("{settings:?}").contains("s3cr3t"));
    let far = read(&[("AWS_REGION", "cn-north-1")]).unwrap();
    assert_eq!(far.endpoint, "https://cognito-idp.cn-north-1.amazonaws.com.cn/");
}

#[test]
fn lists_and_times_are_read_as_they_look() {
    let settings = read(&[
        ("DEFAULT_GROUPS", " readers, , members"),
        ("ATTRIBUTE_MAP", "email = mail ,custom:legacy_id=user.id"),
        ("TRIGGER_TIMEOUT", "2500ms"),
        ("LEGACY_LOGIN_URL", "http://127.0.0.1:1/login"),
    ])
    .unwrap();
    assert_eq!(settings.default_groups, ["readers", "members"]);
    assert_eq!((settings.attributes["email"].as_str(), settings.attributes.len()), ("mail", 2));
    assert_eq!(settings.timeout, Duration::from_millis(2500));
}

#[test]
fn every_mistake_is_told_at_once() {
    let wrong = TriggerSettings::read([("LEGACY_LOGIN_ULR".to_owned(), "https://x/".to_owned())]).unwrap_err();
    let missing = ["AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "LEGACY_LOGIN_ULR"];
    assert_eq!(wrong.len(), 4, "{wrong:?}");
    assert!(missing.iter().all(|name| wrong.iter().any(|sentence| sentence.starts_with(name))), "{wrong:?}");
    for (name, value) in [
        ("LEGACY_LOGIN_URL", "http://legacy.example.com/login"),
        ("LEGACY_LOOKUP_URL", "https://u:hunter2@legacy.example.com/"),
        ("LEGACY_LOOKUP_URL", "legacy"),
        ("LEGACY_API_KEY", "a\nb"),
        ("LEGACY_API_KEY_HEADER", "x y"),
        ("LEGACY_VERIFIES", "email,name"),
        ("ATTRIBUTE_MAP", "email"),
        ("ATTRIBUTE_MAP", "sub=id"),
        ("ATTRIBUTE_MAP", "email=a,email=b"),
        ("SIGN_UP_DUPLICATES", "Refuse"),
        ("SIGN_UP_DUPLICATE", "refuse"),
        ("ACCESS_TOKEN_EMAIL", "yes"),
        ("TRIGGER_TIMEOUT", "5s"),
        ("TRIGGER_TIMEOUT", "50ms"),
        ("TRIGGER_TIMEOUT", "3"),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", "http://cognito-idp.example.com/"),
    ] {
        let wrong = read(&[(name, value)]).unwrap_err();
        assert!(wrong.len() == 1 && wrong[0].starts_with(name), "{name}={value}: {wrong:?}");
        assert!(!wrong[0].contains("hunter2"));
    }
}

#[test]
fn the_directory_needs_an_address_and_a_key() {
    let (url, key) =
        (("DIRECTORY_URL", "https://auth-api.example.com"), ("DIRECTORY_KEY", "0123456789 0123456789 0123456789"));
    let settings = read(&[url, key]).unwrap();
    assert_eq!(settings.directory.as_ref().unwrap().url.as_str(), "https://auth-api.example.com/users");
    assert!(!format!("{settings:?}").contains("0123456789"));
    assert!(read(&[]).unwrap().directory.is_none());
    for (variables, mistake) in [
        (vec![url], "need each other"),
        (vec![key], "need each other"),
        (vec![url, ("DIRECTORY_KEY", "short")], "shorter than 32 bytes"),
        (vec![("DIRECTORY_URL", "http://auth-api.example.com"), key], "DIRECTORY_URL is no address"),
        (vec![url, key, ("DIRECTORY_KEYS", "x")], "DIRECTORY_KEYS is not known"),
    ] {
        let mistakes = read(&variables).unwrap_err();
        assert!(mistakes.iter().any(|text| text.contains(mistake)), "{mistakes:?}");
    }
}
