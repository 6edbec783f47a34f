//! More requests than can be answered in time: what begins something is refused, what is at work goes on, nothing is lost.

use crate::support::{Answer, Browser, Site, until};
use reqwest::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Strangers who look at the front page, again and again.
fn crowd(site: &Site) -> JoinSet<()> {
    let (stranger, mut crowd) = (Arc::new(Browser::new()), JoinSet::new());
    for _ in 0..100 {
        let (stranger, url) = (stranger.clone(), site.auth("/"));
        crowd.spawn(async move {
            loop {
                stranger.get(&url).await;
            }
        });
    }
    crowd
}

/// Work for the only thread, until it is dropped: what is ready waits for longer than is tolerated.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn start() -> Self {
        let stopped = Arc::new(AtomicBool::default());
        let busy = Self(stopped.clone());
        tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                while began.elapsed() < Duration::from_millis(200) {
                    std::hint::spin_loop();
                }
                tokio::task::yield_now().await;
            }
        });
        busy
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Asks as a script of the CMS does.
async fn ask(site: &Site, browser: &Browser, method: Method, path: &str) -> Answer {
    browser.send(method, &site.auth(path), |request| request.header("origin", site.cms_url.as_str())).await
}

/// The first of several answers that refuses: one of sixteen does not.
async fn refusal(mut ask: impl AsyncFnMut() -> Answer) -> Answer {
    for _ in 0..16 {
        let answer = ask().await;
        if answer.status == 503 {
            return answer;
        }
    }
    panic!("nothing is refused");
}

#[tokio::test]
async fn an_overloaded_service_refuses_what_begins_something_and_recovers() {
    let site = Site::shedding_load().await;
    let (jane, operator) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    let mut on_the_way = vec![];
    for _ in 0..3 {
        let erin = Browser::new();
        let callback = erin.to_callback(&site, "", "erin").await;
        on_the_way.push((erin, callback));
    }

    let (busy, crowd) = (Busy::start(), crowd(&site));
    until("a new sign-in is refused", async || operator.get(&site.auth("/auth/signin")).await.status == 503).await;
    let mut next = on_the_way.iter();
    let mut last = None;
    let page = refusal(async || {
        let (erin, callback) = next.next().unwrap();
        last = Some((erin, callback));
        erin.send(Method::GET, callback, |request| request.header("accept", "text/html")).await
    })
    .await;
    assert_eq!(page.header("retry-after"), Some("5"), "{}", page.body);
    assert!(page.body.contains("Too many people are here right now"), "{}", page.body);
    assert!(page.body.contains("href=\"\""), "a way to ask again: {}", page.body);
    assert!(page.header("content-security-policy").is_some() && page.header("x-request-id").is_some());
    let script = refusal(async || ask(&site, &jane, Method::GET, "/auth/session").await).await;
    assert_eq!(script.problem(), "overloaded", "{}", script.body);
    assert_eq!(script.header("access-control-allow-origin"), Some(site.cms_url.as_str()));
    for _ in 0..4 {
        assert_eq!(jane.validate(&site).await.status, 200);
        assert_eq!(ask(&site, &jane, Method::POST, "/refresh?force=true").await.status, 200);
    }
    let ready = operator.get(&format!("{}/readyz", site.ops_url)).await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["degraded"]["overload"].is_string(), "{}", ready.body);
    assert_eq!(operator.get(&format!("{}/readyz?strict=true", site.ops_url)).await.status, 503);
    assert!(site.metric("auth_api_http_requests_shed_total").await >= 3);

    drop((busy, crowd));
    let (erin, callback) = last.unwrap();
    until("the sign-in that was refused goes on", async || erin.get(callback).await.status == 302).await;
    assert_eq!(erin.validate(&site).await.status, 200);
    until("scripts learn who is here again", async || {
        ask(&site, &jane, Method::GET, "/auth/session").await.status == 200
    })
    .await;
}
