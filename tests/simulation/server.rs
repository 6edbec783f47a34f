//! The server behind the shared store: what Redis does in one piece, and how it loses what it had.
//!
//! Each method does what the script of the same name does (`src/store/redis/scripts.rs`). Nothing expires: a
//! simulated run is shorter than the shortest life of a key.

use crate::domain::clock::Timestamp;
use crate::domain::store_key::{IndexKey, RevocationKey, SessionKey};
use crate::store::{
    FencingToken, LeaseOutcome, LeaseRelease, Lookup, RestoreOutcome, SealedSession, SealedTokens, UpdateOutcome,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

/// How far back the data can be lost.
pub(super) const HISTORY: Duration = Duration::from_secs(4);

/// What a server tells those who listen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Changed(SessionKey),
    Ended(SessionKey),
    Marked(RevocationKey),
    Emptied,
    /// The answer to a question that was asked then.
    Beat(Instant),
}

/// One connection that hears of changes.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) tell: UnboundedSender<(Instant, Event)>,
    /// Events arrive in order.
    last: Instant,
    /// When it broke: nothing arrives after that.
    pub(super) broken: Arc<Mutex<Option<Instant>>>,
    /// It broke, and nobody has noticed.
    silent: bool,
}

impl Listener {
    pub(super) fn new(tell: UnboundedSender<(Instant, Event)>, broken: Arc<Mutex<Option<Instant>>>) -> Self {
        Self { tell, last: Instant::now(), broken, silent: false }
    }
}

#[derive(Debug, Clone, Default)]
struct Lease {
    fencing_token: u64,
    holder: Option<u64>,
    until: Option<Instant>,
    doubt: bool,
    abandoned: bool,
}

/// Everything that can be lost.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    records: BTreeMap<SessionKey, Arc<SealedSession>>,
    tombstones: BTreeMap<SessionKey, Timestamp>,
    marks: BTreeMap<RevocationKey, Timestamp>,
    leases: BTreeMap<SessionKey, Lease>,
    canaries: BTreeMap<usize, u64>,
}

/// What a server does wrong on purpose, to see that it is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// A session that ends leaves no tombstone.
    NoTombstones,
    /// Whatever is marked was not marked before.
    EveryMarkIsNew,
    /// Everybody gets the lease.
    EveryLeaseIsFree,
    /// Nobody is told of anything, and yet asked whether all was heard, it says yes.
    TellsNothing,
}

#[derive(Debug)]
pub(super) struct Server {
    sabotage: Option<Sabotage>,
    data: Data,
    /// The newest version that was ever written.
    newest: BTreeMap<SessionKey, u64>,
    /// The data after each change.
    history: VecDeque<(Instant, Data)>,
    listeners: BTreeMap<usize, Listener>,
    /// Microseconds since the start: what the server's clock gives to fencing tokens.
    began: Instant,
}

impl Server {
    pub(super) fn new(sabotage: Option<Sabotage>) -> Self {
        let (data, began) = (Data::default(), Instant::now());
        Self {
            sabotage,
            history: [(began, data.clone())].into(),
            data,
            newest: BTreeMap::new(),
            listeners: BTreeMap::new(),
            began,
        }
    }

    // What the scripts do.

    pub(super) fn create(&mut self, key: SessionKey, record: SealedSession) -> bool {
        let free = !self.data.records.contains_key(&key) && !self.data.tombstones.contains_key(&key);
        if free {
            self.put(key, record);
        }
        free
    }

    pub(super) fn lookup(&self, key: SessionKey) -> Lookup {
        let found = self.data.records.get(&key).map(|record| Lookup::Found(without_tokens(record)));
        found.or_else(|| self.data.tombstones.get(&key).map(|until| Lookup::Ended(*until))).unwrap_or(Lookup::Absent)
    }

    pub(super) fn load_tokens(&self, key: SessionKey) -> SealedTokens {
        self.data.records.get(&key).map(|record| record.tokens.clone()).unwrap_or_default()
    }

    pub(super) fn update(
        &mut self,
        key: SessionKey,
        expected: u64,
        record: SealedSession,
        fencing_token: Option<FencingToken>,
    ) -> UpdateOutcome {
        let Some(old) = self.data.records.get(&key) else { return UpdateOutcome::Gone };
        let tokens = record.tokens.clone().over(old.tokens.clone());
        let written = tokens.map(|tokens| SealedSession { tokens, ..record });
        if written.as_ref() == Some(&**old) {
            return UpdateOutcome::Done;
        }
        if old.version != expected {
            return UpdateOutcome::Stale;
        }
        let Some(record) = written else { return UpdateOutcome::Incomplete };
        if let (Some(fencing_token), Some(lease)) = (fencing_token, self.data.leases.get_mut(&key))
            && lease.holder.is_some()
        {
            if lease.fencing_token != fencing_token.0 {
                return UpdateOutcome::Stale;
            }
            (lease.holder, lease.until, lease.doubt) = (None, None, false);
        }
        self.put(key, record);
        UpdateOutcome::Done
    }

