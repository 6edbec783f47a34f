//! Signing in: from a page of a sibling to the hosted UI and back to that page.

use crate::support::{Browser, Log, Site, param};
use auth_api::dev::pool::{Fault, FederationFault, PoolEndpoint};

const OPEN_REDIRECTS: &str = include_str!("data/open_redirects.txt");

#[tokio::test]
async fn a_native_user_signs_in_and_every_sibling_knows_her() {
    let site = Site::start().await;
    let jane = Browser::new();
    let wanted = site.cms("/articles/x?a=1&b=2");
    let query = format!("return_to={}", urlencode(&wanted));
    let callback = jane.to_callback(&site, &query, "jane").await;
    let landed = jane.get(&callback).await;
    assert_eq!((landed.status, landed.location()), (302, wanted));

    let cookie = landed.set_cookies("auth=")[0];
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Domain=app.localhost"] {
        assert!(cookie.split("; ").any(|a| a == attribute), "{attribute} in {cookie}");
    }
    let who = jane.validate(&site).await;
    assert_eq!(who.status, 200);
    let json = who.json();
    assert_eq!(json["username"], "jane");
    assert_eq!(json["name"], "Jane Doe");
    assert_eq!(json["provider"], "COGNITO");
    assert_eq!(json["attributes"]["custom:legacy_id"], "42");
    assert_eq!(json["email_verified"], true);
    assert_eq!(json["scopes"], serde_json::json!(["openid", "email", "profile"]));
    assert_eq!(who.header("x-auth-username"), Some("jane"));
    assert_eq!(who.header("x-auth-email"), Some("jane@example.com"));
    assert_eq!(who.header("x-auth-groups"), Some(""));
    assert_eq!(who.header("x-auth-kind"), Some("user"));
    for sibling in [&site.cms_url, &site.blog_url] {
        assert!(jane.cookies(sibling).contains("auth="), "{sibling}");
        assert!(jane.get(&format!("{sibling}/")).await.body.contains("Jane Doe"), "{sibling}");
    }
    assert!(!jane.cookies(&site.auth_url).contains("auth-signin-"), "the sign-in's own cookie is gone");
}

