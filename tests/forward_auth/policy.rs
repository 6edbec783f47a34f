//! Who may sign in at all, and who may see which page.

use super::{NAVIGATION, RULES, asked, send, signed_in, trusting, with_rules};
use crate::support::{Browser, Site};
use reqwest::Method;

async fn status(browser: &Browser, site: &Site, page: &str) -> u16 {
    asked(browser, site, "/validate", &format!("http://wiki.app.localhost:4000{page}"), &[]).await.status
}

#[tokio::test]
async fn rules_hold_by_host_and_longest_path() {
    let site = with_rules(RULES, &[]).await;
    let (jane, erin, nobody) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await, Browser::new());
    for (page, for_nobody, for_jane, for_erin) in [
        ("/", 401, 200, 200),
        ("/public", 200, 200, 200),
        ("/public/logo.svg?v=2", 200, 200, 200),
        ("/publicity", 401, 200, 200),
        ("/admin", 401, 403, 200),
        ("/admin/users?x=/public", 401, 403, 200),
        ("/mail", 401, 200, 200),
        ("/staff", 401, 403, 200),
        ("/orders", 401, 403, 403),
    ] {
        let seen =
            (status(&nobody, &site, page).await, status(&jane, &site, page).await, status(&erin, &site, page).await);
        assert_eq!(seen, (for_nobody, for_jane, for_erin), "{page}");
    }
    let blog = |page: &str| format!("http://blog.app.localhost:4000{page}");
    assert_eq!(asked(&jane, &site, "/validate", &blog("/admin"), &[]).await.status, 200, "no rule of that host");
    assert_eq!(asked(&jane, &site, "/validate", &blog("/staff/x"), &[]).await.status, 403);
}

#[tokio::test]
async fn programs_meet_rules_by_all_their_scopes() {
    let site = with_rules(RULES, &[]).await;
    for (scopes, expected) in [
        (&["https://api.example.com/orders.read"][..], 403),
        (&["https://api.example.com/orders.read", "https://api.example.com/orders.write"], 200),
    ] {
        let token = format!("Bearer {}", site.pool.mint_machine_token("dev-machine-client", scopes));
        let page = "http://wiki.app.localhost:4000/orders/7";
        let answer = asked(&Browser::new(), &site, "/validate", page, &[("authorization", &token)]).await;
        assert_eq!(answer.status, expected, "{scopes:?}");
    }
}

#[tokio::test]
async fn programs_pass_a_page_only_where_somebody_thought_of_them() {
    let rules = format!(
        "{RULES}\n[[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/members\"\n\
         [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/api\"\nmachines = true\n\
         [[policy.site]]\nhost = \"wiki.app.localhost\"\npath = \"/api/people\"\n"
    );
    let site = with_rules(&rules, &[]).await;
    let token = format!("Bearer {}", site.pool.mint_machine_token("dev-machine-client", &["cms/read"]));
    let bearer = [("authorization", token.as_str())];
    let jane = signed_in(&site, "jane").await;
    for (path, route, for_machine) in [
        ("/", "/validate", 403),
        ("/", "/validate/browser", 403),
        ("/articles", "/validate?scope=cms/read", 200),
        ("/articles", "/validate/browser?scope=cms/read", 200),
        ("/articles", "/validate?scope=cms/write", 403),
        ("/articles", "/validate?machines=true", 200),
        ("/articles", "/validate?machines=false", 403),
        ("/members", "/validate", 403),
        ("/members", "/validate?machines=true", 200),
        ("/api/x", "/validate", 200),
        ("/api/people", "/validate", 403),
        ("/api/x/../people", "/validate", 403),
        ("/public", "/validate", 200),
        ("/admin", "/validate?machines=true", 403),
    ] {
        let page = format!("http://wiki.app.localhost:4000{path}");
        let answer = asked(&Browser::new(), &site, route, &page, &bearer).await;
        assert_eq!(answer.status, for_machine, "{path} {route}: {answer:?}");
        if for_machine == 403 {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer error=\"insufficient_scope\""));
            assert_eq!(answer.problem(), "insufficient-scope");
        }
    }
    let page = "http://wiki.app.localhost:4000/api/x";
    assert_eq!(asked(&jane, &site, "/validate", page, &[]).await.status, 200, "people as before");
    assert_eq!(asked(&jane, &site, "/validate?machines=true", page, &[]).await.status, 200);
    for query in ["machines=", "machines=yes", "machines=true&machines=true&machines=false", "machines=TRUE"] {
        assert_eq!(asked(&jane, &site, &format!("/validate?{query}"), page, &[]).await.status, 400, "{query}");
    }
    let plain = send(&Browser::new(), &site, "/validate", &bearer).await;
    assert_eq!((plain.status, plain.header("x-auth-kind")), (200, Some("machine")), "without a page as before");
}

