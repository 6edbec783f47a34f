//! Sessions as the flows see them: sealed on the way in, opened on the way out, the opened ones kept
//! at hand so that a session seen before costs one hash and one look-up.

use super::journal::{Journal, Write};
use super::live::{Listed, Live};
use super::sealing::Sealing;
use super::snapshots::{Snapshots, in_doubt};
use super::{After, Error, Fence, Leased, SessionStore, Update, touch_step};
use crate::domain::clock::Clock;
use crate::domain::seal::KeyRing;
use crate::domain::session::{Card, Mark, Session, SessionId, SessionKey};
use crate::domain::token::TokenNames;
use crate::telemetry::Metrics;
use futures_util::future::try_join_all;
use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How far a verifier's clock may be behind: so much longer a token's name is refused.
const NAME_LEEWAY: u64 = 120;
/// A store keeps to its time itself; so much later nobody waits any longer, for it or behind others who do.
const LATE: Duration = Duration::from_millis(50);

/// How an update of a session ended.
#[derive(Debug)]
pub enum Updated {
    /// Written.
    Done(Arc<Live>),
    /// Another writer was first.
    Stale,
    /// The session was ended meanwhile.
    Gone,
}

/// The live sessions.
#[derive(Debug)]
pub struct Sessions {
    pub(super) store: Arc<dyn SessionStore>,
    pub(super) sealing: Sealing,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    patience: Duration,
    /// Seconds without use after which a session ends.
    idle: Option<u64>,
    pub(super) snapshots: Snapshots,
    pub(super) journal: Journal,
    touched: Mutex<HashMap<SessionKey, u64>>,
}

impl Sessions {
    /// Sessions in `store`, ending after `idle` seconds without use if given; memory is believed for
    /// `max_stale` after the store was last heard; reading takes `patience` at most.
    pub fn new(
        store: Arc<dyn SessionStore>,
        ring: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        idle: Option<u64>,
        max_stale: Duration,
        patience: Duration,
    ) -> Self {
        let snapshots = Snapshots::new(metrics.clone(), max_stale);
        let (sealing, journal, touched) = (Sealing(ring), Journal::default(), Mutex::default());
        Self { store, sealing, clock, metrics, patience: patience + LATE, idle, snapshots, journal, touched }
    }

    /// Stores a new session under a new id.
    ///
    /// # Errors
    /// [`Error`]: the session does not exist then.
    pub async fn create(&self, session: Session) -> Result<Arc<Live>, Error> {
        let (id, now) = (SessionId::random(), self.clock.now());
        let record = self.sealing.seal(&id, &session, now);
        match self.counted(self.store.create(id.key(), record.clone()).await)? {
            true => {
                self.note(Write::Create(id.key(), record));
                Ok(Live::new(id, session, now))
            }
            // 128 random bits do not repeat.
            false => Err(Error("a new session id is taken; is the random generator broken?".into())),
        }
    }

    /// The session behind an id, if it is alive.
    ///
    /// # Errors
    /// [`Error`]: whether it is alive is not known.
    pub async fn load(&self, id: SessionId) -> Result<Option<Arc<Live>>, Error> {
        let key = id.key();
        let remembered = self.snapshots.remembered(&key).filter(|live| {
            // Uses at other processes are not told.
            let idles = self.is_over(live);
            if idles {
                self.snapshots.forget(key);
            }
            !idles
        });
        let live = match remembered {
            Some(live) => live,
            // Boxed, so that the way that is nearly always taken carries nothing of it along.
            None => match Box::pin(self.in_time(self.snapshots.session(key, self.open(id, key)))).await? {
                Some(live) => live,
                None => return Ok(None),
            },
        };
        if self.is_over(&live) {
            self.snapshots.forget(key);
            return Ok(None);
        }
        let (now, seen) = (self.clock.now(), live.seen());
        if now >= seen.saturating_add(touch_step(self.idle)) {
            self.touch(&live, key, seen, now);
        }
        Ok(Some(live))
    }

    /// The session as the store has it now, past anything remembered.
    ///
    /// # Errors
    /// As [`Sessions::load`].
    pub async fn reload(&self, id: SessionId) -> Result<Option<Arc<Live>>, Error> {
        let live = self.open(id, id.key()).await?;
        match live {
            None if self.snapshots.is_unsettled() => Err(in_doubt()),
            live => Ok(live.filter(|live| self.clock.now() < live.session.ends)),
        }
    }

