//! The session store is away: nobody is let in by mistake, and nobody loses a session by it.

use crate::support::{Browser, Site, stored_in, until};
use async_trait::async_trait;
use auth_api::config::StoreUrl;
use auth_api::dev::pool::{Fault, PoolEndpoint, Rotation};
use auth_api::domain::clock::Timestamp;
use auth_api::domain::seal::KeyRing;
use auth_api::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use auth_api::store::{
    self, Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, Permits, RateLimit,
    RestoreOutcome, SealedSession, SealedTokens, SessionStore, UpdateOutcome,
};
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// A store in memory that fails on demand.
#[derive(Debug)]
struct Shaky {
    store: Arc<dyn SessionStore>,
    /// Calls that are answered first.
    answers: AtomicI64,
    /// Calls that fail from then on.
    failures: AtomicI64,
    /// Whether a record that is asked for never comes.
    hangs: AtomicBool,
}

impl Shaky {
    fn new() -> Arc<Self> {
        let store = store::open(&stored_in(StoreUrl::Memory), &Arc::new(KeyRing::new([]))).unwrap();
        Arc::new(Self { store, answers: AtomicI64::new(0), failures: AtomicI64::new(0), hangs: AtomicBool::new(false) })
    }

    fn fail(&self, calls: i64) {
        self.answers.store(0, Ordering::SeqCst);
        self.failures.store(calls, Ordering::SeqCst);
    }

    /// Answers so many calls and then no more.
    fn fail_after(&self, calls: i64) {
        self.failures.store(AWAY, Ordering::SeqCst);
        self.answers.store(calls, Ordering::SeqCst);
    }