#[tokio::test]
async fn programs_pass_no_page_of_a_site_without_rules() {
    let site = trusting(&[]).await;
    let token = format!("Bearer {}", site.pool.mint_machine_token("dev-machine-client", &["cms/read"]));
    let bearer = [("authorization", token.as_str())];
    for (route, status) in [("/validate", 403), ("/validate/browser", 403), ("/validate/browser?scope=cms/read", 200)] {
        let page = "http://wiki.app.localhost:4000/";
        assert_eq!(asked(&Browser::new(), &site, route, page, &bearer).await.status, status, "{route}");
    }
}

#[tokio::test]
async fn paths_in_disguise_open_nothing() {
    let site = with_rules(RULES, &[]).await;
    let (jane, erin, nobody) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await, Browser::new());
    for page in [
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/..;/admin",
        "/public%2f..%2fadmin",
        "/public/%252e%252e/admin",
        "//admin",
        "/./admin",
        "/admin;x",
        "/%61dmin",
        "/ADMIN",
        "/Admin/x",
        "/admin%2f",
        "/admin/",
        "/admin%00",
        "/public/%c0%ae%c0%ae/admin",
    ] {
        let seen = (status(&nobody, &site, page).await, status(&jane, &site, page).await);
        assert!(matches!(seen, (401, 403)), "{page}: {seen:?}");
    }
    for page in ["//public", "/Public", "/public//x", "/public/%70", "/public/x;y", "/public/.", "/public/x/.."] {
        let seen =
            (status(&nobody, &site, page).await, status(&jane, &site, page).await, status(&erin, &site, page).await);
        assert_eq!(seen.0, 401, "{page}: not for strangers");
        assert_eq!(seen.2, 200, "{page}: for those who meet every rule");
    }
}

#[tokio::test]
async fn a_host_in_capitals_skips_no_rule() {
    let site = with_rules(RULES, &[]).await;
    let jane = signed_in(&site, "jane").await;
    for host in ["WIKI.app.localhost:4000", "wiki.app.localhost.:4000", "wiki.APP.localhost:4000"] {
        let answer = asked(&jane, &site, "/validate", &format!("http://{host}/admin"), &[]).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-forwarded-request"), "{host}");
    }
}

#[tokio::test]
async fn a_requirement_of_the_caller_holds_on_a_public_page_too() {
    let site = with_rules(RULES, &[]).await;
    let (jane, nobody) = (signed_in(&site, "jane").await, Browser::new());
    let page = "http://wiki.app.localhost:4000/public";
    for (query, for_nobody, for_jane) in [("", 200, 200), ("?group=admins", 401, 403), ("?group=", 400, 400)] {
        let route = format!("/validate{query}");
        let seen = (asked(&nobody, &site, &route, page, &[]).await, asked(&jane, &site, &route, page, &[]).await);
        assert_eq!((seen.0.status, seen.1.status), (for_nobody, for_jane), "{query}");
    }
    let known = asked(&jane, &site, "/validate", page, &[]).await;
    assert_eq!(known.header("x-auth-username"), Some("jane"), "who is known is known there too");
    // A dead cookie is a stranger's, and no reason to close a public page.
    nobody.plant(&site.auth_url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost; Path=/");
    let stranger = asked(&nobody, &site, "/validate", page, &[]).await;
    assert_eq!((stranger.status, stranger.header("x-auth-subject")), (200, Some("")));
}

#[tokio::test]
async fn people_outside_the_groups_are_told_on_a_page_and_offered_another_account() {
    let site = trusting(&[("POLICY__GROUPS", "editors,owners")]).await;
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "return_to=http://cms.app.localhost/x", "jane").await;
    let page = jane.get(&callback).await;
    assert_eq!(page.status, 403);
    for words in ["This account may not sign in here", "Use another account", "prompt=select_account"] {
        assert!(page.body.contains(words), "{words} in {}", page.body);
    }
    assert!(!page.body.contains("editors"), "the rule is for operators: {}", page.body);
    assert_eq!(jane.validate(&site).await.status, 401);
    crate::support::until("revoked", async || site.pool.live_refresh_tokens() == 0).await;
    assert_eq!(signed_in(&site, "erin").await.validate(&site).await.status, 200);
    assert_eq!(site.metric("auth_api_sign_ins_total{outcome=\"not_admitted\"}").await, 1);
}

