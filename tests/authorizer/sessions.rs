//! Sessions, about which the service's `/validate` is asked, and what becomes of a request while it is away.

use super::*;
use crate::support::{Browser, free_port};
use axum::Router;
use axum::response::{IntoResponse, Response};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// Something that answers every request in this way.
async fn stand_in(answer: impl Fn() -> Response + Clone + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/validate", listener.local_addr().unwrap());
    let router = Router::new().fallback(move || {
        let answer = answer();
        async move { answer }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn a_session_counts_until_it_ends_and_a_bearer_comes_first() {
    let site = Site::start().await;
    let browser = Browser::new();
    browser.sign_in(&site, "erin").await;
    let cookies = browser.cookies(&site.cms_url);
    let authorizer = verifying(&site, &[("AUTHORIZER_GROUPS", "editors")]);
    let answer = authorizer.answer(&cookie_event(&format!("theme=dark; {cookies}"))).await.unwrap();
    assert_eq!((&answer["isAuthorized"], &answer["context"]["x_auth_username"]), (&json!(true), &json!("erin")));
    assert_eq!(
        (&answer["context"]["x_auth_email"], &answer["context"]["x_auth_provider"]),
        (&json!("erin@example.com"), &json!("COGNITO"))
    );
    // Of a REST API they come in a header, maybe in two lines.
    let mut rest = json!({
        "type": "REQUEST", "methodArn": ARN, "headers": { "cookie": cookies },
        "multiValueHeaders": { "cookie": ["theme=dark", cookies] },
    });
    assert_eq!(judge(&authorizer, &rest).await, "allowed");
    rest["headers"]["cookie"] = json!("auth=AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(judge(&authorizer, &rest).await, "Unauthorized", "the two disagree");

    let with = |line: &str| http_event(json!({ "authorization": line }), json!([cookies]));
    assert_eq!(judge(&authorizer, &with("Basic dTpw")).await, "allowed");
    for line in ["Bearer dead", "Bearer", "bearer a b", "Bearer a,Bearer b"] {
        assert_eq!(judge(&authorizer, &with(line)).await, "Unauthorized", "{line}");
    }
    let elsewhere = verifying(&site, &[("AUTHORIZER_GROUPS", "nobody")]);
    assert_eq!(judge(&elsewhere, &cookie_event(&cookies)).await, "denied");
    for cookies in ["auth=x", "theme=dark", "auth=AAAAAAAAAAAAAAAAAAAAAA"] {
        assert_eq!(judge(&authorizer, &cookie_event(cookies)).await, "Unauthorized", "{cookies}");
    }
    assert_eq!(browser.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    assert_eq!(judge(&authorizer, &cookie_event(&cookies)).await, "Unauthorized");
}

/// A sibling can plant a second cookie: which one counts is for the service to say.
#[tokio::test]
async fn of_several_sessions_the_service_decides() {
    let site = Site::start().await;
    let (erin, jane) = (Browser::new(), Browser::new());
    erin.sign_in(&site, "erin").await;
    jane.sign_in(&site, "jane").await;
    let cookies = [erin.cookies(&site.cms_url), jane.cookies(&site.cms_url)];
    let authorizer = verifying(&site, &[]);
    for (cookies, expected) in [
        (format!("{}; auth=AAAAAAAAAAAAAAAAAAAAAA", cookies[0]), "allowed"),
        (format!("auth=AAAAAAAAAAAAAAAAAAAAAA; {}", cookies[0]), "allowed"),
        (cookies.join("; "), "Unauthorized"),
    ] {
        assert_eq!(judge(&authorizer, &cookie_event(&cookies)).await, expected, "{cookies}");
    }
}

#[tokio::test]
async fn what_validate_does_not_say_in_so_many_words_lets_nobody_in() {
    let erin = json!({ "active": true, "kind": "user", "sub": "b4d8", "groups": ["editors"], "something_new": [1] });
    let answer = |status: u16, body: Value| {
        move || (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(body.clone())).into_response()
    };
    let edited = |name: &str, value: Value| {
        let mut edited = erin.clone();
        edited[name] = value;
        edited
    };
    for (status, body, expected) in [
        (200, erin.clone(), "allowed"),
        (200, edited("groups", json!(["readers"])), "denied"),
        (200, edited("groups", json!("editors")), "Unavailable"),
        (200, edited("active", json!(false)), "Unavailable"),
        (200, edited("active", json!("true")), "Unavailable"),
        (200, edited("sub", json!("")), "Unavailable"),
        (200, edited("kind", json!("admin")), "Unavailable"),
        (200, json!({ "active": true }), "Unavailable"),
        (200, json!([]), "Unavailable"),
        (204, erin.clone(), "Unavailable"),
        (302, erin.clone(), "Unavailable"),
        (400, erin.clone(), "Unavailable"),
        (401, erin.clone(), "Unauthorized"),
        (403, erin.clone(), "denied"),
        (404, erin.clone(), "Unavailable"),
        (429, erin.clone(), "Unavailable"),
        (500, erin.clone(), "Unavailable"),
        (503, erin.clone(), "Unavailable"),
    ] {
        let url = stand_in(answer(status, body.clone())).await;
        let authorizer = asking(&url, &[("AUTHORIZER_GROUPS", "editors")]);
        assert_eq!(judge(&authorizer, &cookie_event("auth=x")).await, expected, "{status} {body}");
    }
    let long = stand_in(|| "x".repeat(2 << 20).into_response()).await;
    assert_eq!(judge(&asking(&long, &[]), &cookie_event("auth=x")).await, "Unavailable");
    let challenge = ("www-authenticate", "Bearer error=\"insufficient_user_authentication\", max_age=300");
    let again = stand_in(move || (axum::http::StatusCode::UNAUTHORIZED, [challenge]).into_response()).await;
    assert_eq!(judge(&asking(&again, &[]), &cookie_event("auth=x")).await, "denied");
}

#[tokio::test]
async fn the_requirements_go_along_and_nothing_else_of_the_request_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/validate", listener.local_addr().unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let router = Router::new().fallback(move |request: axum::extract::Request| {
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        tell.send((request.uri().to_string(), names)).unwrap();
        async { axum::http::StatusCode::FORBIDDEN }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let required = [
        ("AUTHORIZER_GROUPS", "a b,c&d"),
        ("AUTHORIZER_SCOPES", "x"),
        ("AUTHORIZER_EMAIL_DOMAINS", "example.com"),
        ("AUTHORIZER_ACR", "urn:a,urn:b"),
        ("AUTHORIZER_MAX_AGE", "5m"),
    ];
    let authorizer = asking(&url, &required);
    let headers = json!({ "x-forwarded-uri": "/admin", "x-auth-groups": "admins", "host": "api.example.com" });
    assert_eq!(judge(&authorizer, &http_event(headers, json!(["auth=x"]))).await, "denied");
    let (uri, mut names) = told.recv().await.unwrap();
    let query = "group=a+b&group=c%26d&scope=x&email_domain=example.com&acr=urn%3Aa&acr=urn%3Ab&max_age=300";
    assert_eq!(uri, format!("/validate?{query}"));
    names.sort();
    assert_eq!(names, ["accept", "cookie", "host", "user-agent"]);
}

#[tokio::test]
async fn while_the_service_is_away_or_slow_nothing_is_decided() {
    let nobody = format!("http://127.0.0.1:{}/validate", free_port());
    assert_eq!(judge(&asking(&nobody, &[]), &cookie_event("auth=x")).await, "Unavailable");
    // It takes the request and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/validate", silent.local_addr().unwrap());
    let authorizer = asking(&url, &[("AUTHORIZER_TIMEOUT", "400ms")]);
    let event = cookie_event("auth=x");
    let judged = tokio::time::timeout(Duration::from_secs(30), judge(&authorizer, &event));
    assert_eq!(judged.await.expect("it ends by itself"), "Unavailable");
    // With a store that is away the service itself does not know.
    let site = Site::start().await;
    let authorizer = verifying(&site, &[]);
    let browser = Browser::new();
    browser.sign_in(&site, "erin").await;
    let cookies = browser.cookies(&site.cms_url);
    assert_eq!(judge(&authorizer, &cookie_event(&cookies)).await, "allowed");
    site.world.stop().await.unwrap();
    assert_eq!(judge(&authorizer, &cookie_event(&cookies)).await, "Unavailable");
}

/// Requests share a connection, and one that died while the function was frozen costs nobody anything.
#[tokio::test]
async fn connections_are_kept_and_a_dead_one_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/validate", listener.local_addr().unwrap());
    let accepted = std::sync::Arc::new(AtomicU64::new(0));
    let count = accepted.clone();
    // Each connection answers three requests and, without a word about it, dies of the fourth.
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                for _ in 0..3 {
                    let mut head = vec![];
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(connection.read_u8().await.unwrap());
                    }
                    let body = r#"{"active":true,"kind":"user","sub":"b4d8"}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                    connection.write_all(answer.as_bytes()).await.unwrap();
                }
                let _ = connection.read_u8().await;
            });
        }
    });
    let authorizer = asking(&url, &[]);
    for _ in 0..9 {
        assert_eq!(judge(&authorizer, &cookie_event("auth=x")).await, "allowed");
    }
    assert_eq!(accepted.load(Ordering::Relaxed), 3);
}
