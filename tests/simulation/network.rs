//! A process's way to the store: delayed, reordered, lost, answered too late or not at all.

use super::World;
use super::draw;
use super::server::{Event, Listener, Server};
use crate::domain::clock::Timestamp;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use crate::store::{
    Error, FencingToken, InvalidationListener, LeaseOutcome, LeaseRelease, Lookup, Permits, RateLimit, RestoreOutcome,
    SealedSession, SealedTokens, SessionStore, UpdateOutcome,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval, sleep, sleep_until, timeout_at};

/// `session.store_timeout`.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(1);
/// `session.max_stale`.
pub(super) const MAX_STALE: Duration = Duration::from_secs(1);
/// How often a canary is written.
const CANARY: Duration = Duration::from_secs(1);

/// The store as one process sees it. A process that crashed gets no answers any more, but what it asked for happens.
#[derive(Debug)]
pub(super) struct Connection {
    world: Arc<World>,
    process: usize,
    /// Which start of the process it belongs to.
    start: u64,
    canary: Mutex<Option<u64>>,
    next: Mutex<u64>,
}

impl Connection {
    pub(super) fn new(world: Arc<World>, process: usize, start: u64) -> Self {
        // Two starts of a process share no canary and no lease.
        Self { world, process, start, canary: Mutex::default(), next: Mutex::new(start * 1_000_000 + 1) }
    }

    /// A number that no other call has had.
    fn number(&self) -> u64 {
        let mut next = self.next.lock().unwrap();
        *next += 1;
        *next * 10 + self.process as u64
    }

    async fn call<T: Send + 'static>(&self, job: impl FnOnce(&mut Server) -> T + Send + 'static) -> Result<T, Error> {
        self.world.only_alive(self.process, self.start).await;
        let deadline = Instant::now() + STORE_TIMEOUT;
        let path = self.world.weather().path_to_store(self.process);
        let (world, process) = (self.world.clone(), self.process);
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            sleep(path.there).await;
            if path.loses_request || world.weather().is_store_away(process) {
                // Refused at once, or never answered.
                if path.resets {
                    drop(tell);
                } else {
                    sleep_until(deadline).await;
                }
                return;
            }
            let done = job(&mut world.server());
            sleep(path.back).await;
            if path.loses_answer || world.weather().is_store_away(process) {
                if !path.resets {
                    sleep_until(deadline).await;
                }
                return;
            }
            let _ = tell.send(done);
        });
        let answered = timeout_at(deadline, told).await;
        self.world.only_alive(self.process, self.start).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Error::Unavailable("connection reset".into())),
            Err(_) => Err(Error::Unavailable("no answer in time".into())),
        }
    }

    /// As `src/store/redis/follow.rs` does it.
    #[expect(clippy::too_many_lines, reason = "one loop over everything that the connection waits for")]
    async fn listen(&self, listener: &dyn InvalidationListener) -> Result<Infallible, Error> {
        let (tell, mut told) = mpsc::unbounded_channel();
        let broken = Arc::<Mutex<Option<Instant>>>::default();
        let (process, connection) = (self.process, Listener::new(tell, broken.clone()));
        self.call(move |server| server.listen(process, connection)).await?;
        let acknowledged = *self.canary.lock().unwrap();
        let lost = match acknowledged {
            Some(value) => self.call(move |server| server.canary(process)).await?.is_none_or(|found| found < value),
            None => false,
        };
        self.world.trace(format_args!("p{process} listens, lost: {lost}"));
        listener.started(lost);
        *self.canary.lock().unwrap() = None;
        let (mut beats, mut canaries) = (interval(MAX_STALE / 4), interval(CANARY));
        let mut asked = None::<Instant>;
        let mut writing = None::<BoxFuture<'_, Result<u64, Error>>>;
        loop {
            let silence = asked.map(|asked| asked + STORE_TIMEOUT);
            tokio::select! {
                biased;
                event = told.recv() => {
                    let Some((at, event)) = event else { return Err(Error::Unavailable("connection reset".into())) };
                    sleep_until(at).await;
                    self.world.only_alive(self.process, self.start).await;
                    if broken.lock().unwrap().is_some_and(|broken| broken < at) {
                        continue;
                    }
                    match event {
                        Event::Changed(key) => listener.session_changed(key),
                        Event::Ended(key) => listener.session_ended(key),
                        Event::Marked(mark) => listener.token_revoked(mark),
                        Event::Emptied => listener.store_emptied(),
                        Event::Beat(at) => {
                            asked = None;
                            listener.synced(at);
                        }
                    }
                }
                () = sleep_until(silence.unwrap_or_else(Instant::now)), if silence.is_some() => {
                    return Err(Error::Unavailable("no answer in time".into()));
                }
                _ = beats.tick(), if asked.is_none() => {
                    asked = Some(Instant::now());
                    if !self.world.weather().is_store_away(process) {
                        self.world.server().beat(process, Instant::now());
                    }
                }
                written = async { writing.as_mut().expect("it is there").await }, if writing.is_some() => {
                    writing = None;
                    if let Ok(value) = written {
                        *self.canary.lock().unwrap() = Some(value);
                    }
                }
                _ = canaries.tick(), if writing.is_none() => {
                    let value = self.number();
                    writing = Some(Box::pin(async move {
                        self.call(move |server| server.set_canary(process, value)).await.map(|()| value)
                    }));
                }
            }
        }
    }
}