    pub(super) fn touch(&mut self, last_used: &[(SessionKey, Timestamp)]) {
        for (key, last_used) in last_used {
            if let Some(record) = self.data.records.get_mut(key) {
                let record = Arc::make_mut(record);
                record.last_used = record.last_used.max(*last_used);
            }
        }
        self.remember();
    }

    pub(super) fn restore(&mut self, key: SessionKey, record: SealedSession) -> RestoreOutcome {
        if self.data.tombstones.contains_key(&key) {
            return RestoreOutcome::Ended;
        }
        if self.data.records.get(&key).is_some_and(|there| !record.is_restored_over(there, &there.tokens)) {
            return RestoreOutcome::Newer;
        }
        self.put(key, record);
        RestoreOutcome::Done
    }

    pub(super) fn delete(&mut self, key: SessionKey, until: Timestamp) -> Option<SealedSession> {
        let old = self.data.records.remove(&key);
        self.data.leases.remove(&key);
        if self.sabotage != Some(Sabotage::NoTombstones) {
            let kept = self.data.tombstones.entry(key).or_default();
            *kept = until.max(*kept);
            self.tell(Event::Ended(key));
        }
        self.remember();
        if old.is_some() {
            self.tell(Event::Changed(key));
        }
        old.map(Arc::unwrap_or_clone)
    }

    pub(super) fn list(&self, mark: IndexKey) -> Vec<(SessionKey, SealedSession)> {
        let of_mark = self.data.records.iter().filter(|(_, record)| record.listed.contains(&mark));
        of_mark.map(|(key, record)| (*key, without_tokens(record))).collect()
    }

    pub(super) fn lease(&mut self, key: SessionKey, ttl: Duration, asker: u64) -> LeaseOutcome {
        if !self.data.records.contains_key(&key) {
            return LeaseOutcome::Gone;
        }
        let (now, micros) = (Instant::now(), self.micros());
        let lease = self.data.leases.entry(key).or_default();
        let free = self.sabotage == Some(Sabotage::EveryLeaseIsFree);
        if let Some(until) = lease.until.filter(|until| *until > now && !free) {
            return match lease.holder {
                Some(holder) if holder == asker => {
                    LeaseOutcome::Taken { fencing_token: FencingToken(lease.fencing_token), abandoned: lease.abandoned }
                }
                Some(_) => LeaseOutcome::Held,
                None => LeaseOutcome::Paused(until - now),
            };
        }
        let abandoned = lease.holder.is_some() || lease.doubt;
        let fencing_token = micros.max(lease.fencing_token + 1);
        *lease = Lease { fencing_token, holder: Some(asker), until: Some(now + ttl), doubt: false, abandoned };
        self.remember();
        LeaseOutcome::Taken { fencing_token: FencingToken(fencing_token), abandoned }
    }

    pub(super) fn extend(&mut self, key: SessionKey, fencing_token: FencingToken, ttl: Duration) -> bool {
        let lease = self.data.leases.entry(key).or_default();
        if lease.fencing_token == 0 {
            (lease.fencing_token, lease.holder) = (fencing_token.0, Some(0));
        } else if lease.fencing_token != fencing_token.0 || lease.holder.is_none() {
            return false;
        }
        lease.until = Some(Instant::now() + ttl);
        self.remember();
        true
    }

    pub(super) fn release(&mut self, key: SessionKey, fencing_token: FencingToken, after: LeaseRelease) {
        let Some(lease) = self.data.leases.get_mut(&key).filter(|lease| lease.fencing_token == fencing_token.0) else {
            return;
        };
        if lease.holder.is_none() {
            return;
        }
        (lease.holder, lease.until, lease.doubt) = match after {
            LeaseRelease::Free => (None, None, false),
            LeaseRelease::CoolDown(pause) => (None, Some(Instant::now() + pause), false),
            LeaseRelease::OutcomeUnknown(pause) => (None, Some(Instant::now() + pause), true),
        };
        self.remember();
    }

    pub(super) fn revoke(&mut self, mark: RevocationKey, until: Timestamp) -> bool {
        let before = self.data.marks.get(&mark).copied();
        self.data.marks.insert(mark, until.max(before.unwrap_or_default()));
        self.remember();
        self.tell(Event::Marked(mark));
        before.is_none() || self.sabotage == Some(Sabotage::EveryMarkIsNew)
    }

