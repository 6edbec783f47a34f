//! What a store tells of changes.

use super::until;
use auth_api::domain::store_key::{RevocationKey, SessionKey};
use auth_api::store::{Error, InvalidationListener, SessionStore};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Writes down what it hears.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Said>);

#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) begun: u32,
    pub(crate) lost: bool,
    pub(crate) changed: Vec<SessionKey>,
    pub(crate) ended: Vec<SessionKey>,
    pub(crate) marked: Vec<RevocationKey>,
    pub(crate) emptied: u32,
    pub(crate) current: Option<Instant>,
    pub(crate) lag: Option<Duration>,
}

impl Heard {
    pub(crate) fn said(&self) -> MutexGuard<'_, Said> {
        self.0.lock().unwrap()
    }
}

impl InvalidationListener for Heard {
    fn started(&self, lost: bool) {
        self.said().begun += 1;
        self.said().lost = lost;
    }
    fn exclusive(&self) {
        panic!("this store is for many processes");
    }
    fn session_changed(&self, key: SessionKey) {
        self.said().changed.push(key);
    }
    fn session_ended(&self, key: SessionKey) {
        self.said().ended.push(key);
    }
    fn token_revoked(&self, mark: RevocationKey) {
        self.said().marked.push(mark);
    }
    fn store_emptied(&self) {
        self.said().emptied += 1;
    }
    fn synced(&self, at: Instant) {
        self.said().current = Some(at);
    }
    fn invalidation_lag(&self, took: Duration) {
        self.said().lag = Some(took);
    }
}

/// Follows a store until it can no longer, and says when it began.
pub(crate) async fn follow(store: Arc<dyn SessionStore>) -> (Arc<Heard>, JoinHandle<Error>) {
    let heard = Arc::new(Heard::default());
    let task = {
        let heard = heard.clone();
        tokio::spawn(async move { store.follow(&*heard).await })
    };
    until("following begins", async || heard.said().begun == 1).await;
    (heard, task)
}

/// Waits until everything before now was heard.
pub(crate) async fn caught_up(heard: &Heard) {
    let now = Instant::now();
    until("everything is heard", async || heard.said().current.is_some_and(|at| at > now)).await;
}
