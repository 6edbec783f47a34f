//! A browser that was signed out from elsewhere has to authenticate again, whatever the hosted UI remembers of it.

use crate::support::{Answer, Browser, Site, param};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::Method;

/// Ways to end the sessions of others.
#[derive(Debug, Clone, Copy)]
enum From {
    Everywhere,
    List,
    Operator,
    OperatorOne,
    Backchannel,
}

const WAYS: [From; 5] = [From::Everywhere, From::List, From::Operator, From::OperatorOne, From::Backchannel];

const JANE: &str = "34c84488-e0e1-70ae-d2ee-991ad1a898c8";

/// The handle of the newest session that is not the one that asks.
async fn other_handle(site: &Site, jane: &Browser) -> String {
    let listed = jane.get(&site.auth("/auth/sessions")).await.json();
    let others = listed["sessions"].as_array().unwrap().iter().filter(|session| session["current"] == false);
    others.map(|session| session["handle"].as_str().unwrap().to_owned()).next().unwrap()
}

/// Ends the session of the other browser of jane, from that of `jane` or without one.
async fn end_other(site: &Site, jane: &Browser, from: From) {
    match from {
        From::Everywhere => {
            let own = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-origin").header("origin", "null");
            let out = jane.send(Method::POST, &site.auth("/auth/signout?everywhere=true"), own).await;
            assert_eq!(out.status, 303);
        }
        From::List => {
            let url = site.auth(&format!("/auth/sessions/{}", other_handle(site, jane).await));
            let ended = jane.send(Method::DELETE, &url, |r| r.header("sec-fetch-site", "same-origin")).await;
            assert_eq!(ended.status, 204, "{ended:?}");
        }
        From::Operator => {
            site.rp.end_sessions_of(JANE, None).await.unwrap();
        }
        From::OperatorOne => {
            let handle = other_handle(site, jane).await;
            assert_eq!(site.rp.end_sessions_of(JANE, Some(&handle)).await.unwrap().sessions, 1);
        }
        From::Backchannel => {
            let token = site.pool.mint_logout_token("dev-web-client", "jane", |_| ());
            let told = Browser::new().post(&site.auth("/auth/backchannel-logout"), &[("logout_token", &token)]).await;
            assert_eq!(told.status, 200, "{told:?}");
        }
    }
}

/// Follows redirects from `/auth/signin` to a page.
async fn to_page(browser: &Browser, site: &Site) -> (Vec<String>, Answer) {
    let (mut way, mut answer) = (vec![], browser.get(&site.auth("/auth/signin")).await);
    while answer.status / 100 == 3 {
        way.push(answer.location());
        assert!(way.len() < 12, "a loop: {way:#?}");
        answer = browser.get(way.last().unwrap()).await;
    }
    (way, answer)
}

/// Fills in the page of the hosted UI at `url` and follows to our own session.
async fn type_in(browser: &Browser, url: &str, page: &Answer) -> Answer {
    let csrf = page.between("name=\"_csrf\" value=\"", "\"");
    let form = [("_csrf", csrf.as_str()), ("username", "jane"), ("password", "Passw0rd!")];
    let callback = browser.post(url, &form).await.location();
    browser.get(&callback).await
}

#[tokio::test]
async fn whoever_was_signed_out_from_elsewhere_types_again_and_is_in() {
    for (from, classic) in WAYS.into_iter().flat_map(|from| [(from, false), (from, true)]) {
        let case = format!("{from:?}, classic: {classic}");
        let site = Site::start().await;
        site.pool.ignores_prompt(classic);
        let (desk, laptop) = (Browser::new(), Browser::new());
        desk.sign_in(&site, "jane").await;
        site.pass(5);
        laptop.sign_in(&site, "jane").await;
        site.pass(300);
        end_other(&site, &desk, from).await;
        assert_eq!(laptop.validate(&site).await.status, 401, "{case}");
        assert!(laptop.cookies(&site.pool.base_url()).contains("cognito="), "the hosted UI's session is alive");

        let (way, page) = to_page(&laptop, &site).await;
        assert!(page.body.contains("name=\"password\""), "{case}: {way:#?}");
        let first = way.first().unwrap();
        assert_eq!(param(first, "prompt").as_deref(), Some("login"), "{case}");
        let path = if classic { "/logout" } else { "/oauth2/authorize" };
        assert!(first.starts_with(&format!("{}{path}?", site.pool.base_url())), "{case}: {first}");
        assert_eq!(param(first, "response_type").as_deref(), Some("code"), "{case}");
        let back = type_in(&laptop, way.last().unwrap(), &page).await;
        assert_eq!((back.status, back.location()), (302, format!("{}/", site.cms_url)), "{case}");
        assert_eq!(laptop.validate(&site).await.status, 200, "{case}");
        let onward = laptop.get(&site.auth("/auth/signin")).await.location();
        assert_eq!(onward, format!("{}/", site.cms_url), "{case}");
    }
}

