//! Signing out: over everywhere, and not signed straight back in.

use crate::support::{Browser, Log, Site, param, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use reqwest::Method;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_user_signs_out_everywhere_and_comes_back_where_she_wanted() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    assert_eq!(site.pool.live_refresh_tokens(), 1);
    let home = format!("{}/", site.cms_url);
    let out = jane.post(&site.auth("/auth/signout"), &[("return_to", &home)]).await;
    assert_eq!(out.status, 303);
    let removal = out.set_cookies("auth=");
    assert_eq!(removal.len(), 1, "{removal:?}");
    for attribute in ["auth=", "HttpOnly", "SameSite=Lax", "Path=/", "Domain=app.localhost", "Max-Age=0"] {
        assert!(removal[0].split("; ").any(|a| a == attribute), "{attribute} in {}", removal[0]);
    }
    assert_eq!(site.pool.live_refresh_tokens(), 0, "revoked at the provider");
    let logout = out.location();
    assert!(logout.starts_with(&format!("{}/logout?", site.pool.base_url())));
    assert_eq!(param(&logout, "client_id").as_deref(), Some("dev-web-client"));
    let back = jane.get(&logout).await.location();
    assert_eq!(back, site.auth("/auth/signout/callback"));
    let last = jane.get(&back).await;
    assert_eq!((last.status, last.location()), (302, home));
    assert_eq!(jane.validate(&site).await.status, 401);
    let again = jane.get(&site.auth("/auth/signin")).await.location();
    assert!(jane.get(&again).await.location().contains("/login?"), "the hosted UI asks for the password again");
    let page = jane.get(&back).await;
    assert!(page.status == 200 && page.body.contains("You are signed out"), "once; then a page");
}

#[tokio::test]
async fn a_copied_cookie_is_dead_after_the_sign_out() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let copied = jane.cookies(&site.cms_url);
    jane.post(&site.auth("/auth/signout"), &[]).await;
    let thief = Browser::new();
    thief.plant(&site.cms_url, &format!("{copied}; Domain=app.localhost"));
    assert_eq!(thief.validate(&site).await.status, 401);
    assert_eq!(thief.post(&site.auth("/refresh?force=true"), &[]).await.status, 401);
}

#[tokio::test]
async fn an_image_tag_cannot_sign_anybody_out_but_our_own_pages_can() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let url = site.auth("/auth/signout");
    for fetch_site in [None, Some("cross-site"), Some("none"), Some("nonsense")] {
        let shape = |r: reqwest::RequestBuilder| match fetch_site {
            Some(value) => r.header("sec-fetch-site", value),
            None => r,
        };
        let page = jane.send(Method::GET, &url, shape).await;
        assert_eq!(page.status, 200, "{fetch_site:?}");
        assert!(
            page.body.contains("Jane Doe")
                && page.body.contains("<form method=\"post\"")
                && page.body.matches("<button").count() == 1
        );
        assert!(page.headers.get("set-cookie").is_none());
    }
    for (case, name, value) in [
        ("a form of a stranger's page", "sec-fetch-site", "cross-site"),
        ("the same in an old browser", "origin", "https://evil.test"),
    ] {
        let refused = jane.send(Method::POST, &url, |r| r.header(name, value)).await;
        assert_eq!((refused.status, refused.set_cookies("auth=").len()), (403, 0), "{case}");
    }
    assert_eq!(jane.validate(&site).await.status, 200);
    for (name, value) in [("sec-fetch-dest", "image"), ("sec-fetch-dest", "iframe"), ("sec-purpose", "prefetch")] {
        let shape = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-site").header(name, value);
        assert_eq!(
            jane.send(Method::GET, &url, shape).await.status,
            200,
            "{value}: a picture in a comment on our site"
        );
    }
    assert_eq!(jane.validate(&site).await.status, 200);
    let ours = jane.send(Method::GET, &url, |r| r.header("sec-fetch-site", "same-site")).await;
    assert_eq!(ours.status, 303);
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn only_our_own_pages_sign_anybody_out_everywhere() {
    let site = Site::with(&[("RETURN_TO__ALLOW", "cms.app.localhost")]).await;
    let (jane, phone) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    phone.sign_in(&site, "jane").await;
    let sibling = "http://stranger.app.localhost:4000";
    let own = site.auth_url.as_str();
    let cms = site.cms_url.as_str();
    let everywhere = site.auth("/auth/signout?everywhere=true");
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-site"), ("origin", sibling)],
        &[("sec-fetch-site", "same-site"), ("origin", cms)],
        &[("sec-fetch-site", "same-site"), ("origin", "null")],
        &[("sec-fetch-site", "none")],
        &[("origin", cms)],
        &[("origin", "null")],
        &[("sec-fetch-site", "same-origin"), ("origin", sibling)],
    ] {
        let shape = |r: reqwest::RequestBuilder| headers.iter().fold(r, |r, (name, value)| r.header(*name, *value));
        let refused = jane.send(Method::POST, &everywhere, shape).await;
        assert_eq!((refused.status, refused.set_cookies("auth=").len()), (403, 0), "{headers:?}");
        let in_form = jane.send(Method::POST, &site.auth("/auth/signout"), |r| shape(r).body("everywhere=true")).await;
        assert_eq!(in_form.status, 403, "{headers:?}");
    }
    // A sibling that nobody allowed ends nothing at all.
    for headers in [
        &[("sec-fetch-site", "same-site"), ("origin", sibling)][..],
        &[("sec-fetch-site", "same-site"), ("origin", "null")],
    ] {
        let shape = |r: reqwest::RequestBuilder| headers.iter().fold(r, |r, (name, value)| r.header(*name, *value));
        assert_eq!(jane.send(Method::POST, &site.auth("/auth/signout"), shape).await.status, 403, "{headers:?}");
    }
    assert_eq!((jane.validate(&site).await.status, phone.validate(&site).await.status), (200, 200));
    let tablet = Browser::new();
    tablet.sign_in(&site, "jane").await;
    let of_a_sibling = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-site").header("origin", cms);
    assert_eq!(tablet.send(Method::POST, &site.auth("/auth/signout"), of_a_sibling).await.status, 303);
    let ours = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-origin").header("origin", "null");
    assert_eq!(jane.send(Method::POST, &everywhere, ours).await.status, 303);
    assert_eq!((jane.validate(&site).await.status, phone.validate(&site).await.status), (401, 401));
    site.pass(61);
    jane.sign_in(&site, "jane").await;
    assert_eq!(jane.send(Method::POST, &everywhere, |r| r.header("origin", own)).await.status, 303, "an older browser");
}

