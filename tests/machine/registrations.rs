//! Clients in the session store, as several processes see them.

use super::watched_store::{Watched, empty};
use auth_api::app::App;
use auth_api::config::{ClientMetadata, Config, Sources, load, new_client};
use auth_api::domain::client_registration::{ClientChange, RegistrationPlace};
use auth_api::domain::clock::SystemClock;
use auth_api::domain::machine::{SecretHash, new_secret};
use auth_api::flow::{ClientCredentials, ClientStoreError, MachineError, RelyingParty};
use auth_api::store::{self, SessionStore};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

const KEY: &str = "a key of this test, 32 bytes long";
const NEXT_KEY: &str = "its successor of at least 32 bytes";

/// A configuration with these upstreams and one client, `nightly`.
fn config(upstreams: &[&str], keys: &[&str]) -> Config {
    let hash = SecretHash::of("configured");
    let mut text = format!(
        r#"
server.public_url = "https://auth.example.com"
cookies = {{ domain = "example.com", keys = {keys:?} }}
session.store = "memory:"
[provider]
issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_aB3dE5fG7"
client_id = "web"
client_secret = "secret"
[[machine.client]]
id = "nightly"
secret_hashes = ["{hash}"]
owner = "us"
scopes = ["a/b"]
upstream = "a"
"#
    );
    for name in upstreams {
        text += &format!("[[machine.upstream]]\nname = \"{name}\"\nclient_id = \"at-{name}\"\nclient_secret = \"s\"\n");
    }
    load(Sources { file: Some(("auth-api.toml".into(), text)), env: vec![] }).unwrap()
}

/// A process over `store`, without its background tasks.
fn process(store: Arc<dyn SessionStore>, upstreams: &[&str], keys: &[&str]) -> Arc<RelyingParty> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    App::over(store, &config(upstreams, keys), Arc::new(SystemClock)).unwrap().rp
}

/// The registration of a new client, and its secret.
fn registration(id: &str, upstream: &str) -> (ClientChange, SecretString) {
    let scopes = vec!["a/b".to_owned()];
    let (owner, upstream) = ("them".to_owned(), upstream.to_owned());
    let made = new_client(ClientMetadata { id: id.to_owned(), owner, scopes, upstream, ..ClientMetadata::default() });
    let made = made.unwrap();
    (ClientChange::Register(id.to_owned(), made.block.to_string()), made.secret)
}

