//! The templates of `deploy/aws`: what CloudFormation would say, and what comes of them.

use super::{Emulator, deploy, program, said};
use crate::support::process::command;
use serde_json::{Value, json};
use std::process::Command;

#[test]
#[ignore = "needs cfn-lint"]
fn cloudformation_has_nothing_to_say_against_the_templates() {
    let templates = ["authorizer", "pool", "service", "provider-oidc", "provider-saml"]
        .map(|name| deploy(&format!("aws/{name}.yaml")));
    for template in &templates {
        let size = std::fs::metadata(template).unwrap().len();
        assert!(size <= 51_200, "{template:?} has {size} bytes: larger ones need a bucket");
    }
    let lint = program("cfn-lint");
    let output = Command::new(lint)
        .args(["--regions", "eu-west-1", "us-east-1", "--template"])
        .args(templates)
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout.is_empty(), "{}", said(&output));
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// MiniStack knows nothing of AWS::Cognito::ManagedLoginBranding (so the classic pages), of identity providers and of
/// RefreshTokenRotation; cfn-lint judges these.
#[tokio::test]
#[ignore = "needs MiniStack"]
async fn a_pool_with_triggers_is_made_and_they_may_do_no_more_than_they_do() {
    let ministack = Emulator::ministack().await;
    let told = json!({
        "code": "code",
        "secrets": { "legacy-key": "the legacy system's secret" },
        "parameters": {
            "PublicUrl": "https://auth-api.example.com", "CookieDomain": "example.com", "DomainPrefix": "people",
            "ManagedLoginVersion": "1", "CodeBucket": "code", "LegacyApiKeySecret": "legacy-key",
            "LegacyLoginUrl": "https://legacy.example.com/login", "DefaultGroups": "editors", "SignInName": "username",
        },
    });
    let made = ministack.stack("aws/pool.yaml", told).await;
    let (pool, function) = (&made["pool"], &made["function"]);
    let arn = &pool["Arn"];
    for trigger in ["UserMigration", "PreSignUp", "PostConfirmation", "PostAuthentication"] {
        let to = pool["LambdaConfig"][trigger].as_str().unwrap();
        assert!(to.ends_with(&format!(":function:{}", made["resources"]["Triggers"].as_str().unwrap())), "{to}");
    }
    assert_eq!(pool["AliasAttributes"], json!(["email"]));
    // MiniStack lets every client read everything; Cognito keeps what is not listed out of the tokens.
    let (web, id) = (&made["WebClientId"], &"custom:legacy_id");
    assert!(texts(&web["ReadAttributes"]).contains(id) && !texts(&web["WriteAttributes"]).contains(id), "{web}");
    assert!(!texts(&web["WriteAttributes"]).contains(&"email_verified"), "nobody vouches for their own address: {web}");
    for client in ["Web", "Machine"] {
        let (secret, app) = (&made[format!("{client}ClientSecretArn")], &made[format!("{client}ClientId")]);
        assert_eq!(secret, &app["ClientSecret"], "{client}");
    }
    assert_eq!(web["AllowedOAuthFlows"], json!(["code"]));
    assert_eq!(web["CallbackURLs"], json!(["https://auth-api.example.com/auth/signin/callback"]));
    assert_eq!(made["MachineClientId"]["AllowedOAuthFlows"], json!(["client_credentials"]));
    assert_eq!(pool["UsernameConfiguration"]["CaseSensitive"], false);
    assert_eq!((&function["Runtime"], &function["Handler"]), (&json!("provided.al2023"), &json!("bootstrap")));
    assert_eq!((&function["Timeout"], &function["Architectures"]), (&json!(5), &json!(["arm64"])));
    // Empty ones are left out.
    let variables = json!({
        "ATTRIBUTE_MAP": "email=email,name=name,custom:legacy_id=id", "DEFAULT_GROUPS": "editors",
        "LEGACY_API_KEY": "the legacy system's secret", "LEGACY_LOGIN_URL": "https://legacy.example.com/login",
    });
    assert_eq!(function["Environment"]["Variables"], variables);

    let statements = made["policies"].as_array().unwrap().iter().flat_map(|p| p["Statement"].as_array().unwrap());
    let mut allowed: Vec<_> =
        statements.flat_map(|s| texts(&s["Action"]).into_iter().map(|a| (a, &s["Resource"]))).collect();
    allowed.sort_by_key(|(action, _)| *action);
    let (logs, pools): (Vec<_>, Vec<_>) = allowed.into_iter().partition(|(action, _)| action.starts_with("logs:"));
    assert_eq!(
        logs.iter().map(|(action, _)| *action).collect::<Vec<_>>(),
        ["logs:CreateLogStream", "logs:PutLogEvents"]
    );
    assert!(logs.iter().all(|(_, log)| log.as_str().unwrap().contains("TriggersLog")), "{logs:?}");
    let of_pool =
        ["AdminAddUserToGroup", "AdminGetUser", "AdminLinkProviderForUser", "AdminUpdateUserAttributes", "ListUsers"];
    assert_eq!(pools, of_pool.map(|action| (format!("cognito-idp:{action}"), arn)).each_ref().map(|(a, r)| (&**a, *r)));
    let permission = &made["permission"]["Statement"][0];
    assert_eq!(permission["Principal"]["Service"], "cognito-idp.amazonaws.com");
    assert_eq!(&permission["Condition"]["ArnLike"]["AWS:SourceArn"], arn);
    assert!(permission["Condition"]["StringEquals"]["AWS:SourceAccount"].is_string(), "{permission}");
}

