//! What people meet where a sign-in does not end as they wished: a way on from every page, calm words for what was
//! their own choice, and no word that is for operators.

use crate::support::{Answer, Browser, Log, Site, param};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::{Method, RequestBuilder};

/// As a browser asks for a page that a person wants to see.
pub(crate) fn navigation(request: RequestBuilder) -> RequestBuilder {
    let request = request.header("accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    request.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document")
}

/// The buttons of a page, the first one first: whether it is the primary one, its words, and where it leads.
fn buttons(page: &Answer) -> Vec<(bool, String, String)> {
    let found = page.body.split("<a class=\"button").skip(1).map(|rest| {
        let (class, rest) = rest.split_once("\" href=\"").unwrap();
        let (href, rest) = rest.split_once('"').unwrap();
        let words = rest.split_once('>').unwrap().1.split('<').next().unwrap();
        (class.is_empty(), words.to_owned(), href.replace("&#38;", "&").replace("&amp;", "&"))
    });
    found.collect()
}

fn words(page: &Answer) -> Vec<(bool, String)> {
    buttons(page).into_iter().map(|(primary, words, _)| (primary, words)).collect()
}

fn href(page: &Answer, words: &str) -> String {
    let found = buttons(page).into_iter().find(|(_, label, _)| label == words);
    found.unwrap_or_else(|| panic!("no button \"{words}\" in {}", page.body)).2
}

/// Begins a sign-in for `query` and comes back with what the provider says; `{state}` is filled in.
async fn comes_back(site: &Site, browser: &Browser, query: &str, answer: &str) -> Answer {
    let authorize = browser.get(&site.auth(&format!("/auth/signin?{query}"))).await.location();
    let answer = answer.replace("{state}", &param(&authorize, "state").unwrap());
    browser.send(Method::GET, &site.auth(&format!("/auth/signin/callback?{answer}")), navigation).await
}

#[tokio::test]
async fn a_sign_in_may_take_an_hour_at_the_hosted_ui() {
    let site = Site::start().await;
    let jane = Browser::new();
    let wanted = site.cms("/articles/x");
    let query = format!("return_to={}", urlencode(&wanted));
    let authorize = jane.get(&site.auth(&format!("/auth/signin?{query}"))).await.location();
    site.pass(3_550);
    let callback = jane.log_in(&authorize, "jane").await;
    assert_eq!(jane.get(&callback).await.location(), wanted);
}

#[tokio::test]
async fn who_took_too_long_is_told_so_and_led_back_with_the_same_provider() {
    let site = Site::start().await;
    let gary = Browser::new();
    let wanted = site.cms("/articles/x?a=1");
    let query = format!("provider=Google&lang=de&return_to={}", urlencode(&wanted));
    let began = gary.get(&site.auth(&format!("/auth/signin?{query}"))).await;
    let cookie = began.set_cookies("auth-signin-")[0];
    let age: u64 = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!(age > 3_600 + 86_400, "the page can be shown the next day, too: {cookie}");
    site.pass(3_601);
    let late = gary.log_in(&began.location(), "gary").await;
    let page = gary.get(&late).await;
    assert_eq!(page.status, 400);
    assert!(page.body.contains("Das hat zu lange gedauert"), "{}", page.body);
    let again = href(&page, "Erneut versuchen");
    assert_eq!(param(&site.auth(&again), "return_to"), Some(wanted.clone()));
    assert_eq!(param(&site.auth(&again), "provider").as_deref(), Some("Google"));
    assert_eq!(param(&site.auth(&again), "lang").as_deref(), Some("de"));
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 0);
    let authorize = gary.get(&site.auth(&again)).await.location();
    let callback = gary.log_in(&authorize, "gary").await;
    assert_eq!(gary.get(&callback).await.location(), wanted);
}

