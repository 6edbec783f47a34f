//! Renewing tokens without ever signing anybody out.

use crate::support::{Answer, Browser, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, Rotation, Signature, UnsignedJwt};
use auth_api::domain::clock::Clock;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use std::time::Duration;

async fn refresh(site: &Site, browser: &Browser, query: &str) -> Answer {
    browser.post(&site.auth(&format!("/refresh{query}")), &[]).await
}

async fn signed_in(configuration: &[(&str, &str)], user: &str) -> (Site, Browser) {
    let site = Site::with(configuration).await;
    let browser = Browser::new();
    browser.sign_in(&site, user).await;
    (site, browser)
}

fn rotate(site: &Site, grace_seconds: i64) {
    site.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds });
}

#[tokio::test]
async fn fresh_tokens_are_left_alone_until_the_margin_or_force() {
    let (site, jane) = signed_in(&[], "jane").await;
    let before = jane.validate(&site).await.json();
    assert_eq!(refresh(&site, &jane, "").await.json(), before);
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 0);
    site.pass(60);
    let forced = refresh(&site, &jane, "?force=true").await;
    assert_eq!(forced.status, 200);
    let [earlier, later] = [&before, &forced.json()].map(|answer| answer["expires_at"].as_u64().unwrap());
    assert!((60..3_600).contains(&(later - earlier)), "from {earlier} to {later}: a second may have passed, too");
    assert_eq!(forced.json()["session_expires_at"], before["session_expires_at"], "no renewal moves the end");
    site.pass(3_600 - 299);
    assert_eq!(refresh(&site, &jane, "").await.status, 200);
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 2);
    assert!(forced.headers.get("set-cookie").is_none());
    assert_eq!(forced.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_renewal_brings_what_changed_at_the_provider() {
    let (site, jane) = signed_in(&[], "jane").await;
    site.pool.edit_user("jane", |jane| jane.groups.push("editors".into()));
    assert_eq!(jane.get(&site.auth("/validate?group=editors")).await.status, 403);
    assert_eq!(refresh(&site, &jane, "?force=true").await.json()["groups"], json!(["editors"]));
    assert_eq!(jane.get(&site.auth("/validate?group=editors")).await.status, 200);
}

#[tokio::test]
async fn a_hundred_at_once_are_one_call_and_all_get_its_result() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    site.pass(3_590);
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(200)));
    let answers = join_all((0..100).map(|_| refresh(&site, &jane, ""))).await;
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1);
    assert!(answers.iter().all(|a| a.status == 200 && a.body == answers[0].body), "losers get the winner's result");
    assert!(answers[0].json()["expires_at"].as_u64() > Some(0));
}

#[tokio::test]
async fn rotated_refresh_tokens_are_followed_and_unrotated_ones_kept() {
    let (site, jane) = signed_in(&[], "jane").await;
    for _ in 0..3 {
        assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200);
        site.pass(5);
    }
    rotate(&site, 0);
    for _ in 0..3 {
        assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200);
        site.pass(5);
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 6);
}

#[tokio::test]
async fn what_was_renewed_a_moment_ago_is_good_for_everybody() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    site.pass(60);
    let first = refresh(&site, &jane, "?force=true").await;
    for _ in 0..10 {
        assert_eq!(refresh(&site, &jane, "?force=true").await.body, first.body);
    }
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1);
    site.pass(5);
    assert_ne!(refresh(&site, &jane, "?force=true").await.body, first.body);
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 2);
}

#[tokio::test]
async fn the_providers_invalid_grant_ends_the_session() {
    let (site, jane) = signed_in(&[], "jane").await;
    site.pool.sign_out_user("jane");
    assert_eq!(jane.validate(&site).await.status, 200);
    let ended = refresh(&site, &jane, "?force=true").await;
    assert_eq!((ended.status, ended.problem().as_str()), (401, "session-ended"));
    assert_eq!(ended.json()["signin_url"], site.auth("/auth/signin"));
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(refresh(&site, &jane, "?force=true").await.problem(), "credentials-not-valid");
    assert_eq!(site.metric("auth_api_refreshes_total{outcome=\"ended_by_provider\"}").await, 1);
}