#[tokio::test]
async fn federated_users_come_with_their_provider_and_without_cognitos_own_group() {
    let site = Site::start().await;
    let gary = Browser::new();
    gary.sign_in(&site, "gary").await;
    let who = gary.validate(&site).await;
    assert_eq!(who.json()["provider"], "Google");
    assert_eq!(who.json()["groups"], serde_json::json!([]));
    assert_eq!(who.json()["email_verified"], false);
    assert_eq!(who.header("x-auth-email"), Some(""), "an unverified address is in no header");
    assert_eq!(who.header("x-auth-provider"), Some("Google"));

    let fay = Browser::new();
    fay.sign_in(&site, "fay").await;
    let who = fay.validate(&site).await.json();
    assert_eq!((&who["provider"], &who["email"]), (&"Facebook".into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn an_identity_provider_can_be_trusted_with_its_addresses() {
    let site = Site::with(&[("PROVIDER__TRUST_EMAIL_FROM", "Google")]).await;
    let gary = Browser::new();
    gary.sign_in(&site, "gary").await;
    assert!(gary.validate(&site).await.header("x-auth-email").unwrap().contains('@'));
}

#[tokio::test]
async fn an_address_that_was_written_at_the_pool_is_not_the_identity_providers() {
    let site = Site::with(&[("PROVIDER__TRUST_EMAIL_FROM", "Google")]).await;
    const GARY: &str = "Google_108347000000000000001";
    let gary = Browser::new();
    gary.sign_in(&site, "gary").await;
    let his = gary.validate(&site).await.header("x-auth-email").unwrap().to_owned();
    assert!(his.contains('@'));
    let renewed = async |browser: &Browser| {
        site.pass(10);
        browser.post(&site.auth("/refresh?force=true"), &[]).await.json()
    };
    let same = renewed(&gary).await;
    assert_eq!(
        (&same["email"], &same["email_verified"]),
        (&his.as_str().into(), &true.into()),
        "the same stays verified"
    );
    let id_token = site.pool.mint_id_token("dev-web-client", GARY);
    let bearer = Browser::new().send(reqwest::Method::GET, &site.auth("/validate"), |r| r.bearer_auth(id_token)).await;
    assert_eq!((bearer.status, bearer.header("x-auth-email")), (200, Some("")), "a bearer's is nobody's word");
    site.pool.edit_user(GARY, |gary| drop(gary.attributes.insert("email".into(), "ceo@example.com".into())));
    let written = renewed(&gary).await;
    assert_eq!((&written["email"], &written["email_verified"]), (&"ceo@example.com".into(), &false.into()));
    assert_eq!(gary.validate(&site).await.header("x-auth-email"), Some(""));
    assert_eq!(gary.get(&site.auth("/validate?email_domain=example.com")).await.status, 403);
    site.pool.edit_user(GARY, |gary| drop(gary.attributes.insert("email".into(), his.clone())));
    assert_eq!(renewed(&gary).await["email_verified"], false, "not verified again by going back");
}

#[tokio::test]
async fn a_user_in_groups_brings_them() {
    let site = Site::start().await;
    let erin = Browser::new();
    erin.sign_in(&site, "erin").await;
    assert_eq!(erin.validate(&site).await.header("x-auth-groups"), Some("editors,admins"));
    assert_eq!(erin.get(&site.auth("/validate?group=editors")).await.status, 200);
}

#[tokio::test]
async fn the_way_to_the_provider_has_pkce_state_and_nonce_and_nobody_else_chooses_a_parameter() {
    let site = Site::start().await;
    let evil = "client_id=evil&redirect_uri=https://evil.test/&scope=admin&state=mine&nonce=mine&code_challenge=x\
                &code_challenge_method=plain&response_type=token&foo=bar&provider=Google&login_hint=jane&lang=de&prompt=login";
    let to = Browser::new().get(&site.auth(&format!("/auth/signin?{evil}"))).await.location();
    let query: Vec<_> = url::Url::parse(&to).unwrap().query_pairs().into_owned().collect();
    let mut names: Vec<_> = query.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "client_id",
        "code_challenge",
        "code_challenge_method",
        "identity_provider",
        "lang",
        "login_hint",
        "nonce",
        "prompt",
        "redirect_uri",
        "response_type",
        "scope",
        "state",
    ];
    assert_eq!(names, expected, "each once, none of a stranger's");
    let value = |name| param(&to, name).unwrap();
    assert_eq!(value("client_id"), "dev-web-client");
    assert_eq!(value("redirect_uri"), site.auth("/auth/signin/callback"));
    assert_eq!(value("response_type"), "code");
    assert_eq!(value("scope"), "openid email profile");
    assert_eq!(value("code_challenge_method"), "S256");
    assert_eq!(value("identity_provider"), "Google");
    assert_eq!(value("code_challenge").len(), 43);
    assert!(value("state").len() >= 22 && value("nonce").len() >= 22 && value("state") != value("nonce"));
}

#[tokio::test]
async fn what_may_not_be_returned_to_becomes_the_default() {
    let site = Site::start().await;
    let browser = Browser::new();
    browser.sign_in(&site, "jane").await;
    let default = format!("{}/", site.cms_url);
    let mut tried = 0;
    for raw in OPEN_REDIRECTS.lines().filter(|l| !l.is_empty() && !l.starts_with("# ")) {
        // The list's own allowed host is a stranger here too; what counts is that nothing else is followed.
        let raw = raw.replace("<TAB>", "\t").replace("<LF>", "\n").replace("<CR>", "\r").replace("<NUL>", "\0");
        for way in ["/auth/signin?return_to=", "/auth/signout?return_to="] {
            let url = site.auth(&format!("{way}{}", urlencode(&raw)));
            let answer = match way.contains("signin") {
                true => Browser::new().get(&url).await,
                false => Browser::new().post(&url, &[]).await,
            };
            assert!([302, 303].contains(&answer.status), "{raw:?}");
            assert!(answer.location().starts_with(&site.pool.base_url()), "{raw:?}");
        }
        if tried % 10 == 0 {
            let fresh = Browser::new();
            let callback = fresh.to_callback(&site, &format!("return_to={}", urlencode(&raw)), "jane").await;
            assert_eq!(fresh.get(&callback).await.location(), default, "{raw:?}");
        }
        tried += 1;
    }
    assert!(tried > 60);
}

#[tokio::test]
async fn a_signed_in_browser_goes_straight_on_unless_something_is_asked() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let to = urlencode(&site.cms("/articles/x"));
    let straight = jane.get(&site.auth(&format!("/auth/signin?return_to={to}"))).await;
    assert_eq!(straight.location(), site.cms("/articles/x"));
    for asked in ["prompt=login", "provider=Google"] {
        let to = jane.get(&site.auth(&format!("/auth/signin?{asked}"))).await.location();
        assert!(to.contains("/oauth2/authorize?"), "{asked}: {to}");
    }
}

#[tokio::test]
async fn two_tabs_sign_in_side_by_side_and_each_ends_on_its_own_page() {
    let site = Site::start().await;
    let jane = Browser::new();
    let tab = async |page: &str| {
        let query = format!("return_to={}", urlencode(&site.cms(page)));
        jane.get(&site.auth(&format!("/auth/signin?{query}"))).await.location()
    };
    let (first, second) = (tab("/articles/one").await, tab("/articles/two").await);
    let (second, first) = (jane.log_in(&second, "jane").await, jane.log_in(&first, "jane").await);
    assert_eq!(jane.get(&first).await.location(), site.cms("/articles/one"));
    assert_eq!(jane.get(&second).await.location(), site.cms("/articles/two"));
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn two_hundred_abandoned_sign_ins_leave_a_small_header_and_the_last_one_works() {
    let site = Site::start().await;
    let jane = Browser::new();
    let long = format!("return_to={}", urlencode(&site.cms(&format!("/{}", "x".repeat(1_500)))));
    for i in 0..200 {
        let query = if i % 3 == 0 { long.as_str() } else { "" };
        assert_eq!(jane.get(&site.auth(&format!("/auth/signin?{query}"))).await.status, 302);
        // Over two days: those that took too long are remembered, too, and count.
        site.pass(900);
        let cookies = jane.cookies(&site.auth_url);
        assert!(cookies.len() < 8_000, "{} bytes after {i}", cookies.len());
        assert!(cookies.matches("auth-signin-").count() <= 5);
    }
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn a_callback_with_a_bad_state_spends_no_code() {
    let site = Site::start().await;
    let (jane, mallory) = (Browser::new(), Browser::new());
    let callback = jane.to_callback(&site, "", "jane").await;
    let (code, state) = (param(&callback, "code").unwrap(), param(&callback, "state").unwrap());
    let url = |query: &str| site.auth(&format!("/auth/signin/callback?{query}"));
    let swapped: String = state.chars().map(|c| if c.is_lowercase() { c.to_ascii_uppercase() } else { c }).collect();
    for (who, query) in [
        (&mallory, format!("code={code}&state={state}")),
        (&jane, format!("code={code}")),
        (&jane, format!("code={code}&state=")),
        (&jane, format!("code={code}&state={swapped}x")),
        (&jane, format!("code={code}&state={}", "a".repeat(5_000))),
        (&jane, format!("code={code}&state=%00%ff")),
        (&jane, format!("code={code}&code={code}&state={state}x")),
        (&jane, "code=x&state=y".to_owned()),
        (&jane, String::new()),
    ] {
        let refused = who.get(&url(&query)).await;
        assert_eq!(refused.status, 400, "{query}");
        assert!(refused.body.contains("Try again") && refused.set_cookies("auth=").is_empty(), "{query}");
    }
    assert_eq!(jane.send(reqwest::Method::HEAD, &callback, |r| r).await.status, 405, "nor by looking ahead");
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 0, "no code was spent");
    assert_eq!(jane.get(&callback).await.status, 302, "the genuine callback still works");
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 1);
}

#[tokio::test]
async fn a_parameter_that_comes_twice_is_refused_unspent() {
    let site = Site::start().await;
    let jane = Browser::new();
    for twice in ["code=other", "state=other", "error=access_denied&error=x", "iss=a&iss=b"] {
        let callback = jane.to_callback(&site, "", "jane").await;
        let refused = jane.get(&format!("{callback}&{twice}")).await;
        assert_eq!(refused.status, 400, "{twice}");
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 0);
}

#[tokio::test]
async fn an_answer_of_another_issuer_is_refused_unspent() {
    let site = Site::start().await;
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "", "jane").await;
    assert_eq!(jane.get(&format!("{callback}&iss=https://evil.test")).await.status, 400);
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 0);
    let callback = jane.to_callback(&site, "", "jane").await;
    let ours = format!("{callback}&iss={}", urlencode(&site.pool.issuer()));
    assert_eq!(jane.get(&ours).await.status, 302);
}

