//! The account page: what people see and change there, and what nobody else can do for them.

use crate::dev_pool::second_factor::totp;
use crate::support::{Answer, Browser, Log, Site};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

const SCOPES: (&str, &str) = ("PROVIDER__SCOPES", "openid,email,profile,phone,aws.cognito.signin.user.admin");
const OFFERS: (&str, &str) = ("ACCOUNT__OFFERS", "email,phone_number,authenticator_app,passkeys,deletion");
const WRITABLE: (&str, &str) = ("ACCOUNT__WRITABLE", "name,custom:theme");

async fn site() -> Site {
    Site::with(&[SCOPES, OFFERS, WRITABLE]).await
}

async fn signed_in(site: &Site, user: &str) -> Browser {
    let browser = Browser::new();
    assert_eq!(browser.sign_in(site, user).await.status, 302);
    browser
}

/// The pool's time, which the service's clock is set by here.
fn now(site: &Site) -> i64 {
    i64::try_from(site.rp.clock.now().as_secs()).unwrap()
}

/// Opens a form, and sends it with what was typed.
async fn fill(browser: &Browser, site: &Site, form: &str, typed: &[(&str, &str)]) -> Answer {
    let page = browser.get(&site.auth(&format!("/auth/account/{form}"))).await;
    assert_eq!(page.status, 200, "{page:?}");
    send(browser, site, form, &page, typed).await
}