#[tokio::test]
async fn the_time_for_a_sign_in_can_be_chosen() {
    let site = Site::with(&[("SESSION__SIGN_IN_TIMEOUT", "10m")]).await;
    for (seconds, status) in [(599, 302), (601, 400)] {
        let jane = Browser::new();
        let callback = jane.to_callback(&site, "prompt=login", "jane").await;
        site.clock.shift(seconds);
        assert_eq!(jane.get(&callback).await.status, status, "{seconds}");
        site.clock.shift(-seconds);
    }
}

#[tokio::test]
async fn who_turns_back_at_google_is_met_calmly_and_finds_the_way() {
    let site = Site::start().await;
    let log = Log::capture();
    let gary = Browser::new();
    let wanted = site.cms("/articles/x?a=1");
    let query = format!("provider=Google&return_to={}", urlencode(&wanted));
    let authorize = gary.get(&site.auth(&format!("/auth/signin?{query}"))).await.location();
    let chooser = gary.get(&authorize).await.location();
    let csrf = gary.get(&chooser).await.between("name=\"_csrf\" value=\"", "\"");
    let back = gary.post(&chooser, &[("_csrf", &csrf), ("cancel", "true")]).await.location();
    let page = gary.get(&back).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("Sign-in cancelled") && page.body.contains("nothing has changed"), "{}", page.body);
    assert!(!page.body.contains("mark bad") && !page.body.contains("denied"), "not red: {}", page.body);
    let ways = [(true, "Try again"), (false, "Sign in another way"), (false, "Back to cms.app.localhost")];
    assert_eq!(words(&page), ways.map(|(primary, words)| (primary, words.to_owned())));
    assert_eq!(href(&page, ways[2].1), wanted);
    let again = site.auth(&href(&page, "Try again"));
    assert_eq!(
        (param(&again, "provider").as_deref(), param(&again, "return_to")),
        (Some("Google"), Some(wanted.clone()))
    );
    let other = site.auth(&href(&page, ways[1].1));
    assert_eq!((param(&other, "provider"), param(&other, "return_to")), (None, Some(wanted)));
    let (text, reference) = (log.text(), page.header("x-request-id").unwrap());
    let lines: Vec<_> = text.lines().filter(|line| line.contains(reference)).collect();
    assert!(!lines.is_empty() && lines.iter().all(|line| line.contains(" INFO ")), "{text}");
    assert_eq!(site.metric("auth_api_sign_ins_total{outcome=\"cancelled\"}").await, 1);
}

#[tokio::test]
async fn every_shape_of_turning_back_is_one() {
    let site = Site::start().await;
    for (error, cancelled) in [
        ("error=access_denied", true),
        ("error=access_denied&error_description=Access+denied", true),
        ("error=access_denied&error_description=Facebook+Error+-+200+Permissions+error", true),
        ("error=user_cancelled_authorize&error_description=The+user+cancelled+the+authorization+flow.", true),
        ("error=user_cancelled_login", true),
        ("error=invalid_request&error_description=Facebook+Error+-+400+access_denied+Permissions+error", true),
        ("error=invalid_request&error_description=PreSignUp+failed+with+error+not+on+the+list.+", false),
        ("error=invalid_request&error_description=Timeout+occurred+in+calling+IdP+token+endpoint", false),
        ("error=server_error", false),
    ] {
        let page = comes_back(&site, &Browser::new(), "", &format!("{error}&state={{state}}")).await;
        assert_eq!(page.body.contains("Sign-in cancelled"), cancelled, "{error}: {}", page.body);
    }
}

#[tokio::test]
async fn an_error_without_state_still_knows_the_way_of_the_sign_in_under_way() {
    let site = Site::start().await;
    let gary = Browser::new();
    gary.get(&site.auth("/auth/signin?return_to=/old")).await;
    site.pass(5);
    let wanted = site.cms("/articles/x");
    let query = format!("provider=Google&return_to={}", urlencode(&wanted));
    let page = comes_back(&site, &gary, &query, "error=access_denied").await;
    assert_eq!(href(&page, "Back to cms.app.localhost"), wanted);
    assert_eq!(param(&site.auth(&href(&page, "Try again")), "provider").as_deref(), Some("Google"));
    assert!(page.set_cookies("auth-signin-").is_empty(), "it decides nothing: {page:?}");
}