    /// Takes the lease of a session: whoever has it may renew its tokens.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn lease(&self, id: SessionId, ttl: Duration) -> Result<Leased, Error> {
        match self.counted(self.store.lease(id.key(), ttl).await)? {
            Leased::Gone if self.snapshots.is_unsettled() => Err(in_doubt()),
            leased => Ok(leased),
        }
    }

    /// Keeps a lease. `false` if it is another's by now.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn extend(&self, id: SessionId, fence: Fence, ttl: Duration) -> Result<bool, Error> {
        self.counted(self.store.extend(id.key(), fence, ttl).await)
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// [`Error`]; it runs out by itself then.
    pub async fn release(&self, id: SessionId, fence: Fence, after: After) -> Result<(), Error> {
        self.counted(self.store.release(id.key(), fence, after).await)
    }

    /// Replaces a session that is still at `expected`, if no later holder has its lease. Never brings back
    /// one that was ended.
    ///
    /// # Errors
    /// [`Error`]: whether it was written is not known.
    pub async fn update(
        &self,
        id: SessionId,
        expected: u64,
        session: &Session,
        fence: Option<Fence>,
    ) -> Result<Updated, Error> {
        let (key, now) = (id.key(), self.clock.now());
        let record = self.sealing.seal(&id, session, now);
        let outcome = self.counted(self.store.update(key, expected, record.clone(), fence).await);
        self.snapshots.forget(key);
        Ok(match outcome? {
            Update::Done => {
                self.note(Write::Update(key, expected, record));
                Updated::Done(Live::new(id, session.clone(), now))
            }
            Update::Stale => Updated::Stale,
            Update::Gone if self.snapshots.is_unsettled() => return Err(in_doubt()),
            Update::Gone => Updated::Gone,
        })
    }

    /// Ends a session and returns it. `None` if there was none. Its tokens are refused from here on.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end(&self, id: SessionId) -> Result<Option<Session>, Error> {
        let key = id.key();
        // Looked up first, so that strangers' ids cause no write.
        let known = match self.counted(self.store.load(key).await)? {
            Some(record) => self.sealing.session(&id, &record),
            // The store may have lost it a moment ago, and somebody may put it back.
            None => match self.snapshots.at_hand(&key) {
                Some(live) => Some(live.session.clone()),
                None if self.snapshots.is_unsettled() => None,
                None => return Ok(None),
            },
        };
        let names = known.as_ref().map(|known| &known.tokens.names);
        let record = self.remove(key, names).await?;
        let ended = record.and_then(|record| self.sealing.session(&id, &record));
        // A renewal may have come between.
        if let Some(newer) = ended.as_ref().map(|ended| &ended.tokens.names).filter(|newer| Some(*newer) != names) {
            self.refuse(newer).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(ended.or(known))
    }

    /// The live sessions listed under `mark`, the newest first.
    ///
    /// # Errors
    /// [`Error`]: there may be others.
    pub async fn listed(&self, mark: Mark) -> Result<Vec<Listed>, Error> {
        let now = self.clock.now();
        let records = self.counted(self.store.listed(mark).await)?;
        if self.snapshots.is_unsettled() {
            return Err(in_doubt());
        }
        let alive = records.into_iter().filter(|(_, record)| !record.is_over(now, self.idle));
        let listed = alive.filter_map(|(key, record)| {
            Some(Listed { key, card: self.sealing.card(key, &record)?, seen: record.seen, ends: record.ends })
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by_key(|listed| std::cmp::Reverse(listed.card.started));
        Ok(listed)
    }

    /// Ends a session of a list and returns its last card.
    ///
    /// # Errors
    /// [`Error`]: it may still be alive.
    pub async fn end_listed(&self, listed: &Listed) -> Result<Card, Error> {
        let record = self.remove(listed.key, Some(&listed.card.names)).await?;
        let card = record.and_then(|record| self.sealing.card(listed.key, &record));
        if let Some(card) = card.as_ref().filter(|card| card.names != listed.card.names) {
            self.refuse(&card.names).await?;
        }
        // A delete that had to be sent twice finds nothing the second time.
        Ok(card.unwrap_or_else(|| listed.card.clone()))
    }

    /// [`Sessions::is_ended`], if that can be said without asking the store.
    pub fn remembered_ended(&self, names: &[Mark]) -> Option<bool> {
        names.iter().try_fold(false, |ended, name| Some(ended | self.snapshots.remembered_mark(name)?))
    }

    /// Whether a token with one of these names belongs to a session that was ended.
    ///
    /// # Errors
    /// [`Error`]: that is not known.
    pub async fn is_ended(&self, names: &[Mark]) -> Result<bool, Error> {
        let mut unknown = Vec::new();
        for name in names {
            match self.snapshots.remembered_mark(name) {
                Some(true) => return Ok(true),
                Some(false) => {}
                None => unknown.push(*name),
            }
        }
        if unknown.is_empty() {
            return Ok(false);
        }
        let read = unknown.into_iter().map(|name| {
            let read = async move { self.counted(self.store.is_marked(name).await) };
            self.snapshots.mark(name, read)
        });
        let ended = Box::pin(self.in_time(try_join_all(read))).await?;
        Ok(ended.contains(&true))
    }

    /// Refuses a token that runs out at `until`, epoch seconds.
    ///
    /// # Errors
    /// [`Error`]: it may still be accepted.
    pub async fn refuse_token(&self, names: &[Mark], until: u64) -> Result<(), Error> {
        self.refuse(&TokenNames { marks: names.to_vec(), until }).await
    }

    /// Remembers, until then, that something was used up. `false` if it was already.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn use_up(&self, mark: Mark, until: u64) -> Result<bool, Error> {
        let new = self.counted(self.store.mark(mark, until).await)?;
        self.journal.note_mark(mark, until);
        Ok(new)
    }

    /// Whether something was used up.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn is_used_up(&self, mark: Mark) -> Result<bool, Error> {
        self.counted(self.store.is_marked(mark).await)
    }

    /// The sessions that this process has at hand.
    pub fn at_hand(&self) -> Vec<Arc<Live>> {
        self.snapshots.all()
    }

    /// Whether the store may lack what it had a moment ago.
    pub fn is_unsettled(&self) -> bool {
        self.snapshots.is_unsettled()
    }

    /// Removes the sessions that are over.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sweep(&self) -> Result<u64, Error> {
        self.journal.sweep(self.clock.now());
        self.flush().await?;
        self.counted(self.store.sweep(self.clock.now(), self.idle).await)
    }

    /// Writes down which sessions were used lately.
    ///
    /// # Errors
    /// [`Error`]; they are tried again next time.
    pub async fn flush(&self) -> Result<(), Error> {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        if touched.is_empty() {
            return Ok(());
        }
        let written = self.counted(self.store.touch(touched.iter().map(|(key, seen)| (*key, *seen)).collect()).await);
        if written.is_err() {
            let mut newer = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
            for (key, seen) in touched {
                newer.entry(key).or_insert(seen);
            }
        }
        written
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn ping(&self) -> Result<(), Error> {
        self.counted(self.store.ping().await)
    }

    /// Removes a record once its tokens are refused.
    async fn remove(&self, key: SessionKey, names: Option<&TokenNames>) -> Result<Option<super::Record>, Error> {
        if let Some(names) = names {
            self.refuse(names).await?;
        }
        let removed = self.counted(self.store.delete(key).await);
        self.snapshots.forget(key);
        if removed.is_ok() {
            self.note(Write::Delete(key));
        }
        removed
    }

    pub(super) async fn refuse(&self, names: &TokenNames) -> Result<(), Error> {
        let until = names.until.saturating_add(NAME_LEEWAY);
        for mark in &names.marks {
            self.use_up(*mark, until).await?;
            self.snapshots.forget_mark(*mark);
        }
        Ok(())
    }

    /// Notes a use.
    fn touch(&self, live: &Live, key: SessionKey, seen: u64, now: u64) {
        if live.seen.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(key, now);
        }
    }

    async fn open(&self, id: SessionId, key: SessionKey) -> Result<Option<Arc<Live>>, Error> {
        let record = self.counted(self.store.load(key).await)?;
        let record = record.filter(|record| !record.is_over(self.clock.now(), self.idle));
        let opened = record.and_then(|record| Some((self.sealing.session(&id, &record)?, record.seen)));
        Ok(opened.map(|(session, seen)| Live::new(id, session, seen)))
    }

    /// Whether a session is over, as far as is known here.
    fn is_over(&self, live: &Live) -> bool {
        let now = self.clock.now();
        now >= live.session.ends || self.idle.is_some_and(|idle| now >= live.seen().saturating_add(idle))
    }

    async fn in_time<T>(&self, read: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let late = |_| Err(Error(format!("no answer in {:?}", self.patience)));
        tokio::time::timeout(self.patience, read).await.unwrap_or_else(late)
    }

    /// Keeps a write that a shared store may lose.
    fn note(&self, write: Write) {
        if !self.snapshots.is_alone() {
            self.journal.note(write);
        }
    }

    pub(super) fn counted<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        if result.is_err() {
            self.metrics.store_error();
        }
        result
    }
}
