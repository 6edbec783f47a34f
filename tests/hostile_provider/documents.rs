//! Keys and discovery: read when they are needed, and not because somebody would like them read.

use crate::support::{Browser, Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn strangers_keys_do_not_keep_a_sign_in_from_the_providers_new_ones() {
    let site = Site::start().await;
    let unknown = {
        site.pool.tamper_access_token(|d| drop(d.header.insert("kid".into(), json!("of-nobody"))));
        let token = site.pool.mint_access_token("dev-web-client", "jane", &[]);
        site.pool.clear_tampering();
        token
    };
    let bearer = async || Browser::new().send(Method::GET, &site.auth("/validate"), |r| r.bearer_auth(&unknown)).await;
    until("all was read once", async || site.rp.provider.has_metadata()).await;
    let before = site.pool.count(PoolEndpoint::Jwks);
    for _ in 0..3 {
        assert_eq!(bearer().await.status, 401);
    }
    assert_eq!(site.pool.count(PoolEndpoint::Jwks), before + 1, "one read for all of them");
    site.pool.rotate_keys();
    assert_eq!(Browser::new().sign_in(&site, "jane").await.status, 302);
}

#[tokio::test]
async fn who_waits_for_the_keys_does_not_read_them_again() {
    let site = Site::with(&[("PROVIDER__TIMEOUT", "1s")]).await;
    site.pool.tamper_access_token(|d| drop(d.header.insert("kid".into(), json!("of-nobody"))));
    let token = site.pool.mint_access_token("dev-web-client", "jane", &[]);
    until("all was read once", async || site.rp.provider.has_metadata()).await;
    let before = site.pool.count(PoolEndpoint::Jwks);
    site.pool.fault(PoolEndpoint::Jwks, Fault::Stall);
    let strangers: Vec<_> = (0..5).map(|_| Browser::new()).collect();
    let waiting = join_all(strangers.iter().map(|stranger| stranger.send_bearer(&site, &token)));
    let late = async {
        until("the keys are being read", async || site.pool.count(PoolEndpoint::Jwks) > before).await;
        // As if the provider took as long as it may.
        site.clock.shift(11);
    };
    let (answers, ()) = tokio::join!(waiting, late);
    assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    assert_eq!(site.pool.count(PoolEndpoint::Jwks), before + 1);
}

#[tokio::test]
async fn a_discovery_document_that_will_never_fit_is_asked_for_less_and_less() {
    let site = Site::start().await;
    site.pool.fault(
        PoolEndpoint::Discovery,
        Fault::edit_json(|doc| drop(doc.insert("issuer".into(), json!("https://evil.test")))),
    );
    let lonely = Site::with(&[("PROVIDER__ISSUER", &site.pool.issuer())]).await;
    let before = site.pool.count(PoolEndpoint::Discovery);
    for _ in 0..40 {
        lonely.clock.shift(2);
        assert_eq!(Browser::new().get(&lonely.auth("/auth/signin")).await.status, 502);
    }
    let asked = site.pool.count(PoolEndpoint::Discovery) - before;
    assert!((2..=10).contains(&asked), "in eighty seconds: {asked}");
    site.pool.clear_faults();
    lonely.clock.shift(61);
    assert_eq!(Browser::new().get(&lonely.auth("/auth/signin")).await.status, 302, "once it is mended");
}