#[tokio::test]
async fn reloading_a_used_callback_goes_where_it_went_and_a_stranger_cannot_use_it() {
    let site = Site::start().await;
    let jane = Browser::new();
    let wanted = site.cms("/articles/two-tabs?page=2");
    let callback = jane.to_callback(&site, &format!("return_to={}", urlencode(&wanted)), "jane").await;
    jane.get(&callback).await;
    let session = jane.cookies(&site.cms_url);
    let again = jane.get(&callback).await;
    assert_eq!((again.status, again.location()), (302, wanted));
    assert_eq!(jane.cookies(&site.cms_url), session, "the session is the same");
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 1);
    assert_eq!(Browser::new().get(&callback).await.status, 400);
}

#[tokio::test]
async fn a_callback_that_is_sent_twice_makes_one_session() {
    let site = Site::start().await;
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "", "jane").await;
    let cookies = jane.cookies(&site.auth_url);
    let send = async || Browser::new().send(reqwest::Method::GET, &callback, |r| r.header("cookie", &cookies)).await;
    let answers = futures_util::future::join_all((0..10).map(|_| send())).await;
    let issued: Vec<_> =
        answers.iter().map(|a| (a.status, a.set_cookies("auth=")[0].split(';').next().unwrap())).collect();
    assert!(issued.iter().all(|one| *one == issued[0] && one.0 == 302), "{issued:?}");
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode), 1);
    // Whoever has the link but not the browser's sealed cookie gets nothing.
    assert_eq!(Browser::new().get(&callback).await.status, 400);
    let live = issued[0].1.to_owned();
    Browser::new().send(reqwest::Method::POST, &site.auth("/auth/signout"), |r| r.header("cookie", live)).await;
    assert_eq!(send().await.status, 400, "nor does it bring back what was ended");
}