#[tokio::test]
async fn who_is_not_signed_in_is_sent_through_the_providers_logout_all_the_same() {
    let site = Site::start().await;
    let out = Browser::new().post(&site.auth("/auth/signout"), &[]).await;
    assert_eq!(out.status, 303);
    assert!(out.location().contains("/logout?client_id="));
}

#[tokio::test]
async fn a_provider_that_is_away_does_not_keep_anybody_signed_in() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    for (case, fault) in [("closed", Fault::Disconnect), ("silent", Fault::Stall), ("broken", Fault::Html)] {
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        let log = Log::capture();
        site.pool.fault(PoolEndpoint::Revoke, fault);
        let started = Instant::now();
        let out = jane.post(&site.auth("/auth/signout"), &[]).await;
        assert_eq!(out.status, 303, "{case}");
        assert!(started.elapsed() < Duration::from_secs(3), "{case}: time-boxed");
        assert_eq!(jane.validate(&site).await.status, 401, "{case}");
        // An HTML 200 is a 200 (RFC 7009 §2.2); the others are worth a line.
        assert_eq!(log.text().contains("refresh token revocation "), case != "broken", "{case}: {}", log.text());
        site.pool.clear_faults();
        site.clock.shift(61); // several sign-ins in a minute would look like a loop
    }
}

#[tokio::test]
async fn all_sessions_that_a_browser_shows_are_ended() {
    let site = Site::start().await;
    let (jane, mallory, erin) = (Browser::new(), Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    mallory.sign_in(&site, "jane").await;
    erin.sign_in(&site, "erin").await;
    // A sibling planted a session of its own before hers.
    let both = format!("{}; {}", mallory.cookies(&site.cms_url), jane.cookies(&site.cms_url));
    let out = Browser::new().send(Method::POST, &site.auth("/auth/signout"), |r| r.header("cookie", both)).await;
    assert_eq!(out.status, 303);
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(mallory.validate(&site).await.status, 401);
    assert_eq!(erin.validate(&site).await.status, 200, "nobody else's");
    assert_eq!(site.pool.live_refresh_tokens(), 1);
    assert_eq!(site.metric("auth_api_sign_outs_total").await, 2);
}

#[tokio::test]
async fn a_browser_that_hangs_up_is_signed_out_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let site = Site::with(&[("SESSION__STORE", &format!("redb:{}", folder.path().join("s.redb").display()))]).await;
    for _ in 0..10 {
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        assert_eq!(jane.validate(&site).await.status, 200, "the session is at hand in memory");
        let cookie = jane.cookies(&site.cms_url);
        let addr = site.auth_url.replace("http://auth-api.app.localhost", "127.0.0.1");
        let mut raw = tokio::net::TcpStream::connect(addr).await.unwrap();
        let request =
            format!("POST /auth/signout HTTP/1.1\r\nhost: x\r\ncookie: {cookie}\r\ncontent-length: 0\r\n\r\n");
        raw.write_all(request.as_bytes()).await.unwrap();
        raw.set_zero_linger().unwrap();
        drop(raw);
        // The request may have been dropped unread; then she is not signed out at all, and asks again.
        let begun = site.metric("auth_api_sign_outs_total").await;
        if begun > 0 {
            until("the session is over", async || jane.validate(&site).await.status == 401).await;
        }
        site.clock.shift(61);
    }
}

#[tokio::test]
async fn a_sign_out_forgets_where_an_earlier_one_was_going() {
    let site = Site::start().await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    jane.post(&site.auth("/auth/signout"), &[("return_to", &site.cms("/abandoned"))]).await;
    jane.post(&site.auth("/auth/signout"), &[]).await;
    let page = jane.get(&site.auth("/auth/signout/callback")).await;
    assert_eq!(page.status, 200, "{:?}", page.header("location"));
}
