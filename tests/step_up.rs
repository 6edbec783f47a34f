//! Step-up authentication (RFC 9470): how lately, and how, the user has signed in.

use crate::support::{Answer, Browser, Site, param};
use serde_json::json;

/// Follows redirects from `url` to a page.
async fn to_page(browser: &Browser, url: &str) -> (Vec<String>, Answer) {
    let (mut way, mut answer) = (vec![], browser.get(url).await);
    while answer.status / 100 == 3 {
        way.push(answer.location());
        assert!(way.len() < 12, "a loop: {way:#?}");
        answer = browser.get(way.last().unwrap()).await;
    }
    (way, answer)
}

async fn type_in(browser: &Browser, way: &[String], page: &Answer) -> Answer {
    let csrf = page.between("name=\"_csrf\" value=\"", "\"");
    let form = [("_csrf", csrf.as_str()), ("username", "jane"), ("password", "Passw0rd!")];
    let callback = browser.post(way.last().unwrap(), &form).await.location();
    browser.get(&callback).await
}

#[tokio::test]
async fn a_caller_that_wants_a_recent_sign_in_says_so_and_gets_one() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let signed_in = jane.validate(&site).await.json()["auth_time"].as_u64().unwrap();
    site.pass(301);
    assert_eq!(jane.get(&site.auth("/validate?max_age=302")).await.status, 200);
    let refused = jane.get(&site.auth("/validate?max_age=300")).await;
    assert_eq!((refused.status, refused.problem().as_str()), (401, "insufficient-user-authentication"));
    assert_eq!(
        refused.header("www-authenticate").unwrap(),
        "Bearer error=\"insufficient_user_authentication\", error_description=\"This needs an authentication at most 300 s \
         ago\", max_age=\"300\""
    );
    let signin = refused.json()["signin_url"].as_str().unwrap().to_owned();
    assert_eq!(param(&signin, "max_age").as_deref(), Some("300"));
    assert_eq!(jane.validate(&site).await.status, 200, "for everything else she is signed in");

    let (way, page) = to_page(&jane, &signin).await;
    assert_eq!(param(&way[0], "max_age").as_deref(), Some("300"));
    assert!(page.body.contains("name=\"password\""), "{way:#?}");
    assert_eq!(jane.validate(&site).await.status, 200, "until she has done it, she is signed in as before");
    let back = type_in(&jane, &way, &page).await;
    assert_eq!(back.status, 302, "{back:?}");
    let now = jane.get(&site.auth("/validate?max_age=300")).await;
    assert_eq!(now.status, 200);
    assert!(now.json()["auth_time"].as_u64().unwrap() >= signed_in + 301);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_before_anybody_has_to_sign_in_again() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pass(301);
    assert_eq!(jane.get(&site.auth("/validate?max_age=300&group=admins")).await.problem(), "insufficient-scope");
    assert_eq!(Browser::new().get(&site.auth("/validate?max_age=300")).await.problem(), "not-signed-in");
    for query in ["max_age=", "max_age=5m", "max_age=1&max_age=2", "acr=", "acr=a%22"] {
        let refused = jane.get(&site.auth(&format!("/validate?{query}"))).await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "invalid-requirement"), "{query}");
    }
    for address in ["/auth/sessions?max_age=1", "/auth/profile?acr=a"] {
        assert_eq!(jane.get(&site.auth(address)).await.problem(), "invalid-requirement", "{address}");
    }
    for query in ["max_age=x", "max_age=-1", "acr_values=a%22b"] {
        let page = jane.get(&site.auth(&format!("/auth/signin?{query}"))).await;
        assert_eq!(page.status, 400, "{query}");
    }
}

