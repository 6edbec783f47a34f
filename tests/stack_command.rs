//! An operator has a user pool from CloudFormation, and gets the configuration for it.

use crate::support::process::{command, run};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

const ISSUER: &str = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI";

fn outputs() -> Value {
    json!([
        { "OutputKey": "Region", "OutputValue": "eu-west-1" },
        { "OutputKey": "UserPoolId", "OutputValue": "eu-west-1_AbCdEfGhI" },
        { "OutputKey": "Issuer", "OutputValue": ISSUER, "Description": "provider.issuer" },
        { "OutputKey": "WebClientId", "OutputValue": "6o7h8i9j0k" },
        { "OutputKey": "HostedDomain", "OutputValue": "people.auth.eu-west-1.amazoncognito.com" },
        { "OutputKey": "PublicUrl", "OutputValue": "https://auth-api.example.com" },
        { "OutputKey": "CookieDomain", "OutputValue": "example.com" },
        { "OutputKey": "MachineClientId", "OutputValue": "1example23456789" },
        { "OutputKey": "ResourceServerScopes", "OutputValue": "api/read api/write" },
        { "OutputKey": "IdentityPoolId", "OutputValue": "eu-west-1:11111111-2222-3333-4444-555555555555" },
        { "OutputKey": "SomethingElse", "OutputValue": "of an administrator", "ExportName": "x" },
    ])
}

fn without(names: &[&str]) -> Value {
    let mut outputs = outputs();
    outputs.as_array_mut().unwrap().retain(|output| !names.contains(&output["OutputKey"].as_str().unwrap()));
    outputs
}

fn instead(name: &str, value: &str) -> Value {
    let mut outputs = outputs();
    for output in outputs.as_array_mut().unwrap().iter_mut().filter(|output| output["OutputKey"] == name) {
        output["OutputValue"] = value.into();
    }
    outputs
}

fn from_stack(folder: &Path, json: &str) -> (i32, String, String) {
    std::fs::write(folder.join("stack.json"), json).unwrap();
    said(run(folder, &["config", "from-stack", "stack.json"]))
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The files that the comments say how to fill.
pub(crate) fn write_secrets(folder: &Path, web: &str, machine: &str) {
    std::fs::create_dir(folder.join("secrets")).unwrap();
    let key = "0123456789 of a key for this test 9876543210";
    for (file, text) in [("client-secret", web), ("machine-client-secret", machine), ("cookie-keys", key)] {
        std::fs::write(folder.join("secrets").join(file), format!("{text}\n")).unwrap();
    }
}

#[test]
fn what_describe_stacks_tells_becomes_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let described =
        json!({ "Stacks": [{ "StackName": "people", "StackStatus": "CREATE_COMPLETE", "Outputs": outputs() }] });
    let (code, text, error) = from_stack(folder.path(), &described.to_string());
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    // Only the list, and from a pipe.
    let mut child = command(folder.path());
    let mut child =
        child.args(["config", "from-stack", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(outputs().to_string().as_bytes()).unwrap();
    assert_eq!(said(child.wait_with_output().unwrap()).1, text);

    std::fs::write(folder.path().join("auth-api.toml"), &text).unwrap();
    let (code, _, error) = said(run(folder.path(), &["check"]));
    assert_eq!((code, error.matches("cannot be read").count()), (1, 3), "only the files are missing: {error}");
    assert!(error.starts_with("3 problems"), "{error}");
    write_secrets(folder.path(), "web-secret", "machine-secret");
    let (code, good, error) = said(run(folder.path(), &["check"]));
    assert_eq!((code, good.as_str()), (0, "the configuration is good\n"), "{error}");
    let read: toml::Table = text.parse().unwrap();
    assert_eq!(read["provider"]["issuer"].as_str(), Some(ISSUER));
    assert_eq!(read["aws"]["identity_pool"].as_str(), Some("eu-west-1:11111111-2222-3333-4444-555555555555"));
    assert_eq!(read["machine"]["upstream"][0]["client_id"].as_str(), Some("1example23456789"));
    for comment in [
        "--user-pool-id eu-west-1_AbCdEfGhI --client-id 6o7h8i9j0k",
        "--client-id 1example23456789",
        "https://people.auth.eu-west-1.amazoncognito.com/oauth2/idpresponse",
        "--scope 'api/read' --scope 'api/write' --upstream machines",
        "get-secret-value",
    ] {
        assert!(text.contains(comment), "{comment}: {text}");
    }
}

#[test]
fn a_pool_for_people_alone_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let fewer = without(&["CookieDomain", "MachineClientId", "ResourceServerScopes", "IdentityPoolId"]);
    let (code, text, error) = from_stack(folder.path(), &json!({ "Outputs": fewer }).to_string());
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(!text.contains("domain = ") && !text.contains("[aws]") && !text.contains("upstream"), "{text}");
    std::fs::write(folder.path().join("auth-api.toml"), text).unwrap();
    write_secrets(folder.path(), "web-secret", "");
    assert_eq!(said(run(folder.path(), &["check"])).0, 0);
}

#[test]
fn everything_that_is_missing_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let fewer = without(&["Issuer", "WebClientId", "PublicUrl", "IdentityPoolId"]);
    let (code, text, error) = from_stack(folder.path(), &fewer.to_string());
    assert_eq!((code, text.as_str()), (1, ""));
    assert!(error.starts_with("3 problems in the stack"), "{error}");
    for name in ["Issuer", "WebClientId", "PublicUrl"] {
        assert!(error.contains(&format!("\nOutputs.{name}\n")), "{name}: {error}");
    }
    for (json, words) in [
        ("", "It is no JSON"),
        ("[]", "6 problems"),
        ("{}", "no list of outputs"),
        (r#"{"Stacks":[]}"#, "not about one stack"),
        (r#"{"Stacks":[{"StackStatus":"CREATE_IN_PROGRESS"}]}"#, "is the stack finished?"),
        (r#"{"Stacks":[{"Outputs":[]},{"Outputs":[]}]}"#, "not about one stack"),
        (r#"[{"OutputKey":"Issuer"}]"#, "no OutputKey or no OutputValue"),
    ] {
        let (code, text, error) = from_stack(folder.path(), json);
        assert_eq!((code, text.as_str()), (1, ""), "{json}: {error}");
        assert!(error.contains(words), "{json}: {error}");
    }
    assert_eq!(said(run(folder.path(), &["config", "from-stack", "nowhere.json"])).0, 2);
}

#[test]
fn what_would_be_refused_or_could_be_run_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("Issuer", "https://people.auth.eu-west-1.amazoncognito.com"),
        ("PublicUrl", "http://auth-api.example.com"),
        ("CookieDomain", "com"),
        ("IdentityPoolId", "eu-west-1_AbCdEfGhI"),
        ("WebClientId", "x; rm -rf ~"),
        ("Region", "eu-west-1\n[machine]\npass_through = true"),
        ("HostedDomain", "a.test\n[machine]\npass_through = true"),
        ("MachineClientId", "$(id)"),
    ] {
        let (code, text, error) = from_stack(folder.path(), &instead(name, value).to_string());
        assert_eq!((code, text.as_str()), (1, ""), "{name} {value}: {error}");
        assert!(error.contains(&format!("\nOutputs.{name}\n")), "{name} {value}: {error}");
    }
    let (code, text, error) = from_stack(folder.path(), &instead("ResourceServerScopes", "a/'$(id)'").to_string());
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(text.contains(r"--scope 'a/'\''$(id)'\'''"), "{text}");
}
