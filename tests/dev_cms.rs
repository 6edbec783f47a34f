//! The demo CMS asks the service at every page and believes nothing else.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails; so do the steps it shares")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_api::dev::cms::{Cms, CmsSettings};
use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use reqwest::header;
use tokio::net::TcpListener;

const AUTH: &str = "http://auth-api.app.localhost:8080";

/// What a stand-in for the service was asked: the query, and the names of the headers that came along.
type Asked = Arc<Mutex<Vec<(Option<String>, Vec<String>)>>>;

struct Visit {
    cms: Cms,
    asked: Asked,
    browser: reqwest::Client,
}

impl Visit {
    async fn start() -> Self {
        let asked = Asked::default();
        #[expect(clippy::disallowed_methods, reason = "a stand-in has no document")]
        let service = Router::new().route("/validate", get(validate)).with_state(Arc::clone(&asked));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let internal = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { cms: cms(internal).await, asked, browser: browser() }
    }

    async fn get(&self, path: &str, cookie: &str) -> reqwest::Response {
        self.get_at("cms.app.localhost:8082", path, cookie).await
    }

    async fn get_at(&self, host: &str, path: &str, cookie: &str) -> reqwest::Response {
        self.browser
            .get(format!("http://{}{path}", self.cms.addr()))
            .header(header::HOST, host)
            .header(header::COOKIE, cookie)
            .header(header::AUTHORIZATION, "Bearer of-the-visitor")
            .send()
            .await
            .unwrap()
    }
}

async fn cms(auth_base_internal: String) -> Cms {
    let listen = "127.0.0.1:0".parse().unwrap();
    Cms::start(CmsSettings { listen, auth_base_internal, ..CmsSettings::default() }).await.unwrap()
}

#[expect(clippy::disallowed_methods, reason = "this is the browser, not the service")]
fn browser() -> reqwest::Client {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let policy = reqwest::redirect::Policy::none();
    reqwest::Client::builder().redirect(policy).timeout(Duration::from_secs(20)).build().unwrap()
}

async fn validate(State(asked): State<Asked>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let names = headers.keys().map(|name| name.as_str().to_owned()).collect();
    asked.lock().unwrap().push((query.clone(), names));
    let cookie = headers.get(header::COOKIE).map_or("", |cookie| cookie.to_str().unwrap());
    match (cookie, query.as_deref()) {
        ("auth=jane", Some("group=editors")) => StatusCode::FORBIDDEN.into_response(),
        ("auth=jane", None) => principal("jane", "Jane <Doe>", "[]"),
        ("auth=erin", None | Some("group=editors")) => principal("erin", "", r#"["editors"]"#),
        ("auth=unsure", _) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ("auth=garbled", _) => "not json".into_response(),
        _ => StatusCode::UNAUTHORIZED.into_response(),
    }
}

fn principal(username: &str, name: &str, groups: &str) -> Response {
    format!(
        r#"{{"active":true,"kind":"user","sub":"s","username":"{username}","name":"{name}","email":null,
            "groups":{groups},"provider":"COGNITO","session_expires_at":1797752654,"something_new":[1]}}"#
    )
    .into_response()
}

#[tokio::test]
async fn strangers_see_the_front_page_and_are_sent_to_sign_in_for_the_rest() {
    let visit = Visit::start().await;
    let home = visit.get("/", "").await;
    assert_eq!(home.status(), 200);
    assert!(!home.headers()["content-security-policy"].to_str().unwrap().contains("unsafe"));
    let home = home.text().await.unwrap();
    let sign_in = format!("{AUTH}/auth/signin?return_to=http%3A%2F%2Fcms.app.localhost%3A8082%2F");
    assert!(home.contains(&sign_in) && home.contains("provider=Google"), "{home}");

    for (path, escaped) in [("/articles/one-cookie?page=2&x=%26", "%3Fpage%3D2%26x%3D%2526"), ("/editors", "")] {
        let sent = visit.get(path, "").await;
        assert_eq!(sent.status(), 302);
        let location = sent.headers()["location"].to_str().unwrap();
        assert!(location.starts_with(&sign_in) && location.ends_with(escaped), "{location}");
    }
}

#[tokio::test]
async fn the_service_is_asked_with_the_cookie_and_nothing_else_of_the_visitor() {
    let visit = Visit::start().await;
    visit.get("/articles/one-cookie?from=here", "auth=jane").await;
    visit.get("/editors", "auth=erin").await;
    let asked = visit.asked.lock().unwrap().clone();
    let queries: Vec<Option<&str>> = asked.iter().map(|(query, _)| query.as_deref()).collect();
    assert_eq!(queries, [None, Some("group=editors")]);
    for (_, names) in asked {
        assert!(names.contains(&"cookie".to_owned()) && !names.contains(&"authorization".to_owned()), "{names:?}");
    }
}

#[tokio::test]
async fn people_are_greeted_by_name_and_may_go_where_they_may() {
    let visit = Visit::start().await;
    let jane = visit.get("/", "auth=jane").await.text().await.unwrap();
    assert!(jane.contains("Hello, Jane &#60;Doe&#62;") && jane.contains("20 December 2026, 07:44 UTC"), "{jane}");
    assert!(jane.contains(&format!("action=\"{AUTH}/auth/signout\"")));
    assert!(jane.contains("name=\"return_to\" value=\"http://cms.app.localhost:8082/\""));
    assert!(visit.get("/", "auth=erin").await.text().await.unwrap().contains("Hello, erin"));

    let refused = visit.get("/editors", "auth=jane").await;
    assert_eq!(refused.status(), 403);
    let refused = refused.text().await.unwrap();
    assert!(refused.contains("prompt=login") && refused.contains("Jane"), "{refused}");
    assert_eq!(visit.get("/editors", "auth=erin").await.status(), 200);
    assert_eq!(visit.get("/articles/none", "auth=erin").await.status(), 404);
    assert_eq!(visit.get("/nowhere", "").await.status(), 404);
}

#[tokio::test]
async fn only_its_own_host_names_appear_on_its_pages() {
    let visit = Visit::start().await;
    let blog = visit.get_at("blog.app.localhost:8082", "/", "auth=jane").await.text().await.unwrap();
    assert!(blog.contains("<strong id=\"host\">blog.app.localhost</strong>"), "{blog}");
    assert!(blog.contains("value=\"http://blog.app.localhost:8082/\""));
    let forged = visit.get_at("evil.test", "/", "").await.text().await.unwrap();
    assert!(forged.contains("<strong id=\"host\">cms.app.localhost</strong>") && !forged.contains("evil.test"));
}

#[tokio::test]
async fn a_service_that_cannot_answer_closes_the_page() {
    let visit = Visit::start().await;
    for cookie in ["auth=unsure", "auth=garbled"] {
        for path in ["/", "/articles/one-cookie", "/editors"] {
            assert_eq!(visit.get(path, cookie).await.status(), 503, "{cookie} {path}");
        }
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let alone = Visit { cms: cms(format!("http://{gone}")).await, ..visit };
    let answer = alone.get("/", "").await;
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("retry-after"));
}
