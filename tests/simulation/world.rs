//! The world of one run: server, provider, processes, weather, and what is known to be true.

use super::draw;
use super::faults::Kind;
use super::network::Path;
use super::oracle::Oracle;
use super::process::Process;
use super::provider::{self, Provider};
use super::server::{Sabotage, Server};
use crate::domain::clock::Timestamp;
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::Instant;

pub(super) const PROCESSES: usize = 3;
/// Epoch seconds at the start.
pub(super) const BASE: u64 = 1_800_000_000;

/// What a run counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Stats {
    pub(super) sign_ins: u64,
    pub(super) sign_outs: u64,
    pub(super) validates: u64,
    pub(super) exchanges: u64,
    pub(super) renewals: u64,
    pub(super) unavailable: u64,
    pub(super) faults: u64,
    pub(super) crashes: u64,
    pub(super) losses: u64,
    pub(super) codes_spent_twice: u64,
    pub(super) refresh_tokens_spent_twice: u64,
    /// Sessions and endings of which nothing and nobody knew any more.
    pub(super) forgotten: u64,
    /// The longest time after a sign-out's answer at which an ended session was accepted: undisturbed, and, where
    /// nothing but the store fails, after that was back without what it had.
    pub(super) stale: Duration,
    pub(super) stale_after_loss: Duration,
}

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    /// Something was slow, cut off, dropped, or crashed.
    Any,
    /// The store lost data.
    Loss,
}

/// What is broken, until when.
#[derive(Debug)]
pub(super) struct Weather {
    /// Of a thousand questions, how many are lost, and as many answers.
    pub(super) losses: usize,
    /// Until when that was so.
    pub(super) lossy: Instant,
    pub(super) store_away: Instant,
    pub(super) cut_off: [Instant; PROCESSES],
    pub(super) slow: [Instant; PROCESSES],
    pub(super) provider_away: Instant,
    pub(super) provider_slow: Instant,
    last: Instant,
    last_loss: Option<Instant>,
    /// When the store was back after that.
    back: Instant,
}

impl Weather {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            losses: 0,
            lossy: now,
            store_away: now,
            cut_off: [now; PROCESSES],
            slow: [now; PROCESSES],
            provider_away: now,
            provider_slow: now,
            last: now,
            last_loss: None,
            back: now,
        }
    }

    /// Notes a disturbance that lasts until `until`.
    pub(super) fn disturb(&mut self, what: Disturbance, until: Instant) {
        self.last = self.last.max(until);
        if what == Disturbance::Loss {
            self.last_loss = Some(Instant::now());
            self.back = self.store_away.max(Instant::now());
        }
    }

    pub(super) fn is_store_away(&self, process: usize) -> bool {
        let now = Instant::now();
        now < self.store_away || now < self.cut_off[process]
    }

    /// Whether a process reaches the store, and has had the time to do so.
    pub(super) fn reaches_store(&self, process: usize) -> bool {
        let bad = self.store_away.max(self.cut_off[process]).max(self.slow[process]).max(self.lossy);
        self.losses == 0 && Instant::now() > bad + Duration::from_secs(6)
    }

    pub(super) fn is_provider_away(&self) -> bool {
        Instant::now() < self.provider_away
    }

    pub(super) fn path_to_store(&mut self, process: usize) -> Path {
        let slow = Instant::now() < self.slow[process];
        self.path(slow, 1_500)
    }

    pub(super) fn path_to_provider(&mut self) -> Path {
        let slow = Instant::now() < self.provider_slow;
        let path = self.path(slow, 4_000);
        Path { there: path.there + draw::millis(5, 60), ..path }
    }

    fn path(&mut self, slow: bool, longest: usize) -> Path {
        let mut path = Path::good();
        if slow {
            (path.there, path.back) = (draw::millis(0, longest), draw::millis(0, longest));
        }
        if self.losses > 0 {
            path.loses_request = draw::chance(self.losses);
            path.loses_answer = draw::chance(self.losses);
        }
        if slow || path.loses_request || path.loses_answer {
            let until = Instant::now() + path.there + path.back + Duration::from_secs(3);
            self.disturb(Disturbance::Any, until);
        }
        path
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) kind: Kind,
    began: Instant,
    server: Mutex<Server>,
    provider: Mutex<Provider>,
    weather: Mutex<Weather>,
    oracle: Mutex<Oracle>,
    processes: Mutex<[Option<Process>; PROCESSES]>,
    stats: Mutex<Stats>,
    trace: Mutex<Trace>,
}

/// What happened, in order: a hash of it always, the text where it is wanted.
#[derive(Debug)]
struct Trace {
    hash: u64,
    text: Option<String>,
    violations: Vec<String>,
}

