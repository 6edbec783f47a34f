//! The Lambda authorizer behind emulated APIs, made by its template.

use super::Emulator;
use crate::support::{Browser, Site};
use reqwest::Method;
use serde_json::json;

/// MiniStack runs the program itself, for REST APIs and for HTTP APIs. At HTTP APIs made by a template it refuses requests
/// without `Authorization` before it asks anybody, so that cookies are tried at the REST API alone, and answers every
/// error of a function with 500; at REST APIs it knows no context as an identity source, so nothing can be kept here.
#[tokio::test]
#[ignore = "needs MiniStack"]
async fn people_and_programs_call_emulated_apis_and_others_do_not() {
    let (site, ministack) = (Site::start().await, Emulator::ministack().await);
    let told = json!({
        "code": "code",
        "program": env!("CARGO_BIN_EXE_api-gateway-authorizer"),
        "upstream": format!("{}/livez", site.ops_url),
        "parameters": {
            "CodeBucket": "code", "Architecture": "x86_64", "Issuer": site.pool.issuer(), "ClientId": "dev-web-client",
            "ValidateUrl": site.auth("/validate"), "Credentials": "bearer,cookie", "Groups": "editors",
        },
    });
    let made = ministack.stack("aws/authorizer.yaml", told).await;
    let (erin, jane) = (Browser::new(), Browser::new());
    erin.sign_in(&site, "erin").await;
    jane.sign_in(&site, "jane").await;
    let line = |user: &str| format!("Bearer {}", site.pool.mint_access_token("dev-web-client", user, &["openid"]));
    for api in made["apis"].as_array().unwrap() {
        let api = api.as_str().unwrap();
        let call = async |path: &str, name: &'static str, value: &str| {
            let shape = |request: reqwest::RequestBuilder| request.header(name, value);
            Browser::new().send(Method::GET, &format!("{api}{path}"), shape).await.status
        };
        // Of the HTTP API the path goes along to the integration, which does not know it.
        let passed = |status: u16| [200, 404].contains(&status);
        for path in ["/orders/7", "/orders/8"] {
            let status = call(path, "authorization", &line("erin")).await;
            assert!(passed(status), "{api}{path}: {status}");
            assert_eq!(call(path, "authorization", &line("jane")).await, 403, "{api}{path}");
            if api.contains("/restapis/") {
                assert_eq!(call(path, "cookie", &erin.cookies(&site.cms_url)).await, 200, "{api}{path}");
                assert_eq!(call(path, "cookie", &jane.cookies(&site.cms_url)).await, 403, "{api}{path}");
            }
        }
        for (name, value) in [("authorization", "Bearer dead"), ("cookie", "auth=x"), ("x-auth-groups", "editors")] {
            let status = call("/orders/7", name, value).await;
            assert!([401, 500].contains(&status), "{api}: {status}");
        }
    }
}