#[tokio::test]
async fn a_provider_that_cannot_be_reached_ends_nothing() {
    let (site, first) = signed_in(&[("PROVIDER__TIMEOUT", "1s")], "jane").await;
    let html = |status| Fault::Status { status, content_type: "text/html", body: "<h1>invalid_grant</h1>".into() };
    let oauth = |error: &str| Fault::Status {
        status: 400,
        content_type: "application/json",
        body: json!({ "error": error }).to_string(),
    };
    let mut late = Vec::new();
    for (case, fault) in [
        ("a closed connection", Fault::Disconnect),
        ("silence", Fault::Stall),
        ("500", html(500)),
        ("an HTML 400 that says invalid_grant", html(400)),
        ("an HTML 200", Fault::Html),
        ("cut JSON", Fault::Truncate),
        ("a redirect", Fault::Redirect { status: 307, location: "http://127.0.0.1:1/".into() }),
        ("invalid_client", oauth("invalid_client")),
        ("unauthorized_client", oauth("unauthorized_client")),
        ("temporarily_unavailable", oauth("temporarily_unavailable")),
        // The last, since it gives everybody a rest.
        ("429", html(429)),
    ] {
        site.pool.fault(PoolEndpoint::TokenRefresh, fault);
        let (jane, asked) = (Browser::new(), site.pool.count(PoolEndpoint::TokenRefresh));
        jane.sign_in(&site, "jane").await;
        for _ in 0..3 {
            let answer = refresh(&site, &jane, "?force=true").await;
            assert_eq!((answer.status, answer.problem().as_str()), (503, "provider-unavailable"), "{case}");
            assert!(answer.header("retry-after").is_some(), "{case}");
        }
        assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), asked + 1, "{case}: nobody hammers");
        assert_eq!(jane.validate(&site).await.status, 200, "{case}");
        late.push(jane);
    }
    site.pool.clear_faults();
    for jane in late.iter().chain([&first]) {
        until("it can be renewed again", async || refresh(&site, jane, "?force=true").await.status == 200).await;
    }
}

#[tokio::test]
async fn an_answer_that_never_came_signs_nobody_out() {
    let (site, jane) = signed_in(&[("PROVIDER__TIMEOUT", "1s")], "jane").await;
    let spent = async |grace: i64| {
        rotate(&site, grace);
        site.pass(10);
        site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Truncate);
        assert_eq!(refresh(&site, &jane, "?force=true").await.status, 503, "the new token is lost");
    };
    spent(60).await;
    until("in the grace period the old token works once more", async || {
        refresh(&site, &jane, "?force=true").await.status == 200
    })
    .await;
    let renewed = jane.validate(&site).await.json();
    spent(0).await;
    until("without one, the session goes on as it is", async || {
        refresh(&site, &jane, "?force=true").await.status == 200
    })
    .await;
    let kept = jane.validate(&site).await.json();
    assert_eq!(kept["expires_at"], renewed["expires_at"], "it was not renewed");
    let left = kept["session_expires_at"].as_u64().unwrap() - site.clock.now().as_secs();
    assert!(left <= 86_400, "and ends within a day: {left}");
    site.pass(86_400);
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_clock_that_is_a_minute_off_signs_nobody_out() {
    for skew in [-60, 60] {
        let (site, jane) = signed_in(&[], "jane").await;
        site.clock.shift(skew);
        assert_eq!(jane.validate(&site).await.status, 200, "{skew}");
        assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200, "{skew}");
        let erin = Browser::new();
        assert_eq!(erin.sign_in(&site, "erin").await.status, 302, "{skew}");
        let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
        let bearer = Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await;
        assert_eq!(bearer.status, 200, "{skew}");
        assert_eq!(erin.post(&site.auth("/auth/signout"), &[]).await.status, 303, "{skew}");
        assert_eq!((erin.validate(&site).await.status, jane.validate(&site).await.status), (401, 200), "{skew}");
    }
}