#[async_trait]
impl SessionStore for Connection {
    async fn create(&self, key: SessionKey, record: SealedSession) -> Result<bool, Error> {
        self.call(move |server| server.create(key, record)).await
    }

    async fn lookup(&self, key: SessionKey) -> Result<Lookup, Error> {
        self.call(move |server| server.lookup(key)).await
    }

    async fn load_tokens(&self, key: SessionKey) -> Result<SealedTokens, Error> {
        self.call(move |server| server.load_tokens(key)).await
    }

    async fn update(
        &self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> Result<UpdateOutcome, Error> {
        self.call(move |server| server.update(key, expected, record, fencing_token)).await
    }

    async fn touch(&self, last_used: Vec<(SessionKey, Timestamp)>) -> Result<(), Error> {
        self.call(move |server| server.touch(&last_used)).await
    }

    async fn restore(&self, key: SessionKey, record: SealedSession) -> Result<RestoreOutcome, Error> {
        self.call(move |server| server.restore(key, record)).await
    }

    async fn delete(&self, key: SessionKey, until: Timestamp) -> Result<Option<SealedSession>, Error> {
        self.call(move |server| server.delete(key, until)).await
    }

    async fn list(&self, mark: IndexKey) -> Result<Vec<(SessionKey, SealedSession)>, Error> {
        self.call(move |server| server.list(mark)).await
    }

    fn keys(&self) -> BoxStream<'_, Result<Vec<SessionKey>, Error>> {
        unreachable!("no operator asks in the simulation")
    }

    async fn lease(&self, key: SessionKey, ttl: Duration) -> Result<LeaseOutcome, Error> {
        let asker = self.number();
        self.call(move |server| server.lease(key, ttl, asker)).await
    }

    async fn extend(&self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> Result<bool, Error> {
        self.call(move |server| server.extend(key, fencing_token, ttl)).await
    }

    async fn release(&self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) -> Result<(), Error> {
        self.call(move |server| server.release(key, fencing_token, after)).await
    }

    async fn revoke(&self, mark: RevocationKey, until: Timestamp) -> Result<bool, Error> {
        self.call(move |server| server.revoke(mark, until)).await
    }

    async fn revoked_until(&self, mark: RevocationKey) -> Result<Option<Timestamp>, Error> {
        self.call(move |server| server.revoked_until(mark)).await
    }

    async fn sweep(&self, _: Timestamp, _: Option<Duration>) -> Result<u64, Error> {
        // Redis lets them expire.
        Ok(0)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.call(|_| ()).await
    }

    async fn acquire(&self, _: RateLimit, wanted: u32, _: Duration) -> Result<Permits, Error> {
        self.call(move |_| Permits::Granted(vec![Duration::ZERO; wanted as usize])).await
    }

    async fn back_off(&self, _: RateLimit, _: Duration) -> Result<(), Error> {
        self.call(|_| ()).await
    }

    async fn follow(&self, listener: &dyn InvalidationListener) -> Error {
        let Err(error) = self.listen(listener).await;
        self.world.trace(format_args!("p{} hears no longer: {error}", self.process));
        error
    }
}

/// How one question travels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Path {
    pub(super) there: Duration,
    pub(super) back: Duration,
    pub(super) loses_request: bool,
    pub(super) loses_answer: bool,
    /// Who asked learns at once that there is no answer.
    pub(super) resets: bool,
}

impl Path {
    /// One over a good network.
    pub(super) fn good() -> Self {
        let (there, back) = (draw::millis(0, 2), draw::millis(0, 2));
        Self { there, back, loses_request: false, loses_answer: false, resets: draw::chance(500) }
    }
}