/// Sends the form of a page with its hidden fields.
async fn send(browser: &Browser, site: &Site, form: &str, page: &Answer, typed: &[(&str, &str)]) -> Answer {
    let form = form.split('?').next().unwrap();
    let mut fields: Vec<(String, String)> = Vec::new();
    for field in page.body.split("<input type=\"hidden\" ").skip(1) {
        let part = |name: &str| field.split(name).nth(1).unwrap().split('"').next().unwrap().replace("&#43;", "+");
        fields.push((part("name=\""), part("value=\"")));
    }
    fields.dedup();
    fields.extend(typed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    browser.post(&site.auth(&format!("/auth/account/{form}")), &fields).await
}

fn is_done(answer: &Answer) -> bool {
    answer.status == 303 && answer.location().ends_with("/auth/account?done=saved")
}

#[tokio::test]
async fn people_see_what_the_pool_and_the_store_have_of_them() {
    let site = site().await;
    let stranger = Browser::new().get(&site.auth("/auth/account")).await;
    assert_eq!(stranger.status, 302);
    assert!(stranger.location().contains("return_to=") && stranger.location().contains("%2Fauth%2Faccount"));
    let jane = signed_in(&site, "jane").await;
    let elsewhere = signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account")).await;
    assert_eq!((page.status, page.header("cache-control")), (200, Some("no-store")));
    for expected in [
        "Jane Doe",
        "jane@example.com",
        "name=\"custom:theme\"",
        "/auth/account/email",
        "/auth/account/phone",
        "/auth/account/authenticator\"",
        "/auth/account/passkey\"",
        "/auth/account/delete",
        "screen=password",
        "this device",
        "You sign in with an account of this site only.",
    ] {
        assert!(page.body.contains(expected), "{expected}: {}", page.body);
    }
    assert_eq!(page.body.matches("name=\"handle\"").count(), 1);
    // No token, of whatever kind, is on the page.
    let tokens = site.tokens(&jane).await;
    for token in [&tokens.access, &tokens.id] {
        assert!(!page.body.contains(secrecy::ExposeSecret::expose_secret(token)));
    }
    // Who comes from a provider has no password here, and nothing that the pool could change.
    let gary = signed_in(&site, "gary").await;
    let page = gary.get(&site.auth("/auth/account")).await.body;
    assert!(page.contains("You sign in with Google. Your password is kept there."), "{page}");
    assert!(!page.contains("/auth/account/email") && !page.contains("/auth/account/authenticator"), "{page}");
    // A picture is shown from where the pool says it is, and from nowhere else.
    let policy = |page: &Answer| page.header("content-security-policy").unwrap().to_owned();
    assert!(policy(&jane.get(&site.auth("/auth/account")).await).contains("img-src 'self';"));
    for (picture, allowed) in [
        ("https://pictures.example/jane.png?x=1", "img-src 'self' https://pictures.example;"),
        ("javascript:alert(1)", "img-src 'self';"),
        ("https://*/x", "img-src 'self';"),
    ] {
        site.pool.edit_user("jane", |user| drop(user.attributes.insert("picture".into(), picture.into())));
        let page = jane.get(&site.auth("/auth/account")).await;
        assert!(policy(&page).contains(allowed), "{picture}: {}", policy(&page));
    }
    // A device is signed out from here.
    let page = jane.get(&site.auth("/auth/account")).await;
    let handle = page.between("name=\"handle\" value=\"", "\"");
    let token = page.between("name=\"token\" value=\"", "\"");
    let ended = jane.post(&site.auth("/auth/account/session"), &[("token", &token), ("handle", &handle)]).await;
    assert!(ended.status == 303 && ended.location().ends_with("?done=session"), "{ended:?}");
    assert_eq!((elsewhere.validate(&site).await.status, jane.validate(&site).await.status), (401, 200));
}

#[tokio::test]
async fn a_name_is_changed_and_what_is_not_writable_is_not() {
    let site = site().await;
    let jane = signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account")).await;
    let token = page.between("name=\"token\" value=\"", "\"");
    let form =
        [("token", token.as_str()), ("name", "Jane Roe"), ("custom:legacy_id", "1"), ("email", "root@example.com")];
    let saved = jane.post(&site.auth("/auth/account/profile"), &form).await;
    assert!(is_done(&saved), "{saved:?}");
    let known = jane.validate(&site).await.json();
    assert_eq!((&known["name"], &known["email"]), (&json!("Jane Roe"), &json!("jane@example.com")));
    let user = jane.get(&site.auth("/auth/profile")).await.json();
    assert_eq!(user["attributes"]["custom:legacy_id"], "42");
    let page = jane.get(&site.auth("/auth/account?done=saved")).await.body;
    assert!(page.contains("Your changes are saved.") && page.contains("value=\"Jane Roe\""), "{page}");
    assert!(!jane.get(&site.auth("/auth/account?done=%3Cb%3E")).await.body.contains("<b>"));
}

#[tokio::test]
async fn a_new_address_counts_with_the_code_that_was_sent_there() {
    let site = site().await;
    let jane = signed_in(&site, "jane").await;
    let asked = fill(&jane, &site, "email", &[("value", " jane@new.example ")]).await;
    assert_eq!(asked.status, 200);
    assert!(asked.body.contains("j***@n***") && asked.body.contains("one-time-code"), "{}", asked.body);
    // Until then the old one stays.
    assert_eq!(jane.get(&site.auth("/auth/profile")).await.json()["attributes"]["email"], "jane@example.com");
    let wrong = send(&jane, &site, "email", &asked, &[("code", "000000x")]).await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("That is not the code."), "{}", wrong.body);
    assert!(wrong.body.contains("<a class=\"button quiet\" href=\"/auth/account/email\">Get a new code</a>"));
    let code = site.pool.last_code_for("jane@new.example").unwrap();
    let done = send(&jane, &site, "email", &wrong, &[("code", &format!(" {code} "))]).await;
    assert!(is_done(&done), "{done:?}");
    let known = jane.validate(&site).await.json();
    assert_eq!((&known["email"], &known["email_verified"]), (&json!("jane@new.example"), &json!(true)));
    // Somebody else's is not taken over.
    let asked = fill(&jane, &site, "email", &[("value", "erin@example.com")]).await;
    let code = site.pool.last_code_for("erin@example.com").unwrap();
    let taken = send(&jane, &site, "email", &asked, &[("code", &code)]).await;
    assert!(taken.status == 400 && taken.body.contains("Another account has this address"), "{}", taken.body);
    // A number may be typed as people write it.
    let asked = fill(&jane, &site, "phone", &[("value", "+44 (20) 7946-0018")]).await;
    assert!(asked.body.contains("0018"), "{}", asked.body);
    let code = site.pool.last_code_for("+442079460018").unwrap();
    assert!(is_done(&send(&jane, &site, "phone", &asked, &[("code", &code)]).await));
    assert!(jane.get(&site.auth("/auth/account")).await.body.contains("+442079460018"));
}

#[tokio::test]
async fn an_authenticator_app_is_set_up_asked_for_and_removed() {
    let site = site().await;
    let jane = signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account/authenticator")).await;
    assert!(page.body.contains("<svg class=\"qr\""), "{}", page.body);
    let secret = page.between("name=\"secret\" value=\"", "\"");
    assert!(page.body.contains("ask the people who run this site to switch it off"), "{}", page.body);
    let wrong = send(&jane, &site, "authenticator", &page, &[("code", "12")]).await;
    assert!(wrong.status == 400 && wrong.body.contains(&secret), "{}", wrong.body);
    let done = send(&jane, &site, "authenticator", &wrong, &[("code", &totp(&secret, now(&site)))]).await;
    assert!(is_done(&done), "{done:?}");
    assert!(jane.get(&site.auth("/auth/account")).await.body.contains("Signing in needs a code from your app."));
    // The next sign-in asks for it.
    let callback = Browser::new().to_callback(&site, "", "jane").await;
    assert!(!callback.contains("/auth/signin/callback"), "{callback}");
    let refused = fill(&jane, &site, "remove-authenticator", &[("word", "yes")]).await;
    assert!(refused.status == 400 && refused.body.contains("That is not the word."), "{}", refused.body);
    assert!(is_done(&fill(&jane, &site, "remove-authenticator", &[("word", " delete ")]).await));
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302);
}

