//! What must never be, and what must be possible.

use super::process::{Process, Recovery, Work};
use super::protocol::Scenario;
use super::store::PROCESSES;
use super::world::{Answer, Copied, Sessions, World};
use stateright::Property;

pub const SIGNED_OUT: &str = "who was signed out stays signed out";
pub const NOT_REVIVED: &str = "an ended session is not put back";
pub const REVOKED: &str = "tokens of an ended session stay revoked";
pub const ALIVE: &str = "nobody alive is told 401";
pub const NOT_LOST: &str = "no session is lost that is at hand";
pub const NOT_ENDED: &str = "no session ends by our own fault";
pub const TOKENS: &str = "tokens that survive are put back";
pub const TOKENS_NOT_LOST: &str = "no tokens are lost that survive";
pub const BOUNDED: &str = "a session without tokens ends with its access token";
pub const ONE_CODE: &str = "a code is spent once";
pub const ONE_REFRESH: &str = "a refresh token is spent once";
pub const ONE_LEASE: &str = "a held lease excludes";

pub fn all(scenario: &Scenario) -> Vec<Property<Sessions>> {
    let mut all = invariants();
    all.extend(possible(scenario));
    all
}

fn invariants() -> Vec<Property<Sessions>> {
    vec![
        Property::always(SIGNED_OUT, |model: &Sessions, world: &World| {
            !(world.history.left && world.is_calm())
                || (0..PROCESSES)
                    .all(|at| !world.processes[at].alive || world.validate(&model.protocol, at) != Answer::Valid)
        }),
        Property::always(REVOKED, |model: &Sessions, world: &World| {
            let promised = world.history.promised;
            let refused = |at: usize| {
                (0..8)
                    .map(|bit| 1 << bit)
                    .filter(|token| promised & token != 0)
                    .all(|token| world.validate_token(&model.protocol, at, token) != Answer::Valid)
            };
            !world.is_calm() || (0..PROCESSES).all(|at| !world.processes[at].alive || refused(at))
        }),
        Property::always(ALIVE, |model: &Sessions, world: &World| {
            let alive = world.is_wanted() && world.survives(&model.protocol);
            !alive
                || (0..PROCESSES)
                    .all(|at| !world.processes[at].alive || world.validate(&model.protocol, at) != Answer::Invalid)
        }),
        Property::always(NOT_REVIVED, |_: &Sessions, world: &World| !world.history.revived),
        Property::always(NOT_LOST, |_: &Sessions, world: &World| !world.history.lost),
        Property::always(NOT_ENDED, |_: &Sessions, world: &World| !world.history.ended_wrongly),
        Property::always(TOKENS, |model: &Sessions, world: &World| {
            let kept = !model.protocol.cold_tokens
                || world.store.session.is_none_or(|session| session.is_complete() && session.whole);
            kept || !(world.is_wanted() && world.is_calm() && world.tokens_survive())
        }),
        Property::always(TOKENS_NOT_LOST, |_: &Sessions, world: &World| !world.history.tokens_lost),
        Property::always(BOUNDED, |model: &Sessions, world: &World| {
            let newest = world.awake().map(Process::newest).fold(world.store.session, Option::max);
            let over = newest.is_some_and(|newest| newest.version <= world.ran_out) && !world.tokens_survive();
            !(over && world.is_calm())
                || (0..PROCESSES)
                    .all(|at| !world.processes[at].alive || world.validate(&model.protocol, at) != Answer::Valid)
        }),
        Property::always(ONE_CODE, |_: &Sessions, world: &World| !world.history.code_twice),
        Property::always(ONE_REFRESH, |_: &Sessions, world: &World| !world.history.refresh_twice),
        Property::always(ONE_LEASE, |_: &Sessions, world: &World| {
            let asking = world.awake().filter(|process| matches!(process.work, Work::Answered(..)));
            asking.count() <= 1 || world.history.lease_ran_out
        }),
    ]
}

fn possible(scenario: &Scenario) -> Vec<Property<Sessions>> {
    let mut all =
        vec![Property::sometimes("somebody is signed in", |_: &Sessions, world: &World| world.history.signed_in)];
    if scenario.callbacks > 1 {
        all.push(Property::sometimes("a copy of the callback lands, too", |_: &Sessions, world: &World| {
            world.history.copies == [Copied::SignedIn; 2]
        }));
    }
    if scenario.renewals > 0 {
        all.push(Property::sometimes("tokens are renewed", |_: &Sessions, world: &World| {
            world.store.session.is_some_and(|session| session.version > 1)
        }));
    }
    if scenario.sign_outs > 0 {
        all.push(Property::sometimes("somebody is signed out", |_: &Sessions, world: &World| world.history.left));
    }
    if scenario.kinds.restart || scenario.kinds.flush {
        all.push(Property::sometimes("a session is put back", |_: &Sessions, world: &World| {
            let settling = world.processes.iter().any(|process| process.recovery == Recovery::Settling);
            settling && world.store.session.is_some()
        }));
    }
    all
}