    pub(super) fn revoked_until(&self, mark: RevocationKey) -> Option<Timestamp> {
        self.data.marks.get(&mark).copied()
    }

    pub(super) fn set_canary(&mut self, process: usize, value: u64) {
        self.data.canaries.insert(process, value);
        self.remember();
    }

    pub(super) fn canary(&self, process: usize) -> Option<u64> {
        self.data.canaries.get(&process).copied()
    }

    // Who hears of it.

    pub(super) fn listen(&mut self, process: usize, listener: Listener) {
        self.listeners.insert(process, listener);
    }

    /// Answers a listener once it was told everything.
    pub(super) fn beat(&mut self, process: usize, asked: Instant) {
        if let Some(listener) = self.listeners.get_mut(&process) {
            listener.send(Event::Beat(asked));
        }
    }

    /// Breaks the connection of a listener, who notices at once or not.
    pub(super) fn break_listener(&mut self, process: usize, silent: bool) {
        if let Some(listener) = self.listeners.get_mut(&process) {
            *listener.broken.lock().unwrap() = Some(Instant::now());
            listener.silent = true;
            if !silent {
                self.listeners.remove(&process);
            }
        }
    }

    pub(super) fn break_all_listeners(&mut self) {
        for process in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.break_listener(process, false);
        }
    }

    // How data gets lost.

    /// A replica takes over that lacks the writes of the last `lag`.
    pub(super) fn fail_over(&mut self, lag: Duration) {
        let then = Instant::now().checked_sub(lag).unwrap_or(self.began);
        if let Some((_, data)) = self.history.iter().rev().find(|(at, _)| *at <= then) {
            self.data = data.clone();
        }
        self.restarted();
    }

    /// A restart that finds no data.
    pub(super) fn restart_empty(&mut self) {
        self.data = Data::default();
        self.restarted();
    }

    fn restarted(&mut self) {
        self.history = [(self.began, self.data.clone())].into();
        self.break_all_listeners();
    }

    /// `FLUSHALL`.
    pub(super) fn flush_all(&mut self) {
        self.data = Data::default();
        self.remember();
        self.tell(Event::Emptied);
    }

    /// Evicts the `nth` of the tombstones and marks, if there are any.
    pub(super) fn evict_an_ending(&mut self, nth: usize) {
        let (tombstones, all) = (self.data.tombstones.len(), self.data.tombstones.len() + self.data.marks.len());
        let Some(nth) = nth.checked_rem(all) else { return };
        if nth < tombstones {
            let key = *self.data.tombstones.keys().nth(nth).expect("it is less than their count");
            self.data.tombstones.remove(&key);
            self.tell(Event::Ended(key));
        } else {
            let mark = *self.data.marks.keys().nth(nth - tombstones).expect("it is less than their count");
            self.data.marks.remove(&mark);
            self.tell(Event::Marked(mark));
        }
        self.remember();
    }

    /// The version and the end of a session, if it has the newest version.
    pub(super) fn remembered(&self, key: SessionKey) -> Option<(u64, Timestamp)> {
        let record = self.data.records.get(&key).filter(|record| record.version >= self.newest[&key]);
        record.map(|record| (record.version, record.ends))
    }

    pub(super) fn has_tombstone(&self, key: SessionKey) -> bool {
        self.data.tombstones.contains_key(&key)
    }

    fn put(&mut self, key: SessionKey, record: SealedSession) {
        let newest = self.newest.entry(key).or_default();
        *newest = record.version.max(*newest);
        self.data.records.insert(key, Arc::new(record));
        self.remember();
        self.tell(Event::Changed(key));
    }

    fn tell(&mut self, event: Event) {
        let listeners = self.listeners.values_mut().filter(|_| self.sabotage != Some(Sabotage::TellsNothing));
        listeners.for_each(|listener| listener.send(event));
    }

    fn remember(&mut self) {
        let now = Instant::now();
        self.history.push_back((now, self.data.clone()));
        // The last one before the span stays: it is the state at its beginning.
        while self.history.get(1).is_some_and(|(at, _)| now - *at > HISTORY) {
            self.history.pop_front();
        }
    }

    fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).expect("the run is short") + 1
    }
}

fn without_tokens(record: &SealedSession) -> SealedSession {
    SealedSession { tokens: SealedTokens::default(), ..record.clone() }
}

impl Listener {
    fn send(&mut self, event: Event) {
        if self.silent {
            return;
        }
        self.last = self.last.max(Instant::now() + super::draw::millis(0, 3));
        let _ = self.tell.send((self.last, event));
    }
}
