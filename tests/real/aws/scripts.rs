//! `deploy/aws/up` and `deploy/aws/down`, with a stand-in for the AWS command line and docker that remembers what there
//! is.

use super::{deploy, here, said};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

const FIRST: [&str; 12] = [
    "--url",
    "https://auth-api.example.com",
    "--prefix",
    "people",
    "--certificate",
    "arn:aws:acm:x",
    "--vpc",
    "vpc-1",
    "--public-subnets",
    "subnet-1,subnet-2",
    "--private-subnets",
    "subnet-3,subnet-4",
];

struct Account {
    folder: TempDir,
}

impl Account {
    fn new() -> Self {
        let account = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(account.at("bin")).unwrap();
        for name in ["aws", "docker"] {
            let program = account.at("bin").join(name);
            fs::copy(here().join("fake-aws.sh"), &program).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        account
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a script says, and which calls it made.
    fn run(&self, script: &str, arguments: &[&str]) -> (Output, Vec<String>) {
        let path = format!("{}:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new("bash");
        command.env_clear().env("PATH", path).env("FAKE", self.folder.path()).env("HOME", self.folder.path());
        let output = command.arg(deploy("aws").join(script)).args(["--region", "eu-west-1"]).args(arguments).output();
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.at("calls"));
        (output.unwrap(), calls.lines().map(str::to_owned).collect())
    }

    fn good(&self, script: &str, arguments: &[&str]) -> Vec<String> {
        let (output, calls) = self.run(script, arguments);
        assert!(output.status.success(), "{}", said(&output));
        calls
    }
}

/// The first three words of the calls that change something, in their order.
fn changes(calls: &[String]) -> Vec<&str> {
    let words = |call: &str| call.match_indices(' ').nth(2).map_or(call.len(), |(end, _)| end);
    let reads = |call: &&str| {
        let operation = call.split(' ').nth(2).unwrap();
        ["describe-", "get-", "head-", "list-"].iter().any(|read| operation.starts_with(read))
    };
    calls.iter().map(|call| &call[..words(call)]).filter(|call| !reads(call)).collect()
}

fn parameters<'a>(calls: &'a [String], stack: &str) -> Vec<Vec<&'a str>> {
    let deployments =
        calls.iter().filter(|call| call.contains(&format!("cloudformation deploy --stack-name {stack} ")));
    deployments.map(|call| call.split_once("--parameter-overrides ").unwrap().1.split(' ').collect()).collect()
}

#[test]
#[ignore = "needs zip"]
fn a_dry_run_prints_every_call_and_makes_none() {
    let account = Account::new();
    let program = account.at("cognito-triggers");
    fs::write(&program, "a program").unwrap();
    let more = ["--triggers", program.to_str().unwrap(), "--dry-run"];
    for (script, arguments) in [("up", [&FIRST[..], &more[..]].concat()), ("down", vec!["--dry-run"])] {
        let (output, calls) = account.run(script, &arguments);
        assert!(output.status.success() && calls.is_empty(), "{calls:?} {}", said(&output));
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        let expected = if script == "up" { "+ aws cloudformation deploy" } else { "+ aws cloudformation delete-stack" };
        assert!(printed.contains(expected) && printed.lines().all(|line| line.starts_with("+ ")), "{printed}");
    }
}

