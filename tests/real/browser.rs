//! What people do with a browser, in a real one.

use super::chromium::{Chromium, PASSWORD};
use crate::acceptance_run::person::Waiting;
use crate::acceptance_run::with_verdict;
use crate::support::{Browser, Site};
use auth_api::acceptance::Verdict;
use serde_json::Value;
use std::time::Duration;
use thirtyfour::{By, WindowHandle};

/// A person with a browser before a running site.
async fn visit() -> (Site, Chromium) {
    let browser = Chromium::start().await;
    (Site::start().await, browser)
}

const WANTED: &str = "/articles/one-cookie?page=2&from=a%20friend";

/// The whole tour of one user; `enter` is what they do at the hosted UI.
async fn tour(name: &str, enter: impl AsyncFnOnce(&Chromium)) {
    let (site, browser) = visit().await;
    let (wanted, blog) = (site.cms(WANTED), format!("{}/", site.blog_url));
    // A stranger is sent to the hosted UI and comes back to the very page.
    browser.go(&site.cms_url).await;
    assert_eq!(browser.text("#greeting").await, "Stories for people with a name");
    browser.go(&wanted).await;
    browser.is_asked_to_sign_in(&site).await;
    enter(&browser).await;
    browser.arrives_at(&wanted).await;
    assert_eq!(browser.text("h1").await, "One cookie for the whole family");
    assert_eq!(browser.text(".account-name").await, name);
    // The sibling on another host knows them too.
    browser.go(&blog).await;
    assert_eq!(browser.text("#host").await, "blog.app.localhost");
    assert_eq!(browser.text("#greeting").await, format!("Hello, {name}"));
    // Signed out there means signed out on both, and at the pool: no silent way back in.
    browser.click("#sign-out").await;
    browser.arrives_at(&blog).await;
    assert_eq!(browser.text("#greeting").await, "Stories for people with a name");
    assert!(!browser.has("#sign-out").await);
    browser.go(&site.cms_url).await;
    assert!(!browser.has("#sign-out").await);
    for host in [&site.cms_url, &site.blog_url] {
        browser.go(&format!("{host}{WANTED}")).await;
        browser.is_asked_to_sign_in(&site).await;
    }
    assert_eq!(site.pool.live_refresh_tokens(), 0);
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn jane_reads_the_page_she_wanted_and_stays_out_after_signing_out() {
    tour("Jane Doe", async |browser| browser.sign_in("jane", PASSWORD).await).await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn erin_with_groups_reads_the_page_she_wanted_and_stays_out_after_signing_out() {
    tour("Erin Editor", async |browser| browser.sign_in("erin", PASSWORD).await).await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn gary_continues_with_google_and_stays_out_after_signing_out() {
    tour("Gary Google", async |browser| browser.continue_with("Google").await).await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn fay_continues_with_facebook_and_stays_out_after_signing_out() {
    tour("Fay Facebook", async |browser| browser.continue_with("Facebook").await).await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn people_see_their_account_however_they_signed_in() {
    let (site, browser) = visit().await;
    // Straight to Google, from the front page.
    browser.go(&site.cms_url).await;
    browser.click("#sign-in-google").await;
    browser.click("button[name=identity]").await;
    browser.arrives_at(&site.cms("/")).await;
    assert_eq!(browser.text("#email").await, "gary@gmail.com");
    assert_eq!(browser.text("#provider").await, "Google");
    assert_eq!(browser.text("#groups").await, "none");
    browser.click("#sign-out").await;
    // Facebook shares no e-mail address.
    browser.click("#sign-in").await;
    browser.is_asked_to_sign_in(&site).await;
    browser.continue_with("Facebook").await;
    browser.arrives_at(&site.cms("/")).await;
    assert_eq!(browser.text("#email").await, "not shared");
    assert_eq!(browser.text("#provider").await, "Facebook");
    browser.click("#sign-out").await;
    browser.click("#sign-in").await;
    browser.sign_in("erin", PASSWORD).await;
    browser.arrives_at(&site.cms("/")).await;
    assert_eq!(browser.text("#provider").await, "user name and password");
    assert_eq!(browser.text("#groups").await, "editors admins");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn editors_enter_their_room_and_others_may_use_another_account() {
    let (site, browser) = visit().await;
    let editors = site.cms("/editors");
    browser.go(&editors).await;
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&editors).await;
    assert_eq!(browser.text("h1").await, "This room is for editors");
    assert_eq!(browser.text(".account-name").await, "Jane Doe");
    assert_eq!(browser.text(".actions a.primary").await, "Sign in as another account");
    browser.click(".actions a.primary").await;
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("erin", PASSWORD).await;
    browser.arrives_at(&editors).await;
    assert_eq!(browser.text("h1").await, "The editors’ room");
    assert_eq!(browser.text(".account-name").await, "Erin Editor");
    assert_eq!(site.pool.live_refresh_tokens(), 1, "jane's session was replaced");
    browser.close().await;
}

/// Two tabs that each wanted a page and wait at the sign-in form; the second is in front.
async fn two_tabs(
    site: &Site,
    browser: &Chromium,
    first_page: &str,
    second_page: &str,
) -> (WindowHandle, WindowHandle) {
    let first = browser.driver.window().await.unwrap();
    browser.go(first_page).await;
    browser.is_asked_to_sign_in(site).await;
    let second = browser.driver.new_tab().await.unwrap();
    browser.driver.switch_to_window(second.clone()).await.unwrap();
    browser.go(second_page).await;
    browser.is_asked_to_sign_in(site).await;
    (first, second)
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn two_tabs_sign_in_side_by_side_and_each_ends_on_its_own_page() {
    let (site, browser) = visit().await;
    let (first_page, second_page) = (site.cms(WANTED), site.cms("/articles/leaving-properly?tab=2"));
    let (first, second) = two_tabs(&site, &browser, &first_page, &second_page).await;

    browser.driver.switch_to_window(first.clone()).await.unwrap();
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&first_page).await;
    assert_eq!(browser.text("h1").await, "One cookie for the whole family");
    browser.driver.switch_to_window(second).await.unwrap();
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&second_page).await;
    assert_eq!(browser.text("h1").await, "Leaving properly");
    // The second sign-in replaced the session of the first; the first tab goes on with the new one.
    browser.driver.switch_to_window(first).await.unwrap();
    browser.driver.refresh().await.unwrap();
    browser.arrives_at(&first_page).await;
    assert_eq!(browser.text(".account-name").await, "Jane Doe");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn a_tab_left_at_the_sign_in_page_may_as_well_be_opened_again() {
    let (site, browser) = visit().await;
    let (first_page, second_page) = (site.cms(WANTED), site.cms("/articles/leaving-properly"));
    let (first, second) = two_tabs(&site, &browser, &first_page, &second_page).await;
    let started = browser.documents().await;
    let authorize = started.iter().rfind(|url| url.contains("/oauth2/authorize?")).unwrap();

    browser.driver.switch_to_window(first).await.unwrap();
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&first_page).await;
    // The pool knows her by now and asks nothing.
    browser.driver.switch_to_window(second).await.unwrap();
    browser.go(authorize).await;
    browser.arrives_at(&second_page).await;
    assert_eq!(browser.text(".account-name").await, "Jane Doe");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn after_a_wrong_password_the_right_one_works() {
    let (site, browser) = visit().await;
    browser.go(&site.cms(WANTED)).await;
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("jane", "guess").await;
    assert_eq!(browser.text("#loginErrorMessage").await, "Incorrect username or password.");
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.cms(WANTED)).await;
    assert_eq!(browser.text(".account-name").await, "Jane Doe");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_callback_s_address_opened_again_leads_to_the_page_it_was_for() {
    let (site, browser) = visit().await;
    browser.go(&site.cms(WANTED)).await;
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.cms(WANTED)).await;
    let callback = site.auth("/auth/signin/callback?");
    let callback = browser.documents().await.into_iter().find(|url| url.starts_with(&callback)).unwrap();
    browser.go(&site.cms("/")).await;
    browser.go(&callback).await;
    browser.arrives_at(&site.cms(WANTED)).await;
    assert_eq!(browser.text(".account-name").await, "Jane Doe");
    // For somebody who is signed out it is worth nothing.
    browser.click("#sign-out").await;
    browser.arrives_at(&site.cms("/")).await;
    browser.go(&callback).await;
    browser.arrives_at(&callback).await;
    assert_eq!(browser.text("h1").await, "This sign-in was not started here");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn who_cancels_at_the_provider_may_try_again() {
    let (site, browser) = visit().await;
    browser.go(&site.cms(WANTED)).await;
    browser.is_asked_to_sign_in(&site).await;
    browser.click("#GoogleSignIn").await;
    browser.click("button[name=cancel]").await;
    assert_eq!(browser.text("h1").await, "Sign-in cancelled");
    assert!(browser.url().await.starts_with(&site.auth("/auth/signin/callback?")));
    let reference = browser.text(".reference code").await;
    assert!(reference.len() == 16 && reference.bytes().all(|b| b.is_ascii_hexdigit()), "{reference}");
    browser.follow("Try again").await;
    browser.is_asked_to_sign_in(&site).await;
    browser.continue_with("Google").await;
    browser.arrives_at(&site.cms(WANTED)).await;
    assert_eq!(browser.text(".account-name").await, "Gary Google");
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_sign_out_page_asks_first_and_then_signs_out() {
    let (site, browser) = visit().await;
    let out = site.auth("/auth/signout");
    // With a page to go back to, and with none: every hop after the form must be allowed by our own policy.
    for (query, target, heading) in [
        ("", site.auth("/auth/signout/callback"), "You are signed out"),
        ("?return_to=BLOG", format!("{}/", site.blog_url), "Stories for people with a name"),
    ] {
        browser.go(&site.cms(WANTED)).await;
        browser.is_asked_to_sign_in(&site).await;
        browser.sign_in("jane", PASSWORD).await;
        browser.arrives_at(&site.cms(WANTED)).await;
        let page = format!("{out}{}", query.replace("BLOG", &format!("{}/", site.blog_url)));
        browser.go(&page).await;
        browser.arrives_at(&page).await;
        assert_eq!(browser.text("h1").await, "Sign out?");
        assert_eq!(browser.text("main strong").await, "Jane Doe");
        assert_eq!(browser.driver.find_all(By::Css("main button, main a")).await.unwrap().len(), 1);
        browser.click("button").await;
        browser.arrives_at(&target).await;
        assert_eq!(browser.text("h1").await, heading);
        browser.go(&site.auth("/")).await;
        assert_eq!(browser.text("h1").await, "Sign in");
    }
    browser.go(&site.cms(WANTED)).await;
    browser.is_asked_to_sign_in(&site).await;
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn a_page_s_script_ends_another_browser_and_the_sign_out_page_all_of_them() {
    let (site, browser) = visit().await;
    let others = [Browser::new(), Browser::new()];
    for other in &others {
        other.sign_in(&site, "jane").await;
    }
    let known = async || {
        let statuses = [others[0].validate(&site).await.status, others[1].validate(&site).await.status];
        statuses.iter().filter(|status| **status == 200).count()
    };
    browser.go(&site.auth("/auth/signin?return_to=/")).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.auth("/")).await;
    assert_eq!(known().await, 2);
    // From a sibling, where no policy of its own forbids scripts: the browser asks first whether that may DELETE
    // (Fetch standard, CORS).
    browser.go(&site.cms("/icon.svg")).await;
    let script = "
        const [all, done] = arguments;
        fetch(all, { credentials: 'include' }).then((answer) => answer.json())
            .then(({ sessions }) => `${all}/${sessions.find((session) => !session.current).handle}`)
            .then((one) => fetch(one, { method: 'DELETE', credentials: 'include' }))
            .then((answer) => done(answer.status), (error) => done(String(error)));
    ";
    let ended = browser.driver.execute_async(script, vec![site.auth("/auth/sessions").into()]).await.unwrap();
    assert_eq!(*ended.json(), 204);
    assert_eq!(known().await, 1);

    browser.go(&site.auth("/auth/signout")).await;
    browser.click("input[name=everywhere]").await;
    browser.click("button").await;
    browser.arrives_at(&site.auth("/auth/signout/callback")).await;
    assert_eq!(known().await, 0);
    // It misses an icon for a page that is a picture: not what `close` asks about.
    browser.driver.clone().quit().await.unwrap();
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn our_own_front_page_signs_in_and_out() {
    let (site, browser) = visit().await;
    browser.go(&site.auth_url).await;
    browser.click("a.button").await;
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.cms("/")).await;
    browser.go(&site.auth_url).await;
    assert_eq!(browser.text("h1").await, "You are signed in");
    assert_eq!(browser.text("main strong").await, "Jane Doe");
    browser.click("a.button:not(.quiet)").await;
    browser.arrives_at(&site.cms("/")).await;
    browser.go(&site.auth_url).await;
    // A link on our own page needs no second question.
    browser.click("a.button.quiet").await;
    browser.arrives_at(&site.auth("/auth/signout/callback")).await;
    assert_eq!(browser.text("h1").await, "You are signed out");
    browser.click("a.button").await;
    browser.is_asked_to_sign_in(&site).await;
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_browser_keeps_one_shared_cookie_that_no_script_can_read() {
    let (site, browser) = visit().await;
    // Two sign-ins that are never finished, and one that is.
    for path in ["/articles/asking-at-the-door", "/articles/leaving-properly", WANTED] {
        browser.go(&site.cms(path)).await;
        browser.is_asked_to_sign_in(&site).await;
    }
    let pending = |cookies: &[Value]| cookies.iter().filter(|c| name(c).starts_with("auth-signin-")).count();
    assert_eq!(pending(&browser.cookies().await), 3);
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.cms(WANTED)).await;

    let script = "return document.cookie";
    assert_eq!(browser.driver.execute(script, vec![]).await.unwrap().json(), "");
    let cookies = browser.cookies().await;
    assert_eq!(pending(&cookies), 2, "the used one is gone, the others wait for their tabs");
    let session: Vec<&Value> = cookies.iter().filter(|cookie| name(cookie) == "auth").collect();
    let [session] = session[..] else { panic!("one session cookie, not {cookies:#?}") };
    assert_eq!(session["domain"], ".app.localhost");
    assert_eq!(session["path"], "/");
    assert_eq!(session["httpOnly"], true);
    assert_eq!(session["sameSite"], "Lax");
    assert_eq!(session["session"], false, "it outlives the browser window");
    let own: Vec<&Value> = cookies.iter().filter(|cookie| name(cookie).starts_with("auth-")).collect();
    for cookie in own {
        assert_eq!(cookie["domain"], "auth-api.app.localhost", "{cookie:#?}");
        assert!(cookie["httpOnly"] == true && cookie["sameSite"] == "Lax", "{cookie:#?}");
    }

    browser.click("#sign-out").await;
    browser.arrives_at(&site.cms("/")).await;
    let cookies = browser.cookies().await;
    assert!(!cookies.iter().any(|cookie| name(cookie) == "auth"), "{cookies:#?}");
    browser.close().await;
}

fn name(cookie: &Value) -> &str {
    cookie["name"].as_str().unwrap()
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn an_operator_signs_in_for_an_acceptance_run_and_is_sent_from_page_to_page() {
    let browser = Chromium::start().await;
    let waiting = Waiting::new(Duration::from_secs(60)).await;
    let login = format!("{}/login?", waiting.pool.base_url());
    let callback = waiting.options.urls.callback.as_str();
    let person = async {
        browser.go(&waiting.address().await).await;
        // At first, for prompt=login, and after a sign-out.
        for prompt in [false, true, false] {
            let there = |at: &str| at.starts_with(&login) && at.contains("prompt=login") == prompt;
            browser.arrives(there, "the sign-in page").await;
            waiting.pool.shift_clock(5);
            browser.sign_in("jane", PASSWORD).await;
        }
        browser.arrives(|at| at.starts_with(callback), callback).await;
        assert!(browser.text("p").await.contains("The run goes on in your terminal"));
    };
    let (report, ()) = tokio::join!(waiting.report(), person);
    assert_eq!(with_verdict(&report, Verdict::Breaks), Vec::<&str>::new(), "{report}");
    assert_eq!(with_verdict(&report, Verdict::Differs), ["machine.resource"], "{report}");
    browser.close().await;
}