impl World {
    pub(super) fn new(kind: Kind, sabotage: Option<Sabotage>, keeps_text: bool) -> Self {
        Self {
            kind,
            began: Instant::now(),
            server: Mutex::new(Server::new(sabotage)),
            provider: Mutex::default(),
            weather: Mutex::new(Weather::new()),
            oracle: Mutex::default(),
            processes: Mutex::default(),
            stats: Mutex::default(),
            trace: Mutex::new(Trace {
                hash: 0xcbf2_9ce4_8422_2325,
                text: keeps_text.then(String::new),
                violations: vec![],
            }),
        }
    }

    pub(super) fn server(&self) -> MutexGuard<'_, Server> {
        self.server.lock().unwrap()
    }

    pub(super) fn provider(&self) -> MutexGuard<'_, Provider> {
        self.provider.lock().unwrap()
    }

    pub(super) fn weather(&self) -> MutexGuard<'_, Weather> {
        self.weather.lock().unwrap()
    }

    pub(super) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock().unwrap()
    }

    pub(super) fn processes(&self) -> MutexGuard<'_, [Option<Process>; PROCESSES]> {
        self.processes.lock().unwrap()
    }

    pub(super) fn stats(&self) -> MutexGuard<'_, Stats> {
        self.stats.lock().unwrap()
    }

    pub(super) fn epoch_seconds(&self) -> u64 {
        provider::seconds(self.began.elapsed())
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.epoch_seconds())
    }

    /// Whether nothing was disturbed since shortly before `at`.
    pub(super) fn was_calm_since(&self, at: Instant) -> bool {
        self.weather().last + Duration::from_secs(30) < at
    }

    /// When the last disturbance ended, or will.
    pub(super) fn disturbed_until(&self) -> Instant {
        self.weather().last
    }

    /// When the store was back after it lost data for the last time.
    pub(super) fn back_after_loss(&self) -> Instant {
        self.weather().back
    }

    /// Whether it happened after `at`.
    pub(super) fn was(&self, what: Disturbance, at: Instant) -> bool {
        let weather = self.weather();
        match what {
            Disturbance::Any => weather.last >= at,
            Disturbance::Loss => weather.last_loss.is_some_and(|loss| loss >= at),
        }
    }

    pub(super) fn is_alive(&self, process: usize, start: u64) -> bool {
        self.processes()[process].as_ref().is_some_and(|process| process.start == start)
    }

    /// Waits for ever in a process that has crashed.
    pub(super) async fn only_alive(&self, process: usize, start: u64) {
        if !self.is_alive(process, start) {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn trace(&self, what: fmt::Arguments<'_>) {
        let line = format!("{:>9.1} ms  {what}\n", self.began.elapsed().as_secs_f64() * 1_000.0);
        let mut trace = self.trace.lock().unwrap();
        for byte in line.bytes() {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(text) = &mut trace.text {
            text.push_str(&line);
        }
    }

    pub(super) fn violation(&self, what: fmt::Arguments<'_>) {
        self.trace(format_args!("VIOLATION: {what}"));
        self.trace.lock().unwrap().violations.push(what.to_string());
    }

    /// Hash, text and violations of the run.
    pub(super) fn outcome(&self) -> (u64, String, Vec<String>) {
        let trace = self.trace.lock().unwrap();
        (trace.hash, trace.text.clone().unwrap_or_default(), trace.violations.clone())
    }
}

impl Stats {
    pub(super) fn add(&mut self, other: &Self) {
        self.sign_ins += other.sign_ins;
        self.sign_outs += other.sign_outs;
        self.validates += other.validates;
        self.exchanges += other.exchanges;
        self.renewals += other.renewals;
        self.unavailable += other.unavailable;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.losses += other.losses;
        self.codes_spent_twice += other.codes_spent_twice;
        self.refresh_tokens_spent_twice += other.refresh_tokens_spent_twice;
        self.forgotten += other.forgotten;
        self.stale = self.stale.max(other.stale);
        self.stale_after_loss = self.stale_after_loss.max(other.stale_after_loss);
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sign-ins, {} exchanges, {} renewals, {} sign-outs, {} validates, {} times unavailable; {} faults, of \
             them {} crashes and {} losses of data; {} sessions or endings forgotten by all; spent twice: {} codes, {} \
             refresh tokens; accepted after a sign-out for {} ms, and for {} ms after \
             the store was back without its data",
            self.sign_ins,
            self.exchanges,
            self.renewals,
            self.sign_outs,
            self.validates,
            self.unavailable,
            self.faults,
            self.crashes,
            self.losses,
            self.forgotten,
            self.codes_spent_twice,
            self.refresh_tokens_spent_twice,
            self.stale.as_millis(),
            self.stale_after_loss.as_millis(),
        )
    }
}