    fn judge(&self) -> Result<(), Error> {
        if self.answers.fetch_sub(1, Ordering::SeqCst) > 0 {
            return Ok(());
        }
        match self.failures.fetch_sub(1, Ordering::SeqCst) > 0 {
            true => Err(Error::Unavailable("it is away".into())),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl SessionStore for Shaky {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        self.judge()?;
        self.store.create(key, record).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.judge()?;
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.store.lookup(key).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        self.judge()?;
        self.store.restore(key, record).await
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        self.judge()?;
        self.store.load_tokens(key).await
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        self.judge()?;
        self.store.update(key, expected, record, fencing_token).await
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        self.judge()?;
        self.store.touch(last_used).await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        self.judge()?;
        self.store.delete(key, until).await
    }

    async fn list(&self, mark: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        self.judge()?;
        self.store.list(mark).await
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        self.store.keys()
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        self.judge()?;
        self.store.lease(key, ttl).await
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.judge()?;
        self.store.extend(key, fencing_token, ttl).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.judge()?;
        self.store.release(key, fencing_token, after).await
    }

    async fn revoke(&self, mark: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        self.judge()?;
        self.store.revoke(mark, until).await
    }

    async fn revoked_until(&self, mark: RevocationKey) -> Result<Option<Timestamp>, Error> {
        self.judge()?;
        self.store.revoked_until(mark).await
    }

    async fn sweep(&self, now: Timestamp, idle: Option<Duration>) -> Result<u64, Error> {
        self.judge()?;
        self.store.sweep(now, idle).await
    }

    async fn ping(&self) -> Result<(), Error> {
        self.judge()?;
        self.store.ping().await
    }

    async fn acquire(&self, limit: RateLimit, wanted: u32, ahead: Duration) -> Result<Permits, Error> {
        self.judge()?;
        self.store.acquire(limit, wanted, ahead).await
    }

    async fn back_off(&self, limit: RateLimit, pause: Duration) -> Result<(), Error> {
        self.judge()?;
        self.store.back_off(limit, pause).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        self.store.follow(listener).await
    }
}

const AWAY: i64 = i64::MAX / 2;

#[tokio::test]
async fn what_is_known_is_answered_and_what_is_not_is_503() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let (jane, stranger) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    stranger.plant(&site.cms_url, "auth=AAAAAAAAAAAAAAAAAAAAAA; Domain=app.localhost");
    assert_eq!(jane.validate(&site).await.status, 200);
    let bearer = async |token: String| {
        Browser::new().send(reqwest::Method::GET, &site.auth("/validate"), |r| r.bearer_auth(token)).await.status
    };
    let last_used = site.pool.mint_machine_token("dev-machine-client", &["cms/write"]);
    assert_eq!(bearer(last_used.clone()).await, 200);
    shaky.fail(AWAY);
    assert_eq!(jane.validate(&site).await.status, 200, "seen lately");
    let unknown = stranger.validate(&site).await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (503, "store-unavailable"));
    assert!(unknown.header("retry-after").is_some() && !unknown.body.contains("it is away"));
    let planted = format!("{}; {}", stranger.cookies(&site.cms_url), jane.cookies(&site.cms_url));
    let shape = |r: reqwest::RequestBuilder| r.header("cookie", planted);
    let behind = Browser::new().send(reqwest::Method::GET, &site.auth("/validate"), shape).await;
    assert_eq!(behind.status, 200, "another cookie that cannot be looked up does not stand in the way");
    let token = site.pool.mint_access_token("dev-web-client", "jane", &["openid"]);
    assert_eq!(bearer(token).await, 503, "her session may have been ended");
    let machine = site.pool.mint_machine_token("dev-machine-client", &["cms/read"]);
    assert_eq!(bearer(machine).await, 503, "it may have been revoked");
    assert_eq!(bearer(last_used).await, 200, "one seen lately");
    assert_eq!(Browser::new().validate(&site).await.status, 401);
    let ready = async |query: &str| Browser::new().get(&format!("{}/readyz{query}", site.ops_url)).await;
    let strict = ready("?strict=true").await;
    assert!(strict.status == 503 && strict.body.contains("session store"), "{}", strict.body);
    assert_eq!(ready("").await.status, 503, "it was never seen");
    shaky.fail(0);
    assert_eq!((ready("").await.status, ready("?strict=true").await.status), (200, 200));
    shaky.fail(AWAY);
    let degraded = ready("").await;
    assert_eq!(degraded.status, 200, "once ready, it stays so");
    assert!(degraded.body.starts_with(r#"{"ready":true,"degraded":{"store":""#), "{}", degraded.body);
    assert!(site.metric("auth_api_store_errors_total").await > 0);
    assert!(site.metric("auth_api_store_request_seconds_count{operation=\"lookup\",outcome=\"error\"}").await > 0);
    let gauges =
        async || (site.metric("auth_api_ready").await, site.metric("auth_api_degraded{component=\"store\"}").await);
    assert_eq!(gauges().await, (1, 1), "as /readyz says");
    shaky.fail(0);
    assert_eq!(gauges().await, (1, 0));
    assert_eq!(stranger.validate(&site).await.status, 401, "now it is known that there is none");
}

#[tokio::test]
async fn nobody_waits_for_others_who_wait() {
    let shaky = Shaky::new();
    let site = Site::over_with(shaky.clone(), &[("SESSION__STORE_TIMEOUT", "1s")]).await;
    let ids: Vec<_> = ["A", "B", "C"].iter().map(|letter| format!("auth={}", letter.repeat(21) + "A")).collect();
    shaky.hangs.store(true, Ordering::SeqCst);
    let browser = Browser::new();
    let ask = async |cookies: String| {
        let began = Instant::now();
        let shape = |r: reqwest::RequestBuilder| r.header("cookie", cookies);
        let answer = browser.send(reqwest::Method::GET, &site.auth("/validate"), shape).await;
        (answer.status, began.elapsed())
    };
    let many = futures_util::future::join_all((0..8).map(|_| ask(ids[0].clone())));
    let (many, planted) = tokio::join!(many, ask(ids.join("; ")));
    for (status, took) in many.into_iter().chain([planted]) {
        assert!(status == 503 && took < Duration::from_secs(2), "{status} after {took:?}");
    }
}

#[tokio::test]
async fn a_validate_is_answered_in_its_own_time_whatever_hangs() {
    let shaky = Shaky::new();
    let patient = [
        ("SESSION__STORE_TIMEOUT", "10s"),
        ("SERVER__VALIDATE_TIMEOUT", "500ms"),
        ("SERVER__TRUSTED_PROXIES", "127.0.0.1"),
    ];
    let site = Site::over_with(shaky.clone(), &patient).await;
    shaky.hangs.store(true, Ordering::SeqCst);
    for (path, navigates) in [("/validate", false), ("/validate/browser", false), ("/validate/browser", true)] {
        let shape = |r: reqwest::RequestBuilder| {
            let r = r.header("cookie", "auth=AAAAAAAAAAAAAAAAAAAAAA");
            let r = r.header("x-original-url", "http://wiki.app.localhost:4000/");
            if navigates { r.header("sec-fetch-mode", "navigate") } else { r }
        };
        let answer = Browser::new().send(reqwest::Method::GET, &site.auth(path), shape).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{path}");
        if !navigates {
            assert_eq!(answer.problem(), "timeout");
        }
    }
    assert_eq!(site.metric("auth_api_validates_total{result=\"unavailable\"}").await, 3);
}

#[tokio::test]
async fn a_rotated_token_that_was_lost_signs_nobody_out() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    site.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 0 });
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pool.rotate_keys();
    site.pool.fault(PoolEndpoint::Jwks, Fault::Disconnect);
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(200)));
    let url = site.auth("/refresh?force=true");
    let (renewed, ()) = tokio::join!(jane.post(&url, &[]), async {
        until("the pool is asked", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        shaky.fail(3); // the write and its repetitions, not the lease
    });
    assert_eq!(renewed.status, 503);
    site.pool.clear_faults();
    site.clock.shift(11);
    until("the session goes on without it", async || {
        let status = jane.post(&url, &[]).await.status;
        assert!(status == 200 || status == 503, "{status}");
        status == 200
    })
    .await;
    assert_eq!(jane.validate(&site).await.status, 200);
}