#[tokio::test]
async fn a_late_answer_to_an_old_cookie_does_not_remove_the_new_one() {
    let site = Site::start().await;
    let stale = |r: reqwest::RequestBuilder| r.header("cookie", "auth=AAAAAAAAAAAAAAAAAAAAAA");
    for path in ["/", "/auth/session", "/auth/signin", "/auth/signout"] {
        let answer = Browser::new().send(reqwest::Method::GET, &site.auth(path), stale).await;
        assert!(answer.set_cookies("auth=").is_empty(), "{path}: {:?}", answer.headers);
    }
}

#[tokio::test]
async fn a_siblings_strange_cookie_does_not_hide_the_session() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let mut cookies = b"name=Jos\xe9; ".to_vec();
    cookies.extend_from_slice(jane.cookies(&site.cms_url).as_bytes());
    let cookies = reqwest::header::HeaderValue::from_bytes(&cookies).unwrap();
    for path in ["/validate", "/auth/session"] {
        let answer =
            Browser::new().send(reqwest::Method::GET, &site.auth(path), |r| r.header("cookie", &cookies)).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_sibling_that_needs_the_exposed_token_gets_it_again() {
    let site = Site::with(&[("COOKIES__EXPOSE", "id_token")]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pass(2 * 3_600);
    let straight = jane.get(&site.auth("/auth/signin")).await;
    assert_eq!((straight.status, straight.set_cookies("id_token=").len()), (302, 1));
    assert!(!straight.set_cookies("id_token=")[0].contains("Max-Age=0"));
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1, "renewed, since the old one had run out");
}

#[tokio::test]
async fn the_providers_refusal_is_shown_in_plain_words_and_its_text_cannot_act() {
    let site = Site::start().await;
    let log = Log::capture();
    let jane = Browser::new();
    let to = jane.get(&site.auth("/auth/signin")).await.location();
    let state = param(&to, "state").unwrap();
    let text = "<script>alert(1)</script>\"'><img src=x>\u{7}";
    let query = format!("error=invalid_request&error_description={}&state={state}", urlencode(text));
    let page = jane.get(&site.auth(&format!("/auth/signin/callback?{query}"))).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("You could not be signed in") && page.body.contains("did not accept this account"));
    assert!(!page.body.contains("<script") && !page.body.contains("<img"), "{}", page.body);
    assert!(page.body.contains("&#60;script&#62;") || page.body.contains("&lt;script&gt;"), "{}", page.body);
    assert!(page.body.contains(page.header("x-request-id").unwrap()), "the page names the reference");
    assert!(page.body.contains("prompt=select_account"), "another account is offered");
    assert!(log.text().contains(page.header("x-request-id").unwrap()) && log.text().contains("invalid_request"));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(page.header(name), Some(value));
    }
    let csp = page.header("content-security-policy").unwrap();
    assert!(csp.contains("default-src 'none'") && !csp.contains("unsafe"));
}

