//! More requests than can be answered in time: what begins something is refused, what is at work goes on, nothing is lost.

use crate::support::{Answer, Browser, Site, until};
use reqwest::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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
async fn refresh(site: &Site, browser: &Browser) -> Answer {
    let origin = site.cms_url.clone();
    browser.send(Method::POST, &site.auth("/refresh?force=true"), |request| request.header("origin", origin)).await
}

#[tokio::test]
async fn an_overloaded_service_refuses_what_begins_something_and_recovers() {
    let site = Site::shedding_load().await;
    let (jane, erin, operator) = (Browser::new(), Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    let callback = erin.to_callback(&site, "", "erin").await;

    let busy = Busy::start();
    until("a new sign-in is refused", async || Browser::new().get(&site.auth("/auth/signin")).await.status == 503)
        .await;
    // One of sixteen is answered, and that is not the next one.
    let page = erin.send(Method::GET, &callback, |request| request.header("accept", "text/html")).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("5")), "{}", page.body);
    assert!(page.body.contains("Too many people are here right now"), "{}", page.body);
    assert!(page.body.contains("href=\"\""), "a way to ask again: {}", page.body);
    assert!(page.header("content-security-policy").is_some() && page.header("x-request-id").is_some());
    let script = refresh(&site, &jane).await;
    assert_eq!((script.status, script.problem().as_str()), (503, "overloaded"), "{}", script.body);
    assert_eq!(script.header("access-control-allow-origin"), Some(site.cms_url.as_str()));
    assert_eq!(jane.validate(&site).await.status, 200);
    let ready = operator.get(&format!("{}/readyz", site.ops_url)).await;
    assert_eq!(ready.status, 200);
    assert!(ready.json()["degraded"]["overload"].is_string(), "{}", ready.body);
    assert_eq!(operator.get(&format!("{}/readyz?strict=true", site.ops_url)).await.status, 503);
    assert!(site.metric("auth_api_http_requests_shed_total").await >= 3);

    drop(busy);
    until("the sign-in that was refused goes on", async || erin.get(&callback).await.status == 302).await;
    assert_eq!(erin.validate(&site).await.status, 200);
    until("sessions are renewed again", async || refresh(&site, &jane).await.status == 200).await;
}
