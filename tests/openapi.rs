//! The OpenAPI document says what the service does.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test stops where it fails; so do the steps it shares")]

#[path = "bench/visitor.rs"]
mod visitor;

use std::net::TcpListener;

use auth_api::dev::environment::{DevEnvironment, DevOptions};
use axum::body::{Body, to_bytes};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Map, Value};
use tower::ServiceExt;

struct Visit {
    world: DevEnvironment,
    document: Value,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Visit {
    async fn start() -> Self {
        Self::with(vec![]).await
    }

    async fn with(configuration: Vec<(String, String)>) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let world = DevEnvironment::start(DevOptions { configuration, ..DevOptions::default() }).await.unwrap();
        let document = auth_api::web::openapi(&world.auth_url);
        Self { world, document }
    }

    async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.world.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer { status: head.status, headers: head.headers, body: to_bytes(body, 1 << 20).await.unwrap().into() }
    }

    /// An answer that is as the document says of this operation.
    async fn documented(&self, method: &str, path: &str, request: axum::http::request::Builder) -> Answer {
        self.documented_with(method, path, request.body(Body::empty()).unwrap()).await
    }

    async fn documented_with(&self, method: &str, path: &str, request: Request<Body>) -> Answer {
        let answer = self.ask(request).await;
        let what = format!("{method} {path}: {}", answer.status);
        let said = &self.document["paths"][path][method]["responses"][answer.status.as_str()];
        assert!(said.is_object(), "{what} is not in the document");
        for (name, header) in said["headers"].as_object().into_iter().flatten() {
            let header = self.resolve(header);
            match answer.headers.get(name).map(|value| value.to_str().unwrap()) {
                None => assert!(header["required"] != true, "{what}: there is no {name}"),
                Some(value) => {
                    let number = header["schema"]["type"] == "integer";
                    let value = if number { value.parse::<u64>().unwrap().into() } else { value.into() };
                    self.check(&header["schema"], &value, &format!("{what} {name}")).unwrap();
                }
            }
        }
        for name in answer.headers.keys().filter(|name| name.as_str().starts_with("x-auth-")) {
            let named = said["headers"].as_object().unwrap().keys().any(|n| n.eq_ignore_ascii_case(name.as_str()));
            assert!(named, "{what}: {name} is not in the document");
        }
        if answer.body.is_empty() {
            return answer;
        }
        let media = answer.headers[CONTENT_TYPE].to_str().unwrap().split(';').next().unwrap();
        let content = &said["content"][media];
        assert!(content.is_object(), "{what}: {media} is not in the document");
        if media.ends_with("json") {
            self.check(&content["schema"], &answer.json(), &what).unwrap();
        }
        // The document says which kinds of refusal have this status.
        let code = match media {
            "application/problem+json" => slug(&answer.json()).to_owned(),
            "application/json" if answer.status.as_u16() >= 400 => answer.json()["error"].as_str().unwrap().to_owned(),
            _ => return answer,
        };
        let described = said["description"].as_str().unwrap();
        assert!(described.contains(&format!("`{code}`")), "{what}: {code} is not in {described:?}");
        answer
    }

    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(target) => self.document.pointer(&target[1..]).unwrap_or_else(|| panic!("{target} leads nowhere")),
            None => value,
        }
    }

    /// Judges by the keywords of JSON Schema that the document uses. Stricter in one thing: an object with
    /// named properties has no others.
    fn check(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolve(schema);
        let wrong = |what: String| Err(format!("{at}: {value} {what}"));
        if let Some(choices) = schema["oneOf"].as_array() {
            let fitting = choices.iter().filter(|choice| self.check(choice, value, at).is_ok()).count();
            return if fitting == 1 { Ok(()) } else { wrong(format!("is {fitting} of {choices:?}")) };
        }
        if schema.get("const").is_some_and(|fixed| value != fixed)
            || schema["enum"].as_array().is_some_and(|among| !among.contains(value))
        {
            return wrong(format!("is not allowed by {schema}"));
        }
        let fits = |name: &Value| match name.as_str().unwrap() {
            "null" => value.is_null(),
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{at}: the document uses the type {other}"),
        };
        match &schema["type"] {
            Value::Null => {}
            Value::Array(names) if names.iter().any(fits) => {}
            name @ Value::String(_) if fits(name) => {}
            other => return wrong(format!("is no {other}")),
        }
        if let Some(bad) = schema["pattern"].as_str().filter(|_| !matches_slug(value)) {
            return wrong(format!("does not match {bad}"));
        }
        for (i, item) in value.as_array().into_iter().flatten().enumerate() {
            self.check(&schema["items"], item, &format!("{at}[{i}]"))?;
        }
        let (mut properties, mut required) = (Map::new(), Vec::new());
        self.members(schema, &mut properties, &mut required);
        let Some(members) = value.as_object().filter(|_| !properties.is_empty()) else { return Ok(()) };
        if let Some(missing) = required.iter().find(|name| !members.contains_key(**name)) {
            return wrong(format!("has no {missing}"));
        }
        members.iter().try_for_each(|(name, member)| match properties.get(name) {
            Some(schema) => self.check(schema, member, &format!("{at} {name}")),
            None => wrong(format!("has {name}, which is not in the document")),
        })
    }

    /// The members of an object, and of those that it is composed of.
    fn members<'a>(&'a self, schema: &'a Value, properties: &mut Map<String, Value>, required: &mut Vec<&'a str>) {
        let schema = self.resolve(schema);
        properties.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str));
        schema["allOf"].as_array().into_iter().flatten().for_each(|part| self.members(part, properties, required));
    }

    fn operations(&self) -> Vec<(String, String)> {
        let paths = self.document["paths"].as_object().unwrap();
        let methods = |item: &Value| {
            item.as_object().unwrap().keys().filter(|k| k.as_str() != "description").cloned().collect::<Vec<_>>()
        };
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|m| (path.clone(), m))).collect()
    }
}