#[tokio::test]
async fn a_sign_in_that_cannot_be_kept_signs_nobody_in_and_leaves_no_token_behind() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let jane = Browser::new();
    let callback = jane.to_callback(&site, "", "jane").await;
    shaky.fail(AWAY);
    let page = jane.get(&callback).await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("Try again") && page.set_cookies("auth=").is_empty());
    until("the refresh token is revoked", async || site.pool.live_refresh_tokens() == 0).await;
    shaky.fail(0);
    assert_eq!(jane.sign_in(&site, "jane").await.status, 302);
}

#[tokio::test]
async fn a_sign_out_that_did_not_happen_is_not_said_to_have_happened() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    assert_eq!(jane.validate(&site).await.status, 200);
    shaky.fail(AWAY);
    let page = jane.post(&site.auth("/auth/signout"), &[]).await;
    assert_eq!((page.status, page.set_cookies("auth=").len()), (503, 0));
    shaky.fail(0);
    assert_eq!(jane.post(&site.auth("/auth/signout"), &[]).await.status, 303);
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_rotated_token_survives_a_store_that_hiccups() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    site.pool.edit_client("dev-web-client", |client| client.rotation = Rotation::On { grace_seconds: 0 });
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    site.pool.fault_once(PoolEndpoint::TokenRefresh, Fault::Delay(Duration::from_millis(200)));
    let url = site.auth("/refresh?force=true");
    let (renewed, ()) = tokio::join!(jane.post(&url, &[]), async {
        until("the pool is asked", async || site.pool.count(PoolEndpoint::TokenRefresh) > 0).await;
        shaky.fail(2); // the write and its first repetition
    });
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    assert_eq!(jane.post(&url, &[]).await.status, 200, "with the rotated token");
}

