//! What is known to be true of each session, and what its answers are held to.
//!
//! 1. Who was signed out is answered 200 by nobody, and neither is the access token, after [`BOUND`] without faults.
//! 2. Who is signed in is told 401 by nobody, whatever happens, and is signed out by nobody but the provider. 503 may
//!    be said. Whose tokens were lost with the data is signed in until the access token would have run out.
//! 3. A code is spent once. A refresh token is spent once while nothing is disturbed.
//!
//! 4. Who is signed in may be told 401 while only processes have the session that cannot reach the store: nobody waits
//!    for them for ever.
//!
//! What was lost with the data, and every process that knew it is gone, binds nobody.

use super::World;
use super::draw;
use super::faults::Kind;
use super::network::MAX_STALE;
use crate::domain::clock::Timestamp;
use crate::domain::session::SessionId;
use crate::domain::store_key::{RevocationKey, SessionKey};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// How long an ended session may still be accepted somewhere when nothing is disturbed.
const BOUND: Duration = Duration::from_millis(MAX_STALE.as_millis() as u64 + 50);
/// The same after the last disturbance ended: who knows of the ending reaches the store again and writes it back.
const BOUND_AFTER_FAULT: Duration = Duration::from_secs(5);
/// How long after a disturbance the service may say 503.
const RECOVERED: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    SignedIn,
    /// Since then, for good: the sign-out was answered.
    Ended(Instant),
    /// A sign-out was not answered; or nothing and nobody remembers.
    Unknown,
}

/// A session as its browser knows it.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) cookie: String,
    pub(super) sign_in: String,
    pub(super) state: State,
}

impl Known {
    pub(super) fn key(&self) -> SessionKey {
        SessionId::parse(self.cookie.as_bytes()).expect("it is a session id").key()
    }
}

#[derive(Debug, Default)]
pub(super) struct Oracle {
    sessions: BTreeMap<usize, Known>,
}

impl Oracle {
    pub(super) fn signed_in(&mut self, cookie: &str, sign_in: &str) -> usize {
        let number = self.sessions.len();
        let known = Known { cookie: cookie.to_owned(), sign_in: sign_in.to_owned(), state: State::SignedIn };
        self.sessions.insert(number, known);
        number
    }

    pub(super) fn known(&self, number: usize) -> Known {
        self.sessions[&number].clone()
    }

    pub(super) fn set(&mut self, number: usize, state: State) {
        self.sessions.get_mut(&number).expect("it was made here").state = state;
    }

    pub(super) fn all(&self) -> Vec<usize> {
        self.sessions.keys().copied().collect()
    }

    /// One that has ended, if there is any.
    pub(super) fn an_ended(&self) -> Option<usize> {
        let ended: Vec<_> =
            self.sessions.iter().filter(|(_, known)| matches!(known.state, State::Ended(_))).map(|(n, _)| *n).collect();
        (!ended.is_empty()).then(|| ended[draw::below(ended.len())])
    }

    /// After a crash or a loss: what nothing and nobody remembers binds nobody any more.
    pub(super) fn forget_what_is_lost(&mut self, world: &World) {
        let (server, processes) = (world.server(), world.processes());
        let alive = || processes.iter().flatten();
        for known in self.sessions.values_mut() {
            let key = known.key();
            let remembered = match known.state {
                State::SignedIn => {
                    let copies = alive().filter_map(|process| process.remembered(key)).chain(server.remembered(key));
                    lasts(copies, world)
                }
                State::Ended(_) => {
                    let mark = RevocationKey::token(&known.sign_in);
                    (server.has_tombstone(key) || alive().any(|process| process.remembers_end(key)))
                        && (server.revoked_until(mark).is_some() || alive().any(|p| p.remembers_revocation(mark)))
                }
                State::Unknown => true,
            };
            if !remembered {
                known.state = State::Unknown;
                world.stats().forgotten += 1;
            }
        }
    }
}

/// Whether the newest of these versions has not reached its end. A session whose tokens were lost ends with its access
/// token.
fn lasts(copies: impl Iterator<Item = (u64, Timestamp)>, world: &World) -> bool {
    copies.max().is_some_and(|(_, ends)| world.now() < ends)
}

/// Whether the store has the session, or a process has it that can reach the store.
fn somebody_can_tell(world: &World, number: usize) -> bool {
    let key = world.oracle().known(number).key();
    let (server, processes, weather) = (world.server(), world.processes(), world.weather());
    let there = processes.iter().enumerate().filter(|(at, _)| weather.reaches_store(*at));
    let copies = there.filter_map(|(_, process)| process.as_ref()?.remembered(key));
    lasts(copies.chain(server.remembered(key)), world)
}

/// Whether the service ended the session though the provider has not: it took a refresh token that was spent in a fault
/// for one that was revoked.
fn was_ended_wrongly(world: &World, number: usize) -> bool {
    let known = world.oracle().known(number);
    let (key, processes) = (known.key(), world.processes());
    let is_over =
        world.server().has_tombstone(key) || processes.iter().flatten().any(|process| process.remembers_end(key));
    is_over && !world.provider().has_revoked(&known.sign_in)
}

/// Judges the answer that session `number` had to a question asked at `asked`, when it was in state `before`.
pub(super) fn judge(world: &World, what: &str, number: usize, before: State, asked: Instant, status: u16) {
    let after = world.oracle().known(number).state;
    let (disturbed, now) = (world.disturbed_until(), Instant::now());
    match (status, before) {
        (200, State::Ended(at)) if after == before => {
            let late = asked.saturating_duration_since(at.max(disturbed));
            let undisturbed = disturbed < at;
            let since_loss = asked.saturating_duration_since(at.max(world.back_after_loss()));
            let mut stats = world.stats();
            if undisturbed {
                stats.stale = stats.stale.max(late);
            } else if matches!(world.kind, Kind::Losses | Kind::LossesAndCrashes) {
                stats.stale_after_loss = stats.stale_after_loss.max(since_loss);
            }
            drop(stats);
            let bound = if undisturbed { BOUND } else { BOUND_AFTER_FAULT };
            if late > bound {
                world.violation(format_args!("{what} of s{number} is 200, {late:?} too late after its sign-out"));
            }
        }
        (401, State::SignedIn)
            if after == before && (somebody_can_tell(world, number) || was_ended_wrongly(world, number)) =>
        {
            world.violation(format_args!("{what} of s{number}, which is signed in, is 401"));
        }
        (502 | 503, _) => {
            world.stats().unavailable += 1;
            if now > disturbed + RECOVERED {
                world.violation(format_args!("{what} of s{number} is {status} without a reason"));
            }
        }
        (200 | 401, _) => {}
        _ => world.violation(format_args!("{what} of s{number} is {status}")),
    }
}