#[tokio::test]
async fn an_account_is_exported_without_a_token_and_deleted_for_good() {
    let log = Log::capture();
    let site = site().await;
    let (jane, elsewhere) = (signed_in(&site, "jane").await, signed_in(&site, "jane").await);
    let export = jane.get(&site.auth("/auth/account/export")).await;
    assert_eq!(export.header("content-disposition"), Some("attachment; filename=\"account.json\""));
    let json = export.json();
    assert_eq!(json["user"]["attributes"]["email"], "jane@example.com");
    assert_eq!(json["sessions"].as_array().unwrap().len(), 2);
    let tokens = site.tokens(&jane).await;
    assert!(!export.body.contains(secrecy::ExposeSecret::expose_secret(&tokens.access)));
    assert!(!export.body.contains("eyJ"), "{}", export.body);
    assert_eq!(Browser::new().get(&site.auth("/auth/account/export")).await.status, 401);
    // The pool is asked first. If it refuses, nothing has ended.
    site.pool.fault_once(PoolEndpoint::Api, Fault::Disconnect);
    let page = jane.get(&site.auth("/auth/account/delete")).await;
    let failed = send(&jane, &site, "delete", &page, &[("word", "DELETE")]).await;
    assert!(failed.status >= 500, "{failed:?}");
    assert_eq!((jane.validate(&site).await.status, elsewhere.validate(&site).await.status), (200, 200));
    let refused = send(&jane, &site, "delete", &page, &[("word", "")]).await;
    assert!(refused.status == 400 && refused.body.contains("That is not the word."));
    let deleted = send(&jane, &site, "delete", &page, &[("word", "DELETE")]).await;
    assert!(deleted.status == 200 && deleted.body.contains("Your account is deleted"), "{deleted:?}");
    assert!(deleted.set_cookies("auth=;").len() == 1, "{deleted:?}");
    assert_eq!((jane.validate(&site).await.status, elsewhere.validate(&site).await.status), (401, 401));
    assert_eq!(site.pool.live_refresh_tokens(), 0);
    assert!(log.text().contains("account_deleted"), "{}", log.text());
}

#[tokio::test]
async fn what_is_dangerous_needs_a_recent_sign_in() {
    let site = site().await;
    let jane = signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account/delete")).await;
    site.clock.shift(301);
    for form in ["email", "phone", "authenticator", "remove-authenticator", "passkey", "remove-passkey", "delete"] {
        let asked = jane.get(&site.auth(&format!("/auth/account/{form}"))).await;
        assert_eq!(asked.status, 302, "{form}");
        let to = asked.location();
        assert!(to.contains("max_age=300") && to.contains(&format!("%2Fauth%2Faccount%2F{form}")), "{to}");
    }
    let late = send(&jane, &site, "delete", &page, &[("word", "DELETE")]).await;
    assert_eq!(late.status, 401);
    assert!(late.body.contains("Please sign in once more") && late.body.contains("max_age=300"), "{}", late.body);
    assert_eq!(jane.validate(&site).await.status, 200);
    // The page itself is open.
    assert_eq!(jane.get(&site.auth("/auth/account")).await.status, 200);
}

