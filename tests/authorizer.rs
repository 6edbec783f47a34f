//! API Gateway and AppSync let in whom `/validate` would, and nobody else.

mod bearers;
mod events;
mod hostile;
mod runtime;
mod sessions;
mod settings;

use crate::support::Site;
use auth_api::authorizer::{AuthorizationFailure, Authorizer, AuthorizerSettings};
use auth_api::domain::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use std::sync::Arc;

const ARN: &str = "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/prod/GET/orders/7";

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn authorizer(clock: Arc<dyn Clock>, pairs: &[(&str, &str)]) -> Authorizer {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Authorizer::new(AuthorizerSettings::read(variables(pairs)).unwrap(), clock).unwrap()
}

/// One that verifies bearer tokens itself, and asks the site about cookies.
fn verifying(site: &Site, more: &[(&str, &str)]) -> Authorizer {
    let (issuer, url) = (site.pool.issuer(), site.auth("/validate"));
    let own = [
        ("AUTH_API__PROVIDER__ISSUER", issuer.as_str()),
        ("AUTH_API__PROVIDER__CLIENT_ID", "dev-web-client"),
        ("AUTH_API__PROVIDER__ACCEPTED_CLIENTS", "dev-machine-client"),
        ("AUTHORIZER_VALIDATE_URL", url.as_str()),
    ];
    authorizer(site.clock.clone(), &[&own, more].concat())
}

/// One that asks an address about everything.
fn asking(url: &str, more: &[(&str, &str)]) -> Authorizer {
    authorizer(Arc::new(SystemClock), &[&[("AUTHORIZER_VALIDATE_URL", url)], more].concat())
}

/// A REST API's event for an authorizer of the type TOKEN.
fn token_event(line: &str) -> Value {
    json!({ "type": "TOKEN", "authorizationToken": line, "methodArn": ARN })
}

/// An HTTP API's event, payload 2.0.
fn http_event(headers: Value, cookies: Value) -> Value {
    json!({
        "version": "2.0", "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/$default/GET/orders/7",
        "identitySource": null, "routeKey": "GET /orders/{id}", "rawPath": "/orders/7", "rawQueryString": "a=1&a=2",
        "cookies": cookies, "headers": headers, "queryStringParameters": { "a": "1,2" },
        "requestContext": {
            "accountId": "111122223333", "apiId": "a1b2c3d4e5", "domainName": "api.example.com", "domainPrefix": "api",
            "http": {
                "method": "GET", "path": "/orders/7", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.9",
                "userAgent": "curl/8",
            },
            "requestId": "JKJaXmPLvHcESHA=", "routeKey": "GET /orders/{id}", "stage": "$default",
            "time": "22/Nov/2026:09:12:11 +0000", "timeEpoch": 1_795_338_731_000_u64,
        },
        "pathParameters": { "id": "7" }, "stageVariables": null,
    })
}

fn bearer_event(token: &str) -> Value {
    http_event(json!({ "authorization": format!("Bearer {token}"), "host": "api.example.com" }), Value::Null)
}

fn cookie_event(cookies: &str) -> Value {
    http_event(json!({ "host": "api.example.com" }), cookies.split("; ").collect())
}

/// `allowed`, `denied`, or the name of the error.
fn verdict(answer: &Result<Value, AuthorizationFailure>) -> &'static str {
    match answer {
        Ok(answer) if answer["isAuthorized"] == true => "allowed",
        Ok(answer) if answer["isAuthorized"] == false => "denied",
        Ok(answer) => match answer["policyDocument"]["Statement"][0]["Effect"].as_str() {
            Some("Allow") => "allowed",
            Some("Deny") => "denied",
            _ => panic!("{answer}"),
        },
        Err(failure) => failure.kind(),
    }
}

async fn judge(authorizer: &Authorizer, event: &Value) -> &'static str {
    verdict(&authorizer.answer(event).await)
}
