//! Sessions: kept safely, ended on time.

use crate::support::{Browser, Site};
use auth_api::config::StoreUrl;
use auth_api::domain::seal::KeyRing;
use auth_api::domain::session::SessionId;
use auth_api::store::{self, OpenError, Record, SessionStore, Update};
use std::path::Path;
use std::sync::Arc;

const KEY: &[u8] = b"a key for the tests, thirty-two bytes+";
const OTHER: &[u8] = b"another key for the tests, 32 bytes+++";

fn open(path: &Path, keys: &[&'static [u8]]) -> Result<Arc<dyn SessionStore>, OpenError> {
    store::open(&StoreUrl::Redb(path.to_owned()), &KeyRing::new(keys.iter().copied()))
}

fn record(version: u64, sealed: &[u8]) -> Record {
    Record { version, ends: 1_000, seen: 100, sealed: sealed.to_vec() }
}

/// What every store must do, whatever it is made of.
async fn keeps_the_contract(store: Arc<dyn SessionStore>) {
    let (a, b) = (SessionId::random().key(), SessionId::random().key());
    assert_eq!(store.load(a).await.unwrap(), None);
    assert_eq!(store.update(a, 1, record(2, b"x")).await.unwrap(), Update::Gone, "an update never creates");
    assert_eq!(store.load(a).await.unwrap(), None);
    assert_eq!(store.delete(a).await.unwrap(), None);
    store.touch(vec![(a, 200)]).await.unwrap();
    assert_eq!(store.load(a).await.unwrap(), None, "nor does a touch");

    assert!(store.create(a, record(1, b"one")).await.unwrap());
    assert!(!store.create(a, record(1, b"two")).await.unwrap(), "a create never overwrites");
    assert_eq!(store.load(a).await.unwrap(), Some(record(1, b"one")));

    assert_eq!(store.update(a, 7, record(8, b"x")).await.unwrap(), Update::Stale);
    assert_eq!(store.update(a, 1, record(2, b"two")).await.unwrap(), Update::Done);
    assert_eq!(store.update(a, 1, record(2, b"lost")).await.unwrap(), Update::Stale, "one writer wins");
    assert_eq!(store.load(a).await.unwrap(), Some(record(2, b"two")));

    store.touch(vec![(a, 300), (b, 300)]).await.unwrap();
    store.touch(vec![(a, 200)]).await.unwrap();
    assert_eq!(store.load(a).await.unwrap().unwrap().seen, 300, "forwards only");
    assert_eq!(store.update(a, 2, record(3, b"three")).await.unwrap(), Update::Done);
    assert_eq!(store.load(a).await.unwrap().unwrap().seen, 300, "an update keeps a later use");

    assert!(store.create(b, record(1, b"b")).await.unwrap());
    assert_eq!(store.sweep(350, Some(100)).await.unwrap(), 1, "b idled, a did not");
    assert_eq!(store.load(b).await.unwrap(), None);
    assert_eq!(store.sweep(999, None).await.unwrap(), 0);
    assert_eq!(store.sweep(1_000, None).await.unwrap(), 1);
    assert_eq!(store.load(a).await.unwrap(), None);

    assert!(store.create(a, record(1, b"again")).await.unwrap());
    assert_eq!(store.delete(a).await.unwrap(), Some(record(1, b"again")), "a delete returns what it took");
    assert_eq!(store.update(a, 1, record(2, b"revived")).await.unwrap(), Update::Gone);
    store.ping().await.unwrap();

    // Many writers at once: every one is answered, and of those who race exactly one wins.
    let many =
        futures_util::future::join_all((0..300).map(|i| {
            let store = store.clone();
            async move {
                store.create(SessionId::from_bytes([u8::try_from(i % 100).unwrap(); 16]).key(), record(1, b"m")).await
            }
        }));
    assert_eq!(many.await.into_iter().filter(|created| *created.as_ref().unwrap()).count(), 100);
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    keeps_the_contract(store::open(&StoreUrl::Memory, &KeyRing::new([KEY])).unwrap()).await;
}

#[tokio::test]
async fn a_redb_file_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(open(&folder.path().join("s.redb"), &[KEY]).unwrap()).await;
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
async fn a_sweep_removes_what_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("s.redb"), &[KEY]).unwrap();
    for i in 0..1_500u64 {
        let record = Record { version: 1, ends: i, seen: 0, sealed: vec![] };
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
    assert_eq!(store.sweep(1_000, None).await.unwrap(), 1_001);
    assert_eq!(store.sweep(1_000, None).await.unwrap(), 0);
    assert_eq!(store.sweep(u64::MAX, None).await.unwrap(), 499);
}