fn request(method: &str, uri: &str) -> axum::http::request::Builder {
    Request::builder().method(Method::from_bytes(method.to_uppercase().as_bytes()).unwrap()).uri(uri)
}

/// The one pattern of an answer: the type of a problem.
fn matches_slug(value: &Value) -> bool {
    let slug = value.as_str().and_then(|text| text.strip_prefix("urn:auth-api:problem:"));
    slug.is_some_and(|slug| !slug.is_empty() && slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
}

fn slug(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().rsplit(':').next().unwrap()
}

#[tokio::test]
async fn every_documented_operation_answers_as_documented_to_strangers_and_to_the_signed_in() {
    let visit = Visit::start().await;
    let operations = visit.operations();
    assert!(operations.len() >= 10, "{operations:?}");
    for (path, method) in &operations {
        visit.documented(method, path, request(method, path)).await;
        // A session of its own for each, since one of them is the sign-out.
        let cookie = visitor::cookie(&visit.world, "jane").await.unwrap();
        let answer = visit.documented(method, path, request(method, path).header(COOKIE, cookie)).await;
        assert!(answer.status.as_u16() < 500, "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn no_route_knows_a_method_that_is_not_documented() {
    let visit = Visit::start().await;
    let operations = visit.operations();
    for (path, _) in operations.iter().filter(|(path, _)| !path.starts_with("/validate")) {
        for method in ["get", "post", "put", "patch", "delete"] {
            if !operations.contains(&(path.clone(), method.to_owned())) {
                let answer = visit.ask(request(method, path).body(Body::empty()).unwrap()).await;
                assert_eq!(answer.status, 405, "{method} {path}");
            }
        }
    }
    for method in ["head", "post", "put", "patch", "delete", "options"] {
        let answer = visit.documented("get", "/validate", request(method, "/validate")).await;
        assert_eq!(answer.status, 401, "{method}");
    }
}

#[tokio::test]
async fn the_answers_of_validate_are_the_documented_ones() {
    let visit = Visit::start().await;
    let cookie = visitor::cookie(&visit.world, "erin").await.unwrap();
    let bearer = format!("Bearer {}", visitor::bearer(&visit.world, "erin"));
    let foreign = format!("Bearer {}", visit.world.pool.mint_access_token("somebody-else", "erin", &["openid"]));
    for (query, header, status, problem, challenge) in [
        ("", None, 401, "not-signed-in", "Bearer"),
        (
            "",
            Some((COOKIE, "auth=AAAAAAAAAAAAAAAAAAAAAA")),
            401,
            "credentials-not-valid",
            r#"Bearer error="invalid_token""#,
        ),
        ("", Some((AUTHORIZATION, "Bearer x.y.z")), 401, "credentials-not-valid", r#"Bearer error="invalid_token""#),
        ("", Some((AUTHORIZATION, &foreign)), 401, "credentials-not-valid", r#"Bearer error="invalid_token""#),
        ("?group=nobody", Some((COOKIE, &cookie)), 403, "insufficient-scope", r#"Bearer error="insufficient_scope""#),
        (
            "?scope=admin",
            Some((AUTHORIZATION, &bearer)),
            403,
            "insufficient-scope",
            r#"Bearer error="insufficient_scope""#,
        ),
        ("?group=", Some((COOKIE, &cookie)), 400, "invalid-requirement", ""),
        ("?colour=red", Some((COOKIE, &cookie)), 400, "invalid-requirement", ""),
    ] {
        let mut request = request("get", &format!("/validate{query}"));
        if let Some((name, value)) = &header {
            request = request.header(name, *value);
        }
        let answer = visit.documented("get", "/validate", request).await;
        assert_eq!((answer.status.as_u16(), slug(&answer.json())), (status, problem), "{query} {header:?}");
        let said = answer.headers.get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap());
        assert_eq!(said, challenge, "{query} {header:?}");
    }
    let (mut schema, mut required) = (Map::new(), Vec::new());
    visit.members(&visit.document["components"]["schemas"]["ActiveIdentity"], &mut schema, &mut required);
    assert_eq!(schema.len(), required.len());
    let names = |members: &Map<String, Value>| members.keys().cloned().collect::<std::collections::BTreeSet<_>>();
    for (name, value) in [(COOKIE, &cookie), (AUTHORIZATION, &bearer)] {
        let request = request("get", "/validate?group=editors&group=x&scope=openid").header(name, value);
        let answer = visit.documented("get", "/validate", request).await;
        assert_eq!(answer.status, 200);
        assert_eq!(names(answer.json().as_object().unwrap()), names(&schema));
    }
}

/// What a generated client makes of the schemas of refusals.
mod client {
    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct ProblemDetails {
        pub r#type: String,
        pub title: String,
        pub status: u16,
        pub detail: String,
        pub instance: String,
        pub signin_url: Option<String>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct OAuthErrorResponse {
        pub error: String,
        pub error_description: String,
    }
}

#[tokio::test]
async fn a_client_generated_from_the_document_reads_every_refusal() {
    let visit = Visit::start().await;
    let schemas = &visit.document["components"]["schemas"];
    let members = |name: &str| schemas[name]["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(members("ProblemDetails"), ["detail", "instance", "signin_url", "status", "title", "type"]);
    assert_eq!(members("OAuthErrorResponse"), ["error", "error_description"]);
    // One named type for each kind of client, whatever the operation and the status.
    for (path, method) in visit.operations() {
        let responses = visit.document["paths"][&path][&method]["responses"].as_object().unwrap();
        for (status, said) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            for (media, content) in said["content"].as_object().unwrap() {
                let named = match media.as_str() {
                    "application/problem+json" => content["schema"]["$ref"] == "#/components/schemas/ProblemDetails",
                    "application/json" => content["schema"]["$ref"] == "#/components/schemas/OAuthErrorResponse",
                    media => media == "text/html",
                };
                assert!(named, "{method} {path} {status} {media}");
            }
        }
    }
    let cookie = visitor::cookie(&visit.world, "jane").await.unwrap();
    let large = "x".repeat(20_000);
    for (method, path, query, body, status, code) in [
        ("get", "/auth/session", "", "", 401, "not-signed-in"),
        ("get", "/auth/sessions", "?group=editors", "", 400, "invalid-requirement"),
        ("delete", "/auth/sessions/{handle}", "", "", 404, "no-such-session"),
        ("get", "/auth/profile", "", "", 404, "not-offered"),
        ("patch", "/auth/profile", "", "[]", 400, "unreadable-body"),
        ("patch", "/auth/profile", "", r#"{"custom:role": "admin"}"#, 403, "attribute-not-writable"),
        ("post", "/auth/aws-credentials", "", "", 404, "not-offered"),
        ("post", "/auth/signout", "", &large, 413, "unreadable-body"),
        ("get", "/validate", "?group=nobody", "", 403, "insufficient-scope"),
        ("get", "/validate", "?colour=red", "", 400, "invalid-requirement"),
        ("get", "/validate/browser", "", "", 403, "proxy-not-trusted"),
        ("post", "/auth/backchannel-logout", "", "logout_token=x", 400, "invalid_request"),
        ("post", "/auth/backchannel-logout", "", &large, 413, "invalid_request"),
        ("post", "/token", "", "", 400, "invalid_request"),
        ("post", "/introspect", "", "token=x", 401, "invalid_client"),
        ("post", "/revoke", "", "token=x&token=y", 400, "invalid_request"),
    ] {
        let media = if method == "patch" { "application/json" } else { "application/x-www-form-urlencoded" };
        let mut request = request(method, &format!("{path}{query}")).header(CONTENT_TYPE, media);
        if path != "/auth/session" {
            request = request.header(COOKIE, &cookie);
        }
        let answer = visit.documented_with(method, path, request.body(Body::from(body.to_owned())).unwrap()).await;
        let (what, json) = (format!("{method} {path}{query}"), answer.json());
        if answer.headers[CONTENT_TYPE] == "application/problem+json" {
            let problem: client::ProblemDetails = serde_json::from_value(json).unwrap();
            assert_eq!(problem.r#type.rsplit(':').next(), Some(code), "{what}");
            assert_eq!((problem.status, answer.status.as_u16()), (status, status), "{what}");
            assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{what}");
            assert_eq!(answer.headers["x-request-id"], *problem.instance, "{what}");
            assert!(problem.signin_url.is_some() || status != 401, "{what}");
        } else {
            let error: client::OAuthErrorResponse = serde_json::from_value(json).unwrap();
            assert_eq!((&*error.error, answer.status.as_u16()), (code, status), "{what}");
            assert!(!error.error_description.is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn machines_are_answered_as_documented() {
    let set = |key: &str, value: &str| (format!("AUTH_API__MACHINE__{key}"), value.to_owned());
    let visit = Visit::with(vec![set("PASS_THROUGH", "true"), set("FAILURES_PER_MINUTE", "5")]).await;
    let ask = async |path: &str, form: &str| {
        let form = format!("client_id=dev-cms-client&{form}");
        let request = request("post", path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        visit.documented_with("post", path, request.body(Body::from(form)).unwrap()).await
    };
    let right = "client_secret=dev-cms-secret";
    let grant = format!("{right}&grant_type=client_credentials&scope");
    let granted = ask("/token", &format!("{grant}=cms/read")).await;
    assert_eq!(granted.status, 200);
    let token = granted.json()["access_token"].as_str().unwrap().to_owned();
    for (path, form, status, error) in [
        ("/token", &*format!("{grant}=nowhere/nothing"), 400, Some("invalid_scope")),
        ("/token", &*format!("{right}&grant_type=password"), 400, Some("unsupported_grant_type")),
        ("/token", right, 400, Some("invalid_request")),
        ("/introspect", right, 400, Some("invalid_request")),
        ("/introspect", &*format!("{right}&token={token}"), 200, None),
        ("/introspect", &*format!("{right}&token=garbage"), 200, None),
        ("/introspect", "client_secret=wrong&token=garbage", 401, Some("invalid_client")),
        ("/revoke", right, 400, Some("invalid_request")),
        ("/revoke", "token=garbage", 401, Some("invalid_client")),
        ("/revoke", &*format!("{right}&token={token}"), 200, None),
    ] {
        let answer = ask(path, form).await;
        assert_eq!(answer.status, status, "{path} {form}");
        if let Some(error) = error {
            assert_eq!(answer.json()["error"], error, "{path} {form}");
        }
    }
    let mut statuses = vec![];
    for _ in 0..6 {
        statuses.push(ask("/introspect", "client_secret=wrong&token=garbage").await.status.as_u16());
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn a_provider_that_was_never_reached_is_a_documented_answer() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let issuer = ("AUTH_API__PROVIDER__ISSUER".to_owned(), format!("http://{gone}/eu-west-1_gone"));
    let visit = Visit::with(vec![issuer]).await;
    let bearer = format!("Bearer {}", visitor::bearer(&visit.world, "erin"));
    let asked = visit.documented("get", "/validate", request("get", "/validate").header(AUTHORIZATION, bearer)).await;
    assert_eq!((asked.status.as_u16(), slug(&asked.json())), (503, "provider-unavailable"));
    let page = visit.documented("get", "/auth/signin", request("get", "/auth/signin")).await;
    assert_eq!(page.status, 503);
}

#[tokio::test]
async fn a_page_of_a_foreign_site_gets_the_documented_refusals() {
    let visit = Visit::start().await;
    let foreign = |path| request("post", path).header(ORIGIN, "https://evil.test");
    let refresh = visit.documented("post", "/refresh", foreign("/refresh")).await;
    assert_eq!((refresh.status.as_u16(), slug(&refresh.json())), (403, "origin-not-allowed"));
    assert_eq!(visit.documented("post", "/auth/signout", foreign("/auth/signout")).await.status, 403);
    let path = "/auth/sessions/{handle}";
    let ended = visit.documented("delete", path, request("delete", path).header(ORIGIN, "https://evil.test")).await;
    assert_eq!((ended.status.as_u16(), slug(&ended.json())), (403, "origin-not-allowed"));
}

#[tokio::test]
async fn a_listed_session_ends_as_documented() {
    let visit = Visit::start().await;
    let cookie = visitor::cookie(&visit.world, "jane").await.unwrap();
    visitor::cookie(&visit.world, "jane").await.unwrap();
    let asked = request("get", "/auth/sessions").header(COOKIE, &cookie);
    let listed = visit.documented("get", "/auth/sessions", asked).await.json();
    let listed = listed["sessions"].as_array().unwrap();
    assert_eq!(listed.len(), 2);
    // The other one, then its own, whose cookie goes with it.
    for current in [false, true] {
        let item = listed.iter().find(|item| item["current"] == current).unwrap();
        let url = format!("/auth/sessions/{}", item["handle"].as_str().unwrap());
        let asked = request("delete", &url).header(COOKIE, &cookie);
        let ended = visit.documented("delete", "/auth/sessions/{handle}", asked).await;
        assert_eq!((ended.status.as_u16(), ended.headers.contains_key("set-cookie")), (204, current));
    }
}

#[tokio::test]
async fn the_service_hands_out_its_own_document() {
    let visit = Visit::start().await;
    let answer = visit.documented("get", "/openapi.json", request("get", "/openapi.json")).await;
    assert_eq!(answer.json(), visit.document);
    assert_eq!(visit.document["openapi"], "3.1.0");
    assert_eq!(visit.document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(visit.document["servers"][0]["url"], visit.world.auth_url);
    let operations = visit.operations();
    let ids: std::collections::BTreeSet<_> =
        operations.iter().map(|(path, method)| visit.document["paths"][path][method]["operationId"].as_str()).collect();
    assert_eq!((ids.len(), ids.contains(&None)), (operations.len(), false), "an operation has a name of its own");
    every_reference(&visit.document, &mut |target| {
        assert!(visit.document.pointer(&target[1..]).is_some(), "{target} leads nowhere");
    });
}

fn every_reference(value: &Value, see: &mut impl FnMut(&str)) {
    if let Some(target) = value["$ref"].as_str() {
        see(target);
    }
    value.as_object().into_iter().flat_map(Map::values).for_each(|inner| every_reference(inner, see));
    value.as_array().into_iter().flatten().for_each(|inner| every_reference(inner, see));
}