#[tokio::test]
async fn the_class_of_an_authentication_is_required_where_the_protocol_only_prefers_it() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    assert_eq!(jane.validate(&site).await.json()["acr"], json!(null));
    let refused = jane.get(&site.auth("/validate?acr=urn:cognito:loa:2&acr=urn:cognito:loa:3")).await;
    let challenge = refused.header("www-authenticate").unwrap();
    assert!(challenge.ends_with("acr_values=\"urn:cognito:loa:2 urn:cognito:loa:3\""), "{challenge}");
    let signin = refused.json()["signin_url"].as_str().unwrap().to_owned();
    let (way, page) = to_page(&jane, &signin).await;
    assert_eq!(param(&way[0], "acr_values").as_deref(), Some("urn:cognito:loa:2 urn:cognito:loa:3"));
    // The provider leaves it at what it has: a page, and no loop.
    assert_eq!(page.status, 403, "{way:#?}");
    assert!(page.body.contains("A stronger sign-in is needed"), "{}", page.body);
    assert!(page.body.contains("acr_values="), "trying again asks for the same: {}", page.body);
    assert_eq!(jane.validate(&site).await.status, 200, "the session is as it was");
    assert_eq!(site.pool.live_refresh_tokens(), 1, "and the other sign-in's tokens are revoked");

    site.pool.tamper_id_token(|draft| {
        draft.claims.insert("acr".into(), json!("urn:cognito:loa:3"));
        draft.claims.insert("amr".into(), json!(["pwd", "otp"]));
    });
    let (way, page) = to_page(&jane, &signin).await;
    assert_eq!(page.status, 200, "{way:#?}");
    let now = jane.get(&site.auth("/validate?acr=urn:cognito:loa:2&acr=urn:cognito:loa:3")).await;
    assert_eq!((now.status, &now.json()["amr"]), (200, &json!(["pwd", "otp"])));
    site.pool.clear_tampering();
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    let renewed = jane.validate(&site).await.json();
    assert_eq!((&renewed["acr"], &renewed["amr"]), (&json!("urn:cognito:loa:3"), &json!(["pwd", "otp"])));
}

#[tokio::test]
async fn a_sign_in_page_that_ignores_max_age_is_told_to_ask_and_then_ends_at_a_page() {
    for (classic, typed) in [(true, true), (false, false)] {
        let site = Site::start().await;
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        site.pass(400);
        // The classic hosted UI knows neither `prompt` nor `max_age`; its logout form comes to the rescue.
        if classic {
            site.pool.ignores_prompt(true);
        } else {
            // Known as managed login, and deaf all the same.
            let phone = Browser::new();
            phone.sign_in(&site, "jane").await;
            site.rp.end_sessions_of("34c84488-e0e1-70ae-d2ee-991ad1a898c8", None).await.unwrap();
            assert!(phone.get(&site.auth("/auth/signin")).await.location().contains("prompt=login"));
            site.pool.ignores_prompt(true);
        }
        let (way, page) = to_page(&jane, &site.auth("/auth/signin?max_age=300")).await;
        assert_eq!(page.body.contains("name=\"password\""), typed, "{way:#?}");
        if typed {
            assert_eq!(type_in(&jane, &way, &page).await.status, 302);
            assert_eq!(jane.get(&site.auth("/validate?max_age=300")).await.status, 200);
        } else {
            assert_eq!(page.status, 403, "{way:#?}");
        }
    }
}

#[tokio::test]
async fn a_program_and_a_token_without_a_time_are_never_recent() {
    let site = Site::start().await;
    let machine = site.pool.mint_machine_token("dev-machine-client", &["https://api.example.com/orders.read"]);
    assert_eq!(Browser::new().send_bearer(&site, &machine).await, 200);
    let ask = async |token: &str| {
        let url = site.auth("/validate?max_age=300");
        Browser::new().send(reqwest::Method::GET, &url, |request| request.bearer_auth(token)).await
    };
    assert_eq!(ask(&machine).await.problem(), "insufficient-user-authentication");
    let access = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(ask(&access).await.status, 200);
    site.pool.tamper_access_token(|draft| {
        draft.claims.remove("auth_time");
    });
    let timeless = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(ask(&timeless).await.problem(), "insufficient-user-authentication");
}

const RULES: &str = r#"
[server]
trusted_proxies = ["127.0.0.1"]
[[policy.site]]
host = "cms.app.localhost"
path = "/admin"
max_age = "5m"
[[policy.site]]
host = "cms.app.localhost"
path = "/payroll"
acr = ["urn:cognito:loa:2"]
"#;