#[tokio::test]
async fn a_browser_that_lost_our_cookie_is_sent_back_once() {
    for (from, classic) in WAYS.into_iter().flat_map(|from| [(from, false), (from, true)]) {
        let case = format!("{from:?}, classic: {classic}");
        let site = Site::start().await;
        site.pool.ignores_prompt(classic);
        let (desk, laptop) = (Browser::new(), Browser::new());
        desk.sign_in(&site, "jane").await;
        site.pass(5);
        laptop.sign_in(&site, "jane").await;
        site.pass(300);
        end_other(&site, &desk, from).await;
        laptop.plant(&site.cms_url, "auth=; Domain=app.localhost; Path=/; Max-Age=0");

        let (way, page) = to_page(&laptop, &site).await;
        assert!(page.body.contains("name=\"password\""), "{case}: {way:#?}");
        let callbacks = way.iter().filter(|url| url.contains("/auth/signin/callback?")).count();
        assert_eq!(callbacks, 1, "silent once: {case}: {way:#?}");
        assert_eq!(
            site.pool.live_refresh_tokens(),
            usize::from(matches!(from, From::List | From::OperatorOne)),
            "{case}"
        );
        let back = type_in(&laptop, way.last().unwrap(), &page).await;
        assert_eq!(back.status, 302, "{case}");
        assert_eq!(laptop.validate(&site).await.status, 200, "{case}");
        assert_eq!(site.metric("auth_api_sign_ins_total{outcome=\"authentication_revoked\"}").await, 0, "{case}");
    }
}

#[tokio::test]
async fn a_sign_in_page_that_never_asks_ends_at_a_page_of_ours() {
    for forget in [false, true] {
        let site = Site::start().await;
        let (desk, laptop) = (Browser::new(), Browser::new());
        desk.sign_in(&site, "jane").await;
        site.pass(5);
        laptop.sign_in(&site, "jane").await;
        site.pass(300);
        end_other(&site, &desk, From::List).await;
        // Managed login as far as we know, which signs in silently all the same.
        let begun = laptop.get(&site.auth("/auth/signin")).await.location();
        assert!(begun.contains("/oauth2/authorize?"), "{begun}");
        site.pool.ignores_prompt(true);
        if forget {
            laptop.plant(&site.cms_url, "auth=; Domain=app.localhost; Path=/; Max-Age=0");
        }
        let (way, page) = to_page(&laptop, &site).await;
        assert_eq!(page.status, 403, "{way:#?}");
        assert!(page.body.contains("You were signed out of this browser"), "{}", page.body);
        assert!(page.body.contains("prompt=select_account"), "a way out: {}", page.body);
        let callbacks = way.iter().filter(|url| url.contains("/auth/signin/callback?")).count();
        assert_eq!(callbacks, if forget { 2 } else { 1 }, "{way:#?}");
        assert_eq!(laptop.validate(&site).await.status, 401);
        assert_eq!(site.pool.live_refresh_tokens(), 1, "only the desk's");
        // The way out leads through the hosted UI's logout.
        let out = laptop.get(&site.auth("/auth/signin?prompt=select_account%20login")).await.location();
        assert!(param(&out, "prompt").is_some() || out.contains("/logout?"), "{out}");
    }
}

#[tokio::test]
async fn ending_one_device_does_not_touch_the_others() {
    let site = Site::start().await;
    let (desk, laptop, phone) = (Browser::new(), Browser::new(), Browser::new());
    for browser in [&desk, &phone, &laptop] {
        browser.sign_in(&site, "jane").await;
        site.pass(5);
    }
    end_other(&site, &desk, From::List).await;
    let statuses = [desk.validate(&site).await, phone.validate(&site).await, laptop.validate(&site).await];
    assert_eq!(statuses.map(|answer| answer.status), [200, 200, 401]);
    // The phone's session at the hosted UI signs it in silently as before.
    phone.plant(&site.cms_url, "auth=; Domain=app.localhost; Path=/; Max-Age=0");
    let (_, page) = to_page(&phone, &site).await;
    assert!(page.body.contains("Jane"), "{}", page.body);
    // And erin's is nobody else's.
    let erin = Browser::new();
    erin.sign_in(&site, "erin").await;
    end_other(&site, &desk, From::Everywhere).await;
    assert_eq!(erin.validate(&site).await.status, 200);
}