#[tokio::test]
async fn an_unverified_or_odd_address_is_at_no_domain() {
    let site = trusting(&[("POLICY__EMAIL_DOMAINS", "example.com")]).await;
    assert_eq!(signed_in(&site, "jane").await.validate(&site).await.status, 200);
    for (email, verified) in [
        ("jane@example.com", false),
        ("jane@sub.example.com", true),
        ("jane@evil.test@example.com", true),
        ("jane@example.com.evil.test", true),
        ("jane@notexample.com", true),
        ("@example.com", true),
    ] {
        site.pool.edit_user("erin", |user| {
            user.attributes.insert("email".into(), email.to_owned());
            user.attributes.insert("email_verified".into(), verified.to_string());
        });
        assert_eq!(Browser::new().sign_in(&site, "erin").await.status, 403, "{email}");
    }
    // An access token says no address: what cannot be judged is not allowed.
    let token = format!("Bearer {}", site.pool.mint_access_token("dev-web-client", "jane", &["openid", "email"]));
    let shape = |r: reqwest::RequestBuilder| r.header("authorization", &token);
    let refused = Browser::new().send(Method::GET, &site.auth("/validate"), shape).await;
    assert_eq!((refused.status, refused.problem().as_str()), (403, "not-admitted"));
}

#[tokio::test]
async fn who_leaves_a_group_is_out_at_the_next_renewal() {
    let site = with_rules(RULES, &[("POLICY__GROUPS", "editors,admins")]).await;
    let erin = signed_in(&site, "erin").await;
    assert_eq!(status(&erin, &site, "/admin").await, 200);
    site.pool.edit_user("erin", |user| user.groups = vec!["editors".into()]);
    assert_eq!(status(&erin, &site, "/admin").await, 200, "as of the last ID token");
    assert_eq!(erin.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
    assert_eq!(status(&erin, &site, "/admin").await, 403);
    assert_eq!(status(&erin, &site, "/staff").await, 200);
    // In none that may sign in: signed out, and the provider is told.
    site.pool.edit_user("erin", |user| user.groups.clear());
    site.pass(10);
    let ended = erin.post(&site.auth("/refresh?force=true"), &[]).await;
    assert_eq!((ended.status, ended.problem().as_str()), (401, "session-ended"));
    assert_eq!(status(&erin, &site, "/public").await, 200);
    assert_eq!(status(&erin, &site, "/").await, 401);
    crate::support::until("revoked", async || site.pool.live_refresh_tokens() == 0).await;
}

#[tokio::test]
async fn an_account_that_may_not_see_a_page_can_make_way_for_another() {
    let site = with_rules(RULES, &[]).await;
    let browser = signed_in(&site, "jane").await;
    let page = "http://wiki.app.localhost:4000/admin/x?y=1&z=2";
    let denied = asked(&browser, &site, "/validate/browser", page, &NAVIGATION).await;
    assert_eq!(denied.status, 403);
    let another = denied.between("class=\"button\" href=\"", "\"").replace("&#38;", "&").replace("&amp;", "&");
    // The hosted UI's classic pages would sign jane straight in again.
    site.pool.ignores_prompt(true);
    let logout = browser.get(&another).await.location();
    assert_eq!(
        browser.validate(&site).await.json()["username"],
        "jane",
        "she keeps her session until another is there"
    );
    let authorize = browser.get(&browser.get(&logout).await.location()).await.location();
    let callback = browser.log_in(&authorize, "erin").await;
    assert_eq!(browser.get(&callback).await.location(), page);
    assert_eq!(asked(&browser, &site, "/validate/browser", page, &NAVIGATION).await.status, 200);
}