#[tokio::test]
async fn a_refusal_without_state_is_shown_and_decides_nothing() {
    let site = Site::start().await;
    site.pool.errors_without_state(true);
    let jane = Browser::new();
    let to = jane.get(&site.auth("/auth/signin?prompt=none")).await.location();
    let back = jane.get(&to).await.location();
    assert_eq!(param(&back, "state"), None);
    let page = jane.get(&back).await;
    assert_eq!(page.status, 403);
    assert!(page.body.contains("You are not signed in"), "{}", page.body);
    let spoof = site.auth("/auth/signin/callback?error=Call&error_description=Call+0800+EVIL");
    let page = jane.get(&spoof).await;
    assert!(page.status == 403 && !page.body.contains("Call") && !page.body.contains("EVIL"), "{}", page.body);
    jane.sign_in(&site, "jane").await;
    assert_eq!(jane.get(&back).await.status, 400, "nor does it end a session");
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn cognitos_linking_quirk_is_retried_exactly_once() {
    let site = Site::start().await;
    let gary = Browser::new();
    site.pool.federation_fault(FederationFault::AlreadyFoundEntryOnce);
    let wanted = site.cms("/articles/x");
    let query = format!("provider=Google&return_to={}", urlencode(&wanted));
    let failed = gary.to_callback(&site, &query, "gary").await;
    assert!(failed.contains("error="), "{failed}");
    let retry = gary.get(&failed).await;
    assert_eq!(retry.status, 302);
    assert_eq!(param(&retry.location(), "identity_provider").as_deref(), Some("Google"));
    assert_ne!(param(&retry.location(), "state"), param(&failed, "state"));
    let callback = gary.log_in(&retry.location(), "gary").await;
    assert_eq!(gary.get(&callback).await.location(), wanted);

    site.pool.federation_fault(FederationFault::AlreadyFoundEntryAlways);
    let other = Browser::new();
    let failed = other.to_callback(&site, &query, "gary").await;
    let retry = other.get(&failed).await.location();
    let failed = other.log_in(&retry, "gary").await;
    let page = other.get(&failed).await;
    assert_eq!(page.status, 403, "the second failure is shown");
}

#[tokio::test]
async fn a_loop_between_a_site_and_the_sign_in_is_explained() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let url = site.auth(&format!("/auth/signin?return_to={}", urlencode(&site.cms("/"))));
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(jane.get(&url).await.status);
    }
    assert_eq!(answers, [302, 302, 302, 302, 302, 429, 302, 302], "told once; then she may try again");
    let many = Browser::new();
    many.sign_in(&site, "jane").await;
    for tab in 0..12 {
        let page = urlencode(&site.cms(&format!("/articles/{tab}")));
        let answer = many.get(&site.auth(&format!("/auth/signin?return_to={page}"))).await;
        assert_eq!(answer.status, 302, "a window with many tabs is no loop");
    }
    let calm = Browser::new();
    calm.sign_in(&site, "jane").await;
    for _ in 0..20 {
        assert_eq!(calm.get(&url).await.status, 302);
        site.clock.shift(20);
    }
}