#[tokio::test]
async fn after_everywhere_no_older_authentication_counts_and_a_new_one_does() {
    let site = Site::start().await;
    let (desk, other) = (Browser::new(), Browser::new());
    // A browser that the hosted UI knows and we do not: it signed in at another application of the pool.
    other.to_callback(&site, "", "jane").await;
    site.pass(30);
    desk.sign_in(&site, "jane").await;
    site.pass(30);
    end_other(&site, &desk, From::Everywhere).await;
    let (way, page) = to_page(&other, &site).await;
    assert!(page.body.contains("name=\"password\""), "{way:#?}");
    let fresh = Browser::new();
    assert_eq!(fresh.sign_in(&site, "jane").await.status, 302);
    assert_eq!(fresh.validate(&site).await.status, 200);
    // The browser that asked left the hosted UI's session, or is asked as well.
    let (_, page) = to_page(&desk, &site).await;
    assert!(page.body.contains("name=\"password\""), "{}", page.body);
}

#[tokio::test]
async fn a_browser_that_signed_itself_out_or_was_replaced_is_asked_for_nothing_new() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let before = jane.cookies(&site.cms_url);
    site.pass(10);
    // Another sign-in replaces the session; the old cookie comes back from somewhere.
    let callback = jane.to_callback(&site, "provider=COGNITO", "jane").await;
    assert_eq!(jane.get(&callback).await.status, 302);
    jane.plant(&site.cms_url, &format!("{before}; Domain=app.localhost; Path=/"));
    let begun = jane.get(&site.auth("/auth/signin")).await.location();
    assert_eq!(param(&begun, "prompt"), None, "{begun}");
}

#[tokio::test]
async fn everywhere_ends_the_tokens_of_other_app_clients_where_the_scope_allows_it() {
    let admin = ("PROVIDER__SCOPES", "openid,email,profile,aws.cognito.signin.user.admin");
    for (configuration, expected) in [(&[][..], 1), (&[admin][..], 0)] {
        let site = Site::with(configuration).await;
        let (jane, other) = (Browser::new(), Browser::new());
        // The tokens of an application that has nothing to do with us.
        let callback = site.auth("/auth/signin/callback");
        let (pool, client) = (site.pool.base_url(), "client_id=dev-web-client&response_type=code");
        let back: String = url::form_urlencoded::byte_serialize(callback.as_bytes()).collect();
        let code = other.log_in(&format!("{pool}/oauth2/authorize?{client}&redirect_uri={back}"), "jane").await;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", &param(&code, "code").unwrap()),
            ("redirect_uri", &callback),
            ("client_id", "dev-web-client"),
            ("client_secret", "dev-web-secret"),
        ];
        assert_eq!(other.post(&format!("{pool}/oauth2/token"), &form).await.status, 200);
        jane.sign_in(&site, "jane").await;
        end_other(&site, &jane, From::Everywhere).await;
        assert_eq!(site.pool.live_refresh_tokens(), expected);
        assert_eq!(site.pool.count(PoolEndpoint::Api), 1 - expected as u64);
    }
}

#[tokio::test]
async fn a_global_sign_out_that_fails_leaves_the_revocations() {
    let site = Site::with(&[
        ("PROVIDER__SCOPES", "openid,email,profile,aws.cognito.signin.user.admin"),
        ("PROVIDER__TIMEOUT", "1s"),
    ])
    .await;
    for fault in [Fault::Disconnect, Fault::Stall, Fault::Html] {
        let (jane, phone) = (Browser::new(), Browser::new());
        jane.sign_in(&site, "jane").await;
        phone.sign_in(&site, "jane").await;
        site.pool.fault(PoolEndpoint::Api, fault);
        end_other(&site, &jane, From::Everywhere).await;
        assert_eq!(site.pool.live_refresh_tokens(), 0);
        site.pool.clear_faults();
        site.pass(61);
    }
}

#[tokio::test]
async fn copies_of_a_callback_are_all_sent_back() {
    let site = Site::start().await;
    let (desk, laptop) = (Browser::new(), Browser::new());
    laptop.sign_in(&site, "jane").await;
    site.pass(5);
    desk.sign_in(&site, "jane").await;
    site.pass(300);
    end_other(&site, &desk, From::Everywhere).await;
    laptop.plant(&site.cms_url, "auth=; Domain=app.localhost; Path=/; Max-Age=0");
    let callback = laptop.to_callback(&site, "", "jane").await;
    let answers = futures_util::future::join_all((0..4).map(|_| laptop.get(&callback))).await;
    for answer in answers {
        assert_eq!(param(&answer.location(), "prompt").as_deref(), Some("login"), "{answer:?}");
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 3, "each code is spent once");
}

