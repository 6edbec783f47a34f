//! Keys of further issuers: an outage or a mistake there is nobody else's.

use super::{BLOCK, MACHINE, ORDERS, World, block, pool};
use crate::forward_auth::TRUSTED;
use crate::support::process::run;
use crate::support::{Site, until};
use auth_api::dev::pool::{Fault, PoolEndpoint};
use serde_json::json;
use std::time::Instant;

/// A world whose further pool is broken before the service starts.
async fn broken(breaks: impl Fn(&auth_api::dev::pool::UserPool)) -> World {
    let pool = pool().await;
    breaks(&pool);
    let iss = pool.issuer();
    let site = Site::with_text(&block(&iss, BLOCK), &[TRUSTED, ("PROVIDER__TIMEOUT", "2s")]).await;
    World { site, pool, iss }
}

impl World {
    fn component(&self) -> String {
        format!("bearer issuer {}", self.iss)
    }

    async fn is_ready(&self) -> bool {
        self.readyz("").await.status == 200
    }

    async fn is_degraded(&self) -> bool {
        self.readyz("").await.json()["degraded"].get(self.component()).is_some()
    }
}

#[tokio::test]
async fn an_issuer_that_is_away_at_the_start_makes_only_its_own_tokens_wait() {
    let world = broken(|pool| pool.down(true)).await;
    let theirs = world.machine();
    let ours = world.site.pool.mint_machine_token(MACHINE, &ORDERS);
    assert_eq!(world.validate("", &ours).await.status, 200);
    until("it is ready all the same", async || world.is_ready().await).await;
    let waiting = world.named("", &theirs).await;
    assert_eq!((waiting.status, waiting.problem()), (503, "provider-unavailable".to_owned()));
    assert!(waiting.header("retry-after").is_some(), "{waiting:?}");
    let readiness = world.readyz("").await.json();
    assert_eq!(
        (&readiness["ready"], readiness["degraded"].as_object().unwrap().len()),
        (&json!(true), 1),
        "{readiness}"
    );
    assert!(world.is_degraded().await && world.readyz("?strict=true").await.status == 503, "{readiness}");
    world.pool.down(false);
    world.site.clock.shift(2);
    assert_eq!(world.named("", &theirs).await.status, 200, "as soon as it is back");
    assert!(!world.is_degraded().await);
    assert_eq!(world.readyz("?strict=true").await.status, 200);
}

#[tokio::test]
async fn an_issuer_that_does_not_answer_holds_up_nobody_else() {
    let world = broken(|pool| pool.fault(PoolEndpoint::Discovery, Fault::Stall)).await;
    let theirs = world.machine();
    let ours = || world.site.pool.mint_machine_token(MACHINE, &ORDERS);
    assert_eq!(world.validate("", &ours()).await.status, 200);
    let others = async {
        let began = Instant::now();
        for _ in 0..20 {
            assert_eq!(world.validate("", &ours()).await.status, 200, "never seen before");
        }
        began.elapsed()
    };
    let waited = async {
        let began = Instant::now();
        assert_eq!(world.named("", &theirs).await.status, 503);
        began.elapsed()
    };
    let (others, waited) = tokio::join!(others, waited);
    assert!(others < waited, "{others:?}, while theirs took {waited:?}");
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_nobodys() {
    let edit = Fault::edit_json(|doc| drop(doc.insert("issuer".into(), json!("https://evil.test"))));
    let world = broken(move |pool| pool.fault(PoolEndpoint::Discovery, edit.clone())).await;
    until("it was asked", async || world.is_degraded().await && world.is_ready().await).await;
    assert_eq!(world.named("", &world.machine()).await.status, 503);
    let why = world.readyz("").await.json()["degraded"][world.component()].to_string();
    assert!(why.contains("https://evil.test") && why.contains("provider.bearer_issuer"), "{why}");
    assert_eq!(world.pool.count(PoolEndpoint::Jwks), 0, "its keys are not even read");
    world.pool.clear_faults();
    world.site.clock.shift(61);
    assert_eq!(world.named("", &world.machine()).await.status, 200, "once it is mended");
}

#[tokio::test]
async fn withdrawn_keys_end_what_was_verified_with_them_and_nothing_else() {
    let world = World::start(BLOCK).await;
    let (old, ours) = (world.machine(), world.site.pool.mint_machine_token(MACHINE, &ORDERS));
    assert_eq!((world.named("", &old).await.status, world.validate("", &ours).await.status), (200, 200));
    world.pool.rotate_keys();
    assert_eq!(world.named("", &old).await.status, 200, "nobody knows yet");
    world.site.clock.shift(11);
    assert_eq!(world.named("", &world.machine()).await.status, 200);
    assert_eq!((world.named("", &old).await.status, world.validate("", &ours).await.status), (401, 200));
    // And the other way round: new keys of the provider are no reason to doubt theirs.
    let (theirs, reads) = (world.machine(), world.pool.count(PoolEndpoint::Jwks));
    assert_eq!(world.named("", &theirs).await.status, 200);
    world.site.pool.rotate_keys();
    world.site.clock.shift(11);
    let new = world.site.pool.mint_machine_token(MACHINE, &ORDERS);
    assert_eq!((world.validate("", &new).await.status, world.validate("", &ours).await.status), (200, 401));
    assert_eq!((world.named("", &theirs).await.status, world.pool.count(PoolEndpoint::Jwks)), (200, reads));
}

#[tokio::test]
async fn keys_that_are_configured_need_no_discovery() {
    let pool = pool().await;
    pool.fault(PoolEndpoint::Discovery, Fault::Html);
    let iss = pool.issuer();
    let text = format!("{BLOCK}jwks_uri = \"{iss}/.well-known/jwks.json\"\n");
    let site = Site::with_text(&block(&iss, &text), &[TRUSTED]).await;
    let world = World { site, pool, iss };
    assert_eq!(world.named("", &world.machine()).await.status, 200);
    assert_eq!(world.pool.count(PoolEndpoint::Discovery), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_online_asks_each_issuer() {
    let (provider, further, folder) = (pool().await, pool().await, tempfile::tempdir().unwrap());
    crate::support::process::configure(folder.path(), &provider, 1, 2);
    let file = folder.path().join("auth-api.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, [text, block(&further.issuer(), BLOCK)].concat()).unwrap();
    let line = || {
        let output = run(folder.path(), &["check", "--online"]);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
        said.lines().find(|line| line.contains("bearer issuer")).unwrap_or_else(|| panic!("{said}")).to_owned()
    };
    assert!(line().starts_with("good: bearer issuer"), "{}", line());
    let edit = Fault::edit_json(|doc| drop(doc.insert("issuer".into(), json!("https://evil.test"))));
    further.fault(PoolEndpoint::Discovery, edit);
    let found = line();
    assert!(found.starts_with("bad: bearer issuer") && found.contains("https://evil.test"), "{found}");
}