#[tokio::test]
async fn nobody_else_sends_a_form() {
    let site = site().await;
    let (jane, erin) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await);
    let page = jane.get(&site.auth("/auth/account/delete")).await;
    let token = page.between("name=\"token\" value=\"", "\"");
    let hers = erin.get(&site.auth("/auth/account/delete")).await.between("name=\"token\" value=\"", "\"");
    let url = site.auth("/auth/account/delete");
    let form = |token: &str| vec![("token".to_owned(), token.to_owned()), ("word".to_owned(), "DELETE".to_owned())];
    let origins: [&[(&str, &str)]; 5] = [
        &[],
        &[("origin", "https://evil.example")],
        &[("origin", &site.cms_url)],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
    ];
    for headers in origins {
        let shape = |r: reqwest::RequestBuilder| {
            headers.iter().fold(r, |r, (name, value)| r.header(*name, *value)).form(&form(&token))
        };
        let refused = jane.send(Method::POST, &url, shape).await;
        assert_eq!(refused.status, 403, "{headers:?}");
    }
    for wrong in ["", "x", &hers] {
        let refused = jane.post(&url, &[("token", wrong), ("word", "DELETE")]).await;
        assert!(refused.status == 400 && refused.body.contains("Please enter it once more"), "{refused:?}");
        let refused = jane.post(&site.auth("/auth/account/profile"), &[("token", wrong), ("name", "x")]).await;
        assert_eq!(refused.status, 403);
    }
    assert_eq!((jane.validate(&site).await.status, erin.validate(&site).await.status), (200, 200));
    for path in ["/auth/account/nothing", "/auth/account/profile"] {
        assert_eq!(jane.get(&site.auth(path)).await.status, 404, "{path}");
    }
    let body = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-origin").body("{}");
    assert_eq!(jane.send(Method::POST, &url, body).await.status, 400);
}

#[tokio::test]
async fn what_is_not_offered_is_not_shown_and_not_done() {
    let site = Site::with(&[SCOPES]).await;
    let jane = signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account")).await.body;
    for absent in
        ["/auth/account/email", "/auth/account/authenticator", "passkey", "/auth/account/delete", "name=\"name\""]
    {
        assert!(!page.contains(absent), "{absent}: {page}");
    }
    signed_in(&site, "jane").await;
    let page = jane.get(&site.auth("/auth/account")).await;
    for form in ["email", "phone", "authenticator", "remove-authenticator", "passkey", "remove-passkey", "delete"] {
        assert_eq!(jane.get(&site.auth(&format!("/auth/account/{form}"))).await.status, 404, "{form}");
        let typed = [("value", "jane@new.example"), ("word", "DELETE"), ("credential", "{}")];
        assert_eq!(send(&jane, &site, form, &page, &typed).await.status, 404, "{form}");
    }
    assert_eq!(jane.validate(&site).await.status, 200);
    // Without the scope the pool cannot be asked; sessions, export and the provider's own page are there.
    let page = "https://keycloak.example.com/realms/main/account";
    let site = Site::with(&[OFFERS, ("ACCOUNT__PROVIDER_PAGE", page)]).await;
    let jane = signed_in(&site, "jane").await;
    let shown = jane.get(&site.auth("/auth/account")).await.body;
    assert!(shown.contains(page) && shown.contains("jane@example.com") && shown.contains("/auth/account/export"));
    assert!(!shown.contains("/auth/account/delete") && !shown.contains("screen=password"), "{shown}");
    assert_eq!(jane.get(&site.auth("/auth/account/export")).await.json()["user"], json!(null));
}

#[tokio::test]
async fn passkeys_that_the_pool_does_not_have_take_nothing_else_of_the_page_away() {
    let site = site().await;
    // Who signs in with Google has none in the pool.
    let gary = signed_in(&site, "gary").await.get(&site.auth("/auth/account")).await;
    assert_eq!(gary.status, 200);
    assert!(gary.body.contains("You sign in with Google.") && !gary.body.contains("passkey"), "{}", gary.body);
    let jane = signed_in(&site, "jane").await;
    site.pool.fault_once(PoolEndpoint::Api, Fault::Delay(Duration::ZERO));
    let body = json!({ "__type": "WebAuthnNotEnabledException", "message": "not enabled" }).to_string();
    site.pool.fault_once(PoolEndpoint::Api, Fault::Status { status: 400, content_type: "application/json", body });
    let page = jane.get(&site.auth("/auth/account")).await;
    assert!(page.status == 200 && !page.body.contains("passkey"), "{}", page.body);
    assert!(page.body.contains("/auth/account/authenticator"), "{}", page.body);
    assert!(jane.get(&site.auth("/auth/account")).await.body.contains("/auth/account/passkey"));
}

#[tokio::test]
async fn a_new_password_is_set_at_the_provider_and_leads_back() {
    let site = site().await;
    let jane = signed_in(&site, "jane").await;
    let link = jane.get(&site.auth("/auth/account")).await.between("href=\"/auth/signin?screen=password", "\"");
    let sent = jane.get(&site.auth(&format!("/auth/signin?screen=password{}", link.replace("&#38;", "&")))).await;
    assert!(sent.location().starts_with(&format!("{}/forgotPassword?", site.pool.base_url())), "{}", sent.location());
    assert_eq!(jane.get(&sent.location()).await.status, 200);
}