/// Whether the secret is good: 1 yes, 0 no, -1 nobody can say.
async fn admits(process: &RelyingParty, id: &str, secret: &SecretString) -> i8 {
    let shown = ClientCredentials { id: id.to_owned(), secret: secret.clone(), address: None };
    match process.introspect(shown, "no token", None).await {
        Ok(_) | Err(MachineError::Provider(_)) => 1,
        Err(MachineError::InvalidClient) => 0,
        Err(MachineError::Store(_)) => -1,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn every_process_knows_what_one_has_registered() {
    let store = empty();
    let (one, other) = (process(store.clone(), &["a"], &[KEY]), process(store, &["a"], &[KEY]));
    let (register, secret) = registration("weekly", "a");
    assert_eq!(admits(&one, "weekly", &secret).await, -1, "nobody has asked the store yet");
    assert_eq!(admits(&one, "nightly", &"configured".into()).await, -1, "it may have been disabled");
    one.change_clients(&register).await.unwrap();
    assert_eq!(admits(&one, "weekly", &secret).await, 1);
    assert!(other.broker.refresh_clients().await.unwrap().is_empty());
    assert_eq!(admits(&other, "weekly", &secret).await, 1);
    assert_eq!(admits(&other, "weekly", &"another".into()).await, 0);
    for id in ["weekly", "nightly"] {
        other.change_clients(&ClientChange::Disable(id.to_owned())).await.unwrap();
    }
    let list = one.list_clients().await.unwrap();
    assert_eq!(admits(&one, "weekly", &secret).await, 0);
    assert_eq!(admits(&one, "nightly", &"configured".into()).await, 0, "in the configuration or not");
    let states: Vec<_> = list.clients.iter().map(|c| (c.id.as_str(), c.place, c.disabled)).collect();
    let expected = [("nightly", RegistrationPlace::Configuration), ("weekly", RegistrationPlace::Store)];
    assert_eq!(states, expected.map(|(id, place)| (id, place, true)));
    one.change_clients(&ClientChange::Enable("weekly".to_owned())).await.unwrap();
    one.change_clients(&ClientChange::Remove("weekly".to_owned())).await.unwrap();
    let (again, new_secret) = registration("weekly", "a");
    one.change_clients(&again).await.unwrap();
    assert_eq!(admits(&one, "weekly", &new_secret).await, 1, "an id can be had again");
    assert_eq!(admits(&one, "weekly", &secret).await, 0);
}

#[tokio::test]
async fn secrets_are_rotated_one_by_one_or_at_once() {
    let process = process(empty(), &["a"], &[KEY]);
    let (register, first) = registration("weekly", "a");
    process.change_clients(&register).await.unwrap();
    let [second, third, fourth] = [(); 3].map(|()| new_secret());
    let hash = |secret: &SecretString| SecretHash::of(secret.expose_secret()).to_string();
    let good = async || {
        let mut good = vec![];
        for secret in [&first, &second, &third, &fourth] {
            good.push(admits(&process, "weekly", secret).await);
        }
        good
    };
    let id = || "weekly".to_owned();
    let only = process.change_clients(&ClientChange::RetireSecrets(id())).await.unwrap_err();
    assert!(only.to_string().contains("one secret only"), "{only}");
    for (change, expected) in [
        (ClientChange::AddSecret(id(), hash(&second)), [1, 1, 0, 0]),
        (ClientChange::RetireSecrets(id()), [0, 1, 0, 0]),
        (ClientChange::AddSecret(id(), hash(&third)), [0, 1, 1, 0]),
        (ClientChange::ReplaceSecrets(id(), hash(&fourth)), [0, 0, 0, 1]),
    ] {
        process.change_clients(&change).await.unwrap();
        assert_eq!(good().await, expected, "{change:?}");
    }
    // Whichever of two is in use, none is dropped unasked.
    process.change_clients(&ClientChange::AddSecret(id(), hash(&first))).await.unwrap();
    let two = process.change_clients(&ClientChange::AddSecret(id(), hash(&second))).await.unwrap_err();
    assert!(two.to_string().contains("two secrets"), "{two}");
    assert_eq!(good().await, [1, 0, 0, 1]);
}

#[tokio::test]
async fn who_was_disabled_stays_so_though_the_store_loses_the_change() {
    let store = Watched::new();
    let knowing = process(store.clone(), &["a"], &[KEY]);
    let ((register, secret), (later, _)) = (registration("weekly", "a"), registration("monthly", "a"));
    knowing.change_clients(&register).await.unwrap();
    knowing.change_clients(&later).await.unwrap();
    // Emptied; and a command that knows nothing of it is faster than the process that does.
    store.replace(empty());
    let command = process(store.clone(), &["a"], &[KEY]);
    command.change_clients(&ClientChange::Disable("nightly".to_owned())).await.unwrap();
    let (hurried, its) = registration("hurried", "a");
    command.change_clients(&hurried).await.unwrap();
    for _ in 0..2 {
        knowing.broker.refresh_clients().await.unwrap();
        command.broker.refresh_clients().await.unwrap();
    }
    for process in [&knowing, &command] {
        assert_eq!(admits(process, "weekly", &secret).await, 1, "it is back");
        assert_eq!(admits(process, "nightly", &"configured".into()).await, 0, "it is still disabled");
        assert_eq!(admits(process, "hurried", &its).await, 0, "it may have been removed since");
    }
    command.change_clients(&ClientChange::Enable("hurried".to_owned())).await.unwrap();
    assert_eq!(admits(&command, "hurried", &its).await, 1, "it was not lost");
    // Two changes that another process has missed are not taken for a loss.
    command.change_clients(&ClientChange::Enable("nightly".to_owned())).await.unwrap();
    command.change_clients(&ClientChange::Remove("monthly".to_owned())).await.unwrap();
    knowing.broker.refresh_clients().await.unwrap();
    assert_eq!(admits(&knowing, "nightly", &"configured".into()).await, 1);
}

#[tokio::test]
async fn a_disabled_client_gets_nothing_from_a_process_that_cannot_read_the_store() {
    let store = Watched::new();
    let before = process(store.clone(), &["a"], &[KEY]);
    before.change_clients(&ClientChange::Disable("nightly".to_owned())).await.unwrap();
    store.fail(true);
    let started = process(store.clone(), &["a"], &[KEY]);
    assert!(started.broker.refresh_clients().await.is_err());
    assert_eq!(admits(&started, "nightly", &"configured".into()).await, -1);
    store.fail(false);
    started.broker.refresh_clients().await.unwrap();
    assert_eq!(admits(&started, "nightly", &"configured".into()).await, 0);
}

#[tokio::test]
async fn what_a_store_has_lost_is_written_back_by_whoever_knows_it() {
    let store = Watched::new();
    let knowing = process(store.clone(), &["a"], &[KEY]);
    let (register, secret) = registration("weekly", "a");
    knowing.change_clients(&register).await.unwrap();
    let disable = ClientChange::Disable("nightly".to_owned());
    knowing.change_clients(&disable).await.unwrap();
    // Away, it changes nothing; nor may a change be lost in it.
    store.fail(true);
    assert!(knowing.broker.refresh_clients().await.is_err());
    assert!(knowing.change_clients(&ClientChange::Enable("nightly".to_owned())).await.is_err());
    store.fail(false);
    assert_eq!(admits(&knowing, "weekly", &secret).await, 1);
    // It has lost everything.
    let before = store.replace(empty());
    knowing.broker.refresh_clients().await.unwrap();
    assert_eq!(admits(&knowing, "weekly", &secret).await, 1);
    let newcomer = process(store.clone(), &["a"], &[KEY]);
    newcomer.broker.refresh_clients().await.unwrap();
    assert_eq!(admits(&newcomer, "weekly", &secret).await, 1);
    assert_eq!(admits(&newcomer, "nightly", &"configured".into()).await, 0);
    // A replica takes over that has not heard of the last change.
    knowing.change_clients(&ClientChange::Remove("weekly".to_owned())).await.unwrap();
    store.replace(before);
    knowing.broker.refresh_clients().await.unwrap();
    newcomer.broker.refresh_clients().await.unwrap();
    assert_eq!(admits(&newcomer, "weekly", &secret).await, 0);
}

#[tokio::test]
async fn a_key_can_be_replaced_and_a_lost_one_is_an_error() {
    let store = empty();
    let (register, secret) = registration("weekly", "a");
    process(store.clone(), &["a"], &[KEY]).change_clients(&register).await.unwrap();
    let stranger = process(store.clone(), &["a"], &[NEXT_KEY]);
    let error = stranger.broker.refresh_clients().await.unwrap_err();
    assert!(matches!(error, ClientStoreError::Store(store::Error::OtherDeployment(_))), "{error}");
    assert_eq!(admits(&stranger, "weekly", &secret).await, -1);
    assert!(stranger.change_clients(&registration("other", "a").0).await.is_err(), "nothing is overwritten");
    process(store, &["a"], &[NEXT_KEY, KEY]).broker.refresh_clients().await.unwrap();
    stranger.broker.refresh_clients().await.expect("it was sealed by the new key since");
    assert_eq!(admits(&stranger, "weekly", &secret).await, 1);
}

#[tokio::test]
async fn a_client_that_this_configuration_cannot_serve_is_left_out_alone() {
    let store = empty();
    let (large, small) = (process(store.clone(), &["a", "b"], &[KEY]), process(store, &["a"], &[KEY]));
    let ((first, its), (second, good)) = (registration("weekly", "b"), registration("monthly", "a"));
    large.change_clients(&first).await.unwrap();
    large.change_clients(&second).await.unwrap();
    let mistakes = small.broker.refresh_clients().await.unwrap();
    assert!(mistakes.len() == 1 && mistakes[0].contains("(weekly)"), "{mistakes:?}");
    assert_eq!((admits(&small, "weekly", &its).await, admits(&small, "monthly", &good).await), (0, 1));
    // Registered, and so nothing that could pass through to the provider.
    let list = small.list_clients().await.unwrap().clients;
    assert!(list.iter().any(|client| client.id == "weekly" && client.disabled), "{list:?}");
    assert_eq!((admits(&large, "weekly", &its).await, large.list_clients().await.unwrap().clients.len()), (1, 3));
    for (change, mistake) in [
        (registration("yearly", "b").0, "no [[machine.upstream]] `b`"),
        (registration("monthly", "a").0, "registered already"),
        (registration("nightly", "a").0, "registered already"),
        (ClientChange::Register("yearly".into(), "no TOML".into()), "cannot be read"),
        (ClientChange::Register("yearly".into(), "upstream = \"a\"".into()), "required"),
        (ClientChange::Remove("nightly".into()), "in the configuration"),
        (ClientChange::AddSecret("nightly".into(), "sha256:".into()), "in the configuration"),
        (ClientChange::AddSecret("monthly".into(), "a secret".into()), "not the hash"),
        (ClientChange::Disable("nobody".into()), "no client"),
        (ClientChange::Enable("nobody".into()), "no client"),
        (ClientChange::Remove("nobody".into()), "no client"),
    ] {
        let error = small.change_clients(&change).await.unwrap_err().to_string();
        assert!(error.contains(mistake), "{change:?}: {error}");
    }
    assert_eq!(large.list_clients().await.unwrap().clients.len(), 3, "nothing was written");
}

#[tokio::test]
async fn processes_that_disagree_about_the_first_key_do_not_seal_anew_for_ever() {
    let store = Watched::new();
    let processes = [&[KEY, NEXT_KEY], &[NEXT_KEY, KEY]].map(|keys| process(store.clone(), &["a"], keys));
    processes[0].change_clients(&registration("weekly", "a").0).await.unwrap();
    for _ in 0..2 {
        for process in &processes {
            process.broker.refresh_clients().await.unwrap();
        }
    }
    let writes = store.writes();
    for _ in 0..5 {
        for process in &processes {
            process.broker.refresh_clients().await.unwrap();
        }
    }
    assert_eq!(store.writes(), writes);
}

#[tokio::test]
async fn changes_at_the_same_time_do_not_undo_each_other() {
    let store = empty();
    let processes: Vec<_> = (0..4).map(|_| process(store.clone(), &["a"], &[KEY])).collect();
    let register = async |nth: usize, id: String| processes[nth % 4].change_clients(&registration(&id, "a").0).await;
    let done = futures_util::future::join_all((0..12).map(|nth| register(nth, format!("client-{nth}")))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(processes[0].list_clients().await.unwrap().clients.len(), 13);
}