#[tokio::test]
async fn where_trying_again_can_only_fail_it_is_not_the_first_button() {
    let site = Site::start().await;
    for (error, first) in [
        ("error=access_denied", Some("Try again")),
        ("error=server_error", Some("Try again")),
        ("error=temporarily_unavailable", Some("Try again")),
        ("error=login_required", Some("Sign in")),
        ("error=invalid_request&error_description=User+is+disabled.", Some("Use another account")),
        ("error=invalid_scope", None),
        ("error=unauthorized_client", None),
    ] {
        let page = comes_back(&site, &Browser::new(), "", &format!("{error}&state={{state}}")).await;
        let primary: Vec<_> = words(&page).into_iter().filter(|(primary, _)| *primary).map(|(_, w)| w).collect();
        assert_eq!(primary, first.into_iter().collect::<Vec<_>>(), "{error}: {}", page.body);
    }
}

#[tokio::test]
async fn an_account_that_is_not_admitted_is_told_whom_to_ask_and_gets_to_another() {
    for (support, link) in [
        ("help@example.com", "href=\"mailto:help@example.com"),
        ("https://help.example.com/access?x=1", "href=\"https://help.example.com/access?x=1\""),
    ] {
        let site = Site::with(&[("POLICY__GROUPS", "editors,secret-owners"), ("PAGES__SUPPORT", support)]).await;
        let log = Log::capture();
        let jane = Browser::new();
        let wanted = site.cms("/articles/x");
        let callback = jane.to_callback(&site, &format!("return_to={}", urlencode(&wanted)), "jane").await;
        let page = jane.get(&callback).await;
        assert_eq!((page.status, words(&page)[0].clone()), (403, (true, "Use another account".to_owned())));
        assert!(page.body.contains(link), "{}", page.body);
        for words in ["editors", "secret-owners", "group", "policy"] {
            assert!(!page.body.contains(words), "{words} is for operators: {}", page.body);
        }
        let reference = page.header("x-request-id").unwrap();
        assert!(page.body.contains(reference));
        let text = log.text();
        let line = text.lines().find(|line| line.contains(reference) && line.contains("denied")).unwrap();
        assert!(line.contains("secret-owners") && line.contains("sub="), "{line}");
        // The pool has her session at hand, and its classic pages ignore `prompt`.
        site.pool.ignores_prompt(true);
        let mut next = site.auth(&href(&page, "Use another account"));
        while !next.contains("/login?") {
            next = jane.get(&next).await.location();
        }
        let csrf = jane.get(&next).await.between("name=\"_csrf\" value=\"", "\"");
        let form = [("_csrf", csrf.as_str()), ("username", "erin"), ("password", "Passw0rd!")];
        let callback = jane.post(&next, &form).await.location();
        assert_eq!(jane.get(&callback).await.location(), wanted);
    }
}

#[tokio::test]
async fn a_failed_sign_out_is_tried_again_as_a_sign_out() {
    let site = Site::start().await;
    let out = site.auth("/auth/signout");
    let page = Browser::new().send(Method::POST, &out, |r| r.header("origin", "https://evil.test")).await;
    assert_eq!((page.status, words(&page)), (403, vec![(true, "Sign out".to_owned())]));
    assert_eq!(href(&page, "Sign out"), "/auth/signout");
}

#[tokio::test]
async fn a_provider_that_is_away_costs_nobody_the_way() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    let jane = Browser::new();
    let query = format!("provider=COGNITO&return_to={}", urlencode(&site.cms("/articles/x")));
    let callback = jane.to_callback(&site, &query, "jane").await;
    site.pool.fault(PoolEndpoint::Token, Fault::Disconnect);
    let page = jane.get(&callback).await;
    let again = site.auth(&href(&page, "Try again"));
    assert_eq!((page.status, param(&again, "provider").as_deref()), (503, Some("COGNITO")));
}