#[tokio::test]
async fn a_sign_in_that_waited_in_another_tab_brings_nobody_back() {
    for from in [From::Everywhere, From::List] {
        let site = Site::start().await;
        let (desk, laptop) = (Browser::new(), Browser::new());
        desk.sign_in(&site, "jane").await;
        site.pass(5);
        // Begun before the user authenticates in the tab beside it.
        let waiting = laptop.get(&site.auth("/auth/signin")).await.location();
        site.pass(5);
        laptop.sign_in(&site, "jane").await;
        site.pass(300);
        end_other(&site, &desk, from).await;
        let callback = laptop.get(&waiting).await.location();
        assert!(callback.contains("/auth/signin/callback?"), "silent: {callback}");
        let back = laptop.get(&callback).await.location();
        assert_eq!(param(&back, "prompt").as_deref(), Some("login"), "{from:?}: {back}");
        assert_eq!(laptop.validate(&site).await.status, 401, "{from:?}");
    }
}

#[tokio::test]
async fn everywhere_is_not_said_to_be_done_where_nobody_is_signed_in() {
    let site = Site::start().await;
    let (jane, thief) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    site.pass(5);
    thief.sign_in(&site, "jane").await;
    end_other(&site, &thief, From::List).await;
    let own = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-origin").header("origin", "null");
    let out = jane.send(Method::POST, &site.auth("/auth/signout?everywhere=true"), own).await;
    assert_eq!(out.status, 303);
    let question = param(&out.location(), "return_to").unwrap();
    assert_eq!(question, site.auth("/auth/signout?everywhere=true"));
    let (way, page) = to_page(&jane, &site).await;
    assert_eq!(type_in(&jane, way.last().unwrap(), &page).await.status, 302);
    assert_eq!(jane.send(Method::POST, &question, own).await.status, 303);
    assert_eq!(thief.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_sign_out_reaches_the_session_behind_planted_cookies() {
    let site = Site::start().await;
    for planted in [1, 4, 20] {
        let (jane, phone) = (Browser::new(), Browser::new());
        jane.sign_in(&site, "jane").await;
        phone.sign_in(&site, "jane").await;
        let real = jane.cookies(&site.cms_url);
        let fakes: String = (0..planted).map(|n| format!("auth={n:0>21}A; ")).collect();
        let own = |r: reqwest::RequestBuilder| {
            r.header("cookie", format!("{fakes}{real}"))
                .header("sec-fetch-site", "same-origin")
                .header("origin", "null")
        };
        let out = Browser::new().send(Method::POST, &site.auth("/auth/signout?everywhere=true"), own).await;
        assert_eq!(out.status, 303);
        assert_eq!(jane.validate(&site).await.status, 401, "{planted}");
        assert_eq!(phone.validate(&site).await.status, 401, "{planted}");
        site.pass(61);
    }
}

#[tokio::test]
async fn after_the_end_of_all_sessions_everybody_types_again() {
    for classic in [false, true] {
        let site = Site::start().await;
        site.pool.ignores_prompt(classic);
        let (jane, erin, token) =
            (Browser::new(), Browser::new(), site.pool.mint_access_token("dev-web-client", "jane", &["openid"]));
        let ask = async |token: &str| {
            Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await.status
        };
        jane.sign_in(&site, "jane").await;
        erin.sign_in(&site, "erin").await;
        assert_eq!(ask(&token).await, 200);
        site.pass(300);
        site.rp.end_all_sessions().await.unwrap();
        for browser in [&jane, &erin] {
            assert_eq!(browser.validate(&site).await.status, 401);
            assert_eq!(browser.post(&site.auth("/refresh"), &[]).await.status, 401);
        }
        assert_eq!(ask(&token).await, 401, "a token of before");
        assert!(site.rp.sessions_of(JANE).await.unwrap().is_empty());

        site.pass(1);
        let (way, page) = to_page(&jane, &site).await;
        assert!(page.body.contains("name=\"password\""), "{way:#?}");
        let callbacks = way.iter().filter(|url| url.contains("/auth/signin/callback?")).count();
        assert_eq!(callbacks, 1, "silent once: {way:#?}");
        let back = type_in(&jane, way.last().unwrap(), &page).await;
        assert_eq!(back.status, 302);
        assert_eq!(jane.validate(&site).await.status, 200);
        assert_eq!(site.rp.sessions_of(JANE).await.unwrap().len(), 1);
        site.pass(300);
        assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
        let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
        assert_eq!(ask(&token).await, 200, "a token of after");
        site.rp.end_all_sessions().await.unwrap();
        assert_eq!((ask(&token).await, jane.validate(&site).await.status), (401, 401), "and a second time");
    }
}