#[test]
#[ignore = "needs zip"]
fn everything_is_made_once_and_the_pool_is_protected_after_its_first_deployment() {
    let account = Account::new();
    let (program, config) = (account.at("cognito-triggers"), account.at("auth-api.toml"));
    fs::write(&program, "a program").unwrap();
    fs::write(&config, "[session]\n").unwrap();
    let more = ["--triggers", program.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let calls = account.good("up", &[&FIRST[..], &more[..]].concat());
    let expected = [
        "aws ecr create-repository",
        "docker login --username",
        "docker buildx build",
        "aws s3api create-bucket",
        "aws s3api put-public-access-block",
        "aws s3api put-bucket-versioning",
        "aws s3api put-object",
        "aws cloudformation deploy",
        "aws cloudformation deploy",
        "aws secretsmanager create-secret",
        "aws cloudformation deploy",
    ];
    assert_eq!(changes(&calls), expected);
    let pool = parameters(&calls, "auth-api-pool");
    assert!(
        pool[0].contains(&"DeletionProtection=INACTIVE") && pool[1].contains(&"DeletionProtection=ACTIVE"),
        "{pool:?}"
    );
    let service = &parameters(&calls, "auth-api-service")[0];
    for parameter in [
        "Image=111122223333.dkr.ecr.eu-west-1.amazonaws.com/auth-api@sha256:0123",
        "ClientSecret=the-WebClientSecretArn",
        "Issuer=the-Issuer",
        "VpcCidrs=10.0.0.0/16,10.1.0.0/16",
        "Configuration=arn:aws:secretsmanager:eu-west-1:111122223333:secret:auth-api/configuration-AbCdEf",
        "ConfigurationVersion=1",
    ] {
        assert!(service.contains(&parameter), "{parameter}: {service:?}");
    }

    // The same again, from memory.
    let calls = account.good("up", &more);
    assert_eq!(changes(&calls), ["aws cloudformation deploy"; 2]);
    assert!(parameters(&calls, "auth-api-service")[0].contains(&"ConfigurationVersion=1"), "{calls:?}");

    fs::write(&config, "[session]\nmax_age = \"7d\"\n").unwrap();
    let calls = account.good("up", &more);
    let expected = ["aws cloudformation deploy", "aws secretsmanager put-secret-value", "aws cloudformation deploy"];
    assert_eq!(changes(&calls), expected);
    assert!(parameters(&calls, "auth-api-service")[0].contains(&"ConfigurationVersion=2"), "{calls:?}");
}

#[test]
#[ignore = "needs zip"]
fn a_first_deployment_that_failed_is_removed_before_the_next() {
    let account = Account::new();
    fs::write(account.at("failing-auth-api-pool"), "").unwrap();
    let (output, _) = account.run("up", &FIRST);
    assert!(
        !output.status.success() && said(&output).contains("up: auth-api-pool was not deployed"),
        "{}",
        said(&output)
    );
    fs::remove_file(account.at("failing-auth-api-pool")).unwrap();
    let calls = account.good("up", &FIRST);
    let removed = ["aws cloudformation delete-stack", "aws cloudformation wait"];
    assert_eq!(changes(&calls)[..2], removed);
    assert!(parameters(&calls, "auth-api-pool")[0].contains(&"DeletionProtection=INACTIVE"), "{calls:?}");
}

#[test]
#[ignore = "needs zip"]
fn users_are_removed_only_where_their_pool_is_named_twice() {
    let account = Account::new();
    account.good("up", &FIRST);
    let (output, calls) = account.run("down", &["--with-users", "another"]);
    assert!(!output.status.success() && calls.is_empty(), "{calls:?}");
    let calls = account.good("down", &[]);
    let expected = ["aws cloudformation delete-stack", "aws cloudformation wait", "aws ecr delete-repository"];
    assert_eq!(changes(&calls), expected);
    assert!(account.at("stack-auth-api-pool").exists() && !account.at("stack-auth-api-service").exists());
    let calls = account.good("down", &["--with-users", "auth-api"]);
    let expected = [
        "aws ecr delete-repository",
        "aws cloudformation deploy",
        "aws cloudformation delete-stack",
        "aws cloudformation wait",
        "aws cognito-idp delete-user-pool",
    ];
    assert_eq!(changes(&calls), expected);
    assert!(!account.at("stack-auth-api-pool").exists());
}

#[test]
#[ignore = "needs zip"]
fn what_is_missing_or_wrong_is_said_before_anything_is_made() {
    for (arguments, reason) in [
        (vec![], "the first deployment needs --url"),
        (FIRST[..2].to_vec(), "the first deployment needs --certificate"),
        ([&FIRST[..2], &FIRST[4..]].concat(), "the first deployment needs --prefix"),
        (vec!["--frobnicate", "x"], "--frobnicate is no option"),
        (vec!["--url"], "--url needs a value"),
        (vec!["--architecture", "riscv"], "--architecture is ARM64 or X86_64"),
        (vec!["--name", "Auth_API"], "--name is small letters"),
        (vec!["--config", "/nowhere"], "/nowhere cannot be read"),
    ] {
        let (output, calls) = Account::new().run("up", &arguments);
        assert!(!output.status.success() && said(&output).contains(reason), "{arguments:?}: {}", said(&output));
        assert!(changes(&calls).is_empty(), "{calls:?}");
    }
}