#[tokio::test]
async fn a_sign_out_everywhere_that_did_not_happen_can_be_repeated() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let browsers = [Browser::new(), Browser::new(), Browser::new()];
    for browser in &browsers {
        browser.sign_in(&site, "jane").await;
        assert_eq!(browser.validate(&site).await.status, 200);
    }
    let url = site.auth("/auth/signout?everywhere=true");
    // The list, each write of each of the others, her own: whichever fails, she is told and stays signed in.
    let mut failed = 0;
    loop {
        shaky.fail_after(failed);
        let page = browsers[1].post(&url, &[]).await;
        shaky.fail(0);
        if page.status == 303 {
            break;
        }
        assert_eq!((page.status, page.set_cookies("auth=").len()), (503, 0), "after {failed} calls");
        assert_eq!(browsers[1].get(&site.auth("/auth/session")).await.status, 200, "after {failed} calls");
        failed += 1;
    }
    assert!(failed > 3, "only {failed} calls of the store");
    for browser in &browsers {
        assert_eq!(browser.validate(&site).await.status, 401);
    }
    until("nothing is left at the provider", async || site.pool.live_refresh_tokens() == 0).await;
    assert_eq!(site.metric("auth_api_sign_outs_total").await, 3);
}

#[tokio::test]
async fn a_list_that_cannot_be_read_is_503_and_ends_nothing() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let (jane, phone) = (Browser::new(), Browser::new());
    jane.sign_in(&site, "jane").await;
    phone.sign_in(&site, "jane").await;
    assert_eq!((jane.validate(&site).await.status, phone.validate(&site).await.status), (200, 200));
    let url = site.auth("/auth/sessions");
    let listed = jane.get(&url).await.json();
    let other = listed["sessions"].as_array().unwrap().iter().find(|item| item["current"] == false).unwrap();
    let one = format!("{url}/{}", other["handle"].as_str().unwrap());
    shaky.fail(AWAY);
    for (method, url) in [(reqwest::Method::GET, &url), (reqwest::Method::DELETE, &one)] {
        let answer = jane.send(method, url, |r| r).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "store-unavailable"));
        assert!(answer.header("retry-after").is_some());
    }
    shaky.fail(0);
    assert_eq!(phone.validate(&site).await.status, 200);
    assert_eq!(jane.send(reqwest::Method::DELETE, &one, |r| r).await.status, 204);
    assert_eq!(phone.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_logout_token_that_failed_half_way_is_taken_again() {
    let shaky = Shaky::new();
    let site = Site::over(shaky.clone()).await;
    let browsers = [Browser::new(), Browser::new()];
    for browser in &browsers {
        browser.sign_in(&site, "jane").await;
    }
    let token = site.pool.mint_logout_token("dev-web-client", "jane", |_| ());
    let (url, stranger) = (site.auth("/auth/backchannel-logout"), Browser::new());
    let mut failed = 0;
    loop {
        shaky.fail_after(failed);
        let answer = stranger.post(&url, &[("logout_token", &token)]).await;
        shaky.fail(0);
        if answer.status == 200 {
            break;
        }
        assert_eq!(answer.status, 503, "after {failed} calls");
        assert_eq!(answer.json()["error"], "temporarily_unavailable");
        assert!(answer.header("retry-after").is_some() && !answer.body.contains("it is away"));
        failed += 1;
    }
    assert!(failed > 3, "only {failed} calls of the store");
    for browser in &browsers {
        assert_eq!(browser.validate(&site).await.status, 401);
    }
    assert_eq!(stranger.post(&url, &[("logout_token", &token)]).await.status, 400, "used up by now");
}

#[tokio::test]
async fn machines_get_their_tokens_without_a_store() {
    let shaky = Shaky::new();
    let site = Site::over_with(shaky.clone(), &[("MACHINE__PASS_THROUGH", "true")]).await;
    let token = async || {
        let form = [("grant_type", "client_credentials"), ("scope", "cms/read")];
        let shape = |r: reqwest::RequestBuilder| r.basic_auth("dev-cms-client", Some("dev-cms-secret")).form(&form);
        let answer = Browser::new().send(reqwest::Method::POST, &site.auth("/token"), shape).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["access_token"].as_str().unwrap().to_owned()
    };
    shaky.fail(AWAY);
    let first = token().await;
    assert_eq!(token().await, first, "remembered all the same");
    assert_eq!(site.pool.count(PoolEndpoint::TokenClientCredentials), 1);
}