#[tokio::test]
async fn tokens_are_renewed_before_they_run_out_and_nobody_waits() {
    let (site, jane) = signed_in(&[], "jane").await;
    let idle = Browser::new();
    idle.sign_in(&site, "erin").await;
    for at in [jane.validate(&site).await, idle.validate(&site).await] {
        assert_eq!(at.status, 200);
    }
    site.pass(3_600 * 74 / 100);
    site.rp.renew_ahead().await;
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 0, "not yet due");
    site.pass(3_600 * 17 / 100);
    let before = jane.validate(&site).await.json();
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 0, "never inside a validate");
    until("hers is renewed in the background", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
    until("and known", async || jane.validate(&site).await.json()["expires_at"] != before["expires_at"]).await;
    assert_eq!(site.pool.count(PoolEndpoint::TokenRefresh), 1, "and not the one that nobody uses");
}

#[tokio::test]
async fn while_the_provider_is_away_the_background_does_not_hammer_it() {
    let (site, jane) = signed_in(&[], "jane").await;
    let browsers: Vec<_> = (0..30).map(|_| Browser::new()).collect();
    for browser in &browsers {
        browser.sign_in(&site, "erin").await;
    }
    site.pass(3_500);
    site.pool.fault(PoolEndpoint::TokenRefresh, Fault::Disconnect);
    for browser in browsers.iter().chain([&jane]) {
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    for _ in 0..50 {
        site.rp.renew_ahead().await;
    }
    let asked = site.pool.count(PoolEndpoint::TokenRefresh);
    assert!((1..=16).contains(&asked), "{asked}");
}

#[tokio::test]
async fn a_renewed_token_that_is_not_right_changes_nothing() {
    let (site, _) = signed_in(&[], "jane").await;
    type Tamper = fn(&mut UnsignedJwt);
    let tamper: [(&str, Tamper); 5] = [
        ("another user", |d| drop(d.claims.insert("sub".into(), json!("mallory")))),
        ("another nonce", |d| drop(d.claims.insert("nonce".into(), json!("another-nonce-00000000")))),
        ("another audience", |d| drop(d.claims.insert("aud".into(), json!("other")))),
        ("expired", |d| drop(d.claims.insert("exp".into(), json!(1)))),
        ("a forged one", |d| d.signature = Signature::OtherKey),
    ];
    for (case, tamper) in tamper {
        site.pool.clear_tampering();
        let jane = Browser::new();
        jane.sign_in(&site, "jane").await;
        let before = jane.validate(&site).await.body;
        site.pool.tamper_id_token(tamper);
        assert_eq!(refresh(&site, &jane, "?force=true").await.status, 503, "{case}");
        assert_eq!(jane.validate(&site).await.body, before, "{case}");
    }
    site.pool.clear_tampering();
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    // Both tokens of another user: consistent, and still not the one who signed in.
    site.pool.tamper_id_token(|d| {
        d.claims.insert("sub".into(), json!("mallory"));
        d.claims.remove("at_hash");
    });
    site.pool.tamper_access_token(|d| drop(d.claims.insert("sub".into(), json!("mallory"))));
    assert_eq!(refresh(&site, &jane, "?force=true").await.status, 503);
    site.pool.clear_tampering();
    until("it can be renewed again", async || refresh(&site, &jane, "?force=true").await.status == 200).await;
}

#[tokio::test]
async fn a_rotated_token_is_kept_though_what_came_with_it_cannot_be_judged() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    site.pool.rotate_keys();
    site.pool.fault(PoolEndpoint::Jwks, Fault::Disconnect);
    assert_eq!(refresh(&site, &jane, "?force=true").await.status, 503);
    assert_eq!(jane.validate(&site).await.status, 200);
    site.pool.clear_faults();
    site.clock.shift(11);
    assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200, "the old refresh token is dead by now");
}

