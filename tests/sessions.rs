//! Sessions: kept safely, ended on time.

use crate::support::{Browser, Site, at, stored_in};
use auth_api::config::StoreUrl;
use auth_api::domain::clock::Clock;
use auth_api::domain::deployment::Deployment;
use auth_api::domain::seal::KeyRing;
use auth_api::domain::session::SessionId;
use auth_api::domain::store_key::{IndexKey, RevocationKey};
use auth_api::store::{
    self, LeaseOutcome, LeaseRelease, Lookup, OpenError, Permits, RateLimit, RestoreOutcome, SealedSession,
    SealedTokens, SessionStore, UpdateOutcome,
};
use futures_util::future::join_all;
use futures_util::stream::TryStreamExt;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const KEY: &[u8] = b"a key for the tests, thirty-two bytes+";
const OTHER: &[u8] = b"another key for the tests, 32 bytes+++";

fn open(path: &Path, keys: &[&'static [u8]]) -> Result<Arc<dyn SessionStore>, OpenError> {
    let ring = Arc::new(KeyRing::new(keys.iter().copied()));
    store::open(&stored_in(StoreUrl::Redb(path.to_owned())), &ring)
}

fn record(version: u64, sealed: &[u8]) -> SealedSession {
    SealedSession { version, ends: at(1_000), last_used: at(100), sealed: sealed.to_vec(), ..SealedSession::default() }
}

const A_WHILE: Duration = Duration::from_secs(30);

/// What every store must do, whatever it is made of.
pub(crate) async fn keeps_the_contract(store: Arc<dyn SessionStore>) {
    keeps_records(&*store).await;
    keeps_tokens_apart(&*store).await;
    lists_sessions(&*store).await;
    grants_leases(&*store).await;
    remembers_marks(&*store).await;
    limits_rates(&*store).await;
    restores(&*store).await;
    names_all_sessions(&*store).await;
    lets_one_of_many_win(&*store).await;
    answers_many_at_once(store).await;
}

async fn names_all_sessions(store: &dyn SessionStore) {
    let keys: Vec<_> = (0..3_000).map(|_| SessionId::random().key()).collect();
    for some in keys.chunks(250) {
        let created = join_all(some.iter().map(|key| store.create(*key, live(1, b"one")))).await;
        assert!(created.into_iter().all(Result::unwrap));
    }
    store.delete(keys[0], at(4_000_000_000)).await.unwrap();
    let pages: Vec<_> = store.keys().try_collect().await.unwrap();
    let named: HashSet<_> = pages.into_iter().flatten().collect();
    assert!(keys[1..].iter().all(|key| named.contains(key)) && !named.contains(&keys[0]), "{}", named.len());
}

async fn keeps_records(store: &dyn SessionStore) {
    let (a, b) = (SessionId::random().key(), SessionId::random().key());
    assert_eq!(store.load(a).await.unwrap(), None);
    assert_eq!(store.update(a, 1, live(2, b"x"), None).await.unwrap(), UpdateOutcome::Gone, "an update never creates");
    assert_eq!(store.load(a).await.unwrap(), None);
    store.touch(vec![(a, at(200))]).await.unwrap();
    assert_eq!(store.load(a).await.unwrap(), None, "nor does a touch");

    assert!(store.create(a, live(1, b"one")).await.unwrap());
    assert!(!store.create(a, live(1, b"two")).await.unwrap(), "a create never overwrites");
    assert_eq!(store.load(a).await.unwrap(), Some(live(1, b"one")));

    assert_eq!(store.update(a, 7, live(8, b"x"), None).await.unwrap(), UpdateOutcome::Stale);
    assert_eq!(store.update(a, 1, live(2, b"two"), None).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(store.update(a, 1, live(2, b"lost"), None).await.unwrap(), UpdateOutcome::Stale, "one writer wins");
    assert_eq!(store.load(a).await.unwrap(), Some(live(2, b"two")));

    store.touch(vec![(a, at(SEEN + 300)), (b, at(SEEN + 300))]).await.unwrap();
    store.touch(vec![(a, at(SEEN + 200))]).await.unwrap();
    assert_eq!(store.load(a).await.unwrap().unwrap().last_used, at(SEEN + 300), "forwards only");
    assert_eq!(store.update(a, 2, live(3, b"three"), None).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(store.load(a).await.unwrap().unwrap().last_used, at(SEEN + 300), "an update keeps a later use");

    assert_eq!(store.delete(b, at(SEEN + 1_000)).await.unwrap(), None);
    assert!(!store.create(b, live(1, b"b")).await.unwrap(), "what was ended before it arrived does not arrive");
    let taken = store.delete(a, at(SEEN + 1_000)).await.unwrap();
    assert_eq!(
        taken.map(|record| record.sealed).as_deref(),
        Some(b"three".as_slice()),
        "a delete returns what it took"
    );
    assert_eq!(store.load(a).await.unwrap(), None);
    assert_eq!(store.update(a, 3, live(4, b"revived"), None).await.unwrap(), UpdateOutcome::Gone);
    assert!(!store.create(a, live(1, b"again")).await.unwrap(), "what was ended is not put back");
    store.ping().await.unwrap();
}

/// Far in the future, for a store that removes by its own clock what is over.
const SEEN: u64 = 4_000_000_000;

fn live(version: u64, sealed: &[u8]) -> SealedSession {
    let card = [b"card of ", sealed].concat();
    SealedSession {
        version,
        ends: at(SEEN + 1_000),
        last_used: at(SEEN),
        sealed: sealed.to_vec(),
        summary: card,
        listed: vec![],
        tokens: SealedTokens::default(),
    }
}

async fn keeps_tokens_apart(store: &dyn SessionStore) {
    let parts = |access: Option<&str>, refresh: Option<&str>| SealedTokens {
        access: access.map(|part| part.as_bytes().to_vec()),
        refresh: refresh.map(|part| part.as_bytes().to_vec()),
    };
    let record = |version, tokens| SealedSession { tokens, ..live(version, b"x") };
    let without = |version| record(version, SealedTokens::default());
    let key = SessionId::random().key();
    assert_eq!(store.load_tokens(key).await.unwrap(), SealedTokens::default());
    assert!(store.create(key, record(1, parts(Some("a1"), Some("r1")))).await.unwrap());
    assert_eq!(store.load(key).await.unwrap(), Some(without(1)), "who somebody is comes without tokens");
    assert_eq!(store.load_tokens(key).await.unwrap(), parts(Some("a1"), Some("r1")));

    let update =
        async |expected, tokens| store.update(key, expected, record(expected + 1, tokens), None).await.unwrap();
    assert_eq!(update(1, parts(Some("a2"), None)).await, UpdateOutcome::Done);
    assert_eq!(store.load_tokens(key).await.unwrap(), parts(Some("a2"), Some("r1")), "the refresh token stays");
    assert_eq!(update(2, SealedTokens::default()).await, UpdateOutcome::Done);
    assert_eq!(update(3, parts(None, Some("r4"))).await, UpdateOutcome::Done);
    assert_eq!(store.load_tokens(key).await.unwrap(), parts(Some("a2"), Some("r4")));
    store.touch(vec![(key, at(SEEN + 300))]).await.unwrap();
    assert_eq!(store.load_tokens(key).await.unwrap(), parts(Some("a2"), Some("r4")), "a touch leaves them alone");

    // The store has lost the last version; somebody has it without tokens, then somebody with them.
    let restore = async |version, tokens| store.restore(key, record(version, tokens)).await.unwrap();
    assert_eq!(restore(4, parts(Some("x"), Some("x"))).await, RestoreOutcome::Newer, "nothing is missing");
    assert_eq!(restore(5, SealedTokens::default()).await, RestoreOutcome::Done);
    assert_eq!(store.load_tokens(key).await.unwrap(), SealedTokens::default(), "none of another version");
    assert_eq!(update(5, parts(Some("a6"), None)).await, UpdateOutcome::Incomplete, "there is none to stay");
    assert_eq!(store.load(key).await.unwrap().unwrap().version, 5);
    assert_eq!(restore(5, SealedTokens::default()).await, RestoreOutcome::Newer);
    assert_eq!(restore(5, parts(Some("a5"), Some("r5"))).await, RestoreOutcome::Done, "it brings what is missing");
    assert_eq!(restore(5, SealedTokens::default()).await, RestoreOutcome::Newer);
    assert_eq!(store.load_tokens(key).await.unwrap(), parts(Some("a5"), Some("r5")));

    let deleted = store.delete(key, at(SEEN + 1_000)).await.unwrap().unwrap();
    assert_eq!((deleted.version, deleted.tokens), (5, parts(Some("a5"), Some("r5"))), "to be revoked");
    assert_eq!(store.load_tokens(key).await.unwrap(), SealedTokens::default());
    assert_eq!(restore(6, parts(Some("a"), Some("r"))).await, RestoreOutcome::Ended);
    assert_eq!(store.load_tokens(key).await.unwrap(), SealedTokens::default());
}

async fn lists_sessions(store: &dyn SessionStore) {
    let (jane, erin) = (IndexKey::user(&unique()), IndexKey::user(&unique()));
    assert_eq!(store.list(jane).await.unwrap(), []);
    let listed = |version| SealedSession { listed: vec![jane, IndexKey::provider_session("s")], ..live(version, b"x") };
    let keys: Vec<_> = (0..40).map(|_| SessionId::random().key()).collect();
    for key in &keys {
        assert!(store.create(*key, listed(1)).await.unwrap());
    }
    let other = SessionId::random().key();
    assert!(store.create(other, SealedSession { listed: vec![erin], ..live(1, b"y") }).await.unwrap());
    let mut found = store.list(jane).await.unwrap();
    found.sort_by_key(|(key, _)| *key);
    let mut sorted = keys.clone();
    sorted.sort();
    assert_eq!(found.iter().map(|(key, _)| *key).collect::<Vec<_>>(), sorted, "all of hers and nobody else's");
    assert!(found.iter().all(|(_, record)| *record == listed(1)));
    assert_eq!(store.update(keys[0], 1, listed(2), None).await.unwrap(), UpdateOutcome::Done);
    store.delete(keys[1], at(SEEN + 1_000)).await.unwrap();
    let found = store.list(jane).await.unwrap();
    assert_eq!(found.len(), 39);
    assert!(found.contains(&(keys[0], listed(2))), "as it is now");
    assert_eq!(store.list(erin).await.unwrap().len(), 1);
}

async fn grants_leases(store: &dyn SessionStore) {
    let key = SessionId::random().key();
    assert_eq!(store.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Gone);
    assert!(store.create(key, live(1, b"one")).await.unwrap());
    let taken = async |ttl| match store.lease(key, ttl).await.unwrap() {
        LeaseOutcome::Taken { fencing_token, abandoned } => (fencing_token, abandoned),
        other => panic!("{other:?}"),
    };
    let (first, abandoned) = taken(A_WHILE).await;
    assert!(!abandoned);
    assert_eq!(store.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Held);
    assert!(store.extend(key, first, A_WHILE).await.unwrap());
    store.release(key, first, LeaseRelease::Free).await.unwrap();
    assert!(!store.extend(key, first, A_WHILE).await.unwrap(), "given back");

    let (second, abandoned) = taken(Duration::from_millis(1)).await;
    assert!(second > first && !abandoned);
    let third = loop {
        match store.lease(key, A_WHILE).await.unwrap() {
            LeaseOutcome::Held => tokio::task::yield_now().await,
            LeaseOutcome::Taken { fencing_token, abandoned } => break (fencing_token, abandoned),
            other => panic!("{other:?}"),
        }
    };
    assert!(third.0 > second && third.1, "its holder died at work");
    assert!(!store.extend(key, second, A_WHILE).await.unwrap(), "too late");
    store.release(key, second, LeaseRelease::Free).await.unwrap();
    assert_eq!(store.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Held, "what is another's is not given back");
    assert_eq!(store.update(key, 1, live(2, b"late"), Some(second)).await.unwrap(), UpdateOutcome::Stale, "fenced off");
    assert_eq!(store.update(key, 1, live(2, b"two"), Some(third.0)).await.unwrap(), UpdateOutcome::Done);
    let (fourth, abandoned) = taken(A_WHILE).await;
    assert!(!abandoned, "an update gives the lease back");

    store.release(key, fourth, LeaseRelease::CoolDown(A_WHILE)).await.unwrap();
    let LeaseOutcome::Paused(left) = store.lease(key, A_WHILE).await.unwrap() else { panic!("nobody gets it") };
    assert!(left <= A_WHILE && left > A_WHILE / 2, "{left:?}");
    store.delete(key, at(SEEN + 1_000)).await.unwrap();
    assert_eq!(store.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Gone);
    assert_eq!(store.update(key, 2, live(3, b"x"), Some(fourth)).await.unwrap(), UpdateOutcome::Gone);

    let key = SessionId::random().key();
    assert!(store.create(key, live(1, b"one")).await.unwrap());
    for (after, doubt) in
        [(LeaseRelease::OutcomeUnknown(Duration::ZERO), true), (LeaseRelease::CoolDown(Duration::ZERO), false)]
    {
        let LeaseOutcome::Taken { fencing_token, .. } = store.lease(key, A_WHILE).await.unwrap() else {
            panic!("free")
        };
        store.release(key, fencing_token, after).await.unwrap();
        let next = store.lease(key, A_WHILE).await.unwrap();
        let LeaseOutcome::Taken { fencing_token, abandoned } = next else { panic!("{next:?}") };
        assert_eq!(abandoned, doubt, "{after:?}");
        store.release(key, fencing_token, LeaseRelease::Free).await.unwrap();
    }
}

async fn remembers_marks(store: &dyn SessionStore) {
    let (a, b) = (RevocationKey::token(&unique()), RevocationKey::token(&unique()));
    assert!(!store.is_revoked(a).await.unwrap());
    assert!(store.revoke(a, at(SEEN)).await.unwrap());
    assert!(!store.revoke(a, at(SEEN)).await.unwrap(), "once");
    assert!(store.is_revoked(a).await.unwrap() && !store.is_revoked(b).await.unwrap());
    assert_eq!(store.revoked_until(a).await.unwrap(), Some(at(SEEN)));
    store.revoke(a, at(SEEN + 5)).await.unwrap();
    store.revoke(a, at(SEEN + 2)).await.unwrap();
    assert_eq!(store.revoked_until(a).await.unwrap(), Some(at(SEEN + 5)), "the later end counts");
}

/// What a process writes back after a loss: never over a tombstone, never over a newer version.
async fn restores(store: &dyn SessionStore) {
    let (lost, ended) = (SessionId::random().key(), SessionId::random().key());
    assert_eq!(store.lookup(lost).await.unwrap(), Lookup::Absent);
    assert_eq!(store.restore(lost, live(2, b"two")).await.unwrap(), RestoreOutcome::Done);
    assert_eq!(store.restore(lost, live(1, b"one")).await.unwrap(), RestoreOutcome::Newer);
    assert_eq!(store.restore(lost, live(2, b"other")).await.unwrap(), RestoreOutcome::Newer);
    assert_eq!(store.lookup(lost).await.unwrap(), Lookup::Found(live(2, b"two")));
    assert_eq!(store.restore(lost, live(3, b"three")).await.unwrap(), RestoreOutcome::Done);
    assert_eq!(store.lookup(lost).await.unwrap(), Lookup::Found(live(3, b"three")));
    assert_eq!(
        store.update(lost, 3, live(4, b"four"), None).await.unwrap(),
        UpdateOutcome::Done,
        "it goes on from there"
    );
    assert_eq!(store.delete(ended, at(SEEN + 7)).await.unwrap(), None);
    assert_eq!(store.lookup(ended).await.unwrap(), Lookup::Ended(at(SEEN + 7)));
    assert_eq!(store.restore(ended, live(9, b"nine")).await.unwrap(), RestoreOutcome::Ended);
    assert_eq!(store.load(ended).await.unwrap(), None);
}

async fn limits_rates(store: &dyn SessionStore) {
    let second = Duration::from_secs(1);
    // Some stores are tried twice on one server.
    let name = || -> &'static str {
        format!("n{}", u64::from_le_bytes(SessionId::random().as_bytes()[..8].try_into().unwrap())).leak()
    };
    let limit = RateLimit { name: name(), per_second: 1, burst: 5 };
    let granted = |permits| match permits {
        Permits::Granted(waits) => waits,
        other => panic!("{other:?}"),
    };
    let asked = futures_util::future::join_all((0..20).map(|_| store.acquire(limit, 2, Duration::ZERO))).await;
    let at_once = asked.into_iter().map(Result::unwrap).filter_map(|permits| match permits {
        Permits::Granted(waits) => Some(waits),
        _ => None,
    });
    let at_once: Vec<_> = at_once.flatten().collect();
    // Another second may pass on a slow machine.
    assert!((1..=10).contains(&at_once.len()), "{at_once:?}");
    assert!(at_once.iter().all(Duration::is_zero), "{at_once:?}");
    let Permits::Exhausted(wait) = store.acquire(limit, 1, Duration::ZERO).await.unwrap() else { panic!("all taken") };
    assert!(wait <= second, "{wait:?}");
    let ahead = granted(store.acquire(limit, 9, second).await.unwrap());
    assert!((1..=2).contains(&ahead.len()) && ahead.iter().all(|wait| *wait <= second), "{ahead:?}");
    let rests = async |limit| match store.acquire(limit, 1, second).await.unwrap() {
        Permits::BackOff(left) => left,
        other => panic!("{other:?}"),
    };
    store.back_off(limit, 60 * second).await.unwrap();
    store.back_off(limit, second).await.unwrap();
    let left = rests(limit).await;
    assert!(left > 30 * second && left <= 60 * second, "the longer rest counts: {left:?}");
    let other = RateLimit { name: name(), ..limit };
    assert!(!granted(store.acquire(other, 1, second).await.unwrap()).is_empty(), "a limit is alone");
    store.back_off(other, Duration::ZERO).await.unwrap();
    assert_eq!(store.warnings().await.unwrap(), []);
}

/// Every one is answered, and of those who race exactly one wins.
async fn answers_many_at_once(store: Arc<dyn SessionStore>) {
    let keys: Vec<_> = (0..100).map(|_| SessionId::random().key()).collect();
    let many = futures_util::future::join_all((0..300).map(|i| {
        let (store, key) = (store.clone(), keys[i % 100]);
        async move { store.create(key, live(1, b"m")).await }
    }));
    assert_eq!(many.await.into_iter().filter(|created| *created.as_ref().unwrap()).count(), 100);
}

/// Whoever comes at the same time: one writer and one holder of the lease win, and what was ended stays so.
async fn lets_one_of_many_win(store: &dyn SessionStore) {
    for _ in 0..20 {
        let key = SessionId::random().key();
        assert!(store.create(key, live(1, b"one")).await.unwrap());
        let leases = join_all((0..10).map(|_| store.lease(key, A_WHILE))).await;
        let holders: Vec<_> = leases
            .into_iter()
            .filter_map(|lease| match lease.unwrap() {
                LeaseOutcome::Taken { fencing_token, .. } => Some(fencing_token),
                LeaseOutcome::Held => None,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(holders.len(), 1, "{holders:?}");
        let updates = join_all((0..10).map(|_| store.update(key, 1, live(2, b"two"), Some(holders[0])))).await;
        assert_eq!(updates.into_iter().filter(|update| *update.as_ref().unwrap() == UpdateOutcome::Done).count(), 1);

        let unborn = SessionId::random().key();
        for key in [key, unborn] {
            let ended = store.delete(key, at(SEEN + 1_000));
            let created = join_all((0..3).map(|_| store.create(key, live(1, b"again"))));
            let restored = join_all((3..6).map(|version| store.restore(key, live(version, b"back"))));
            let updated = join_all((2..5).map(|version| store.update(key, version, live(version + 1, b"x"), None)));
            let (ended, ..) = tokio::join!(ended, created, restored, updated);
            ended.unwrap();
            assert_eq!(store.lookup(key).await.unwrap(), Lookup::Ended(at(SEEN + 1_000)), "an end is an end");
            assert_eq!(store.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Gone);
        }
    }
}

fn unique() -> String {
    format!("{:?}", SessionId::random().key())
}

/// What a store of this machine does beyond: it removes by itself what is over, when it is told the time.
async fn sweeps(store: &dyn SessionStore) {
    let (a, b) = (SessionId::random().key(), SessionId::random().key());
    assert!(store.create(a, record(1, b"a")).await.unwrap() && store.create(b, record(1, b"b")).await.unwrap());
    store.touch(vec![(a, at(300))]).await.unwrap();
    assert_eq!(store.sweep(at(350), Some(Duration::from_secs(100))).await.unwrap(), 1, "b idled, a did not");
    assert_eq!(store.load(b).await.unwrap(), None);
    assert_eq!(store.sweep(at(999), None).await.unwrap(), 0);
    assert_eq!(store.sweep(at(1_000), None).await.unwrap(), 1);
    assert_eq!(store.load(a).await.unwrap(), None);
    let mark = RevocationKey::token(&unique());
    store.revoke(mark, at(500)).await.unwrap();
    store.sweep(at(500), None).await.unwrap();
    assert!(store.is_revoked(mark).await.unwrap());
    store.sweep(at(501), None).await.unwrap();
    assert!(!store.is_revoked(mark).await.unwrap());
}

/// A store of this machine knows how many sessions it has, and counts no other records.
async fn counts(store: &dyn SessionStore) {
    assert_eq!(store.count().await.unwrap(), Some(0));
    let [a, b, machine] = [(); 3].map(|()| SessionId::random().key());
    for key in [a, b] {
        let tokens = SealedTokens { access: Some(b"access".to_vec()), refresh: None };
        assert!(store.create(key, SealedSession { tokens, ..live(1, b"a session") }).await.unwrap());
    }
    assert!(store.create(machine, record(1, b"a machine's token")).await.unwrap());
    assert_eq!(store.count().await.unwrap(), Some(2));
    for key in [a, b, machine] {
        store.delete(key, at(1_000)).await.unwrap();
    }
    assert_eq!(store.count().await.unwrap(), Some(0));
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    let store = store::open(&stored_in(StoreUrl::Memory), &Arc::new(KeyRing::new([KEY]))).unwrap();
    counts(&*store).await;
    sweeps(&*store).await;
    keeps_the_contract(store).await;
}

#[tokio::test]
async fn a_redb_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.redb"), &[KEY]).unwrap();
    counts(&*store).await;
    sweeps(&*store).await;
    keeps_the_contract(store).await;
}

#[tokio::test]
async fn a_renewal_that_a_kill_cut_off_is_told_after_the_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let key = SessionId::random().key();
    let first = open(&path, &[KEY]).unwrap();
    assert!(first.create(key, live(1, b"one")).await.unwrap());
    assert!(matches!(first.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Taken { abandoned: false, .. }));
    drop(first);
    let again = open_when_free(&path, &[KEY]).await.unwrap();
    let LeaseOutcome::Taken { fencing_token, abandoned } = again.lease(key, A_WHILE).await.unwrap() else {
        panic!("free")
    };
    assert!(abandoned);
    assert_eq!(again.update(key, 1, live(2, b"two"), Some(fencing_token)).await.unwrap(), UpdateOutcome::Done);
    drop(again);
    let again = open_when_free(&path, &[KEY]).await.unwrap();
    assert!(matches!(again.lease(key, A_WHILE).await.unwrap(), LeaseOutcome::Taken { abandoned: false, .. }));
}

#[tokio::test]
async fn a_file_keeps_its_records_and_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let key = SessionId::random().key();
    let first = open(&path, &[KEY]).unwrap();
    assert!(first.create(key, record(1, b"kept")).await.unwrap());
    assert!(matches!(open(&path, &[KEY]), Err(OpenError::InUse { .. })), "one process at a time");
    drop(first);
    let again = open_when_free(&path, &[KEY]).await.unwrap();
    assert_eq!(again.load(key).await.unwrap(), Some(record(1, b"kept")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

/// The writer's thread closes the file a moment after its last handle is gone.
async fn open_when_free(path: &Path, keys: &[&'static [u8]]) -> Result<Arc<dyn SessionStore>, OpenError> {
    loop {
        match open(path, keys) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened,
        }
    }
}

#[tokio::test]
async fn a_file_of_another_deployment_is_an_error_that_names_both() {
    let folder = tempfile::tempdir().unwrap();
    let config = stored_in(StoreUrl::Redb(folder.path().join("s.redb")));
    let open = async |issuer: &str, client_id: &str, origin: &str| {
        let ring = Arc::new(KeyRing::new([KEY]).bound_to(Deployment::new(issuer, client_id, origin)));
        loop {
            match store::open(&config, &ring) {
                // Its writer is about to end.
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                opened => break opened.map(drop),
            }
        }
    };
    open("https://pool-1", "web", "https://auth.example.com").await.unwrap();
    for (issuer, client_id, origin) in [
        ("https://pool-2", "web", "https://auth.example.com"),
        ("https://pool-1", "other", "https://auth.example.com"),
        ("https://pool-1", "web", "https://auth.example.org"),
    ] {
        let other = open(issuer, client_id, origin).await.unwrap_err().to_string();
        assert!(other.contains("https://pool-1, ") && other.contains(&format!("{client_id}, ")), "{other}");
    }
    open("https://pool-1", "web", "https://auth.example.com").await.unwrap();
}

#[tokio::test]
async fn a_file_under_other_keys_or_damaged_is_an_error_and_never_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    drop(open(&path, &[KEY]).unwrap());
    let wrong = open_when_free(&path, &[OTHER]).await.unwrap_err();
    assert!(matches!(wrong, OpenError::WrongKey { .. }));
    assert!(wrong.to_string().contains("other cookies.keys") && wrong.to_string().contains("s.redb"));
    // A rotation: the new key first, the old one still there; then the old one can go.
    drop(open_when_free(&path, &[OTHER, KEY]).await.unwrap());
    drop(open_when_free(&path, &[OTHER]).await.unwrap());

    let good = loop {
        if let Ok(bytes) = std::fs::read(&path) {
            break bytes;
        }
    };
    drop(open_when_free(&path, &[OTHER]).await.unwrap());
    let truncated = good[..good.len() / 3].to_vec();
    let mut scrambled = good.clone();
    for byte in scrambled.iter_mut().take(4_096) {
        *byte ^= 0x5a;
    }
    for (case, bytes) in
        [("empty", vec![]), ("cut", truncated), ("scrambled", scrambled), ("text", b"hello".repeat(999))]
    {
        let path = folder.path().join(format!("{case}.redb"));
        std::fs::write(&path, &bytes).unwrap();
        let error = open(&path, &[OTHER]).expect_err(case);
        assert!(error.to_string().contains("cannot be"), "{case}: {error}");
        assert_eq!(std::fs::read(&path).unwrap().len(), bytes.len(), "{case}: the file is left as it was");
    }
    let nowhere = open(&folder.path().join("no/such/folder/s.redb"), &[KEY]).unwrap_err();
    assert!(matches!(nowhere, OpenError::Io { .. }));
}

#[tokio::test]
async fn a_stolen_store_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.redb");
    let site = Site::with(&[("SESSION__STORE", &format!("redb:{}", path.display()))]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let cookie = jane.cookies(&site.cms_url).split_once('=').unwrap().1.to_owned();
    let id = SessionId::parse(cookie.as_bytes()).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    assert!(holds(&id.key().0), "the record is there");
    for secret in [id.as_bytes().as_slice(), cookie.as_bytes(), b"jane", b"eyJ", b"openid"] {
        assert!(!holds(secret), "{}", String::from_utf8_lossy(secret));
    }
}

#[tokio::test]
async fn a_session_ends_at_its_absolute_age_whatever_happens() {
    let site = Site::with(&[("SESSION__MAX_AGE", "12h")]).await;
    let jane = Browser::new();
    let landed = jane.sign_in(&site, "jane").await;
    let age: u64 =
        landed.set_cookies("auth=")[0].split("Max-Age=").nth(1).unwrap().split(';').next().unwrap().parse().unwrap();
    assert!((43_190..=43_200).contains(&age), "{age}");
    site.pass(12 * 3_600 - 10);
    assert_eq!(jane.validate(&site).await.status, 200);
    assert_eq!(jane.post(&site.auth("/refresh"), &[]).await.status, 200);
    site.pass(10);
    assert_eq!(jane.validate(&site).await.status, 401);
    assert_eq!(jane.post(&site.auth("/refresh?force=true"), &[]).await.status, 401);
    assert_eq!(site.rp.sessions.sweep().await.unwrap(), 1);
}

#[tokio::test]
async fn an_idle_session_ends_and_a_used_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    for store in ["memory:".to_owned(), format!("redb:{}", folder.path().join("s.redb").display())] {
        let site = Site::with(&[("SESSION__IDLE", "1h"), ("SESSION__STORE", &store)]).await;
        let (jane, erin) = (Browser::new(), Browser::new());
        jane.sign_in(&site, "jane").await;
        erin.sign_in(&site, "erin").await;
        for _ in 0..4 {
            site.pass(40 * 60);
            assert_eq!(jane.validate(&site).await.status, 200, "used every forty minutes");
        }
        assert_eq!(erin.validate(&site).await.status, 401, "idle for longer than an hour");
        assert_eq!(site.rp.sessions.sweep().await.unwrap(), 1, "hers is removed, the used one is not");
        assert_eq!(jane.validate(&site).await.status, 200);
    }
}

#[tokio::test]
async fn who_works_elsewhere_does_not_idle_here() {
    let store = store::open(&stored_in(StoreUrl::Memory), &Arc::new(KeyRing::new([KEY]))).unwrap();
    let site = Site::over_with(store.clone(), &[("SESSION__IDLE", "1h")]).await;
    let jane = Browser::new();
    jane.sign_in(&site, "jane").await;
    let cookie = jane.cookies(&site.cms_url).split_once('=').unwrap().1.to_owned();
    let key = SessionId::parse(cookie.as_bytes()).unwrap().key();
    for _ in 0..3 {
        assert_eq!(jane.validate(&site).await.status, 200);
        site.pass(40 * 60);
        store.touch(vec![(key, site.clock.now())]).await.unwrap(); // as another process does
        site.pass(40 * 60);
    }
    assert_eq!(jane.validate(&site).await.status, 200);
    site.pass(60 * 60);
    assert_eq!(jane.validate(&site).await.status, 401);
}

#[tokio::test]
async fn a_sweep_removes_what_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.redb"), &[KEY]).unwrap();
    for i in 0..1_500u64 {
        let record = SealedSession { version: 1, ends: at(i), ..SealedSession::default() };
        let mut id = [0; 16];
        id[..8].copy_from_slice(&i.to_le_bytes());
        let store = store.clone();
        if i % 500 == 499 {
            store.create(SessionId::from_bytes(id).key(), record).await.unwrap();
        } else {
            tokio::spawn(async move { store.create(SessionId::from_bytes(id).key(), record).await });
        }
    }
    store.ping().await.unwrap();
    assert_eq!(store.sweep(at(1_000), None).await.unwrap(), 1_001);
    assert_eq!(store.sweep(at(1_000), None).await.unwrap(), 0);
    assert_eq!(store.sweep(at(u64::MAX), None).await.unwrap(), 499);
}