#[tokio::test]
async fn a_session_id_from_before_the_sign_in_is_never_kept() {
    let site = Site::start().await;
    let (mallory, jane) = (Browser::new(), Browser::new());
    mallory.sign_in(&site, "erin").await;
    let hers = mallory.cookies(&site.cms_url);
    jane.plant(&site.cms_url, &format!("{hers}; Domain=app.localhost; Path=/"));
    let callback = jane.to_callback(&site, "prompt=login", "jane").await;
    jane.get(&callback).await;
    assert_ne!(jane.cookies(&site.cms_url), hers);
    assert_eq!(jane.validate(&site).await.json()["username"], "jane");
    let first = jane.cookies(&site.cms_url);
    let callback = jane.to_callback(&site, "prompt=login", "jane").await;
    jane.get(&callback).await;
    assert_ne!(jane.cookies(&site.cms_url), first, "a new id at every sign-in");
    let old = Browser::new();
    old.plant(&site.cms_url, &format!("{first}; Domain=app.localhost; Path=/"));
    assert_eq!(old.validate(&site).await.status, 401, "the replaced session is over");
}

#[tokio::test]
async fn a_cookie_sealed_for_another_sign_in_or_deployment_is_no_sign_in() {
    let (site, other) = (Site::start().await, Site::start().await);
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "", "jane").await;
    let cookies = jane.cookies(&site.auth_url);
    let (name, value) = cookies.split_once('=').unwrap();
    // The value of one sign-in under the name of another, and one that another deployment sealed.
    let second = jane.to_callback(&site, "prompt=login", "jane").await;
    let all = jane.cookies(&site.auth_url);
    let second_name = all
        .split("; ")
        .map(|c| c.split('=').next().unwrap())
        .find(|n| *n != name && n.starts_with("auth-signin-"))
        .unwrap();
    let thief = Browser::new();
    thief.plant(&site.auth_url, &format!("{second_name}={value}; Path=/"));
    assert_eq!(thief.get(&second).await.status, 400);
    let foreign = Browser::new();
    foreign.plant(&other.auth_url, &format!("{name}={value}; Path=/"));
    let there = callback.replace(&site.auth_url, &other.auth_url);
    assert_eq!(foreign.get(&there).await.status, 400);
    assert_eq!(site.pool.count(PoolEndpoint::TokenCode) + other.pool.count(PoolEndpoint::TokenCode), 0);
}

#[tokio::test]
async fn while_the_provider_is_away_a_page_says_so_and_later_it_works() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "", "jane").await;
    site.pool.fault(PoolEndpoint::Token, Fault::Disconnect);
    let page = jane.get(&callback).await;
    assert_eq!(page.status, 503);
    assert!(page.header("retry-after").is_some() && page.body.contains("Nothing is wrong with your account"));
    site.pool.clear_faults();
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
}

fn urlencode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
