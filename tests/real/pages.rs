//! The pages in a real browser: whether everybody can use them, and what the guide shows of them.

use super::chromium::{Chromium, PASSWORD};
use super::{installed, variable};
use crate::support::Site;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const SCOPES: (&str, &str) = ("PROVIDER__SCOPES", "openid,email,profile,phone,aws.cognito.signin.user.admin");
const OFFERS: (&str, &str) = ("ACCOUNT__OFFERS", "email,phone_number,authenticator_app,passkeys,deletion");
const WRITABLE: (&str, &str) = ("ACCOUNT__WRITABLE", "name");

async fn visit() -> (Site, Chromium) {
    let browser = Chromium::start().await;
    let site =
        Site::with(&[SCOPES, OFFERS, WRITABLE, ("PAGES__NAME", "Example"), ("PAGES__SUPPORT", "help@example.com")]);
    (site.await, browser)
}

/// Signs in and is at the account page.
async fn account(site: &Site, browser: &Chromium) {
    browser.go(&site.auth("/auth/account")).await;
    browser.is_asked_to_sign_in(site).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives_at(&site.auth("/auth/account")).await;
}

/// What axe finds wrong with the page at hand, by WCAG 2.2 AA and its best practices.
async fn violations(browser: &Chromium) -> Vec<String> {
    let axe = installed("axe", "axe/node_modules/axe-core").join("axe.min.js");
    browser.driver.execute(std::fs::read_to_string(axe).unwrap(), vec![]).await.unwrap();
    let run =
        "const done = arguments[0]; axe.run().then(result => done(result.violations), error => done([String(error)]))";
    let found: Value = browser.driver.execute_async(run, vec![]).await.unwrap().convert().unwrap();
    let found = found.as_array().unwrap().iter();
    found.map(|fault| format!("{} {}", fault["id"], fault["nodes"][0]["html"])).collect()
}

/// Nothing is wider than the screen (WCAG 2.2 §1.4.10).
async fn is_wide(browser: &Chromium) -> bool {
    let run = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    browser.driver.execute(run, vec![]).await.unwrap().convert().unwrap()
}

async fn emulate(browser: &Chromium, scheme: &str, forced: &str) {
    let features = json!([
        { "name": "prefers-color-scheme", "value": scheme },
        { "name": "forced-colors", "value": forced },
    ]);
    browser.devtools("Emulation.setEmulatedMedia", json!({ "features": features })).await;
}

async fn screen(browser: &Chromium, width: u32, height: u32) {
    let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
}

/// Judges the page at hand in light, in dark, with forced colours, and on the narrowest screen.
async fn judge(browser: &Chromium, page: &str, faults: &mut Vec<String>) {
    for (scheme, forced) in [("light", "none"), ("dark", "none"), ("dark", "active")] {
        emulate(browser, scheme, forced).await;
        faults
            .extend(violations(browser).await.into_iter().map(|fault| format!("{page}, {scheme}, {forced}: {fault}")));
    }
    screen(browser, 320, 800).await;
    if is_wide(browser).await {
        faults.push(format!("{page} is wider than 320 px"));
    }
    screen(browser, 1_000, 800).await;
}