#[tokio::test]
async fn a_renewal_that_ends_after_a_sign_out_revives_nothing_and_revokes_what_it_got() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    let cookies = jane.cookies(&site.cms_url);
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(400)));
    let (renewed, out) = tokio::join!(refresh(&site, &jane, "?force=true"), async {
        until("the renewal reaches the pool", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        // The pool forgets the family of what is revoked; the renewal must be past that for the race to be real.
        site.pool.fault_once(
            PoolEndpoint::Revoke,
            Fault::Status { status: 200, content_type: "text/plain", body: String::new() },
        );
        Browser::new().send(Method::POST, &site.auth("/auth/signout"), |r| r.header("cookie", &cookies)).await
    });
    assert_eq!(out.status, 303);
    assert_eq!((renewed.status, renewed.problem().as_str()), (401, "credentials-not-valid"));
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(site.pool.live_refresh_tokens(), 0, "nothing is left that could sign her in again");
}

#[tokio::test]
async fn a_rotated_token_that_cannot_be_judged_does_not_outlive_a_sign_out() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    let cookies = jane.cookies(&site.cms_url);
    site.pool.rotate_keys();
    site.pool.fault(PoolEndpoint::Jwks, Fault::Disconnect);
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(400)));
    let (renewed, out) = tokio::join!(refresh(&site, &jane, "?force=true"), async {
        until("the renewal reaches the pool", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        // As if the first revocation had not arrived.
        let lost = Fault::Status { status: 200, content_type: "text/plain", body: String::new() };
        site.pool.fault_once(PoolEndpoint::Revoke, lost);
        Browser::new().send(Method::POST, &site.auth("/auth/signout"), |r| r.header("cookie", &cookies)).await
    });
    assert_eq!((renewed.status, out.status), (503, 303));
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(site.pool.live_refresh_tokens(), 0);
}

#[tokio::test]
async fn a_caller_who_goes_away_does_not_lose_the_rotated_token() {
    let (site, jane) = signed_in(&[], "jane").await;
    rotate(&site, 0);
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(300)));
    tokio::select! {
        _ = refresh(&site, &jane, "?force=true") => panic!("answered before the pool did"),
        () = until("the renewal reaches the pool", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0) => {}
    }
    // This one joins the renewal under way, or comes after it; with the old token lost it would be invalid_grant.
    assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200);
    assert_eq!(refresh(&site, &jane, "?force=true").await.status, 200);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn only_the_session_cookie_and_only_our_own_pages_may_ask() {
    let (site, jane) = signed_in(&[], "jane").await;
    let url = site.auth("/refresh?force=true");
    for evil in ["https://evil.test", "null", "http://cms.app.localhost.evil.test", ""] {
        let answer = jane.send(Method::POST, &url, |r| r.header("origin", evil)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "origin-not-allowed"), "{evil}");
    }
    let cms = jane.send(Method::POST, &url, |r| r.header("origin", &site.cms_url)).await;
    assert_eq!((cms.status, cms.header("access-control-allow-credentials")), (200, Some("true")));
    assert_eq!(refresh(&site, &Browser::new(), "").await.problem(), "not-signed-in");
    let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    let bearer = Browser::new().send(Method::POST, &url, |r| r.bearer_auth(&token)).await;
    assert_eq!(bearer.status, 401, "a token renews nothing");
    assert_eq!(jane.get(&url).await.status, 405);
    let dead = Browser::new().send(Method::POST, &url, |r| r.header("cookie", "auth=AAAAAAAAAAAAAAAAAAAAAA")).await;
    assert_eq!(dead.problem(), "credentials-not-valid");
}
