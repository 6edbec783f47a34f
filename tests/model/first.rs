//! What the first edition of the protocol allows: the checker finds a way each time, and one is walked here.

use super::check::{QUIET, broken, is_large, walk, written};
use super::properties::{ALIVE, ONE_CODE, ONE_LEASE, ONE_REFRESH, REVOKED, SIGNED_OUT};
use super::protocol::{Kinds, Protocol, Scenario};
use super::world::Action::{self, *};

/// `known` breaks them.
fn is_broken(properties: &[&'static str], scenario: Scenario, known: &[Action]) {
    let walked = walk(Protocol::FIRST, scenario, known);
    for property in properties {
        assert!(walked.contains(property), "does not break {property}, but {walked:?}:{}", written(known));
    }
}

/// The checker finds ways that are no longer than `known`, and `known` is one.
fn breaks(properties: &[&'static str], scenario: Scenario, known: &[Action]) {
    is_broken(properties, scenario, known);
    let found = broken(Protocol::FIRST, scenario, properties, known.len());
    for property in properties {
        assert!(found.contains(property), "the checker does not find what breaks {property}:{}", written(known));
    }
}

/// [`breaks`] for ways that take the checker long to find: it is asked with `MODEL_LARGE=1` only.
fn breaks_late(properties: &[&'static str], scenario: Scenario, known: &[Action]) {
    match is_large() {
        true => breaks(properties, scenario, known),
        false => is_broken(properties, scenario, known),
    }
}

#[test]
fn copies_of_a_callback_at_two_processes_spend_the_code_twice() {
    let known = [CallbackArrives { copy: 0, at: 0 }, CallbackArrives { copy: 1, at: 1 }, Exchange(0), Exchange(1)];
    breaks(&[ONE_CODE], Scenario { callbacks: 2, ..QUIET }, &known);
}

#[test]
fn a_flush_undoes_a_sign_out_when_the_process_that_did_it_is_gone() {
    let kinds = Kinds { crash: true, flush: true, ..Kinds::NONE };
    let scenario = Scenario { sign_outs: 1, faults: 2, kinds, ..QUIET };
    let known = [
        RevokeTokens(1),
        EndSession(1),
        Hear(0),
        Hear(2),
        Crash(1),
        Flush,
        Hear(0),
        WriteBackSessions(0),
        Hear(2),
        WriteBackSessions(2),
        Settle(0),
        Settle(2),
    ];
    breaks_late(&[SIGNED_OUT, REVOKED], scenario, &known);
}

#[test]
fn a_fail_over_undoes_a_sign_out_when_the_process_that_did_it_is_gone() {
    let kinds = Kinds { crash: true, fail_over: true, ..Kinds::NONE };
    let scenario = Scenario { sign_outs: 1, faults: 2, kinds, ..QUIET };
    let known = [
        Replicate,
        RevokeTokens(1),
        EndSession(1),
        Hear(0),
        Hear(2),
        Crash(1),
        FailOver,
        Connect { process: 0, canary_found: true },
        WriteBackSessions(0),
        Connect { process: 2, canary_found: true },
        WriteBackSessions(2),
        Settle(0),
        Settle(2),
    ];
    breaks_late(&[SIGNED_OUT, REVOKED], scenario, &known);
}

#[test]
fn an_eviction_accepts_revoked_tokens_again() {
    let kinds = Kinds { evict: true, ..Kinds::NONE };
    let scenario = Scenario { sign_outs: 1, faults: 1, kinds, ..QUIET };
    let known = [RevokeTokens(0), EndSession(0), EvictRevocations, Hear(0), Hear(1), Hear(2)];
    breaks(&[REVOKED], scenario, &known);
}

#[test]
fn an_eviction_ends_a_session() {
    let kinds = Kinds { evict_session: true, ..Kinds::NONE };
    breaks(&[ALIVE], Scenario { faults: 1, kinds, ..QUIET }, &[EvictSession]);
}

#[test]
fn a_lease_is_lost_with_the_newest_writes() {
    let kinds = Kinds { fail_over: true, ..Kinds::NONE };
    let scenario = Scenario { renewals: 2, faults: 1, kinds, ..QUIET };
    let known = [
        Replicate,
        TakeLease(1),
        ReloadUnderLease(1),
        SpendRefreshToken(1),
        FailOver,
        TakeLease(0),
        ReloadUnderLease(0),
        SpendRefreshToken(0),
    ];
    breaks(&[ONE_LEASE, ONE_REFRESH], scenario, &known);
}