/// Somebody else in the Region has the prefix: the likeliest failure of a first deployment.
#[tokio::test]
#[ignore = "needs MiniStack"]
async fn a_first_deployment_that_fails_leaves_no_pool_behind() {
    let ministack = Emulator::ministack().await;
    let parameters = json!({
        "PublicUrl": "https://auth-api.example.com", "DomainPrefix": "people", "ManagedLoginVersion": "1",
    });
    let left = ministack.stack("aws/pool.yaml", json!({ "taken": "people", "parameters": parameters })).await;
    assert_eq!(left, json!({ "state": "ROLLBACK_COMPLETE", "pools": ["somebody else's"] }));
}

/// moto knows nothing of ElastiCache, Secrets Manager, Cloud Map, autoscaling and alarms in templates: for these see
/// `parameters.json`.
#[tokio::test]
#[ignore = "needs moto"]
async fn the_tasks_of_the_service_have_a_whole_configuration_and_only_the_balancer_reaches_them() {
    let moto = Emulator::moto().await;
    let told = json!({
        "network": true,
        "parameters": {
            "Image": "111122223333.dkr.ecr.eu-west-1.amazonaws.com/auth-api@sha256:00",
            "PublicUrl": "https://auth-api.example.com", "CookieDomain": "example.com",
            "Issuer": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_AbCdEfGhI", "WebClientId": "6o7h8i9j0k",
            "IdentityPoolId": "eu-west-1:11111111-2222-3333-4444-555555555555",
            "ClientSecret": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:client-AbCdEf",
        },
    });
    let made = moto.stack("aws/service.yaml", told).await;
    let container = &made["container"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    // Where the template leaves an item out, moto has a null.
    let items = container["environment"].as_array().unwrap().iter().filter(|item| !item.is_null());
    let mut env: Vec<_> = items.map(|item| (text(&item["name"]), text(&item["value"]))).collect();
    for secret in container["secrets"].as_array().unwrap().iter().filter(|item| !item.is_null()) {
        let value = match secret["name"].as_str().unwrap() {
            "AUTH_API__PROVIDER__CLIENT_SECRET" => "secret",
            // As Secrets Manager makes it: 64 letters and digits.
            "AUTH_API__COOKIES__KEYS" => "pT4wZ0bXq8LrV2nKd6YhJs1GfMc9AeUiOt5RxWzB7yQvN3kDlSgHjPmCaEuFoI0T",
            "AUTH_API__SESSION__STORE" => "rediss://:0a1B2c3D@primary.sessions.euw1.cache.amazonaws.com:6379/0",
            name => panic!("{name} is new: give it a value"),
        };
        env.push((text(&secret["name"]), value.to_owned()));
    }
    let folder = tempfile::tempdir().unwrap();
    let output = command(folder.path()).arg("check").envs(env).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!((&container["readonlyRootFilesystem"], &container["user"]), (&json!(true), &json!("65532:65532")));

    let target = &made["target"];
    assert_eq!((&target["HealthCheckPort"], &target["HealthCheckPath"]), (&json!("9090"), &json!("/readyz")));
    let into = made["task_group"]["IpPermissions"].as_array().unwrap();
    assert_eq!(into.len(), 2, "{into:?}");
    for way in into {
        assert_eq!(way["UserIdGroupPairs"][0]["GroupId"], made["resources"]["BalancerGroup"], "{way}");
        assert_eq!((&way["IpRanges"], &way["Ipv6Ranges"]), (&json!([]), &json!([])), "{way}");
    }
    // The headers that begin to tell a page, before anything is forwarded.
    let rules = made["rules"].as_array().unwrap();
    let refused: Vec<_> = rules.iter().filter(|rule| rule["Actions"][0]["Type"] == "fixed-response").collect();
    let headers = refused.iter().map(|rule| text(&rule["Conditions"][0]["HttpHeaderConfig"]["HttpHeaderName"]));
    assert_eq!(headers.collect::<Vec<_>>(), ["X-Forwarded-Uri", "X-Original-URL"]);
    assert_eq!(refused[0]["Actions"][0]["FixedResponseConfig"]["StatusCode"], "400");
}