#[tokio::test]
#[ignore = "needs chromium and npm"]
async fn everybody_can_use_every_page() {
    let (site, browser) = visit().await;
    let mut faults = Vec::new();
    for (page, path) in [
        ("front page", "/"),
        ("signed out", "/auth/signout/callback"),
        ("problem", "/auth/signin/callback?code=x&state=y"),
        ("nothing", "/nothing"),
        ("in Arabic", "/?lang=ar"),
        ("in Japanese", "/?lang=ja"),
        ("in English", "/?lang=en"),
    ] {
        browser.go(&site.auth(path)).await;
        judge(&browser, page, &mut faults).await;
    }
    account(&site, &browser).await;
    for (page, path) in [
        ("signed in", "/"),
        ("sign-out", "/auth/signout"),
        ("account", "/auth/account?done=saved"),
        ("account in Arabic", "/auth/account?lang=ar"),
        ("e-mail", "/auth/account/email?lang=en"),
        ("phone", "/auth/account/phone"),
        ("app", "/auth/account/authenticator"),
        ("passkey", "/auth/account/passkey"),
        ("delete", "/auth/account/delete"),
    ] {
        browser.go(&site.auth(path)).await;
        judge(&browser, page, &mut faults).await;
    }
    browser.go(&site.auth("/auth/account/email")).await;
    browser.type_into("input[name=value]", "jane@new.example").await;
    browser.click("main button").await;
    browser.text("input[name=code]").await;
    judge(&browser, "code", &mut faults).await;
    browser.type_into("input[name=code]", "1").await;
    browser.click("main button").await;
    assert_eq!(browser.text("[role=alert]").await, "That is not the code. Type it once more, or ask for a new one.");
    judge(&browser, "wrong code", &mut faults).await;
    screen(&browser, 320, 800).await;
    for language in ["de", "fr", "es", "ja", "ar"] {
        for path in ["", "/authenticator", "/remove-authenticator", "/phone", "/delete"] {
            browser.go(&site.auth(&format!("/auth/account{path}?lang={language}"))).await;
            if is_wide(&browser).await {
                faults.push(format!("{path} in {language} is wider than 320 px"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_account_page_is_used_by_keyboard_alone() {
    let (site, browser) = visit().await;
    account(&site, &browser).await;
    // From the top, each press of the tab key goes to the next thing to do; all of them show that they have the focus.
    let mut reached = Vec::new();
    for _ in 0..40 {
        browser.press_tab().await;
        let run = "const e = document.activeElement, s = getComputedStyle(e); \
                   return [e.getAttribute('href') || e.name || e.innerText, s.outlineStyle, parseFloat(s.outlineWidth)]";
        let at: (String, String, f64) = browser.driver.execute(run, vec![]).await.unwrap().convert().unwrap();
        if reached.contains(&at.0) || at.0.contains("lang=en") {
            break;
        }
        assert!(at.1 != "none" && at.2 >= 2.0, "{at:?} does not show the focus");
        reached.push(at.0);
    }
    for wanted in
        ["name", "/auth/account/email", "/auth/account/authenticator", "/auth/account/passkey", "/auth/account/delete"]
    {
        assert!(reached.iter().any(|at| at == wanted), "{wanted} is not among {reached:?}");
    }
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn a_passkey_is_added_and_removed() {
    let (site, browser) = visit().await;
    browser.devtools("WebAuthn.enable", json!({})).await;
    let options = json!({
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
        "isUserVerified": true,
    });
    browser.devtools("WebAuthn.addVirtualAuthenticator", json!({ "options": options })).await;
    account(&site, &browser).await;
    browser.follow("Add a passkey").await;
    browser.click("main button").await;
    browser.arrives_at(&site.auth("/auth/account?done=saved")).await;
    browser.click("a[href*=remove-passkey]").await;
    browser.type_into("input[name=word]", "DELETE").await;
    browser.click("main button").await;
    browser.arrives_at(&site.auth("/auth/account?done=saved")).await;
    assert!(!browser.has("a[href*=remove-passkey]").await);
    browser.close().await;
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn nothing_typed_is_lost_without_a_word() {
    let (site, browser) = visit().await;
    account(&site, &browser).await;
    browser.go(&site.cms_url).await;
    // A form of the site's own, as an editor would have it.
    let form = "const f = document.createElement('form'); f.method = 'post'; f.action = '/nowhere'; f.id = 'text'; \
                f.innerHTML = '<textarea name=text>an hour of work</textarea><button>Save</button>'; document.body.append(f)";
    browser.driver.execute(form, vec![]).await.unwrap();
    site.rp.end_sessions_of(&sub_of(&site, "jane"), None).await.unwrap();
    browser.click("#text button").await;
    assert!(browser.text("[role=alert]").await.starts_with("You are signed out, so nothing was sent."));
    assert_eq!(browser.url().await, format!("{}/", site.cms_url));
    assert_eq!(browser.value("#text textarea").await, "an hour of work");
    // Signed in again in another tab, the same button sends it.
    let here = browser.driver.window().await.unwrap();
    browser.click("[role=alert] a").await;
    let tab = browser.other_tab(&here).await;
    browser.driver.switch_to_window(tab).await.unwrap();
    browser.is_asked_to_sign_in(&site).await;
    browser.sign_in("jane", PASSWORD).await;
    browser.arrives(|at| at.starts_with(&site.cms_url), "the CMS").await;
    browser.driver.close_window().await.unwrap();
    browser.driver.switch_to_window(here).await.unwrap();
    browser.click("#text button").await;
    browser.arrives_at(&site.cms("/nowhere")).await;
}

fn sub_of(site: &Site, user: &str) -> String {
    let mut sub = String::new();
    site.pool.edit_user(user, |user| sub.clone_from(&user.sub));
    sub
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn a_page_that_was_left_open_says_that_it_is_signed_out() {
    let (site, browser) = visit().await;
    account(&site, &browser).await;
    browser.go(&site.cms_url).await;
    site.rp.end_sessions_of(&sub_of(&site, "jane"), None).await.unwrap();
    browser.driver.execute("dispatchEvent(new Event('focus'))", vec![]).await.unwrap();
    assert!(browser.text("[role=alert]").await.starts_with("You are signed out."));
    browser.click("[role=alert] button").await;
    assert!(!browser.has("[role=alert]").await);
}

/// The part of the pixels that may differ: the date of today, the browser's version.
const TOLERANCE: f64 = 0.01;

#[tokio::test]
#[ignore = "needs chromium"]
async fn the_guide_shows_the_pages_as_they_are() {
    let (site, browser) = visit().await;
    emulate(&browser, "light", "none").await;
    let mut faults = vec![];
    browser.go(&site.auth("/auth/signin")).await;
    browser.is_asked_to_sign_in(&site).await;
    faults.push(shown(&browser, "hosted-ui", (600, 819)).await);
    let state = crate::support::param(&browser.url().await, "state").unwrap();
    browser.go(&site.auth(&format!("/auth/signin/callback?error=access_denied&state={state}"))).await;
    faults.push(shown(&browser, "cancelled", (760, 640)).await);
    browser.go(&site.auth("/?lang=en")).await;
    faults.push(shown(&browser, "front-page", (760, 560)).await);
    account(&site, &browser).await;
    faults.push(shown(&browser, "account", (760, 1_000)).await);
    browser.go(&site.cms_url).await;
    faults.push(shown(&browser, "demo-cms", (760, 617)).await);
    browser.go(&site.auth("/auth/signout?lang=ar")).await;
    faults.push(shown(&browser, "sign-out-arabic", (760, 560)).await);
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Compares the page at hand with the picture of the guide; with `AUTH_API_TEST_WRITE_PICTURES`, writes it.
async fn shown(browser: &Chromium, name: &str, (width, height): (u32, u32)) -> Option<String> {
    screen(browser, width, height).await;
    browser.devtools("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await;
    // No focus, whose cursor blinks, and a reference that is always the same.
    let still = "document.activeElement.blur(); \
                 document.querySelectorAll('.reference code').forEach(e => e.textContent = '0123456789abcdef')";
    browser.driver.execute(still, vec![]).await.unwrap();
    let picture = browser.screenshot().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide").join(format!("{name}.png"));
    if variable("AUTH_API_TEST_WRITE_PICTURES").is_some() {
        std::fs::write(&path, &picture).unwrap();
        return None;
    }
    let (now, then) = (pixels(&picture), pixels(&std::fs::read(&path).unwrap()));
    if now.0 != then.0 {
        return Some(format!("{name} is {:?} and was {:?}", now.0, then.0));
    }
    let differ = |(a, b): (&[u8], &[u8])| a.iter().zip(b).any(|(a, b)| a.abs_diff(*b) > 48);
    let different = now.1.chunks(3).zip(then.1.chunks(3)).filter(|pair| differ(*pair)).count();
    let part = different as f64 / (now.1.len() / 3) as f64;
    (part > TOLERANCE).then(|| {
        let kept: PathBuf = std::env::temp_dir().join(format!("auth-api-{name}.png"));
        std::fs::write(&kept, &picture).unwrap();
        format!("{name}: {part:.3} of the pixels differ; what the browser shows is {}", kept.display())
    })
}

/// Width and height, and red, green and blue of each pixel.
fn pixels(picture: &[u8]) -> ((u32, u32), Vec<u8>) {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(picture));
    decoder.set_transformations(png::Transformations::normalize_to_color8() | png::Transformations::STRIP_16);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut bytes).unwrap();
    let samples = info.color_type.samples();
    let rgb = bytes.chunks(samples).flat_map(|pixel| [pixel[0], pixel[samples.min(3) / 2], pixel[samples.min(3) - 1]]);
    ((info.width, info.height), rgb.collect())
}

#[tokio::test]
#[ignore = "needs chromium"]
async fn people_choose_a_language_at_the_foot_of_a_page() {
    let (site, browser) = visit().await;
    browser.go(&site.auth("/")).await;
    browser.follow("Deutsch").await;
    assert_eq!(browser.text("h1").await, "Anmelden");
    browser.go(&site.auth("/auth/signout")).await;
    assert_eq!(browser.text("h1").await, "Abmelden?");
    assert_eq!(browser.text("footer a[aria-current]").await, "Deutsch");
    browser.close().await;
}
