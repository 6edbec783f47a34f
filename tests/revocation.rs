//! My sessions on all devices: seen, ended one by one or all at once, and dead in every form.

use crate::support::{Answer, Browser, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint, UnsignedJwt};
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::Value;
use std::time::{Duration, Instant};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux) Firefox/150.0";
const PHONE: &str = "Mozilla/5.0 (Phone) Safari/19";

/// Signs in with a browser of this name, through proxies that say this.
async fn sign_in_as(site: &Site, user: &str, agent: &str, forwarded: &[&str]) -> Browser {
    let browser = Browser::new();
    let callback = browser.to_callback(site, "", user).await;
    let shape = |r: reqwest::RequestBuilder| {
        forwarded.iter().fold(r.header("user-agent", agent), |r, line| r.header("x-forwarded-for", *line))
    };
    assert_eq!(browser.send(Method::GET, &callback, shape).await.status, 302);
    browser
}

async fn signed_in(site: &Site, user: &str) -> Browser {
    sign_in_as(site, user, "", &[]).await
}

async fn list(site: &Site, browser: &Browser) -> Vec<Value> {
    let answer = browser.get(&site.auth("/auth/sessions")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["sessions"].as_array().unwrap().clone()
}

/// The handle of the browser's own session.
async fn own(site: &Site, browser: &Browser) -> String {
    let mine = list(site, browser).await.into_iter().find(|item| item["current"] == true).unwrap();
    mine["handle"].as_str().unwrap().to_owned()
}

async fn end(site: &Site, browser: &Browser, handle: &str) -> Answer {
    browser.send(Method::DELETE, &site.auth(&format!("/auth/sessions/{handle}")), |r| r).await
}

/// The tokens behind a browser's session.
async fn tokens(site: &Site, browser: &Browser) -> [String; 2] {
    let tokens = site.tokens(browser).await;
    [&tokens.access, &tokens.id].map(|token| token.expose_secret().to_owned())
}

async fn bearer(site: &Site, token: &str) -> Answer {
    Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await
}

#[tokio::test]
async fn jane_sees_her_browsers_and_ends_the_one_she_lost() {
    let site = Site::start().await;
    let phone = sign_in_as(&site, "jane", PHONE, &[]).await;
    site.pass(10);
    let desk = sign_in_as(&site, "jane", FIREFOX, &["203.0.113.9"]).await;
    signed_in(&site, "erin").await;
    let listed = list(&site, &desk).await;
    let shown: Vec<_> = listed.iter().map(|item| (item["device"].as_str().unwrap(), &item["current"])).collect();
    assert_eq!(shown, [(FIREFOX, &Value::Bool(true)), (PHONE, &Value::Bool(false))], "the newest first");
    for item in &listed {
        assert_eq!(item["address"], "127.0.0.1", "nobody is trusted to say otherwise");
        assert_eq!(item["provider"], "COGNITO");
        assert_eq!(item["ends"].as_u64().unwrap() - item["started"].as_u64().unwrap(), 30 * 86_400);
    }
    // The time that the test lets pass, and what goes by itself.
    assert!(listed[0]["started"].as_u64().unwrap() - listed[1]["started"].as_u64().unwrap() >= 10);

    assert_eq!(phone.validate(&site).await.status, 200);
    let lost = listed[1]["handle"].as_str().unwrap();
    let ended = end(&site, &desk, lost).await;
    assert_eq!((ended.status, ended.body.as_str(), ended.set_cookies("").len()), (204, "", 0));
    assert_eq!(phone.validate(&site).await.status, 401, "at once");
    assert_eq!(phone.post(&site.auth("/refresh?force=true"), &[]).await.status, 401);
    assert_eq!(list(&site, &desk).await.len(), 1);
    assert_eq!(end(&site, &desk, lost).await.problem(), "no-such-session");
    until("its refresh token is revoked", async || site.pool.live_refresh_tokens() == 2).await;
    assert_eq!(site.metric("auth_api_sign_outs_total").await, 1);
}

#[tokio::test]
async fn a_handle_reveals_nothing_and_opens_nothing() {
    let site = Site::start().await;
    let jane = signed_in(&site, "jane").await;
    let handle = own(&site, &jane).await;
    assert_eq!(handle, own(&site, &jane).await, "it stays the same");
    assert!(handle.len() == 16 && !jane.cookies(&site.cms_url).contains(&handle[..8]));
    for cookie in [handle.clone(), format!("{handle}AAAAAA")] {
        let thief = Browser::new();
        thief.plant(&site.cms_url, &format!("auth={cookie}; Domain=app.localhost"));
        assert_eq!(thief.validate(&site).await.status, 401);
        assert_eq!(thief.get(&site.auth("/auth/sessions")).await.status, 401);
        assert_eq!(end(&site, &thief, &handle).await.status, 401);
    }
    assert_eq!(bearer(&site, &handle).await.status, 401);
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn nobody_ends_or_finds_the_sessions_of_others() {
    let site = Site::start().await;
    let (jane, erin) = (signed_in(&site, "jane").await, signed_in(&site, "erin").await);
    let hers = own(&site, &erin).await;
    let answers = [end(&site, &jane, &hers).await, end(&site, &jane, "AAAAAAAAAAAAAAAA").await];
    let told = answers.map(|answer| {
        let mut json = answer.json();
        json["instance"] = Value::Null;
        (answer.status, json)
    });
    assert_eq!(told[0].0, 404);
    assert_eq!(told[0], told[1], "hers looks like one that does not exist");
    for odd in ["%ff", "%00", "a%2fb", "..%2f..", "🦀"] {
        assert_eq!(end(&site, &jane, odd).await.status, 404, "{odd}");
    }
    assert_eq!(erin.validate(&site).await.status, 200);
}

#[tokio::test]
async fn ending_ones_own_session_removes_its_cookies() {
    let site = Site::with(&[("COOKIES__EXPOSE", "id_token")]).await;
    let jane = signed_in(&site, "jane").await;
    let ended = end(&site, &jane, &own(&site, &jane).await).await;
    assert_eq!(ended.status, 204);
    for name in ["auth=", "id_token="] {
        let removals = ended.set_cookies(name);
        assert!(removals.len() == 1 && removals[0].contains("Max-Age=0"), "{removals:?}");
        assert!(removals[0].contains("Domain=app.localhost"), "{removals:?}");
    }
    assert_eq!(jane.cookies(&site.cms_url), "");
    until("its refresh token is revoked", async || site.pool.live_refresh_tokens() == 0).await;
}

#[tokio::test]
async fn who_is_not_signed_in_has_no_sessions() {
    let site = Site::start().await;
    let dead = Browser::new();
    dead.plant(&site.cms_url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost");
    for (browser, problem) in [(Browser::new(), "not-signed-in"), (dead, "credentials-not-valid")] {
        let listed = browser.get(&site.auth("/auth/sessions")).await;
        assert_eq!((listed.status, listed.problem().as_str()), (401, problem));
        assert_eq!(listed.json()["signin_url"], site.auth("/auth/signin"));
        let ended = end(&site, &browser, "AAAAAAAAAAAAAAAA").await;
        assert_eq!((ended.status, ended.problem().as_str()), (401, problem));
    }
    let jane = signed_in(&site, "jane").await;
    let [access, _] = tokens(&site, &jane).await;
    let bearer = Browser::new().send(Method::GET, &site.auth("/auth/sessions"), |r| r.bearer_auth(access)).await;
    assert_eq!(bearer.status, 401, "a token is not a session");
}

#[tokio::test]
async fn pages_of_other_sites_end_nothing_and_read_nothing() {
    let site = Site::start().await;
    let jane = signed_in(&site, "jane").await;
    let own_site = site.cms_url.clone();
    for (origins, status) in [
        (vec![], 204),
        (vec![own_site.as_str()], 204),
        (vec![site.auth_url.as_str()], 204),
        (vec!["https://evil.test"], 403),
        (vec!["http://cms.app.localhost.evil.test"], 403),
        (vec!["null"], 403),
        (vec![""], 403),
        (vec![own_site.as_str(), "https://evil.test"], 403),
    ] {
        site.pass(61);
        let phone = signed_in(&site, "jane").await;
        let url = site.auth(&format!("/auth/sessions/{}", own(&site, &phone).await));
        let shape = |r: reqwest::RequestBuilder| origins.iter().fold(r, |r, origin| r.header("origin", *origin));
        let answer = jane.send(Method::DELETE, &url, shape).await;
        assert_eq!(answer.status, status, "{origins:?}");
        let alive = phone.validate(&site).await.status == 200;
        assert_eq!(alive, status == 403, "{origins:?}");
    }
    for path in ["/auth/sessions", "/auth/sessions/AAAAAAAAAAAAAAAA"] {
        for (origin, allowed) in [(own_site.as_str(), true), ("https://evil.test", false)] {
            let shape = |r: reqwest::RequestBuilder| {
                r.header("origin", origin).header("access-control-request-method", "DELETE")
            };
            let preflight = Browser::new().send(Method::OPTIONS, &site.auth(path), shape).await;
            assert_eq!(preflight.header("access-control-allow-origin").is_some(), allowed, "{path} {origin}");
            assert!(preflight.header("access-control-allow-methods").unwrap().contains("DELETE"));
        }
    }
    let shape = |r: reqwest::RequestBuilder| r.header("origin", &own_site);
    let listed = jane.send(Method::GET, &site.auth("/auth/sessions"), shape).await;
    assert_eq!(listed.header("access-control-allow-origin"), Some(own_site.as_str()));
    assert_eq!(listed.header("access-control-allow-credentials"), Some("true"));
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_of_hers_and_nobody_elses() {
    let site = Site::start().await;
    let erin = signed_in(&site, "erin").await;
    let mut ended = 0;
    for (query, form, everywhere) in [
        ("", &[("everywhere", "true")][..], true),
        ("?everywhere=true", &[], true),
        ("?everywhere=true", &[("return_to", "/")], true),
        ("?everywhere=yes", &[("everywhere", "false")], false),
    ] {
        let browsers = [signed_in(&site, "jane").await, signed_in(&site, "jane").await, signed_in(&site, "jane").await];
        for browser in &browsers {
            assert_eq!(browser.validate(&site).await.status, 200);
        }
        let out = browsers[1].post(&site.auth(&format!("/auth/signout{query}")), form).await;
        assert_eq!(out.status, 303, "{query} {form:?}");
        assert!(out.location().contains("/logout?") && out.set_cookies("auth=").len() == 1);
        assert_eq!(browsers[1].validate(&site).await.status, 401);
        for other in [&browsers[0], &browsers[2]] {
            assert_eq!(other.validate(&site).await.status == 401, everywhere, "{query} {form:?}");
        }
        ended += if everywhere { 3 } else { 1 };
        assert_eq!(site.metric("auth_api_sign_outs_total").await, ended);
        assert_eq!(site.pool.live_refresh_tokens(), if everywhere { 1 } else { 3 }, "revoked at the provider");
        site.pass(61);
    }
    assert_eq!(erin.validate(&site).await.status, 200);
}

#[tokio::test]
async fn the_page_asks_before_it_reaches_beyond_this_browser() {
    let site = Site::start().await;
    let (jane, other) = (signed_in(&site, "jane").await, signed_in(&site, "jane").await);
    let page = jane.get(&site.auth("/auth/signout")).await;
    let input = page.between("<input type=\"checkbox\"", ">");
    assert!(input.contains("name=\"everywhere\" value=\"true\"") && !input.contains("checked"), "{input}");
    let shape = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-site");
    let asked = jane.send(Method::GET, &site.auth("/auth/signout?everywhere=true"), shape).await;
    assert_eq!(asked.status, 200, "a link of our own sites does not do it at once");
    assert!(asked.between("<input type=\"checkbox\"", ">").contains("checked"));
    assert_eq!((jane.validate(&site).await.status, other.validate(&site).await.status), (200, 200));
    let refused = jane
        .send(Method::POST, &site.auth("/auth/signout?everywhere=true"), |r| r.header("sec-fetch-site", "cross-site"))
        .await;
    assert_eq!(refused.status, 403);
    assert_eq!(other.validate(&site).await.status, 200);
    let stranger = Browser::new().get(&site.auth("/auth/signout?everywhere=true")).await;
    assert!(stranger.status == 200 && !stranger.body.contains("checkbox"), "nobody's devices");
    assert_eq!(Browser::new().post(&site.auth("/auth/signout?everywhere=true"), &[]).await.status, 303);
}

#[tokio::test]
async fn many_tokens_and_a_silent_provider_keep_nobody_waiting() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    let mut browsers = Vec::new();
    for _ in 0..20 {
        browsers.push(signed_in(&site, "jane").await);
    }
    site.pool.fault(PoolEndpoint::Revoke, Fault::Stall);
    let started = Instant::now();
    let out = browsers[0].post(&site.auth("/auth/signout"), &[("everywhere", "true")]).await;
    assert_eq!(out.status, 303);
    assert!(started.elapsed() < Duration::from_secs(3), "one time limit for all");
    for browser in &browsers {
        assert_eq!(browser.validate(&site).await.status, 401);
    }
}

#[tokio::test]
async fn tokens_of_a_session_that_was_ended_are_refused_and_no_others() {
    let site = Site::start().await;
    for way in ["sign-out", "from another browser", "everywhere"] {
        let (jane, other) = (signed_in(&site, "jane").await, signed_in(&site, "jane").await);
        let mut hers = tokens(&site, &jane).await.to_vec();
        site.pass(10);
        assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 200);
        hers.extend(tokens(&site, &jane).await);
        assert_ne!(hers[0], hers[2]);
        let others = tokens(&site, &other).await;
        for token in hers.iter().chain(&others) {
            assert_eq!(bearer(&site, token).await.status, 200, "{way}: before");
        }
        match way {
            "sign-out" => assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303),
            "everywhere" => {
                assert_eq!(jane.post(&site.auth("/auth/signout?everywhere=true"), &[]).await.status, 303);
            }
            _ => assert_eq!(end(&site, &other, &own(&site, &jane).await).await.status, 204),
        }
        let machine = site.pool.mint_machine_token("dev-machine-client", &["cms/read"]);
        for later in [0, 3_000] {
            site.pass(later);
            for token in &hers {
                let refused = bearer(&site, token).await;
                assert_eq!((refused.status, refused.problem().as_str()), (401, "credentials-not-valid"), "{way}");
                assert_eq!(refused.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
            }
            for token in &others {
                let expected = if way == "everywhere" { 401 } else { 200 };
                assert_eq!(bearer(&site, token).await.status, expected, "{way}: her other session's");
            }
            assert_eq!(bearer(&site, &machine).await.status, 200);
        }
        other.post(&site.auth("/auth/signout"), &[]).await;
    }
}

#[tokio::test]
async fn a_session_whose_tokens_have_no_names_ends_all_the_same() {
    let site = Site::start().await;
    let nameless = |draft: &mut UnsignedJwt| draft.claims.retain(|name, _| name != "jti" && name != "origin_jti");
    site.pool.tamper_access_token(nameless);
    site.pool.tamper_id_token(nameless);
    let (jane, other) = (signed_in(&site, "jane").await, signed_in(&site, "jane").await);
    assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(other.validate(&site).await.status, 200);
    assert_eq!(end(&site, &other, &own(&site, &other).await).await.status, 204);
    assert_eq!(other.validate(&site).await.status, 401);
}

#[tokio::test]
async fn the_list_tells_when_a_session_was_last_used() {
    let site = Site::start().await;
    let (phone, desk) = (signed_in(&site, "jane").await, signed_in(&site, "jane").await);
    let seen = async |browser: &Browser, current: bool| {
        let item = list(&site, browser).await.into_iter().find(|item| item["current"] == current).unwrap();
        item["last_seen"].as_u64().unwrap() - item["started"].as_u64().unwrap()
    };
    assert!(seen(&desk, false).await < 60);
    site.pass(7_200);
    assert_eq!(phone.validate(&site).await.status, 200);
    assert!(seen(&phone, true).await >= 7_200, "one's own at once");
    site.rp.sessions.flush().await.unwrap(); // as every ten seconds
    assert!(seen(&desk, false).await >= 7_200);
}

#[tokio::test]
async fn the_address_is_the_visitors_if_a_trusted_proxy_says_so() {
    let forged = "198.51.100.1";
    for (trusted, lines, expected) in [
        ("", &[][..], "127.0.0.1"),
        ("", &[forged], "127.0.0.1"),
        ("10.0.0.0/8", &[forged], "127.0.0.1"),
        ("127.0.0.1,10.0.0.0/8", &[], "127.0.0.1"),
        ("127.0.0.1,10.0.0.0/8", &[forged, "203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("127.0.0.0/8", &["198.51.100.1, nonsense"], "127.0.0.1"),
    ] {
        let configured = [("SERVER__TRUSTED_PROXIES", trusted)];
        let site = Site::with(if trusted.is_empty() { &[] } else { &configured }).await;
        let jane = sign_in_as(&site, "jane", FIREFOX, lines).await;
        assert_eq!(list(&site, &jane).await[0]["address"], expected, "{trusted} {lines:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let site = Site::over_https(folder.path(), &[("RETURN_TO__DEFAULT", "https://cms.app.localhost/")]).await;
    let jane = Browser::trusting(folder.path());
    jane.sign_in(&site, "jane").await;
    assert_eq!(list(&site, &jane).await[0]["address"], "127.0.0.1", "also through TLS");
}