#[tokio::test]
async fn a_page_asks_for_a_recent_sign_in_and_the_browser_comes_back_to_it() {
    let site = Site::with_text(RULES, &[]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pass(301);
    let ask = async |path: &str, mode: &str| {
        let (url, page) = (site.auth("/validate/browser"), site.cms(path));
        let shape = |r: reqwest::RequestBuilder| {
            r.header("x-original-url", page.as_str())
                .header("x-original-method", "GET")
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-dest", if mode == "navigate" { "document" } else { "empty" })
        };
        jane.send(reqwest::Method::GET, &url, shape).await
    };
    assert_eq!(ask("/", "navigate").await.status, 200);
    let sent = ask("/admin/users?x=1", "navigate").await;
    assert_eq!(sent.status, 302, "{sent:?}");
    let signin = sent.location();
    assert_eq!(param(&signin, "max_age").as_deref(), Some("300"));
    assert_eq!(param(&signin, "return_to"), Some(site.cms("/admin/users?x=1")));
    let (way, page) = to_page(&jane, &signin).await;
    let back = type_in(&jane, &way, &page).await;
    assert_eq!(back.location(), site.cms("/admin/users?x=1"));
    assert_eq!(ask("/admin/users?x=1", "navigate").await.status, 200);
    let script = ask("/payroll", "cors").await;
    assert_eq!(script.problem(), "insufficient-user-authentication");
    assert_eq!(
        param(script.json()["signin_url"].as_str().unwrap(), "acr_values").as_deref(),
        Some("urn:cognito:loa:2")
    );
}

#[tokio::test]
async fn further_parameters_of_a_sign_in_reach_the_provider() {
    let site = Site::with(&[("PROVIDER__RESOURCES", "https://api.example.com")]).await;
    let begun = async |query: &str| Browser::new().get(&site.auth(&format!("/auth/signin?{query}"))).await.location();
    assert_eq!(param(&begun("idp_identifier=example.com").await, "idp_identifier").as_deref(), Some("example.com"));
    assert!(begun("screen=signup").await.starts_with(&format!("{}/signup?", site.pool.base_url())));
    assert!(begun("screen=other").await.contains("/oauth2/authorize?"));
    let resource = begun("resource=https%3A%2F%2Fapi.example.com").await;
    assert_eq!(param(&resource, "resource").as_deref(), Some("https://api.example.com"));
    for other in ["https://api.example.com/", "https://other.example.com"] {
        let page = Browser::new().get(&site.auth(&format!("/auth/signin?resource={other}"))).await;
        assert_eq!(page.status, 400, "{other}");
    }
    // In spite of a live session.
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    for query in ["max_age=3600", "acr_values=a", "resource=https%3A%2F%2Fapi.example.com"] {
        assert!(jane.get(&site.auth(&format!("/auth/signin?{query}"))).await.location().contains("/oauth2/authorize?"));
    }
    let callback = jane.to_callback(&site, "resource=https%3A%2F%2Fapi.example.com", "jane").await;
    assert_eq!(jane.get(&callback).await.status, 302);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn each_of_two_lists_of_classes_has_to_be_met() {
    let site = Site::with_text(RULES, &[]).await;
    site.pool.tamper_id_token(|draft| {
        draft.claims.insert("acr".into(), json!("urn:cognito:loa:2"));
    });
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let ask = async |path: &str, query: &str| {
        let (url, page) = (site.auth(&format!("/validate?{query}")), site.cms(path));
        let shape =
            |r: reqwest::RequestBuilder| r.header("x-original-url", page.as_str()).header("x-original-method", "GET");
        jane.send(reqwest::Method::GET, &url, shape).await.status
    };
    assert_eq!(ask("/payroll", "").await, 200);
    assert_eq!(ask("/payroll", "acr=urn:cognito:loa:3").await, 401);
    assert_eq!(ask("/", "acr=urn:cognito:loa:3").await, 401);
    assert_eq!(ask("/payroll", "acr=urn:cognito:loa:3&acr=urn:cognito:loa:2").await, 200);
}

#[tokio::test]
async fn a_link_cannot_make_a_cookie_that_is_too_large() {
    let site = Site::start().await;
    let classes = vec!["urn:example:a-class"; 100].join("%20");
    let page = Browser::new().get(&site.auth(&format!("/auth/signin?acr_values={classes}"))).await;
    assert_eq!((page.status, page.set_cookies("auth-signin-").len()), (400, 0));
}