#[tokio::test]
async fn people_get_pages_where_there_is_nothing_and_programs_get_problems() {
    let site = Site::with(&[("PAGES__SUPPORT", "help@example.com")]).await;
    let browser = Browser::new();
    let post = |request: RequestBuilder| navigation(request).body("x=1");
    for (method, path, status) in [
        (Method::GET, "/nowhere", 404),
        (Method::GET, "/auth/nowhere", 404),
        (Method::GET, "/metrics", 404),
        (Method::GET, "/auth/sign-in%ff", 404),
        (Method::POST, "/auth/signin", 405),
        (Method::GET, "/refresh", 405),
        (Method::GET, "/auth/backchannel-logout", 405),
        (Method::GET, "/token", 405),
        (Method::GET, "/introspect", 405),
        (Method::POST, "/.well-known/oauth-authorization-server", 405),
    ] {
        let page = match method {
            Method::POST => browser.send(method.clone(), &site.auth(path), post).await,
            _ => browser.send(method.clone(), &site.auth(path), navigation).await,
        };
        assert_eq!(page.status, status, "{path}: {page:?}");
        assert!(page.header("content-type").unwrap().starts_with("text/html"), "{path}: {page:?}");
        assert!(page.body.contains("help@example.com") && page.body.contains("stylesheet"), "{path}: {}", page.body);
        assert_eq!(buttons(&page)[0].2, "/", "{path}");
        for (name, value) in [("cache-control", "no-store"), ("x-frame-options", "DENY")] {
            assert_eq!(page.header(name), Some(value), "{path}");
        }
        let csp = page.header("content-security-policy").unwrap();
        assert!(csp.contains("default-src 'none'"), "{path}: {csp}");
        let vary = page.header("vary").unwrap_or_default().to_ascii_lowercase();
        assert!(vary.contains("accept"), "{path}: {page:?}");
        // A program, and a page's script.
        for shape in [
            |r: RequestBuilder| r,
            |r: RequestBuilder| r.header("sec-fetch-mode", "cors").header("accept", "text/html"),
        ] {
            let answer = browser.send(method.clone(), &site.auth(path), shape).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.header("content-type").unwrap().contains("json"), "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn every_page_has_an_icon_of_its_own_that_may_be_kept() {
    let site = Site::start().await;
    let browser = Browser::new();
    let page = browser.get(&site.auth_url).await;
    let icon = page.between("<link rel=\"icon\" type=\"image/svg+xml\" href=\"", "\"");
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.contains("img-src 'self'"), "{csp}");
    for (path, media) in [(icon.as_str(), "image/svg+xml"), ("/favicon.ico", "image/x-icon")] {
        let icon = browser.response(Method::GET, &site.auth(path), |r| r).await;
        assert_eq!((icon.status().as_u16(), &icon.headers()["content-type"]), (200, &media.parse().unwrap()), "{path}");
        let kept = icon.headers()["cache-control"].to_str().unwrap().to_owned();
        assert!(kept.contains("public") && kept.contains("max-age="), "{path}: {kept}");
        let bytes = icon.bytes().await.unwrap();
        assert!((100..3_000).contains(&bytes.len()), "{path}: {} bytes", bytes.len());
        assert!(!String::from_utf8_lossy(&bytes).contains("href"), "nothing from elsewhere");
    }
}

#[tokio::test]
async fn who_signed_out_everywhere_is_not_told_of_this_browser() {
    let site = Site::start().await;
    for (everywhere, words) in [("false", "in this browser"), ("true", "on all of your devices")] {
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        let from_our_page =
            |r: RequestBuilder| r.header("sec-fetch-site", "same-origin").form(&[("everywhere", everywhere)]);
        let out = jane.send(Method::POST, &site.auth("/auth/signout"), from_our_page).await.location();
        let back = jane.get(&out).await.location();
        for look in ["first", "reloaded"] {
            let page = jane.get(&back).await;
            assert!(page.status == 200 && page.body.contains(words), "{look}: {}", page.body);
            assert_eq!(page.body.contains("in this browser"), everywhere == "false", "{look}: {}", page.body);
        }
        site.clock.shift(61);
    }
}

fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
