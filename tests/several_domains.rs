//! Sites under two domains: a deployment for each, on one user pool, with an app client of its own.

use crate::support::process::{Service, configure, spawn};
use crate::support::{Browser, free_port};
use auth_api::dev::pool::{AppClient, PoolEndpoint, PoolSettings, UserPool};
use std::path::Path;

/// `auth-api.app.localhost` and `auth-api.other.localhost`, on a pool that has a client for each.
async fn deployments(first: &Path, second: &Path) -> (UserPool, [Service; 2]) {
    loop {
        let ports = [(); 4].map(|()| free_port());
        let mut settings = PoolSettings::for_service(&format!("http://auth-api.app.localhost:{}", ports[0]));
        let mut other = AppClient::web("other-web-client", "other-web-secret");
        let base = format!("http://auth-api.other.localhost:{}", ports[2]);
        other.callback_urls.push(format!("{base}/auth/signin/callback"));
        other.logout_urls.push(format!("{base}/auth/signout/callback"));
        settings.clients.push(other);
        let pool = UserPool::start(settings).await.unwrap();
        configure(first, &pool, ports[0], ports[1]);
        configure(second, &pool, ports[2], ports[3]);
        let file = second.join("auth-api.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replace("app.localhost", "other.localhost").replace("dev-web-", "other-web-");
        std::fs::write(&file, text).unwrap();
        let services = [spawn(first, ports[0], ports[1]), spawn(second, ports[2], ports[3])];
        if let [Some(first), Some(mut second)] = services {
            second.url = base;
            return (pool, [first, second]);
        }
    }
}

async fn known(service: &Service, browser: &Browser) -> u16 {
    browser.get(&format!("{}/validate", service.url)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_signed_in_at_one_is_let_into_the_other_without_typing() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (pool, [app, other]) = deployments(first.path(), second.path()).await;
    let jane = Browser::new();
    let authorize = jane.get(&format!("{}/auth/signin", app.url)).await.location();
    let landed = jane.get(&jane.log_in(&authorize, "jane").await).await;
    assert_eq!((landed.status, known(&app, &jane).await, known(&other, &jane).await), (302, 200, 401));

    // Nothing is typed: the hosted UI's own session answers with a code at once.
    let authorize = jane.get(&format!("{}/auth/signin", other.url)).await.location();
    let callback = jane.get(&authorize).await.location();
    assert!(callback.starts_with(&format!("{}/auth/signin/callback?code=", other.url)), "{callback}");
    assert_eq!(jane.get(&callback).await.status, 302);
    assert_eq!((known(&app, &jane).await, known(&other, &jane).await), (200, 200));
    let who = async |service: &Service| jane.get(&format!("{}/validate", service.url)).await.json();
    let (here, there) = (who(&app).await, who(&other).await);
    assert_eq!(here["sub"], there["sub"]);
    assert_ne!(here["client_id"], there["client_id"]);

    // A cookie of one opens nothing at the other.
    let planted = Browser::new();
    for cookie in jane.cookies(&app.url).split("; ") {
        planted.plant(&other.url, cookie);
    }
    assert_eq!(known(&other, &planted).await, 401);

    // A sign-out ends this session, its tokens and the hosted UI's session; the other deployment goes on.
    let shape = |r: reqwest::RequestBuilder| r.header("sec-fetch-site", "same-origin");
    let out = jane.send(reqwest::Method::POST, &format!("{}/auth/signout", app.url), shape).await;
    assert_eq!(out.status, 303);
    jane.get(&out.location()).await;
    assert_eq!((known(&app, &jane).await, known(&other, &jane).await), (401, 200));
    let authorize = jane.get(&format!("{}/auth/signin", app.url)).await.location();
    assert!(!jane.get(&authorize).await.location().contains("code="), "the hosted UI asks again");
    assert_eq!(pool.live_refresh_tokens(), 1);
    assert!(pool.count(PoolEndpoint::Revoke) > 0);
}
